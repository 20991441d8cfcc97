//===- Command.cpp - what the commands of lathe share ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "lathe/Driver/Recipe.h"
#include "lathe/Driver/StageCache.h"
#include "mlir/Bytecode/BytecodeWriter.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <cstdlib>

using namespace lathe;
using namespace lathe::cli;

ModelOptions cli::options;

namespace cl = llvm::cl;

/// Commands that compile a model, and those that take one.
#define COMPILING_COMMANDS                                                     \
  cl::sub(subCommand("run")), cl::sub(subCommand("compare")),                  \
      cl::sub(subCommand("eval")), cl::sub(subCommand("generate")),            \
      cl::sub(subCommand("bench")), cl::sub(subCommand("compile")),            \
      cl::sub(subCommand("calibrate")), cl::sub(subCommand("compress")),       \
      cl::sub(subCommand("report"))
#define EVERY_COMMAND cl::sub(subCommand("inspect")), COMPILING_COMMANDS

static cl::opt<std::string, true> modelOption(cl::Positional, cl::Required,
                                              cl::desc("MODEL"),
                                              cl::location(options.model),
                                              EVERY_COMMAND);
static cl::list<std::string, std::vector<std::string>>
    dimOption("dim", cl::CommaSeparated, cl::value_desc("name=value,..."),
              cl::desc("Values of named dims"), cl::location(options.dims),
              EVERY_COMMAND);
static cl::list<std::string, std::vector<std::string>>
    shapeOption("shape", cl::CommaSeparated, cl::value_desc("input=AxBxC,..."),
                cl::desc("Shapes of inputs"), cl::location(options.shapes),
                EVERY_COMMAND);
static cl::opt<std::string, true> externalDataOption(
    "external-data-root", cl::value_desc("DIR"),
    cl::desc("A further folder in which the model's external data may lie"),
    cl::location(options.externalDataRoot), EVERY_COMMAND);
// The variable is how every part of the compiler knows the folder.
static cl::opt<std::string> cacheOption(
    "cache-dir", cl::value_desc("DIR"),
    cl::desc("Where payloads that passes make and compiled stages are "
             "kept (default: $LATHE_CACHE_DIR, else the user's "
             "cache folder)"),
    cl::callback([](const std::string &folder) {
      setenv("LATHE_CACHE_DIR", folder.c_str(), /*overwrite=*/1);
    }),
    EVERY_COMMAND);
static cl::opt<bool, true>
    noCacheOption("no-cache", cl::desc("Compile every stage, and keep none"),
                  cl::location(options.noCache), COMPILING_COMMANDS);
static cl::opt<std::string, true>
    pipelineOption("pipeline", cl::value_desc("PASS{options},..."),
                   cl::desc("Passes applied to the model first"),
                   cl::location(options.pipeline), EVERY_COMMAND);
static cl::opt<std::string, true>
    recipeOption("recipe", cl::value_desc("F.yaml"),
                 cl::desc("A recipe file instead of --pipeline"),
                 cl::location(options.recipe), EVERY_COMMAND);
static cl::opt<std::string, true>
    precisionOption("precision", cl::value_desc("f32|bf16|f16"),
                    cl::desc("Type of weights and products, applied last"),
                    cl::location(options.precision), EVERY_COMMAND);
static cl::opt<std::string, true>
    cpuOption("mcpu", cl::value_desc("native|avx512bf16|avx512|avx2|scalar"),
              cl::desc("CPU level to compile for, or to take of a compiled "
                       "folder; `compile` takes a list, or `all`"),
              cl::location(options.cpu), EVERY_COMMAND);
static cl::opt<unsigned, true>
    threadsOption("threads", cl::value_desc("N"),
                  cl::desc("Threads (default: all cores)"),
                  cl::location(options.threads), EVERY_COMMAND,
                  cl::sub(subCommand("doctor")));
static cl::opt<bool, true> jsonOption("json",
                                      cl::desc("One JSON object on stdout"),
                                      cl::location(options.json), EVERY_COMMAND,
                                      cl::sub(subCommand("doctor")),
                                      cl::sub(subCommand("profile")));

llvm::Error cli::toError(rt::Status status) {
  return status.failed() ? llvm::createStringError(status.message())
                         : llvm::Error::success();
}

void cli::printJson(llvm::json::Object object) {
  llvm::outs() << llvm::formatv("{0:2}\n",
                                llvm::json::Value(std::move(object)));
}

void cli::note(const llvm::Twine &text) {
  llvm::errs() << "note: " << text << "\n";
}

//===----------------------------------------------------------------------===//
// Dims
//===----------------------------------------------------------------------===//

llvm::Expected<rt::DimValues> cli::namedDims() {
  rt::DimValues values;
  for (llvm::StringRef text : options.dims) {
    auto [name, number] = text.rsplit('=');
    int64_t value;
    if (name.empty() || number.getAsInteger(10, value) || value < 0)
      return llvm::createStringError("--dim: '" + text + "' is not name=value");
    values.emplace_back(name.str(), value);
  }
  return values;
}

