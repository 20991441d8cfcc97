//===- TensorBuilder.cpp - tensors of symbolic shape as linalg ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorBuilder.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace lathe;

/// A form without reads of at most this size is computed where it is used.
static constexpr unsigned kInlineSize = 24;

TensorBuilder::TensorBuilder(OpBuilder &builder, Location loc,
                             IndexExprContext &terms, ReadTensorFn readTensor)
    : b(loc, builder), terms(terms), readTensorFn(std::move(readTensor)) {}

//===----------------------------------------------------------------------===//
// Extents
//===----------------------------------------------------------------------===//

void TensorBuilder::setDim(StringRef name, Value value) {
  dims[name] = value;
  if (Operation *op = value.getDefiningOp())
    dimAnchor = op;
}

Value TensorBuilder::dim(Poly p) {
  if (p)
    if (std::optional<int64_t> fixed = p.getConstantInt())
      return arith::ConstantIndexOp::create(b, *fixed);
  if (Value known = dimValues.lookup(p))
    return known;

  // At entry, so that every use is dominated and sizes of buffers depend on
  // nothing but dims.
  OpBuilder::InsertionGuard guard(b);
  if (dimAnchor)
    b.setInsertionPointAfter(dimAnchor);
  else
    b.setInsertionPointToStart(&b.getBlock()->getParent()->front());
  IndexExprCodegen codegen(b,
                           [&](StringRef name) { return dims.lookup(name); });
  Value value = codegen.emitIndex(p);
  if (!value) {
    if (missing.empty())
      missing = codegen.getMissing().str();
    value = arith::ConstantIndexOp::create(b, 0);
  }
  if (b.getInsertionPoint() != b.getBlock()->begin())
    dimAnchor = &*std::prev(b.getInsertionPoint());
  dimValues[p] = value;
  return value;
}

OpFoldResult TensorBuilder::mixedDim(Poly p) {
  if (p)
    if (std::optional<int64_t> fixed = p.getConstantInt())
      return b.getIndexAttr(*fixed);
  return dim(p);
}

SymbolicShape TensorBuilder::broadcast(ArrayRef<SymbolicShape> shapes) {
  size_t rank = 0;
  for (const SymbolicShape &shape : shapes)
    rank = std::max(rank, shape.size());
  SymbolicShape result(rank, terms.one());
  for (const SymbolicShape &shape : shapes) {
    for (auto [extent, merged] :
         llvm::zip(llvm::reverse(shape), llvm::reverse(result))) {
      if (extent == merged || extent.isConstant(1))
        continue;
      // A fixed extent other than 1 settles it.
      if (merged.isConstant(1) || (extent.isConstant() && !merged.isConstant()))
        merged = extent;
    }
  }
  return result;
}

