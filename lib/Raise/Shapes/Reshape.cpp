//===- Reshape.cpp - reshapes as index maps -------------------------------===//
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

namespace {
/// Walks the dims of one side that are not 1, a group at a time.
class Side {
public:
  explicit Side(ArrayRef<Poly> shape) {
    for (auto [k, extent] : llvm::enumerate(shape))
      if (!extent.isConstant(1))
        dims.push_back({static_cast<unsigned>(k), extent});
  }

  bool atEnd() const { return next == dims.size(); }
  void startGroup(IndexExprContext &context) {
    first = next;
    product = context.one();
  }
  void take() { product = product * dims[next++].second; }
  ArrayRef<std::pair<unsigned, Poly>> group() const {
    return ArrayRef(dims).slice(first, next - first);
  }

  Poly product;

private:
  SmallVector<std::pair<unsigned, Poly>> dims;
  unsigned first = 0, next = 0;
};
} // namespace

/// Extends both sides until their products are equal. False if they never are.
static bool closeGroup(IndexExprContext &context, Side &from, Side &to) {
  from.startGroup(context);
  to.startGroup(context);
  if (!from.atEnd())
    from.take();
  if (!to.atEnd())
    to.take();
  while (from.product != to.product) {
    if (!from.product || !to.product)
      return false;
    if (!from.atEnd() && context.exactDiv(to.product, from.product)) {
      from.take();
    } else if (!to.atEnd() && context.exactDiv(from.product, to.product)) {
      to.take();
    } else if (!from.atEnd() || !to.atEnd()) {
      if (!from.atEnd())
        from.take();
      if (!to.atEnd())
        to.take();
    } else {
      return false;
    }
  }
  return !from.group().empty() && !to.group().empty();
}

std::optional<SmallVector<Poly>>
lathe::reshapeIndexMap(IndexExprContext &context, ArrayRef<Poly> fromShape,
                       ArrayRef<Poly> toShape) {
  SmallVector<Poly> index(fromShape.size(), context.zero());
  Side from(fromShape), to(toShape);
  while (!from.atEnd() || !to.atEnd()) {
    if (!closeGroup(context, from, to))
      return std::nullopt;
    if (from.group().size() == 1 && to.group().size() == 1) {
      index[from.group()[0].first] = context.coord(to.group()[0].first);
      continue;
    }
    Poly linear = context.zero(), stride = context.one();
    for (auto [k, extent] : llvm::reverse(to.group())) {
      linear = linear + context.coord(k) * stride;
      stride = stride * extent;
    }
    stride = context.one();
    for (auto [k, extent] : llvm::reverse(from.group())) {
      Poly place = context.fdiv(linear, stride, toShape);
      bool isOutermost = k == from.group().front().first;
      index[k] = isOutermost ? place : context.mod(place, extent, toShape);
      if (!index[k])
        return std::nullopt;
      stride = stride * extent;
    }
  }
  return index;
}

/// The equality of two element counts, common factors taken out.
static void equateCounts(Node &n, ArrayRef<Poly> from, ArrayRef<Poly> to) {
  SmallVector<Poly> a, b;
  for (Poly extent : from)
    if (!extent.isConstant(1))
      a.push_back(extent);
  for (Poly extent : to) {
    if (extent.isConstant(1))
      continue;
    if (auto *it = llvm::find(a, extent); it != a.end())
      a.erase(it);
    else
      b.push_back(extent);
  }
  n.engine.equate(n.engine.product(a), n.engine.product(b), n.op);
}

static void reshapeTo(Node &n, SymbolicShape shape) {
  const ValueInfo &x = n.in(0);
  if (llvm::is_contained(shape, Poly()))
    return;
  if (x.kind == ValueInfo::FormKind::List && shape.size() <= 1) {
    if (x.form && shape.size() == x.rank()) {
      ValueInfo copy = x;
      copy.shape = shape;
      return n.setCopy(copy);
    }
    return n.setList(shape, x.list);
  }
  IndexExpr form = n.engine.formOf(x);
  if (form && form.coordMask() == 0)
    return n.setForm(shape, form);
  auto index = reshapeIndexMap(n.context, *x.shape, shape);
  if (!index)
    return n.setLeaf(shape);
  n.setMoved(x, *index, shape);
}

static void transferReshape(Node &n) {
  if (!n.ranked(0))
    return;
  std::optional<SmallVector<IndexExpr>> target;
  if (n.has(1)) {
    target = n.engine.listOf(n.in(1));
  } else if (auto written = n.op.getInts("shape")) {
    target.emplace();
    for (int64_t extent : *written)
      target->push_back(n.engine.dim(extent));
  }
  if (!target)
    return;
  const SymbolicShape &x = n.shape(0);
  bool zeroCopies = n.op.getInt("allowzero", 0) == 0;
  SymbolicShape shape;
  std::optional<unsigned> inferred;
  for (auto [k, e] : llvm::enumerate(*target)) {
    Poly extent = e.poly();
    if (!extent)
      return;
    if (extent.isConstant(0) && zeroCopies) {
      if (k >= x.size())
        return;
      extent = x[k];
    }
    if (extent.isConstant(-1))
      inferred = k;
    shape.push_back(extent);
  }
  if (!inferred) {
    if (n.engine.product(shape) != n.engine.product(x))
      equateCounts(n, x, shape);
    return reshapeTo(n, std::move(shape));
  }
  SymbolicShape others = shape;
  others.erase(others.begin() + *inferred);
  Poly total = n.engine.product(x), rest = n.engine.product(others);
  Poly quotient = n.context.exactDiv(total, rest);
  if (!quotient) {
    n.engine.require(DimCheck::Kind::Divides, rest, total, n.op);
    quotient = n.context.fdiv(total, rest);
  }
  shape[*inferred] = quotient;
  reshapeTo(n, std::move(shape));
}

static void transferFlatten(Node &n) {
  if (!n.ranked(0))
    return;
  const SymbolicShape &x = n.shape(0);
  int64_t axis = n.op.getInt("axis", 1);
  if (axis < 0)
    axis += x.size();
  if (axis < 0 || axis > int64_t(x.size()))
    return;
  ArrayRef<Poly> dims(x);
  reshapeTo(n, {n.engine.product(dims.take_front(axis)),
                n.engine.product(dims.drop_front(axis))});
}

void shapes::registerReshape(TransferTable &table) {
  table.add("Reshape", transferReshape);
  table.add("Flatten", transferFlatten);
}
