//===- ShapeRules.h - Shapes that follow from operands ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Rules for the extents of results, shared by the families, and helpers to
/// write more of them. They look at operand types, attributes and constant
/// operands; what needs more is left to the symbolic analysis.
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_OPS_SHAPERULES_H
#define LATHE_LIB_IMPORT_OPS_SHAPERULES_H

#include "lathe/Import/OpRegistry.h"

namespace lathe::shape {

using Results = llvm::MutableArrayRef<ValueType>;
using Dims = llvm::SmallVector<int64_t, 4>;

/// `axis` counted from the front, or nothing if it is outside [-rank, rank).
std::optional<int64_t> normalizeAxis(int64_t axis, int64_t rank);

/// Type of operand `i` if its rank is known, else nullptr.
const ValueType *ranked(const NodeInfo &node, unsigned i);

/// Sets a shape of `rank` unknown extents.
void setRank(ValueType &type, int64_t rank);

/// Extents of the broadcast of all `shapes`; a pair of unlike extents other
/// than 1 gives an unknown extent (the check rule reports it).
Dims broadcast(llvm::ArrayRef<llvm::ArrayRef<int64_t>> shapes);

/// All results are shaped like operand 0.
void likeFirst(const NodeInfo &node, Results results);
/// Result 0 is shaped like operand 0; of the others nothing is known.
void firstLikeFirst(const NodeInfo &node, Results results);
/// All results are shaped like operand 1.
void likeSecond(const NodeInfo &node, Results results);
/// All results have the rank of operand 0.
void rankOfFirst(const NodeInfo &node, Results results);
/// The numpy broadcast of all operands.
void broadcastAll(const NodeInfo &node, Results results);
/// Rank 0.
void scalar(const NodeInfo &node, Results results);
/// Rank 1, unknown extent.
void vector(const NodeInfo &node, Results results);

} // namespace lathe::shape

namespace lathe::check {

/// "axis 7 is outside [-3, 3)" if it is.
std::string isInRange(const char *what, int64_t axis, int64_t extent);
/// The same for attribute `axis` and the rank of operand 0.
std::string axis(const NodeInfo &node);
/// "operand 0 has rank 1, wanted is 2 or more" if it has.
std::string rankAtLeast(const NodeInfo &node, int64_t rank);
/// The operand that does not broadcast to the last dims of operand 0.
std::string broadcastsToFirst(const NodeInfo &node, unsigned operand);
/// The operand that is no vector with an entry per channel (dim 1) of operand
/// 0.
std::string perChannel(const NodeInfo &node, unsigned operand);
/// Static extents of the operands that do not broadcast.
std::string broadcasts(const NodeInfo &node);

} // namespace lathe::check

#endif // LATHE_LIB_IMPORT_OPS_SHAPERULES_H
