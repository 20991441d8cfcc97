//===- MachinePeaks.cpp - what this machine can do at most ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/MachinePeaks.h"
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

using namespace lathe;

static double secondsOf(const std::function<void()> &work) {
  auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

/// Seconds until `work(thread)` has ended on every thread.
static double secondsOnThreads(unsigned threads,
                               const std::function<void(unsigned)> &work) {
  return secondsOf([&] {
    std::vector<std::thread> others;
    for (unsigned t = 1; t < threads; ++t)
      others.emplace_back(work, t);
    work(0);
    for (std::thread &other : others)
      other.join();
  });
}

// Accumulators: enough of them to cover the latency of the FMA units (4 cycles
// on two units), and few enough to stay in registers.
static constexpr int64_t kRounds = 1 << 21;

/// Defines `name`, which runs kRounds rounds of `count` FMAs of `lanes` floats
/// and returns something that depends on all of them.
#define FMA_LOOP(name, attributes, lanes, count)                               \
  typedef float name##Vector __attribute__((vector_size(4 * (lanes))));        \
  attributes static float name() {                                             \
    name##Vector sums[count];                                                  \
    for (int n = 0; n < (count); ++n)                                          \
      sums[n] = name##Vector{} + float(n);                                     \
    name##Vector factor = name##Vector{} + 0.999f;                             \
    for (int64_t round = 0; round < kRounds; ++round) {                        \
      _Pragma("GCC unroll 16") for (int n = 0; n < (count); ++n) {             \
        sums[n] = sums[n] * factor + factor;                                   \
        asm volatile("" : "+v"(sums[n]));                                      \
      }                                                                        \
    }                                                                          \
    name##Vector total = sums[0];                                              \
    for (int n = 1; n < (count); ++n)                                          \
      total += sums[n];                                                        \
    return total[0];                                                           \
  }

#if defined(__x86_64__)
#pragma clang fp contract(fast)
FMA_LOOP(fmaAvx512, __attribute__((target("avx512f"))), 16, 16)
FMA_LOOP(fmaAvx2, __attribute__((target("avx2,fma"))), 8, 12)
FMA_LOOP(fmaSse, , 4, 12)

static double measureFma(unsigned threads) {
  struct Loop {
    float (*run)();
    double flops;
  } loop{fmaSse, 2.0 * 4 * 12};
  if (__builtin_cpu_supports("avx512f"))
    loop = {fmaAvx512, 2.0 * 16 * 16};
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    loop = {fmaAvx2, 2.0 * 8 * 12};
  double best = 0;
  for (int sample = 0; sample < 5; ++sample) {
    double seconds = secondsOnThreads(threads, [&](unsigned) {
      volatile float sink = loop.run();
      (void)sink;
    });
    best = std::max(best, threads * kRounds * loop.flops / seconds / 1e9);
  }
  return best;
}
#else
static double measureFma(unsigned) { return 0; }
#endif

/// Reads 512 MB once per sample, each thread its share.
static double measureRead(unsigned threads) {
  constexpr size_t words = (size_t(512) << 20) / sizeof(uint64_t);
  std::vector<uint64_t> memory(words, 1);
  std::vector<uint64_t> sums(threads);
  double best = 0;
  for (int sample = 0; sample < 3; ++sample) {
    double seconds = secondsOnThreads(threads, [&](unsigned t) {
      const uint64_t *begin = memory.data() + words / threads * t;
      uint64_t lanes[8] = {};
      for (size_t i = 0; i + 8 <= words / threads; i += 8)
        for (size_t lane = 0; lane < 8; ++lane)
          lanes[lane] += begin[i + lane];
      for (uint64_t lane : lanes)
        sums[t] += lane;
    });
    best = std::max(best, words * sizeof(uint64_t) / seconds / 1e9);
  }
  volatile uint64_t sink = sums[0];
  (void)sink;
  return best;
}

MachinePeaks lathe::measurePeaks(unsigned threads) {
  threads = std::max(1u, threads);
  return {measureFma(threads), measureRead(threads)};
}
