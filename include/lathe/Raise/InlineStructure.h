//===- InlineStructure.h - the structure level undone -----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Blocks and sub-layers as the operations that they stand for: what lowering
/// starts with.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_INLINESTRUCTURE_H
#define LATHE_RAISE_INLINESTRUCTURE_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"

namespace lathe {

/// Replaces every `lathe.block` of `function` by what it holds.
void inlineBlocks(mlir::func::FuncOp function);

/// Builds what `sublayer` computes: its body, the residual add (an ONNX Add)
/// and `post`. `map` has its operands and gets its results; `cloneOp` builds
/// one operation of its regions, with the operands that `map` gives.
void cloneSublayer(mlir::OpBuilder &builder, SublayerOp sublayer,
                   mlir::IRMapping &map,
                   llvm::function_ref<void(mlir::Operation &)> cloneOp);

/// Replaces every block and sub-layer of `function` by what it computes. Gates
/// (`skip`) are lost: every sub-layer runs.
void inlineStructure(mlir::func::FuncOp function);

} // namespace lathe

#endif // LATHE_RAISE_INLINESTRUCTURE_H
