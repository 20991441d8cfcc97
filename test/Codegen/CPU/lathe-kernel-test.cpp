//===- lathe-kernel-test.cpp - check and time kernels ---------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Builds one kernel, compiles it, and compares it with a plain f64 loop for
// many numbers of rows, with one and with two threads, on buffers that end at
// unreadable pages. --bench and --cold time it instead.
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"
#include "MathTest.h"
#include "NormTest.h"
#include "lathe/Codegen/CPU/EmitLinear.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "lathe/Dialect/NarrowFloat.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include <cmath>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;
namespace cl = llvm::cl;

static cl::opt<std::string> level("target", cl::desc("CPU level"),
                                  cl::init("native"));
static cl::opt<int64_t> inputs("k", cl::desc("columns of x"), cl::init(64));
static cl::opt<int64_t> outputs("n", cl::desc("columns of y"), cl::init(64));
static cl::opt<int64_t>
    stride("stride", cl::desc("elements between rows of x; -1: at run time"),
           cl::init(0));
static cl::opt<std::string> letters(
    "epilogue",
    cl::desc(
        "b bias, then in this order: g gelu, l relu, r add a tensor, i the "
        "same in place, p multiply by a tensor, v add a row, s multiply "
        "by a scalar, u multiply by the second sum of a gated linear"));
static cl::opt<bool> pairs("pairs", cl::desc("x and w as pairs of bf16"));
static cl::opt<bool> roundRows("round",
                               cl::desc("check the rounding of rows to pairs"));
static cl::list<int64_t> rowCounts("m", cl::desc("rows"), cl::CommaSeparated);
static cl::opt<int> threads("workers", cl::desc("threads of the second run"),
                            cl::init(2));
static cl::opt<bool> bench("bench", cl::desc("time with one copy of w"));
static cl::opt<bool> cold("cold", cl::desc("time with w in memory"));
static cl::opt<std::string>
    mathName("math", cl::desc("check this function instead, or 'all'"));
static cl::opt<bool> norms("norms", cl::desc("check the norm kernels"));
static cl::opt<bool> softmax("softmax", cl::desc("check softmax kernels"));
static cl::opt<std::string>
    emit("emit",
         cl::desc("write 'mlir', 'llvm' (dialect) or 'obj' to --o instead"));
static cl::opt<std::string> output("o", cl::desc("file for --emit"),
                                   cl::init("-"));

//===----------------------------------------------------------------------===//
// The kernel under test
//===----------------------------------------------------------------------===//

static bool has(char letter) { return StringRef(letters).contains(letter); }

/// The epilogue's letters in order as a region on scalars.
static void buildRegion(Region &region, MLIRContext *context,
                        SmallVectorImpl<ExtraKind> &extras) {
  OpBuilder b(context);
  Location loc = b.getUnknownLoc();
  auto f32 = b.getF32Type();
  Block *block = b.createBlock(&region);
  Value value = block->addArgument(f32, loc);
  Value second = has('u') ? block->addArgument(f32, loc) : Value();
  auto extra = [&](ExtraKind kind) {
    extras.push_back(kind);
    return block->addArgument(f32, loc);
  };
  auto constant = [&](double number) -> Value {
    return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(number));
  };
  auto mul = [&](Value l, Value r) -> Value {
    return arith::MulFOp::create(b, loc, l, r);
  };
  auto addF = [&](Value l, Value r) -> Value {
    return arith::AddFOp::create(b, loc, l, r);
  };
  for (char letter : letters) {
    switch (letter) {
    case 'b':
      break;
    case 'g': {
      Value cube = mul(mul(value, value), value);
      Value inner = mul(constant(0.7978845608028654),
                        addF(value, mul(constant(0.044715), cube)));
      Value tanh = math::TanhOp::create(b, loc, inner);
      value = mul(mul(constant(0.5), value), addF(constant(1.0), tanh));
      break;
    }
    case 'l':
      value = arith::MaximumFOp::create(b, loc, value, constant(0.0));
      break;
    case 'r':
    case 'i':
      value = addF(value, extra(ExtraKind::Tensor));
      break;
    case 'p':
      value = mul(value, extra(ExtraKind::Tensor));
      break;
    case 'v':
      value = addF(value, extra(ExtraKind::Row));
      break;
    case 's':
      value = mul(value, extra(ExtraKind::Scalar));
      break;
    case 'u':
      value = mul(value, second);
      break;
    default:
      llvm::report_fatal_error("unknown letter in --epilogue");
    }
  }
  func::ReturnOp::create(b, loc, value);
}

