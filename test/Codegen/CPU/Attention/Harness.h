//===- Harness.h - compiles and calls single kernels ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_ATTENTIONTEST_HARNESS_H
#define LATHE_TOOLS_ATTENTIONTEST_HARNESS_H

#include "../KernelHarness.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace lathe::test {

/// Memory between two unreadable pages. It ends (or, with `atStart`, begins) at
/// one of them, so that a step too far is a crash.
class GuardedBuffer {
public:
  explicit GuardedBuffer(size_t bytes, bool atStart = false,
                         size_t alignment = 4);
  GuardedBuffer(const GuardedBuffer &) = delete;
  ~GuardedBuffer();

  template <typename T>
  T *as() const {
    return reinterpret_cast<T *>(data);
  }
  size_t size() const { return bytes; }
  /// NaN as f32, a large number as an integer.
  void poison() { memset(data, 0xff, bytes); }

private:
  char *pages, *data;
  size_t mapped, bytes;
};

/// One argument of a call: a buffer with its number of elements, or an integer.
struct Argument {
  int64_t first, elements;
  bool isBuffer;

  Argument(int64_t value) : first(value), elements(0), isBuffer(false) {}
  Argument(const void *pointer, int64_t elements)
      : first(reinterpret_cast<int64_t>(pointer)), elements(elements),
        isBuffer(true) {}
};

/// A kernel in memory. Problems of compiling end the program: they are bugs of
/// the emitter under test.
class CompiledKernel {
public:
  using Emit = llvm::function_ref<mlir::func::FuncOp(mlir::ModuleOp)>;

  CompiledKernel(const CpuTarget &target, Emit emit);

  void call(Pool &pool, llvm::ArrayRef<Argument> arguments) const;
  size_t getObjectBytes() const { return module.objectBytes; }

  /// If set, the IR before and after the pipeline goes to files whose names
  /// begin so.
  static std::string dumpPrefix;

private:
  LoadedModule module;
};

/// A kernel with scratch, whose size is a function of three numbers.
class ScratchSize {
public:
  using Emit = llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                              mlir::ValueRange)>;

  ScratchSize(const CpuTarget &target, Emit emit);
  int64_t get(int64_t x, int64_t y, int64_t z) const;

private:
  CompiledKernel kernel;
};

/// Counts checks and prints the failed ones.
class Report {
public:
  /// Compares with tolerance relative to the largest |expected|; NaN must meet
  /// NaN.
  void compare(const std::string &what, const float *actual,
               const double *expected, size_t count, double tolerance);
  void check(const std::string &what, bool holds);
  /// Prints a summary line and says whether all held.
  bool finish(const char *title) const;

private:
  int64_t checks = 0, failures = 0;
  double worst = 0.0;
};

/// Deterministic random numbers.
class Random {
public:
  explicit Random(unsigned seed) : engine(seed) {}
  float normal() { return distribution(engine); }
  int64_t below(int64_t limit) {
    return static_cast<int64_t>(engine() % static_cast<uint64_t>(limit));
  }

private:
  std::mt19937 engine;
  std::normal_distribution<float> distribution;
};

bool testAttention(const CpuTarget &target, bool full);
bool testMoves(const CpuTarget &target);
bool testMatmul(const CpuTarget &target);
/// Times the cases whose description contains `filter`.
void benchAttention(const CpuTarget &target, const std::string &filter);

} // namespace lathe::test

#endif // LATHE_TOOLS_ATTENTIONTEST_HARNESS_H
