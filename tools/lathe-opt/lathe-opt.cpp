//===- lathe-opt.cpp - mlir-opt on model files ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Implements `lathe-opt`: mlir-opt with Lathe's dialect and passes, which also
/// reads and writes ONNX files. What passes make is kept, so that all that is
/// printed can be read back: `-o F` gathers it in `F.weights`, output to the
/// terminal names the spill folder of the payload store.
///
//===----------------------------------------------------------------------===//

#include "lathe/Export/OnnxExporter.h"
#include "lathe/Import/OnnxImporter.h"
#include "lathe/InitAllDialects.h"
#include "lathe/InitAllPasses.h"
#include "lathe/Raise/Pipelines.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
namespace cl = llvm::cl;
namespace fs = llvm::sys::fs;

static cl::OptionCategory category("Options for .onnx files");
static cl::opt<lathe::ModelLevel>
    level("lathe-level", cl::desc("How far a .onnx input is taken"),
          cl::values(clEnumValN(lathe::ModelLevel::Imported, "imported",
                                "one operation per node"),
                     clEnumValN(lathe::ModelLevel::Raised, "raised",
                                "typed operations, index expressions, entries"),
                     clEnumValN(lathe::ModelLevel::Structure, "structure",
                                "sub-layers and blocks")),
          cl::init(lathe::ModelLevel::Structure), cl::cat(category));
static cl::list<std::string> externalDataRoots(
    "external-data-root",
    cl::desc("A further folder in which external data of the model may lie"),
    cl::value_desc("folder"), cl::cat(category));
static cl::opt<uint64_t> embedLimit(
    "onnx-embed-limit",
    cl::desc("Bytes of weights up to which a written .onnx file holds them "
             "itself; beyond, they go to FILE.data"),
    cl::value_desc("bytes"), cl::init(lathe::kEmbedLimit), cl::cat(category));

namespace {
/// Sets up the payload store of the context that mlir-opt makes.
struct ConfigurePayloads
    : DialectExtension<ConfigurePayloads, lathe::LatheDialect> {
  ConfigurePayloads(std::string folder, bool keepSpills)
      : folder(std::move(folder)), keepSpills(keepSpills) {}

  void apply(MLIRContext *, lathe::LatheDialect *dialect) const override {
    dialect->getPayloads().addSearchFolder(folder);
    if (keepSpills)
      dialect->getPayloads().keepSpills();
  }

  std::string folder;
  bool keepSpills;
};
} // namespace

static LogicalResult reportError(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return failure();
}

/// True if the command line asks for IR on the way, which may name payloads
/// that `-o` then moves.
static bool printsOnTheWay() {
  return llvm::any_of(cl::getRegisteredOptions(), [](const auto &option) {
    return option.first.starts_with("mlir-print-ir-") &&
           option.second->getNumOccurrences() > 0;
  });
}

/// Appends the pass that gathers new payloads in `file` to the pipeline of
/// `config`.
static void gatherPayloads(MlirOptMainConfig &config, std::string file) {
  MlirOptMainConfig inner = config;
  config.setPassPipelineSetupFn(
      [inner, file = std::move(file)](PassManager &pm) -> LogicalResult {
        if (failed(inner.setupPassPipeline(pm)))
          return failure();
        lathe::GatherPayloadsOptions options;
        options.file = file;
        pm.addPass(lathe::createGatherPayloads(options));
        return success();
      });
}

/// Runs `write` on a file that takes the name `path` only when it is complete,
/// so that input and output may be one file.
static LogicalResult
writeFile(llvm::StringRef path,
          llvm::function_ref<LogicalResult(llvm::raw_ostream &)> write) {
  fs::file_status status;
  bool special = !fs::status(path, status) && fs::exists(status) &&
                 status.type() != fs::file_type::regular_file;
  if (path == "-" || special) {
    std::string error;
    std::unique_ptr<llvm::ToolOutputFile> file = openOutputFile(path, &error);
    if (!file)
      return reportError(error);
    if (failed(write(file->os())))
      return failure();
    file->keep();
    return success();
  }

  auto file = fs::TempFile::create(path + ".%%%%%%%%.tmp");
  if (!file)
    return reportError(path + ": " + llvm::toString(file.takeError()));
  llvm::scope_exit discard([&] { llvm::consumeError(file->discard()); });
  llvm::raw_fd_ostream os(file->FD, /*shouldClose=*/false);
  if (failed(write(os)))
    return failure();
  os.flush();
  if (os.has_error()) {
    std::string reason = os.error().message();
    os.clear_error();
    return reportError(path + ": " + reason);
  }
  discard.release();
  if (llvm::Error error = file->keep(path))
    return reportError(path + ": " + llvm::toString(std::move(error)));
  return success();
}

