//===- Movement.cpp - operations that move elements -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

/// Concat of more inputs stays a leaf.
static constexpr unsigned kMaxConcatInputs = 4;
/// Lists may grow to this length by concatenation.
static constexpr size_t kMaxConcatList = 32;

static SmallVector<Poly> allCoords(IndexExprContext &context, unsigned rank) {
  SmallVector<Poly> index;
  for (unsigned k = 0; k != rank; ++k)
    index.push_back(context.coord(k));
  return index;
}

static void transferIdentity(Node &n) {
  if (n.has(0))
    n.setCopy(n.in(0));
}

/// The input itself, unless elements may be dropped.
static void transferDropout(Node &n) {
  if (!n.ranked(0))
    return;
  auto isZero = [&](unsigned k) {
    std::optional<Number> value = n.engine.uniformConstant(n.in(k));
    return value && value->isZero();
  };
  bool isTraining = n.has(2) && !isZero(2);
  bool drops = isTraining && !(n.has(1) && isZero(1));
  if (drops)
    n.setLeaf(n.shape(0));
  else
    n.setCopy(n.in(0));
  n.setLeaf(n.shape(0), 1);
}

static void transferUnsqueeze(Node &n) {
  bool known;
  auto axes = n.intsFrom(1, "axes", known);
  if (!n.ranked(0) || !axes)
    return;
  const ValueInfo &x = n.in(0);
  unsigned rank = x.rank() + axes->size();
  SmallVector<bool> isNew(rank, false);
  for (int64_t axis : *axes) {
    std::optional<unsigned> k = wrapAxis(axis, rank);
    if (!k || isNew[*k])
      return;
    isNew[*k] = true;
  }
  SymbolicShape shape;
  SmallVector<Poly> index;
  for (unsigned k = 0; k != rank; ++k) {
    if (isNew[k]) {
      shape.push_back(n.context.one());
      continue;
    }
    shape.push_back((*x.shape)[index.size()]);
    index.push_back(n.context.coord(k));
  }
  if (x.rank() == 0 && rank == 1)
    if (auto list = n.engine.listOf(x))
      return n.setList(shape, *list);
  n.setMoved(x, index, shape);
}

static void transferSqueeze(Node &n) {
  bool known;
  auto axes = n.intsFrom(1, "axes", known);
  if (!n.ranked(0) || !known)
    return;
  const ValueInfo &x = n.in(0);
  SmallVector<bool> isGone(x.rank(), false);
  if (axes) {
    for (int64_t axis : *axes) {
      std::optional<unsigned> k = wrapAxis(axis, x.rank());
      if (!k)
        return;
      isGone[*k] = true;
    }
  } else {
    for (auto [k, extent] : llvm::enumerate(*x.shape))
      isGone[k] = extent.isConstant(1);
  }
  SymbolicShape shape;
  SmallVector<Poly> index;
  for (auto [k, extent] : llvm::enumerate(*x.shape)) {
    if (!isGone[k]) {
      index.push_back(n.context.coord(shape.size()));
      shape.push_back(extent);
      continue;
    }
    index.push_back(n.context.zero());
    n.engine.equate(extent, n.context.one(), n.op);
  }
  if (shape.empty())
    if (auto list = n.engine.listOf(x); list && list->size() == 1)
      return n.setList(shape, *list);
  n.setMoved(x, index, shape);
}

static void transferTranspose(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  unsigned rank = x.rank();
  SmallVector<int64_t> perm;
  if (std::optional<ArrayRef<int64_t>> written = n.op.getInts("perm"))
    perm.assign(written->begin(), written->end());
  else
    for (unsigned k = 0; k != rank; ++k)
      perm.push_back(rank - 1 - k);
  SmallVector<Poly> index(rank);
  SymbolicShape shape;
  if (perm.size() != rank)
    return;
  for (auto [k, from] : llvm::enumerate(perm)) {
    if (from < 0 || from >= int64_t(rank) || index[from])
      return;
    index[from] = n.context.coord(k);
    shape.push_back((*x.shape)[from]);
  }
  n.setMoved(x, index, shape);
}

