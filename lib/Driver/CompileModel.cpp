//===- CompileModel.cpp - stages to objects ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Fuse/FuseSiblings.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Driver/Driver.h"
#include "lathe/Driver/ErrorCollector.h"
#include "lathe/Driver/StageCache.h"
#include "lathe/Runtime/Abi.h"

#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ThreadPool.h"
#include <mutex>

using namespace mlir;
using namespace lathe;

namespace {

/// Outcome of one stage function.
struct Compiled {
  CompiledStage stage;
  bool failed = false;
  bool cached = false;
  std::vector<std::string> problems;
};

} // namespace

/// Compiles one function in a context of its own, so that functions can be
/// compiled at the same time.
static Compiled compileFunction(const StageFunction &function,
                                const CpuTarget &target) {
  Compiled result;
  std::unique_ptr<MLIRContext> context = makeContext();
  context->disableMultithreading();
  ErrorCollector errors(*context);
  ParserConfig config(context.get());
  auto module = parseSourceString<ModuleOp>(function.text, config);
  FailureOr<CompiledStage> stage = failure();
  if (module)
    stage = compileStage(*module, target);
  if (succeeded(stage))
    result.stage = std::move(*stage);
  else
    result.problems = errors.getLines();
  result.failed = failed(stage);
  return result;
}

/// The same, unless `cache` has the code.
static Compiled compileOrFind(const StageFunction &function,
                              const CpuTarget &target,
                              const StageCache &cache) {
  if (std::optional<CompiledStage> kept = cache.find(function, target)) {
    Compiled result;
    result.stage = std::move(*kept);
    result.cached = true;
    return result;
  }
  Compiled result = compileFunction(function, target);
  if (!result.failed)
    cache.add(function, target, result.stage);
  return result;
}

/// All functions of one level, as in ModelStages::functions.
using CompiledLevel = std::vector<Compiled>;

/// Compiles every function for every level.
static std::vector<CompiledLevel>
compileFunctions(const ModelStages &stages, const CompileOptions &options) {
  size_t functions = stages.functions.size();
  std::vector<CompiledLevel> levels(options.targets.size());
  StageCache cache(options.cacheFolder);
  unsigned done = 0;
  std::mutex progressMutex;
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(options.threads));
  for (auto [target, level] : llvm::zip_equal(options.targets, levels)) {
    level.resize(functions);
    for (size_t n = 0; n < functions; ++n)
      pool.async([&, n, target = &target, slot = &level[n]] {
        *slot = compileOrFind(stages.functions[n], *target, cache);
        if (!options.progress)
          return;
        std::lock_guard<std::mutex> lock(progressMutex);
        options.progress(++done, functions * levels.size());
      });
  }
  pool.wait();
  cache.prune();
  return levels;
}

/// The problems of `function` at the levels where it failed. What is wrong with
/// a stage is mostly wrong with it at all levels, and then said once.
static std::vector<std::string>
problemsOf(unsigned function, llvm::StringRef site,
           const std::vector<CompiledLevel> &levels,
           llvm::ArrayRef<CpuTarget> targets) {
  std::vector<std::string> lines;
  auto add = [&](std::string line) {
    if (!llvm::is_contained(lines, line))
      lines.push_back(std::move(line));
  };
  for (auto [level, target] : llvm::zip_equal(levels, targets)) {
    const Compiled &compiled = level[function];
    llvm::for_each(compiled.problems, add);
    if (compiled.failed && compiled.problems.empty())
      add(("stage '" + site + "': compilation for " + target.name() + " failed")
              .str());
  }
  return lines;
}

/// One error block for all functions that failed: their sites and reasons.
static llvm::Error joinErrors(const ModelStages &stages,
                              const std::vector<CompiledLevel> &levels,
                              llvm::ArrayRef<CpuTarget> targets) {
  std::vector<std::string> lines;
  std::vector<bool> seen(stages.functions.size());
  for (const EntryStages &entry : stages.entries)
    for (const StageRow &row : entry.rows) {
      if (seen[row.function])
        continue;
      seen[row.function] = true;
      llvm::append_range(lines,
                         problemsOf(row.function, row.site, levels, targets));
    }
  return lines.empty() ? llvm::Error::success() : problemBlock("", lines);
}

