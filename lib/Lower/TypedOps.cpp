//===- TypedOps.cpp - transformer operations as kernels or linalg ---------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"
#include "StageLowering.h"
#include "lathe/Codegen/CPU/EmitLinear.h"
#include "lathe/Codegen/CPU/EmitNorm.h"
#include "lathe/Codegen/CPU/EmitRoundPairs.h"
#include "lathe/Codegen/CPU/EmitSoftmax.h"
#include "lathe/Lower/Activation.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace lathe;

LogicalResult StageLowering::lowerTyped(Operation *op) {
  for (Value operand : op->getOperands()) {
    // The operand's own operation has been reported.
    if (isa<TensorType>(operand.getType()) && !get(operand))
      return failure();
  }
  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](LinearOp linear) { return lowerLinear(linear); })
      .Case([&](NormOp norm) { return lowerNorm(norm); })
      .Case([&](ActivationOp activation) {
        bind(activation.getResult(),
             this->activation(activation.getKind(), get(activation.getX())));
        return success();
      })
      .Case([&](SoftmaxOp softmax) {
        Tensor x = get(softmax.getX());
        bind(softmax.getResult(), this->softmax(x, x.rank() - 1));
        return success();
      })
      .Case([&](EmbeddingOp embedding) { return lowerEmbedding(embedding); })
      .Case([&](RopeOp rope) { return lowerRope(rope); })
      .Case([&](AttentionOp attention) { return lowerAttention(attention); })
      .Case([&](KvAppendOp append) { return lowerKvAppend(append); })
      .Default([](Operation *other) {
        return other->emitOpError("cannot be lowered");
      });
}

//===----------------------------------------------------------------------===//
// Linear
//===----------------------------------------------------------------------===//

static std::string printRegion(Region &region) {
  std::string text;
  llvm::raw_string_ostream out(text);
  OpPrintingFlags flags;
  flags.skipRegions(false).useLocalScope();
  for (Operation &op : region.front())
    op.print(out, flags);
  return text;
}

/// The f32 matrix `rows` in bf16, two columns in 32 bits.
Value StageLowering::roundToPairs(const Tensor &rows) {
  Value source = t.valueOf(rows);
  Value &known = rounded[source];
  if (known)
    return known;
  int64_t columns = *rows.shape[1].getConstantInt();
  std::string name = getKernel(
      "round " + std::to_string(columns), [&](ModuleOp module, StringRef name) {
        return success(
            bool(emitRoundPairsKernel(module, name, columns, target)));
      });
  Type i32 = IntegerType::get(this->source.getContext(), 32);
  Tensor pairs = callKernel(
      name, source, {rows.shape[0], t.poly(llvm::divideCeil(columns, 2))}, i32);
  known = t.valueOf(pairs);
  return known;
}

Tensor StageLowering::linear(const Tensor &x, Value panels, int64_t inputs,
                             int64_t outputs, Value bias,
                             ArrayRef<Tensor> extras, Region *epilogue,
                             bool gated) {
  Type f32 = Float32Type::get(source.getContext());
  SymbolicShape shape = x.shape;
  shape.back() = t.poly(outputs);
  Poly rows = t.product(ArrayRef<Poly>(shape).drop_back());

  Tensor flat = t.reshape(t.convert(x, f32), {rows, t.poly(inputs)});
  LinearSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.gated = gated;
  spec.pairs =
      cast<MemRefType>(panels.getType()).getElementType().isInteger(32);
  SmallVector<Value> operands = {
      spec.pairs ? roundToPairs(flat) : t.valueOf(flat), panels};
  if (bias) {
    spec.bias = true;
    operands.push_back(bias);
  }
  std::string key = "linear " + std::to_string(inputs) + "x" +
                    std::to_string(outputs) + (spec.pairs ? " pairs" : "") +
                    (gated ? " gated" : "") + (bias ? " bias" : "");
  for (const Tensor &extra : extras) {
    bool row = extra.rank() == 1 && shape.size() != 1;
    spec.extras.push_back(row ? ExtraKind::Row : ExtraKind::Tensor);
    key += row ? " row" : " tensor";
    operands.push_back(
        row ? t.valueOf(extra)
            : t.valueOf(t.reshape(extra, {rows, t.poly(outputs)})));
  }
  if (epilogue && !epilogue->empty()) {
    spec.epilogue = getRegionEpilogue(*epilogue);
    key += " " + printRegion(*epilogue);
  }
  std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
    return emitLinearKernel(module, name, spec, target);
  });
  Tensor flatResult = callKernel(name, operands, {rows, t.poly(outputs)}, f32);
  return t.convert(t.reshape(flatResult, shape), x.element);
}

