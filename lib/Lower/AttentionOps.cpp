//===- AttentionOps.cpp - attention, rotary, cache and embedding ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Onnx/Attend.h"
#include "StageLowering.h"
#include "lathe/Codegen/CPU/Attention.h"
#include "lathe/Codegen/CPU/Embedding.h"
#include "lathe/Codegen/CPU/KvAppend.h"
#include "lathe/Codegen/CPU/Rope.h"
#include "lathe/IndexExpr/Text.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Operands read through maps
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<Poly>> parseMap(IndexExprContext &terms,
                                             Operation *op, FormAttr map,
                                             ArrayRef<Poly> extents) {
  ParseOptions options;
  options.extents = extents;
  auto list = parseIndexExprList(terms, map.getText(), options);
  if (!list)
    return op->emitOpError("map: ") << llvm::toString(list.takeError());
  SmallVector<Poly> position;
  for (IndexExpr e : *list) {
    if (!e.isPoly())
      return op->emitOpError("a map must list numbers");
    position.push_back(e.poly());
  }
  return position;
}

/// Offset and strides of the elements that `map`, over four coordinates, reads
/// of `x`; nothing if they do not lie at equal distances.
std::optional<StageLowering::StridedOperand>
StageLowering::tryStrided(const Tensor &x, ArrayRef<Poly> map) {
  IndexExprContext &terms = t.getTerms();
  if (map.size() != x.rank())
    return std::nullopt;
  constexpr unsigned coords = 4;
  SmallVector<Poly> strides(coords, terms.zero());
  Poly offset = terms.zero(), step = terms.one();
  for (unsigned k = x.rank(); k-- > 0;) {
    Poly rest = map[k];
    for (unsigned c = 0; c < coords; ++c) {
      Poly outer = rest;
      Poly coef = outer.coefficientOf(c, &rest);
      if (!coef || coef.coordMask() || coef.usesReads())
        return std::nullopt;
      strides[c] = strides[c] + coef * step;
    }
    if (rest.coordMask() || rest.usesReads())
      return std::nullopt;
    offset = offset + rest * step;
    step = step * x.shape[k];
  }
  StridedOperand result;
  result.value = t.valueOf(x);
  result.element = x.element;
  result.unitColumns = strides.back() && strides.back().isConstant(1);
  result.placement.push_back(t.dim(offset));
  for (Poly stride : strides)
    result.placement.push_back(t.dim(stride));
  return result;
}

FailureOr<StageLowering::StridedOperand>
StageLowering::strided(Operation *op, Value source, FormAttr map,
                       ArrayRef<Poly> extents) {
  FailureOr<SmallVector<Poly>> position =
      parseMap(t.getTerms(), op, map, extents);
  if (failed(position))
    return failure();
  Tensor x = get(source);
  Type f32 = Float32Type::get(op->getContext());
  if (x.element.isF64())
    x = t.convert(x, f32);
  if (auto operand = tryStrided(x, *position))
    return *operand;

  // Windows and the like: gathered once.
  FailureOr<Tensor> gathered = readThrough(op, source, map, extents);
  if (failed(gathered))
    return failure();
  SmallVector<Poly> identity;
  for (unsigned c = 0; c < 4; ++c)
    identity.push_back(t.getTerms().coord(c));
  return *tryStrided(t.convert(*gathered, x.element), identity);
}

/// The extent of the dim of `source` that i2 alone counts through.
static Poly rowsOf(SymbolicShapes &shapes, Value source, ArrayRef<Poly> map) {
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(source);
  if (!shape || shape->size() != map.size())
    return {};
  for (auto [extent, p] : llvm::zip_equal(*shape, map))
    if (p == shapes.getContext().coord(2))
      return extent;
  // Rows of all batches in one dim: `rows * i0 + i2`.
  for (Poly p : map) {
    Poly rest, batch;
    Poly coef = p.coefficientOf(2, &rest);
    if (coef && coef.isConstant(1) && (batch = rest.coefficientOf(0)) &&
        !batch.isConstant(0) && batch.coordMask() == 0)
      return batch;
  }
  return {};
}

