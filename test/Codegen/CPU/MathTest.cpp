//===- MathTest.cpp - error bounds of elementary functions ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MathTest.h"
#include "KernelHarness.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

using Real = long double;

namespace {

/// What a function promises. `limit` bounds |x|; bounds are ulps of the result,
/// or absolute where `absolute` is set.
struct Function {
  const char *name;
  const char *op;
  Real (*unary)(Real);
  Real (*binary)(Real, Real);
  double bound32, bound64;
  double limit;
  bool absolute;
};

} // namespace

static const double everything = std::numeric_limits<double>::infinity();

static const Function functions[] = {
    {"exp", "math.exp", std::exp, nullptr, 1.5, 1.5, everything, false},
    {"exp2", "math.exp2", std::exp2, nullptr, 1.5, 1.5, everything, false},
    {"expm1", "math.expm1", std::expm1, nullptr, 2.5, 2.5, everything, false},
    {"log", "math.log", std::log, nullptr, 1, 1, everything, false},
    {"log2", "math.log2", std::log2, nullptr, 2, 2, everything, false},
    {"log10", "math.log10", std::log10, nullptr, 2, 2, everything, false},
    {"log1p", "math.log1p", std::log1p, nullptr, 1.5, 1.5, everything, false},
    {"sin", "math.sin", std::sin, nullptr, 1e-7, 1e-15, 1e5, true},
    {"cos", "math.cos", std::cos, nullptr, 1e-7, 1e-15, 1e5, true},
    {"tan", "math.tan", std::tan, nullptr, 4, 4, 1e5, false},
    {"sinh", "math.sinh", std::sinh, nullptr, 4, 4, everything, false},
    {"cosh", "math.cosh", std::cosh, nullptr, 4, 4, everything, false},
    {"tanh", "math.tanh", std::tanh, nullptr, 3, 3, everything, false},
    {"asin", "math.asin", std::asin, nullptr, 2.5, 2.5, everything, false},
    {"acos", "math.acos", std::acos, nullptr, 2, 2, everything, false},
    {"atan", "math.atan", std::atan, nullptr, 2, 2, everything, false},
    {"asinh", "math.asinh", std::asinh, nullptr, 3, 3, everything, false},
    {"acosh", "math.acosh", std::acosh, nullptr, 3, 3, everything, false},
    {"atanh", "math.atanh", std::atanh, nullptr, 3, 3, everything, false},
    {"erf", "math.erf", std::erf, nullptr, 2, 3, everything, false},
    {"cbrt", "math.cbrt", std::cbrt, nullptr, 1, 1, everything, false},
    {"floor", "math.floor", std::floor, nullptr, 0, 0, everything, false},
    {"ceil", "math.ceil", std::ceil, nullptr, 0, 0, everything, false},
    {"round", "math.round", std::round, nullptr, 0, 0, everything, false},
    {"roundeven", "math.roundeven", std::rint, nullptr, 0, 0, everything,
     false},
    {"trunc", "math.trunc", std::trunc, nullptr, 0, 0, everything, false},
    {"pow", "math.powf", nullptr, std::pow, 1, 1000, everything, false},
    {"fmod", "arith.remf", nullptr, std::fmod, 0, 0, everything, false},
};

/// y[i] = function(x[i], …), in vectors of the target and a scalar tail.
static void buildKernel(ModuleOp module, const Function &function, Type element,
                        const CpuTarget &target) {
  auto list = MemRefType::get({ShapedType::kDynamic}, element);
  SmallVector<Type> types(function.binary ? 3 : 2, list);
  auto func = createKernel(module, "kernel", types, module.getLoc());
  KernelBuilder b(func, target);
  auto arguments = func.getArguments().drop_front();
  auto vector = VectorType::get({b.getLanes()}, element);
  auto apply = [&](Type type, Value i) {
    SmallVector<Value> operands;
    for (Value x : arguments.drop_back())
      operands.push_back(
          isa<VectorType>(type)
              ? Value(vector::LoadOp::create(b, vector, x, ValueRange{i}))
              : b.loadScalar(x, {i}));
    Operation *op = b.OpBuilder::create(
        b.getLoc(), b.getStringAttr(function.op), operands, type);
    return op->getResult(0);
  };
  Value y = arguments.back();
  Value n = b.dim(y, 0);
  Value body = b.sub(n, b.rem(n, b.getLanes()));
  b.forRange(b.index(0), body, b.getLanes(),
             [&](Value i) { b.store(apply(vector, i), y, {i}); });
  b.forRange(body, n, 1,
             [&](Value i) { b.storeScalar(apply(element, i), y, {i}); });
  b.finish();
  addEntry(func);
}

