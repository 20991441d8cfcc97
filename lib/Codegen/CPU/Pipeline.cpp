//===- Pipeline.cpp - from kernels to the LLVM dialect --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/Pipeline.h"
#include "lathe/Codegen/CPU/Passes.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace lathe;

void lathe::registerCpuCodegenDialects(DialectRegistry &registry) {
  registry.insert<affine::AffineDialect, arith::ArithDialect, func::FuncDialect,
                  LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect,
                  scf::SCFDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
}

void lathe::buildCpuToLLVMPipeline(OpPassManager &pm, const CpuTarget &target) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  // 16-bit floats are for storage: LLVM would call libraries between any two
  // operations on them.
  arith::ArithEmulateUnsupportedFloatsOptions floatOptions;
  floatOptions.sourceTypeStrs = {"bf16", "f16"};
  floatOptions.targetTypeStr = "f32";
  pm.addPass(arith::createArithEmulateUnsupportedFloats(floatOptions));
  ExpandMathOptions mathOptions;
  mathOptions.hasHalf = target.hasHalf;
  mathOptions.hasFma = target.hasFma;
  pm.addPass(createExpandMath(mathOptions));
  pm.addPass(createLowerForall());

  // Structured control flow and addressing.
  pm.addPass(createConvertVectorToSCFPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());

  // Each dialect to LLVM's.
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

namespace {
struct CpuPipelineOptions : public PassPipelineOptions<CpuPipelineOptions> {
  Option<std::string> target{*this, "target",
                             llvm::cl::desc("CPU level to compile for"),
                             llvm::cl::init("native")};
};
} // namespace

void lathe::registerCpuPipelines() {
  PassPipelineRegistration<CpuPipelineOptions>(
      "lathe-cpu-to-llvm", "Kernels on memrefs to the LLVM dialect",
      [](OpPassManager &pm, const CpuPipelineOptions &options) {
        llvm::Expected<CpuTarget> target = CpuTarget::parse(options.target);
        if (!target)
          llvm::report_fatal_error(target.takeError());
        buildCpuToLLVMPipeline(pm, *target);
      });
}
