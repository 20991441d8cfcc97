//===- RaiseRope.cpp - rotary embeddings in all spellings -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A value is rotated if each of its columns is `cos * a - sin * b` of a pair of
// columns (a, b) of one tensor. How the pair is laid out, and whether it was
// sliced, negated, stacked or concatenated, shows in closed forms alone: the
// columns are looked at as functions of the pair's number.
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Forms.h"
#include "Heads.h"
#include "lathe/IndexExpr/Evaluate.h"
#include "lathe/Raise/MaskForm.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {
#define GEN_PASS_DEF_RAISEROPE
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseRope : lathe::impl::RaiseRopeBase<RaiseRope> {
  void runOnOperation() override;
};

/// `factor * base[index]`.
struct Rotated {
  Poly factor;
  unsigned base;
  SmallVector<Poly, 4> index;

  bool readsAs(const Rotated &other) const {
    return base == other.base && index == other.index;
  }
};

/// A rotation found at a value. Forms are over the value's own coordinates, the
/// last of which is the number of the pair (`cos`, `sin`) or the column
/// (`index`).
struct Rotation {
  Value value;
  RopeLayout layout;
  int64_t size, rotarySize;
  unsigned base;
  SmallVector<Poly, 4> index;
  Poly cos, sin;
};

/// Where batch, head and row are among a value's coordinates.
struct Axes {
  HeadSplit heads;
  /// Coordinates of the value, last one left out, over (b, h, i).
  SmallVector<Poly, 4> coords;
  /// [b, i, h] over the value's coordinates.
  Poly batchIndex, rowIndex, headIndex;
  Poly rows;
};

class RopeRaiser {
public:
  RopeRaiser(func::FuncOp entry, const SymbolicShapes &shapes)
      : block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes) {}

  void run();

private:
  std::optional<SmallVector<Rotated, 2>> columnsAt(Value value, Poly column,
                                                   Poly extent);
  bool addTerms(Value value, ArrayRef<Poly> index, Extents extents,
                Number factor, SmallVectorImpl<Rotated> &terms);
  bool addProduct(OnnxOp product, ArrayRef<Poly> index, Extents extents,
                  Number factor, SmallVectorImpl<Rotated> &terms);
  bool areEqual(Poly p, Poly q, ArrayRef<Poly> extents);
  bool isPair(ArrayRef<Rotated> first, ArrayRef<Rotated> second,
              ArrayRef<Poly> extents, Rotated &a, Rotated &b, Poly &cos,
              Poly &sin);
  std::optional<Rotation> match(Value value);
  std::optional<Rotation> match(Value value, RopeLayout layout, int64_t size,
                                int64_t rotarySize);
  std::optional<Axes> findAxes(const Rotation &rotation);
  void raise(const Rotation &rotation);
  void raiseNode(OnnxOp op);

  Block &block;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  Raiser raiser;
  FormBuilder forms;
  /// Constants that forms read.
  DenseMap<unsigned, std::optional<FloatConstant>> tables;
};

} // namespace

//===----------------------------------------------------------------------===//
// Columns
//===----------------------------------------------------------------------===//

/// A product of an activation and a table.
bool RopeRaiser::addProduct(OnnxOp product, ArrayRef<Poly> index,
                            Extents extents, Number factor,
                            SmallVectorImpl<Rotated> &terms) {
  for (unsigned side : {0u, 1u}) {
    Value x = product.getInputs()[side], table = product.getInputs()[1 - side];
    std::optional<ArrayRef<Poly>> xs = shapes.shapeOf(x),
                                  ts = shapes.shapeOf(table);
    if (!xs || !ts || xs->size() > index.size() || ts->size() > index.size() ||
        !shapes.isIndexy(table) || shapes.isIndexy(x))
      continue;
    Poly tableForm =
        shapes.formAt(table, index.take_back(ts->size()), extents).poly();
    Poly xForm = shapes.formAt(x, index.take_back(xs->size()), extents).poly();
    std::optional<SmallVector<ReadBranch>> branches = readBranches(xForm);
    if (!tableForm || !branches || branches->size() != 1)
      return false;
    std::optional<Number> scale = Number::mul(factor, branches->front().coef);
    Poly total = scale ? context.scale(tableForm, *scale) : Poly();
    if (!total)
      return false;
    terms.push_back({total, branches->front().id, branches->front().index});
    return true;
  }
  return false;
}