/// The unit in the last place of `value`, as the type has it.
template <typename T>
static Real getUlp(T value) {
  using Limits = std::numeric_limits<T>;
  int exponent = value == 0 ? Limits::min_exponent - 1 : std::ilogb(value);
  return std::ldexp(Real(1), std::max(exponent, Limits::min_exponent - 1) -
                                 Limits::digits + 1);
}

/// The error of `actual` in such units. A zero of the wrong sign, a NaN out of
/// place, and an infinity that is not next to the result count as infinite.
template <typename T>
static Real getUlps(T actual, Real expected) {
  T rounded = static_cast<T>(expected);
  if (std::isnan(rounded) || std::isnan(actual))
    return std::isnan(rounded) && std::isnan(actual) ? 0 : everything;
  if (std::signbit(rounded) != std::signbit(actual))
    return everything;
  if (std::isinf(rounded) || std::isinf(actual)) {
    if (rounded == actual)
      return 0;
    return std::min(std::abs(rounded), std::abs(actual)) ==
                   std::numeric_limits<T>::max()
               ? 1
               : everything;
  }
  return std::abs(expected - actual) / getUlp<T>(rounded);
}

template <typename T, typename Bits>
static std::vector<T> makeInputs(double limit, uint64_t seed) {
  std::vector<T> values;
  T inf = std::numeric_limits<T>::infinity();
  for (T value : {T(0),
                  T(0.5),
                  T(1),
                  T(1.5),
                  T(2),
                  T(3),
                  T(4),
                  T(0.25),
                  T(1e-3),
                  T(17),
                  T(88.72),
                  T(103.9),
                  T(104.1),
                  T(709.7),
                  T(745.2),
                  inf,
                  std::numeric_limits<T>::min(),
                  std::numeric_limits<T>::denorm_min(),
                  std::numeric_limits<T>::max(),
                  std::numeric_limits<T>::quiet_NaN(),
                  std::nextafter(T(1), T(2)),
                  std::nextafter(T(1), T(0)),
                  std::nextafter(T(0.5), T(0)),
                  T(8388609),
                  T(16777217)}) {
    if (std::isfinite(value) && value > limit)
      continue;
    values.push_back(value);
    values.push_back(-value);
  }
  // All binades alike, and then the range where most functions bend.
  std::mt19937_64 random(seed);
  while (values.size() < 1000003) {
    Bits bits = static_cast<Bits>(random());
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    if (values.size() % 2) {
      std::uniform_real_distribution<double> near(-110.0, 110.0);
      value = static_cast<T>(near(random));
      if (values.size() % 8 == 1)
        value /= 64;
    }
    if (std::abs(value) <= limit)
      values.push_back(value);
  }
  return values;
}

