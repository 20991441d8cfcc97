//===- Resampling.cpp - resizes and samplings -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An element of the result is a sum over taps, per axis; weights and places are
// computed where they are used. Coordinates are computed in f64: in f32 a
// coordinate between two elements may be rounded to the wrong side.
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"
#include <cmath>

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

namespace {

/// An element that contributes to one element of the result, along one axis.
struct Tap {
  Value place;  // index
  Value weight; // f64
  /// False: the tap lies outside and `place` is not to be read. Null: inside.
  Value inside;
};

enum class Kernel { Nearest, Linear, Cubic };

} // namespace

static Value f64(Scalars &s, double value) {
  return s.constant(s.getF64Type(), value);
}

/// floor as an integer.
static Value floorIndex(Scalars &s, Value x) { return s.toIndex(s.floor(x)); }

/// Keys' cubic at the four elements around a point that lies `t` behind the
/// second.
static SmallVector<Value> cubicWeights(Scalars &s, Value t, double a) {
  auto near = [&](Value x) {
    // ((a+2)x - (a+3))x^2 + 1
    Value v = s.sub(s.mul(f64(s, a + 2), x), f64(s, a + 3));
    return s.add(s.mul(s.mul(v, x), x), f64(s, 1));
  };
  auto far = [&](Value x) {
    // ((ax - 5a)x + 8a)x - 4a
    Value v = s.sub(s.mul(f64(s, a), x), f64(s, 5 * a));
    v = s.add(s.mul(v, x), f64(s, 8 * a));
    return s.sub(s.mul(v, x), f64(s, 4 * a));
  };
  Value one = f64(s, 1), u = s.sub(one, t);
  return {far(s.add(t, one)), near(t), near(u), far(s.add(u, one))};
}

//===----------------------------------------------------------------------===//
// Resize
//===----------------------------------------------------------------------===//

namespace {

/// One axis of a Resize node.
struct ResizeAxis {
  Poly from, to;
  /// The scale as it was written; else `to / from` at run time.
  std::optional<double> scale;
  /// tf_crop_and_resize: first and last coordinate, normalised.
  double roiStart = 0, roiEnd = 1;
};

class Resizer {
public:
  Resizer(Node &n) : n(n) {}
  LogicalResult run();

private:
  FailureOr<SmallVector<double>> numbers(unsigned operand, StringRef attribute);
  LogicalResult readAxes();
  Value scaleOf(Scalars &s, const ResizeAxis &axis);
  Value coordinate(Scalars &s, const ResizeAxis &axis, Value at);
  SmallVector<Tap> taps(Scalars &s, const ResizeAxis &axis, Value at);
  SmallVector<Tap> smoothTaps(Scalars &s, const ResizeAxis &axis, Value x);
  Value nearest(Scalars &s, Value x);

  Node &n;
  SmallVector<std::optional<ResizeAxis>> axes;
  Kernel kernel = Kernel::Nearest;
  StringRef transform, rounding;
  bool excludesOutside = false, antialias = false, extrapolates = false;
  double cubic = -0.75;
};

} // namespace

/// Elements of a constant float operand, or of an attribute.
FailureOr<SmallVector<double>> Resizer::numbers(unsigned operand,
                                                StringRef attribute) {
  SmallVector<double> list;
  if (n.has(operand)) {
    auto elements = n.stage.getShapes().listOf(n.op.getOptionalInput(operand));
    if (!elements)
      return n.refuse("operand " + Twine(operand) + " must be constant");
    for (IndexExpr e : *elements) {
      std::optional<Number> number;
      if (e.isPoly())
        number = e.poly().getConstant();
      if (!number)
        return n.refuse("operand " + Twine(operand) + " must be constant");
      list.push_back(number->asDouble());
    }
    return list;
  }
  if (auto written = n.op->getAttrOfType<DenseF32ArrayAttr>(attribute))
    for (float value : written.asArrayRef())
      list.push_back(value);
  return list;
}

