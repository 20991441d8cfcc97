/* What the machine can do at most: prints {"f32": GFLOP/s, "bf16": GFLOP/s,
 * "read": GB/s} of THREADS threads together, the best of several samples. */

#include <immintrin.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { rounds = 1 << 20, sums = 16, megabytes = 512, maxThreads = 256 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Independent chains, enough to cover the latency; the empty assembly keeps
 * each one in a register. */
#define CHAINS(type, step)                                                     \
  type acc[sums];                                                              \
  memset(acc, 0, sizeof(acc));                                                 \
  for (long r = 0; r < rounds; ++r)                                            \
    _Pragma("GCC unroll 16") for (int i = 0; i < sums; ++i) {                  \
      acc[i] = step;                                                           \
      __asm__ volatile("" : "+v"(acc[i]));                                     \
    }                                                                          \
  volatile type sink = acc[0];                                                 \
  (void)sink;

__attribute__((target("avx512f"))) static void *f32Wide(void *unused) {
  __m512 factor = _mm512_set1_ps(0.999f);
  CHAINS(__m512, _mm512_fmadd_ps(acc[i], factor, factor))
  return unused;
}

__attribute__((target("avx2,fma"))) static void *f32Narrow(void *unused) {
  __m256 factor = _mm256_set1_ps(0.999f);
  CHAINS(__m256, _mm256_fmadd_ps(acc[i], factor, factor))
  return unused;
}

__attribute__((target("avx512f,avx512bf16"))) static void *
bf16Wide(void *unused) {
  __m512bh factor = (__m512bh)_mm512_set1_epi16(0x3f80);
  CHAINS(__m512, _mm512_dpbf16_ps(acc[i], factor, factor))
  return unused;
}

static uint64_t *memory;
static long words;
static int threads;

/* Words of a thread: whole vectors. */
static long shareOfThread(void) { return words / threads / 8 * 8; }

static void *readShare(void *number) {
  long share = shareOfThread();
  const uint64_t *begin = memory + share * (intptr_t)number;
  uint64_t lanes[16] = {0};
  for (long i = 0; i + 16 <= share; i += 16)
    for (int lane = 0; lane < 16; ++lane)
      lanes[lane] += begin[i + lane];
  volatile uint64_t sink = 0;
  for (int lane = 0; lane < 16; ++lane)
    sink += lanes[lane];
  return NULL;
}

typedef long long Words __attribute__((vector_size(32)));

/* The same by wide loads: narrow ones do not keep enough of them in flight. */
__attribute__((target("avx2"))) static void *readShareWide(void *number) {
  long share = shareOfThread();
  const Words *begin = (const Words *)(memory + share * (intptr_t)number);
  Words lanes[4] = {{0}};
  for (long i = 0; i + 4 <= share / 4; i += 4)
    _Pragma("GCC unroll 4") for (int lane = 0; lane < 4; ++lane) lanes[lane] +=
        begin[i + lane];
  volatile Words sink = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  (void)sink;
  return NULL;
}

/* Seconds of the fastest of `samples` runs of `work` on all threads. */
static double best(void *(*work)(void *), int samples) {
  double least = 1e30;
  for (int s = 0; s < samples; ++s) {
    pthread_t others[maxThreads];
    double start = now();
    for (intptr_t t = 1; t < threads; ++t)
      pthread_create(&others[t], NULL, work, (void *)t);
    work(NULL);
    for (int t = 1; t < threads; ++t)
      pthread_join(others[t], NULL);
    double seconds = now() - start;
    least = seconds < least ? seconds : least;
  }
  return least;
}

int main(int argc, char **argv) {
  threads = argc > 1 ? atoi(argv[1]) : 1;
  if (threads < 1 || threads > maxThreads)
    return 1;
  words = (long)megabytes * (1 << 20) / 8;
  memory = aligned_alloc(64, words * 8);
  if (!memory)
    return 1;
  memset(memory, 1, words * 8);
  double work = 1e-9 * threads * rounds * sums;
  double f32 = 0, bf16 = 0;
  if (__builtin_cpu_supports("avx512f"))
    f32 = work * 32 / best(f32Wide, 15);
  else if (__builtin_cpu_supports("fma"))
    f32 = work * 16 / best(f32Narrow, 15);
  if (__builtin_cpu_supports("avx512bf16"))
    bf16 = work * 64 / best(bf16Wide, 15);
  bool isWide = __builtin_cpu_supports("avx2");
  double read = words * 8e-9 / best(isWide ? readShareWide : readShare, 8);
  printf("{\"f32\": %.1f, \"bf16\": %.1f, \"read\": %.1f}\n", f32, bf16, read);
  return 0;
}