/// The element of `value` at `index` as at most two products.
bool RopeRaiser::addTerms(Value value, ArrayRef<Poly> index, Extents extents,
                          Number factor, SmallVectorImpl<Rotated> &terms) {
  OnnxOp op = getCarrier(value);
  if (op && op.is("Mul"))
    return addProduct(op, index, extents, factor, terms);
  if (!op || !(op.is("Add") || op.is("Sub")))
    return false;
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(input);
    if (!shape || shape->size() > index.size())
      return false;
    Poly form =
        shapes.formAt(input, index.take_back(shape->size()), extents).poly();
    std::optional<SmallVector<ReadBranch>> branches = readBranches(form);
    if (!branches || branches->size() != 1)
      return false;
    const ReadBranch &branch = branches->front();
    std::optional<Number> scale = Number::mul(factor, branch.coef);
    if (scale && op.is("Sub") && i == 1)
      scale = Number::mul(*scale, Number(-1));
    OnnxOp product = getCarrier(shapes.valueOfRead(branch.id), "Mul");
    if (!scale || !product ||
        !addProduct(product, branch.index, extents, *scale, terms))
      return false;
  }
  return true;
}

/// The columns `column` of `value`, which names the pair by the last
/// coordinate, running over `extent`.
std::optional<SmallVector<Rotated, 2>>
RopeRaiser::columnsAt(Value value, Poly column, Poly extent) {
  ArrayRef<Poly> shape = *shapes.shapeOf(value);
  SmallVector<Poly, 4> extents(shape), coords = getIdentity(context, shape);
  extents.back() = extent;
  coords.back() = column;
  Poly form = shapes.formAt(value, coords, extents).poly();
  std::optional<SmallVector<ReadBranch>> branches = readBranches(form);
  if (!branches || branches->size() != 1)
    return std::nullopt;
  const ReadBranch &branch = branches->front();
  SmallVector<Rotated, 2> terms;
  Value read = shapes.valueOfRead(branch.id);
  if (addTerms(read, branch.index, extents, branch.coef, terms) &&
      terms.size() == 2)
    return terms;
  // A column that is not rotated.
  terms.assign(1, {context.constant(branch.coef), branch.id, branch.index});
  return terms;
}

//===----------------------------------------------------------------------===//
// Matching
//===----------------------------------------------------------------------===//

/// True if both tables have the same numbers: constants of a file often hold
/// each column twice.
bool RopeRaiser::areEqual(Poly p, Poly q, ArrayRef<Poly> extents) {
  if (p == q)
    return true;
  constexpr int64_t kLimit = 1 << 18;
  if (!p.usesReads() || !q.usesReads() || p.size() != q.size())
    return false;
  SmallVector<int64_t> sizes;
  int64_t count = 1;
  for (auto [k, extent] : llvm::enumerate(extents)) {
    bool isUsed = p.usesCoord(k) || q.usesCoord(k);
    std::optional<int64_t> size =
        isUsed ? extent.getConstantInt() : std::optional<int64_t>(1);
    if (!size || *size <= 0 || (count *= *size) > kLimit)
      return false;
    sizes.push_back(*size);
  }
  auto noDims = [](StringRef) -> std::optional<int64_t> {
    return std::nullopt;
  };
  auto read = [&](unsigned id,
                  ArrayRef<int64_t> index) -> std::optional<Number> {
    auto [slot, isNew] = tables.try_emplace(id);
    if (isNew)
      slot->second = evaluateConstant(shapes.valueOfRead(id), kLimit);
    const std::optional<FloatConstant> &table = slot->second;
    if (!table || table->shape.size() != index.size())
      return std::nullopt;
    int64_t flat = 0;
    for (auto [extent, i] : llvm::zip(table->shape, index)) {
      if (i < 0 || i >= extent)
        return std::nullopt;
      flat = flat * extent + i;
    }
    return Number::fromDouble(table->values[flat]);
  };
  SmallVector<int64_t> coords(sizes.size(), 0);
  for (int64_t n = 0; n < count; ++n) {
    Evaluator evaluate(noDims, coords, read);
    std::optional<Number> x = evaluate(p), y = evaluate(q);
    if (!x || !y || !(*x == *y))
      return false;
    for (unsigned k = coords.size(); k-- > 0;) {
      if (++coords[k] < sizes[k])
        break;
      coords[k] = 0;
    }
  }
  return true;
}

