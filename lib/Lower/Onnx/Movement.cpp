//===- Movement.cpp - reshapes, slices, pads and fills --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nearly all of these have a closed form and never come here. What does:
// operands that only run time knows, and forms that would be too large.
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

/// The same elements in the same order.
static LogicalResult lowerReshape(Node &n) {
  n.set(n.t.reshape(n.in(0), n.shape()));
  return success();
}

static LogicalResult lowerExpand(Node &n) {
  n.set(n.t.mapTo(n.shape(), n.in(0), n.element(),
                  [](Scalars &, Values x) { return x[0]; }));
  return success();
}

static LogicalResult lowerTranspose(Node &n) {
  Tensor x = n.in(0);
  SmallVector<int64_t> permutation;
  if (auto written = n.op.getInts("perm"))
    permutation = llvm::to_vector(*written);
  else
    permutation =
        llvm::to_vector(llvm::reverse(llvm::seq<int64_t>(0, x.rank())));
  n.set(n.t.transpose(x, permutation));
  return success();
}

static LogicalResult lowerTile(Node &n) {
  Tensor x = n.value(0);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position;
        for (auto [coord, extent] : llvm::zip_equal(coords, x.shape))
          position.push_back(
              s.rem(coord, n.t.dim(extent), /*isUnsigned=*/true));
        return n.t.load(s, x, position);
      }));
  return success();
}

/// Operands put one behind the other along `axis`, as slices of a tensor.
static Tensor concatInLinalg(Node &n, ArrayRef<Tensor> inputs, unsigned axis) {
  ImplicitLocOpBuilder &b = n.t.getBuilder();
  SymbolicShape shape = n.shape();
  Value whole = n.t.empty(shape, n.element());
  Poly offset = n.t.poly(0);
  for (const Tensor &input : inputs) {
    SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0));
    SmallVector<OpFoldResult> strides(shape.size(), b.getIndexAttr(1));
    SmallVector<OpFoldResult> sizes = llvm::map_to_vector(
        input.shape, [&](Poly extent) { return n.t.mixedDim(extent); });
    offsets[axis] = n.t.mixedDim(offset);
    whole = tensor::InsertSliceOp::create(b, input.value, whole, offsets, sizes,
                                          strides);
    offset = offset + input.shape[axis];
  }
  return n.t.wrap(whole, n.element(), shape);
}

/// Every operand is copied to its place.
static LogicalResult lowerConcat(Node &n) {
  SmallVector<Tensor> inputs;
  SmallVector<Value> operands;
  unsigned rank = n.in(0).rank();
  unsigned axis = n.axis(rank, n.opset() < 4 ? 1 : 0);
  for (unsigned i = 0; i < n.numInputs(); ++i) {
    inputs.push_back(n.value(i));
    operands.push_back(inputs.back().value);
  }
  if (!n.stage.usesKernels()) {
    n.set(concatInLinalg(n, inputs, axis));
    return success();
  }
  n.set(n.stage.loopKernel(
      "concat", operands, n.shape(), n.element(),
      [&](Scalars &s, ValueRange buffers) {
        Value offset = s.index(0);
        for (Value in : buffers.drop_back()) {
          SmallVector<Value> sizes;
          for (unsigned k = 0; k < rank; ++k)
            sizes.push_back(memref::DimOp::create(s, in, k));
          s.forall(sizes, [&](ValueRange coords) {
            SmallVector<Value> target(coords);
            target[axis] = s.add(target[axis], offset);
            Value x = memref::LoadOp::create(s, in, coords);
            memref::StoreOp::create(s, x, buffers.back(), target);
          });
          offset = s.add(offset, sizes[axis]);
        }
      }));
  return success();
}