static void transferExpand(Node &n) {
  if (!n.ranked(0) || !n.has(1))
    return;
  auto target = n.engine.listOf(n.in(1));
  if (!target)
    return;
  SymbolicShape wanted;
  for (IndexExpr e : *target)
    wanted.push_back(e.poly());
  const ValueInfo &x = n.in(0);
  SymbolicShape shape = n.engine.broadcast(*x.shape, wanted, n.op);
  if (shape == *x.shape)
    return n.setCopy(x);
  n.setForm(shape, n.engine.aligned(x, shape));
}

/// A constant bound of a slice within [0, extent].
static Poly clampConstant(Node &n, int64_t value, Poly extent) {
  IndexExprContext &context = n.context;
  // What exporters write for "to the end".
  constexpr int64_t kBeyond = INT32_MAX;
  if (value >= kBeyond)
    return extent;
  if (value <= -kBeyond || value == 0)
    return context.zero();
  if (std::optional<int64_t> size = extent.getConstantInt())
    return n.engine.dim(
        std::clamp<int64_t>(value < 0 ? value + *size : value, 0, *size));
  Poly length = n.engine.dim(std::abs(value));
  Poly bound = value < 0 ? extent - length : length;
  if (context.isNonNegative(extent - length))
    return bound;
  // The first or the last element: an empty dim is refused, which keeps all
  // that follows affine.
  if (length.isConstant(1)) {
    n.engine.require(DimCheck::Kind::LessEqual, length, extent, n.op);
    return bound;
  }
  return value < 0 ? context.max(bound, context.zero())
                   : context.min(bound, extent);
}

/// The bound of a slice within [0, extent].
static Poly clampBound(Node &n, Poly bound, Poly extent) {
  IndexExprContext &context = n.context;
  if (!bound || !extent)
    return {};
  if (std::optional<int64_t> value = bound.getConstantInt())
    return clampConstant(n, *value, extent);
  bool isNegative = llvm::all_of(
      bound.terms(), [](const Term &term) { return term.coef.isNegative(); });
  if (isNegative) {
    bound = bound + extent;
    if (bound && !context.isNonNegative(bound))
      n.engine.require(DimCheck::Kind::LessEqual, context.zero(), bound, n.op);
  }
  if (!bound || context.isNonNegative(extent - bound))
    return bound;
  if (context.isNonNegative(bound - extent))
    return extent;
  // Beyond a table of fixed size there is nothing to compute with.
  if (extent.isConstant()) {
    n.engine.require(DimCheck::Kind::LessEqual, bound, extent, n.op);
    return bound;
  }
  return context.min(bound, extent);
}

/// The elements from `from` up to `to`, both within [0, extent].
static Poly sliceLength(Node &n, Poly from, Poly to, Poly extent) {
  Poly length = to - from;
  if (!length || to == extent || n.context.isNonNegative(length))
    return length;
  if (from == extent || n.context.isNonNegative(-length))
    return n.context.zero();
  if (!length.isShape())
    return n.context.max(length, n.context.zero());
  n.engine.require(DimCheck::Kind::LessEqual, from, to, n.op);
  return length;
}

namespace {
struct SliceBounds {
  SmallVector<IndexExpr> starts, ends;
  SmallVector<int64_t> axes, steps;
};
} // namespace

/// Operands from opset 10, attributes before.
static std::optional<SliceBounds> sliceBounds(Node &n) {
  SliceBounds bounds;
  if (n.has(1)) {
    auto starts = n.engine.listOf(n.in(1));
    std::optional<SmallVector<IndexExpr>> ends;
    if (n.has(2))
      ends = n.engine.listOf(n.in(2));
    if (!starts || !ends)
      return std::nullopt;
    bounds.starts = *starts;
    bounds.ends = *ends;
  } else {
    auto starts = n.op.getInts("starts"), ends = n.op.getInts("ends");
    if (!starts || !ends)
      return std::nullopt;
    for (int64_t value : *starts)
      bounds.starts.push_back(n.engine.dim(value));
    for (int64_t value : *ends)
      bounds.ends.push_back(n.engine.dim(value));
  }
  size_t count = bounds.starts.size();
  bool known;
  auto axes = n.intsFrom(3, "axes", known);
  if (!known)
    return std::nullopt;
  if (axes)
    bounds.axes = *axes;
  else
    for (size_t k = 0; k != count; ++k)
      bounds.axes.push_back(k);
  bounds.steps.assign(count, 1);
  if (n.has(4)) {
    auto steps = n.engine.intsOf(n.in(4));
    if (!steps)
      return std::nullopt;
    bounds.steps = *steps;
  }
  if (bounds.ends.size() != count || bounds.axes.size() != count ||
      bounds.steps.size() != count)
    return std::nullopt;
  return bounds;
}

