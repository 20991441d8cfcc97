//===- RaiseNorm.cpp - normalisations in all spellings --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "WeightTable.h"
#include "lathe/Raise/Passes.h"
#include <cmath>

namespace lathe {
#define GEN_PASS_DEF_RAISENORM
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

/// `1 / sqrt(mean(centered^2) + epsilon)` or the root alone.
struct Deviation {
  /// x, or x - mean(x).
  Value centered;
  double epsilon;
  /// The value found is 1 / sqrt(...).
  bool isInverse;
};

struct RaiseNorm : lathe::impl::RaiseNormBase<RaiseNorm> {
  void runOnOperation() override;
};

class NormRaiser {
public:
  explicit NormRaiser(ModuleOp module) : raiser(module), weights(module) {}

  void visit(OnnxOp op);
  bool isErased(Operation *op) { return raiser.isErased(op); }

private:
  void visitLayerNormalization(OnnxOp op, NormKind kind);
  void visitSkipNormalization(OnnxOp op, NormKind kind);
  void visitDeviation(OnnxOp root);
  void raiseNormalized(Value normalized, const Deviation &deviation);
  Value makeNorm(Operation *at, NormKind kind, Value x, Value gamma, Value beta,
                 double epsilon);

  Raiser raiser;
  WeightTable weights;
};

} // namespace

//===----------------------------------------------------------------------===//
// Written as one node
//===----------------------------------------------------------------------===//

/// The norm at the place of `at`; null if its operands do not fit. A scale
/// that is not constant, or not one number per column, is no gamma.
Value NormRaiser::makeNorm(Operation *at, NormKind kind, Value x, Value gamma,
                           Value beta, double epsilon) {
  std::optional<int64_t> size = getLastDim(x);
  if (!size || !isFloatTensor(x) || !(epsilon >= 0) || std::isinf(epsilon))
    return {};
  OpBuilder &builder = raiser;
  builder.setInsertionPoint(at);
  Location loc = at->getLoc();
  Value gammaWeight, betaWeight;
  bool isPlain = gamma && isNumber(gamma, 1.0);
  if (gamma && !(isPlain && !beta)) {
    gammaWeight = weights.useVector(builder, loc, gamma, *size);
    if (!gammaWeight)
      return {};
  }
  if (beta) {
    betaWeight = weights.useVector(builder, loc, beta, *size);
    if (!betaWeight)
      return {};
    if (!gammaWeight) {
      std::vector<float> ones(*size, 1.0f);
      gammaWeight = weights.use(builder, loc, ones, {*size},
                                cast<FloatType>(getElement(x)), "ones");
    }
  }
  auto norm = NormOp::create(builder, loc, x.getType(), kind, x, gammaWeight,
                             betaWeight, APFloat(static_cast<float>(epsilon)),
                             SiteAttr());
  copyProvenance(at, norm);
  return norm;
}

static bool isLastAxis(OnnxOp op, Value x) {
  std::optional<int64_t> rank = getRank(x);
  return rank && normalizeAxis(op.getInt("axis", -1), *rank) == *rank - 1;
}

void NormRaiser::visitLayerNormalization(OnnxOp op, NormKind kind) {
  Value x = op.getInputs()[0];
  if (!isLastAxis(op, x))
    return;
  for (Value extra : op.getOutputs().drop_front())
    if (!extra.use_empty())
      return;
  Value norm = makeNorm(op, kind, x, op.getOptionalInput(1),
                        op.getOptionalInput(2), op.getFloat("epsilon", 1e-5));
  if (norm)
    raiser.replace(op.getOutputs()[0], norm);
}

/// Results: normalised, mean, inverse deviation, sum.
void NormRaiser::visitSkipNormalization(OnnxOp op, NormKind kind) {
  bool isLayer = kind == NormKind::Layer;
  for (auto [i, output] : llvm::enumerate(op.getOutputs()))
    if ((i == 1 || i == 2) && !output.use_empty())
      return;
  OpBuilder &builder = raiser;
  builder.setInsertionPoint(op);
  Value x = op.getInputs()[0];
  auto add = [&](Value a, Value b) -> Value {
    OnnxOp sum = raiser.carrier(op.getLoc(), "Add", x.getType(), {a, b});
    copyProvenance(op, sum);
    return sum.getOutputs()[0];
  };
  Value sum = add(x, op.getInputs()[1]);
  if (Value bias = op.getOptionalInput(isLayer ? 4 : 3))
    sum = add(sum, bias);
  Value norm = makeNorm(op, kind, sum, op.getOptionalInput(2),
                        isLayer ? op.getOptionalInput(3) : Value(),
                        op.getFloat("epsilon", 1e-12));
  if (!norm) {
    raiser.eraseIfDead(sum.getDefiningOp());
    return;
  }
  if (op.getOutputs().size() > 3)
    op.getOutputs()[3].replaceAllUsesWith(sum);
  raiser.replace(op.getOutputs()[0], norm);
}