RankedTensorType TensorBuilder::typeOf(ArrayRef<Poly> shape, Type element) {
  SmallVector<int64_t> extents;
  for (Poly p : shape)
    extents.push_back(p ? p.getConstantInt().value_or(ShapedType::kDynamic)
                        : ShapedType::kDynamic);
  return RankedTensorType::get(extents, getStorageType(element));
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Value TensorBuilder::empty(ArrayRef<Poly> shape, Type element) {
  SmallVector<OpFoldResult> sizes;
  for (Poly p : shape)
    sizes.push_back(mixedDim(p));
  return tensor::EmptyOp::create(b, sizes, getStorageType(element));
}

Tensor TensorBuilder::splat(ArrayRef<Poly> shape, Type element, double value) {
  Scalars s(b.getLoc(), b);
  Value number = s.store(s.constant(getComputeType(element), value), element);
  Value init = empty(shape, element);
  Value filled = linalg::FillOp::create(b, number, init).getResult(0);
  return wrap(filled, element, SymbolicShape(shape));
}

Tensor TensorBuilder::constant(DenseElementsAttr value) {
  ShapedType type = value.getType();
  Type element = type.getElementType();
  Type storage = getStorageType(element);
  SymbolicShape shape;
  for (int64_t extent : type.getShape())
    shape.push_back(poly(extent));
  DenseElementsAttr stored = value;
  if (storage != element) {
    unsigned width = storage.getIntOrFloatBitWidth();
    auto convert = [&](const APInt &bits) { return bits.zextOrTrunc(width); };
    if (isa<FloatType>(element))
      stored = value.mapValues(storage, [&](const APFloat &number) {
        return convert(number.bitcastToAPInt());
      });
    else
      stored =
          value.mapValues(storage, function_ref<APInt(const APInt &)>(convert));
  }
  return wrap(arith::ConstantOp::create(b, stored), element, shape);
}

std::optional<double> TensorBuilder::splatOf(const Tensor &tensor) {
  if (Poly p = tensor.form.poly()) {
    if (std::optional<Number> number = p.getConstant())
      return number->asDouble();
    return std::nullopt;
  }
  if (Pred p = tensor.form.pred()) {
    if (p.isTrue() || p.isFalse())
      return p.isTrue();
    return std::nullopt;
  }
  DenseElementsAttr value;
  if (!tensor.value || !matchPattern(tensor.value, m_Constant(&value)) ||
      !value.isSplat())
    return std::nullopt;
  if (isa<FloatType>(value.getElementType()))
    return value.getSplatValue<APFloat>().convertToDouble();
  if (isa<FloatType>(tensor.element))
    return std::nullopt;
  APInt bits = value.getSplatValue<APInt>();
  // Numbers that a double does not hold stay tensors.
  if (bits.getBitWidth() > 53 && !bits.isSignedIntN(53))
    return std::nullopt;
  if (isUnsigned(tensor.element))
    return static_cast<double>(bits.getZExtValue());
  unsigned width = tensor.element.getIntOrFloatBitWidth();
  return static_cast<double>(bits.trunc(width).getSExtValue());
}

Value TensorBuilder::valueOf(const Tensor &tensor) {
  if (tensor.value)
    return tensor.value;
  std::vector<const void *> key = {tensor.form.poly().getAsOpaquePointer(),
                                   tensor.form.pred().getAsOpaquePointer(),
                                   tensor.element.getAsOpaquePointer()};
  for (Poly p : tensor.shape)
    key.push_back(p.getAsOpaquePointer());
  Value &known = formValues[key];
  if (!known)
    known = materialise(tensor);
  return known;
}

Atom lathe::getMovement(IndexExpr form) {
  if (Poly p = form.poly()) {
    Atom atom = p.getAtom();
    return atom && atom.kind() == AtomKind::Read ? atom : Atom();
  }
  // A boolean is read as `read(...) != 0`.
  Pred p = form.pred();
  if (!p || p.kind() != PredKind::Not)
    return {};
  Pred inner = p.operands()[0];
  return inner.kind() == PredKind::Zero ? getMovement(inner.poly()) : Atom();
}

/// Row-major position of `position` in a tensor of shape `shape`.
static Poly linearise(IndexExprContext &terms, ArrayRef<Poly> position,
                      ArrayRef<Poly> shape) {
  Poly linear = terms.zero();
  for (auto [index, extent] : llvm::zip_equal(position, shape))
    linear = terms.add(terms.mul(linear, extent), index);
  return linear;
}

/// Coordinates of a tensor; those of extents of 1 are zero.
static SmallVector<Poly> getCoords(IndexExprContext &terms,
                                   ArrayRef<Poly> shape) {
  SmallVector<Poly> coords;
  for (auto [k, extent] : llvm::enumerate(shape))
    coords.push_back(extent.isConstant(1) ? terms.zero() : terms.coord(k));
  return coords;
}

Value TensorBuilder::materialise(const Tensor &tensor) {
  if (std::optional<double> number = splatOf(tensor))
    return splat(tensor.shape, tensor.element, *number).value;

  if (Atom movement = getMovement(tensor.form)) {
    Tensor base = readTensor(movement.index());
    if (base.value && base.rank() == movement.operands().size()) {
      SmallVector<Poly> coords = getCoords(terms, tensor.shape);
      // The order of elements stays: another shape of the same buffer.
      if (product(base.shape) == product(tensor.shape) &&
          linearise(terms, movement.operands(), base.shape) ==
              linearise(terms, coords, tensor.shape))
        return convert(reshape(base, tensor.shape), tensor.element).value;
      SmallVector<int64_t> identity =
          llvm::to_vector(llvm::seq<int64_t>(0, tensor.rank()));
      if (affineMap(movement.operands(), base.shape, tensor.shape, identity))
        return mapTo(tensor.shape, tensor, tensor.element,
                     [](Scalars &, ArrayRef<Value> x) { return x[0]; })
            .value;
    }
  }
  return generate(tensor.shape, tensor.element,
                  [&](Scalars &s, ValueRange coords) {
                    return emitForm(s, tensor.form, tensor.element, coords,
                                    tensor.shape);
                  })
      .value;
}

//===----------------------------------------------------------------------===//
// Forms
//===----------------------------------------------------------------------===//

Value TensorBuilder::emitForm(Scalars &s, IndexExpr form, Type element,
                              ValueRange coords, Extents extents) {
  auto dimFn = [&](StringRef name) { return dims.lookup(name); };
  auto readFn = [&](ImplicitLocOpBuilder &inner, Atom atom,
                    ValueRange position) -> Value {
    Tensor base = readTensor(atom.index());
    if (!base || base.rank() != position.size())
      return {};
    Value source = valueOf(base);
    Scalars at(inner.getLoc(), inner);
    SmallVector<Value> indices(position);
    for (auto [k, p] : llvm::enumerate(atom.operands()))
      if (p.usesReads())
        indices[k] = checkedIndex(at, indices[k], dim(base.shape[k]));
    Value scalar =
        at.load(tensor::ExtractOp::create(at, source, indices), base.element);
    if (isa<FloatType>(scalar.getType()) || scalar.getType().isInteger(1))
      return scalar;
    return at.toIndex(scalar, isUnsigned(base.element));
  };
  Type compute = getComputeType(element);
  Type realType = isa<FloatType>(compute) ? compute : Type(s.getF32Type());
  IndexExprCodegen codegen(s, dimFn, coords, extents, readFn, realType);

  Value value;
  if (Pred p = form.pred()) {
    value = codegen.emit(p);
    if (value && !element.isInteger(1))
      value = s.select(value, s.constant(compute, 1), s.constant(compute, 0));
  } else if (isa<FloatType>(compute)) {
    value = codegen.emitReal(form.poly());
  } else {
    value = codegen.emitIndex(form.poly());
    if (value)
      value = s.fromIndex(value, compute);
  }
  if (value)
    return value;
  if (missing.empty())
    missing = codegen.getMissing().str();
  return s.constant(compute, 0);
}

AffineMap TensorBuilder::affineMap(ArrayRef<Poly> position, ArrayRef<Poly> base,
                                   ArrayRef<Poly> loops,
                                   ArrayRef<int64_t> loopOf) {
  SmallVector<AffineExpr> results;
  for (auto [p, extent] : llvm::zip_equal(position, base)) {
    AffineExpr expr = b.getAffineConstantExpr(0);
    for (const Term &term : p.terms()) {
      if (!term.coef.isInteger() || term.atoms.size() > 1)
        return {};
      AffineExpr factor = b.getAffineConstantExpr(1);
      if (!term.atoms.empty()) {
        Atom atom = term.atoms[0];
        if (atom.kind() != AtomKind::Coord || atom.index() >= loopOf.size())
          return {};
        int64_t loop = loopOf[atom.index()];
        factor =
            loop < 0 ? b.getAffineConstantExpr(0) : b.getAffineDimExpr(loop);
      }
      expr = expr + factor * term.coef.asInteger();
    }
    auto loop = dyn_cast<AffineDimExpr>(expr);
    if (loop && loops[loop.getPosition()] != extent)
      return {};
    results.push_back(expr);
  }
  return AffineMap::get(loops.size(), 0, results, b.getContext());
}

//===----------------------------------------------------------------------===//
// Access
//===----------------------------------------------------------------------===//

/// The part of `base` that loops read through `map`: linalg takes the extent of
/// a loop from any operand that the loop runs through, so a dim read plainly
/// must have the extent of its loop.
Value TensorBuilder::sliceFor(const Tensor &base, AffineMap map,
                              ArrayRef<Poly> loops) {
  SmallVector<OpFoldResult> sizes;
  SymbolicShape shape;
  for (auto [extent, expr] : llvm::zip_equal(base.shape, map.getResults())) {
    auto loop = dyn_cast<AffineDimExpr>(expr);
    shape.push_back(loop ? loops[loop.getPosition()] : extent);
    sizes.push_back(mixedDim(shape.back()));
  }
  if (llvm::equal(shape, base.shape))
    return base.value;
  SmallVector<OpFoldResult> offsets(base.rank(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(base.rank(), b.getIndexAttr(1));
  return tensor::ExtractSliceOp::create(b, typeOf(shape, base.element),
                                        base.value, offsets, sizes, strides);
}

/// `loopOf[k]` is the loop that runs over dim k of `tensor`. Where an extent of
/// 1 meets another loop extent the element is repeated.
TensorBuilder::Access TensorBuilder::access(const Tensor &tensor,
                                            ArrayRef<Poly> loops,
                                            ArrayRef<int64_t> loopOf) {
  if (std::optional<double> number = splatOf(tensor))
    return {Access::Splat, {}, {}, {}, *number};

  SmallVector<int64_t> fixed(loopOf);
  bool exact = true;
  for (unsigned k = 0; k < tensor.rank(); ++k) {
    if (tensor.shape[k] == loops[loopOf[k]])
      continue;
    if (tensor.shape[k].isConstant(1))
      fixed[k] = -1;
    else
      exact = false;
  }
  if (!tensor.value && exact) {
    Atom movement = getMovement(tensor.form);
    if (movement) {
      Tensor base = readTensor(movement.index());
      AffineMap map =
          base.value ? affineMap(movement.operands(), base.shape, loops, fixed)
                     : AffineMap();
      if (map)
        return {Access::Operand, sliceFor(base, map, loops), map, base.element};
    }
  }
  if (!tensor.value && !tensor.form.usesReads() &&
      tensor.form.size() <= kInlineSize)
    return {Access::Form, {}, {}, {}};

  Value value = valueOf(tensor);
  if (!exact)
    return {Access::Element, value, {}, tensor.element};
  SmallVector<AffineExpr> results;
  for (int64_t loop : fixed)
    results.push_back(loop < 0 ? b.getAffineConstantExpr(0)
                               : b.getAffineDimExpr(loop));
  return {Access::Operand, value,
          AffineMap::get(loops.size(), 0, results, b.getContext()),
          tensor.element};
}

/// The coordinate in a dim of extent `extent` that stands at `coord` of a loop.
Value TensorBuilder::broadcastCoord(Scalars &s, Poly extent, Poly loop,
                                    Value coord) {
  if (extent == loop)
    return coord;
  if (extent.isConstant(1))
    return s.index(0);
  Value size = dim(extent);
  return s.select(s.eq(size, s.index(1)), s.index(0), coord);
}

Value TensorBuilder::load(Scalars &s, const Tensor &tensor, ValueRange coords) {
  if (tensor.value)
    return s.load(tensor::ExtractOp::create(s, tensor.value, coords),
                  tensor.element);
  return emitForm(s, tensor.form, tensor.element, coords, tensor.shape);
}

//===----------------------------------------------------------------------===//
// Computations
//===----------------------------------------------------------------------===//

Tensor TensorBuilder::map(ArrayRef<Tensor> inputs, Type element, MapFn fn) {
  SmallVector<SymbolicShape> shapes;
  for (const Tensor &input : inputs)
    shapes.push_back(input.shape);
  return mapTo(broadcast(shapes), inputs, element, fn);
}

Tensor TensorBuilder::mapTo(ArrayRef<Poly> shape, ArrayRef<Tensor> inputs,
                            Type element, MapFn fn) {
  unsigned rank = shape.size();
  SmallVector<Access> accesses;
  SmallVector<SmallVector<int64_t>> loops;
  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  for (const Tensor &input : inputs) {
    loops.push_back(
        llvm::to_vector(llvm::seq<int64_t>(rank - input.rank(), rank)));
    accesses.push_back(access(input, shape, loops.back()));
    if (accesses.back().kind == Access::Operand) {
      operands.push_back(accesses.back().value);
      maps.push_back(accesses.back().map);
    }
  }
  maps.push_back(b.getMultiDimIdentityMap(rank));
  // Extents that only a body reads must be computed outside of it.
  for (auto [input, how] : llvm::zip_equal(inputs, accesses))
    if (how.kind == Access::Element)
      for (Poly extent : input.shape)
        dim(extent);

  Value init = empty(shape, element);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  auto body = [&](OpBuilder &nested, Location loc, ValueRange arguments) {
    Scalars s(loc, nested);
    SmallVector<Value> coords(rank);
    auto coord = [&](int64_t k) {
      if (!coords[k])
        coords[k] = linalg::IndexOp::create(s, k);
      return coords[k];
    };
    SmallVector<Value> x;
    unsigned next = 0;
    for (auto [input, how, loopOf] : llvm::zip_equal(inputs, accesses, loops)) {
      switch (how.kind) {
      case Access::Operand:
        x.push_back(s.cast(s.load(arguments[next++], how.element), how.element,
                           input.element));
        break;
      case Access::Splat:
        x.push_back(s.constant(getComputeType(input.element), how.number));
        break;
      case Access::Form:
      case Access::Element: {
        SmallVector<Value> position;
        for (auto [extent, loop] : llvm::zip_equal(input.shape, loopOf))
          position.push_back(
              broadcastCoord(s, extent, shape[loop], coord(loop)));
        Tensor source = input;
        source.value = how.value;
        x.push_back(load(s, source, position));
        break;
      }
      }
    }
    linalg::YieldOp::create(s, s.store(fn(s, x), element));
  };
  auto op = linalg::GenericOp::create(b, TypeRange{init.getType()}, operands,
                                      ValueRange{init}, maps, iterators, body);
  return wrap(op.getResult(0), element, SymbolicShape(shape));
}

Tensor TensorBuilder::convert(const Tensor &input, Type element) {
  if (input.element == element)
    return input;
  return mapTo(input.shape, input, element, [&](Scalars &s, ArrayRef<Value> x) {
    return s.cast(x[0], input.element, element);
  });
}

Tensor TensorBuilder::generate(ArrayRef<Poly> shape, Type element,
                               GenerateFn fn) {
  unsigned rank = shape.size();
  Value init = empty(shape, element);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  AffineMap identity = b.getMultiDimIdentityMap(rank);
  auto body = [&](OpBuilder &nested, Location loc, ValueRange) {
    Scalars s(loc, nested);
    SmallVector<Value> coords;
    for (unsigned k = 0; k < rank; ++k)
      coords.push_back(shape[k].isConstant(1)
                           ? s.index(0)
                           : Value(linalg::IndexOp::create(s, k)));
    linalg::YieldOp::create(s, s.store(fn(s, coords), element));
  };
  auto op =
      linalg::GenericOp::create(b, TypeRange{init.getType()}, ValueRange{},
                                ValueRange{init}, identity, iterators, body);
  return wrap(op.getResult(0), element, SymbolicShape(shape));
}

void TensorBuilder::report(Scalars &s, Value condition, int64_t code,
                           Value detail) {
  if (!context)
    return;
  s.ifThen(condition, [&] {
    // The second field of lathe_ctx.
    auto pointer = LLVM::LLVMPointerType::get(s.getContext());
    Value slot = LLVM::GEPOp::create(s, pointer, pointer, context,
                                     ArrayRef<LLVM::GEPArg>{1});
    Value function = LLVM::LoadOp::create(s, pointer, slot);
    Type i64 = s.getI64Type();
    auto type = LLVM::LLVMFunctionType::get(
        LLVM::LLVMVoidType::get(s.getContext()), {pointer, i64, i64});
    Value number = s.resize(detail, i64, /*isUnsigned=*/false);
    LLVM::CallOp::create(
        s, type, ValueRange{function, context, s.integer(i64, code), number});
  });
}

Value TensorBuilder::checkedIndex(Scalars &s, Value index, Value extent) {
  Value zero = s.index(0);
  Value wrapped = s.select(s.lt(index, zero), s.add(index, extent), index);
  Value bad = s.ge(wrapped, extent, /*isUnsigned=*/true);
  report(s, bad, /*LATHE_FAIL_INDEX*/ 1, index);
  Value last = s.sub(extent, s.index(1));
  return s.select(bad, s.max(s.min(wrapped, last), zero), wrapped);
}

Tensor
TensorBuilder::reduce(const Tensor &input, ArrayRef<int64_t> axes,
                      Type accumulator, Attribute init, MapFn pre,
                      function_ref<Value(Scalars &, Value, Value)> combine) {
  unsigned rank = input.rank();
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  for (int64_t axis : axes)
    iterators[axis] = utils::IteratorType::reduction;
  SymbolicShape shape;
  SmallVector<AffineExpr> kept;
  for (unsigned k = 0; k < rank; ++k) {
    if (iterators[k] == utils::IteratorType::reduction)
      continue;
    shape.push_back(input.shape[k]);
    kept.push_back(b.getAffineDimExpr(k));
  }

  SmallVector<int64_t> identity = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  Access how = access(input, input.shape, identity);
  // The extent of a loop is read off a dim that it runs through alone.
  if (how.kind != Access::Operand || !inversePermutation(how.map))
    how = {Access::Operand, valueOf(input), b.getMultiDimIdentityMap(rank),
           input.element};

  Scalars s(b.getLoc(), b);
  Value start =
      s.store(arith::ConstantOp::create(b, cast<TypedAttr>(init)), accumulator);
  Value filled =
      linalg::FillOp::create(b, start, empty(shape, accumulator)).getResult(0);
  SmallVector<AffineMap> maps = {how.map,
                                 AffineMap::get(rank, 0, kept, b.getContext())};
  auto body = [&](OpBuilder &nested, Location loc, ValueRange arguments) {
    Scalars inner(loc, nested);
    Value x = inner.load(arguments[0], how.element);
    x = pre(inner, inner.cast(x, how.element, input.element));
    Value sum = combine(inner, inner.load(arguments[1], accumulator), x);
    // The order of a sum is free; without this it could not be vectorised.
    if (Operation *op = sum.getDefiningOp())
      if (auto fastMath = dyn_cast<arith::ArithFastMathInterface>(op))
        op->setAttr(fastMath.getFastMathAttrName(),
                    arith::FastMathFlagsAttr::get(
                        op->getContext(), arith::FastMathFlags::reassoc |
                                              arith::FastMathFlags::contract));
    linalg::YieldOp::create(inner, inner.store(sum, accumulator));
  };
  auto op = linalg::GenericOp::create(b, TypeRange{filled.getType()},
                                      ValueRange{how.value}, ValueRange{filled},
                                      maps, iterators, body);
  return wrap(op.getResult(0), accumulator, shape);
}

Tensor TensorBuilder::einsum(ArrayRef<Tensor> inputs,
                             ArrayRef<SmallVector<int64_t>> labels,
                             ArrayRef<int64_t> result, Type accumulator) {
  // Loops: those of the result in its order, then the summed ones.
  SmallVector<int64_t> order(result);
  for (ArrayRef<int64_t> list : labels)
    for (int64_t label : list)
      if (!llvm::is_contained(order, label))
        order.push_back(label);
  auto loopOf = [&](int64_t label) {
    return std::distance(order.begin(), llvm::find(order, label));
  };
  SmallVector<Poly> extents(order.size(), terms.one());
  for (auto [input, list] : llvm::zip_equal(inputs, labels))
    for (auto [extent, label] : llvm::zip_equal(input.shape, list)) {
      Poly &merged = extents[loopOf(label)];
      if (merged.isConstant(1) ||
          (extent.isConstant() && !extent.isConstant(1)))
        merged = extent;
    }

  SmallVector<Value> operands;
  SmallVector<AffineMap> maps;
  SmallVector<Type> elements;
  for (auto [input, list] : llvm::zip_equal(inputs, labels)) {
    SmallVector<int64_t> loops = llvm::map_to_vector(list, loopOf);
    Access how = access(input, extents, loops);
    if (how.kind != Access::Operand) {
      Tensor value = wrap(valueOf(input), input.element, input.shape);
      how = access(value, extents, loops);
    }
    if (how.kind != Access::Operand) {
      // A constant, or an extent that only run time tells from 1.
      SymbolicShape shape;
      for (int64_t loop : loops)
        shape.push_back(extents[loop]);
      Tensor whole = mapTo(shape, input, input.element,
                           [](Scalars &, ArrayRef<Value> x) { return x[0]; });
      SmallVector<AffineExpr> results;
      for (int64_t loop : loops)
        results.push_back(b.getAffineDimExpr(loop));
      how = {Access::Operand, whole.value,
             AffineMap::get(extents.size(), 0, results, b.getContext()),
             input.element};
    }
    if (!how.map.isProjectedPermutation(/*allowZeroInResults=*/true)) {
      // Composed indices hide the extents of loops.
      Tensor value = wrap(valueOf(input), input.element, input.shape);
      how = access(value, extents, loops);
    }
    operands.push_back(how.value);
    maps.push_back(how.map);
    elements.push_back(how.element);
  }

  SymbolicShape shape(ArrayRef<Poly>(extents).take_front(result.size()));
  Tensor init = splat(shape, accumulator, 0);
  SmallVector<AffineExpr> kept;
  for (unsigned k = 0; k < result.size(); ++k)
    kept.push_back(b.getAffineDimExpr(k));
  maps.push_back(AffineMap::get(extents.size(), 0, kept, b.getContext()));
  SmallVector<utils::IteratorType> iterators(extents.size(),
                                             utils::IteratorType::reduction);
  std::fill_n(iterators.begin(), result.size(), utils::IteratorType::parallel);
  auto body = [&](OpBuilder &nested, Location loc, ValueRange arguments) {
    Scalars s(loc, nested);
    Value product;
    for (auto [n, element] : llvm::enumerate(elements)) {
      Value x = s.cast(s.load(arguments[n], element), element, accumulator);
      product = product ? s.mul(product, x) : x;
    }
    Value sum = s.add(s.load(arguments.back(), accumulator), product);
    linalg::YieldOp::create(s, s.store(sum, accumulator));
  };
  auto op =
      linalg::GenericOp::create(b, TypeRange{init.value.getType()}, operands,
                                ValueRange{init.value}, maps, iterators, body);
  return wrap(op.getResult(0), accumulator, shape);
}

Tensor TensorBuilder::expandAxes(const Tensor &input, ArrayRef<int64_t> axes) {
  SymbolicShape shape = input.shape;
  for (int64_t axis : axes)
    shape.insert(shape.begin() + axis, terms.one());
  return reshape(input, shape);
}

Tensor TensorBuilder::reshape(const Tensor &input, ArrayRef<Poly> shape) {
  Value value = valueOf(input);
  if (ArrayRef<Poly>(input.shape) == shape)
    return wrap(value, input.element, input.shape);
  // A shape of a shape is one of what lies below both.
  auto reshaped = reshapedFrom.find(value);
  if (reshaped != reshapedFrom.end())
    return reshape(Tensor(reshaped->second), shape);
  auto all = [](unsigned rank) {
    SmallVector<ReassociationIndices> groups;
    if (rank > 0)
      groups.push_back(llvm::to_vector(llvm::seq<int64_t>(0, rank)));
    return groups;
  };
  RankedTensorType type = typeOf(shape, input.element);
  SmallVector<OpFoldResult> sizes;
  for (Poly p : shape)
    sizes.push_back(mixedDim(p));

  unsigned dynamic = llvm::count(type.getShape(), ShapedType::kDynamic);
  // Between a scalar and extents of 1 there is no dim to go through.
  if (forUpstream && dynamic > 1 && input.rank() > 0) {
    SmallVector<Value> extents =
        llvm::map_to_vector(shape, [&](Poly p) { return dim(p); });
    auto list = tensor::FromElementsOp::create(b, extents);
    value = tensor::ReshapeOp::create(b, type, value, list);
  } else if (shape.empty())
    value = tensor::CollapseShapeOp::create(b, type, value,
                                            ArrayRef<ReassociationIndices>{});
  else if (input.rank() == 0)
    value = tensor::ExpandShapeOp::create(
        b, type, value, ArrayRef<ReassociationIndices>{}, sizes);
  else {
    if (input.rank() > 1)
      value = tensor::CollapseShapeOp::create(
          b, typeOf({product(input.shape)}, input.element), value,
          all(input.rank()));
    // The product of named dims may be a number.
    auto flat = typeOf({product(shape)}, input.element);
    if (shape.size() > 1 && flat.hasStaticShape() && value.getType() != flat)
      value = tensor::CastOp::create(b, flat, value);
    if (shape.size() > 1)
      value = tensor::ExpandShapeOp::create(b, type, value, all(shape.size()),
                                            sizes);
  }
  reshapedFrom[value] = wrap(valueOf(input), input.element, input.shape);
  return wrap(value, input.element, SymbolicShape(shape));
}

Tensor TensorBuilder::flatten(const Tensor &input, unsigned leading) {
  ArrayRef<Poly> shape = input.shape;
  return reshape(input, {product(shape.take_front(leading)),
                         product(shape.drop_front(leading))});
}

Tensor TensorBuilder::transpose(const Tensor &input,
                                ArrayRef<int64_t> permutation) {
  SymbolicShape shape;
  for (int64_t axis : permutation)
    shape.push_back(input.shape[axis]);
  Value source = valueOf(input);
  AffineMap map = inversePermutation(
      AffineMap::getPermutationMap(permutation, b.getContext()));
  unsigned rank = shape.size();
  Value init = empty(shape, input.element);
  SmallVector<utils::IteratorType> iterators(rank,
                                             utils::IteratorType::parallel);
  auto op = linalg::GenericOp::create(
      b, TypeRange{init.getType()}, ValueRange{source}, ValueRange{init},
      ArrayRef<AffineMap>{map, b.getMultiDimIdentityMap(rank)}, iterators,
      [](OpBuilder &nested, Location loc, ValueRange arguments) {
        linalg::YieldOp::create(nested, loc, arguments[0]);
      });
  return wrap(op.getResult(0), input.element, shape);
}
