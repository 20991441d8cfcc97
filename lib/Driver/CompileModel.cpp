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
#include "lathe/Runtime/Abi.h"

#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/ThreadPool.h"
#include <atomic>
#include <mutex>

using namespace mlir;
using namespace lathe;

namespace {

/// Outcome of one stage function.
struct Compiled {
  CompiledStage stage;
  bool failed = false;
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

/// One error block for all functions that failed: their sites and reasons.
static llvm::Error joinErrors(const ModelStages &stages,
                              const std::vector<Compiled> &compiled) {
  std::vector<std::string> lines;
  std::vector<bool> seen(compiled.size());
  for (const EntryStages &entry : stages.entries)
    for (const StageRow &row : entry.rows) {
      const Compiled &function = compiled[row.function];
      if (!function.failed || seen[row.function])
        continue;
      seen[row.function] = true;
      if (function.problems.empty())
        lines.push_back("stage '" + row.site + "': compilation failed");
      for (const std::string &problem : function.problems)
        lines.push_back(problem);
    }
  return lines.empty() ? llvm::Error::success() : problemBlock("", lines);
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
  auto target = CpuTarget::parse(options.cpu);
  if (!target)
    return target.takeError();
  // On a copy: the model keeps the sites that reports and profiles name.
  OwningOpRef<ModuleOp> fused = model.clone();
  fuseSiblings(*fused, "lathe-fuse-siblings");
  auto stages = buildStages(*fused, options.entries);
  if (!stages)
    return stages.takeError();

  std::vector<Compiled> compiled(stages->functions.size());
  std::atomic<unsigned> done(0);
  std::mutex progressMutex;
  {
    llvm::DefaultThreadPool pool(llvm::hardware_concurrency(options.threads));
    for (size_t n = 0; n < compiled.size(); ++n)
      pool.async([&, n] {
        compiled[n] = compileFunction(stages->functions[n], *target);
        unsigned count = ++done;
        if (!options.progress)
          return;
        std::lock_guard<std::mutex> lock(progressMutex);
        options.progress(count, compiled.size());
      });
    pool.wait();
  }
  if (llvm::Error error = joinErrors(*stages, compiled))
    return std::move(error);

  CompiledModel result;
  rt::Manifest &manifest = result.manifest;
  manifest.lathe = LATHE_VERSION;
  manifest.abi = LATHE_ABI_VERSION;
  manifest.target = "cpu";
  result.level = target->name().str();
  if (auto source = model->getAttrOfType<StringAttr>(LatheDialect::kSourceAttr))
    manifest.source = source.getValue().str();
  manifest.removed = removedSites(model);

  llvm::StringSet<> names;
  // A part read in two layouts is packed twice; equal requests share.
  std::map<std::pair<unsigned, PartLayout>, uint32_t> packed;
  for (EntryStages &entry : stages->entries) {
    for (StageRow &row : entry.rows) {
      const CompiledStage &code = compiled[row.function].stage;
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
  for (Compiled &code : compiled)
    result.objects.push_back(std::move(code.stage.object));
  return result;
}