/// All levels must read one set of packed weights.
static llvm::Error checkLayouts(const ModelStages &stages,
                                const std::vector<CompiledLevel> &levels,
                                llvm::ArrayRef<CpuTarget> targets) {
  for (const EntryStages &entry : stages.entries)
    for (const StageRow &row : entry.rows)
      for (auto [level, target] : llvm::zip_equal(levels, targets))
        if (level[row.function].stage.layouts !=
            levels.front()[row.function].stage.layouts)
          return llvm::createStringError(
              "stage '" + row.site +
              "' reads its weights in other layouts at " + target.name() +
              " than at " + targets.front().name());
  return llvm::Error::success();
}

/// `name`, with a number behind it when it is taken already.
static std::string uniqueName(const std::string &name,
                              llvm::StringSet<> &taken) {
  std::string unique = name.empty() ? "part" : name;
  for (unsigned n = 1; !taken.insert(unique).second; ++n)
    unique = name + "." + std::to_string(n);
  return unique;
}

llvm::Expected<CompiledModel>
lathe::compileModel(ModuleOp model, const CompileOptions &options) {
  assert(!options.targets.empty() && "no CPU level to compile for");
  // On a copy: the model keeps the sites that reports and profiles name.
  OwningOpRef<ModuleOp> fused = model.clone();
  fuseSiblings(*fused, "lathe-fuse-siblings");
  auto stages = buildStages(*fused, options.entries);
  if (!stages)
    return stages.takeError();

  std::vector<CompiledLevel> levels = compileFunctions(*stages, options);
  if (llvm::Error error = joinErrors(*stages, levels, options.targets))
    return std::move(error);
  if (llvm::Error error = checkLayouts(*stages, levels, options.targets))
    return std::move(error);

  CompiledModel result;
  rt::Manifest &manifest = result.manifest;
  manifest.lathe = LATHE_VERSION;
  manifest.abi = LATHE_ABI_VERSION;
  manifest.target = "cpu";
  if (auto source = model->getAttrOfType<StringAttr>(LatheDialect::kSourceAttr))
    manifest.source = source.getValue().str();
  manifest.removed = removedSites(model);

  llvm::StringSet<> names;
  // A part read in two layouts is packed twice; equal requests share.
  std::map<std::pair<unsigned, PartLayout>, uint32_t> packed;
  for (EntryStages &entry : stages->entries) {
    for (StageRow &row : entry.rows) {
      const CompiledStage &code = levels.front()[row.function].stage;
      rt::Stage stage;
      stage.site = row.site;
      stage.function = stages->functions[row.function].name;
      stage.args = std::move(row.args);
      stage.outs = std::move(row.outs);
      stage.residual = row.residual;
      stage.macs = std::move(row.macs);
      stage.kind = std::move(row.kind);
      stage.skip = row.skip;
      for (auto [part, layout] : llvm::zip_equal(row.parts, code.layouts)) {
        auto [slot, isNew] =
            packed.try_emplace({part, layout}, result.parts.size());
        if (isNew) {
          result.parts.push_back({stages->parts[part], layout});
          rt::Part decl;
          decl.name = uniqueName(stages->parts[part].name, names);
          decl.rowsOnly = layout == PartLayout::Rows;
          manifest.parts.push_back(std::move(decl));
        }
        stage.parts.push_back(slot->second);
      }
      entry.entry.stages.push_back(std::move(stage));
    }
    manifest.entries.push_back(std::move(entry.entry));
  }
  for (auto [target, level] : llvm::zip_equal(options.targets, levels)) {
    CompiledModel::Library &library = result.libraries.emplace_back();
    library.level = target.name().str();
    for (Compiled &code : level) {
      library.objects.push_back(std::move(code.stage.object));
      result.cached += code.cached;
    }
  }
  return result;
}
