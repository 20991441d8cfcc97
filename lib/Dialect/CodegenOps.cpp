//===- CodegenOps.cpp - operations of the lowering ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"

using namespace mlir;
using namespace lathe;

/// On tensors a kernel is pure; what it does to memrefs stays in order.
void KernelOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto add = [&](MemoryEffects::Effect *effect, OpOperand &operand) {
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(effect, &operand,
                           SideEffects::DefaultResource::get());
  };
  for (OpOperand &input : getInputsMutable())
    add(MemoryEffects::Read::get(), input);
  for (OpOperand &output : getOutputsMutable()) {
    if (getUpdates())
      add(MemoryEffects::Read::get(), output);
    add(MemoryEffects::Write::get(), output);
  }
}
