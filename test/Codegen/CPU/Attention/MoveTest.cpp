//===- MoveTest.cpp - rope, cache and embedding against loops -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "lathe/Codegen/CPU/Embedding.h"
#include "lathe/Codegen/CPU/KvAppend.h"
#include "lathe/Codegen/CPU/Rope.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/APFloat.h"
#include <cmath>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

static std::string describe(std::initializer_list<int64_t> numbers) {
  std::string text;
  for (int64_t number : numbers)
    text += " " + std::to_string(number);
  return text;
}

static void fill(GuardedBuffer &buffer, Random &random) {
  for (size_t i = 0; i < buffer.size() / 4; ++i)
    buffer.as<float>()[i] = random.normal();
}

static Argument argument(const GuardedBuffer &buffer) {
  return {buffer.as<void>(), int64_t(buffer.size() / 4)};
}

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

namespace {
struct RopeCase {
  int64_t batch, rows;
  /// Tables [batch, rows, r/2] instead of [1, rows, r/2].
  bool batchedTables;
  /// y is a cache [batch, heads, capacity, d] from position 2 on.
  bool toCache;
  bool inPlace;
};
} // namespace

static void checkRope(const CompiledKernel &kernel, const RopeSpec &spec,
                      const RopeCase &test, Report &report, Random &random) {
  auto [batch, rows, batchedTables, toCache, inPlace] = test;
  int64_t h = spec.heads, d = spec.headDim, half = spec.rotaryDim / 2;
  int64_t capacity = rows + 3;
  bool unit = spec.unitInput;
  GuardedBuffer x(batch * rows * h * d * 4);
  GuardedBuffer cos((batchedTables ? batch : 1) * rows * half * 4);
  GuardedBuffer sin((batchedTables ? batch : 1) * rows * half * 4);
  for (GuardedBuffer *buffer : {&x, &cos, &sin})
    fill(*buffer, random);
  // Rows of x: [batch, rows, heads*d], or [batch, heads, d, rows].
  int64_t xBatch = rows * h * d, xHead = unit ? d : d * rows;
  int64_t xRow = unit ? h * d : 1, xColumn = unit ? 1 : rows;
  int64_t position = toCache ? 2 : 0;
  int64_t yHead = toCache ? capacity * d : d, yRow = toCache ? d : h * d;
  int64_t yBatch = toCache ? h * capacity * d : rows * h * d;
  int64_t yRows = toCache ? capacity : rows;
  int64_t table = batchedTables ? rows * half : 0;

  std::vector<double> expected(batch * h * yRows * d, NAN);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t head = 0; head < h; ++head)
        for (int64_t c = 0; c < d; ++c) {
          auto read = [&](int64_t column) -> double {
            return x.as<float>()[b * xBatch + head * xHead + i * xRow +
                                 column * xColumn];
          };
          double &y =
              expected[(position + i) * yRow + b * yBatch + head * yHead + c];
          y = read(c);
          if (c >= spec.rotaryDim)
            continue;
          bool isHalf = spec.layout == RopePairs::Half;
          bool isFirst = isHalf ? c < half : c % 2 == 0;
          int64_t pair = isHalf ? c % half : c / 2;
          int64_t step = isHalf ? half : 1;
          double other = read(isFirst ? c + step : c - step);
          int64_t at = b * table + i * half + pair;
          y = y * cos.as<float>()[at] +
              (isFirst ? -other : other) * sin.as<float>()[at];
        }

  GuardedBuffer separate(expected.size() * 4);
  GuardedBuffer &y = inPlace ? x : separate;
  Pool pool(2);
  kernel.call(pool, {argument(x),
                     0,
                     xBatch,
                     xHead,
                     xRow,
                     xColumn,
                     argument(cos),
                     0,
                     table,
                     half,
                     1,
                     argument(sin),
                     0,
                     table,
                     half,
                     1,
                     argument(y),
                     position * d * (toCache ? 1 : 0),
                     yBatch,
                     yHead,
                     yRow,
                     batch,
                     rows});
  std::string what =
      "rope heads, d, r, interleaved, B, S, batched, cache, in place:" +
      describe({h, d, spec.rotaryDim, spec.layout == RopePairs::Interleaved,
                batch, rows, batchedTables, toCache, inPlace});
  report.compare(what, y.as<float>(), expected.data(), expected.size(), 3e-7);
}