Poly lathe::appendedRows(SymbolicShapes &shapes, KvAppendOp append) {
  FailureOr<SmallVector<Poly>> map =
      parseMap(shapes.getContext(), append, append.getKMap(), {});
  return failed(map) ? Poly() : rowsOf(shapes, append.getK(), *map);
}

/// The elements that `map` reads, [batch, heads, rows, columns].
FailureOr<Tensor> StageLowering::readThrough(Operation *op, Value source,
                                             FormAttr map,
                                             ArrayRef<Poly> extents) {
  FailureOr<SmallVector<Poly>> position =
      parseMap(t.getTerms(), op, map, extents);
  if (failed(position))
    return failure();
  Tensor moved;
  moved.element = getElementTypeOrSelf(source.getType());
  moved.shape = SymbolicShape(extents);
  moved.form = t.getTerms().read(shapes.readIdOf(source), *position);
  if (!moved.form)
    return op->emitOpError("a map cannot be evaluated");
  return t.wrap(t.valueOf(moved), moved.element, moved.shape);
}

/// The function of a kernel that has been made under `name`.
static func::FuncOp lookup(ModuleOp kernels, StringRef name) {
  return kernels.lookupSymbol<func::FuncOp>(name);
}

//===----------------------------------------------------------------------===//
// Embedding
//===----------------------------------------------------------------------===//

LogicalResult StageLowering::embedInLinalg(EmbeddingOp op) {
  Tensor ids = get(op.getIds()), table = partTensor(getPart(op.getTable()));
  ids = t.wrap(t.valueOf(ids), ids.element, ids.shape);
  Type element = getElementTypeOrSelf(op.getResult().getType());
  SymbolicShape shape = ids.shape;
  shape.push_back(t.poly(op.getColumns()));
  Value count = t.dim(t.poly(op.getCount()));
  bind(op.getResult(),
       t.generate(shape, element, [&](Scalars &s, ValueRange at) {
         Value row = t.checkedIndex(
             s, s.toIndex(t.load(s, ids, at.drop_back())), count);
         SmallVector<Value> place = {row, at.back()};
         if (op.getTransposed())
           std::swap(place[0], place[1]);
         return s.cast(t.load(s, table, place), table.element, element);
       }));
  return success();
}

LogicalResult StageLowering::lowerEmbedding(EmbeddingOp op) {
  if (!usesKernels())
    return embedInLinalg(op);
  Tensor ids = get(op.getIds());
  Value table = getPart(op.getTable());
  EmbeddingSpec spec;
  spec.columns = op.getColumns();
  spec.inPanels = op.getTransposed();
  spec.tableType = cast<MemRefType>(table.getType()).getElementType();
  spec.inPairs = spec.inPanels && spec.tableType.isInteger(32);
  Type i64 = IntegerType::get(op.getContext(), 64);
  if (!ids.element.isInteger(32) && !ids.element.isInteger(64))
    ids = t.convert(ids, i64);
  spec.idType = ids.element;
  std::string name = getKernel(
      "embedding " + std::to_string(spec.columns) + typeText(spec.tableType) +
          typeText(spec.idType) + (spec.inPanels ? " panels" : ""),
      [&](ModuleOp module, StringRef name) {
        return success(bool(emitEmbeddingKernel(module, name, spec, target)));
      });

  Type f32 = Float32Type::get(op.getContext());
  SymbolicShape shape = ids.shape;
  shape.push_back(t.poly(spec.columns));
  Value rows = t.dim(t.product(ids.shape));
  SmallVector<Value> inputs = {t.valueOf(ids), table, rows};
  Value result =
      callOwnKernel("embed", inputs, t.empty(shape, f32), false,
                    [&](Scalars &s, Value ctx, ValueRange in) {
                      Value zero = s.index(0);
                      SmallVector<Value> arguments = {ctx,
                                                      flattenBuffer(s, in[0]),
                                                      zero,
                                                      flattenBuffer(s, in[1]),
                                                      zero,
                                                      flattenBuffer(s, in[3]),
                                                      zero,
                                                      in[2],
                                                      s.index(op.getCount())};
                      func::CallOp::create(s, lookup(kernels, name), arguments);
                    })
          .front();
  Tensor tensor = t.wrap(result, f32, shape);
  bind(op.getResult(),
       t.convert(tensor, getElementTypeOrSelf(op.getResult().getType())));
  return success();
}