Tensor StageLowering::partTensor(Value part) {
  auto type = cast<RankedTensorType>(part.getType());
  SymbolicShape shape;
  for (int64_t extent : type.getShape())
    shape.push_back(t.poly(extent));
  return t.wrap(part, type.getElementType(), shape);
}

/// The left and the right half of the columns of `x`, `columns` each.
SmallVector<Tensor> StageLowering::splitColumns(const Tensor &x,
                                                int64_t columns) {
  SymbolicShape shape = x.shape;
  shape.back() = t.poly(columns);
  SmallVector<Tensor> halves;
  for (int64_t offset : {int64_t(0), columns})
    halves.push_back(
        t.generate(shape, x.element, [&](Scalars &s, ValueRange coords) {
          SmallVector<Value> place(coords);
          place.back() = s.add(place.back(), s.index(offset));
          return t.load(s, x, place);
        }));
  return halves;
}

/// x times the weight as a sum of products; then bias and epilogue, element by
/// element.
Tensor StageLowering::linearInLinalg(LinearOp op) {
  Tensor x = get(op.getX());
  Type f32 = Float32Type::get(op.getContext());
  int64_t columns = x.rank() - 1, depth = x.rank();
  SmallVector<int64_t> left = llvm::to_vector(llvm::seq<int64_t>(0, columns));
  SmallVector<int64_t> result = left;
  left.push_back(depth);
  result.push_back(columns);
  auto narrow = [&](const Tensor &tensor) {
    if (!op.getActs())
      return tensor;
    return t.map(t.convert(tensor, f32), f32,
                 [&](Scalars &s, ArrayRef<Value> v) {
                   return s.round(v[0], *op.getActs());
                 });
  };
  Tensor sum =
      t.einsum({narrow(x), narrow(partTensor(getPart(op.getWeight())))},
               {left, SmallVector<int64_t>{depth, columns}}, result, f32);
  if (op.getBias())
    sum =
        t.map({sum, partTensor(getPart(op.getBias()))}, f32,
              [](Scalars &s, ArrayRef<Value> v) { return s.add(v[0], v[1]); });
  if (!op.getEpilogue().empty()) {
    SmallVector<Tensor> operands = {sum};
    if (op.getGated())
      operands = splitColumns(sum, op.getColumns());
    for (Value extra : op.getEpilogueArgs())
      operands.push_back(get(extra));
    Block &body = op.getEpilogue().front();
    sum = t.map(operands, f32, [&](Scalars &s, ArrayRef<Value> v) {
      IRMapping map;
      map.map(body.getArguments(), v);
      for (Operation &inner : body.without_terminator())
        s.clone(inner, map);
      return map.lookupOrDefault(body.getTerminator()->getOperand(0));
    });
  }
  return t.convert(sum, getElementTypeOrSelf(op.getResult().getType()));
}

LogicalResult StageLowering::lowerLinear(LinearOp op) {
  if (!usesKernels()) {
    bind(op.getResult(), linearInLinalg(op));
    return success();
  }
  WeightType weight = op.getWeight().getType();
  SmallVector<Tensor> extras;
  for (Value extra : op.getEpilogueArgs())
    extras.push_back(get(extra));
  Value bias = op.getBias() ? getPart(op.getBias()) : Value();
  bind(op.getResult(),
       linear(get(op.getX()), getPart(op.getWeight()), weight.getDim(0),
              op.getColumns(), bias, extras, &op.getEpilogue(), op.getGated()));
  return success();
}

//===----------------------------------------------------------------------===//
// Activation, softmax, norm
//===----------------------------------------------------------------------===//