static void testRope(const CpuTarget &target, Report &report) {
  Random random(7);
  struct Shape {
    int64_t heads, dim, rotary;
  };
  for (Shape shape : {Shape{4, 64, 64}, Shape{3, 32, 32}, Shape{2, 16, 4},
                      Shape{1, 80, 80}, Shape{2, 23, 10}, Shape{3, 8, 8}})
    for (RopePairs layout : {RopePairs::Half, RopePairs::Interleaved})
      for (bool unit : {true, false}) {
        RopeSpec spec;
        spec.heads = shape.heads;
        spec.headDim = shape.dim;
        spec.rotaryDim = shape.rotary;
        spec.layout = layout;
        spec.unitInput = unit;
        CompiledKernel kernel(target, [&](ModuleOp module) {
          return emitRopeKernel(module, "rope", spec, target);
        });
        for (RopeCase test : {RopeCase{1, 1, false, false, false},
                              RopeCase{2, 5, true, false, false},
                              RopeCase{3, 7, false, true, false},
                              RopeCase{2, 9, false, false, unit}})
          checkRope(kernel, spec, test, report, random);
      }
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

static void checkAppend(const CompiledKernel &kernel, const KvAppendSpec &spec,
                        int64_t batch, int64_t rows, int64_t past,
                        int64_t capacity, Report &report, Random &random) {
  int64_t h = spec.kvHeads, d = spec.headDim;
  bool unit = spec.unitInput;
  GuardedBuffer x(batch * rows * h * d * 4),
      cache(batch * h * capacity * d * 4);
  fill(x, random);
  fill(cache, random);
  int64_t xBatch = rows * h * d, xHead = unit ? d : d * rows;
  int64_t xRow = unit ? h * d : 1, xColumn = unit ? 1 : rows;
  std::vector<float> expected(cache.as<float>(),
                              cache.as<float>() + batch * h * capacity * d);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t g = 0; g < h; ++g)
      for (int64_t i = 0; i < std::min(rows, capacity - past); ++i)
        for (int64_t c = 0; c < d; ++c)
          expected[((b * h + g) * capacity + past + i) * d + c] =
              x.as<float>()[b * xBatch + g * xHead + i * xRow + c * xColumn];
  Pool pool(2);
  kernel.call(pool, {argument(x), 0, xBatch, xHead, xRow, xColumn,
                     argument(cache), 0, batch, rows, past, capacity});
  report.check("append heads, d, B, S, past, capacity:" +
                   describe({h, d, batch, rows, past, capacity}),
               memcmp(expected.data(), cache.as<float>(), cache.size()) == 0);
}

static void testAppend(const CpuTarget &target, Report &report) {
  Random random(8);
  for (int64_t dim : {64, 13, 80})
    for (bool unit : {true, false}) {
      KvAppendSpec spec;
      spec.kvHeads = 3;
      spec.headDim = dim;
      spec.unitInput = unit;
      CompiledKernel kernel(target, [&](ModuleOp module) {
        return emitKvAppendKernel(module, "append", spec, target);
      });
      for (int64_t batch : {1, 3})
        for (int64_t rows : {1, 6})
          for (int64_t past : {0, 4, 9})
            // The last ones are full: what does not fit is left out.
            checkAppend(kernel, spec, batch, rows, past, 12, report, random);
      checkAppend(kernel, spec, 2, 3, 12, 12, report, random);
    }
}

//===----------------------------------------------------------------------===//
// Embedding
//===----------------------------------------------------------------------===//

/// A table of `count` random rows, stored as `semantics` says, and what it
/// stands for.
static std::vector<float> fillTable(GuardedBuffer &table, size_t elements,
                                    const llvm::fltSemantics &semantics,
                                    Random &random) {
  std::vector<float> values(elements);
  for (size_t i = 0; i < elements; ++i) {
    llvm::APFloat number(random.normal());
    bool lossy;
    // Subnormal, infinite and negative-zero values are part of it.
    if (i % 17 == 0)
      number = llvm::APFloat(random.normal() * 1e-6f);
    if (i % 31 == 0)
      number = llvm::APFloat(i % 2 ? -INFINITY : -0.0f);
    number.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lossy);
    uint64_t bits = number.bitcastToAPInt().getZExtValue();
    size_t bytes = llvm::APFloat::getSizeInBits(semantics) / 8;
    memcpy(table.as<char>() + i * bytes, &bits, bytes);
    number.convert(llvm::APFloat::IEEEsingle(),
                   llvm::APFloat::rmNearestTiesToEven, &lossy);
    values[i] = number.convertToFloat();
  }
  return values;
}

