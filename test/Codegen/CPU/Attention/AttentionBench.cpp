//===- AttentionBench.cpp - attention's distance to the machine -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionCase.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::test;

static void bench(const CpuTarget &target, const AttentionConfig &config,
                  int64_t batch, int64_t rows, int64_t keys, double peak) {
  CompiledAttention kernel(target, config);
  AttentionProblem problem(config, batch, rows, keys,
                           AttentionProblem::Padding::None, 1);
  Pool one(1);
  Timing timing = measure([&] { problem.run(kernel, one); });
  double seconds = timing.bestDecile;
  double pairs = double(rows) * keys;
  if (config.mask.causal)
    pairs -= double(rows) * (rows - 1) / 2;
  double work =
      double(batch) * config.heads * pairs * (config.headDim + config.valueDim);
  double bytes = double(batch) * config.kvHeads * keys * 4 *
                 (config.headDim + config.valueDim);
  llvm::outs() << llvm::formatv(
      "{0,-34} B{1} S{2,-4} T{3,-5} {4,9:f1} us (median {5,9:f1})  {6,5:f1} % "
      "of FMA  {7,5:f1} GB/s  object {8} KB\n",
      config.name(), batch, rows, keys, seconds * 1e6, timing.median * 1e6,
      200e-9 * work / peak / seconds, bytes / seconds * 1e-9,
      kernel.kernel.getObjectBytes() / 1024);
  llvm::outs().flush();
}

void lathe::test::benchAttention(const CpuTarget &target) {
  double peak = measurePeak(target);
  llvm::outs() << llvm::formatv("peak {0:f1} GFLOP/s\n", peak);
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
        bench(target, {12, 12, 64, 64, mask, layout}, 1, size, size, peak);
      }
  AttentionConfig plain = {12, 12, 64, 64, causal, Layout::Cache};
  AttentionConfig grouped = {9, 3, 64, 64, causal, Layout::Cache};
  for (const AttentionConfig &config : {plain, grouped}) {
    for (int64_t keys : {128, 512, 4096})
      bench(target, config, 1, 1, keys, peak);
    for (int64_t rows : {2, 3, 4, 6, 8, 12, 16})
      bench(target, config, 1, rows, 512, peak);
  }
}