/// Starts and steps are read where the elements are.
static LogicalResult lowerSlice(Node &n) {
  Tensor x = n.value(0);
  unsigned rank = x.rank();
  bool byOperands = n.has(1);
  SmallVector<int64_t> axes;
  if (n.has(3)) {
    auto list = n.ints(3);
    if (!list)
      return n.refuse("its axes are not constant");
    axes = *list;
  } else if (auto written = n.op.getInts("axes")) {
    axes = llvm::to_vector(*written);
  } else {
    int64_t count = rank;
    if (byOperands)
      count = n.in(1).shape[0].getConstantInt().value_or(rank);
    else if (auto starts = n.op.getInts("starts"))
      count = starts->size();
    axes = llvm::to_vector(llvm::seq<int64_t>(0, count));
  }
  Tensor starts = byOperands ? n.value(1) : Tensor();
  Tensor steps = n.has(4) ? n.value(4) : Tensor();
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords);
        for (auto [j, written] : llvm::enumerate(axes)) {
          int64_t axis = written < 0 ? written + rank : written;
          Value extent = n.t.dim(x.shape[axis]), zero = s.index(0);
          Value start = byOperands ? s.toIndex(n.t.load(s, starts, s.index(j)))
                                   : s.index((*n.op.getInts("starts"))[j]);
          Value step =
              steps ? s.toIndex(n.t.load(s, steps, s.index(j))) : s.index(1);
          start = s.select(s.lt(start, zero), s.add(start, extent), start);
          // Clamped to [0, extent], or to [0, extent - 1] when counting down.
          Value last =
              s.select(s.lt(step, zero), s.sub(extent, s.index(1)), extent);
          start = s.min(s.max(start, zero), last);
          position[axis] = s.add(start, s.mul(coords[axis], step));
        }
        return n.t.load(s, x, position);
      }));
  return success();
}

static LogicalResult lowerSplit(Node &n) {
  Tensor x = n.value(0);
  unsigned axis = n.axis(x.rank(), 0);
  Tensor sizes = n.has(1) ? n.value(1) : Tensor();
  Poly offset = n.t.poly(0);
  for (unsigned i = 0; i < n.op->getNumResults(); ++i) {
    if (n.hasResult(i))
      n.set(n.t.generate(n.shape(i), n.element(i),
                         [&](Scalars &s, ValueRange coords) {
                           Value start = s.index(0);
                           if (sizes)
                             for (unsigned j = 0; j < i; ++j)
                               start = s.add(start, s.toIndex(n.t.load(
                                                        s, sizes, s.index(j))));
                           else
                             start = n.t.dim(offset);
                           SmallVector<Value> position(coords);
                           position[axis] = s.add(coords[axis], start);
                           return n.t.load(s, x, position);
                         }),
            i);
    offset = offset + n.shape(i)[axis];
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Pad
//===----------------------------------------------------------------------===//

namespace {
enum class PadMode { Constant, Reflect, Edge, Wrap };
} // namespace

/// Where an index outside [0, extent) reads.
static Value foldIndex(Scalars &s, PadMode mode, Value index, Value extent) {
  Value zero = s.index(0), one = s.index(1);
  Value last = s.sub(extent, one);
  auto modulo = [&](Value x, Value period) {
    Value rest = s.rem(x, period);
    return s.select(s.lt(rest, zero), s.add(rest, period), rest);
  };
  switch (mode) {
  case PadMode::Edge:
    return s.min(s.max(index, zero), last);
  case PadMode::Wrap:
    return modulo(index, extent);
  case PadMode::Reflect: {
    // Back and forth between the ends; an extent of 1 has one element.
    Value period = s.max(s.mul(last, s.index(2)), one);
    Value place = modulo(index, period);
    return s.select(s.gt(place, last), s.sub(period, place), place);
  }
  case PadMode::Constant:
    return index;
  }
  llvm_unreachable("all modes are handled");
}

static LogicalResult lowerPad(Node &n) {
  Tensor x = n.value(0);
  unsigned rank = x.rank();
  StringRef written = n.op.getString("mode", "constant");
  std::optional<PadMode> mode =
      llvm::StringSwitch<std::optional<PadMode>>(written)
          .Case("constant", PadMode::Constant)
          .Case("reflect", PadMode::Reflect)
          .Case("edge", PadMode::Edge)
          .Case("wrap", PadMode::Wrap)
          .Default(std::nullopt);
  if (!mode)
    return n.refuse("unknown mode '" + written + "'");
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  if (n.has(3)) {
    auto list = n.ints(3);
    if (!list)
      return n.refuse("its axes are not constant");
    axes = *list;
  }
  std::optional<SmallVector<int64_t>> fixed;
  Tensor pads;
  if (n.has(1)) {
    fixed = n.ints(1);
    if (!fixed)
      pads = n.value(1);
  } else if (auto attribute = n.op.getInts("pads")) {
    fixed = llvm::to_vector(*attribute);
  }
  Type compute = getComputeType(n.element());
  Tensor filling = n.has(2) ? n.value(2) : Tensor();
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords);
        Value inside = s.boolean(true);
        for (auto [j, listed] : llvm::enumerate(axes)) {
          int64_t axis = listed < 0 ? listed + rank : listed;
          if (fixed && (*fixed)[j] == 0 && (*fixed)[j + axes.size()] == 0)
            continue;
          Value before = fixed ? s.index((*fixed)[j])
                               : s.toIndex(n.t.load(s, pads, s.index(j)));
          Value extent = n.t.dim(x.shape[axis]);
          Value index = s.sub(coords[axis], before);
          inside =
              s.logicalAnd(inside, s.lt(index, extent, /*isUnsigned=*/true));
          position[axis] = foldIndex(s, *mode, index, extent);
        }
        if (*mode != PadMode::Constant)
          return n.t.load(s, x, position);
        return s.choose(
            inside, compute, [&] { return n.t.load(s, x, position); },
            [&]() -> Value {
              if (!filling)
                return s.constant(compute, n.op.getFloat("value", 0.0));
              SmallVector<Value> first(filling.rank(), s.index(0));
              return n.t.load(s, filling, first);
            });
      }));
  return success();
}