LogicalResult Resizer::readAxes() {
  Tensor x = n.in(0);
  SymbolicShape shape = n.shape();
  unsigned rank = x.rank();
  bool isOld = n.opset() < 11 || n.op.getOpType() == "Upsample";
  axes.resize(rank);
  SmallVector<int64_t> listed = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  if (auto written = n.op.getInts("axes")) {
    listed = llvm::to_vector(*written);
    for (int64_t &axis : listed)
      axis += axis < 0 ? rank : 0;
  }
  unsigned scalesOperand = isOld ? 1 : 2;
  bool hasSizes = !isOld && n.has(3);
  FailureOr<SmallVector<double>> scales = SmallVector<double>();
  if (!hasSizes)
    scales = numbers(scalesOperand, "scales");
  if (failed(scales))
    return failure();
  FailureOr<SmallVector<double>> roi = SmallVector<double>();
  extrapolates = transform == "tf_crop_and_resize";
  if (extrapolates)
    roi = numbers(1, "roi");
  if (failed(roi))
    return failure();

  // One scale for all axes keeps the aspect ratio.
  std::optional<double> common;
  StringRef policy = n.op.getString("keep_aspect_ratio_policy", "stretch");
  if (hasSizes && policy != "stretch") {
    std::optional<SmallVector<int64_t>> sizes = n.ints(3);
    if (!sizes)
      return n.refuse("its sizes must be constant");
    for (auto [j, axis] : llvm::enumerate(listed)) {
      std::optional<int64_t> extent = x.shape[axis].getConstantInt();
      if (!extent)
        return n.refuse("the extents of its input must be constant");
      double scale = double((*sizes)[j]) / *extent;
      if (!common)
        common = scale;
      else
        common = policy == "not_larger" ? std::min(*common, scale)
                                        : std::max(*common, scale);
    }
  }

  for (auto [j, axis] : llvm::enumerate(listed)) {
    ResizeAxis resized;
    resized.from = x.shape[axis];
    resized.to = shape[axis];
    if (common)
      resized.scale = common;
    else if (j < scales->size())
      resized.scale = (*scales)[j];
    if (extrapolates && roi->size() == 2 * listed.size()) {
      resized.roiStart = (*roi)[j];
      resized.roiEnd = (*roi)[j + listed.size()];
    }
    bool isWhole = !resized.scale || *resized.scale == 1.0;
    bool same = resized.from == resized.to && isWhole && !extrapolates;
    if (!same)
      axes[axis] = resized;
  }
  return success();
}

Value Resizer::scaleOf(Scalars &s, const ResizeAxis &axis) {
  if (axis.scale)
    return f64(s, *axis.scale);
  Type type = s.getF64Type();
  return s.div(s.toFloat(n.t.dim(axis.to), type),
               s.toFloat(n.t.dim(axis.from), type));
}

/// Where element `at` of the result lies in the input.
Value Resizer::coordinate(Scalars &s, const ResizeAxis &axis, Value at) {
  Type type = s.getF64Type();
  Value x = s.toFloat(at, type), scale = scaleOf(s, axis);
  Value from = s.toFloat(n.t.dim(axis.from), type);
  Value to = s.toFloat(n.t.dim(axis.to), type);
  Value one = f64(s, 1), half = f64(s, 0.5), zero = f64(s, 0);
  Value halfPixel = s.sub(s.div(s.add(x, half), scale), half);
  Value isSingle = s.le(to, one);
  if (transform == "asymmetric")
    return s.div(x, scale);
  if (transform == "align_corners") {
    // The end of a written scale may lie between two elements.
    Value last = axis.scale ? s.mul(from, scale) : to;
    Value span = s.sub(last, one);
    Value safe = s.select(s.eq(span, zero), one, span);
    Value value = s.div(s.mul(x, s.sub(from, one)), safe);
    return s.select(s.eq(span, zero), zero, value);
  }
  if (transform == "pytorch_half_pixel")
    return s.select(isSingle, zero, halfPixel);
  if (transform == "tf_half_pixel_for_nn")
    return s.div(s.add(x, half), scale);
  if (transform == "half_pixel_symmetric") {
    Value adjustment = s.div(to, s.mul(scale, from));
    Value centre = s.mul(from, half);
    return s.add(s.mul(centre, s.sub(one, adjustment)), halfPixel);
  }
  if (transform == "tf_crop_and_resize") {
    Value start = f64(s, axis.roiStart), end = f64(s, axis.roiEnd);
    Value last = s.sub(from, one);
    Value safe = s.select(isSingle, one, s.sub(to, one));
    Value moved = s.add(s.mul(start, last),
                        s.div(s.mul(x, s.mul(s.sub(end, start), last)), safe));
    Value middle = s.mul(half, s.mul(s.add(start, end), last));
    return s.select(isSingle, middle, moved);
  }
  return halfPixel;
}

