//===- CompileStage.cpp - stages to object code ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/CompileStage.h"
#include "lathe/Lower/Passes.h"
#include "lathe/Lower/StagePipeline.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace lathe;

FailureOr<CompiledStage> lathe::compileStage(ModuleOp stage,
                                             const CpuTarget &target) {
  stage.getContext()->loadAllAvailableDialects();
  PassManager fusion(stage.getContext(), ModuleOp::getOperationName());
  fusion.addPass(createFuseEpilogues());
  if (failed(fusion.run(stage)))
    return failure();
  FailureOr<LoweredStage> lowered = lowerStage(stage, target);
  if (failed(lowered))
    return failure();
  CompiledStage result;
  result.functionName = lowered->function.getName().str();
  result.layouts = std::move(lowered->layouts);
  FailureOr<std::unique_ptr<llvm::MemoryBuffer>> object =
      compileLoweredStage(lowered->function, target);
  if (failed(object))
    return failure();
  result.object = std::move(*object);
  return result;
}