static void checkEmbedding(const CpuTarget &target, int64_t columns,
                           int typeNumber, bool wideIds, Report &report,
                           Random &random) {
  const llvm::fltSemantics *semantics[] = {&llvm::APFloat::IEEEsingle(),
                                           &llvm::APFloat::IEEEhalf(),
                                           &llvm::APFloat::BFloat()};
  CompiledKernel kernel(target, [&](ModuleOp module) {
    MLIRContext *context = module.getContext();
    Type types[] = {Float32Type::get(context), Float16Type::get(context),
                    BFloat16Type::get(context)};
    EmbeddingSpec spec;
    spec.columns = columns;
    spec.tableType = types[typeNumber];
    spec.idType = IntegerType::get(context, wideIds ? 64 : 32);
    return emitEmbeddingKernel(module, "embedding", spec, target);
  });
  constexpr int64_t count = 11;
  size_t width = typeNumber == 0 ? 4 : 2;
  GuardedBuffer table(count * columns * width, false, width);
  std::vector<float> values =
      fillTable(table, count * columns, *semantics[typeNumber], random);
  std::vector<int64_t> good = {0, 10, 3, -1, -11, 5}, bad = {2, 11, -12, 1000};
  for (const auto &ids : {good, bad}) {
    int64_t rows = ids.size();
    GuardedBuffer stored(rows * (wideIds ? 8 : 4), false, wideIds ? 8 : 4);
    GuardedBuffer y(rows * columns * 4);
    std::vector<float> expected;
    for (int64_t m = 0; m < rows; ++m) {
      if (wideIds)
        stored.as<int64_t>()[m] = ids[m];
      else
        stored.as<int32_t>()[m] = ids[m];
      int64_t row = ids[m] < 0 ? ids[m] + count : ids[m];
      row = std::clamp<int64_t>(row, 0, count - 1);
      expected.insert(expected.end(), values.begin() + row * columns,
                      values.begin() + (row + 1) * columns);
    }
    Pool pool(2);
    kernel.call(pool, {Argument(stored.as<void>(), rows), 0,
                       Argument(table.as<void>(), count * columns), 0,
                       argument(y), 0, rows, count});
    std::string what = "embedding columns, type, wide, rows:" +
                       describe({columns, typeNumber, wideIds, rows});
    report.check(what, memcmp(expected.data(), y.as<float>(), y.size()) == 0);
    report.check(what + " failure",
                 pool.failure == (ids == bad ? LATHE_FAIL_INDEX : 0));
  }
}

/// The same look-up in the panels of a linear's weight.
static void checkPanels(const CpuTarget &target, int64_t columns,
                        Report &report, Random &random) {
  CompiledKernel kernel(target, [&](ModuleOp module) {
    EmbeddingSpec spec;
    spec.columns = columns;
    spec.inPanels = true;
    return emitEmbeddingKernel(module, "embedding", spec, target);
  });
  constexpr int64_t count = 130, panels = 3;
  std::vector<int64_t> ids = {0, 63, 64, 129, -1, -130};
  GuardedBuffer table(panels * columns * 64 * 4);
  for (size_t i = 0; i < table.size() / 4; ++i)
    table.as<float>()[i] = random.normal();
  int64_t rows = ids.size();
  GuardedBuffer y(rows * columns * 4);
  std::vector<float> expected;
  for (int64_t id : ids)
    for (int64_t k = 0; k < columns; ++k) {
      int64_t row = id < 0 ? id + count : id;
      expected.push_back(
          table.as<float>()[(row / 64 * columns + k) * 64 + row % 64]);
    }
  Pool pool(2);
  kernel.call(pool, {Argument(ids.data(), rows), 0, argument(table), 0,
                     argument(y), 0, rows, count});
  report.check("embedding in panels, columns:" + describe({columns}),
               memcmp(expected.data(), y.as<float>(), y.size()) == 0);
}

bool lathe::test::testMoves(const CpuTarget &target) {
  Report report;
  testRope(target, report);
  testAppend(target, report);
  Random random(9);
  for (int64_t columns : {64, 37, 3})
    for (int type : {0, 1, 2})
      for (bool wideIds : {true, false})
        checkEmbedding(target, columns, type, wideIds, report, random);
  for (int64_t columns : {64, 37, 3})
    checkPanels(target, columns, report, random);
  return report.finish("moves");
}
