//===- FuseSiblings.h - linears of one value become one ---------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_FUSE_FUSESIBLINGS_H
#define LATHE_COMPRESS_FUSE_FUSESIBLINGS_H

#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// What `lathe-fuse-siblings` does (see its documentation), with report rows
/// under the name `pass`. The results of the model stay the same bit for bit;
/// the sites of single linears go.
void fuseSiblings(mlir::ModuleOp model, llvm::StringRef pass);

} // namespace lathe

#endif // LATHE_COMPRESS_FUSE_FUSESIBLINGS_H
