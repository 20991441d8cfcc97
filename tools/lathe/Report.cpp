//===- Report.cpp - lathe report ------------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "Run.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Driver/Inspect.h"
#include "lathe/Driver/ReportTable.h"
#include "lathe/Runtime/File.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;

#define REPORT cl::sub(subCommand("report"))
static cl::opt<std::string>
    pageOption("o", cl::value_desc("report.html"),
               cl::desc("Write the report as one HTML page"), REPORT);
static cl::opt<bool> measureOption(
    "measure", cl::desc("Compile and time the source and the model"), REPORT);
static cl::opt<std::string> entryOption("entry", cl::init("plain"),
                                        cl::value_desc("plain|prefill|decode"),
                                        cl::desc("Entry that --measure times"),
                                        REPORT);
static cl::opt<int64_t>
    contextOption("context", cl::init(0), cl::value_desc("N"),
                  cl::desc("Positions in the cache before a timed run"),
                  REPORT);

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

namespace {
/// A program that is timed, stage by stage.
struct Timed {
  LoadedProgram program;
  std::unique_ptr<Runner> runner;
  std::vector<double> best; ///< milliseconds of each stage, the least
  std::vector<double> runs; ///< milliseconds of each run

  llvm::Error setUp(Model model);
  llvm::Error runOnce();
  double median();
};
} // namespace

llvm::Error Timed::setUp(Model model) {
  auto compiled = compileProgram(std::move(model), {entryOption});
  if (!compiled)
    return compiled.takeError();
  program = std::move(*compiled);
  auto made = Runner::create(program, entryOption);
  if (!made)
    return made.takeError();
  runner = std::move(*made);
  if (llvm::Error error =
          runner->bindSample(contextOption, /*allLogits=*/false))
    return error;
  best.assign(runner->session().entry().stages.size(), HUGE_VAL);
  runner->session().setStageHook([this](unsigned stage, double seconds) {
    best[stage] = std::min(best[stage], seconds * 1e3);
  });
  return llvm::Error::success();
}

llvm::Error Timed::runOnce() {
  auto start = std::chrono::steady_clock::now();
  llvm::Error error = runner->rerun();
  runs.push_back(std::chrono::duration<double, std::milli>(
                     std::chrono::steady_clock::now() - start)
                     .count());
  return error;
}

double Timed::median() {
  auto middle = runs.begin() + runs.size() / 2;
  std::nth_element(runs.begin(), middle, runs.end());
  return *middle;
}

/// Adds the times of `timed` to the sites that have stages.
static void addTimes(ReportTable &table, const Timed &timed,
                     std::optional<double> ReportSite::*ms) {
  std::map<std::string, double> times;
  const auto &stages = timed.runner->session().entry().stages;
  for (auto [stage, milliseconds] : llvm::zip(stages, timed.best))
    times[stage.site] += milliseconds;
  for (ReportSite &site : table.sites)
    if (auto time = times.find(site.site); time != times.end())
      site.*ms = time->second;
}

/// Runs both in turn, so that a machine that slows down slows down both.
static llvm::Error measure(ReportTable &table, Model source, Model model) {
  Timed before, after;
  if (llvm::Error error = before.setUp(std::move(source)))
    return error;
  if (llvm::Error error = after.setUp(std::move(model)))
    return error;
  constexpr double kSeconds = 4;
  constexpr unsigned kLeast = 5;
  auto start = std::chrono::steady_clock::now();
  auto isTimeLeft = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
               .count() < kSeconds;
  };
  for (unsigned i = 0; i < kLeast || isTimeLeft(); ++i)
    for (Timed *timed : {&before, &after})
      if (llvm::Error error = timed->runOnce())
        return error;
  table.msBefore = before.median();
  table.msAfter = after.median();
  addTimes(table, before, &ReportSite::msBefore);
  addTimes(table, after, &ReportSite::msAfter);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static std::string cell(const std::optional<double> &value) {
  std::string text;
  if (value)
    llvm::raw_string_ostream(text) << llvm::format("%.4g", *value);
  return text;
}

/// What was done last: "kept: tail", then the numbers that the pass gave.
static std::string describe(const ReportRow &row) {
  std::string text = getName(row.action).str();
  if (!row.reason.empty())
    text += ": " + row.reason;
  for (auto &[name, value] : row.values)
    text += "; " + name + " " + cell(value);
  return text;
}

