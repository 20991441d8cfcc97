//===- LinearPlan.cpp - how a matrix product is cut -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/LinearPlan.h"
#include <algorithm>

using namespace lathe;

namespace {

/// What the model assumes of a core of a level: the least of the processors
/// that have it and are in use.
struct CoreModel {
  /// Multiply-adds and loads of a vector that start in a cycle.
  double multiplyAdds = 2, loads = 2;
  /// What one core may use of the second-level cache, and what it delivers in
  /// a cycle: half of the best case.
  int64_t cacheBytes = 512 << 10;
  double cacheBytesPerCycle = 16;

  explicit CoreModel(const CpuTarget &target) {
    // Without fused ones, a product and a sum.
    if (!target.hasFma)
      multiplyAdds = 1;
    // Skylake-SP, Ice Lake-SP, Zen 4 and later; the others from Zen 2 on.
    if (target.lanes < 16)
      return;
    cacheBytes = 1 << 20;
    cacheBytesPerCycle = 32;
  }
};

/// A register tile: rows by vectors of sums.
struct Tile {
  int64_t rows, vectors;
};

} // namespace

/// Rows of a unit of work: enough to pay for a dispatch, few enough to share.
static constexpr int64_t blockRows = 96;
/// Bytes of weights that are worth a thread of their own.
static constexpr int64_t grainBytes = 64 << 10;
/// Elements of f32, or pairs of bf16.
static constexpr int64_t elementBytes = 4;

/// Whether the sums, the shorter side of the operands, one element of the
/// longer side and a product that is not fused have registers.
static bool fitsRegisters(Tile tile, const CpuTarget &target) {
  int64_t passing = target.hasFma ? 1 : 2;
  return tile.rows * tile.vectors + std::min(tile.rows, tile.vectors) +
             passing <=
         target.registers;
}

/// Cycles of one step of k per multiply-add of a vector. Weights come from the
/// second-level cache once per tile; the tile's elements of x stay in the
/// first.
static double tileCost(Tile tile, const CpuTarget &target,
                       const CoreModel &core) {
  double sums = tile.rows * tile.vectors, operands = tile.rows + tile.vectors;
  double weightBytes = tile.vectors * target.lanes * elementBytes;
  double cycles = std::max({sums / core.multiplyAdds, operands / core.loads,
                            weightBytes / core.cacheBytesPerCycle});
  return cycles / sums;
}

/// Loads per multiply-add: of two tiles that take the same time, the one with
/// fewer leaves more room for what the model does not count.
static double loadShare(Tile tile) {
  return double(tile.rows + tile.vectors) / (tile.rows * tile.vectors);
}

/// The best tile for many rows.
static Tile chooseTile(const CpuTarget &target, const CoreModel &core) {
  Tile best = {1, 1};
  for (int64_t vectors = 1; vectors * target.lanes <= kPanelColumns;
       vectors *= 2)
    for (Tile tile = {1, vectors}; fitsRegisters(tile, target); ++tile.rows) {
      auto key = [&](Tile t) {
        return std::pair(tileCost(t, target, core), loadShare(t));
      };
      if (key(tile) < key(best))
        best = tile;
    }
  return best;
}

/// The widest tile of so many rows: few rows read all weights for little work,
/// so each pass should read whole lines of a panel.
static int64_t widestTile(int64_t rows, const CpuTarget &target) {
  int64_t vectors = kPanelColumns / target.lanes;
  while (vectors > 1 && !fitsRegisters({rows, vectors}, target))
    vectors /= 2;
  return vectors * target.lanes;
}

/// Steps of k in one block.
static int64_t chooseBlockSteps(int64_t steps, const CoreModel &core) {
  int64_t stepBytes = (kPanelColumns + blockRows) * elementBytes;
  if (steps * stepBytes <= core.cacheBytes)
    return steps;
  // Half of the cache, since it also sees what comes next.
  int64_t most = core.cacheBytes / 2 / stepBytes;
  int64_t blocks = llvm::divideCeil(steps, most);
  return llvm::alignTo(llvm::divideCeil(steps, blocks), 8);
}

LinearPlan lathe::planLinear(const LinearSpec &spec, const CpuTarget &target) {
  CoreModel core(target);
  LinearPlan plan;
  Tile tile = chooseTile(target, core);
  for (int64_t rows = 1; rows < tile.rows; ++rows)
    plan.tileColumns.push_back(widestTile(rows, target));
  plan.tileColumns.push_back(tile.vectors * target.lanes);

  int64_t steps = spec.getSteps();
  plan.blockSteps = chooseBlockSteps(steps, core);
  plan.blockRows = blockRows / tile.rows * tile.rows;
  plan.grain =
      std::max<int64_t>(1, grainBytes / (steps * kPanelColumns * elementBytes));
  return plan;
}
