//===- LoadModel.cpp - model files to modules ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Driver.h"
#include "lathe/Driver/ErrorCollector.h"
#include "lathe/Import/OnnxImporter.h"
#include "lathe/InitAllDialects.h"
#include "lathe/Lower/StagePipeline.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace lathe;

std::unique_ptr<MLIRContext> lathe::makeContext() {
  DialectRegistry registry;
  lathe::registerAllDialects(registry);
  registerLoweringDialects(registry);
  auto context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

static LogicalResult applyPipeline(ModuleOp module, StringRef text,
                                   std::string &problem) {
  PassManager manager(module.getContext(), ModuleOp::getOperationName());
  llvm::raw_string_ostream errors(problem);
  if (failed(parsePassPipeline(text, manager, errors)))
    return failure();
  return manager.run(module);
}

llvm::Expected<OwningOpRef<ModuleOp>>
lathe::loadModel(MLIRContext &context, StringRef path,
                 const LoadOptions &options) {
  ErrorCollector errors(context);
  OwningOpRef<ModuleOp> module;
  if (path.ends_with(".onnx")) {
    ImportOptions import;
    if (!options.externalDataRoot.empty())
      import.externalDataRoots.push_back(options.externalDataRoot);
    Problems problems(path);
    module = importOnnx(path, &context, import, problems);
    problems.printNotes(llvm::errs());
    if (!module)
      return problems.toError();
    PassManager manager(&context, ModuleOp::getOperationName());
    raisePipeline(manager, options.level);
    if (failed(manager.run(*module)))
      return errors.take((path + ": ").str());
  } else {
    if (!llvm::sys::fs::exists(path))
      return llvm::createStringError(path + ": no such file");
    module = parseSourceFile<ModuleOp>(path, ParserConfig(&context));
    if (!module)
      return errors.take((path + ": ").str());
  }
  if (options.pipeline.empty())
    return module;
  std::string problem;
  if (failed(applyPipeline(*module, options.pipeline, problem)))
    return problem.empty() ? errors.take((path + ": ").str())
                           : llvm::createStringError("--pipeline: " + problem);
  errors.printWarnings(llvm::errs());
  return module;
}