template <typename T, typename Bits>
static bool checkOne(const Function &function, Type element,
                     MLIRContext *context, const CpuTarget &target) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context));
  buildKernel(*module, function, element, target);
  auto loaded = LoadedModule::load(*module, target);
  if (!loaded) {
    llvm::errs() << function.name << ": " << llvm::toString(loaded.takeError())
                 << "\n";
    return false;
  }

  auto x = makeInputs<T, Bits>(function.limit, 1);
  auto second = makeInputs<T, Bits>(function.limit, 2);
  if (function.binary) {
    // Every pair of edges, and exponents of a size that keeps powers finite.
    size_t edges = 50, number = 0;
    for (size_t i = 0; i < edges; ++i)
      for (size_t j = 0; j < edges; ++j, ++number)
        second[number + edges] = x[j], x[number + edges] = x[i];
    for (size_t i = number + edges; i < x.size(); i += 3)
      second[i] = std::round(second[i]), x[i] = std::fmod(x[i], T(64));
  }
  std::vector<T> y(x.size());
  std::vector<void *> args = {x.data()};
  if (function.binary)
    args.push_back(second.data());
  args.push_back(y.data());
  std::vector<int64_t> dims(args.size(), x.size());
  Pool pool(1);
  loaded->entry(&pool.ctx, args.data(), dims.data());

  Real worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    // The remainder is exact only for quotients of a certain size.
    bool isFmod = StringRef(function.name) == "fmod";
    if (isFmod && std::isfinite(x[i]) && !(std::abs(x[i] / second[i]) < 5e7))
      continue;
    Real expected = function.unary ? function.unary(x[i])
                                   : function.binary(x[i], second[i]);
    Real error = getUlps<T>(y[i], expected);
    if (function.absolute && error < everything)
      error = std::abs(expected - y[i]);
    if (error > worst) {
      worst = error;
      at = i;
    }
  }
  double bound = sizeof(T) == 4 ? function.bound32 : function.bound64;
  bool ok = worst <= bound;
  llvm::outs() << llvm::format(
      "%-9s f%d  %s %.3g %s (bound %g) at x = %.17g", function.name,
      int(sizeof(T) * 8), ok ? "ok, worst error" : "WRONG: error",
      static_cast<double>(worst), function.absolute ? "absolute" : "ulp", bound,
      static_cast<double>(x[at]));
  if (function.binary)
    llvm::outs() << llvm::format(", %.17g", static_cast<double>(second[at]));
  llvm::outs() << llvm::format(": %.17g\n", static_cast<double>(y[at]));
  return ok;
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

namespace {

/// A conversion between bit patterns, and what LLVM's own arithmetic says.
struct Conversion {
  const char *name;
  Type from, to;
  const llvm::fltSemantics *fromSemantics, *toSemantics;
};

} // namespace

static void buildConversion(ModuleOp module, const Conversion &conversion,
                            const CpuTarget &target) {
  auto list = [&](Type element) {
    return MemRefType::get({ShapedType::kDynamic}, element);
  };
  auto func = createKernel(module, "kernel",
                           {list(conversion.from), list(conversion.to)},
                           module.getLoc());
  KernelBuilder b(func, target);
  Value x = func.getArgument(1), y = func.getArgument(2);
  auto vectorOf = [&](Type element) {
    return VectorType::get({b.getLanes()}, element);
  };
  bool widens = conversion.from.getIntOrFloatBitWidth() <
                conversion.to.getIntOrFloatBitWidth();
  b.forRange(b.index(0), b.dim(y, 0), b.getLanes(), [&](Value i) {
    Value value =
        vector::LoadOp::create(b, vectorOf(conversion.from), x, ValueRange{i});
    Type type = vectorOf(conversion.to);
    b.store(widens ? Value(arith::ExtFOp::create(b, type, value))
                   : Value(arith::TruncFOp::create(b, type, value)),
            y, {i});
  });
  b.finish();
  addEntry(func);
}

