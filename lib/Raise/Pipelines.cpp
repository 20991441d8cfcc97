//===- Pipelines.cpp - levels of a model ----------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Raise/Pipelines.h"
#include "lathe/Raise/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

using namespace mlir;
using namespace lathe;

StringRef lathe::getName(ModelLevel level) {
  switch (level) {
  case ModelLevel::Imported:
    return "imported";
  case ModelLevel::Raised:
    return "raised";
  case ModelLevel::Structure:
    return "structure";
  }
  llvm_unreachable("no other level");
}

std::optional<ModelLevel> lathe::parseModelLevel(StringRef name) {
  for (ModelLevel level :
       {ModelLevel::Imported, ModelLevel::Raised, ModelLevel::Structure})
    if (getName(level) == name)
      return level;
  return std::nullopt;
}

void lathe::raisePipeline(OpPassManager &manager, ModelLevel level) {
  if (level == ModelLevel::Imported)
    return;
  manager.addNestedPass<func::FuncOp>(createRefineShapes());
  manager.addPass(createRaiseNorm());
  manager.addPass(createRaiseActivation());
  manager.addPass(createRaiseLinear());
  manager.addPass(createRaiseConv());
  manager.addPass(createRaiseRope());
  manager.addPass(createRaiseAttention());
  // Before, a look-up of a constant table is a closed form: rotary tables and
  // relative positions are.
  manager.addPass(createRaiseEmbedding());
  manager.addPass(createHoistRowOps());
  manager.addPass(createMaterializeIndexExprs());
  manager.addPass(createRaiseKvCache());
  if (level == ModelLevel::Raised) {
    manager.addPass(createSetLevel({"raised"}));
    return;
  }
  manager.addPass(createOutlineSublayers());
  manager.addPass(createSetLevel({"structure"}));
}

void lathe::registerRaisePipelines() {
  PassPipelineRegistration<>("lathe-raise",
                             "Takes an imported module to the raised level",
                             [](OpPassManager &manager) {
                               raisePipeline(manager, ModelLevel::Raised);
                             });
  PassPipelineRegistration<>("lathe-structure",
                             "Takes an imported module to the structure level",
                             [](OpPassManager &manager) {
                               raisePipeline(manager, ModelLevel::Structure);
                             });
}
