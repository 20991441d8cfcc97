//===- Resampling.cpp - resizes and samplings -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

/// floor(extent * scale), if that can be told.
static Poly scaled(Node &n, Poly extent, Number scale) {
  if (scale.isInteger())
    return extent * scale.asInteger();
  std::optional<int64_t> size = extent.getConstantInt();
  if (size)
    return n.engine.dim(std::floor(double(*size) * scale.asDouble()));
  // A half, a third: division of a dim.
  Number inverse = Number::fromDouble(1 / scale.asDouble());
  if (inverse.isInteger() && inverse.asInteger() > 0)
    return n.context.fdiv(extent, n.engine.dim(inverse.asInteger()));
  return {};
}

/// The axes that `sizes` or `scales` speak of.
static SmallVector<unsigned> resizedAxes(Node &n) {
  SmallVector<unsigned> axes;
  unsigned rank = n.in(0).rank();
  auto written = n.op.getInts("axes");
  for (unsigned k = 0; !written && k != rank; ++k)
    axes.push_back(k);
  for (int64_t axis : written.value_or(ArrayRef<int64_t>()))
    if (auto k = wrapAxis(axis, rank))
      axes.push_back(*k);
  return axes;
}

static void resize(Node &n, unsigned scalesInput, unsigned sizesInput) {
  if (!n.ranked(0))
    return;
  SmallVector<unsigned> axes = resizedAxes(n);
  SymbolicShape shape = n.shape(0);
  if (n.has(sizesInput)) {
    auto sizes = n.engine.listOf(n.in(sizesInput));
    bool stretches =
        n.op.getString("keep_aspect_ratio_policy", "stretch") == "stretch";
    for (auto [j, k] : llvm::enumerate(axes)) {
      bool known = sizes && stretches && j < sizes->size();
      shape[k] = known ? (*sizes)[j].poly()
                       : n.engine.unknownDim(n.op->getResult(0), k);
    }
    return n.setLeaf(shape);
  }
  SmallVector<Number> scales;
  if (n.has(scalesInput)) {
    if (auto list = n.engine.listOf(n.in(scalesInput)))
      for (IndexExpr e : *list)
        if (auto value = e.poly().getConstant())
          scales.push_back(*value);
  } else if (auto attr = n.op->getAttrOfType<DenseF32ArrayAttr>("scales")) {
    for (float value : attr.asArrayRef())
      scales.push_back(Number::fromDouble(value));
  }
  for (auto [j, k] : llvm::enumerate(axes)) {
    Poly extent = j < scales.size() ? scaled(n, shape[k], scales[j]) : Poly();
    shape[k] = extent ? extent : n.engine.unknownDim(n.op->getResult(0), k);
  }
  n.setLeaf(shape);
}

/// Resize-10 has inputs x, scales; from 11 on x, roi, scales, sizes.
static void transferResize(Node &n) {
  if (n.op.getOpset() < 11)
    return resize(n, 1, 3);
  resize(n, 2, 3);
}

static void transferUpsample(Node &n) { resize(n, 1, 2); }

/// x [N, C, ...], grid [N, out..., 2 or 3].
static void transferGridSample(Node &n) {
  if (!n.ranked(0) || !n.ranked(1) || n.in(0).rank() != n.in(1).rank() ||
      n.in(0).rank() < 3)
    return;
  SymbolicShape shape = {n.shape(0)[0], n.shape(0)[1]};
  llvm::append_range(shape,
                     ArrayRef<Poly>(n.shape(1)).drop_front().drop_back());
  n.setLeaf(shape);
}

/// theta [N, 2, 3], size [N, C, H, W]: [N, H, W, 2], and one dim more in 3-D.
static void transferAffineGrid(Node &n) {
  if (!n.has(1))
    return;
  auto size = n.engine.listOf(n.in(1));
  if (!size || size->size() < 4)
    return;
  SymbolicShape shape = {(*size)[0].poly()};
  for (IndexExpr e : ArrayRef<IndexExpr>(*size).drop_front(2))
    shape.push_back(e.poly());
  shape.push_back(n.engine.dim(size->size() - 2));
  n.setLeaf(shape);
}

static void transferCenterCropPad(Node &n) {
  if (!n.ranked(0) || !n.has(1))
    return;
  auto sizes = n.engine.listOf(n.in(1));
  SmallVector<unsigned> axes = resizedAxes(n);
  if (!sizes || sizes->size() != axes.size())
    return;
  SymbolicShape shape = n.shape(0);
  for (auto [k, size] : llvm::zip_equal(axes, *sizes))
    shape[k] = size.poly();
  n.setLeaf(shape);
}

/// x [N, C, H, W], rois [R, 4]: [R, C, out_h, out_w].
static void transferRoiAlign(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() != 4 || !n.ranked(1))
    return;
  n.setLeaf(SymbolicShape{n.shape(1)[0], n.shape(0)[1],
                          n.engine.dim(n.op.getInt("output_height", 1)),
                          n.engine.dim(n.op.getInt("output_width", 1))});
}

static void transferMaxRoiPool(Node &n) {
  auto pooled = n.op.getInts("pooled_shape");
  if (!n.ranked(0) || n.in(0).rank() != 4 || !n.ranked(1) || !pooled ||
      pooled->size() != 2)
    return;
  n.setLeaf(SymbolicShape{n.shape(1)[0], n.shape(0)[1],
                          n.engine.dim((*pooled)[0]),
                          n.engine.dim((*pooled)[1])});
}

void shapes::registerResampling(TransferTable &table) {
  table.add("Resize", transferResize);
  table.add("Upsample", transferUpsample);
  table.add("GridSample", transferGridSample);
  table.add("AffineGrid", transferAffineGrid);
  table.add("CenterCropPad", transferCenterCropPad);
  table.add("RoiAlign", transferRoiAlign);
  table.add("MaxRoiPool", transferMaxRoiPool);
}