//===----------------------------------------------------------------------===//
// Rotary
//===----------------------------------------------------------------------===//

LogicalResult StageLowering::rotateInLinalg(RopeOp op) {
  SymbolicShape shape = *shapeOf(op.getResult());
  FailureOr<Tensor> x = readThrough(
      op, op.getX(), op.getXMap(),
      {shape[0], t.poly(op.getHeads()), shape[1], t.poly(op.getHeadDim())});
  if (failed(x))
    return failure();
  Rotation rotation;
  rotation.cos = get(op.getCos());
  rotation.sin = get(op.getSin());
  rotation.interleaved = op.getLayout() == RopeLayout::Interleaved;
  rotation.columns = op.getRotaryDim();
  bind(op.getResult(), mergeHeads(t, rotate(t, *x, rotation)));
  return success();
}

LogicalResult StageLowering::lowerRope(RopeOp op) {
  std::optional<SymbolicShape> shape = shapeOf(op.getResult());
  if (!shape)
    return op.emitOpError("the shape of its result is not known");
  if (!usesKernels())
    return rotateInLinalg(op);
  Poly batch = (*shape)[0], rows = (*shape)[1];
  int64_t heads = op.getHeads(), columns = op.getHeadDim();
  SmallVector<Poly> extents = {batch, t.poly(heads), rows, t.poly(columns)};
  FailureOr<StridedOperand> x = strided(op, op.getX(), op.getXMap(), extents);
  if (failed(x))
    return failure();

  RopeSpec spec;
  spec.heads = heads;
  spec.headDim = columns;
  spec.rotaryDim = op.getRotaryDim();
  spec.layout = op.getLayout() == RopeLayout::Half ? RopePairs::Half
                                                   : RopePairs::Interleaved;
  spec.inputType = x->element;
  spec.unitInput = x->unitColumns;
  std::string key = "rope " + std::to_string(heads) + "x" +
                    std::to_string(columns) + " " +
                    std::to_string(spec.rotaryDim) +
                    (op.getLayout() == RopeLayout::Half ? "h" : "i") +
                    typeText(x->element) + (spec.unitInput ? "u" : "s");
  std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
    return success(bool(emitRopeKernel(module, name, spec, target)));
  });

  Type f32 = Float32Type::get(op.getContext());
  SmallVector<Value> inputs = {x->value};
  llvm::append_range(inputs, x->placement);
  for (Value table : {op.getCos(), op.getSin()}) {
    Tensor values = t.convert(get(table), f32);
    Poly step = values.shape[1] * values.shape[2];
    if (values.shape[0].isConstant(1))
      step = t.poly(0);
    inputs.append({t.valueOf(values), t.dim(step), t.dim(values.shape[2])});
  }
  Poly width = t.poly(heads * columns);
  inputs.append({t.dim(rows * width), t.dim(batch), t.dim(rows)});
  Value result =
      callOwnKernel(
          "rotate", inputs, t.empty(*shape, f32), false,
          [&](Scalars &s, Value ctx, ValueRange in) {
            Value zero = s.index(0), one = s.index(1);
            SmallVector<Value> arguments = {ctx, flattenBuffer(s, in[0])};
            llvm::append_range(arguments, in.slice(1, 5));
            for (unsigned table : {6, 9})
              arguments.append({flattenBuffer(s, in[table]), zero,
                                in[table + 1], in[table + 2], one});
            arguments.append({flattenBuffer(s, in[15]), zero, in[12],
                              s.index(columns), s.index(heads * columns),
                              in[13], in[14]});
            func::CallOp::create(s, lookup(kernels, name), arguments);
          })
          .front();
  Tensor tensor = t.wrap(result, f32, *shape);
  bind(op.getResult(),
       t.convert(tensor, getElementTypeOrSelf(op.getResult().getType())));
  return success();
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

