//===- AttentionCase.cpp - attention problems with a reference ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionCase.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/APFloat.h"
#include <cmath>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

/// Keys behind the rows that a cache has room for.
static constexpr int64_t kSpare = 5;

std::string AttentionConfig::name() const {
  static const char *const layouts[] = {"fused", "cache", "transposed"};
  return std::to_string(heads) + "/" + std::to_string(kvHeads) + " d" +
         std::to_string(headDim) + " dv" + std::to_string(valueDim) + " " +
         mask.name + " " + layouts[static_cast<int>(layout)] +
         (halfCache ? " f16" : "");
}

//===----------------------------------------------------------------------===//
// The masks as IR
//===----------------------------------------------------------------------===//

static Value indexConstant(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

/// The row's absolute position among the keys.
static Value getPosition(ImplicitLocOpBuilder &b, const AttentionPoint &point) {
  Value past = arith::SubIOp::create(b, point.keys, point.rows);
  return arith::AddIOp::create(b, point.row, past);
}

static std::pair<Value, Value> buildRange(OpBuilder &builder, Location loc,
                                          const AttentionPoint &point,
                                          const MaskKind &mask) {
  ImplicitLocOpBuilder b(loc, builder);
  Value position = getPosition(b, point);
  Value one = indexConstant(b, 1);
  Value first = indexConstant(b, 0);
  if (mask.window)
    first =
        arith::SubIOp::create(b, position, indexConstant(b, mask.window - 1));
  Value last = mask.causal ? arith::AddIOp::create(b, position, one).getResult()
                           : point.keys;
  return {first, last};
}

static Value buildPadding(OpBuilder &builder, Location loc,
                          const AttentionPoint &point) {
  ImplicitLocOpBuilder b(loc, builder);
  Value at = arith::AddIOp::create(
      b, arith::MulIOp::create(b, point.batch, point.keys), point.key);
  Value mask = memref::LoadOp::create(b, point.arguments[0], at);
  Value zero = arith::ConstantIntOp::create(b, b.getI64Type(), 0);
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, mask, zero);
}

/// (key*7 + row*3 + head*5 + batch) mod 4 != 0.
static Value buildHoles(OpBuilder &builder, Location loc,
                        const AttentionPoint &point) {
  ImplicitLocOpBuilder b(loc, builder);
  Value sum = point.batch;
  auto addTimes = [&](Value value, int64_t factor) {
    sum = arith::AddIOp::create(
        b, sum, arith::MulIOp::create(b, value, indexConstant(b, factor)));
  };
  addTimes(point.key, 7);
  addTimes(point.row, 3);
  addTimes(point.head, 5);
  Value rest = arith::RemUIOp::create(b, sum, indexConstant(b, 4));
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, rest,
                               indexConstant(b, 0));
}

/// slopes[head] * (key - row).
static Value buildBias(OpBuilder &builder, Location loc,
                       const AttentionPoint &point) {
  ImplicitLocOpBuilder b(loc, builder);
  Value slope = memref::LoadOp::create(b, point.arguments[1], point.head);
  Value distance = arith::SubIOp::create(b, point.key, point.row);
  Value number = arith::SIToFPOp::create(
      b, b.getF32Type(),
      arith::IndexCastOp::create(b, b.getI32Type(), distance));
  return arith::MulFOp::create(b, slope, number);
}

AttentionSpec AttentionConfig::makeSpec(MLIRContext *context) const {
  AttentionSpec spec;
  spec.heads = heads;
  spec.kvHeads = kvHeads;
  spec.headDim = headDim;
  spec.valueDim = valueDim;
  spec.scale = 1.0 / std::sqrt(double(headDim));
  spec.softcap = mask.softcap;
  spec.emptyRows = mask.rows;
  spec.negative = mask.negative;
  spec.unitKey = spec.unitValue = layout != Layout::Transposed;
  if (halfCache)
    spec.keyType = spec.valueType = Float16Type::get(context);
  auto buffer = [&](Type element) {
    return MemRefType::get({ShapedType::kDynamic}, element);
  };
  spec.maskTypes = {buffer(IntegerType::get(context, 64)),
                    buffer(Float32Type::get(context))};
  if (mask.causal || mask.window)
    spec.range = [mask = mask](OpBuilder &b, Location loc,
                               const AttentionPoint &point) {
      return buildRange(b, loc, point, mask);
    };
  if (mask.padding)
    spec.keyPredicate = buildPadding;
  if (mask.holes)
    spec.predicate = buildHoles;
  if (mask.bias)
    spec.bias = buildBias;
  if (mask.headScale)
    spec.headScale = [](OpBuilder &b, Location loc,
                        const AttentionPoint &point) -> Value {
      return memref::LoadOp::create(b, loc, point.arguments[1], point.head);
    };
  return spec;
}