//===----------------------------------------------------------------------===//
// Fills
//===----------------------------------------------------------------------===//

/// The one element of a tensor of one element.
static Value loadScalar(Node &n, Scalars &s, const Tensor &tensor) {
  return n.t.load(s, tensor, SmallVector<Value>(tensor.rank(), s.index(0)));
}

static LogicalResult lowerConstantOfShape(Node &n) {
  double value = 0;
  if (auto attribute = n.op->getAttrOfType<DenseElementsAttr>("value")) {
    Tensor constant = n.t.constant(attribute);
    std::optional<double> number = n.t.splatOf(constant);
    if (!number)
      return n.refuse("its value cannot be represented");
    value = *number;
  }
  n.set(n.t.splat(n.shape(), n.element(), value));
  return success();
}

/// start + i * delta, computed like that in the type of the operands.
static LogicalResult lowerRange(Node &n) {
  Tensor start = n.value(0), delta = n.value(2);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value first = loadScalar(n, s, start), step = loadScalar(n, s, delta);
        return s.add(first,
                     s.mul(s.fromIndex(coords[0], step.getType()), step));
      }));
  return success();
}

static LogicalResult lowerTrilu(Node &n) {
  Tensor x = n.value(0);
  bool upper = n.op.getInt("upper", 1) != 0;
  Tensor diagonal = n.has(1) ? n.value(1) : Tensor();
  Type compute = getComputeType(n.element());
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value k = diagonal ? s.toIndex(loadScalar(n, s, diagonal)) : s.index(0);
        Value column = coords.back(), row = s.add(coords.drop_back().back(), k);
        Value kept = upper ? s.ge(column, row) : s.le(column, row);
        return s.select(kept, n.t.load(s, x, coords), s.constant(compute, 0));
      }));
  return success();
}

static LogicalResult lowerEyeLike(Node &n) {
  int64_t k = n.op.getInt("k", 0);
  Type compute = getComputeType(n.element());
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value hit = s.eq(coords[1], s.add(coords[0], s.index(k)));
        return s.select(hit, s.constant(compute, 1), s.constant(compute, 0));
      }));
  return success();
}

/// The first `length` elements of each batch (along the time axis) turn round.
static LogicalResult lowerReverseSequence(Node &n) {
  Tensor x = n.value(0), lengths = n.value(1);
  int64_t batchAxis = n.op.getInt("batch_axis", 1);
  int64_t timeAxis = n.op.getInt("time_axis", 0);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value length = s.toIndex(n.t.load(s, lengths, coords[batchAxis]));
        Value time = coords[timeAxis];
        SmallVector<Value> position(coords);
        Value mirrored = s.sub(s.sub(length, s.index(1)), time);
        position[timeAxis] = s.select(s.lt(time, length), mirrored, time);
        return n.t.load(s, x, position);
      }));
  return success();
}