/// first = cos * a - sin * b, second = cos * b + sin * a: true and the terms in
/// this order.
bool RopeRaiser::isPair(ArrayRef<Rotated> first, ArrayRef<Rotated> second,
                        ArrayRef<Poly> extents, Rotated &a, Rotated &b,
                        Poly &cos, Poly &sin) {
  if (first.size() != 2 || second.size() != 2)
    return false;
  for (unsigned i : {0u, 1u})
    for (unsigned j : {0u, 1u}) {
      a = first[i];
      b = first[1 - i];
      const Rotated &cosB = second[j], &sinA = second[1 - j];
      cos = a.factor;
      sin = context.neg(b.factor);
      if (cosB.readsAs(b) && sinA.readsAs(a) && !a.readsAs(b) &&
          areEqual(cosB.factor, cos, extents) &&
          areEqual(sinA.factor, sin, extents))
        return true;
    }
  return false;
}

/// The index with its last coordinate multiplied out of steps of `step`.
static std::optional<SmallVector<Poly, 4>> perColumn(IndexExprContext &context,
                                                     ArrayRef<Poly> index,
                                                     unsigned last,
                                                     int64_t step) {
  SmallVector<Poly, 4> result;
  for (Poly p : index) {
    Poly rest;
    Poly factor = p.coefficientOf(last, &rest);
    Poly own =
        factor ? context.exactDiv(factor, context.constant(step)) : Poly();
    if (!own)
      return std::nullopt;
    result.push_back(rest + own * context.coord(last));
  }
  return result;
}

std::optional<Rotation> RopeRaiser::match(Value value, RopeLayout layout,
                                          int64_t size, int64_t rotarySize) {
  if (rotarySize <= 0 || rotarySize % 2 != 0 || rotarySize > size)
    return std::nullopt;
  unsigned last = shapes.shapeOf(value)->size() - 1;
  int64_t pairs = rotarySize / 2;
  bool isHalf = layout == RopeLayout::Half;
  Poly number = pairs == 1 ? context.zero() : context.coord(last);
  Poly firstColumn = isHalf ? number : number * 2;
  Poly secondColumn = isHalf ? number + pairs : number * 2 + 1;
  Poly extent = context.constant(pairs);
  auto first = columnsAt(value, firstColumn, extent);
  if (!first || first->size() != 2)
    return std::nullopt;
  auto second = columnsAt(value, secondColumn, extent);
  SmallVector<Poly, 4> extents(*shapes.shapeOf(value));
  extents.back() = extent;
  Rotated a, b;
  Poly cos, sin;
  if (!second || !isPair(*first, *second, extents, a, b, cos, sin) ||
      a.base != b.base)
    return std::nullopt;

  // Both columns must be reads of one tensor by the column.
  std::optional<SmallVector<Poly, 4>> index;
  if (pairs == 1) {
    index.emplace();
    for (auto [p, q] : llvm::zip(a.index, b.index))
      index->push_back(p + (q - p) * context.coord(last));
  } else {
    index = perColumn(context, a.index, last, isHalf ? 1 : 2);
  }
  if (!index)
    return std::nullopt;
  SmallVector<Poly, 4> coords(last + 1);
  auto readsColumn = [&](ArrayRef<Poly> found, Poly column) {
    coords[last] = column;
    return llvm::all_of(llvm::zip(found, *index), [&](auto pair) {
      return std::get<0>(pair) == context.substitute(std::get<1>(pair), coords);
    });
  };
  if (!readsColumn(b.index, secondColumn))
    return std::nullopt;
  if (rotarySize < size) {
    int64_t restSize = size - rotarySize;
    Poly restColumn =
        (restSize == 1 ? context.zero() : context.coord(last)) + rotarySize;
    auto rest = columnsAt(value, restColumn, context.constant(restSize));
    if (!rest || rest->size() != 1 || rest->front().base != a.base ||
        !rest->front().factor.isConstant(1) ||
        !readsColumn(rest->front().index, restColumn))
      return std::nullopt;
  }
  return Rotation{value, layout, size, rotarySize, a.base, *index, cos, sin};
}

