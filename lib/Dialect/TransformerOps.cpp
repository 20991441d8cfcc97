//===- TransformerOps.cpp - transformer operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Forms.h"
#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace lathe;

static ShapedType shapeOf(Value value) {
  return cast<ShapedType>(value.getType());
}

/// True when two extents may be equal at run time.
static bool compatible(int64_t a, int64_t b) {
  return ShapedType::isDynamic(a) || ShapedType::isDynamic(b) || a == b;
}

/// True when `a` and `b` may be the same shape; unranked agrees with all.
static bool compatibleShapes(ArrayRef<int64_t> a, ArrayRef<int64_t> b) {
  return a.size() == b.size() && llvm::all_of(llvm::zip(a, b), [](auto pair) {
           return compatible(std::get<0>(pair), std::get<1>(pair));
         });
}

/// A result of rank 3 with `columns` columns.
static LogicalResult verifyRows(Operation *op, Value result, int64_t columns) {
  ShapedType type = shapeOf(result);
  if (!type.hasRank() || type.getRank() != 3 ||
      !compatible(type.getDimSize(2), columns))
    return op->emitOpError("the result must be [B, S, ")
           << columns << "], not " << type;
  return success();
}

//===----------------------------------------------------------------------===//
// LinearOp
//===----------------------------------------------------------------------===//

void LinearOp::build(OpBuilder &, OperationState &state, Type result, Value x,
                     Value weight, Value bias, SiteAttr site) {
  state.addOperands({x, weight});
  if (bias)
    state.addOperands(bias);
  auto &properties = state.getOrAddProperties<Properties>();
  properties.operandSegmentSizes = {1, 1, bias ? 1 : 0, 0};
  properties.site = site;
  state.addRegion();
  state.addTypes(result);
}

LogicalResult LinearOp::verify() {
  ShapedType x = shapeOf(getX()), result = shapeOf(getResult());
  WeightType weight = getWeight().getType();
  if (weight.getRank() != 2)
    return emitOpError("the weight must have rank 2");
  int64_t k = weight.getDim(0), sums = weight.getDim(1), n = getColumns();
  if (getGated() && (sums % 2 != 0 || getEpilogue().empty()))
    return emitOpError("a gated linear must have an epilogue and an even "
                       "number of columns");
  if (!x.hasRank() || x.getRank() < 1 || !compatible(x.getShape().back(), k))
    return emitOpError("the last dim of x must be ") << k << ": " << x;
  if (Value bias = getBias()) {
    auto type = cast<WeightType>(bias.getType());
    if (type.getRank() != 1 || type.getDim(0) != sums)
      return emitOpError("the bias must have ") << sums << " elements";
  }
  SmallVector<int64_t> expected(x.getShape());
  expected.back() = n;
  if (!result.hasRank() || !compatibleShapes(result.getShape(), expected))
    return emitOpError("the result must have the leading dims of x and ")
           << n << " columns, not " << result;
  if (std::optional<Type> acts = getActs(); acts && !acts->isBF16())
    return emitOpError("acts must be bf16, not ") << *acts;

  for (Value arg : getEpilogueArgs()) {
    ShapedType type = shapeOf(arg);
    bool row = type.hasRank() && type.getRank() == 1 &&
               compatible(type.getDimSize(0), n);
    if (!row && !(type.hasRank() &&
                  compatibleShapes(type.getShape(), result.getShape())))
      return emitOpError("an epilogue operand must have the result's shape or "
                         "its columns, not ")
             << type;
  }
  if (getEpilogue().empty())
    return success();
  Block &block = getEpilogue().front();
  Type scalar = result.getElementType();
  auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
  auto isSum = [&](BlockArgument sum) { return sum.getType() == scalar; };
  if (block.getNumArguments() != getEpilogueArgs().size() + getSumCount() ||
      !llvm::all_of(block.getArguments().take_front(getSumCount()), isSum) ||
      !yield || yield.getValues().size() != 1 ||
      yield.getValues().front().getType() != scalar)
    return emitOpError("the epilogue must take ")
           << (getGated() ? "two sums" : "the sum")
           << " and one scalar per operand, and yield one " << scalar;
  return success();
}

//===----------------------------------------------------------------------===//
// EmbeddingOp, NormOp
//===----------------------------------------------------------------------===//

LogicalResult EmbeddingOp::verify() {
  WeightType table = getTable().getType();
  if (table.getRank() != 2)
    return emitOpError("the table must have rank 2");
  ShapedType ids = shapeOf(getIds()), result = shapeOf(getResult());
  if (!ids.hasRank() || !result.hasRank())
    return emitOpError("ids and result must have a rank");
  SmallVector<int64_t> expected(ids.getShape());
  expected.push_back(getColumns());
  if (!compatibleShapes(result.getShape(), expected))
    return emitOpError("the result must have the shape of ids and the table's "
                       "columns, not ")
           << result;
  return success();
}

