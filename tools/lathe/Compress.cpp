//===- Compress.cpp - lathe compress --------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Compress.h"
#include "Command.h"
#include "Progress.h"
#include "lathe/Dialect/Passes.h"
#include "lathe/Runtime/File.h"
#include "lathe/Runtime/Npz.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace lathe;
using namespace lathe::cli;
namespace json = llvm::json;
namespace cl = llvm::cl;
namespace fs = llvm::sys::fs;

#define COMPRESS cl::sub(subCommand("compress"))
static cl::opt<std::string> dataOption("data", cl::Required,
                                       cl::value_desc("D.npz"),
                                       cl::desc("Inputs by name, and y"),
                                       COMPRESS);
static cl::opt<std::string>
    budgetOption("budget", cl::Required,
                 cl::value_desc("size=0.5|latency=0.6|loss=0.01"),
                 cl::desc("What may be left of the bytes of weights or of the "
                          "time, or what may be lost: bits per token, or share "
                          "of items"),
                 COMPRESS);
static cl::opt<std::string>
    methodsOption("methods", cl::init("lathe-finercut,lathe-shortgpt"),
                  cl::value_desc("PASS{options},..."),
                  cl::desc("Methods to try"), COMPRESS);
static cl::opt<std::string>
    outputOption("o", cl::Required, cl::value_desc("OUT"),
                 cl::desc("Folder for the best model, the recipes, the table "
                          "and the picture"),
                 COMPRESS);
static cl::opt<int64_t> limitOption("limit", cl::init(0), cl::value_desc("N"),
                                    cl::desc("Items at most"), COMPRESS);
static cl::opt<int64_t> seqOption("seq", cl::init(0), cl::value_desc("N"),
                                  cl::desc("Positions of an item at most"),
                                  COMPRESS);

static std::string inFolder(llvm::StringRef folder, const llvm::Twine &name) {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path, name);
  return path.str().str();
}

static llvm::Error writeText(const std::string &path, const std::string &text) {
  return toError(rt::writeFile(path, text));
}

/// Name of the recipe of point `index`.
static std::string recipeName(size_t index) {
  return llvm::formatv("recipe-{0,0+3}.yaml", index).str();
}

/// Applies the point's passes to the model and writes it as bytecode.
static llvm::Error writeModel(mlir::ModuleOp model, const CompressPoint &point,
                              const std::string &path) {
  mlir::PassManager manager(model.getContext(),
                            mlir::ModuleOp::getOperationName());
  std::string text = point.pipeline(), problem, bytes;
  llvm::raw_string_ostream errors(problem);
  if (!text.empty() && failed(mlir::parsePassPipeline(text, manager, errors)))
    return llvm::createStringError(problem);
  GatherPayloadsOptions gather;
  gather.file = path + ".weights";
  manager.addPass(createGatherPayloads(gather));
  if (failed(manager.run(model)))
    return llvm::createStringError("the best recipe cannot be applied");
  llvm::raw_string_ostream out(bytes);
  if (failed(mlir::writeBytecodeToFile(model, out)))
    return llvm::createStringError(path + ": cannot be written");
  return writeText(path, bytes);
}

static json::Array pointsJson(const CompressResult &result) {
  json::Array points;
  for (auto [index, point] : llvm::enumerate(result.points))
    points.push_back(json::Object{{"recipe", recipeName(index)},
                                  {"method", point.method},
                                  {"size", point.size},
                                  {"latency", point.latency},
                                  {"loss", point.loss},
                                  {"pareto", point.isPareto}});
  return points;
}

static llvm::Error writeResult(mlir::ModuleOp model,
                               const CompressResult &result,
                               llvm::StringRef folder) {
  for (auto [index, point] : llvm::enumerate(result.points))
    if (llvm::Error error =
            writeText(inFolder(folder, recipeName(index)), point.recipe()))
      return error;
  const CompressPoint &best = result.points[result.best];
  if (llvm::Error error =
          writeText(inFolder(folder, "best.yaml"), best.recipe()))
    return error;
  if (llvm::Error error =
          writeText(inFolder(folder, "pareto.txt"), paretoTable(result)))
    return error;
  if (llvm::Error error =
          writeText(inFolder(folder, "pareto.svg"), paretoPicture(result)))
    return error;
  return writeModel(model, best, inFolder(folder, "model.mlirbc"));
}

llvm::Error cli::runCompress() {
  auto budget = CompressBudget::parse(budgetOption);
  if (!budget)
    return budget.takeError();
  auto model = loadModel();
  if (!model)
    return model.takeError();
  if (!model->module)
    return llvm::createStringError(
        options.model + ": compression needs a model file; this is compiled");
  auto target = runnableTarget();
  if (!target)
    return target.takeError();
  auto data = toExpected(rt::readTensors(dataOption));
  if (!data)
    return data.takeError();
  std::string folder = outputOption;
  if (std::error_code error = fs::create_directories(folder))
    return llvm::createStringError(folder + ": " + error.message());
  ProgressLine line(llvm::errs().is_displayed() && !options.json);
  CalibrateOptions calibrate;
  calibrate.passes = methodsOption;
  calibrate.compile = compileOptions({*target});
  calibrate.run.limit = limitOption;
  calibrate.run.positions = seqOption;
  calibrate.output = inFolder(folder, "model.profile");
  calibrate.progress = [&](llvm::StringRef what, double share) {
    line.show(what, share);
  };
  calibrate.note = [](const llvm::Twine &text) { note(text); };
  auto result = searchCompression(*model->module, *data, calibrate, *budget);
  if (!result)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(result.takeError()));
  if (llvm::Error error = writeResult(*model->module, *result, folder))
    return error;
  if (options.json)
    printJson(json::Object{{"points", pointsJson(*result)},
                           {"best", int64_t(result->best)},
                           {"loss_unit", result->lossUnit}});
  else
    llvm::outs() << paretoTable(*result);
  return llvm::Error::success();
}
