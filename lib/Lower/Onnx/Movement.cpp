//===- Movement.cpp - data movement that has no closed form ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Movement is lowered from its closed form wherever it has one; what is here
// serves the few cases without: reshapes whose dims do not group, long
// concatenations, slices with a stride that the analysis leaves alone.
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Node = NodeLowering;

/// The same elements under the result's shape.
static LogicalResult lowerReshape(Node &n) {
  n.set(n.t.reshape(n.in(0), n.shape()));
  return success();
}

static LogicalResult lowerIdentity(Node &n) {
  Tensor x = n.in(0);
  x.shape = n.shape();
  n.set(x);
  return success();
}

/// The element of the first of `parts` behind whose end `coord` does not lie.
static Value loadPart(Node &n, Scalars &s, ArrayRef<Tensor> parts,
                      SmallVector<Value> coords, unsigned axis) {
  const Tensor &first = parts.front();
  if (parts.size() == 1)
    return n.t.load(s, first, coords);
  Value extent = n.t.dim(first.shape[axis]);
  return s.choose(
      s.lt(coords[axis], extent), getComputeType(first.element),
      [&] { return n.t.load(s, first, coords); },
      [&] {
        SmallVector<Value> rest = coords;
        rest[axis] = s.sub(coords[axis], extent);
        return loadPart(n, s, parts.drop_front(), rest, axis);
      });
}

static LogicalResult lowerConcat(Node &n) {
  SmallVector<Tensor> parts = n.all();
  unsigned axis = n.axis(parts[0].rank(), 1);
  // Extents are computed at entry, before the loops that use them.
  for (Tensor &part : parts)
    (void)n.t.dim(part.shape[axis]);
  n.set(n.t.generate(n.shape(), n.element(),
                     [&](Scalars &s, ValueRange coords) {
                       return loadPart(n, s, parts, SmallVector<Value>(coords),
                                       axis);
                     }));
  return success();
}

/// Slices with constant steps: result coordinate i reads `start + step * i`.
static LogicalResult lowerSlice(Node &n) {
  Tensor x = n.in(0);
  auto starts = n.ints(1), axes = n.ints(3), steps = n.ints(4);
  if (n.opset() < 10 || !starts || (n.has(4) && !steps) ||
      (n.has(3) && !axes))
    return byForm(n);
  SmallVector<Poly> start(x.rank(), n.t.poly(0));
  SmallVector<int64_t> step(x.rank(), 1);
  for (auto [k, first] : llvm::enumerate(*starts)) {
    int64_t axis = axes ? (*axes)[k] : static_cast<int64_t>(k);
    axis += axis < 0 ? x.rank() : 0;
    step[axis] = steps ? (*steps)[k] : 1;
    IndexExprContext &terms = n.t.getTerms();
    Poly extent = x.shape[axis];
    Poly begin = first < 0 ? terms.max(extent + first, n.t.poly(0))
                           : n.t.poly(first);
    // Clamped as ONNX clamps: to the last element going down, to the end
    // going up.
    start[axis] = terms.min(begin, step[axis] < 0 ? extent - 1 : extent);
    (void)n.t.dim(start[axis]);
  }
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) {
    SmallVector<Value> position;
    for (auto [k, coord] : llvm::enumerate(coords))
      position.push_back(s.add(n.t.dim(start[k]),
                               s.mul(coord, s.index(step[k]))));
    return n.t.load(s, x, position);
  }));
  return success();
}

void lathe::addMovement(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"CastLike", 15,
       [](Node &n) {
         n.set(n.t.convert(n.in(0), n.element()));
         return success();
       }},
      {"Concat", 1, lowerConcat},
      {"Constant", 1, byForm},
      {"ConstantOfShape", 9, byForm},
      {"DepthToSpace", 1, byForm},
      {"Expand", 8, byForm},
      {"Flatten", 1, lowerReshape},
      {"Identity", 1, lowerIdentity},
      {"Range", 11, byForm},
      {"Reshape", 1, lowerReshape},
      {"SequenceAt", 11, byForm},
      {"SequenceConstruct", 11, byForm},
      {"Shape", 1, byForm},
      {"Size", 1, byForm},
      {"Slice", 1, lowerSlice},
      {"SpaceToDepth", 1, byForm},
      {"Split", 1, byForm},
      {"SplitToSequence", 11, byForm},
      {"Squeeze", 1, lowerReshape},
      {"Tile", 1, byForm},
      {"Transpose", 1, byForm},
      {"Trilu", 14, byForm},
      {"Unsqueeze", 1, lowerReshape},
  };
  table.add("", rows);
}