/// The letters that stand for an extra operand, in the order of the operands.
static std::string extraLetters() {
  std::string result;
  for (char letter : letters)
    if (StringRef("ripvs").contains(letter))
      result += letter;
  return result;
}

static double applyEpilogue(double value, double second,
                            ArrayRef<double> extras) {
  for (char letter : letters) {
    switch (letter) {
    case 'g':
      value = 0.5 * value *
              (1 + std::tanh(0.7978845608028654 *
                             (value + 0.044715 * value * value * value)));
      break;
    case 'l':
      value = std::max(value, 0.0);
      break;
    case 'r':
    case 'i':
    case 'v':
      value += extras.front();
      extras = extras.drop_front();
      break;
    case 'p':
    case 's':
      value *= extras.front();
      extras = extras.drop_front();
      break;
    case 'u':
      value *= second;
      break;
    }
  }
  return value;
}

/// Rounds `values` to bf16 in place.
static void roundAll(Buffer &values) {
  for (float &value : values)
    value = bfloatValue(bfloatBits(value));
}

/// `rows` rows of x, or of panels, with two neighbours along K in each element:
/// those `distance` apart in `from`, of `inputs` in a row.
static void packPairs(const float *from, int64_t inputs, int64_t distance,
                      int64_t lanes, uint32_t *to) {
  for (int64_t k = 0; k < inputs; k += 2)
    for (int64_t lane = 0; lane < lanes; ++lane) {
      uint32_t low = bfloatBits(from[k * distance + lane]);
      uint32_t high =
          k + 1 < inputs ? bfloatBits(from[(k + 1) * distance + lane]) : 0;
      *to++ = low | high << 16;
    }
}

/// Buffers of one call and the pointers to them.
struct Operands {
  Buffer x, packed, y;
  std::vector<Buffer> extras;
  std::vector<void *> args;
  std::vector<int64_t> dims;

  Operands(const LinearSpec &spec, int64_t rows, Buffer &w, Buffer &bias)
      : x(rows == 0 ? 0 : (rows - 1) * rowStride(spec) + spec.inputs),
        packed(spec.pairs ? rows * spec.getSteps() : 0),
        y(rows * spec.outputs) {
    x.fill(rows);
    args = {x.data(), w.data()};
    if (spec.pairs) {
      roundAll(x);
      auto *out = reinterpret_cast<uint32_t *>(packed.data());
      for (int64_t row = 0; row < rows; ++row)
        packPairs(x.data() + row * rowStride(spec), spec.inputs, 1, 1,
                  out + row * spec.getSteps());
      args[0] = packed.data();
    }
    dims = {rows};
    if (stride < 0)
      dims.push_back(rowStride(spec));
    if (spec.bias)
      args.push_back(bias.data());
    for (auto [number, kind] : llvm::enumerate(spec.extras)) {
      extras.emplace_back(kind == ExtraKind::Tensor ? rows * spec.outputs
                          : kind == ExtraKind::Row  ? spec.outputs
                                                    : 1);
      extras.back().fill(100 + number);
      bool inPlace = extraLetters()[number] == 'i';
      if (inPlace)
        std::copy(extras.back().begin(), extras.back().end(), y.begin());
      args.push_back(inPlace ? y.data() : extras.back().data());
      if (kind == ExtraKind::Tensor)
        dims.push_back(rows);
    }
    args.push_back(y.data());
    dims.push_back(rows);
  }

  static int64_t rowStride(const LinearSpec &spec) {
    return stride > 0 ? stride : stride < 0 ? spec.inputs + 8 : spec.inputs;
  }
};

/// Where W[k, n] lies in the panels; `half` 1 is what a gated linear has behind
/// the first N columns.
static size_t weightIndex(const LinearSpec &spec, int64_t k, int64_t n,
                          int64_t half = 0) {
  int64_t width = spec.getPanelOutputs();
  return (n / width * inputs + k) * kPanelColumns + n % width + half * width;
}

