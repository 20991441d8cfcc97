//===- LoadModel.cpp - model files to modules ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Driver.h"
#include "lathe/Import/OnnxImporter.h"
#include "lathe/InitAllDialects.h"
#include "lathe/Raise/Pipelines.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace lathe;

std::unique_ptr<MLIRContext> lathe::makeContext() {
  DialectRegistry registry;
  registerAllDialects(registry);
  auto context = std::make_unique<MLIRContext>(
      registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

namespace {

/// Collects errors of a scope as text instead of printing them.
class ErrorCollector {
public:
  explicit ErrorCollector(MLIRContext &context)
      : handler(&context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
            return success();
          lines.push_back(diagnostic.str());
          return success();
        }) {}

  llvm::Error take(StringRef file) {
    std::string text = file.str() + ": ";
    if (lines.size() == 1)
      return llvm::createStringError(text + lines[0]);
    text += std::to_string(lines.size()) + " problems";
    for (const std::string &line : llvm::ArrayRef(lines).take_front(20))
      text += "\n  " + line;
    return llvm::createStringError(text);
  }

private:
  std::vector<std::string> lines;
  ScopedDiagnosticHandler handler;
};

} // namespace

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
    auto imported = importOnnx(path, context, import);
    if (!imported)
      return imported.takeError();
    module = std::move(*imported);
    PassManager manager(&context, ModuleOp::getOperationName());
    if (options.level == Level::Raised)
      buildRaisePipeline(manager);
    else if (options.level == Level::Structure)
      buildStructurePipeline(manager);
    if (failed(manager.run(*module)))
      return errors.take(path);
  } else {
    if (!llvm::sys::fs::exists(path))
      return llvm::createStringError(path + ": no such file");
    module = parseSourceFile<ModuleOp>(path, ParserConfig(&context));
    if (!module)
      return errors.take(path);
  }
  if (options.pipeline.empty())
    return module;
  std::string problem;
  if (failed(applyPipeline(*module, options.pipeline, problem)))
    return problem.empty()
               ? errors.take(path)
               : llvm::createStringError("--pipeline: " + problem);
  return module;
}