/// A dim that is walked backwards: from static bounds, or the whole of it.
static bool sliceBackward(Node &n, Poly start, Poly end, int64_t step,
                          Poly extent, unsigned k, Poly &length, Poly &index) {
  std::optional<int64_t> first = start ? start.getConstantInt() : std::nullopt;
  std::optional<int64_t> last = end ? end.getConstantInt() : std::nullopt;
  if (!first || !last || step == INT64_MIN)
    return false;
  if (std::optional<int64_t> size = extent.getConstantInt()) {
    auto clamp = [&](int64_t bound, int64_t low) {
      return std::clamp<int64_t>(bound < 0 ? bound + *size : bound, low,
                                 *size - 1);
    };
    // -1 is the place before the first element.
    int64_t from = clamp(*first, 0), to = clamp(*last, -1);
    length = n.engine.dim(std::max<int64_t>(0, (to - from + step + 1) / step));
    index = n.engine.dim(from) + n.context.coord(k) * step;
    return true;
  }
  bool isWhole = (*first == -1 || *first >= INT32_MAX) && *last <= -INT32_MAX;
  if (step != -1 || !isWhole)
    return false;
  index = extent - 1 - n.context.coord(k);
  return true;
}

static void transferSlice(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  std::optional<SliceBounds> bounds = sliceBounds(n);
  if (!bounds)
    return;
  IndexExprContext &context = n.context;
  SymbolicShape shape = *x.shape;
  SmallVector<Poly> index = allCoords(context, x.rank());
  for (auto [start, end, axis, step] : llvm::zip_equal(
           bounds->starts, bounds->ends, bounds->axes, bounds->steps)) {
    std::optional<unsigned> k = wrapAxis(axis, x.rank());
    if (!k || step == 0)
      return;
    Poly extent = (*x.shape)[*k];
    if (step < 0) {
      if (!sliceBackward(n, start.poly(), end.poly(), step, extent, *k,
                         shape[*k], index[*k]))
        return;
      continue;
    }
    Poly from = clampBound(n, start.poly(), extent);
    Poly to = clampBound(n, end.poly(), extent);
    Poly length = from && to ? sliceLength(n, from, to, extent) : Poly();
    if (!length)
      return;
    shape[*k] = step == 1
                    ? length
                    : context.fdiv(length + (step - 1), n.engine.dim(step));
    index[*k] = from + context.coord(*k) * step;
  }
  if (x.kind == ValueInfo::FormKind::List && x.rank() == 1) {
    SmallVector<IndexExpr> list;
    std::optional<int64_t> length = shape[0].getConstantInt();
    for (int64_t k = 0; length && k != *length; ++k) {
      std::optional<int64_t> from =
          context.substitute(index[0], n.engine.dim(k)).getConstantInt();
      if (!from || *from < 0 || *from >= int64_t(x.list.size()))
        return n.setMoved(x, index, shape);
      list.push_back(x.list[*from]);
    }
    if (length)
      return n.setList(shape, list);
  }
  n.setMoved(x, index, shape);
}

