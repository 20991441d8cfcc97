//===- NormTest.cpp - norms and softmax against f64 -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NormTest.h"
#include "KernelHarness.h"
#include "lathe/Codegen/CPU/EmitNorm.h"
#include "lathe/Codegen/CPU/EmitRoundPairs.h"
#include "lathe/Codegen/CPU/EmitSoftmax.h"
#include "lathe/Dialect/NarrowFloat.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

/// Compiles the kernel that `emit` adds to a module.
template <typename Emit>
static std::optional<LoadedModule> compile(MLIRContext *context,
                                           const CpuTarget &target, Emit emit) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context));
  addEntry(emit(*module));
  auto loaded = LoadedModule::load(*module, target);
  if (loaded)
    return std::move(*loaded);
  llvm::errs() << llvm::toString(loaded.takeError()) << "\n";
  return std::nullopt;
}

static bool isClose(double actual, double expected) {
  return std::abs(actual - expected) <= 3e-6 * (1 + std::abs(expected));
}

namespace {

/// Operands of one call of a norm.
struct NormCall {
  Buffer x, addend, sum, gamma, beta, y;
  std::vector<void *> args;
  std::vector<int64_t> dims;

  NormCall(const NormSpec &spec, int64_t rows)
      : x(rows * spec.columns), addend(rows * spec.columns),
        sum(rows * spec.columns), gamma(llvm::alignTo(spec.columns, 64)),
        beta(llvm::alignTo(spec.columns, 64)), y(rows * spec.columns) {
    x.fill(1, 3.0f);
    addend.fill(2);
    gamma.fill(3);
    beta.fill(4);
    // A mean far from zero shows a variance that cancels.
    for (float &value : x)
      value += 30.0f;
    args.push_back(x.data());
    if (spec.residual)
      args.insert(args.end(), {addend.data(), sum.data()});
    if (spec.gamma)
      args.push_back(gamma.data());
    if (spec.beta)
      args.push_back(beta.data());
    args.push_back(y.data());
    dims.assign(spec.residual ? 4 : 2, rows);
  }
};

} // namespace

static bool checkRow(const NormSpec &spec, const NormCall &call, int64_t row) {
  int64_t n = spec.columns;
  std::vector<double> values(n);
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n; ++i) {
    values[i] = call.x[row * n + i];
    if (spec.residual) {
      // In f32, as the kernel writes it.
      float sum = call.x[row * n + i] + call.addend[row * n + i];
      if (call.sum[row * n + i] != sum)
        return false;
      values[i] = sum;
    }
    mean += values[i] / n;
  }
  if (spec.kind == NormSpec::Kind::Rms)
    mean = 0;
  for (double value : values)
    square += (value - mean) * (value - mean) / n;
  for (int64_t i = 0; i < n; ++i) {
    double expected = (values[i] - mean) / std::sqrt(square + spec.epsilon);
    if (spec.gamma)
      expected *= call.gamma[i];
    if (spec.beta)
      expected += call.beta[i];
    if (!isClose(call.y[row * n + i], expected))
      return false;
  }
  return true;
}

static bool checkNorm(const NormSpec &spec, MLIRContext *context,
                      const CpuTarget &target) {
  auto loaded = compile(context, target, [&](ModuleOp module) {
    return emitNormKernel(module, "kernel", spec, target);
  });
  if (!loaded)
    return false;
  for (int64_t rows : {0, 1, 3, 77}) {
    NormCall call(spec, rows), again(spec, rows);
    Pool one(1), two(2);
    loaded->entry(&one.ctx, call.args.data(), call.dims.data());
    loaded->entry(&two.ctx, again.args.data(), again.dims.data());
    bool same = std::equal(call.y.begin(), call.y.end(), again.y.begin());
    for (int64_t row = 0; row < rows && same; ++row)
      same = checkRow(spec, call, row);
    if (same)
      continue;
    llvm::outs() << llvm::format(
        "WRONG: %s norm, %d x %d, gamma %d, beta %d, residual %d\n",
        spec.kind == NormSpec::Kind::Rms ? "rms" : "layer", int(rows),
        int(spec.columns), spec.gamma, spec.beta, spec.residual);
    return false;
  }
  return true;
}

bool lathe::test::checkNorms(MLIRContext *context, const CpuTarget &target) {
  bool ok = true;
  int count = 0;
  for (int64_t columns : {1, 7, 64, 100, 384, 1000})
    for (auto kind : {NormSpec::Kind::Layer, NormSpec::Kind::Rms})
      for (bool residual : {false, true}) {
        NormSpec spec;
        spec.kind = kind;
        spec.columns = columns;
        spec.residual = residual;
        spec.gamma = columns != 64;
        spec.beta = spec.gamma && !residual;
        ok &= checkNorm(spec, context, target);
        ++count;
      }
  if (ok)
    llvm::outs() << "ok, " << count << " norm kernels\n";
  return ok;
}