/// [N, C, H, W] to [N, C*b*b, H/b, W/b].
static LogicalResult lowerSpaceToDepth(Node &n) {
  Tensor x = n.value(0);
  int64_t block = n.op.getInt("blocksize", 1);
  Value channels = n.t.dim(x.shape[1]);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value size = s.index(block);
        Value part = s.div(coords[1], channels, /*isUnsigned=*/true);
        Value channel = s.rem(coords[1], channels, /*isUnsigned=*/true);
        Value y = s.add(s.mul(coords[2], size), s.div(part, size, true));
        Value column = s.add(s.mul(coords[3], size), s.rem(part, size, true));
        return n.t.load(s, x,
                        SmallVector<Value>{coords[0], channel, y, column});
      }));
  return success();
}

/// [N, C*b*b, H, W] to [N, C, H*b, W*b].
static LogicalResult lowerDepthToSpace(Node &n) {
  Tensor x = n.value(0);
  int64_t block = n.op.getInt("blocksize", 1);
  bool columnsFirst = n.op.getString("mode", "DCR") == "CRD";
  Value channels = n.t.dim(n.shape()[1]);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Value size = s.index(block);
        Value part = s.add(s.mul(s.rem(coords[2], size, true), size),
                           s.rem(coords[3], size, true));
        Value channel =
            columnsFirst ? s.add(s.mul(coords[1], s.index(block * block)), part)
                         : s.add(s.mul(part, channels), coords[1]);
        return n.t.load(s, x,
                        SmallVector<Value>{coords[0], channel,
                                           s.div(coords[2], size, true),
                                           s.div(coords[3], size, true)});
      }));
  return success();
}

/// Cut or filled with zeros on both sides alike; the odd one behind.
static LogicalResult lowerCenterCropPad(Node &n) {
  Tensor x = n.value(0);
  SymbolicShape shape = n.shape();
  Type compute = getComputeType(n.element());
  n.set(n.t.generate(shape, n.element(), [&](Scalars &s, ValueRange coords) {
    SmallVector<Value> position(coords);
    Value inside = s.boolean(true), two = s.index(2);
    for (unsigned k = 0; k < x.rank(); ++k) {
      if (shape[k] == x.shape[k])
        continue;
      Value extent = n.t.dim(x.shape[k]), wanted = n.t.dim(shape[k]);
      // One of the two is not negative, and halves are rounded down.
      Value zero = s.index(0);
      Value cut = s.div(s.max(s.sub(extent, wanted), zero), two, true);
      Value pad = s.div(s.max(s.sub(wanted, extent), zero), two, true);
      position[k] = s.sub(s.add(coords[k], cut), pad);
      inside =
          s.logicalAnd(inside, s.lt(position[k], extent, /*isUnsigned=*/true));
    }
    return s.choose(
        inside, compute, [&] { return n.t.load(s, x, position); },
        [&] { return s.constant(compute, 0); });
  }));
  return success();
}

void lathe::addMovement(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"CenterCropPad", 18, lowerCenterCropPad},
      {"Concat", 1, lowerConcat},
      {"Constant", 1, byForm},
      {"ConstantOfShape", 9, lowerConstantOfShape},
      {"DepthToSpace", 1, lowerDepthToSpace},
      {"Expand", 8, lowerExpand},
      {"EyeLike", 9, lowerEyeLike},
      {"Flatten", 1, lowerReshape},
      {"Pad", 1, lowerPad},
      {"Range", 11, lowerRange},
      {"Reshape", 1, lowerReshape},
      {"ReverseSequence", 10, lowerReverseSequence},
      {"Shape", 1, byForm},
      {"Size", 1, byForm},
      {"Slice", 1, lowerSlice},
      {"SpaceToDepth", 1, lowerSpaceToDepth},
      {"Split", 1, lowerSplit},
      {"Squeeze", 1, lowerReshape},
      {"Tile", 6, lowerTile},
      {"Transpose", 1, lowerTranspose},
      {"Trilu", 14, lowerTrilu},
      {"Unsqueeze", 1, lowerReshape},
  };
  table.add("", rows);
}