Value lathe::emitActivation(ImplicitLocOpBuilder &builder, ActivationKind kind,
                            Value v) {
  Scalars s(builder.getLoc(), builder);
  auto c = [&](double value) { return s.like(v, value); };
  switch (kind) {
  case ActivationKind::Gelu:
    return s.mul(s.mul(v, c(0.5)),
                 s.add(s.erf(s.mul(v, c(0.70710678118654752))), c(1.0)));
  case ActivationKind::GeluTanh: {
    Value cube = s.mul(s.mul(v, v), v);
    Value inner =
        s.mul(s.add(v, s.mul(cube, c(0.044715))), c(0.79788456080286536));
    return s.mul(s.mul(v, c(0.5)), s.add(s.tanh(inner), c(1.0)));
  }
  case ActivationKind::Silu:
    return s.mul(v, s.sigmoid(v));
  case ActivationKind::QuickGelu:
    return s.mul(v, s.sigmoid(s.mul(v, c(1.702))));
  case ActivationKind::Relu:
    return s.max(v, c(0.0));
  case ActivationKind::Tanh:
    return s.tanh(v);
  case ActivationKind::Sigmoid:
    return s.sigmoid(v);
  }
  llvm_unreachable("all kinds are handled");
}

Tensor StageLowering::activation(ActivationKind kind, const Tensor &x) {
  return t.map(x, x.element, [&](Scalars &s, ArrayRef<Value> in) {
    return emitActivation(s, kind, in[0]);
  });
}

/// The type in which sums over elements of `element` are formed.
static Type sumType(Type element) { return getComputeType(element); }

Tensor StageLowering::mean(const Tensor &x, ArrayRef<int64_t> axes) {
  Type compute = sumType(x.element);
  Tensor sum = t.reduce(
      x, axes, compute, FloatAttr::get(compute, 0.0),
      [](Scalars &, ArrayRef<Value> v) { return v[0]; },
      [](Scalars &s, Value a, Value b) { return s.add(a, b); });
  Poly count = t.poly(1);
  for (int64_t axis : axes)
    count = t.getTerms().mul(count, x.shape[axis]);
  Value size = t.dim(count);
  Tensor result = t.map(sum, compute, [&](Scalars &s, ArrayRef<Value> v) {
    return s.div(v[0], s.toFloat(size, compute));
  });
  return t.expandAxes(result, axes);
}

/// x minus its largest element along the axis.
static Tensor shifted(TensorBuilder &t, const Tensor &x, int64_t axis,
                      Type compute) {
  double infinity = std::numeric_limits<double>::infinity();
  Tensor top = t.reduce(
      x, axis, compute, FloatAttr::get(compute, -infinity),
      [](Scalars &, ArrayRef<Value> v) { return v[0]; },
      [](Scalars &s, Value a, Value b) { return s.max(a, b); });
  return t.map({x, t.expandAxes(top, axis)}, compute,
               [](Scalars &s, ArrayRef<Value> v) { return s.sub(v[0], v[1]); });
}

static Tensor sumAlong(TensorBuilder &t, const Tensor &x, int64_t axis,
                       MapFn pre) {
  Tensor sum =
      t.reduce(x, axis, x.element, FloatAttr::get(x.element, 0.0), pre,
               [](Scalars &s, Value a, Value b) { return s.add(a, b); });
  return t.expandAxes(sum, axis);
}

Tensor StageLowering::softmax(const Tensor &x, int64_t axis) {
  Type compute = sumType(x.element);
  if (usesKernels() && compute.isF32() && axis == x.rank() - 1) {
    int64_t columns =
        x.shape.back().getConstantInt().value_or(ShapedType::kDynamic);
    std::string name =
        getKernel("softmax " + std::to_string(columns),
                  [&](ModuleOp module, StringRef name) {
                    return success(
                        bool(emitSoftmaxKernel(module, name, columns, target)));
                  });
    Tensor rows = t.flatten(t.convert(x, compute), axis);
    Tensor result = callKernel(name, t.valueOf(rows), rows.shape, compute);
    return t.convert(t.reshape(result, x.shape), x.element);
  }
  Tensor power =
      t.map(shifted(t, x, axis, compute), compute,
            [](Scalars &s, ArrayRef<Value> v) { return s.exp(v[0]); });
  Tensor sum = sumAlong(t, power, axis,
                        [](Scalars &, ArrayRef<Value> v) { return v[0]; });
  return t.map({power, sum}, x.element,
               [](Scalars &s, ArrayRef<Value> v) { return s.div(v[0], v[1]); });
}

