//===- ThreadPool.cpp - tests of the thread pool --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ThreadPool.h"
#include "Check.h"

#include <thread>
#include <unistd.h>

using namespace lathe::rt;

/// Every iteration once, in the chunks that the ABI promises.
static void testChunks(ThreadPool &pool, int64_t n, int64_t grain) {
  std::vector<std::atomic<int>> hits(n);
  std::atomic<int64_t> bad{0};
  int64_t step = std::max<int64_t>(grain, 1);
  pool.parallelFor(n, grain, [&](int64_t begin, int64_t end) {
    if (begin % step != 0 || end != std::min(n, begin + step))
      ++bad;
    for (int64_t i = begin; i < end; ++i)
      ++hits[i];
  });
  CHECK(bad == 0);
  for (std::atomic<int> &hit : hits)
    CHECK(hit == 1);
}

static void testHugeLoop(ThreadPool &pool) {
  std::atomic<int64_t> covered{0};
  pool.parallelFor(INT64_MAX, INT64_MAX / 3,
                   [&](int64_t begin, int64_t end) { covered += end - begin; });
  CHECK(covered == INT64_MAX);
  pool.parallelFor(-5, 1, [&](int64_t, int64_t) { covered = 0; });
  pool.parallelFor(0, 1, [&](int64_t, int64_t) { covered = 0; });
  CHECK(covered == INT64_MAX);
}

static void testNested(ThreadPool &pool) {
  std::atomic<int64_t> sum{0};
  pool.parallelFor(8, 1, [&](int64_t begin, int64_t) {
    std::thread::id outer = std::this_thread::get_id();
    pool.parallelFor(10, 3, [&](int64_t from, int64_t to) {
      CHECK(std::this_thread::get_id() == outer);
      sum += (to - from) * (begin + 1);
    });
  });
  CHECK(sum == 360);
}

/// Two callers at once: one has the workers, the other runs inline.
static void testTwoCallers(ThreadPool &pool) {
  auto caller = [&] {
    for (int i = 0; i < 2000; ++i) {
      std::atomic<int64_t> sum{0};
      pool.parallelFor(64, 1, [&](int64_t begin, int64_t) { sum += begin; });
      CHECK(sum == 2016);
    }
  };
  std::thread first(caller), second(caller);
  first.join();
  second.join();
}

/// Loops with pauses, so that workers are found spinning and asleep.
static void testSleep(ThreadPool &pool) {
  for (int i = 0; i < 200; ++i) {
    testChunks(pool, 100, 7);
    usleep(i % 3 * 50);
  }
}

int main() {
  for (unsigned threads : {1, 2, 3, 16, 0}) {
    std::unique_ptr<ThreadPool> pool = take(ThreadPool::create(threads));
    CHECK(threads == 0 || pool->threads() == threads);
    for (int64_t n : {1, 2, 7, 1000})
      for (int64_t grain : {-3, 1, 2, 64, 5000})
        testChunks(*pool, n, grain);
    testHugeLoop(*pool);
    testNested(*pool);
    testTwoCallers(*pool);
    testSleep(*pool);
  }
  checkFails(ThreadPool::create(2000), "at most 1024 threads");
  return 0;
}