LogicalResult StageLowering::appendRows(Operation *op, Value source,
                                        FormAttr map, Value cache,
                                        int64_t heads, int64_t columns,
                                        Poly past, Poly batch, Poly rows) {
  SmallVector<Poly> extents = {batch, t.poly(heads), rows, t.poly(columns)};
  FailureOr<StridedOperand> x = strided(op, source, map, extents);
  if (failed(x))
    return failure();
  KvAppendSpec spec;
  spec.kvHeads = heads;
  spec.headDim = columns;
  spec.inputType = x->element;
  spec.unitInput = x->unitColumns;
  std::string key = "append " + std::to_string(heads) + "x" +
                    std::to_string(columns) + typeText(x->element) +
                    (spec.unitInput ? "u" : "s");
  std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
    return success(bool(emitKvAppendKernel(module, name, spec, target)));
  });
  SmallVector<Value> inputs = {x->value};
  llvm::append_range(inputs, x->placement);
  inputs.append({t.dim(batch), t.dim(rows), t.dim(past),
                 t.dim(t.getTerms().symbol("kv_capacity"))});
  callOwnKernel("store", inputs, cache, /*updates=*/true,
                [&](Scalars &s, Value ctx, ValueRange in) {
                  SmallVector<Value> arguments = {ctx, flattenBuffer(s, in[0])};
                  llvm::append_range(arguments, in.slice(1, 5));
                  arguments.append({flattenBuffer(s, in[10]), s.index(0)});
                  llvm::append_range(arguments, in.slice(6, 4));
                  func::CallOp::create(s, lookup(kernels, name), arguments);
                });
  return success();
}

/// The extent of the dim that i0 alone counts through; 1 if none does.
static Poly batchOf(IndexExprContext &terms, ArrayRef<Poly> shape,
                    ArrayRef<Poly> map, Poly rows) {
  for (auto [extent, p] : llvm::zip_equal(shape, map)) {
    if (p == terms.coord(0))
      return extent;
    // Rows of all batches in one dim.
    Poly coef = p.coefficientOf(0);
    if (coef && coef == rows)
      if (Poly batch = terms.exactDiv(extent, rows))
        return batch;
  }
  return terms.one();
}

