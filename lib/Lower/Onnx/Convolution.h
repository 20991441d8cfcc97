//===- Convolution.h - direct convolutions ----------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ONNX_CONVOLUTION_H
#define LATHE_LIB_LOWER_ONNX_CONVOLUTION_H

#include "Window.h"

namespace lathe {

/// x [N, C, spatial...] with weight [M, C / groups, kernel...]: the sums, in
/// the ONNX type `accumulator` (whose storage and compute types are one).
Tensor convolve(NodeLowering &n, const Tensor &x, const Tensor &weight,
                const Window &window, int64_t groups,
                llvm::ArrayRef<Poly> shape, mlir::Type accumulator);

/// The spatial extents of a convolution's weight; -1 where one is not constant.
llvm::SmallVector<int64_t> kernelShape(const Tensor &weight);

} // namespace lathe

#endif // LATHE_LIB_LOWER_ONNX_CONVOLUTION_H