CompiledAttention::CompiledAttention(const CpuTarget &target,
                                     const AttentionConfig &config)
    : kernel(target,
             [&](ModuleOp module) {
               return emitAttentionKernel(module, "attention",
                                          config.makeSpec(module.getContext()),
                                          target);
             }),
      scratch(target, [&](OpBuilder &b, Location loc, ValueRange sizes) {
        return emitAttentionScratchSize(b, loc, config.makeSpec(b.getContext()),
                                        target, sizes[0], sizes[1], sizes[2]);
      }) {}

//===----------------------------------------------------------------------===//
// The buffers
//===----------------------------------------------------------------------===//

AttentionProblem::AttentionProblem(const AttentionConfig &config, int64_t batch,
                                   int64_t rows, int64_t keys, Padding kind,
                                   unsigned seed, bool atStart)
    : config(config), batch(batch), rows(rows), keys(keys) {
  layOut(atStart);
  Random random(seed);
  for (const Operand *operand : {&q, &k, &v}) {
    int64_t heads = operand == &q ? config.heads : config.kvHeads;
    int64_t count = operand == &q ? rows : keys;
    int64_t width = operand == &v ? config.valueDim : config.headDim;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t r = 0; r < count; ++r)
          for (int64_t c = 0; c < width; ++c)
            write(*operand, b, h, r, c, random.normal());
  }
  out = std::make_unique<GuardedBuffer>(outputSize() * 4, atStart);

  padding = std::make_unique<GuardedBuffer>(batch * keys * 8, atStart, 8);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t j = 0; j < keys; ++j) {
      bool keep = true;
      int64_t length = 1 + (keys * (b + 2)) / (batch + 3);
      if (kind == Padding::Left)
        keep = j >= keys - length;
      if (kind == Padding::Right)
        keep = j < length;
      if (kind == Padding::Holes)
        keep = random.below(3) != 0;
      if (kind == Padding::Everything)
        keep = b != 0;
      padding->as<int64_t>()[b * keys + j] = keep;
    }
  slopes = std::make_unique<GuardedBuffer>(config.heads * 4, atStart);
  for (int64_t h = 0; h < config.heads; ++h)
    slopes->as<float>()[h] = 0.05f * std::pow(0.8f, float(h));
}

void AttentionProblem::layOut(bool atStart) {
  auto make = [&](int64_t elements, bool isHalf = false) {
    size_t bytes = isHalf ? 2 : 4;
    return std::make_unique<GuardedBuffer>(elements * bytes, atStart, bytes);
  };
  int64_t h = config.heads, g = config.kvHeads, d = config.headDim,
          e = config.valueDim;
  switch (config.layout) {
  case Layout::Fused: {
    int64_t width = h * d + g * (d + e);
    fused = make(batch * keys * width);
    // The queries are the last rows.
    q.offset = (keys - rows) * width;
    k.offset = h * d;
    v.offset = h * d + g * d;
    for (Operand *operand : {&q, &k, &v}) {
      operand->batch = keys * width;
      operand->row = width;
      operand->head = operand == &v ? e : d;
    }
    return;
  }
  case Layout::Cache: {
    int64_t capacity = keys + kSpare;
    q.buffer = make(batch * rows * h * d);
    q.batch = rows * h * d;
    q.row = h * d;
    q.head = d;
    for (auto [operand, width] : {std::pair(&k, d), std::pair(&v, e)}) {
      // The last row that is read ends at the guard page.
      operand->isHalf = config.halfCache;
      operand->buffer = make(
          std::max<int64_t>(batch * g * capacity * width - kSpare * width, 0),
          operand->isHalf);
      operand->batch = g * capacity * width;
      operand->head = capacity * width;
      operand->row = width;
    }
    return;
  }
  case Layout::Transposed:
    q.buffer = make(batch * h * rows * d);
    q.batch = h * rows * d;
    q.head = rows * d;
    q.row = d;
    for (auto [operand, width] : {std::pair(&k, d), std::pair(&v, e)}) {
      operand->isHalf = config.halfCache;
      operand->buffer = make(batch * g * width * keys, operand->isHalf);
      operand->batch = g * width * keys;
      operand->head = width * keys;
      operand->row = 1;
      operand->column = keys;
    }
    return;
  }
}

const GuardedBuffer &AttentionProblem::memoryOf(const Operand &operand) const {
  return operand.buffer ? *operand.buffer : *fused;
}

