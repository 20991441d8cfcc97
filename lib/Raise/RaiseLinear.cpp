//===- RaiseLinear.cpp - products with weights ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "WeightTable.h"
#include "lathe/Raise/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_RAISELINEAR
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseLinear : lathe::impl::RaiseLinearBase<RaiseLinear> {
  void runOnOperation() override;
};

class LinearRaiser {
public:
  explicit LinearRaiser(ModuleOp module) : raiser(module), weights(module) {}

  void noteTable(OnnxOp gather);
  void visitMatMul(OnnxOp op);
  void visitGemm(OnnxOp op);
  bool isErased(Operation *op) { return raiser.isErased(op); }

private:
  LinearOp makeLinear(OnnxOp op, WeightSource weight, Value bias);
  void finish(OnnxOp op, LinearOp linear);
  void absorbBias(LinearOp linear);

  Raiser raiser;
  WeightTable weights;
};

} // namespace

//===----------------------------------------------------------------------===//
// Linear
//===----------------------------------------------------------------------===//

/// `x` before the reshapes that only regroup its rows: what is computed row by
/// row need not know how the rows are counted.
static Value skipRowReshapes(Value x) {
  std::optional<int64_t> size = getLastDim(x);
  Value best = x;
  while (OnnxOp op = getCarrier(x)) {
    if (!op.is("Reshape") && !op.is("Flatten") && !op.is("Identity"))
      break;
    x = op.getInputs()[0];
    if (!size || getLastDim(x) != size)
      break;
    best = x;
  }
  return best;
}

/// x * weight, before `op`. The weight has rank 2.
LinearOp LinearRaiser::makeLinear(OnnxOp op, WeightSource weight, Value bias) {
  Value x = op.getInputs()[0];
  auto type = dyn_cast<RankedTensorType>(x.getType());
  if (!type || type.getRank() == 0 || isConstant(x) ||
      type.getElementType() != weight.element)
    return {};
  int64_t size = type.getShape().back();
  if (!ShapedType::isDynamic(size) && size != weight.shape[0])
    return {};
  // A Gemm wants rank 2, so exporters flatten what it reads.
  if (type.getRank() == 2)
    x = skipRowReshapes(x);
  type = cast<RankedTensorType>(x.getType());

  OpBuilder &builder = raiser;
  builder.setInsertionPoint(op);
  int64_t columns = weight.shape[1];
  Value biasWeight;
  if (bias) {
    biasWeight = weights.useVector(builder, op.getLoc(), bias, columns);
    if (!biasWeight)
      return {};
  }
  Value weightValue = weights.use(builder, op.getLoc(), weight);
  if (!weightValue)
    return {};
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = columns;
  auto linear = LinearOp::create(builder, op.getLoc(),
                                 RankedTensorType::get(shape, weight.element),
                                 x, weightValue, biasWeight, SiteAttr());
  copyProvenance(op, linear);
  return linear;
}

/// Uses `linear` for the result of `op`, whose rows may be counted otherwise.
void LinearRaiser::finish(OnnxOp op, LinearOp linear) {
  Value result = linear;
  if (linear.getX() != op.getInputs()[0]) {
    raiser->setInsertionPointAfter(linear);
    Value shape = raiser.integers(op.getLoc(),
                                  {-1, linear.getWeight().getType().getDim(1)});
    result = raiser
                 .carrier(op.getLoc(), "Reshape", op.getOutputs()[0].getType(),
                          {result, shape})
                 .getOutputs()[0];
  }
  raiser.replace(op.getOutputs()[0], result);
  if (!linear.getBias())
    absorbBias(linear);
}

/// A tied head is the transposition of the table, not the other way round.
void LinearRaiser::noteTable(OnnxOp gather) {
  std::optional<WeightSource> table = WeightTable::find(gather.getInputs()[0]);
  if (table && !isConstant(gather.getInputs()[1]))
    weights.note(*table);
}