Tensor StageLowering::logSoftmax(const Tensor &x, int64_t axis) {
  Tensor moved = shifted(t, x, axis, sumType(x.element));
  Tensor sum = sumAlong(t, moved, axis, [](Scalars &s, ArrayRef<Value> v) {
    return s.exp(v[0]);
  });
  return t.map({moved, sum}, x.element, [](Scalars &s, ArrayRef<Value> v) {
    return s.sub(v[0], s.log(v[1]));
  });
}

Tensor StageLowering::vectorOf(Value part, Poly count) {
  if (!usesKernels())
    return partTensor(part);
  ImplicitLocOpBuilder &b = t.getBuilder();
  auto type = cast<MemRefType>(part.getType());
  Type element = type.getElementType();
  int64_t size = *count.getConstantInt();
  if (type.getDimSize(0) != size)
    part = memref::ReinterpretCastOp::create(
        b, MemRefType::get(size, element), part, /*offset=*/int64_t(0),
        /*sizes=*/ArrayRef<int64_t>(size), /*strides=*/ArrayRef<int64_t>(1));
  Value tensor = bufferization::ToTensorOp::create(
      b, RankedTensorType::get(size, element), part, /*restrict=*/true,
      /*writable=*/false);
  return t.wrap(tensor, element, {count});
}

Tensor StageLowering::layerNorm(const Tensor &x, Value gamma, Value beta,
                                double epsilon, bool isRms) {
  Type compute = sumType(x.element);
  int64_t axis = x.rank() - 1;
  Poly columns = x.shape.back();
  std::optional<int64_t> fixed = columns.getConstantInt();
  if (usesKernels() && compute.isF32() && fixed && *fixed > 0) {
    NormSpec spec;
    spec.kind = isRms ? NormSpec::Kind::Rms : NormSpec::Kind::Layer;
    spec.columns = *fixed;
    spec.epsilon = epsilon;
    spec.gamma = bool(gamma);
    spec.beta = bool(beta);
    std::string key;
    llvm::raw_string_ostream(key)
        << "norm " << *fixed << (isRms ? " rms " : " layer ")
        << llvm::format_hex(llvm::bit_cast<uint64_t>(epsilon), 16)
        << (gamma ? " gamma" : "") << (beta ? " beta" : "");
    std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
      return success(bool(emitNormKernel(module, name, spec, target)));
    });
    Tensor rows = t.flatten(t.convert(x, compute), axis);
    SmallVector<Value> inputs = {t.valueOf(rows)};
    for (Value part : {gamma, beta})
      if (part)
        inputs.push_back(part);
    Tensor result = callKernel(name, inputs, rows.shape, compute);
    return t.convert(t.reshape(result, x.shape), x.element);
  }
  Tensor centred = t.convert(x, compute);
  if (!isRms)
    centred =
        t.map({centred, mean(centred, axis)}, compute,
              [](Scalars &s, ArrayRef<Value> v) { return s.sub(v[0], v[1]); });
  Tensor squares = t.map(centred, compute, [](Scalars &s, ArrayRef<Value> v) {
    return s.mul(v[0], v[0]);
  });
  SmallVector<Tensor> operands = {centred, mean(squares, axis)};
  for (Value part : {gamma, beta})
    if (part)
      operands.push_back(vectorOf(part, columns));
  return t.map(operands, x.element, [&](Scalars &s, ArrayRef<Value> v) {
    Value scaled = s.div(v[0], s.sqrt(s.add(v[1], s.like(v[1], epsilon))));
    if (gamma)
      scaled = s.mul(scaled, v[2]);
    if (beta)
      scaled = s.add(scaled, v.back());
    return scaled;
  });
}

LogicalResult StageLowering::lowerNorm(NormOp op) {
  Value gamma = op.getGamma() ? getPart(op.getGamma()) : Value();
  Value beta = op.getBeta() ? getPart(op.getBeta()) : Value();
  bind(op.getResult(),
       layerNorm(get(op.getX()), gamma, beta, op.getEpsilon().convertToDouble(),
                 op.getKind() == NormKind::Rms));
  return success();
}