/// True if `value` is a sum, or puts columns of several tensors together, one
/// of them a sum. What only shows one tensor is looked at there.
static bool mayBeRotated(Value value, const SymbolicShapes &shapes) {
  OnnxOp op = getCarrier(value);
  if (!op || !isFloatTensor(value))
    return false;
  if (op.is("Add"))
    return true;
  IndexExpr form = shapes.formOf(value);
  if (!form || !form.isPoly() || form.size() > 200)
    return false;
  Atom atom = form.poly().getAtom();
  constexpr unsigned kMaxReads = 4;
  SmallVector<unsigned> ids = collectReads(form);
  if (!atom || atom.kind() != AtomKind::Select || ids.size() > kMaxReads)
    return false;
  return llvm::any_of(ids, [&](unsigned id) {
    OnnxOp sum = getCarrier(shapes.valueOfRead(id));
    return sum && (sum.is("Add") || sum.is("Sub"));
  });
}

std::optional<Rotation> RopeRaiser::match(Value value) {
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value);
  if (!shape || shape->size() < 2)
    return std::nullopt;
  std::optional<int64_t> size = shape->back().getConstantInt();
  if (!size || *size < 2)
    return std::nullopt;
  unsigned last = shape->size() - 1;
  // How many columns are rotated: all, or up to where a selection changes.
  SmallVector<int64_t> candidates{*size};
  IndexExpr form = shapes.formOf(value);
  if (form && form.isPoly())
    walkAtoms(form, [&](Atom atom) {
      if (atom.kind() != AtomKind::Select ||
          atom.cond().kind() != PredKind::NonNeg)
        return;
      Poly rest;
      Poly factor = atom.cond().poly().coefficientOf(last, &rest);
      std::optional<int64_t> bound =
          rest ? rest.getConstantInt() : std::nullopt;
      if (factor && factor.isConstant(-1) && bound && *bound + 1 < *size &&
          *bound >= 0 && !llvm::is_contained(candidates, *bound + 1))
        candidates.push_back(*bound + 1);
    });
  for (int64_t rotarySize : candidates)
    for (RopeLayout layout : {RopeLayout::Half, RopeLayout::Interleaved})
      if (std::optional<Rotation> rotation =
              match(value, layout, *size, rotarySize))
        return rotation;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Axes
//===----------------------------------------------------------------------===//