/// The largest error of `operands.y`, relative to 1 + |value|.
static double compare(const LinearSpec &spec, const Operands &operands,
                      int64_t rows, const Buffer &w, const Buffer &bias) {
  double worst = 0;
  int64_t halves = spec.gated ? 2 : 1;
  std::vector<double> sums(halves * spec.outputs);
  for (int64_t m = 0; m < rows; ++m) {
    std::fill(sums.begin(), sums.end(), 0.0);
    for (int64_t k = 0; k < spec.inputs; ++k) {
      double value = operands.x[m * Operands::rowStride(spec) + k];
      for (int64_t half = 0; half < halves; ++half)
        for (int64_t n = 0; n < spec.outputs; ++n)
          sums[half * spec.outputs + n] +=
              value * w[weightIndex(spec, k, n, half)];
    }
    for (size_t n = 0; spec.bias && n < sums.size(); ++n)
      sums[n] += bias[n];
    for (int64_t n = 0; n < spec.outputs; ++n) {
      SmallVector<double> values;
      for (auto [kind, data] : llvm::zip_equal(spec.extras, operands.extras))
        values.push_back(kind == ExtraKind::Tensor ? data[m * spec.outputs + n]
                         : kind == ExtraKind::Row  ? data[n]
                                                   : data[0]);
      double second = spec.gated ? sums[spec.outputs + n] : 0;
      double expected = applyEpilogue(sums[n], second, values);
      double error = std::abs(expected - operands.y[m * spec.outputs + n]) /
                     (1 + std::abs(expected));
      worst = error > worst || std::isnan(error) ? error : worst;
    }
  }
  return worst;
}

//===----------------------------------------------------------------------===//
// Modes
//===----------------------------------------------------------------------===//

/// `w` as the reference reads it, `packed` as the kernel does.
static int check(const LinearSpec &spec, EntryFn entry, Buffer &w,
                 Buffer &packed, Buffer &bias) {
  SmallVector<int64_t> counts(rowCounts.begin(), rowCounts.end());
  if (counts.empty())
    counts = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,
              10, 11, 12, 13, 16, 17, 23, 29, 64, 197};
  double worst = 0;
  for (int64_t rows : counts) {
    Operands one(spec, rows, packed, bias), many(spec, rows, packed, bias);
    Pool single(1), several(threads);
    entry(&single.ctx, one.args.data(), one.dims.data());
    entry(&several.ctx, many.args.data(), many.dims.data());
    double error = compare(spec, one, rows, w, bias);
    if (!(error < 2e-5)) {
      llvm::outs() << "rows " << rows << ": error " << error << "\n";
      return 1;
    }
    worst = std::max(worst, error);
    if (!std::equal(one.y.begin(), one.y.end(), many.y.begin())) {
      llvm::outs() << "rows " << rows << ": the threads change the result\n";
      return 1;
    }
  }
  llvm::outs() << "ok, worst error " << llvm::format("%.1e", worst) << "\n";
  return 0;
}

static void time(const LinearSpec &spec, EntryFn entry, Buffer &w, Buffer &bias,
                 const CpuTarget &target) {
  SmallVector<int64_t> counts(rowCounts.begin(), rowCounts.end());
  if (counts.empty())
    counts = {1, 2, 3, 4, 5, 6, 8, 12, 16, 17, 32, 64, 128, 197, 512};
  size_t copies = cold ? (160u << 20) / (w.size() * 4) + 1 : 1;
  Buffer pool(w.size() * copies);
  for (size_t i = 0; i < copies; ++i)
    std::copy(w.begin(), w.end(), pool.begin() + i * w.size());
  for (int64_t rows : counts) {
    Operands operands(spec, rows, w, bias);
    Pool single(1);
    size_t number = 0;
    auto call = [&] {
      operands.args[1] = pool.begin() + number++ % copies * w.size();
      entry(&single.ctx, operands.args.data(), operands.dims.data());
    };
    call();
    auto limit = [&] {
      return cold ? measureStream(reinterpret_cast<char *>(pool.data()),
                                  pool.size() * 4)
                  : measurePeak(target);
    };
    double before = limit();
    Timing time = measure(call, cold ? 0.3 : 0.15);
    double after = limit();
    double best = std::max(before, after);
    double work =
        cold ? w.size() * 4e-9 : 2e-9 * rows * spec.inputs * spec.outputs;
    llvm::outs() << llvm::format(
        "M=%-4d %9.1f us  %6.1f %s = %5.1f %% of %.1f (best decile %.1f %%)\n",
        int(rows), time.median * 1e6, work / time.median,
        cold ? "GB/s" : "GFLOP/s", 100 * work / time.median / best, best,
        100 * work / time.bestDecile / best);
    llvm::outs().flush();
  }
}