float AttentionProblem::read(const Operand &operand, int64_t b, int64_t h,
                             int64_t r, int64_t c) const {
  int64_t at = operand.at(b, h, r, c);
  const GuardedBuffer &memory = memoryOf(operand);
  if (!operand.isHalf)
    return memory.as<float>()[at];
  llvm::APFloat half(llvm::APFloat::IEEEhalf(),
                     llvm::APInt(16, memory.as<uint16_t>()[at]));
  bool isLossy;
  half.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven,
               &isLossy);
  return half.convertToFloat();
}

void AttentionProblem::write(const Operand &operand, int64_t b, int64_t h,
                             int64_t r, int64_t c, float value) {
  int64_t at = operand.at(b, h, r, c);
  const GuardedBuffer &memory = memoryOf(operand);
  if (!operand.isHalf) {
    memory.as<float>()[at] = value;
    return;
  }
  llvm::APFloat half(value);
  bool isLossy;
  half.convert(llvm::APFloat::IEEEhalf(), llvm::APFloat::rmNearestTiesToEven,
               &isLossy);
  memory.as<uint16_t>()[at] = half.bitcastToAPInt().getZExtValue();
}

void AttentionProblem::Operand::append(std::vector<Argument> &arguments,
                                       const GuardedBuffer &memory) const {
  arguments.push_back(
      {memory.as<void>(), int64_t(memory.size() / (isHalf ? 2 : 4))});
  for (int64_t number : {offset, batch, head, row, column})
    arguments.push_back(number);
}

size_t AttentionProblem::outputSize() const {
  return batch * rows * config.heads * config.valueDim;
}

void AttentionProblem::clear() {
  out->poison();
  if (scratch)
    scratch->poison();
}

void AttentionProblem::run(const CompiledAttention &kernel, Pool &pool) {
  int64_t size = kernel.scratch.get(batch, rows, keys);
  if (!scratch)
    scratch = std::make_unique<GuardedBuffer>(size * 4, false, 64);
  std::vector<Argument> arguments;
  q.append(arguments, memoryOf(q));
  k.append(arguments, memoryOf(k));
  v.append(arguments, memoryOf(v));
  arguments.push_back({out->as<void>(), int64_t(outputSize())});
  arguments.push_back(0);
  arguments.push_back({scratch->as<void>(), size});
  for (int64_t number : {batch, rows, keys})
    arguments.push_back(number);
  arguments.push_back({padding->as<void>(), batch * keys});
  arguments.push_back({slopes->as<void>(), config.heads});
  kernel.kernel.call(pool, arguments);
}

//===----------------------------------------------------------------------===//
// The reference
//===----------------------------------------------------------------------===//

bool AttentionProblem::keeps(int64_t b, int64_t h, int64_t i, int64_t j) const {
  const MaskKind &mask = config.mask;
  int64_t position = i + keys - rows;
  if (mask.causal && j > position)
    return false;
  if (mask.window && j < position - (mask.window - 1))
    return false;
  if (mask.padding && !padding->as<int64_t>()[b * keys + j])
    return false;
  return !mask.holes || (j * 7 + i * 3 + h * 5 + b) % 4 != 0;
}

std::vector<double>
AttentionProblem::reference(std::vector<bool> &emptyRows) const {
  const MaskKind &mask = config.mask;
  std::vector<double> result;
  emptyRows.clear();
  double scale = 1.0 / std::sqrt(double(config.headDim));
  int64_t group = config.heads / config.kvHeads;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t h = 0; h < config.heads; ++h) {
        std::vector<double> scores;
        double max = -INFINITY;
        bool allMasked = true;
        float slope = slopes->as<float>()[h];
        for (int64_t j = 0; j < keys; ++j) {
          double s = 0.0;
          for (int64_t c = 0; c < config.headDim; ++c)
            s += double(read(q, b, h, i, c)) * read(k, b, h / group, j, c);
          s *= scale * (mask.headScale ? slope : 1.0f);
          if (mask.softcap)
            s = mask.softcap * std::tanh(s / mask.softcap);
          if (mask.bias)
            s += double(slope) * (j - i);
          if (keeps(b, h, i, j))
            allMasked = false;
          else
            s = mask.rows == AttentionRows::Soft
                    ? float(float(s) + float(mask.negative))
                    : -INFINITY;
          scores.push_back(s);
          max = std::max(max, s);
        }
        emptyRows.push_back(allMasked);
        bool isMean = allMasked && mask.rows == AttentionRows::Mean;
        double total = 0.0;
        for (double &s : scores) {
          s = isMean ? 1.0 : std::exp(s - max);
          total += s;
        }
        for (int64_t c = 0; c < config.valueDim; ++c) {
          double sum = 0.0;
          for (int64_t j = 0; j < keys; ++j)
            sum += scores[j] * read(v, b, h / group, j, c);
          sum /= total;
          if (allMasked && mask.rows == AttentionRows::Zero)
            sum = 0.0;
          result.push_back(sum);
        }
      }
  return result;
}
