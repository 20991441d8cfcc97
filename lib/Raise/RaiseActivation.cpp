//===- RaiseActivation.cpp - activations in all spellings -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "lathe/Raise/Passes.h"
#include <array>
#include <cmath>

namespace lathe {
#define GEN_PASS_DEF_RAISEACTIVATION
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseActivation : lathe::impl::RaiseActivationBase<RaiseActivation> {
  void runOnOperation() override;
};

/// Coefficients of 1, x, x^2, x^3.
using Cubic = std::array<double, 4>;

class ActivationRaiser {
public:
  explicit ActivationRaiser(ModuleOp module) : raiser(module) {}

  void visitNode(OnnxOp op);
  void visitPlain(OnnxOp op);
  bool isErased(Operation *op) { return raiser.isErased(op); }

private:
  void visitErfOrTanh(OnnxOp op);
  void visitSigmoid(OnnxOp op);
  void visitExp(OnnxOp op);
  void raise(Value result, ActivationKind kind, Value x);
  void raiseWithBias(OnnxOp op, ActivationKind kind);

  Raiser raiser;
};

} // namespace

static constexpr double kInvSqrt2 = 0.70710678118654752;
static constexpr double kTanhLinear = 0.79788456080286536;
static constexpr double kTanhCubic = kTanhLinear * 0.044715;

//===----------------------------------------------------------------------===//
// Polynomials
//===----------------------------------------------------------------------===//

static std::optional<Cubic> multiply(const Cubic &a, const Cubic &b) {
  Cubic product{};
  for (unsigned i = 0; i < 4; ++i)
    for (unsigned j = 0; j < 4; ++j) {
      double term = a[i] * b[j];
      if (term == 0)
        continue;
      if (i + j > 3)
        return std::nullopt;
      product[i + j] += term;
    }
  return product;
}

/// `value` as a polynomial in `x`.
static std::optional<Cubic> toCubic(Value value, Value x, unsigned depth = 0) {
  constexpr unsigned kDepth = 10;
  value = skipCasts(value);
  if (value == x)
    return Cubic{0, 1, 0, 0};
  if (depth > kDepth)
    return std::nullopt;
  if (isConstant(value)) {
    std::optional<double> number = getUniform(value);
    return number ? std::optional(Cubic{*number, 0, 0, 0}) : std::nullopt;
  }
  OnnxOp op = getCarrier(value);
  if (!op)
    return std::nullopt;
  auto input = [&](unsigned i) {
    return toCubic(op.getInputs()[i], x, depth + 1);
  };
  if (op.is("Neg")) {
    std::optional<Cubic> a = input(0);
    return a ? multiply(*a, {-1, 0, 0, 0}) : std::nullopt;
  }
  if (op.is("Pow")) {
    std::optional<double> power = getUniform(op.getInputs()[1]);
    std::optional<Cubic> a = input(0);
    if (!a || !power || (*power != 2 && *power != 3))
      return std::nullopt;
    std::optional<Cubic> square = multiply(*a, *a);
    return square && *power == 3 ? multiply(*square, *a) : square;
  }
  bool isAdd = op.is("Add"), isSub = op.is("Sub"), isDiv = op.is("Div");
  if (!isAdd && !isSub && !isDiv && !op.is("Mul"))
    return std::nullopt;
  std::optional<Cubic> a = input(0);
  std::optional<Cubic> b = a ? input(1) : std::nullopt;
  if (!b)
    return std::nullopt;
  if (isDiv) {
    if ((*b)[0] == 0 || (*b)[1] != 0 || (*b)[2] != 0 || (*b)[3] != 0)
      return std::nullopt;
    return multiply(*a, {1 / (*b)[0], 0, 0, 0});
  }
  if (!isAdd && !isSub)
    return multiply(*a, *b);
  for (unsigned i = 0; i < 4; ++i)
    (*a)[i] += isSub ? -(*b)[i] : (*b)[i];
  return a;
}

static bool isOdd(const std::optional<Cubic> &p, double linear, double cubic) {
  auto isZero = [](double value) { return std::abs(value) < 1e-9; };
  return p && isZero((*p)[0]) && isZero((*p)[2]) && isNear((*p)[1], linear) &&
         (cubic == 0 ? isZero((*p)[3]) : isNear((*p)[3], cubic));
}

/// A factor `scale * x` of a product.
struct Factor {
  Value x;
  double scale;
};

