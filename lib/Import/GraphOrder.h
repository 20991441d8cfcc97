//===- GraphOrder.h - Checks who produces what ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_GRAPHORDER_H
#define LATHE_LIB_IMPORT_GRAPHORDER_H

#include "lathe/Import/OnnxModel.h"

namespace lathe {

/// Checks that every name is produced once, that every operand is produced, and
/// before it is read. `outer` holds the names of inputs and initialisers.
/// Linear in the size of the graph, without recursion.
void checkOrder(llvm::ArrayRef<OnnxNode> nodes,
                const llvm::StringMap<std::string> &outer, Problems &problems);

} // namespace lathe

#endif // LATHE_LIB_IMPORT_GRAPHORDER_H
