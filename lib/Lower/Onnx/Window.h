//===- Window.h - sliding windows over spatial dims -------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ONNX_WINDOW_H
#define LATHE_LIB_LOWER_ONNX_WINDOW_H

#include "NodeLowering.h"

namespace lathe {

/// The window of a convolution or a pool: one entry per spatial dim.
struct Window {
  llvm::SmallVector<int64_t> kernel, strides, dilations;
  /// What is skipped in front; behind, it follows from the result's extent.
  llvm::SmallVector<Poly> before, after;

  unsigned rank() const { return kernel.size(); }
};

/// Reads strides, dilations, pads and auto_pad of a node whose input `x` is
/// [N, C, spatial...] and whose result has shape `result`.
mlir::FailureOr<Window> getWindow(NodeLowering &n, const Tensor &x,
                                  llvm::ArrayRef<int64_t> kernel,
                                  llvm::ArrayRef<Poly> result);

/// The part of a window in [first, end) that lies inside [0, extent), for the
/// window that starts at `start` (which may be negative).
struct WindowRange {
  mlir::Value first, end;
};
WindowRange clipWindow(Scalars &s, mlir::Value start, int64_t kernel,
                       int64_t dilation, mlir::Value extent);

/// ceil(a / b) and floor(a / b) for any a and positive b.
mlir::Value ceilDiv(Scalars &s, mlir::Value a, int64_t b);
mlir::Value floorDiv(Scalars &s, mlir::Value a, int64_t b);

} // namespace lathe

#endif // LATHE_LIB_LOWER_ONNX_WINDOW_H