std::optional<Axes> RopeRaiser::findAxes(const Rotation &rotation) {
  ArrayRef<Poly> shape = *shapes.shapeOf(rotation.value);
  unsigned rank = shape.size();
  if (rank < 3 || rank > 4)
    return std::nullopt;
  auto turns = [&](unsigned k) {
    return rotation.cos.usesCoord(k) || rotation.sin.usesCoord(k);
  };
  // The row is what the angle depends on beside the batch.
  unsigned row = rank - 2;
  if (!turns(row) && turns(rank - 3) && !(rank == 3 && turns(0) && turns(1)))
    row = rank - 3;
  SmallVector<Poly, 4> leading;
  SmallVector<unsigned, 4> places;
  for (unsigned k = 0; k + 1 < rank; ++k)
    if (k != row) {
      leading.push_back(shape[k]);
      places.push_back(k);
    }
  // [S, H, d] has no batch.
  if (rank == 3 && row == 0)
    leading.insert(leading.begin(), context.one());
  std::optional<HeadSplit> heads = splitHeads(context, leading);
  if (!heads)
    return std::nullopt;

  Axes axes;
  axes.heads = *heads;
  axes.rows = shape[row];
  bool hasOuter = leading.size() > places.size();
  axes.coords.resize(rank - 1);
  for (auto [n, k] : llvm::enumerate(places))
    axes.coords[k] = heads->leading[n + (hasOuter ? 1 : 0)];
  auto coordOf = [&](unsigned k) {
    return shape[k].isConstant(1) ? context.zero() : context.coord(k);
  };
  axes.coords[row] =
      axes.rows.isConstant(1) ? context.zero() : context.coord(2);
  axes.rowIndex = coordOf(row);
  // Indices of the split count the leading dims alone.
  SmallVector<Poly, 4> own;
  if (hasOuter)
    own.push_back(context.zero());
  for (unsigned k : places)
    own.push_back(coordOf(k));
  axes.batchIndex = context.substitute(heads->batchIndex, own, shape);
  axes.headIndex = context.substitute(heads->headIndex, own, shape);
  if (!axes.batchIndex || !axes.headIndex)
    return std::nullopt;
  return axes;
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

void RopeRaiser::raise(const Rotation &rotation) {
  std::optional<Axes> axes = findAxes(rotation);
  if (!axes)
    return;
  ArrayRef<Poly> shape = *shapes.shapeOf(rotation.value);
  unsigned last = shape.size() - 1;
  Location loc = rotation.value.getLoc();
  Type element = getElement(rotation.value);
  Value base = shapes.valueOfRead(rotation.base);
  if (getElement(base) != element)
    return;

  int64_t heads = axes->heads.heads;
  Poly headCount = context.constant(heads);
  SmallVector<Poly, 4> extents{axes->heads.batch, headCount, axes->rows,
                               context.constant(rotation.size)};
  SmallVector<Poly, 4> coords(axes->coords);
  coords.push_back(context.coord(3));
  SmallVector<Poly, 4> xIndex;
  for (Poly p : rotation.index)
    xIndex.push_back(context.substitute(p, coords, extents));

  // Tables over (b, i, pair); the angle must not differ by head.
  int64_t pairs = rotation.rotarySize / 2;
  SmallVector<Poly, 4> pairExtents{axes->heads.batch, headCount, axes->rows,
                                   context.constant(pairs)};
  Poly cos = context.substitute(rotation.cos, coords, pairExtents);
  Poly sin = context.substitute(rotation.sin, coords, pairExtents);
  if (llvm::any_of(xIndex, [](Poly p) { return !p; }) || !cos || !sin ||
      cos.usesCoord(1) || sin.usesCoord(1))
    return;
  SmallVector<Poly, 4> toTable{context.coord(0), Poly(), context.coord(1),
                               context.coord(2)};
  bool differsByBatch = cos.usesCoord(0) || sin.usesCoord(0);
  SmallVector<Poly, 3> tableShape{differsByBatch ? axes->heads.batch
                                                 : context.one(),
                                  axes->rows, context.constant(pairs)};
  cos = context.substitute(cos, toTable, tableShape);
  sin = context.substitute(sin, toTable, tableShape);
  if (!cos || !sin)
    return;
  Value cosTable = forms.get(loc, cos, tableShape, element);
  Value sinTable = forms.get(loc, sin, tableShape, element);

  OpBuilder &builder = raiser;
  builder.setInsertionPoint(rotation.value.getDefiningOp());
  RankedTensorType type = getTensorType(
      {axes->heads.batch, axes->rows, context.constant(heads * rotation.size)},
      element);
  auto rope =
      RopeOp::create(builder, loc, type, base, cosTable, sinTable,
                     RopeLayoutAttr::get(builder.getContext(), rotation.layout),
                     builder.getI64IntegerAttr(heads),
                     builder.getI64IntegerAttr(rotation.size),
                     builder.getI64IntegerAttr(rotation.rotarySize),
                     getMap(builder.getContext(), xIndex), SiteAttr());
  copyProvenance(rotation.value.getDefiningOp(), rope);
  SmallVector<Poly, 4> index{axes->batchIndex, axes->rowIndex,
                             axes->headIndex * rotation.size +
                                 context.coord(last)};
  Value result = rope;
  bool isSame =
      shape.size() == 3 && heads == 1 &&
      ArrayRef<Poly>(index) == ArrayRef<Poly>(getIdentity(context, shape));
  if (!isSame)
    result = forms.getView(loc, {rope, index}, shape);
  raiser.replaceUses(rotation.value, result);
}

/// RotaryEmbedding-23 and com.microsoft's with tables.
void RopeRaiser::raiseNode(OnnxOp op) {
  bool isMicrosoft = !op.getDomainOrDefault().empty();
  Value x = op.getInputs()[0];
  Value positions = op.getOptionalInput(isMicrosoft ? 1 : 3);
  Value cosTable = op.getOptionalInput(isMicrosoft ? 2 : 1);
  Value sinTable = op.getOptionalInput(isMicrosoft ? 3 : 2);
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(x);
  if (!cosTable || !sinTable || !shape ||
      (shape->size() != 3 && shape->size() != 4) ||
      op.getFloat("scale", 1.0) != 1.0 || op.getInt("is_packed_batching", 0))
    return;
  std::optional<ArrayRef<Poly>> tableShape = shapes.shapeOf(cosTable);
  std::optional<int64_t> columns = shape->back().getConstantInt();
  if (!tableShape || !columns)
    return;
  std::optional<int64_t> pairs = tableShape->back().getConstantInt();
  bool isMerged = shape->size() == 3;
  int64_t heads = isMerged ? op.getInt("num_heads", 0)
                           : (*shape)[1].getConstantInt().value_or(0);
  // Without the attribute the head is as wide as the tables.
  if (isMerged && heads == 0 && pairs)
    heads = *columns / (2 * *pairs);
  if (!pairs || heads <= 0 || (isMerged && *columns % heads != 0))
    return;
  int64_t size = isMerged ? *columns / heads : *columns;
  int64_t rotarySize = op.getInt("rotary_embedding_dim", 0);
  if (rotarySize == 0)
    rotarySize = 2 * *pairs;
  Poly batch = (*shape)[0], rows = (*shape)[isMerged ? 1 : 2];
  SmallVector<Poly, 3> extents{batch, rows, context.constant(rotarySize / 2)};

  // The row of the tables.
  Poly row, c = context.coord(2);
  if (positions) {
    std::optional<ArrayRef<Poly>> ps = shapes.shapeOf(positions);
    if (!ps)
      return;
    // com.microsoft: a single number is the first position.
    if (isMicrosoft && ps->size() < 2) {
      SmallVector<Poly, 1> first(ps->size(), context.zero());
      row = shapes.formAt(positions, first, extents).poly() + context.coord(1);
    } else {
      SmallVector<Poly, 2> at{context.coord(0), context.coord(1)};
      row = shapes.formAt(positions, at, extents).poly();
    }
  }
  auto element = [&](Value table) -> Poly {
    if (positions) {
      if (!row || tableShape->size() != 2)
        return {};
      SmallVector<Poly, 2> at{row, c};
      return shapes.formAt(table, at, extents).poly();
    }
    SmallVector<Poly, 3> at{context.coord(0), context.coord(1), c};
    if (tableShape->size() != 3)
      return {};
    return shapes.formAt(table, at, extents).poly();
  };
  Poly cos = element(cosTable), sin = element(sinTable);
  if (!cos || !sin)
    return;
  if (!cos.usesCoord(0) && !sin.usesCoord(0))
    extents[0] = context.one();

  SmallVector<Poly, 4> index{context.coord(0)},
      bounds{batch, context.constant(heads), rows, context.constant(size)};
  if (isMerged)
    index.append(
        {context.coord(2), context.coord(1) * size + context.coord(3)});
  else
    index.append({context.coord(1), context.coord(2), context.coord(3)});
  std::optional<SmallVector<ReadBranch>> branches =
      readBranches(shapes.formAt(x, index, bounds).poly());
  Value base = x;
  if (branches && branches->size() == 1 && branches->front().coef.isOne() &&
      getElement(shapes.valueOfRead(branches->front().id)) == getElement(x)) {
    base = shapes.valueOfRead(branches->front().id);
    index = branches->front().index;
  }
  Type type = getElement(x);
  Location loc = op.getLoc();
  Value cosValue = forms.get(loc, cos, extents, type);
  Value sinValue = forms.get(loc, sin, extents, type);
  raiser->setInsertionPoint(op);
  auto rope = RopeOp::create(
      raiser, loc,
      getTensorType({batch, rows, context.constant(heads * size)}, type), base,
      cosValue, sinValue,
      RopeLayoutAttr::get(raiser->getContext(), op.getInt("interleaved", 0)
                                                    ? RopeLayout::Interleaved
                                                    : RopeLayout::Half),
      raiser->getI64IntegerAttr(heads), raiser->getI64IntegerAttr(size),
      raiser->getI64IntegerAttr(rotarySize),
      getMap(raiser->getContext(), index), SiteAttr());
  copyProvenance(op, rope);
  Value result = rope;
  if (!isMerged)
    result = forms.getView(loc,
                           {rope,
                            {context.coord(0), context.coord(2),
                             context.coord(1) * size + context.coord(3)}},
                           *shape);
  raiser.replaceUses(op.getOutputs()[0], result);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void RopeRaiser::run() {
  SmallVector<Rotation> rotations;
  SmallVector<OnnxOp> carriers(block.getOps<OnnxOp>());
  for (OnnxOp carrier : carriers) {
    if (carrier.getOpType() == "RotaryEmbedding" ||
        carrier->getNumResults() != 1)
      continue;
    Value value = carrier.getOutputs()[0];
    if (!mayBeRotated(value, shapes))
      continue;
    std::optional<Rotation> rotation = match(value);
    if (!rotation)
      continue;
    // What holds a rotation and columns that are not rotated takes its place.
    IndexExpr form = shapes.formOf(value);
    SmallVector<unsigned> inside = collectReads(form);
    bool isView = llvm::any_of(rotations, [&](const Rotation &other) {
      return other.value != value && other.rotarySize == rotation->rotarySize &&
             other.size == rotation->size &&
             llvm::is_contained(inside, shapes.readIdOf(other.value));
    });
    if (isView)
      continue;
    llvm::erase_if(rotations, [&](const Rotation &other) {
      return llvm::is_contained(inside, shapes.readIdOf(other.value));
    });
    rotations.push_back(*rotation);
  }
  // From the last to the first: what a rotation reads is then still what the
  // analysis knows, and becomes a rotation when its turn comes.
  for (OnnxOp carrier : llvm::reverse(carriers)) {
    if (carrier.getOpType() == "RotaryEmbedding") {
      raiseNode(carrier);
      continue;
    }
    if (!rotations.empty() && rotations.back().value.getDefiningOp() == carrier)
      raise(rotations.pop_back_val());
  }
}

void RaiseRope::runOnOperation() {
  for (func::FuncOp entry : getEntries(getOperation())) {
    auto &shapes = getChildAnalysis<SymbolicShapes>(entry);
    RopeRaiser(entry, shapes).run();
    eraseDeadOps(entry);
  }
}
