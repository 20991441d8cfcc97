//===- AttentionBench.cpp - attention's distance to the machine -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionCase.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <ctime>

using namespace lathe;
using namespace lathe::test;

/// Seconds of the calling thread, so that a busy machine matters less.
static double threadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

/// The median and the best of repeated calls.
static Timing measureThread(llvm::function_ref<void()> call) {
  std::vector<double> times;
  double total = 0.0;
  while (times.size() < 10 || total < 0.4) {
    double start = threadSeconds();
    call();
    times.push_back(threadSeconds() - start);
    total += times.back();
  }
  llvm::sort(times);
  return {times[times.size() / 2], times.front()};
}

static void bench(const CpuTarget &target, const AttentionConfig &config,
                  int64_t batch, int64_t rows, int64_t keys,
                  const std::string &filter) {
  std::string name = llvm::formatv("{0,-28} B{1} S{2,-3} T{3,-4}",
                                   config.name(), batch, rows, keys);
  if (name.find(filter) == std::string::npos)
    return;
  CompiledAttention kernel(target, config);
  AttentionProblem problem(config, batch, rows, keys,
                           AttentionProblem::Padding::None, 1);
  Pool one(1);
  double peak = measurePeak(target);
  Timing timing = measureThread([&] { problem.run(kernel, one); });
  peak = std::max(peak, measurePeak(target));
  double seconds = timing.bestDecile;
  double pairs = double(rows) * keys;
  if (config.mask.causal)
    pairs -= double(rows) * (rows - 1) / 2;
  double work =
      double(batch) * config.heads * pairs * (config.headDim + config.valueDim);
  double bytes = double(batch) * config.kvHeads * keys * 4 *
                 (config.headDim + config.valueDim);
  llvm::outs() << llvm::formatv(
      "{0} {1,8:f1} us (median {2,8:f1})  {3,4:f1} % of {6,5:f1} GFLOP/s  "
      "{4,4:f1} GB/s  "
      "object {5} KB\n",
      name, seconds * 1e6, timing.median * 1e6, 200e-9 * work / peak / seconds,
      bytes / seconds * 1e-9, kernel.kernel.getObjectBytes() / 1024, peak);
  llvm::outs().flush();
}

void lathe::test::benchAttention(const CpuTarget &target,
                                 const std::string &filter) {
  MaskKind none, causal, padding, bias;
  none.name = "none";
  causal.name = "causal";
  causal.causal = true;
  padding.name = "padding";
  padding.padding = true;
  bias.name = "bias";
  bias.bias = true;
  for (const MaskKind &mask : {none, causal, padding, bias})
    for (Layout layout : {Layout::Fused, Layout::Cache})
      for (int64_t size : {16, 128, 512}) {
        if (layout == Layout::Cache && &mask != &none && size != 128)
          continue;
        bench(target, {12, 12, 64, 64, mask, layout}, 1, size, size, filter);
      }
  AttentionConfig plain = {12, 12, 64, 64, causal, Layout::Cache};
  AttentionConfig grouped = {9, 3, 64, 64, causal, Layout::Cache};
  for (const AttentionConfig &config : {plain, grouped}) {
    for (int64_t keys : {128, 512, 4096})
      bench(target, config, 1, 1, keys, filter);
    for (int64_t rows : {2, 3, 4, 6, 8, 12, 16})
      bench(target, config, 1, rows, 512, filter);
  }
}
