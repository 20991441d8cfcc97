//===- no-allocation.c - counts allocations of calls that repeat ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   no-allocation DIR THREADS
//
// Runs `plain`, `prefill`, `decode` and generation of a model whose only input
// without a default is input_ids, again and again, and fails if anything is
// allocated from the second call of an entry on, on any thread. This program's
// own malloc and mmap take the place of libc's for all libraries.
//
//===----------------------------------------------------------------------===//

#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

//===----------------------------------------------------------------------===//
// Counting
//===----------------------------------------------------------------------===//

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static atomic_int counting;
static atomic_long allocations;

static void count(void) {
  if (counting)
    ++allocations;
}

void *malloc(size_t bytes) {
  count();
  return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
  count();
  return __libc_calloc(number, bytes);
}

void *realloc(void *memory, size_t bytes) {
  count();
  return __libc_realloc(memory, bytes);
}

void free(void *memory) { __libc_free(memory); }

void *memalign(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  return memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  void *made = memalign(alignment, bytes);
  if (!made)
    return ENOMEM;
  *memory = made;
  return 0;
}

void *mmap(void *address, size_t length, int protection, int flags, int file,
           off_t offset) {
  count();
  return (void *)syscall(SYS_mmap, address, length, protection, flags, file,
                         offset);
}

/// Allocations since `counting` was set.
static long stopCounting(void) {
  counting = 0;
  return atomic_exchange(&allocations, 0);
}

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

enum { length = 6, capacity = 40, calls = 5 };

static const int64_t tokens[length] = {1, 5, 2, 7, 0, 3};

/// Runs an entry on `rows` tokens; the logits go to memory of the model.
static void run(lathe_model *model, const char *entry, lathe_cache *cache,
                int64_t rows) {
  int64_t shape[] = {1, rows};
  lathe_tensor input = {sizeof input, "input_ids", (void *)tokens, 8 * rows,
                        LATHE_I64,    2,           shape,          NULL};
  lathe_tensor output = {sizeof output, "logits", NULL, 0, 0, 0, NULL, NULL};
  lathe_run_options options = {sizeof options, entry, cache, 0};
  CHECK(lathe_model_run(model, &options, &input, 1, &output, 1) == 0);
  CHECK(output.data && output.bytes > 0);
}

static void report(const char *what, long first, long later) {
  printf("%s: first call %ld, later calls %ld\n", what, first, later);
  CHECK(first > 0);
  CHECK(later == 0);
}

static void testPlain(lathe_model *model) {
  counting = 1;
  run(model, "plain", NULL, length);
  long first = stopCounting();
  counting = 1;
  for (int i = 1; i < calls; ++i)
    run(model, "plain", NULL, length);
  // Sizes below the largest so far are no reason, either.
  run(model, "plain", NULL, length - 2);
  report("plain", first, stopCounting());
}

static void testCache(lathe_model *model) {
  lathe_cache *cache = lathe_cache_create(model, 1, capacity);
  CHECK(cache);
  counting = 1;
  run(model, "prefill", cache, length);
  long first = stopCounting();
  counting = 1;
  for (int i = 1; i < calls; ++i) {
    CHECK(lathe_cache_truncate(cache, 0) == 0);
    run(model, "prefill", cache, length);
  }
  report("prefill", first, stopCounting());

  counting = 1;
  run(model, "decode", cache, 1);
  first = stopCounting();
  counting = 1;
  while (lathe_cache_length(cache) < capacity)
    run(model, "decode", cache, 1);
  report("decode", first, stopCounting());
  lathe_cache_free(cache);
}

/// Generates and returns the allocations of that.
static long countGenerate(lathe_model *model, int64_t *made, int64_t wanted) {
  counting = 1;
  CHECK(lathe_model_generate(model, tokens, length, made, wanted, capacity) ==
        wanted);
  return stopCounting();
}

static void testGenerate(lathe_model *model) {
  int64_t made[capacity], again[capacity];
  int64_t most = capacity - length;
  long first = countGenerate(model, made, most);
  long later = countGenerate(model, again, 3);
  later += countGenerate(model, again, most);
  CHECK(memcmp(made, again, sizeof *made * most) == 0);
  report("generate", first, later);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  lathe_load_options options = {sizeof options, atoi(argv[2]), 0, NULL};
  lathe_model *model = lathe_model_load(argv[1], &options);
  CHECK(model);
  testPlain(model);
  testCache(model);
  testGenerate(model);
  lathe_model_free(model);
  return 0;
}