llvm::Expected<rt::DimValues> cli::dimValues(const rt::Entry &entry) {
  auto values = namedDims();
  if (!values)
    return values.takeError();
  for (llvm::StringRef text : options.shapes) {
    llvm::StringRef name, extents;
    std::tie(name, extents) = text.rsplit('=');
    auto input = llvm::find_if(entry.inputs, [&](const rt::ValueDecl &decl) {
      return decl.name == name;
    });
    if (input == entry.inputs.end())
      return llvm::createStringError("--shape: the model has no input '" +
                                     name + "'");
    llvm::SmallVector<llvm::StringRef> numbers;
    extents.split(numbers, 'x');
    if (numbers.size() != input->shape.size())
      return llvm::createStringError("--shape: input '" + name + "' has rank " +
                                     llvm::Twine(input->shape.size()));
    for (auto [number, expr] : llvm::zip(numbers, input->shape)) {
      int64_t value;
      if (number.getAsInteger(10, value) || value < 0)
        return llvm::createStringError("--shape: '" + text +
                                       "' is not input=AxBxC");
      if (expr.kind == rt::Expr::Kind::Dim)
        values->emplace_back(expr.name, value);
      else if (expr.kind == rt::Expr::Kind::Constant && expr.value != value)
        return llvm::createStringError("--shape: input '" + name + "' has " +
                                       llvm::Twine(expr.value) + " where '" +
                                       text + "' says " + number);
    }
  }
  return values;
}

//===----------------------------------------------------------------------===//
// Models and programs
//===----------------------------------------------------------------------===//

/// Appends what `--precision` asks for to `pipeline`.
static llvm::Error addPrecision(std::string &pipeline) {
  if (options.precision == "f32")
    return llvm::Error::success();
  if (options.precision != "bf16" && options.precision != "f16")
    return llvm::createStringError("--precision: '" + options.precision +
                                   "' is not f32, bf16 or f16");
  if (!pipeline.empty())
    pipeline += ",";
  pipeline += "lathe-convert-precision{to=" + options.precision + "}";
  return llvm::Error::success();
}

llvm::Expected<Model> cli::loadModel() {
  Model model;
  if (llvm::sys::fs::is_directory(options.model)) {
    if (!options.pipeline.empty() || !options.recipe.empty() ||
        options.precision != "f32")
      return llvm::createStringError(
          options.model + ": passes need a model file; this is compiled");
    model.folder = options.model;
    return model;
  }
  model.context = makeContext();
  LoadOptions load;
  load.externalDataRoot = options.externalDataRoot;
  load.pipeline = options.pipeline;
  if (!options.recipe.empty()) {
    if (!options.pipeline.empty())
      return llvm::createStringError("--pipeline and --recipe exclude each "
                                     "other");
    auto pipeline = readRecipe(options.recipe);
    if (!pipeline)
      return pipeline.takeError();
    load.pipeline = std::move(*pipeline);
  }
  if (llvm::Error error = addPrecision(load.pipeline))
    return std::move(error);
  auto module = lathe::loadModel(*model.context, options.model, load);
  if (!module)
    return module.takeError();
  model.module = std::move(*module);
  return model;
}

static double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

/// The entries of `wanted` that `module` has; all when none are wanted.
static std::vector<std::string>
presentEntries(mlir::ModuleOp module, std::vector<std::string> wanted) {
  llvm::erase_if(wanted, [&](const std::string &name) {
    return !module.lookupSymbol<mlir::func::FuncOp>(name);
  });
  return wanted;
}

llvm::Expected<CpuTarget> cli::runnableTarget() {
  auto targets = CpuTarget::parseList(options.cpu);
  if (!targets)
    return targets.takeError();
  if (targets->size() != 1)
    return llvm::createStringError("--mcpu: '" + options.cpu +
                                   "' are several levels; one is run, only "
                                   "`lathe compile` takes a list");
  CpuTarget target = targets->front();
  std::vector<std::string> levels = rt::cpuLevels();
  if (!llvm::is_contained(levels, target.name()))
    return llvm::createStringError(
        "--mcpu: this machine cannot run code of level '" + target.name() +
        "', but of " + llvm::join(levels, ", "));
  return target;
}

CompileOptions cli::compileOptions(std::vector<CpuTarget> targets) {
  CompileOptions compile;
  compile.targets = std::move(targets);
  compile.threads = options.threads;
  if (!options.noCache)
    compile.cacheFolder = StageCache::defaultFolder();
  return compile;
}

llvm::Expected<LoadedProgram>
cli::compileProgram(Model model, std::vector<std::string> entries) {
  LoadedProgram result;
  auto start = std::chrono::steady_clock::now();
  auto target = runnableTarget();
  if (!target)
    return target.takeError();
  CompileOptions compile = compileOptions({*target});
  compile.entries = presentEntries(*model.module, entries);
  if (!entries.empty() && compile.entries.empty())
    return llvm::createStringError(options.model + ": has no entry '" +
                                   llvm::join(entries, "' or '") + "'");
  auto compiled = compileModel(*model.module, compile);
  if (!compiled)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(compiled.takeError()));
  result.compileSeconds = secondsSince(start);
  start = std::chrono::steady_clock::now();
  auto program = loadInMemory(std::move(*compiled), getPayloads(*model.module));
  if (!program)
    return program.takeError();
  result.program = *program;
  result.loadSeconds = secondsSince(start);
  result.model = std::move(model);
  return result;
}

llvm::Expected<LoadedProgram>
cli::loadProgram(std::vector<std::string> entries) {
  auto start = std::chrono::steady_clock::now();
  auto model = loadModel();
  if (!model)
    return model.takeError();
  double seconds = secondsSince(start);
  if (model->folder.empty()) {
    auto result = compileProgram(std::move(*model), std::move(entries));
    if (result)
      result->compileSeconds += seconds;
    return result;
  }
  LoadedProgram result;
  rt::Program::LoadOptions load;
  load.level = options.cpu;
  auto program = rt::Program::load(model->folder, load);
  if (program.failed())
    return llvm::createStringError(program.message());
  result.program = *program;
  result.loadSeconds = secondsSince(start);
  result.model = std::move(*model);
  return result;
}
