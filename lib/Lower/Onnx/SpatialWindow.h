//===- SpatialWindow.h - windows over spatial dims ---*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ONNX_SPATIALWINDOW_H
#define LATHE_LIB_LOWER_ONNX_SPATIALWINDOW_H

#include "NodeLowering.h"

namespace lathe {

/// The window of a convolution or pooling along each spatial dim.
struct SpatialWindow {
  llvm::SmallVector<int64_t> kernel, strides, dilations;
  /// Elements added before each dim; may depend on dims with auto_pad.
  llvm::SmallVector<Poly> padBefore;

  unsigned rank() const { return kernel.size(); }

  /// Reads kernel, strides, dilations and pads of `n`; `kernel` is the shape of
  /// the weight where the attribute is not written. `x` has the spatial dims
  /// from dim 2 on, `out` is the result's shape. Refuses lists of another
  /// length and sizes below 1.
  static mlir::FailureOr<SpatialWindow>
  get(NodeLowering &n, llvm::ArrayRef<Poly> x, llvm::ArrayRef<Poly> out,
      llvm::ArrayRef<int64_t> kernel);

  /// Loops over the window of the output position `out` (spatial coordinates)
  /// that carry `inits`. `body` gets the input position, the position in the
  /// kernel and the carried values, and is skipped outside of `extents`.
  llvm::SmallVector<mlir::Value>
  loop(Scalars &s, NodeLowering &n, llvm::ArrayRef<Poly> extents,
       mlir::ValueRange out, mlir::ValueRange inits,
       llvm::function_ref<llvm::SmallVector<mlir::Value>(
           mlir::ValueRange input, mlir::ValueRange tap, mlir::ValueRange)>
           body) const;
};

} // namespace lathe

#endif // LATHE_LIB_LOWER_ONNX_SPATIALWINDOW_H