static bool checkSoftmaxOf(int64_t columns, bool dynamic, MLIRContext *context,
                           const CpuTarget &target) {
  auto loaded = compile(context, target, [&](ModuleOp module) {
    return emitSoftmaxKernel(module, "kernel",
                             dynamic ? ShapedType::kDynamic : columns, target);
  });
  if (!loaded)
    return false;
  for (int64_t rows : {0, 1, 5, 70}) {
    Buffer x(rows * columns), y(rows * columns);
    x.fill(rows + 1, 20.0f);
    // One row with a mask, one of nothing else, one with a NaN.
    if (rows == 70) {
      x[columns] = -INFINITY;
      std::fill_n(x.begin() + 2 * columns, columns, -INFINITY);
      x[3 * columns] = NAN;
    }
    void *args[] = {x.data(), y.data()};
    std::vector<int64_t> dims = {rows, rows};
    if (dynamic)
      dims = {rows, columns, rows, columns};
    Pool pool(2);
    loaded->entry(&pool.ctx, args, dims.data());
    for (int64_t row = 0; row < rows; ++row) {
      const float *in = x.data() + row * columns;
      double largest = *std::max_element(in, in + columns), sum = 0;
      for (int64_t i = 0; i < columns; ++i)
        sum += std::exp(in[i] - largest);
      for (int64_t i = 0; i < columns; ++i) {
        double expected = std::exp(in[i] - largest) / sum;
        float actual = y[row * columns + i];
        if (std::isnan(expected) ? std::isnan(actual)
                                 : isClose(actual, expected))
          continue;
        llvm::outs() << llvm::format("WRONG: softmax of %d x %d, row %d: %g\n",
                                     int(rows), int(columns), int(row), actual);
        return false;
      }
    }
  }
  return true;
}

bool lathe::test::checkSoftmax(MLIRContext *context, const CpuTarget &target) {
  bool ok = true;
  for (int64_t columns : {1, 5, 64, 100, 197})
    for (bool dynamic : {false, true})
      ok &= checkSoftmaxOf(columns, dynamic, context, target);
  if (ok)
    llvm::outs() << "ok, softmax kernels\n";
  return ok;
}

void lathe::test::timeNorms(MLIRContext *context, const CpuTarget &target,
                            int64_t rows, int64_t columns) {
  double bytes = rows * columns * sizeof(float);
  auto report = [&](const char *name, Timing time, int passes) {
    llvm::outs() << llvm::format(
        "%s %d x %d: %.1f us (best decile %.1f), %.1f GB/s\n", name, int(rows),
        int(columns), time.median * 1e6, time.bestDecile * 1e6,
        passes * bytes / time.median * 1e-9);
  };
  Pool pool(1);
  for (auto kind : {NormSpec::Kind::Layer, NormSpec::Kind::Rms}) {
    NormSpec spec;
    spec.kind = kind;
    spec.columns = columns;
    spec.gamma = spec.residual = true;
    spec.beta = kind == NormSpec::Kind::Layer;
    auto loaded = compile(context, target, [&](ModuleOp module) {
      return emitNormKernel(module, "kernel", spec, target);
    });
    if (!loaded)
      return;
    NormCall call(spec, rows);
    report(spec.beta ? "residual + layer norm" : "residual + rms norm",
           measure([&] {
             loaded->entry(&pool.ctx, call.args.data(), call.dims.data());
           }),
           4);
  }
  auto loaded = compile(context, target, [&](ModuleOp module) {
    return emitSoftmaxKernel(module, "kernel", ShapedType::kDynamic, target);
  });
  if (!loaded)
    return;
  Buffer x(rows * columns), y(rows * columns);
  x.fill(1);
  void *args[] = {x.data(), y.data()};
  int64_t dims[] = {rows, columns, rows, columns};
  report("softmax", measure([&] { loaded->entry(&pool.ctx, args, dims); }), 2);
}

//===----------------------------------------------------------------------===//
// Rounding to pairs
//===----------------------------------------------------------------------===//

/// Numbers that round in every way there is; none of them is subnormal.
static float pickNumber(int64_t i) {
  const float special[] = {0.0f,
                           -0.0f,
                           std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(),
                           1.00390625f,  // a tie, down to even
                           1.01171875f,  // a tie, up to even
                           1.003906369f, // just above a tie
                           3.4e38f,      // becomes infinite
                           1.25f};
  if (i % 3 == 0)
    return special[i / 3 % std::size(special)];
  return (i % 2 ? -1.0f : 1.0f) * std::exp(float(i % 113) - 56.0f);
}

static bool checkRoundPairs(MLIRContext *context, const CpuTarget &target,
                            int64_t columns) {
  auto loaded = compile(context, target, [&](ModuleOp module) {
    return emitRoundPairsKernel(module, "kernel", columns, target);
  });
  if (!loaded)
    return false;
  int64_t pairs = (columns + 1) / 2;
  for (int64_t rows : {0, 1, 5}) {
    Buffer x(rows * columns), y(rows * pairs);
    for (int64_t i = 0; i < rows * columns; ++i)
      x[i] = pickNumber(i);
    void *args[] = {x.data(), y.data()};
    int64_t dims[] = {rows, rows};
    Pool pool(2);
    loaded->entry(&pool.ctx, args, dims);
    auto *halves = reinterpret_cast<const uint16_t *>(y.data());
    for (int64_t i = 0; i < 2 * rows * pairs; ++i) {
      int64_t row = i / (2 * pairs), column = i % (2 * pairs);
      uint16_t expected =
          column < columns ? bfloatBits(x[row * columns + column]) : 0;
      // NaNs are equal whatever their bits.
      bool isNaN = std::isnan(bfloatValue(expected)) &&
                   std::isnan(bfloatValue(halves[i]));
      if (halves[i] != expected && !isNaN) {
        llvm::outs() << "columns " << columns << ", row " << row << ", column "
                     << column << ": " << halves[i] << ", not " << expected
                     << "\n";
        return false;
      }
    }
  }
  return true;
}

bool lathe::test::checkRoundPairs(MLIRContext *context,
                                  const CpuTarget &target) {
  for (int64_t columns : {1, 2, 7, 15, 16, 17, 31, 32, 33, 40, 64, 384, 577})
    if (!::checkRoundPairs(context, target, columns))
      return false;
  llvm::outs() << "ok\n";
  return true;
}
