//===- LowerStagePass.cpp - a stage as linalg and kernel calls ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/CompileStage.h"
#include "lathe/Lower/Passes.h"
#include "lathe/Lower/StagePipeline.h"

namespace lathe {
#define GEN_PASS_DEF_LOWERSTAGEPASS
#include "lathe/Lower/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
class LowerStagePass : public lathe::impl::LowerStagePassBase<LowerStagePass> {
public:
  using Base::Base;

  void getDependentDialects(DialectRegistry &registry) const override {
    registerLoweringDialects(registry);
  }

  void runOnOperation() override {
    llvm::Expected<CpuTarget> target = CpuTarget::parse(cpu);
    if (!target) {
      getOperation().emitError(llvm::toString(target.takeError()));
      return signalPassFailure();
    }
    if (failed(lowerStage(getOperation(), *target)))
      signalPassFailure();
  }
};
} // namespace