static void printSite(const ReportSite &site) {
  const std::optional<SiteCounts> &counts =
      site.before ? site.before : site.after;
  const ReportRow *row = site.rows.empty() ? nullptr : &site.rows.back();
  std::string what = row ? describe(*row) : "";
  if (site.encodingBefore != site.encodingAfter)
    what += " " + site.encodingBefore + " -> " + site.encodingAfter;
  std::string bytes = counts ? roundedCount(counts->bytes) : "";
  if (site.before && site.after && site.before->bytes != site.after->bytes)
    bytes += " -> " + roundedCount(site.after->bytes);
  std::string line = llvm::formatv(
      "  {0,-22} {1,10} {2,18} {3,10} {4,10} {5,9} {6,9} {7,9}  "
      "{8}",
      site.site, counts ? roundedCount(counts->params) : "", bytes,
      counts ? roundedCount(counts->macs) : "",
      row ? cell(row->error) : std::string(), cell(site.timeBefore()),
      row ? cell(row->msPredicted) : std::string(), cell(site.timeAfter()),
      what);
  llvm::outs() << llvm::StringRef(line).rtrim() << "\n";
}

static void print(const ReportTable &table) {
  llvm::raw_ostream &out = llvm::outs();
  out << table.model << ", made from " << table.source << "\n";
  for (const std::string &pass : table.passes)
    out << "  " << pass << "\n";
  auto line = [&](llvm::StringRef name, const SiteCounts &counts,
                  const std::optional<double> &ms) {
    out << llvm::formatv("{0,-7} {1} parameters, {2}B of weights, {3} "
                         "multiply-adds{4}\n",
                         name, roundedCount(counts.params),
                         roundedCount(counts.bytes), roundedCount(counts.macs),
                         ms ? ", " + cell(ms) + " ms" : std::string());
  };
  if (table.before)
    line("before", *table.before, table.msBefore);
  line("after", table.after, table.msAfter);
  if (!table.openDims.empty())
    out << "(counted with " << llvm::join(table.openDims, " = ")
        << " = 1; --dim sets them)\n";
  out << llvm::formatv("\n  {0,-22} {1,10} {2,18} {3,10} {4,10} {5,9} {6,9} "
                       "{7,9}\n",
                       "site", "params", "bytes", "MACs", "error", "ms before",
                       "predicted", "measured");
  for (const ReportSite &site : table.sites)
    printSite(site);
}

//===----------------------------------------------------------------------===//
// The command
//===----------------------------------------------------------------------===//

/// The model that `model` was made from; without a module if its file is gone.
static llvm::Expected<Model> loadSource(mlir::ModuleOp model) {
  Model source;
  auto name = model->getAttrOfType<mlir::StringAttr>(LatheDialect::kSourceAttr);
  if (!name || !llvm::sys::fs::exists(name.getValue())) {
    note(name ? "the source " + name.getValue() +
                    " is not there; what sites had before is not known"
              : llvm::Twine("the model does not say what it was made from"));
    return source;
  }
  source.context = makeContext();
  LoadOptions load;
  load.externalDataRoot = options.externalDataRoot;
  auto module = lathe::loadModel(*source.context, name, load);
  if (!module)
    return module.takeError();
  source.module = std::move(*module);
  return source;
}

llvm::Error cli::runReport() {
  auto dims = namedDims();
  if (!dims)
    return dims.takeError();
  llvm::StringMap<int64_t> values;
  for (auto &[name, value] : *dims)
    values[name] = value;
  auto model = cli::loadModel();
  if (!model)
    return model.takeError();
  if (!model->module)
    return llvm::createStringError(
        options.model + ": report wants a model file; a compiled folder does "
                        "not keep what was done to the model");
  auto source = loadSource(*model->module);
  if (!source)
    return source.takeError();
  auto table = makeReportTable(
      *model->module, source->module ? *source->module : mlir::ModuleOp(),
      values);
  if (!table)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(table.takeError()));
  table->model = options.model;
  if (measureOption) {
    if (!source->module)
      return llvm::createStringError(
          options.model + ": --measure wants the source " + table->source);
    if (llvm::Error error =
            measure(*table, std::move(*source), std::move(*model)))
      return error;
  }
  if (!pageOption.empty())
    if (llvm::Error error = toError(rt::writeFile(pageOption, toHtml(*table))))
      return error;
  if (options.json)
    printJson(toJson(*table));
  else if (pageOption.empty())
    print(*table);
  return llvm::Error::success();
}
