//===- CompileModel.cpp - stages to objects ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Driver.h"
#include "lathe/Runtime/Abi.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/ThreadPool.h"
#include <atomic>
#include <mutex>

using namespace mlir;
using namespace lathe;

namespace {

/// Outcome of one stage function.
struct Compiled {
  CompiledStage stage;
  std::string error;
};

} // namespace

/// Compiles one function in a context of its own, so that functions can be
/// compiled at the same time.
static Compiled compileFunction(const StageFunction &function,
                                const CpuTarget &target) {
  Compiled result;
  std::unique_ptr<MLIRContext> context = makeContext();
  context->disableMultithreading();
  // Diagnostics become the error's text; notes and remarks are dropped.
  ScopedDiagnosticHandler handler(context.get(), [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error)
      return success();
    if (!result.error.empty())
      result.error += "\n";
    result.error += diagnostic.str();
    return success();
  });
  ParserConfig config(context.get());
  auto module = parseSourceString<ModuleOp>(function.text, config);
  FailureOr<CompiledStage> stage = failure();
  if (module)
    stage = compileStage(*module, target);
  if (succeeded(stage))
    result.stage = std::move(*stage);
  else if (result.error.empty())
    result.error = "compilation failed";
  return result;
}

/// One error block for all functions that failed: their sites and reasons.
static llvm::Error joinErrors(const ModelStages &stages,
                              const std::vector<Compiled> &compiled) {
  std::vector<std::string> lines;
  for (const EntryStages &entry : stages.entries)
    for (const StageRow &row : entry.rows) {
      const std::string &error = compiled[row.function].error;
      if (error.empty())
        continue;
      std::string line = "stage '" + row.site + "': " + error;
      if (!llvm::is_contained(lines, line))
        lines.push_back(line);
    }
  if (lines.empty())
    return llvm::Error::success();
  std::string text = std::to_string(lines.size()) + " problems";
  for (const std::string &line : llvm::ArrayRef(lines).take_front(20))
    text += "\n  " + line;
  return llvm::createStringError(text);
}

llvm::Expected<CompiledModel>
lathe::compileModel(ModuleOp model, const CompileOptions &options) {
  auto target = CpuTarget::parse(options.cpu);
  if (!target)
    return target.takeError();
  auto stages = buildStages(model, options.entries);
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
  if (auto source = model->getAttrOfType<StringAttr>(LatheDialect::kSourceAttr))
    manifest.source = source.getValue().str();

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
      for (auto [part, layout] : llvm::zip_equal(row.parts, code.layouts)) {
        auto [slot, isNew] =
            packed.try_emplace({part, layout}, result.parts.size());
        if (isNew) {
          result.parts.push_back({stages->parts[part], layout});
          rt::Part decl;
          decl.name = stages->parts[part].name;
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
