//===- Bench.cpp - lathe bench ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "Run.h"
#include "lathe/Driver/MachinePeaks.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <sys/resource.h>

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;

#define BENCH cl::sub(subCommand("bench"))
static cl::opt<std::string> entryOption("entry", cl::init("plain"),
                                        cl::value_desc("plain|prefill|decode"),
                                        cl::desc("Entry to time"), BENCH);
static cl::opt<int64_t>
    contextOption("context", cl::init(0), cl::value_desc("N"),
                  cl::desc("Positions in the cache before the timed run"),
                  BENCH);
static cl::opt<std::string>
    logitsOption("logits", cl::value_desc("all|last"),
                 cl::desc("Rows of logits (default: plain all, prefill last)"),
                 BENCH);
static cl::opt<unsigned> itersOption("iters", cl::init(0), cl::value_desc("N"),
                                     cl::desc("Timed runs (default: as many as "
                                              "fit in 2 s, at least 5)"),
                                     BENCH);

/// The entry that computes what --entry and --logits ask for: the last rows of
/// logits only are the business of `prefill`.
static llvm::Expected<std::string> chooseEntry() {
  std::string entry = entryOption, logits = logitsOption;
  if (entry != "plain" && entry != "prefill" && entry != "decode")
    return llvm::createStringError("--entry: '" + entry +
                                   "' is not plain, prefill or decode");
  if (!logits.empty() && logits != "all" && logits != "last")
    return llvm::createStringError("--logits: '" + logits +
                                   "' is not all or last");
  if (entry == "plain" && logits == "last")
    return std::string("prefill");
  return entry;
}

static double seconds(const std::function<void()> &work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

/// Multiply-adds of one run at the dims that are bound.
static double macsOf(const rt::Session &session) {
  std::vector<int64_t> dims;
  for (unsigned d = 0; d < session.entry().dims.size(); ++d)
    dims.push_back(session.dim(d));
  double sum = 0;
  for (const rt::Stage &stage : session.entry().stages) {
    if (!stage.macs)
      continue;
    auto code = rt::ExprCode::compile(*stage.macs, session.entry().dims);
    int64_t value;
    if (!code.failed() && code->evaluate(dims.data(), value))
      sum += value;
  }
  return sum;
}

static double peakRssMegabytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024.0;
}

llvm::Error cli::runBench() {
  auto entry = chooseEntry();
  if (!entry)
    return entry.takeError();
  auto loaded = loadProgram({*entry});
  if (!loaded)
    return loaded.takeError();
  auto run = Runner::create(*loaded, *entry);
  if (!run)
    return run.takeError();
  if (llvm::Error error =
          (*run)->bindSample(contextOption, logitsOption == "all"))
    return error;

  rt::Session &session = (*run)->session();
  llvm::Error failure = llvm::Error::success();
  auto once = [&] {
    if (llvm::Error error = (*run)->rerun())
      failure = llvm::joinErrors(std::move(failure), std::move(error));
  };
  double first = seconds(once);
  if (failure)
    return failure;
  unsigned iters = itersOption ? unsigned(itersOption)
                               : std::clamp<unsigned>(2.0 / first, 5, 2000);
  std::vector<double> times;
  for (unsigned i = 0; i < iters && !failure; ++i)
    times.push_back(seconds(once) * 1e3);
  if (failure)
    return failure;
  std::sort(times.begin(), times.end());
  auto quantile = [&](double q) {
    return times[std::min<size_t>(times.size() - 1, q * times.size())];
  };
  double median = quantile(0.5);
  unsigned threads = options.threads
                         ? options.threads
                         : llvm::hardware_concurrency().compute_thread_count();
  double gflops = 2 * macsOf(session) / median / 1e6;
  double rss = peakRssMegabytes(); // before the peaks take memory of their own
  double peak = measureFmaPeaks(threads).f32;
  double weights = loaded->program->manifest().weights.bytes / 1e6;
  if (options.json) {
    printJson(llvm::json::Object{{"entry", *entry},
                                 {"threads", threads},
                                 {"iters", iters},
                                 {"median_ms", median},
                                 {"p10_ms", quantile(0.1)},
                                 {"p90_ms", quantile(0.9)},
                                 {"compile_s", loaded->compileSeconds},
                                 {"load_ms", loaded->loadSeconds * 1e3},
                                 {"peak_rss_mb", rss},
                                 {"arena_mb", session.arenaBytes() / 1e6},
                                 {"weights_mb", weights},
                                 {"gflops", gflops},
                                 {"percent_of_peak", 100 * gflops / peak}});
    return llvm::Error::success();
  }
  llvm::outs() << llvm::formatv(
      "{0}, {1} threads, {2} runs: median {3:f3} ms (p10 {4:f3}, p90 {5:f3})\n"
      "{6:f1} GFLOP/s, {7:f1} % of the {8:f1} GFLOP/s peak\n"
      "compile {9:f2} s, load {10:f1} ms, weights {11:f1} MB, arena {12:f1} "
      "MB, peak RSS {13:f1} MB\n",
      *entry, threads, iters, median, quantile(0.1), quantile(0.9), gflops,
      100 * gflops / peak, peak, loaded->compileSeconds,
      loaded->loadSeconds * 1e3, weights, session.arenaBytes() / 1e6, rss);
  return llvm::Error::success();
}