/// Sizes of `count` equal parts of a dim; the last may be smaller.
static SmallVector<Poly> equalParts(Node &n, Poly extent, unsigned count) {
  SmallVector<Poly> sizes;
  if (std::optional<int64_t> total = extent.getConstantInt()) {
    int64_t part = (*total + count - 1) / count;
    for (unsigned k = 0; k != count; ++k)
      sizes.push_back(n.engine.dim(
          std::max<int64_t>(0, std::min(part, *total - part * k))));
    return sizes;
  }
  Poly divisor = n.engine.dim(count);
  if (n.op.getOpset() < 18) {
    n.engine.require(DimCheck::Kind::Divides, divisor, extent, n.op);
    sizes.assign(count, n.context.fdiv(extent, divisor));
    return sizes;
  }
  Poly part = n.context.fdiv(extent + (count - 1), divisor);
  sizes.assign(count - 1, part);
  Poly before = part * (count - 1);
  n.engine.require(DimCheck::Kind::LessEqual, before, extent, n.op);
  sizes.push_back(extent - before);
  return sizes;
}

static void transferSplit(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  std::optional<unsigned> axis = n.axis("axis", 0, x.rank());
  if (!axis)
    return;
  unsigned count = n.numResults();
  Poly extent = (*x.shape)[*axis];
  SmallVector<Poly> sizes;
  if (n.has(1)) {
    auto list = n.engine.listOf(n.in(1));
    if (!list)
      return;
    for (IndexExpr e : *list)
      sizes.push_back(e.poly());
  } else if (auto written = n.op.getInts("split")) {
    for (int64_t size : *written)
      sizes.push_back(n.engine.dim(size));
  } else {
    sizes = equalParts(n, extent, count);
  }
  if (sizes.size() != count)
    return;
  Poly offset = n.context.zero();
  for (unsigned k = 0; k != count; ++k) {
    SymbolicShape shape = *x.shape;
    shape[*axis] = sizes[k];
    SmallVector<Poly> index = allCoords(n.context, x.rank());
    index[*axis] = index[*axis] + offset;
    std::optional<int64_t> from = offset.getConstantInt();
    std::optional<int64_t> size = sizes[k].getConstantInt();
    if (x.kind == ValueInfo::FormKind::List && x.rank() == 1 && from && size &&
        *from >= 0 && *size >= 0 && *from + *size <= int64_t(x.list.size()))
      n.setList(shape, ArrayRef<IndexExpr>(x.list).slice(*from, *size), k);
    else
      n.setMoved(x, index, shape, k);
    offset = offset + sizes[k];
  }
}

static void transferConcat(Node &n) {
  unsigned count = n.numInputs();
  for (unsigned k = 0; k != count; ++k)
    if (!n.ranked(k) || n.in(k).rank() != n.in(0).rank())
      return;
  if (count == 0)
    return;
  unsigned rank = n.in(0).rank();
  std::optional<unsigned> axis = n.axis("axis", 0, rank);
  if (!axis)
    return;
  if (count == 1)
    return n.setCopy(n.in(0));
  if (rank == 1) {
    SmallVector<IndexExpr> all;
    bool known = true;
    for (unsigned k = 0; known && k != count; ++k) {
      auto list = n.engine.listOf(n.in(k));
      known = list.has_value();
      if (known)
        all.append(list->begin(), list->end());
    }
    if (known && all.size() <= kMaxConcatList)
      return n.setList({n.engine.dim(all.size())}, all);
  }

  IndexExprContext &context = n.context;
  SymbolicShape shape = n.shape(0);
  SmallVector<Poly> ends = {shape[*axis]};
  for (unsigned k = 1; k != count; ++k) {
    for (auto [d, extent] : llvm::enumerate(n.shape(k))) {
      if (d == *axis) {
        ends.push_back(ends.back() + extent);
        continue;
      }
      n.engine.equate(shape[d], extent, n.op);
      if (extent.isConstant())
        shape[d] = extent;
    }
  }
  shape[*axis] = ends.back();
  if (count > kMaxConcatInputs || llvm::is_contained(shape, Poly()))
    return n.setLeaf(shape);

  // Where a part is empty its condition is never true, so nothing is read.
  IndexExpr form;
  for (unsigned k = count; k-- != 0;) {
    SmallVector<Poly> index = allCoords(context, rank);
    if (k != 0)
      index[*axis] = index[*axis] - ends[k - 1];
    for (auto [d, extent] : llvm::enumerate(n.shape(k)))
      if (extent.isConstant(1))
        index[d] = context.zero();
    IndexExpr part = context.substitute(n.engine.formOf(n.in(k)), index, shape);
    if (k + 1 == count) {
      form = part;
      continue;
    }
    Pred here = context.le(context.coord(*axis), ends[k] - 1, shape);
    form = n.engine.choose(here, part, form, shape);
  }
  n.setForm(shape, form);
}