LogicalResult StageLowering::lowerKvAppend(KvAppendOp op) {
  CacheBuffers cache = getCache(op.getCache());
  KvType type = op.getCache().getType();
  FailureOr<SmallVector<Poly>> map =
      parseMap(t.getTerms(), op, op.getKMap(), {});
  if (failed(map))
    return failure();
  Poly rows = rowsOf(shapes, op.getK(), *map);
  if (!rows)
    return op.emitOpError("the number of its rows is not known");
  Poly batch = batchOf(t.getTerms(), *shapeOf(op.getK()), *map, rows);
  if (failed(appendRows(op, op.getK(), op.getKMap(), cache.keys,
                        type.getHeads(), type.getKeyDim(), cache.rows, batch,
                        rows)) ||
      failed(appendRows(op, op.getV(), op.getVMap(), cache.values,
                        type.getHeads(), type.getValueDim(), cache.rows, batch,
                        rows)))
    return failure();
  bindCache(op.getResult(), {cache.keys, cache.values, cache.rows + rows});
  return success();
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {

/// Answers the kernel's questions about mask and bias from their forms.
class MaskForms {
public:
  MaskForms(TensorBuilder &t, IndexExprContext &terms, Extents extents)
      : t(t), terms(terms), extents(extents) {}

  /// Sorts the conjuncts of `mask` by what they depend on.
  void addMask(Pred mask);
  void setBias(Poly form) { bias = form; }

  /// Makes the kernel's trailing arguments; `values` are the operands.
  void collectArguments(ArrayRef<Value> maskValues, ArrayRef<Type> elements,
                        ArrayRef<unsigned> readIds);
  void describe(AttentionSpec &spec);
  ArrayRef<Value> getArguments() const { return arguments; }
  std::string getKey() const;

private:
  Value emit(OpBuilder &builder, Location loc, const AttentionPoint &point,
             IndexExpr form);
  void forEachForm(function_ref<void(IndexExpr)> fn) const;

  TensorBuilder &t;
  IndexExprContext &terms;
  Extents extents;
  /// Bounds of i3: `p <= i3` and `i3 <= p`.
  SmallVector<Poly> lower, upper;
  SmallVector<Pred> perKey, general;
  Poly bias;

  SmallVector<Value> arguments;
  llvm::StringMap<unsigned> dimArguments;
  llvm::DenseMap<unsigned, std::pair<unsigned, Type>> readArguments;
};

} // namespace

void MaskForms::addMask(Pred mask) {
  if (mask.isTrue())
    return;
  if (mask.kind() == PredKind::And) {
    for (Pred conjunct : mask.operands())
      addMask(conjunct);
    return;
  }
  constexpr unsigned key = 3;
  if (mask.kind() == PredKind::NonNeg && mask.poly().isIntegral()) {
    Poly rest;
    Poly coef = mask.poly().coefficientOf(key, &rest);
    if (coef && coef.isConstant(1))
      return lower.push_back(-rest);
    if (coef && coef.isConstant(-1))
      return upper.push_back(rest);
  }
  // Head and row are coordinates 1 and 2.
  bool onKeys = !mask.usesCoord(1) && !mask.usesCoord(2) && mask.usesCoord(key);
  (onKeys ? perKey : general).push_back(mask);
}

void MaskForms::forEachForm(function_ref<void(IndexExpr)> fn) const {
  for (Poly p : lower)
    fn(p);
  for (Poly p : upper)
    fn(p);
  for (Pred p : perKey)
    fn(p);
  for (Pred p : general)
    fn(p);
  if (bias)
    fn(bias);
}

void MaskForms::collectArguments(ArrayRef<Value> maskValues,
                                 ArrayRef<Type> elements,
                                 ArrayRef<unsigned> readIds) {
  for (auto [value, element, id] :
       llvm::zip_equal(maskValues, elements, readIds)) {
    readArguments[id] = {arguments.size(), element};
    arguments.push_back(value);
  }
  forEachForm([&](IndexExpr form) {
    for (StringRef name : collectSymbols(form))
      if (dimArguments.try_emplace(name, arguments.size()).second)
        arguments.push_back(t.dim(terms.symbol(name)));
  });
}

std::string MaskForms::getKey() const {
  std::string key;
  for (Poly p : lower)
    key += " lo " + toString(p);
  for (Poly p : upper)
    key += " hi " + toString(p);
  for (Pred p : perKey)
    key += " key " + toString(p);
  for (Pred p : general)
    key += " if " + toString(p);
  if (bias)
    key += " bias " + toString(bias);
  return key;
}

Value MaskForms::emit(OpBuilder &builder, Location loc,
                      const AttentionPoint &point, IndexExpr form) {
  Scalars s(loc, builder);
  auto dimFn = [&](StringRef name) -> Value {
    auto found = dimArguments.find(name);
    return found == dimArguments.end() ? Value()
                                       : point.arguments[found->second];
  };
  auto readFn = [&](ImplicitLocOpBuilder &inner, Atom atom,
                    ValueRange position) -> Value {
    auto found = readArguments.find(atom.index());
    if (found == readArguments.end())
      return {};
    auto [number, element] = found->second;
    Scalars at(inner.getLoc(), inner);
    Value scalar = at.load(
        memref::LoadOp::create(at, point.arguments[number], position), element);
    if (isa<FloatType>(scalar.getType()) || scalar.getType().isInteger(1))
      return scalar;
    return at.toIndex(scalar, isUnsigned(element));
  };
  SmallVector<Value> coords = {point.batch, point.head, point.row, point.key};
  IndexExprCodegen codegen(s, dimFn, coords, extents, readFn);
  Value value;
  if (form.isPred())
    value = codegen.emit(form.pred());
  else if (form.poly() == bias)
    value = codegen.emitReal(form.poly());
  else
    value = codegen.emitIndex(form.poly());
  builder.restoreInsertionPoint(s.saveInsertionPoint());
  return value;
}

void MaskForms::describe(AttentionSpec &spec) {
  for (Value argument : arguments) {
    auto tensor = dyn_cast<RankedTensorType>(argument.getType());
    spec.maskTypes.push_back(
        tensor
            ? Type(MemRefType::get(tensor.getShape(), tensor.getElementType()))
            : argument.getType());
  }
  auto all = [this](ArrayRef<Pred> preds) -> AttentionFn {
    if (preds.empty())
      return {};
    Pred joined = terms.conj(preds);
    return [this, joined](OpBuilder &builder, Location loc,
                          const AttentionPoint &point) {
      return emit(builder, loc, point, joined);
    };
  };
  spec.keyPredicate = all(perKey);
  spec.predicate = all(general);
  if (bias)
    spec.bias = [this](OpBuilder &builder, Location loc,
                       const AttentionPoint &point) {
      return emit(builder, loc, point, bias);
    };
  if (lower.empty() && upper.empty())
    return;
  spec.range = [this](OpBuilder &builder, Location loc,
                      const AttentionPoint &point) {
    Value first = arith::ConstantIndexOp::create(builder, loc, 0);
    for (Poly p : lower)
      first = arith::MaxSIOp::create(builder, loc, first,
                                     emit(builder, loc, point, p));
    Value end = point.keys;
    for (Poly p : upper) {
      Poly behind = terms.add(p, terms.one());
      end = arith::MinSIOp::create(builder, loc, end,
                                   emit(builder, loc, point, behind));
    }
    return std::make_pair(first, end);
  };
}

static AttentionRows rowsKind(MaskedRows rows) {
  switch (rows) {
  case MaskedRows::Zero:
    return AttentionRows::Zero;
  case MaskedRows::Mean:
    return AttentionRows::Mean;
  case MaskedRows::NaN:
    return AttentionRows::NaN;
  case MaskedRows::Soft:
    return AttentionRows::Soft;
  }
  llvm_unreachable("all kinds are handled");
}

/// The number of keys of an attention that reads no cache; null where it is not
/// known.
static Poly keysOf(SymbolicShapes &shapes, AttentionOp op) {
  IndexExprContext &terms = shapes.getContext();
  if (op.getKeys()) {
    auto parsed = parsePoly(terms, *op.getKeys());
    if (parsed)
      return *parsed;
    op.emitOpError(llvm::toString(parsed.takeError()));
    return {};
  }
  FailureOr<SmallVector<Poly>> map = parseMap(terms, op, *op.getKMap(), {});
  return failed(map) ? Poly() : rowsOf(shapes, op.getK(), *map);
}

namespace {
/// The forms of an attention; null where it has none.
struct MaskAndBias {
  Pred mask;
  Poly bias;
  /// The read ids of the mask arguments, in order.
  SmallVector<unsigned> readIds;
};
} // namespace

static FailureOr<MaskAndBias>
parseMaskAndBias(SymbolicShapes &shapes, AttentionOp op, Extents extents) {
  IndexExprContext &terms = shapes.getContext();
  MaskAndBias forms;
  for (Value argument : op.getMaskArgs())
    forms.readIds.push_back(shapes.readIdOf(argument));
  ParseOptions options;
  options.extents = extents;
  options.readIds = forms.readIds;
  if (std::optional<FormAttr> mask = op.getMask()) {
    auto parsed = parsePred(terms, mask->getText(), options);
    if (!parsed)
      return op.emitOpError("mask: ") << llvm::toString(parsed.takeError());
    forms.mask = *parsed;
  }
  if (std::optional<FormAttr> bias = op.getBias()) {
    auto parsed = parsePoly(terms, bias->getText(), options);
    if (!parsed)
      return op.emitOpError("bias: ") << llvm::toString(parsed.takeError());
    forms.bias = *parsed;
  }
  return forms;
}

/// Rows without a key get NaN.
static Tensor markEmptyRows(TensorBuilder &t, const AttentionResults &results) {
  Type f = results.masked.element;
  double infinity = std::numeric_limits<double>::infinity();
  Tensor top = t.reduce(
      results.masked, int64_t(3), f, FloatAttr::get(f, -infinity),
      [](Scalars &, ArrayRef<Value> v) { return v[0]; },
      [](Scalars &s, Value a, Value b) { return s.max(a, b); });
  return t.map({results.result, t.expandAxes(top, int64_t(3))}, f,
               [&](Scalars &s, ArrayRef<Value> v) {
                 Value empty = s.eq(v[1], s.like(v[1], -infinity));
                 Value nan =
                     s.like(v[0], std::numeric_limits<double>::quiet_NaN());
                 return s.select(empty, nan, v[0]);
               });
}

LogicalResult StageLowering::attendInLinalg(AttentionOp op) {
  if (op.getCache())
    return op.emitOpError("reads a cache, which tensors cannot say");
  SymbolicShape shape = *shapeOf(op.getResult());
  Poly keys = keysOf(shapes, op);
  if (!keys)
    return op.emitOpError("the number of keys is not known");
  Poly heads = t.poly(op.getHeads()), kvHeads = t.poly(op.getKvHeads());
  Poly keyDim = t.poly(op.getHeadDim()), valueDim = t.poly(op.getValueDim());
  FailureOr<Tensor> q = readThrough(op, op.getQ(), op.getQMap(),
                                    {shape[0], heads, shape[1], keyDim});
  FailureOr<Tensor> k = readThrough(op, op.getK(), *op.getKMap(),
                                    {shape[0], kvHeads, keys, keyDim});
  FailureOr<Tensor> v = readThrough(op, op.getV(), *op.getVMap(),
                                    {shape[0], kvHeads, keys, valueDim});
  if (failed(q) || failed(k) || failed(v))
    return failure();

  SmallVector<Poly> points = {shape[0], heads, shape[1], keys};
  FailureOr<MaskAndBias> forms = parseMaskAndBias(shapes, op, points);
  if (failed(forms))
    return failure();

  AttentionOperands operands;
  operands.q = *q;
  operands.k = *k;
  operands.v = *v;
  operands.scale = op.getScale().convertToDouble();
  if (op.getSoftcap())
    operands.softcap = op.getSoftcap()->convertToDouble();
  Type i1 = IntegerType::get(op.getContext(), 1);
  operands.mask = [&](Scalars &s, Value score, ValueRange at) {
    if (forms->bias)
      score =
          s.add(score, t.emitForm(s, forms->bias, score.getType(), at, points));
    if (!forms->mask)
      return score;
    Value seen = t.emitForm(s, forms->mask, i1, at, points);
    // A number that exp takes to zero, unless all of a row are it.
    double hidden = op.getRows() == MaskedRows::Mean
                        ? std::numeric_limits<float>::lowest()
                        : -std::numeric_limits<double>::infinity();
    Value masked =
        op.getRows() == MaskedRows::Soft
            ? s.add(score, s.like(score, op.getMaskValue()->convertToDouble()))
            : s.like(score, hidden);
    return s.select(seen, score, masked);
  };
  AttentionResults results = attend(*this, operands);
  Tensor result = op.getRows() == MaskedRows::NaN ? markEmptyRows(t, results)
                                                  : results.result;
  bind(op.getResult(),
       mergeHeads(t, t.convert(result, getElementTypeOrSelf(
                                           op.getResult().getType()))));
  return success();
}

LogicalResult StageLowering::lowerAttention(AttentionOp op) {
  IndexExprContext &terms = t.getTerms();
  std::optional<SymbolicShape> shape = shapeOf(op.getResult());
  if (!shape)
    return op.emitOpError("the shape of its result is not known");
  if (!usesKernels())
    return attendInLinalg(op);
  Poly batch = (*shape)[0], rows = (*shape)[1], keys;
  int64_t heads = op.getHeads(), kvHeads = op.getKvHeads();
  int64_t keyDim = op.getHeadDim(), valueDim = op.getValueDim();
  bool hasCache = bool(op.getCache());
  CacheBuffers cache;
  if (hasCache) {
    cache = getCache(op.getCache());
    keys = cache.rows;
  }
  if (op.getKeys() || !hasCache)
    keys = keysOf(shapes, op);
  if (!keys)
    return op.emitOpError("the number of keys is not known");

  // Operands.
  SmallVector<Poly> queryExtents = {batch, t.poly(heads), rows, t.poly(keyDim)};
  FailureOr<StridedOperand> q =
      strided(op, op.getQ(), op.getQMap(), queryExtents);
  if (failed(q))
    return failure();
  auto kvOperand = [&](Value source, std::optional<FormAttr> map, Value buffer,
                       int64_t columns) -> FailureOr<StridedOperand> {
    SmallVector<Poly> extents = {batch, t.poly(kvHeads), keys, t.poly(columns)};
    if (!hasCache)
      return strided(op, source, *map, extents);
    Poly capacity = terms.symbol("kv_capacity");
    Poly head = capacity * columns;
    StridedOperand result;
    result.value = buffer;
    result.element = cast<MemRefType>(buffer.getType()).getElementType();
    result.placement = {t.dim(t.poly(0)), t.dim(head * kvHeads), t.dim(head),
                        t.dim(t.poly(columns)), t.dim(t.poly(1))};
    return result;
  };
  FailureOr<StridedOperand> k =
      kvOperand(op.getK(), op.getKMap(), cache.keys, keyDim);
  FailureOr<StridedOperand> v =
      kvOperand(op.getV(), op.getVMap(), cache.values, valueDim);
  if (failed(k) || failed(v))
    return failure();

  // Mask and bias.
  SmallVector<Poly> points = {batch, t.poly(heads), rows, keys};
  MaskForms forms(t, terms, points);
  SmallVector<Value> maskValues;
  SmallVector<Type> maskElements;
  for (Value argument : op.getMaskArgs()) {
    Tensor tensor = get(argument);
    maskValues.push_back(t.valueOf(tensor));
    maskElements.push_back(tensor.element);
  }
  FailureOr<MaskAndBias> parsed = parseMaskAndBias(shapes, op, points);
  if (failed(parsed))
    return failure();
  if (parsed->mask)
    forms.addMask(parsed->mask);
  if (parsed->bias)
    forms.setBias(parsed->bias);
  forms.collectArguments(maskValues, maskElements, parsed->readIds);

  // The kernel.
  AttentionSpec spec;
  spec.heads = heads;
  spec.kvHeads = kvHeads;
  spec.headDim = keyDim;
  spec.valueDim = valueDim;
  spec.scale = op.getScale().convertToDouble();
  if (op.getSoftcap())
    spec.softcap = op.getSoftcap()->convertToDouble();
  spec.emptyRows = rowsKind(op.getRows());
  if (op.getMaskValue())
    spec.negative = op.getMaskValue()->convertToDouble();
  spec.queryType = q->element;
  spec.keyType = k->element;
  spec.valueType = v->element;
  spec.unitQuery = q->unitColumns;
  spec.unitKey = k->unitColumns;
  spec.unitValue = v->unitColumns;
  forms.describe(spec);
  std::string name = getKernel(
      "attention own " + std::to_string(kernelNames.size()),
      [&](ModuleOp module, StringRef name) {
        return success(bool(emitAttentionKernel(module, name, spec, target)));
      });

  Value batchSize = t.dim(batch), rowCount = t.dim(rows),
        keyCount = t.dim(keys);
  Value scratchSize = emitAttentionScratchSize(
      t.getBuilder(), op.getLoc(), spec, target, batchSize, rowCount, keyCount);
  Type f32 = Float32Type::get(op.getContext());
  Value scratch = tensor::EmptyOp::create(
      t.getBuilder(), SmallVector<OpFoldResult>{scratchSize}, f32);
  SmallVector<Value> inputs;
  for (const StridedOperand *operand : {&*q, &*k, &*v}) {
    inputs.push_back(operand->value);
    llvm::append_range(inputs, operand->placement);
  }
  inputs.append({batchSize, rowCount, keyCount});
  llvm::append_range(inputs, forms.getArguments());
  SmallVector<Value> outputs = {t.empty(*shape, f32), scratch};
  Value result =
      callOwnKernel(
          "attend", inputs, outputs, false,
          [&](Scalars &s, Value ctx, ValueRange in) {
            SmallVector<Value> arguments = {ctx};
            for (unsigned operand : {0, 6, 12}) {
              arguments.push_back(flattenBuffer(s, in[operand]));
              llvm::append_range(arguments, in.slice(operand + 1, 5));
            }
            arguments.append({flattenBuffer(s, in[in.size() - 2]), s.index(0),
                              in.back(), in[18], in[19], in[20]});
            llvm::append_range(arguments,
                               in.slice(21, forms.getArguments().size()));
            func::CallOp::create(s, lookup(kernels, name), arguments);
          })
          .front();
  Tensor tensor = t.wrap(result, f32, *shape);
  bind(op.getResult(),
       t.convert(tensor, getElementTypeOrSelf(op.getResult().getType())));
  return success();
}