void LinearRaiser::visitMatMul(OnnxOp op) {
  std::optional<WeightSource> weight = WeightTable::find(op.getInputs()[1]);
  if (!weight || !weight->dropLeadingOnes(2))
    return;
  // Leading ones of the weight count only if they do not add dims.
  std::optional<int64_t> rank = getRank(op.getInputs()[0]);
  std::optional<int64_t> weightRank = getRank(op.getInputs()[1]);
  if (!rank || !weightRank || *weightRank > std::max<int64_t>(*rank, 2))
    return;
  if (LinearOp linear = makeLinear(op, *weight, {}))
    finish(op, linear);
}

void LinearRaiser::visitGemm(OnnxOp op) {
  std::optional<WeightSource> weight = WeightTable::find(op.getInputs()[1]);
  if (!weight || weight->shape.size() != 2 || op.getInt("transA", 0) != 0)
    return;
  if (op.getInt("transB", 0)) {
    std::swap(weight->shape[0], weight->shape[1]);
    weight->transposed = !weight->transposed;
  }
  double alpha = op.getFloat("alpha", 1.0), beta = op.getFloat("beta", 1.0);
  Value bias = op.getOptionalInput(2);
  if (beta == 0)
    bias = {};
  if (bias && (beta != 1 || !isConstant(bias)))
    return;
  if (alpha != 1) {
    weight = weights.scale(*weight, alpha);
    if (!weight)
      return;
  }
  if (LinearOp linear = makeLinear(op, *weight, bias))
    finish(op, linear);
}

/// True if `op` moves elements but keeps the last axis of `columns` elements.
static bool keepsLastAxis(OnnxOp op, int64_t columns) {
  Value result = op.getOutputs()[0];
  if (getLastDim(result) != columns || getLastDim(op.getInputs()[0]) != columns)
    return false;
  if (op.is("Transpose")) {
    std::optional<ArrayRef<int64_t>> perm = op.getInts("perm");
    return perm && perm->back() == static_cast<int64_t>(perm->size()) - 1;
  }
  return op.is("Reshape") || op.is("Squeeze") || op.is("Unsqueeze") ||
         op.is("Flatten") || op.is("Identity");
}

/// An Add of a vector behind `linear`, with nothing but movement between,
/// becomes its bias.
void LinearRaiser::absorbBias(LinearOp linear) {
  int64_t columns = linear.getWeight().getType().getDim(1);
  Value value = linear;
  OnnxOp add;
  while (auto user = dyn_cast_or_null<OnnxOp>(getOnlyUser(value))) {
    if (user.is("Add")) {
      add = user;
      break;
    }
    if (!keepsLastAxis(user, columns))
      return;
    value = user.getOutputs()[0];
  }
  if (!add)
    return;
  Value vector = getOther(add, value);
  // A bias of more dims than what it is added to would make that larger.
  std::optional<int64_t> rank = getRank(vector), valueRank = getRank(value);
  if (!rank || !valueRank || *rank > *valueRank)
    return;
  raiser->setInsertionPoint(linear);
  Value bias = weights.useVector(raiser, add.getLoc(), vector, columns);
  if (!bias)
    return;
  linear.getBiasMutable().assign(bias);
  copyProvenance(add, linear);
  raiser.replace(add.getOutputs()[0], value);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void RaiseLinear::runOnOperation() {
  LinearRaiser raiser(getOperation());
  for (func::FuncOp entry : getEntries(getOperation())) {
    SmallVector<OnnxOp> candidates(entry.getBody().getOps<OnnxOp>());
    for (OnnxOp op : candidates)
      if (op.is("Gather"))
        raiser.noteTable(op);
    for (OnnxOp op : candidates) {
      if (raiser.isErased(op))
        continue;
      if (op.is("MatMul"))
        raiser.visitMatMul(op);
      else if (op.is("Gemm"))
        raiser.visitGemm(op);
    }
    eraseDeadOps(entry);
  }
}