static void transferTrilu(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() < 2)
    return;
  const ValueInfo &x = n.in(0);
  std::optional<int64_t> offset = 0;
  if (n.has(1)) {
    auto ints = n.engine.intsOf(n.in(1));
    offset =
        ints && ints->size() == 1 ? std::optional((*ints)[0]) : std::nullopt;
  }
  if (!offset || !n.engine.isIndexy(x))
    return n.setLeaf(x.shape);
  unsigned rank = x.rank();
  SmallVector<Poly> index = n.engine.identityIndex(*x.shape);
  Poly above = index[rank - 1] - index[rank - 2] - *offset;
  Pred keep =
      n.context.nonNeg(n.op.getInt("upper", 1) ? above : -above, *x.shape);
  IndexExpr form = n.engine.formOf(x);
  IndexExpr zero = form.isPred() ? IndexExpr(n.context.getFalse())
                                 : IndexExpr(n.context.zero());
  n.setForm(*x.shape, n.engine.choose(keep, form, zero));
}

static void transferTile(Node &n) {
  if (!n.ranked(0) || !n.has(1))
    return;
  const ValueInfo &x = n.in(0);
  auto repeats = n.engine.listOf(n.in(1));
  if (!repeats || repeats->size() != x.rank())
    return;
  SymbolicShape shape;
  for (auto [extent, repeat] : llvm::zip_equal(*x.shape, *repeats))
    shape.push_back(extent * repeat.poly());
  if (llvm::is_contained(shape, Poly()))
    return;
  SmallVector<Poly> index;
  for (auto [k, extent] : llvm::enumerate(*x.shape))
    index.push_back(shape[k] == extent
                        ? n.context.coord(k)
                        : n.context.mod(n.context.coord(k), extent, shape));
  n.setMoved(x, index, shape);
}

/// Operands from opset 11, attributes before.
static std::optional<SmallVector<IndexExpr>> padAmounts(Node &n) {
  if (n.has(1))
    return n.engine.listOf(n.in(1));
  auto written = n.op.getInts("pads");
  if (!written)
    return std::nullopt;
  SmallVector<IndexExpr> amounts;
  for (int64_t amount : *written)
    amounts.push_back(n.engine.dim(amount));
  return amounts;
}

static void transferPad(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  auto amounts = padAmounts(n);
  SmallVector<int64_t> axes;
  if (n.has(3)) {
    auto given = n.engine.intsOf(n.in(3));
    if (!given)
      return;
    axes = *given;
  } else {
    for (unsigned k = 0; k != x.rank(); ++k)
      axes.push_back(k);
  }
  if (!amounts || amounts->size() != 2 * axes.size())
    return;
  IndexExprContext &context = n.context;
  SymbolicShape shape = *x.shape;
  SmallVector<Poly> index = allCoords(context, x.rank());
  SmallVector<unsigned> padded;
  for (auto [j, axis] : llvm::enumerate(axes)) {
    std::optional<unsigned> k = wrapAxis(axis, x.rank());
    Poly before = (*amounts)[j].poly();
    Poly after = (*amounts)[j + axes.size()].poly();
    if (!k || !before || !after)
      return;
    if (before.isConstant(0) && after.isConstant(0))
      continue;
    padded.push_back(*k);
    shape[*k] = shape[*k] + before + after;
    index[*k] = index[*k] - before;
    // Negative pads cut.
    if (shape[*k] && !context.isNonNegative(shape[*k]))
      n.engine.require(DimCheck::Kind::LessEqual, context.zero(), shape[*k],
                       n.op);
  }
  if (padded.empty())
    return n.setCopy(x);
  Number fill = Number::fromDouble(n.op.getFloat("value", 0.0));
  if (n.has(2)) {
    std::optional<Number> value = n.engine.uniformConstant(n.in(2));
    if (!value)
      return n.setLeaf(shape);
    fill = *value;
  }
  if (n.op.getString("mode", "constant") != "constant" ||
      llvm::is_contained(shape, Poly()))
    return n.setLeaf(shape);
  IndexExpr form = n.engine.moved(x, index, shape);
  if (!form || form.isPred())
    return n.setLeaf(shape);
  SmallVector<Pred> inside;
  for (unsigned k : padded) {
    inside.push_back(context.nonNeg(index[k], shape));
    inside.push_back(context.le(index[k], (*x.shape)[k] - 1, shape));
  }
  n.setForm(shape, context.select(context.conj(inside), form.poly(),
                                  context.constant(fill), shape));
}

