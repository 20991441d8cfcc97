//===- lathe-translate.cpp - Translations into and out of MLIR ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "lathe/Import/OnnxImporter.h"
#include "lathe/Import/OpRegistry.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

namespace cl = llvm::cl;

namespace {
enum class Action { ImportOnnx, ToLLVMIR, PrintSupportedOps, PrintRegistry };

cl::OptionCategory category("lathe-translate options");
cl::opt<Action> action(
    cl::desc("What to do:"), cl::Required, cl::cat(category),
    cl::values(
        clEnumValN(Action::ImportOnnx, "import-onnx",
                   "read an ONNX model into the imported level"),
        clEnumValN(Action::ToLLVMIR, "mlir-to-llvmir",
                   "translate a module of the LLVM dialect into LLVM IR"),
        clEnumValN(Action::PrintSupportedOps, "print-supported-ops",
                   "print the operators that the importer reads, as Markdown"),
        clEnumValN(Action::PrintRegistry, "print-registry",
                   "print the operator table, one JSON object per line")));
cl::opt<std::string> input(cl::Positional, cl::desc("<file>"), cl::init("-"),
                           cl::cat(category));
cl::opt<std::string> output("o", cl::desc("Output file"),
                            cl::value_desc("file"), cl::init("-"),
                            cl::cat(category));
cl::list<std::string>
    externalDataRoots("external-data-root",
                      cl::desc("A further folder that may hold external data"),
                      cl::value_desc("folder"), cl::cat(category));
cl::opt<bool> printDebugInfo("mlir-print-debuginfo",
                             cl::desc("Print locations"), cl::cat(category));
} // namespace

static mlir::LogicalResult reportError(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return mlir::failure();
}

/// Opens the output when there is something to write, so that a failure leaves
/// an old file as it was.
static mlir::LogicalResult
write(llvm::function_ref<void(llvm::raw_ostream &)> print) {
  std::string error;
  std::unique_ptr<llvm::ToolOutputFile> file =
      mlir::openOutputFile(output, &error);
  if (!file)
    return reportError(error);
  print(file->os());
  file->keep();
  return mlir::success();
}

static mlir::LogicalResult importOnnx() {
  // The module refers to bytes in the model's file.
  if (llvm::sys::fs::equivalent(input.getValue(), output.getValue()))
    return reportError("the output would overwrite the model " +
                       lathe::quoteName(input));
  mlir::MLIRContext context;
  lathe::ImportOptions options;
  options.externalDataRoots = externalDataRoots;
  mlir::OwningOpRef<mlir::ModuleOp> module =
      lathe::importOnnx(input, &context, options, llvm::errs());
  if (!module || mlir::failed(mlir::verify(*module)))
    return mlir::failure();
  // What is printed names payloads that were written beside the model.
  lathe::getPayloads(*module).keepSpills();
  mlir::OpPrintingFlags flags;
  if (printDebugInfo)
    flags.enableDebugInfo();
  return write([&](llvm::raw_ostream &os) { module->print(os, flags); });
}

static mlir::LogicalResult toLLVMIR() {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  mlir::MLIRContext context(registry);
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> file = mlir::openInputFile(input, &error);
  if (!file)
    return reportError(error);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(file), llvm::SMLoc());
  mlir::SourceMgrDiagnosticHandler handler(sources, &context);
  mlir::OwningOpRef<mlir::Operation *> module =
      mlir::parseSourceFile(sources, &context);
  llvm::LLVMContext llvmContext;
  std::unique_ptr<llvm::Module> translated;
  if (module)
    translated = mlir::translateModuleToLLVMIR(*module, llvmContext);
  if (!translated)
    return mlir::failure();
  return write([&](llvm::raw_ostream &os) { translated->print(os, nullptr); });
}

static mlir::LogicalResult run() {
  const lathe::OpRegistry &registry = lathe::OpRegistry::get();
  switch (action) {
  case Action::ImportOnnx:
    return importOnnx();
  case Action::ToLLVMIR:
    return toLLVMIR();
  case Action::PrintSupportedOps:
    return write([&](llvm::raw_ostream &os) { registry.printMarkdown(os); });
  case Action::PrintRegistry:
    return write([&](llvm::raw_ostream &os) { registry.printJson(os); });
  }
  llvm_unreachable("all actions are handled");
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "Lathe's translations\n\n"
      "  lathe-translate --import-onnx model.onnx -o model.mlir\n");
  return mlir::succeeded(run()) ? 0 : 1;
}
