//===- ThreadPool.cpp - persistent workers for parallel_for -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ThreadPool.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace lathe::rt;

/// How long an idle worker looks for the next loop before it sleeps: longer
/// than the gaps between the loops of a stage, short enough not to matter when
/// a model is idle.
static constexpr std::chrono::microseconds spinTime(40);

/// Set while the thread runs chunks: a loop started then runs inline.
static thread_local bool insideLoop = false;

static unsigned usableProcessors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    return std::max(1, CPU_COUNT(&set));
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? online : 1;
}

static void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE,
          expected, nullptr, nullptr, 0);
}

static void futexWake(std::atomic<uint32_t> &word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE,
          count, nullptr, nullptr, 0);
}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(unsigned threads) {
  if (threads > maxThreads)
    return Status::error("at most " + std::to_string(maxThreads) +
                         " threads, not " + std::to_string(threads));
  if (threads == 0)
    threads = std::min(usableProcessors(), maxThreads);
  std::unique_ptr<ThreadPool> pool(new ThreadPool(threads));
  if (Status status = pool->start(); status.failed())
    return status;
  return pool;
}

ThreadPool::ThreadPool(unsigned threads)
    : shares(threads), spin(threads <= usableProcessors()) {}

Status ThreadPool::start() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // Room for the stage beside what the libraries use.
  pthread_attr_setstacksize(&attributes, 4 * LATHE_STAGE_STACK);
  int code = 0;
  workers.reserve(threads() - 1);
  while (code == 0 && workers.size() + 1 < threads()) {
    auto *start = new WorkerStart{this, unsigned(workers.size() + 1)};
    pthread_t thread;
    code = pthread_create(&thread, &attributes, enterWorker, start);
    if (code == 0)
      workers.push_back(thread);
    else
      delete start;
  }
  pthread_attr_destroy(&attributes);
  if (code != 0)
    return Status::error(
        "cannot start thread " + std::to_string(workers.size() + 1) + " of " +
        std::to_string(threads()) + ": " + std::strerror(code));
  return Status::ok();
}

ThreadPool::~ThreadPool() {
  stopping = true;
  ++epoch;
  futexWake(epoch, INT_MAX);
  for (pthread_t worker : workers)
    pthread_join(worker, nullptr);
}

void *ThreadPool::enterWorker(void *argument) {
  auto *start = static_cast<WorkerStart *>(argument);
  ThreadPool *pool = start->pool;
  unsigned self = start->self;
  delete start;
  insideLoop = true;
  pool->work(self);
  return nullptr;
}

uint32_t ThreadPool::waitForLoop(uint32_t seen) {
  if (spin) {
    auto deadline = std::chrono::steady_clock::now() + spinTime;
    do {
      for (unsigned i = 0; i < 32; ++i) {
        if (uint32_t now = epoch; now != seen)
          return now;
        relax();
      }
    } while (std::chrono::steady_clock::now() < deadline);
  }
  // The count goes up before the kernel compares the epoch, and callers bump
  // the epoch before they read the count, so no wake-up is lost.
  ++sleepers;
  while (epoch == seen)
    futexWait(epoch, seen);
  --sleepers;
  return epoch;
}

void ThreadPool::work(unsigned self) {
  uint32_t seen = 0;
  while (true) {
    seen = waitForLoop(seen);
    if (stopping)
      return;
    ++active;
    if (open)
      runChunks(self);
    --active;
  }
}

/// Chunk number `chunk` of the loop.
static void runChunk(lathe_body body, void *closure, int64_t n, int64_t grain,
                     int64_t chunk) {
  int64_t begin = chunk * grain;
  body(closure, begin, begin + std::min(grain, n - begin));
}

void ThreadPool::runChunks(unsigned self) {
  unsigned count = threads();
  for (unsigned i = 0; i < count; ++i) {
    Share &share = shares[(self + i) % count];
    while (share.next.load(std::memory_order_relaxed) < share.end) {
      int64_t chunk = share.next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= share.end)
        break;
      runChunk(job.body, job.closure, job.n, job.grain, chunk);
    }
  }
}

void ThreadPool::parallelFor(lathe_body body, void *closure, int64_t n,
                             int64_t grain) {
  if (n <= 0)
    return;
  grain = std::min(std::max<int64_t>(grain, 1), n);
  int64_t chunks = (n - 1) / grain + 1;
  std::unique_lock<std::mutex> lock(callers, std::defer_lock);
  if (chunks == 1 || threads() == 1 || insideLoop || !lock.try_lock()) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
      runChunk(body, closure, n, grain, chunk);
    return;
  }

  job = {body, closure, n, grain};
  // A thread's share is chunks [t*base + min(t, extra), …): no product that
  // could overflow.
  int64_t base = chunks / threads(), extra = chunks % threads(), next = 0;
  for (unsigned i = 0; i < threads(); ++i) {
    shares[i].next.store(next, std::memory_order_relaxed);
    next += base + (i < extra);
    shares[i].end = next;
  }
  open = true;
  ++epoch;
  if (uint32_t asleep = sleepers)
    futexWake(epoch, std::min<int64_t>(asleep, chunks - 1));

  insideLoop = true;
  runChunks(0);
  insideLoop = false;

  // All chunks are taken; the last ones may still run.
  open = false;
  for (unsigned turns = 0; active != 0; ++turns) {
    relax();
    if (turns > 4096 || !spin)
      sched_yield();
  }
}