static void requireMultiple(Node &n, Poly extent, Poly divisor) {
  if (!n.context.exactDiv(extent, divisor))
    n.engine.require(DimCheck::Kind::Divides, divisor, extent, n.op);
}

static void transferSpaceToDepth(Node &n) {
  int64_t block = n.op.getInt("blocksize", 0);
  if (!n.ranked(0) || n.in(0).rank() != 4 || block <= 0)
    return;
  IndexExprContext &context = n.context;
  const SymbolicShape &x = n.shape(0);
  Poly b = n.engine.dim(block), c = x[1];
  requireMultiple(n, x[2], b);
  requireMultiple(n, x[3], b);
  SymbolicShape shape = {x[0], c * (block * block), context.fdiv(x[2], b),
                         context.fdiv(x[3], b)};
  // DCR: channel = (row in block * block + column in block) * C + channel of x;
  // CRD: the channel of x first.
  bool depthFirst = n.op.getString("mode", "DCR") == "DCR";
  Poly places = n.engine.dim(block * block), channel = context.coord(1);
  Poly place = depthFirst ? context.fdiv(channel, c, shape)
                          : context.mod(channel, places, shape);
  SmallVector<Poly> index = {
      context.coord(0),
      depthFirst ? context.mod(channel, c, shape)
                 : context.fdiv(channel, places, shape),
      context.coord(2) * block + context.fdiv(place, b, shape),
      context.coord(3) * block + context.mod(place, b, shape)};
  n.setMoved(n.in(0), index, shape);
}

static void transferDepthToSpace(Node &n) {
  int64_t block = n.op.getInt("blocksize", 0);
  if (!n.ranked(0) || n.in(0).rank() != 4 || block <= 0)
    return;
  IndexExprContext &context = n.context;
  const SymbolicShape &x = n.shape(0);
  Poly b = n.engine.dim(block);
  requireMultiple(n, x[1], n.engine.dim(block * block));
  Poly c = context.fdiv(x[1], n.engine.dim(block * block));
  SymbolicShape shape = {x[0], c, x[2] * block, x[3] * block};
  if (llvm::is_contained(shape, Poly()))
    return;
  Poly row = context.coord(2), column = context.coord(3);
  Poly inRow = context.mod(row, b, shape),
       inColumn = context.mod(column, b, shape);
  Poly place = inRow * block + inColumn;
  Poly channel = n.op.getString("mode", "DCR") == "DCR"
                     ? place * c + context.coord(1)
                     : context.coord(1) * (block * block) + place;
  SmallVector<Poly> index = {context.coord(0), channel,
                             context.fdiv(row, b, shape),
                             context.fdiv(column, b, shape)};
  n.setMoved(n.in(0), index, shape);
}

void shapes::registerMovement(TransferTable &table) {
  table.add("Identity", transferIdentity);
  table.add("Dropout", transferDropout);
  table.add("Unsqueeze", transferUnsqueeze);
  table.add("Squeeze", transferSqueeze);
  table.add("Transpose", transferTranspose);
  table.add("Expand", transferExpand);
  table.add("Slice", transferSlice);
  table.add("Split", transferSplit);
  table.add("Concat", transferConcat);
  table.add("Trilu", transferTrilu);
  table.add("Tile", transferTile);
  table.add("Pad", transferPad);
  table.add("SpaceToDepth", transferSpaceToDepth);
  table.add("DepthToSpace", transferDepthToSpace);
}
