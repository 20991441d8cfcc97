//===- Sites.h - names of places in a model ---------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Sets the sites of typed operations once sub-layers are outlined.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_SITES_H
#define LATHE_LIB_RAISE_SITES_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// Names the sub-layers of block `index` (`blocks.N.attn`, `blocks.N.ffn`) and
/// what is in them by its role: q, k, v, qkv, o of attention; gate, up,
/// gate_up, down or fc1, fc2 of an FFN; norm, q_norm, k_norm, post_norm.
void nameSublayers(llvm::ArrayRef<SublayerOp> sublayers, int64_t index);

/// Names what is outside blocks: `embed`, `norm`, `head`, `stem`. A second one
/// gets a number.
void nameRest(mlir::Block &block);

/// Names the weights by the first site that uses them: `SITE`, `SITE.bias`,
/// `SITE.gamma`, `SITE.beta`.
void renameWeights(mlir::ModuleOp module);

} // namespace lathe

#endif // LATHE_LIB_RAISE_SITES_H
