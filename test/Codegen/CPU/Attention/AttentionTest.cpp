//===- AttentionTest.cpp - attention against a reference ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionCase.h"

using namespace lathe;
using namespace lathe::test;
using Padding = AttentionProblem::Padding;

static std::vector<MaskKind> getMasks() {
  std::vector<MaskKind> masks;
  auto add = [&](const char *name) -> MaskKind & {
    masks.emplace_back();
    masks.back().name = name;
    return masks.back();
  };
  add("none");
  add("causal").causal = true;
  for (auto [rows, name] : {std::pair(AttentionRows::Zero, "padding-zero"),
                            std::pair(AttentionRows::Mean, "padding-mean"),
                            std::pair(AttentionRows::NaN, "padding-nan"),
                            std::pair(AttentionRows::Soft, "padding-soft")}) {
    MaskKind &mask = add(name);
    mask.padding = true;
    mask.rows = rows;
  }
  for (auto [rows, name] :
       {std::pair(AttentionRows::Zero, "causal-padding-zero"),
        std::pair(AttentionRows::Mean, "causal-padding-mean"),
        std::pair(AttentionRows::NaN, "causal-padding-nan"),
        std::pair(AttentionRows::Soft, "causal-padding-soft")}) {
    MaskKind &mask = add(name);
    mask.causal = mask.padding = true;
    mask.rows = rows;
  }
  MaskKind &window = add("causal-window");
  window.causal = true;
  window.window = 7;
  MaskKind &both = add("window-padding-mean");
  both.padding = true;
  both.window = 9;
  both.rows = AttentionRows::Mean;
  add("holes").holes = true;
  MaskKind &holes = add("holes-padding-soft");
  holes.holes = holes.padding = true;
  holes.rows = AttentionRows::Soft;
  add("bias").bias = true;
  MaskKind &alibi = add("bias-causal-padding");
  alibi.bias = alibi.causal = alibi.padding = true;
  add("softcap").softcap = 5.0;
  MaskKind &capped = add("softcap-causal-bias-holes");
  capped.softcap = 50.0;
  capped.causal = capped.bias = capped.holes = true;
  add("head-scale").headScale = true;
  return masks;
}

static const char *nameOf(Padding padding) {
  static const char *const names[] = {"none", "left", "right", "holes", "all"};
  return names[static_cast<int>(padding)];
}

namespace {
/// How many sizes a kernel is called with.
enum class Extent { Mask, Shape, Full };

class Tester {
public:
  Tester(const CpuTarget &target, Report &report)
      : target(target), report(report), one(1), two(2) {}

  void run(const AttentionConfig &config, Extent extent);

private:
  void check(const CompiledAttention &kernel, const AttentionConfig &config,
             int64_t batch, int64_t rows, int64_t keys, Padding padding);

  const CpuTarget &target;
  Report &report;
  Pool one, two;
  unsigned seed = 0;
};
} // namespace

void Tester::run(const AttentionConfig &config, Extent extent) {
  CompiledAttention kernel(target, config);
  std::vector<Padding> paddings = {Padding::None};
  if (config.mask.padding)
    paddings = {Padding::Left, Padding::Right, Padding::Holes,
                Padding::Everything};
  for (int64_t batch : {1, 2, 3})
    for (int64_t rows : {1, 2, 5, 17, 64})
      for (int64_t past : {0, 3, 100})
        for (Padding padding : paddings) {
          // The reference takes most of the time.
          bool isLarge = batch * (rows + past) > 200;
          bool isChosen = extent == Extent::Shape ? batch == 2 : !isLarge;
          if (extent == Extent::Full || isChosen)
            check(kernel, config, batch, rows, rows + past, padding);
        }
  // More keys than a block, and a split cache.
  for (auto [rows, keys] : {std::pair(1, 700), std::pair(3, 513),
                            std::pair(30, 600), std::pair(1, 256)})
    check(kernel, config, 2, rows, keys, paddings.front());
}

void Tester::check(const CompiledAttention &kernel,
                   const AttentionConfig &config, int64_t batch, int64_t rows,
                   int64_t keys, Padding padding) {
  std::string what = config.name() + " B" + std::to_string(batch) + " S" +
                     std::to_string(rows) + " T" + std::to_string(keys) +
                     " pad-" + nameOf(padding);
  ++seed;
  AttentionProblem problem(config, batch, rows, keys, padding, seed, seed % 2);
  problem.run(kernel, one);
  std::vector<float> first(problem.output(),
                           problem.output() + problem.outputSize());
  problem.clear();
  problem.run(kernel, two);
  report.check(what + ": threads",
               memcmp(first.data(), problem.output(), first.size() * 4) == 0);

  std::vector<bool> masked;
  std::vector<double> expected = problem.reference(masked);
  // A score that -1e4 has swallowed is known to 2^-11 only, and rounds one way
  // or the other.
  bool isSoft = config.mask.rows == AttentionRows::Soft;
  size_t width = config.valueDim;
  std::vector<double> strict = expected;
  for (size_t row = 0; row < masked.size(); ++row) {
    if (!isSoft || !masked[row])
      continue;
    report.compare(what + ": soft row", &first[row * width],
                   &expected[row * width], width, 3e-3);
    for (size_t c = row * width; c < (row + 1) * width; ++c)
      strict[c] = first[c];
  }
  // What plain f32 sums give too.
  double tolerance = keys < 64 ? 1e-6 : keys < 256 ? 2e-6 : 3e-6;
  report.compare(what, first.data(), strict.data(), first.size(), tolerance);
}

bool lathe::test::testAttention(const CpuTarget &target, bool full) {
  Report report;
  Tester tester(target, report);
  struct Shape {
    int64_t heads, kvHeads, headDim, valueDim;
  };
  std::vector<MaskKind> masks = getMasks();
  // Every mask on one shape, every shape on few masks; everything when full.
  std::vector<Shape> shapes = {{6, 2, 32, 32}};
  for (auto [heads, kvHeads] :
       {std::pair(4, 4), std::pair(6, 2), std::pair(12, 3)})
    for (int64_t dim : {16, 32, 64, 80})
      shapes.push_back({heads, kvHeads, dim, dim});
  shapes.push_back({2, 1, 23, 13});
  shapes.push_back({2, 2, 5, 150});
  shapes.push_back({9, 1, 128, 128});
  int number = 0, kernels = 0;
  for (const Shape &shape : shapes)
    for (const MaskKind &mask : masks) {
      bool isFirst = &shape == &shapes.front();
      bool chosen =
          full || isFirst || mask.name == "causal" || (number++ % 13 == 0);
      if (!chosen)
        continue;
      auto layout = static_cast<Layout>(kernels++ % 3);
      AttentionConfig config = {shape.heads,    shape.kvHeads, shape.headDim,
                                shape.valueDim, mask,          layout};
      config.halfCache = config.layout != Layout::Fused && kernels % 2;
      tester.run(config, full      ? Extent::Full
                         : isFirst ? Extent::Mask
                                   : Extent::Shape);
    }
  return report.finish("attention");
}