/// A model file at the level that the command line asks for, as bytecode. The
/// context owns the payloads that were made on the way.
static std::unique_ptr<llvm::MemoryBuffer> readModel(llvm::StringRef path,
                                                     MLIRContext &context) {
  lathe::ImportOptions options;
  options.externalDataRoots = externalDataRoots;
  OwningOpRef<ModuleOp> module =
      lathe::importOnnx(path, &context, options, llvm::errs());
  if (!module)
    return nullptr;
  PassManager passes(&context);
  if (failed(applyPassManagerCLOptions(passes)))
    return nullptr;
  lathe::raisePipeline(passes, level);
  if (failed(passes.run(*module)))
    return nullptr;
  std::string bytecode;
  llvm::raw_string_ostream os(bytecode);
  if (failed(writeBytecodeToFile(*module, os)))
    return nullptr;
  return llvm::MemoryBuffer::getMemBufferCopy(bytecode, path);
}

/// Writes the module in `bytecode` to the ONNX file `output`.
static LogicalResult writeOnnx(llvm::StringRef bytecode, llvm::StringRef input,
                               llvm::StringRef output,
                               const DialectRegistry &registry) {
  MLIRContext context(registry);
  OwningOpRef<ModuleOp> module =
      parseSourceString<ModuleOp>(bytecode, ParserConfig(&context));
  if (!module)
    return failure();
  lathe::ExportOptions options;
  options.externalDataRoots = externalDataRoots;
  options.searchFolder = llvm::sys::path::parent_path(input).str();
  options.embedLimit = embedLimit;
  if (llvm::Error error = lathe::exportOnnx(*module, output, options))
    return reportError(llvm::toString(std::move(error)));
  return success();
}

/// Runs the pipeline and writes what it makes to an ONNX file. The module goes
/// through bytecode, with new payloads beside it until they are in the file.
static LogicalResult optimizeToOnnx(llvm::StringRef input,
                                    llvm::StringRef output,
                                    std::unique_ptr<llvm::MemoryBuffer> file,
                                    DialectRegistry &registry,
                                    MlirOptMainConfig config) {
  if (!config.inputSplitMarker().empty())
    return reportError(output + ": --split-input-file makes several modules, "
                                "an ONNX file holds one");
  SmallString<128> payloads;
  if (std::error_code error =
          fs::createUniqueFile(output + ".%%%%%%%%.weights.tmp", payloads))
    return reportError(output + ": " + error.message());
  llvm::scope_exit remove([&] { fs::remove(payloads); });
  gatherPayloads(config, payloads.str().str());
  config.emitBytecode(true);
  std::string bytecode;
  llvm::raw_string_ostream os(bytecode);
  if (failed(MlirOptMain(os, std::move(file), registry, config)))
    return failure();
  return writeOnnx(bytecode, input, output, registry);
}

static LogicalResult optimize(llvm::StringRef input, llvm::StringRef output,
                              DialectRegistry &registry) {
  auto config = MlirOptMainConfig::createFromCLOptions();
  if (config.shouldShowDialects()) {
    llvm::outs() << "Available Dialects: ";
    llvm::interleave(registry.getDialectNames(), llvm::outs(), ",");
    llvm::outs() << "\n";
    return success();
  }
  if (config.shouldListPasses()) {
    printRegisteredPasses();
    return success();
  }

  llvm::StringRef suffix = llvm::sys::path::extension(output);
  if (suffix == ".mlirbc")
    config.emitBytecode(true);
  bool toFile = output != "-";
  bool toOnnx = suffix == ".onnx";
  if (toFile && !toOnnx)
    gatherPayloads(config, (output + ".weights").str());
  registry.addExtension(TypeID::get<ConfigurePayloads>(),
                        std::make_unique<ConfigurePayloads>(
                            llvm::sys::path::parent_path(input).str(),
                            /*keepSpills=*/!toFile || printsOnTheWay()));

  // Outlives the run, whose IR names payloads of this context.
  MLIRContext importContext(registry);
  std::unique_ptr<llvm::MemoryBuffer> file;
  if (llvm::sys::path::extension(input) == ".onnx") {
    file = readModel(input, importContext);
    if (!file)
      return failure();
  } else {
    std::string error;
    file = openInputFile(input, &error);
    if (!file)
      return reportError(error);
  }
  if (toOnnx)
    return optimizeToOnnx(input, output, std::move(file), registry, config);
  return writeFile(output, [&](llvm::raw_ostream &os) {
    return MlirOptMain(os, std::move(file), registry, config);
  });
}

static void printVersion(llvm::raw_ostream &os) {
  os << "Lathe " LATHE_VERSION " on LLVM " LLVM_VERSION_STRING "\n";
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg(
      "This is a bug in Lathe. Please report it with the input file, the "
      "command line and what stands below.\n");
  cl::SetVersionPrinter(printVersion);

  DialectRegistry registry;
  lathe::registerAllDialects(registry);
  lathe::registerAllPasses();
  auto [input, output] = registerAndParseCLIOptions(
      argc, argv, "mlir-opt on model files\n", registry);
  return failed(optimize(input, output, registry));
}