LogicalResult NormOp::verify() {
  ShapedType x = shapeOf(getX());
  if (getResult().getType() != getX().getType() || !x.hasRank() ||
      x.getRank() < 1 || x.isDynamicDim(x.getRank() - 1))
    return emitOpError("x and the result must have one type with a static "
                       "last dim");
  for (Value scale : {getGamma(), getBeta()}) {
    if (!scale)
      continue;
    auto type = cast<WeightType>(scale.getType());
    if (type.getRank() != 1 || type.getDim(0) != x.getShape().back())
      return emitOpError("gamma and beta must have ")
             << x.getShape().back() << " elements";
  }
  if (!getEpsilon().isFinite() || getEpsilon().isNegative())
    return emitOpError("epsilon must be finite and not negative");
  if (getBeta() && (!getGamma() || getKind() == NormKind::Rms))
    return emitOpError("beta needs gamma and a layer norm");
  return success();
}

//===----------------------------------------------------------------------===//
// RopeOp, AttentionOp, KvAppendOp
//===----------------------------------------------------------------------===//

LogicalResult RopeOp::verify() {
  int64_t rotary = getRotaryDim(), dim = getHeadDim(), heads = getHeads();
  if (rotary <= 0 || rotary % 2 || rotary > dim || heads <= 0)
    return emitOpError("needs a positive number of heads and an even rotary "
                       "dim within the head");
  if (failed(verifyMap(*this, "x_map", getXMap(), getX())) ||
      failed(verifyRows(*this, getResult(), heads * dim)))
    return failure();
  ShapedType cos = shapeOf(getCos());
  if (getCos().getType() != getSin().getType() || !cos.hasRank() ||
      cos.getRank() != 3 || !compatible(cos.getDimSize(2), rotary / 2))
    return emitOpError("cos and sin must be [1 or B, S, ") << rotary / 2 << "]";
  return success();
}

void AttentionOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  if (getCache())
    effects.emplace_back(MemoryEffects::Read::get());
}

LogicalResult AttentionOp::verify() {
  int64_t heads = getHeads(), kvHeads = getKvHeads();
  int64_t keyDim = getHeadDim(), valueDim = getValueDim();
  if (kvHeads <= 0 || heads <= 0 || heads % kvHeads || keyDim <= 0 ||
      valueDim <= 0)
    return emitOpError("heads must be a positive multiple of kv_heads, and "
                       "the head's dims positive");
  bool pair = getK() && getV() && getKMap() && getVMap();
  bool none = !getK() && !getV() && !getKMap() && !getVMap();
  if (getCache() ? !none : !pair)
    return emitOpError("needs k and v with their maps, or a cache");
  if (failed(verifyMap(*this, "q_map", getQMap(), getQ())))
    return failure();
  if (pair && (failed(verifyMap(*this, "k_map", *getKMap(), getK())) ||
               failed(verifyMap(*this, "v_map", *getVMap(), getV()))))
    return failure();
  if (failed(verifyRows(*this, getResult(), heads * valueDim)))
    return failure();
  if (Value cache = getCache()) {
    auto type = cast<KvType>(cache.getType());
    if (type.getHeads() != kvHeads || type.getKeyDim() != keyDim ||
        type.getValueDim() != valueDim)
      return emitOpError("the cache ") << type << " has other heads or dims";
  }
  if (getSoftcap() &&
      !(getSoftcap()->isFinite() && getSoftcap()->convertToFloat() > 0))
    return emitOpError("softcap must be positive");
  if (getMaskValue().has_value() != (getRows() == MaskedRows::Soft))
    return emitOpError("'mask_value' belongs to rows = soft");
  // Batch, head, query row and key.
  constexpr unsigned coords = 4;
  if (getMask() &&
      failed(verifyForm(*this, "mask", *getMask(),
                        /*predicate=*/true, coords, getMaskArgs())))
    return failure();
  if (getBias())
    return verifyForm(*this, "bias", *getBias(), /*predicate=*/false, coords,
                      getMaskArgs());
  return success();
}

void KvAppendOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  effects.emplace_back(MemoryEffects::Write::get());
}

LogicalResult KvAppendOp::verify() {
  if (getResult().getType() != getCache().getType())
    return emitOpError("the result must have the type of the cache");
  if (failed(verifyMap(*this, "k_map", getKMap(), getK())))
    return failure();
  return verifyMap(*this, "v_map", getVMap(), getV());
}

//===----------------------------------------------------------------------===//
// IndexExprOp
//===----------------------------------------------------------------------===//

LogicalResult IndexExprOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (static_cast<int64_t>(getShape().size()) != type.getRank())
    return emitOpError("'shape' must have one entry per dim of ") << type;
  for (auto [entry, extent] : llvm::zip(getShape(), type.getShape()))
    if (failed(verifyExtent([&] { return emitOpError(); },
                            cast<StringAttr>(entry).getValue(), extent)))
      return failure();
  return verifyForm(*this, "form", getForm(),
                    /*predicate=*/type.getElementType().isInteger(1),
                    /*coords=*/type.getRank(), getInputs());
}