//===----------------------------------------------------------------------===//
// Written out
//===----------------------------------------------------------------------===//

/// `x` of a mean over the last axis that keeps its dim: ReduceMean, or a sum
/// divided by the extent.
static Value matchMean(Value value) {
  auto reduces = [](OnnxOp op) {
    Value x = op.getInputs()[0];
    std::optional<int64_t> rank = getRank(x);
    if (!rank || op.getInt("keepdims", 1) != 1)
      return false;
    std::optional<SmallVector<int64_t>> axes = getAxes(op, 1, *rank);
    return axes && axes->size() == 1 && axes->front() == *rank - 1;
  };
  if (OnnxOp mean = getCarrier(value, "ReduceMean"))
    return reduces(mean) ? mean.getInputs()[0] : Value();

  OnnxOp quotient = getCarrier(value);
  if (!quotient || !(quotient.is("Div") || quotient.is("Mul")))
    return {};
  for (Value operand : quotient.getInputs()) {
    OnnxOp sum = getCarrier(operand, "ReduceSum");
    if (!sum || !reduces(sum))
      continue;
    std::optional<int64_t> size = getLastDim(sum.getInputs()[0]);
    bool isDiv = quotient.is("Div");
    if (!size || (isDiv && operand != quotient.getInputs()[0]))
      continue;
    double expected = isDiv ? double(*size) : 1.0 / double(*size);
    if (isNumber(getOther(quotient, operand), expected))
      return sum.getInputs()[0];
  }
  return {};
}

/// `x` of x * x or x^2.
static Value matchSquare(Value value) {
  OnnxOp op = getCarrier(skipCasts(value));
  if (!op)
    return {};
  if (op.is("Pow") && isNumber(op.getInputs()[1], 2.0))
    return op.getInputs()[0];
  if (op.is("Mul") && areEquivalent(op.getInputs()[0], op.getInputs()[1]))
    return op.getInputs()[0];
  return {};
}

/// `root` is Sqrt or Pow.
static std::optional<Deviation> matchDeviation(OnnxOp root) {
  bool isInverse = false;
  if (root.is("Pow")) {
    isInverse = isNumber(root.getInputs()[1], -0.5);
    if (!isInverse && !isNumber(root.getInputs()[1], 0.5))
      return std::nullopt;
  }
  OnnxOp sum = getCarrier(skipCasts(root.getInputs()[0]), "Add");
  if (!sum)
    return std::nullopt;
  for (Value operand : sum.getInputs()) {
    std::optional<double> epsilon = getUniform(operand);
    if (!epsilon)
      continue;
    Value squares = matchMean(skipCasts(getOther(sum, operand)));
    Value centered = squares ? matchSquare(squares) : Value();
    if (centered)
      return Deviation{centered, *epsilon, isInverse};
  }
  return std::nullopt;
}

/// The same tensor, up to casts between float types.
static bool isSameTensor(Value a, Value b) {
  return areEquivalent(skipCasts(a), skipCasts(b));
}

void NormRaiser::visitDeviation(OnnxOp root) {
  std::optional<Deviation> deviation = matchDeviation(root);
  if (!deviation)
    return;
  // Values that are 1 / deviation, and those that are the deviation.
  SmallVector<Value> inverses, roots;
  auto collect = [](Value value, SmallVectorImpl<Value> &into) {
    into.push_back(value);
    for (Operation *user : value.getUsers())
      if (auto cast = dyn_cast<OnnxOp>(user); cast && cast.is("Cast"))
        into.push_back(cast.getOutputs()[0]);
  };
  if (deviation->isInverse)
    collect(root.getOutputs()[0], inverses);
  else
    collect(root.getOutputs()[0], roots);
  for (Value value : roots)
    for (Operation *user : value.getUsers()) {
      auto op = dyn_cast<OnnxOp>(user);
      if (!op)
        continue;
      bool isReciprocal = op.is("Reciprocal") ||
                          (op.is("Div") && op.getInputs()[1] == value &&
                           isNumber(op.getInputs()[0], 1.0)) ||
                          (op.is("Pow") && isNumber(op.getInputs()[1], -1.0));
      if (isReciprocal)
        collect(op.getOutputs()[0], inverses);
    }

  SmallVector<Value> found;
  auto isCentered = [&](Value value) {
    return isSameTensor(value, deviation->centered);
  };
  for (Value value : roots)
    for (Operation *user : value.getUsers())
      if (auto div = dyn_cast<OnnxOp>(user))
        if (div.is("Div") && div.getInputs()[1] == value &&
            isCentered(div.getInputs()[0]))
          found.push_back(div.getOutputs()[0]);
  for (Value value : inverses)
    for (Operation *user : value.getUsers())
      if (auto mul = dyn_cast<OnnxOp>(user))
        if (mul.is("Mul") && isCentered(getOther(mul, value)))
          found.push_back(mul.getOutputs()[0]);
  for (Value normalized : found)
    raiseNormalized(normalized, *deviation);
}