Value Resizer::nearest(Scalars &s, Value x) {
  if (rounding == "floor")
    return s.floor(x);
  if (rounding == "ceil")
    return s.ceil(x);
  if (rounding == "round_prefer_ceil")
    return s.floor(s.add(x, f64(s, 0.5)));
  return s.ceil(s.sub(x, f64(s, 0.5)));
}

/// Antialiasing widens the kernel by 1 / scale; the weights add up to 1.
SmallVector<Tap> Resizer::smoothTaps(Scalars &s, const ResizeAxis &axis,
                                     Value x) {
  double scale = std::min(1.0, *axis.scale);
  double radius = (kernel == Kernel::Cubic ? 2.0 : 1.0) / scale;
  int64_t count = 2 * static_cast<int64_t>(std::ceil(radius));
  Value first = s.sub(floorIndex(s, x), s.index(count / 2 - 1));
  Value zero = s.index(0), last = s.sub(n.t.dim(axis.from), s.index(1));
  SmallVector<Tap> taps;
  Value sum = f64(s, 0);
  for (int64_t k = 0; k < count; ++k) {
    Value place = s.add(first, s.index(k));
    Value distance =
        s.mul(s.abs(s.sub(s.toFloat(place, s.getF64Type()), x)), f64(s, scale));
    Value weight;
    if (kernel == Kernel::Linear) {
      weight = s.max(s.sub(f64(s, 1), distance), f64(s, 0));
    } else {
      Value one = f64(s, 1), two = f64(s, 2);
      // Evaluated at |d|: the second weight is near(d), the first far(d + 1).
      Value near = cubicWeights(s, distance, cubic)[1];
      Value far = cubicWeights(s, s.sub(distance, one), cubic)[0];
      weight = s.select(s.lt(distance, one), near,
                        s.select(s.lt(distance, two), far, f64(s, 0)));
    }
    Value inside = s.logicalAnd(s.ge(place, zero), s.le(place, last));
    if (excludesOutside)
      weight = s.select(inside, weight, f64(s, 0));
    sum = s.add(sum, weight);
    taps.push_back({s.min(s.max(place, zero), last), weight, {}});
  }
  for (Tap &tap : taps)
    tap.weight = s.div(tap.weight, sum);
  return taps;
}

SmallVector<Tap> Resizer::taps(Scalars &s, const ResizeAxis &axis, Value at) {
  Value x = coordinate(s, axis, at);
  Value zero = s.index(0), last = s.sub(n.t.dim(axis.from), s.index(1));
  auto clamped = [&](Value place) { return s.min(s.max(place, zero), last); };
  if (kernel == Kernel::Nearest)
    return {{clamped(s.toIndex(nearest(s, x))), f64(s, 1), {}}};
  if (antialias && axis.scale && *axis.scale < 1.0)
    return smoothTaps(s, axis, x);

  Value base = floorIndex(s, x);
  Value t = s.sub(x, s.floor(x));
  SmallVector<Value> weights;
  int64_t first = 0;
  if (kernel == Kernel::Linear) {
    weights = {s.sub(f64(s, 1), t), t};
  } else {
    weights = cubicWeights(s, t, cubic);
    first = -1;
  }
  SmallVector<Tap> taps;
  Value sum = f64(s, 0);
  for (auto [k, weight] : llvm::enumerate(weights)) {
    Value place = s.add(base, s.index(first + static_cast<int64_t>(k)));
    if (excludesOutside) {
      Value inside = s.logicalAnd(s.ge(place, zero), s.le(place, last));
      weight = s.select(inside, weight, f64(s, 0));
      sum = s.add(sum, weight);
    }
    taps.push_back({clamped(place), weight, {}});
  }
  if (excludesOutside)
    for (Tap &tap : taps)
      tap.weight = s.div(tap.weight, sum);
  return taps;
}

