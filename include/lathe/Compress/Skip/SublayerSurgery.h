//===- SublayerSurgery.h - removing sub-layers ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The one way in which a sub-layer is removed, whichever method chose it.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_SKIP_SUBLAYERSURGERY_H
#define LATHE_COMPRESS_SKIP_SUBLAYERSURGERY_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/Report/Report.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <functional>

namespace lathe {

/// The sub-layers of the entry `name` in program order; none without it.
std::vector<SublayerOp> sublayersOf(mlir::ModuleOp model, llvm::StringRef name);

/// The sub-layers of the entry `plain` in program order.
std::vector<SublayerOp> plainSublayers(mlir::ModuleOp model);

/// Bytes of the weights that `sublayer` reads, as they are encoded.
int64_t weightBytes(SublayerOp sublayer);

/// Called on the row of each removed sub-layer before it is reported.
using AnnotateRow = std::function<void(ReportRow &)>;

/// Removes the sub-layers at `sites` from all entries of `model`, with their
/// weights and their KV slots, and records it under the name of `pass`: the
/// recorded pass is the `lathe-cut-sublayers` that does the same. Nothing is
/// changed when it fails; the one error says why:
///
/// * a site is no sub-layer, is removed already, or is named twice;
/// * nothing would be left;
/// * a further result of a sub-layer is read by an operation.
mlir::LogicalResult cutSublayers(mlir::ModuleOp model,
                                 llvm::ArrayRef<std::string> sites,
                                 llvm::StringRef pass,
                                 const AnnotateRow &annotate = nullptr);

/// Makes every sub-layer of `function` one that a stage runner can leave out,
/// without changing what is computed: results that are further results of
/// sub-layers (`present` tensors) are dropped, arguments stay, and the norms of
/// post-norm sub-layers move behind them.
void separateSublayers(mlir::func::FuncOp function);

} // namespace lathe

#endif // LATHE_COMPRESS_SKIP_SUBLAYERSURGERY_H