static int writeModule(ModuleOp module, const CpuTarget &target) {
  std::error_code code;
  llvm::raw_fd_ostream os(output, code);
  if (code) {
    llvm::errs() << output << ": " << code.message() << "\n";
    return 1;
  }
  if (emit == "mlir") {
    module.print(os);
    return 0;
  }
  PassManager pm(module.getContext());
  buildCpuToLLVMPipeline(pm, target);
  if (failed(pm.run(module)))
    return 1;
  if (emit == "llvm") {
    module.print(os);
    return 0;
  }
  auto object = compileToObject(module, target);
  if (!object) {
    llvm::errs() << llvm::toString(object.takeError()) << "\n";
    return 1;
  }
  os << (*object)->getBuffer();
  return 0;
}

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv, "checks and times kernels\n");
  llvm::ExitOnError exitOnError("lathe-kernel-test: ");
  CpuTarget target = exitOnError(CpuTarget::parse(level));

  DialectRegistry registry;
  registerCpuCodegenDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  if (!mathName.empty())
    return checkMath(mathName, &context, target) ? 0 : 1;
  if (norms && bench) {
    timeNorms(&context, target, rowCounts.empty() ? 128 : rowCounts[0],
              outputs);
    return 0;
  }
  if (norms)
    return checkNorms(&context, target) ? 0 : 1;
  if (softmax)
    return checkSoftmax(&context, target) ? 0 : 1;
  if (roundRows)
    return checkRoundPairs(&context, target) ? 0 : 1;
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));

  LinearSpec spec;
  spec.inputs = inputs;
  spec.outputs = outputs;
  spec.xStride = stride < 0 ? ShapedType::kDynamic : stride;
  spec.bias = has('b');
  spec.pairs = pairs;
  spec.gated = has('u');
  Region region;
  buildRegion(region, &context, spec.extras);
  if (StringRef(letters).find_first_not_of("b") != StringRef::npos)
    spec.epilogue = getRegionEpilogue(region);
  auto kernel = emitLinearKernel(*module, "kernel", spec, target);
  if (failed(kernel))
    return 1;
  addEntry(*kernel);
  if (!emit.empty())
    return writeModule(*module, target);

  double start = seconds();
  LoadedModule loaded = exitOnError(LoadedModule::load(*module, target));
  llvm::outs() << llvm::format(
      "%s K=%d N=%d %s: compiled in %.2f s, %d bytes\n", level.c_str(),
      int(inputs), int(outputs), letters.c_str(), seconds() - start,
      int(loaded.objectBytes));
  Buffer w(spec.getPanels() * inputs * kPanelColumns);
  w.fill(1, 0.05f);
  for (int64_t n = outputs; n < spec.getPanels() * spec.getPanelOutputs(); ++n)
    for (int64_t k = 0; k < inputs; ++k)
      for (int64_t half = 0; half <= spec.gated; ++half)
        w[weightIndex(spec, k, n, half)] = 0;
  Buffer bias(llvm::alignTo(spec.gated ? 2 * outputs : outputs, kPanelColumns));
  bias.fill(2);
  Buffer packed(spec.pairs ? spec.getPanels() * spec.getSteps() * kPanelColumns
                           : 0);
  if (spec.pairs) {
    roundAll(w);
    auto *out = reinterpret_cast<uint32_t *>(packed.data());
    for (int64_t panel = 0; panel < spec.getPanels(); ++panel)
      packPairs(w.data() + panel * inputs * kPanelColumns, inputs,
                kPanelColumns, kPanelColumns,
                out + panel * spec.getSteps() * kPanelColumns);
  }
  Buffer &given = spec.pairs ? packed : w;
  if (bench || cold) {
    time(spec, loaded.entry, given, bias, target);
    return 0;
  }
  return check(spec, loaded.entry, w, given, bias);
}