LogicalResult Resizer::run() {
  bool isOld = n.opset() < 11 || n.op.getOpType() == "Upsample";
  StringRef mode = n.op.getString("mode", "nearest");
  transform = n.op.getString("coordinate_transformation_mode",
                             isOld ? "asymmetric" : "half_pixel");
  rounding =
      n.op.getString("nearest_mode", isOld ? "floor" : "round_prefer_floor");
  kernel = mode == "cubic"     ? Kernel::Cubic
           : mode == "nearest" ? Kernel::Nearest
                               : Kernel::Linear;
  excludesOutside = n.op.getInt("exclude_outside", 0) != 0;
  antialias = n.op.getInt("antialias", 0) != 0;
  cubic = n.op.getFloat("cubic_coeff_a", -0.75);
  if (failed(readAxes()))
    return failure();

  Tensor x = n.value(0);
  Type type = getComputeType(x.element);
  double outside = n.op.getFloat("extrapolation_value", 0.0);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        // The elements of the box of taps, one axis after the other.
        SmallVector<Value> position(coords);
        Value beyond;
        std::function<Value(unsigned)> sum = [&](unsigned axis) -> Value {
          if (axis == axes.size())
            return n.t.load(s, x, position);
          if (!axes[axis])
            return sum(axis + 1);
          SmallVector<Tap> list = taps(s, *axes[axis], coords[axis]);
          if (list.size() == 1) {
            position[axis] = list[0].place;
            return sum(axis + 1);
          }
          Value total;
          for (const Tap &tap : list) {
            position[axis] = tap.place;
            Value part =
                s.mul(s.toFloat(sum(axis + 1), s.getF64Type()), tap.weight);
            total = total ? s.add(total, part) : part;
          }
          return s.toFloat(total, s.getF64Type());
        };
        Value value = sum(0);
        if (isa<FloatType>(type))
          value = s.toFloat(value, type);
        else if (isa<FloatType>(value.getType()))
          value = s.toInteger(value, type, isUnsigned(x.element));
        if (!extrapolates)
          return value;
        for (auto [axis, resized] : llvm::enumerate(axes)) {
          if (!resized)
            continue;
          Value at = coordinate(s, *resized, coords[axis]);
          Value last = s.toFloat(s.sub(n.t.dim(resized->from), s.index(1)),
                                 s.getF64Type());
          Value out = s.logicalOr(s.lt(at, f64(s, 0)), s.gt(at, last));
          beyond = beyond ? s.logicalOr(beyond, out) : out;
        }
        return beyond ? s.select(beyond, s.constant(type, outside), value)
                      : value;
      }));
  return success();
}

static LogicalResult lowerResize(Node &n) { return Resizer(n).run(); }

//===----------------------------------------------------------------------===//
// GridSample
//===----------------------------------------------------------------------===//

namespace {

/// Samples x [N, C, spatial...] at points of [-1, 1]^d.
class GridSampler {
public:
  GridSampler(Node &n) : n(n) {}
  LogicalResult run();

private:
  enum class Padding { Zeros, Border, Reflection };
  Value denormalise(Scalars &s, Value point, Value extent);
  Value reflect(Scalars &s, Value x, Value low, Value high);
  Tap settle(Scalars &s, Value place, Value weight, Value extent);
  SmallVector<Tap> taps(Scalars &s, Value point, Value extent);

  Node &n;
  Kernel kernel = Kernel::Linear;
  Padding padding = Padding::Zeros;
  bool alignCorners = false;
};

} // namespace

Value GridSampler::denormalise(Scalars &s, Value point, Value extent) {
  Value one = f64(s, 1), half = f64(s, 0.5);
  Value size = s.toFloat(extent, s.getF64Type());
  Value shifted = s.add(point, one);
  if (alignCorners)
    return s.mul(s.mul(shifted, half), s.sub(size, one));
  return s.mul(s.sub(s.mul(shifted, size), one), half);
}

/// Back and forth between two borders.
Value GridSampler::reflect(Scalars &s, Value x, Value low, Value high) {
  Value span = s.sub(high, low), two = f64(s, 2);
  Value safe = s.select(s.eq(span, f64(s, 0)), f64(s, 1), span);
  // The distance from `low`, folded at twice the span.
  Value distance = s.abs(s.sub(x, low));
  Value period = s.mul(safe, two);
  Value rest = s.sub(distance, s.mul(s.floor(s.div(distance, period)), period));
  Value folded = s.select(s.gt(rest, safe), s.sub(period, rest), rest);
  return s.select(s.eq(span, f64(s, 0)), low, s.add(low, folded));
}

/// A tap at an integer place, moved inside or marked as outside.
Tap GridSampler::settle(Scalars &s, Value place, Value weight, Value extent) {
  Value zero = s.index(0), last = s.sub(extent, s.index(1));
  Value clamped = s.min(s.max(place, zero), last);
  if (padding == Padding::Border)
    return {clamped, weight, {}};
  if (padding == Padding::Zeros)
    return {clamped, weight,
            s.logicalAnd(s.ge(place, zero), s.le(place, last))};
  Type type = s.getF64Type();
  Value size = s.toFloat(extent, type), half = f64(s, 0.5);
  Value low = alignCorners ? f64(s, 0) : f64(s, -0.5);
  Value high = s.sub(size, alignCorners ? f64(s, 1) : half);
  Value x = reflect(s, s.toFloat(place, type), low, high);
  // Between the borders and the first or last element counts as that one.
  Value inside = s.toIndex(s.roundEven(x));
  return {s.min(s.max(inside, zero), last), weight, {}};
}

