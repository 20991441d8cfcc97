//===- ThreadPool.h - persistent workers for parallel_for -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_THREADPOOL_H
#define LATHE_RUNTIME_THREADPOOL_H

#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/Status.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <type_traits>
#include <vector>

namespace lathe::rt {

/// Runs parallel loops on the calling thread and threads() - 1 workers. Several
/// sessions and several calling threads may share one pool.
///
/// The chunks of a loop depend on its size and grain only (see lathe_ctx), so
/// results are the same for any number of threads. Thread t owns the t-th
/// contiguous share of the chunks, the same share in every equal loop, which
/// keeps weights in its cache; a thread that has finished its share takes
/// chunks of others, so a worker that the system has not scheduled delays
/// nobody. Idle workers spin for some microseconds and then sleep on a futex.
class ThreadPool {
public:
  static constexpr unsigned maxThreads = 1024;

  /// `threads` = 0 takes the processors this process may use.
  static Result<std::unique_ptr<ThreadPool>> create(unsigned threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;

  unsigned threads() const { return shares.size(); }

  /// The loop of lathe_ctx::parallel_for. Runs on the calling thread alone when
  /// called from inside a loop, or while another thread's loop has the workers.
  void parallelFor(lathe_body body, void *closure, int64_t n, int64_t grain);

  /// The same for a callable `f(begin, end)`.
  template <typename F>
  void parallelFor(int64_t n, int64_t grain, F &&f) {
    parallelFor(
        [](void *closure, int64_t begin, int64_t end) {
          (*static_cast<std::remove_reference_t<F> *>(closure))(begin, end);
        },
        &f, n, grain);
  }

private:
  /// A thread's share of the current loop's chunks.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  struct Job {
    lathe_body body = nullptr;
    void *closure = nullptr;
    int64_t n = 0, grain = 1;
  };

  struct WorkerStart {
    ThreadPool *pool;
    unsigned self;
  };

  explicit ThreadPool(unsigned threads);
  Status start();
  static void *enterWorker(void *argument);
  void work(unsigned self);
  void runChunks(unsigned self);
  uint32_t waitForLoop(uint32_t seen);

  std::vector<Share> shares; ///< one per thread; 0 is the caller's
  std::vector<pthread_t> workers;
  std::mutex callers; ///< held by the thread whose loop runs
  Job job;
  /// Spinning only helps while every thread has a processor.
  bool spin;

  /// Bumped at the start of each loop; the futex that idle workers sleep on.
  alignas(64) std::atomic<uint32_t> epoch{0};
  alignas(64) std::atomic<uint32_t> sleepers{0};
  /// A worker counts itself in before it looks at `open` and reads `job` only
  /// while it is counted and has seen `open`; the caller clears `open` and
  /// waits for zero before it touches `job` again.
  alignas(64) std::atomic<uint32_t> active{0};
  std::atomic<bool> open{false};
  std::atomic<bool> stopping{false};
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_THREADPOOL_H