template <typename From, typename To>
static bool checkConversion(const Conversion &conversion, MLIRContext *context,
                            const CpuTarget &target) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(context));
  buildConversion(*module, conversion, target);
  auto loaded = LoadedModule::load(*module, target);
  if (!loaded) {
    llvm::errs() << conversion.name << ": "
                 << llvm::toString(loaded.takeError()) << "\n";
    return false;
  }
  // Every half, or numbers of all kinds: ties, and neighbours of ties.
  std::vector<From> x(1 << 18);
  std::mt19937_64 random(1);
  for (size_t i = 0; i < x.size(); ++i) {
    From bits = static_cast<From>(sizeof(From) == 2 ? i : random());
    if (sizeof(From) > 2 && i % 2) {
      int dropped = sizeof(From) == 8 ? 42 : i % 4 == 1 ? 13 : 16;
      bits &= ~((From(1) << (dropped - 1)) - 1);
      bits += static_cast<From>(random() % 3) - 1;
    }
    if (sizeof(From) > 2 && i % 3) {
      // An exponent that the narrow type has, or nearly.
      int mantissa = sizeof(From) == 8 ? 52 : 23;
      From bias = sizeof(From) == 8 ? 1023 : 127;
      From kept = bits & ((From(1) << mantissa) - 1);
      bits =
          kept | ((bias - 26 + static_cast<From>(random() % 44)) << mantissa);
    }
    x[i] = bits;
  }
  std::vector<To> y(x.size());
  void *args[] = {x.data(), y.data()};
  int64_t dims[] = {int64_t(x.size()), int64_t(x.size())};
  Pool pool(1);
  loaded->entry(&pool.ctx, args, dims);
  for (size_t i = 0; i < x.size(); ++i) {
    llvm::APFloat value(*conversion.fromSemantics,
                        llvm::APInt(sizeof(From) * 8, x[i]));
    bool loses;
    value.convert(*conversion.toSemantics, llvm::APFloat::rmNearestTiesToEven,
                  &loses);
    llvm::APFloat actual(*conversion.toSemantics,
                         llvm::APInt(sizeof(To) * 8, y[i]));
    if (value.isNaN() ? actual.isNaN() : value.bitwiseIsEqual(actual))
      continue;
    llvm::outs() << llvm::format("%s WRONG: %llx to %llx\n", conversion.name,
                                 (unsigned long long)x[i],
                                 (unsigned long long)y[i]);
    return false;
  }
  llvm::outs() << conversion.name << " ok\n";
  return true;
}

static bool checkConversions(MLIRContext *context, const CpuTarget &target) {
  Type f16 = Float16Type::get(context), bf16 = BFloat16Type::get(context);
  Type f32 = Float32Type::get(context), f64 = Float64Type::get(context);
  auto *half = &llvm::APFloat::IEEEhalf(), *brain = &llvm::APFloat::BFloat();
  auto *single = &llvm::APFloat::IEEEsingle();
  auto *wide = &llvm::APFloat::IEEEdouble();
  bool ok = true;
  ok &= checkConversion<uint32_t, uint16_t>(
      {"f32 to bf16", f32, bf16, single, brain}, context, target);
  ok &= checkConversion<uint32_t, uint16_t>(
      {"f32 to f16", f32, f16, single, half}, context, target);
  ok &= checkConversion<uint64_t, uint16_t>(
      {"f64 to bf16", f64, bf16, wide, brain}, context, target);
  ok &= checkConversion<uint64_t, uint16_t>(
      {"f64 to f16", f64, f16, wide, half}, context, target);
  ok &= checkConversion<uint16_t, uint32_t>(
      {"f16 to f32", f16, f32, half, single}, context, target);
  ok &= checkConversion<uint16_t, uint32_t>(
      {"bf16 to f32", bf16, f32, brain, single}, context, target);
  return ok;
}

bool lathe::test::checkMath(StringRef name, MLIRContext *context,
                            const CpuTarget &target) {
  bool found = name == "all" || name == "conversions";
  bool ok = !found || checkConversions(context, target);
  for (const Function &function : functions) {
    if (name != "all" && name != function.name)
      continue;
    found = true;
    ok &= checkOne<float, uint32_t>(function, Float32Type::get(context),
                                    context, target);
    ok &= checkOne<double, uint64_t>(function, Float64Type::get(context),
                                     context, target);
  }
  if (!found)
    llvm::errs() << "no function is called " << name << "\n";
  return found && ok;
}
