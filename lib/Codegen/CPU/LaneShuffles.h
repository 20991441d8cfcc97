//===- LaneShuffles.h - transposes and sums across lanes --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_CODEGEN_CPU_LANESHUFFLES_H
#define LATHE_LIB_CODEGEN_CPU_LANESHUFFLES_H

#include "lathe/Codegen/CPU/KernelBuilder.h"

namespace lathe {

/// Four columns of `lanes` rows: `load(row)` gives a row's four adjacent f32,
/// the results are the columns as vectors of `lanes`.
llvm::SmallVector<mlir::Value>
transposeFourColumns(KernelBuilder &b,
                     llvm::function_ref<mlir::Value(int64_t)> load);

/// The sums over the lanes of each of `vectors` (4 or 8 of them, with at least
/// as many lanes) as one vector, in their order.
mlir::Value sumLanesOfEach(KernelBuilder &b,
                           llvm::SmallVector<mlir::Value> vectors);

} // namespace lathe

#endif // LATHE_LIB_CODEGEN_CPU_LANESHUFFLES_H
