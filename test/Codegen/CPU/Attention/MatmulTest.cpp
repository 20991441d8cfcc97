//===- MatmulTest.cpp - batched products against loops --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "lathe/Codegen/CPU/BatchMatmul.h"

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

namespace {
struct Shape {
  int64_t outer, inner, rows, columns, depth;
  /// Batch stride 0 of the right operand.
  bool broadcast = false;
};

struct CompiledMatmul {
  CompiledMatmul(const CpuTarget &target, const BatchMatmulSpec &spec)
      : kernel(target,
               [&](ModuleOp module) {
                 return emitBatchMatmulKernel(module, "matmul", spec, target);
               }),
        scratch(target, [&](OpBuilder &b, Location loc, ValueRange sizes) {
          return emitBatchMatmulScratchSize(b, loc, target, sizes[0], sizes[1],
                                            sizes[2]);
        }) {}
  CompiledKernel kernel;
  ScratchSize scratch;
};

/// One operand [outer, inner, rows, columns], or with the last two swapped.
struct Operand {
  Operand(const Shape &shape, int64_t rows, int64_t columns, bool unit,
          bool broadcast)
      : inner(broadcast ? 0 : rows * columns),
        outer(broadcast ? 0 : shape.inner * rows * columns),
        row(unit ? columns : 1), column(unit ? 1 : rows),
        memory((broadcast ? 1 : shape.outer * shape.inner) * rows * columns *
               4) {}

  float &at(int64_t x, int64_t y, int64_t r, int64_t c) const {
    return memory.as<float>()[x * outer + y * inner + r * row + c * column];
  }
  void append(SmallVector<Argument> &arguments, bool withColumn) const {
    arguments.push_back({memory.as<void>(), int64_t(memory.size() / 4)});
    for (int64_t number : {int64_t(0), outer, inner, row})
      arguments.push_back(number);
    if (withColumn)
      arguments.push_back(column);
  }

  int64_t inner, outer, row, column;
  GuardedBuffer memory;
};
} // namespace

static void check(const CompiledMatmul &matmul, const BatchMatmulSpec &spec,
                  const Shape &shape, Report &report, Random &random) {
  auto [outer, inner, rows, columns, depth, broadcast] = shape;
  Operand a(shape, rows, depth, spec.unitLeft, false);
  Operand b(shape, depth, columns, spec.unitRight, broadcast);
  Operand c(shape, rows, columns, true, false);
  for (const Operand *operand : {&a, &b})
    for (size_t i = 0; i < operand->memory.size() / 4; ++i)
      operand->memory.as<float>()[i] = random.normal();
  std::vector<double> expected;
  for (int64_t x = 0; x < outer; ++x)
    for (int64_t y = 0; y < inner; ++y)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t n = 0; n < columns; ++n) {
          double sum = 0.0;
          for (int64_t k = 0; k < depth; ++k)
            sum += double(a.at(x, y, r, k)) * b.at(x, y, k, n);
          expected.push_back(sum);
        }
  int64_t size = matmul.scratch.get(outer * inner, columns, depth);
  GuardedBuffer scratch(size * 4, false, 64);
  SmallVector<Argument> arguments;
  a.append(arguments, true);
  b.append(arguments, true);
  c.append(arguments, false);
  arguments.push_back({scratch.as<void>(), size});
  for (int64_t number : {outer, inner, rows, columns, depth})
    arguments.push_back(number);
  Pool one(1), two(2);
  matmul.kernel.call(one, arguments);
  std::vector<float> first(c.memory.as<float>(),
                           c.memory.as<float>() + expected.size());
  c.memory.poison();
  matmul.kernel.call(two, arguments);
  std::string what = "matmul";
  for (int64_t number : {outer, inner, rows, columns, depth})
    what += " " + std::to_string(number);
  what += spec.unitLeft ? " row" : " column";
  what += spec.unitRight ? " row" : " column";
  ArrayRef<float> second(c.memory.as<float>(), first.size());
  report.check(what + ": threads", ArrayRef<float>(first) == second);
  report.compare(what, first.data(), expected.data(), expected.size(), 2e-6);
}

bool lathe::test::testMatmul(const CpuTarget &target) {
  Report report;
  Random random(3);
  for (bool unitLeft : {true, false})
    for (bool unitRight : {true, false}) {
      BatchMatmulSpec spec;
      spec.unitLeft = unitLeft;
      spec.unitRight = unitRight;
      CompiledMatmul matmul(target, spec);
      for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 24, 53})
        for (int64_t columns : {1, 7, 8, 9, 16, 31, 64, 67})
          for (int64_t depth : {1, 5, 64, 130})
            check(matmul, spec, {2, 2, rows, columns, depth, columns == 9},
                  report, random);
      check(matmul, spec, {1, 1, 3, 5, 0}, report, random);
      check(matmul, spec, {3, 1, 100, 100, 700}, report, random);
      check(matmul, spec, {0, 4, 3, 5, 6}, report, random);
    }
  return report.finish("matmul");
}