SmallVector<Tap> GridSampler::taps(Scalars &s, Value point, Value extent) {
  Value x = denormalise(s, point, extent);
  Type type = s.getF64Type();
  Value size = s.toFloat(extent, type);
  // The point itself is moved inside first; only cubic looks beyond.
  Value low = alignCorners ? f64(s, 0) : f64(s, -0.5);
  Value high = s.sub(size, alignCorners ? f64(s, 1) : f64(s, 0.5));
  if (kernel == Kernel::Nearest)
    x = s.roundEven(x);
  if (padding == Padding::Border && kernel != Kernel::Cubic)
    x = s.min(s.max(x, f64(s, 0)), s.sub(size, f64(s, 1)));
  if (padding == Padding::Reflection && kernel != Kernel::Cubic) {
    x = reflect(s, x, low, high);
    x = s.min(s.max(x, f64(s, 0)), s.sub(size, f64(s, 1)));
  }
  if (kernel == Kernel::Nearest)
    return {settle(s, s.toIndex(s.roundEven(x)), f64(s, 1), extent)};
  Value base = floorIndex(s, x), t = s.sub(x, s.floor(x));
  SmallVector<Value> weights;
  int64_t first = 0;
  if (kernel == Kernel::Linear) {
    weights = {s.sub(f64(s, 1), t), t};
  } else {
    weights = cubicWeights(s, t, -0.75);
    first = -1;
  }
  SmallVector<Tap> list;
  for (auto [k, weight] : llvm::enumerate(weights))
    list.push_back(settle(s,
                          s.add(base, s.index(first + static_cast<int64_t>(k))),
                          weight, extent));
  return list;
}

LogicalResult GridSampler::run() {
  StringRef mode =
      n.op.getString("mode", n.opset() < 20 ? "bilinear" : "linear");
  kernel = mode == "nearest"                      ? Kernel::Nearest
           : mode == "cubic" || mode == "bicubic" ? Kernel::Cubic
                                                  : Kernel::Linear;
  StringRef written = n.op.getString("padding_mode", "zeros");
  padding = written == "border"       ? Padding::Border
            : written == "reflection" ? Padding::Reflection
                                      : Padding::Zeros;
  alignCorners = n.op.getInt("align_corners", 0) != 0;
  Tensor x = n.value(0), grid = n.value(1);
  unsigned spatial = x.rank() - 2;
  Type type = getComputeType(x.element);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> at = {coords[0]};
        llvm::append_range(at, coords.drop_front(2));
        SmallVector<Value> position(coords.take_front(2));
        Value inside;
        std::function<Value(unsigned)> sum = [&](unsigned k) -> Value {
          if (k == spatial) {
            auto read = [&] {
              return s.toFloat(n.t.load(s, x, position), s.getF64Type());
            };
            if (!inside)
              return read();
            return s.select(inside, read(), f64(s, 0));
          }
          // The last number of a point belongs to the first spatial dim.
          SmallVector<Value> number(at);
          number.push_back(s.index(spatial - 1 - k));
          Value point = s.toFloat(n.t.load(s, grid, number), s.getF64Type());
          Value total;
          for (const Tap &tap : taps(s, point, n.t.dim(x.shape[k + 2]))) {
            Value outer = inside;
            if (tap.inside)
              inside = inside ? s.logicalAnd(inside, tap.inside) : tap.inside;
            position.push_back(tap.place);
            Value part = s.mul(sum(k + 1), tap.weight);
            position.pop_back();
            inside = outer;
            total = total ? s.add(total, part) : part;
          }
          return total;
        };
        return s.cast(sum(0), s.getF64Type(), type);
      }));
  return success();
}

static LogicalResult lowerGridSample(Node &n) { return GridSampler(n).run(); }

void lathe::addResampling(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"GridSample", 16, lowerGridSample},
      {"Resize", 10, lowerResize},
      {"Upsample", 7, lowerResize},
  };
  table.add("", rows);
}
