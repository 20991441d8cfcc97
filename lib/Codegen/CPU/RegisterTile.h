//===- RegisterTile.h - the inner loop of matrix kernels --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_CODEGEN_CPU_REGISTERTILE_H
#define LATHE_LIB_CODEGEN_CPU_REGISTERTILE_H

#include "lathe/Codegen/CPU/KernelBuilder.h"

namespace lathe {

/// rows x (vectors * lanes) accumulators that stay in registers, with room for
/// one row of the right operand and one broadcast.
struct RegisterTile {
  int64_t rows = 6;
  int64_t vectors = 2;
  int64_t lanes = 8;

  explicit RegisterTile(const CpuTarget &target)
      : vectors(target.registers >= 32 ? 4 : 2), lanes(target.lanes) {}
  int64_t columns() const { return vectors * lanes; }
};

/// c[r][n] += left(r, k) * right(n, k) for k in [lower, upper), r in rows and n
/// in `count` vectors; `left` gives a scalar and `right` a vector. `sums` is
/// row by row. `unroll` steps of k per trip: it must divide upper - lower.
inline llvm::SmallVector<mlir::Value>
emitTile(KernelBuilder &b, int64_t rows, int64_t count, mlir::Value lower,
         mlir::Value upper, int64_t unroll, mlir::ValueRange sums,
         llvm::function_ref<mlir::Value(int64_t, mlir::Value)> left,
         llvm::function_ref<mlir::Value(int64_t, mlir::Value)> right) {
  return b.forRange(
      lower, upper, unroll, sums, [&](mlir::Value k0, mlir::ValueRange args) {
        llvm::SmallVector<mlir::Value> c(args.begin(), args.end());
        for (int64_t step = 0; step < unroll; ++step) {
          mlir::Value k = b.add(k0, step);
          llvm::SmallVector<mlir::Value> vectors;
          for (int64_t n = 0; n < count; ++n)
            vectors.push_back(right(n, k));
          for (int64_t r = 0; r < rows; ++r) {
            mlir::Value scalar = b.broadcast(left(r, k));
            for (int64_t n = 0; n < count; ++n)
              c[r * count + n] = b.fma(scalar, vectors[n], c[r * count + n]);
          }
        }
        return c;
      });
}

} // namespace lathe

#endif // LATHE_LIB_CODEGEN_CPU_REGISTERTILE_H
