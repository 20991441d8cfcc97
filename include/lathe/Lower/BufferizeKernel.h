//===- BufferizeKernel.h - lathe.kernel on buffers ---------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_BUFFERIZEKERNEL_H
#define LATHE_LOWER_BUFFERIZEKERNEL_H

#include "mlir/IR/DialectRegistry.h"

namespace lathe {

/// Makes `lathe.kernel` bufferizable: it becomes `func.call @callee(ctx,
/// buffers...)`, with casts between equivalent buffer types.
void registerKernelBufferization(mlir::DialectRegistry &registry);

} // namespace lathe

#endif // LATHE_LOWER_BUFFERIZEKERNEL_H