/// Readings of `value` as a multiple of something, the plainest first.
static SmallVector<Factor> getReadings(Value value) {
  constexpr unsigned kMaxReadings = 4;
  SmallVector<Factor> readings{{skipCasts(value), 1.0}};
  while (readings.size() < kMaxReadings) {
    auto [x, scale] = readings.back();
    OnnxOp op = getCarrier(x);
    if (!op || !(op.is("Mul") || op.is("Div")))
      break;
    std::optional<double> right = getUniform(op.getInputs()[1]);
    std::optional<double> left =
        op.is("Mul") && !right ? getUniform(op.getInputs()[0]) : std::nullopt;
    if (right)
      readings.push_back({skipCasts(op.getInputs()[0]),
                          op.is("Mul") ? scale * *right : scale / *right});
    else if (left)
      readings.push_back({skipCasts(op.getInputs()[1]), scale * *left});
    else
      break;
  }
  return readings;
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

void ActivationRaiser::raise(Value result, ActivationKind kind, Value x) {
  auto type = dyn_cast<ShapedType>(x.getType());
  if (!isFloatTensor(x) || !isFloatTensor(result))
    return;
  Operation *at = result.getDefiningOp();
  raiser->setInsertionPoint(at);
  // Casts on both sides are the activation's own accuracy; one on this side
  // alone stays.
  if (getElement(x) != getElement(result)) {
    Type element = getElement(result);
    auto elementAttr = raiser->getNamedAttr(
        "to", raiser->getI64IntegerAttr(getOnnxElementType(element)));
    x = raiser
            .carrier(at->getLoc(), "Cast", type.clone(element), x, elementAttr)
            .getOutputs()[0];
  }
  auto activation =
      ActivationOp::create(raiser, at->getLoc(), x.getType(),
                           ActivationKindAttr::get(at->getContext(), kind), x);
  copyProvenance(at, activation);
  raiser.replace(result, activation);
}

/// A walk from s = erf(...) or tanh(...) down through `scale * s + shift`.
struct Affine {
  Value value;
  double scale = 1, shift = 0;

  /// Takes the only user if it is a constant operation or a cast.
  bool step();
};

bool Affine::step() {
  auto user = dyn_cast_or_null<OnnxOp>(getOnlyUser(value));
  if (!user)
    return false;
  if (user.is("Cast")) {
    value = user.getOutputs()[0];
    return isFloatTensor(value);
  }
  if (user.getInputs().size() != 2)
    return false;
  std::optional<double> number = getUniform(getOther(user, value));
  if (!number)
    return false;
  if (user.is("Add")) {
    shift += *number;
  } else if (user.is("Mul")) {
    scale *= *number;
    shift *= *number;
  } else if (user.is("Div") && user.getInputs()[0] == value && *number != 0) {
    scale /= *number;
    shift /= *number;
  } else {
    return false;
  }
  value = user.getOutputs()[0];
  return true;
}

/// x/2 * (1 + s), in any order of the factors.
void ActivationRaiser::visitErfOrTanh(OnnxOp op) {
  bool isErf = op.is("Erf");
  Affine walk{op.getOutputs()[0]};
  while (walk.step())
    ;
  if (walk.scale == 0 || !isNear(walk.shift, walk.scale))
    return;
  OnnxOp product = getOnlyUser(walk.value, "Mul");
  if (!product)
    return;
  Value argument = op.getInputs()[0];
  for (auto [x, scale] : getReadings(getOther(product, walk.value))) {
    std::optional<Cubic> cubic = toCubic(argument, x);
    bool fits = isErf ? isOdd(cubic, kInvSqrt2, 0)
                      : isOdd(cubic, kTanhLinear, kTanhCubic);
    if (!fits)
      continue;
    // What scales the product may come behind it.
    Affine rest{product.getOutputs()[0], walk.scale * scale};
    while (!isNear(rest.scale, 0.5) && rest.step())
      ;
    if (isNear(rest.scale, 0.5) && rest.shift == 0)
      raise(rest.value, isErf ? ActivationKind::Gelu : ActivationKind::GeluTanh,
            x);
    return;
  }
}

/// What x * sigmoid(argument(x)) is.
static std::optional<ActivationKind> getSigmoidKind(Value argument, Value x) {
  std::optional<Cubic> cubic = toCubic(argument, x);
  if (isOdd(cubic, 1.0, 0))
    return ActivationKind::Silu;
  if (isOdd(cubic, 1.702, 0))
    return ActivationKind::QuickGelu;
  if (isOdd(cubic, 2 * kTanhLinear, 2 * kTanhCubic))
    return ActivationKind::GeluTanh;
  return std::nullopt;
}

void ActivationRaiser::visitSigmoid(OnnxOp op) {
  Value sigmoid = op.getOutputs()[0];
  for (Operation *user : llvm::make_early_inc_range(sigmoid.getUsers())) {
    auto product = dyn_cast<OnnxOp>(user);
    if (!product || !product.is("Mul"))
      continue;
    Value x = skipCasts(getOther(product, sigmoid));
    if (std::optional<ActivationKind> kind =
            getSigmoidKind(op.getInputs()[0], x)) {
      raise(product.getOutputs()[0], *kind, x);
      // The replacement may have erased further users.
      return;
    }
  }
}

/// x / (1 + exp(-x)).
void ActivationRaiser::visitExp(OnnxOp op) {
  OnnxOp sum = getOnlyUser(op.getOutputs()[0], "Add");
  if (!sum || !isNumber(getOther(sum, op.getOutputs()[0]), 1.0))
    return;
  OnnxOp quotient = getOnlyUser(sum.getOutputs()[0], "Div");
  if (!quotient || quotient.getInputs()[1] != sum.getOutputs()[0])
    return;
  Value x = skipCasts(quotient.getInputs()[0]);
  std::optional<Cubic> cubic = toCubic(op.getInputs()[0], x);
  if (isOdd(cubic, -1.0, 0))
    raise(quotient.getOutputs()[0], ActivationKind::Silu, x);
  else if (isOdd(cubic, -1.702, 0))
    raise(quotient.getOutputs()[0], ActivationKind::QuickGelu, x);
}

/// com.microsoft's forms that add a vector first.
void ActivationRaiser::raiseWithBias(OnnxOp op, ActivationKind kind) {
  Value x = op.getInputs()[0];
  if (Value bias = op.getOptionalInput(1)) {
    raiser->setInsertionPoint(op);
    OnnxOp sum = raiser.carrier(op.getLoc(), "Add", x.getType(), {x, bias});
    copyProvenance(op, sum);
    x = sum.getOutputs()[0];
  }
  raise(op.getOutputs()[0], kind, x);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

static std::optional<ActivationKind> getSwishKind(double alpha) {
  if (isNear(alpha, 1.0))
    return ActivationKind::Silu;
  if (isNear(alpha, 1.702))
    return ActivationKind::QuickGelu;
  return std::nullopt;
}

void ActivationRaiser::visitNode(OnnxOp op) {
  if (op.is("Erf") || op.is("Tanh"))
    return visitErfOrTanh(op);
  if (op.is("Sigmoid"))
    return visitSigmoid(op);
  if (op.is("Exp"))
    return visitExp(op);
  if (op.is("Gelu"))
    return raise(op.getOutputs()[0],
                 op.getString("approximate", "none") == "tanh"
                     ? ActivationKind::GeluTanh
                     : ActivationKind::Gelu,
                 op.getInputs()[0]);
  StringRef type = op.getOpType();
  bool isMicrosoft = op.getDomainOrDefault() == "com.microsoft";
  if (op.is("Swish") || (isMicrosoft && type == "QuickGelu")) {
    double alpha = op.getFloat("alpha", isMicrosoft ? 1.702 : 1.0);
    if (std::optional<ActivationKind> kind = getSwishKind(alpha))
      raise(op.getOutputs()[0], *kind, op.getInputs()[0]);
    return;
  }
  if (isMicrosoft && (type == "Gelu" || type == "BiasGelu"))
    return raiseWithBias(op, ActivationKind::Gelu);
  if (isMicrosoft && type == "FastGelu")
    return raiseWithBias(op, ActivationKind::GeluTanh);
}

void ActivationRaiser::visitPlain(OnnxOp op) {
  if (op.is("Relu"))
    return raise(op.getOutputs()[0], ActivationKind::Relu, op.getInputs()[0]);
  if (op.is("Tanh"))
    return raise(op.getOutputs()[0], ActivationKind::Tanh, op.getInputs()[0]);
  if (op.is("Sigmoid"))
    return raise(op.getOutputs()[0], ActivationKind::Sigmoid,
                 op.getInputs()[0]);
}

void RaiseActivation::runOnOperation() {
  ActivationRaiser raiser(getOperation());
  for (func::FuncOp entry : getEntries(getOperation())) {
    SmallVector<OnnxOp> candidates(entry.getBody().getOps<OnnxOp>());
    for (OnnxOp op : candidates)
      if (!raiser.isErased(op))
        raiser.visitNode(op);
    for (OnnxOp op : candidates)
      if (!raiser.isErased(op))
        raiser.visitPlain(op);
  }
}
