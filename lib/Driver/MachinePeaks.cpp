//===- MachinePeaks.cpp - what this machine can do at most ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/MachinePeaks.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <memory>
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

/// Seconds of the fastest of `samples` runs of `work` on all threads.
static double bestSeconds(int samples, unsigned threads,
                          const std::function<void(unsigned)> &work) {
  double best = secondsOnThreads(threads, work);
  for (int sample = 1; sample < samples; ++sample)
    best = std::min(best, secondsOnThreads(threads, work));
  return best;
}

static constexpr int kFmaSamples = 15, kReadSamples = 8;
static constexpr int64_t kRounds = 1 << 20;
// Independent sums: enough of them to cover the latency of the FMA units (4
// cycles on two units), and few enough to stay in registers.
static constexpr int64_t kSums = 12;

#if defined(__x86_64__)

/// Defines `name`, which runs kRounds rounds of `step` for each `sum` of kSums.
/// The empty assembly keeps each sum in a register of its own.
#define FMA_LOOP(name, features, Vector, Factor, broadcast, step)              \
  __attribute__((target(features))) static void name() {                       \
    Vector sums[kSums] = {};                                                   \
    Factor factor = broadcast;                                                 \
    for (int64_t round = 0; round < kRounds; ++round) {                        \
      _Pragma("GCC unroll 16") for (int64_t n = 0; n < kSums; ++n) {           \
        Vector &sum = sums[n];                                                 \
        sum = step;                                                            \
        asm volatile("" : "+v"(sum));                                          \
      }                                                                        \
    }                                                                          \
  }

FMA_LOOP(fmaAvx512, "avx512f", __m512, __m512, _mm512_set1_ps(0.999f),
         _mm512_fmadd_ps(sum, factor, factor))
FMA_LOOP(fmaAvx2, "avx2,fma", __m256, __m256, _mm256_set1_ps(0.999f),
         _mm256_fmadd_ps(sum, factor, factor))
FMA_LOOP(mulAddSse, "sse2", __m128, __m128, _mm_set1_ps(0.999f),
         _mm_add_ps(_mm_mul_ps(sum, factor), factor))
FMA_LOOP(dotBf16, "avx512f,avx512bf16", __m512, __m512bh,
         (__m512bh)_mm512_set1_epi16(0x3f80), // 1.0
         _mm512_dpbf16_ps(sum, factor, factor))

/// GFLOP/s of a loop whose step does `flops` operations.
static double measureFma(void (*loop)(), int64_t flops, unsigned threads) {
  double seconds = bestSeconds(kFmaSamples, threads, [&](unsigned) { loop(); });
  return 1e-9 * threads * kRounds * kSums * flops / seconds;
}

FmaPeaks lathe::measureFmaPeaks(unsigned threads) {
  threads = std::max(1u, threads);
  FmaPeaks peaks;
  if (__builtin_cpu_supports("avx512f"))
    peaks.f32 = measureFma(fmaAvx512, 32, threads);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    peaks.f32 = measureFma(fmaAvx2, 16, threads);
  else
    peaks.f32 = measureFma(mulAddSse, 8, threads);
  if (__builtin_cpu_supports("avx512bf16"))
    peaks.bf16 = measureFma(dotBf16, 64, threads);
  return peaks;
}

#else
FmaPeaks lathe::measureFmaPeaks(unsigned) { return {}; }
#endif

/// Defines `name`, which adds up `count` words, a multiple of 16, at a multiple
/// of 64 bytes, by loads of `bytes` bytes. The hardware looks ahead by a few
/// lines and not into the next page, so lines are asked for a page ahead.
#define READ_LOOP(name, attributes, bytes)                                     \
  typedef uint64_t name##Vector __attribute__((vector_size(bytes)));           \
  attributes static uint64_t name(const uint64_t *words, size_t count) {       \
    auto *vectors = reinterpret_cast<const name##Vector *>(words);             \
    constexpr size_t sums = 128 / (bytes);                                     \
    name##Vector sum[sums] = {};                                               \
    for (size_t i = 0; i < count * 8 / (bytes); i += sums) {                   \
      __builtin_prefetch(vectors + i + 4096 / (bytes));                        \
      __builtin_prefetch(vectors + i + (4096 + 64) / (bytes));                 \
      for (size_t n = 0; n < sums; ++n)                                        \
        sum[n] += vectors[i + n];                                              \
    }                                                                          \
    name##Vector all = {};                                                     \
    for (name##Vector part : sum)                                              \
      all += part;                                                             \
    return all[0];                                                             \
  }

READ_LOOP(readNarrow, , 16)
#if defined(__x86_64__)
// Narrow loads do not keep enough of them in flight.
READ_LOOP(readAvx2, __attribute__((target("avx2"))), 32)
#endif

double lathe::measureReadBandwidth(unsigned threads) {
  threads = std::max(1u, threads);
  auto read = readNarrow;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2"))
    read = readAvx2;
#endif
  constexpr size_t words = (size_t(512) << 20) / sizeof(uint64_t);
  size_t share = words / threads / 16 * 16;
  std::unique_ptr<uint64_t[], decltype(&std::free)> memory(
      static_cast<uint64_t *>(std::aligned_alloc(64, words * sizeof(uint64_t))),
      std::free);
  if (!memory)
    return 0;
  // Pages that were never written are all one page of zeros.
  std::fill_n(memory.get(), words, 1);
  std::atomic<uint64_t> sink = 0;
  double seconds = bestSeconds(kReadSamples, threads, [&](unsigned thread) {
    sink += read(memory.get() + share * thread, share);
  });
  return 1e-9 * sizeof(uint64_t) * share * threads / seconds;
}