/// Follows the only user while it scales, shifts or casts, and replaces the
/// last value by one norm.
void NormRaiser::raiseNormalized(Value normalized, const Deviation &deviation) {
  NormKind kind = NormKind::Rms;
  Value x = deviation.centered;
  if (OnnxOp sub = getCarrier(skipCasts(x), "Sub")) {
    Value mean = matchMean(skipCasts(sub.getInputs()[1]));
    if (mean && isSameTensor(mean, sub.getInputs()[0])) {
      kind = NormKind::Layer;
      x = sub.getInputs()[0];
    }
  }
  std::optional<int64_t> size = getLastDim(x);
  if (!size)
    return;

  auto isVector = [&](Value value) {
    std::optional<FloatConstant> constant = evaluateConstant(value);
    if (!constant)
      return false;
    return static_cast<int64_t>(constant->values.size()) == *size &&
           !constant->shape.empty() && constant->shape.back() == *size;
  };
  Value gamma, beta, last = normalized;
  // Casts between narrow input and narrow output are the norm's own accuracy.
  Value narrow = skipCasts(x);
  bool sawCast = false;
  while (auto user = dyn_cast_or_null<OnnxOp>(getOnlyUser(last))) {
    Value result = user->getNumResults() ? user.getOutputs()[0] : Value();
    bool isNothing =
        user.is("Identity") ||
        (user.is("Cast") && getElement(result) == getElement(last));
    if (isNothing) {
      // Exporters cast f32 to f32.
    } else if (user.is("Cast") && isFloatTensor(result) &&
               getElement(result) == getElement(narrow) && !sawCast) {
      sawCast = true;
    } else if (user.is("Mul") && !gamma && !beta &&
               isVector(getOther(user, last))) {
      gamma = getOther(user, last);
    } else if (user.is("Add") && gamma && !beta && kind == NormKind::Layer &&
               isVector(getOther(user, last))) {
      beta = getOther(user, last);
    } else {
      break;
    }
    last = result;
  }
  if (sawCast || getElement(narrow) == getElement(last))
    x = narrow;
  if (getElement(x) != getElement(last))
    return;
  Value norm =
      makeNorm(last.getDefiningOp(), kind, x, gamma, beta, deviation.epsilon);
  if (norm)
    raiser.replace(last, norm);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void NormRaiser::visit(OnnxOp op) {
  StringRef type = op.getOpType(), domain = op.getDomainOrDefault();
  bool isMicrosoft = domain == "com.microsoft";
  if (!domain.empty() && !isMicrosoft)
    return;
  if (type == "LayerNormalization")
    return visitLayerNormalization(op, NormKind::Layer);
  if (type == "RMSNormalization" || type == "SimplifiedLayerNormalization")
    return visitLayerNormalization(op, NormKind::Rms);
  if (isMicrosoft && type == "SkipLayerNormalization")
    return visitSkipNormalization(op, NormKind::Layer);
  if (isMicrosoft && type == "SkipSimplifiedLayerNormalization")
    return visitSkipNormalization(op, NormKind::Rms);
  if (op.is("Sqrt") || op.is("Pow"))
    visitDeviation(op);
}

void RaiseNorm::runOnOperation() {
  NormRaiser raiser(getOperation());
  for (func::FuncOp entry : getEntries(getOperation())) {
    SmallVector<OnnxOp> candidates(entry.getBody().getOps<OnnxOp>());
    for (OnnxOp op : candidates)
      if (!raiser.isErased(op))
        raiser.visit(op);
  }
}
