//===- KernelHarness.h - compile, load and call kernels ---------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the numeric tests of the CPU kernels share: an entry with a plain C
// signature around any kernel, ORC, a thread pool behind `lathe_ctx`, buffers
// that end at an unreadable page, and clocks.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_KERNELHARNESS_H
#define LATHE_TEST_KERNELHARNESS_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Runtime/Abi.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/Error.h"
#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

namespace lathe::test {

/// `entry(ctx, args, dims)`: args[i] points at the data of the kernel's
/// argument i (or at the scalar, an i64 for an index), dims holds the dynamic
/// sizes and then strides of each memref argument, one after another in the
/// order of the arguments.
using EntryFn = void (*)(lathe_ctx *, void *const *args, const int64_t *dims);

/// Adds the public function `entry` that calls `kernel`.
void addEntry(mlir::func::FuncOp kernel);

/// A module of kernels, compiled and loaded.
class LoadedModule {
public:
  /// Runs the pipeline of the library on `module` and loads the object.
  static llvm::Expected<LoadedModule> load(mlir::ModuleOp module,
                                           const CpuTarget &target);
  EntryFn entry = nullptr;
  size_t objectBytes = 0;

private:
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

/// A pool of `threads` threads that live as long as one loop does: simple, and
/// as unordered as a pool may be.
struct Pool {
  explicit Pool(int threads);
  lathe_ctx ctx;
  int threads;
  /// The last code that a kernel gave to `fail`; 0 if none did.
  std::atomic<int64_t> failure{0};
};

/// f32 values whose last byte touches an unreadable page; the page before the
/// first one is unreadable too.
class Buffer {
public:
  explicit Buffer(size_t count);
  ~Buffer();
  Buffer(Buffer &&other);
  Buffer(const Buffer &) = delete;

  float *data() const { return values; }
  size_t size() const { return count; }
  float &operator[](size_t i) const { return values[i]; }
  float *begin() const { return values; }
  float *end() const { return values + count; }
  /// Uniform in [-scale, scale), the same for equal seeds.
  void fill(uint64_t seed, float scale = 1.0f);

private:
  char *mapping;
  size_t mapped;
  float *values;
  size_t count;
};

double seconds();

/// GFLOP/s of multiply-adds between registers, in the width of `target`.
double measurePeak(const CpuTarget &target);

/// GB/s of one thread that reads `bytes` once.
double measureStream(const char *data, size_t bytes);

struct Timing {
  double median, bestDecile;
};

/// Seconds of `call`, which is repeated for `span` seconds and at least five
/// times.
template <typename Call>
Timing measure(Call call, double span = 0.15) {
  std::vector<double> times;
  for (double end = seconds() + span; seconds() < end || times.size() < 5;) {
    double start = seconds();
    call();
    times.push_back(seconds() - start);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() / 10]};
}

} // namespace lathe::test

#endif // LATHE_TEST_KERNELHARNESS_H
