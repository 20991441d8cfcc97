/*===- lathe.h - running compiled models from C --------------------*- C -*-===*\
|*                                                                            *|
|* Part of the Lathe project, under the Apache License v2.0 with LLVM         *|
|* Exceptions.                                                                *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* Loads the folder that `lathe compile` made and runs its entries:           *|
|*                                                                            *|
|*   lathe_model *model = lathe_model_load("DIR", NULL);                      *|
|*   if (!model)                                                              *|
|*     fprintf(stderr, "error: %s\n", lathe_last_error());                    *|
|*   int64_t shape[] = {1, 3}, ids[] = {5, 6, 7};                             *|
|*   lathe_tensor in = {sizeof in, "input_ids", ids, sizeof ids, LATHE_I64,   *|
|*                      2, shape, NULL};                                      *|
|*   lathe_tensor out = {sizeof out, "logits", NULL, 0, 0, 0, NULL, NULL};    *|
|*   if (lathe_model_run(model, NULL, &in, 1, &out, 1) != 0) ...              *|
|*                                                                            *|
|* Structs begin with their size, set by the caller, and only grow at their   *|
|* end, so that programs work with later versions of the library.             *|
|*                                                                            *|
|* A model may be used by several threads; its runs take turns. Use one model *|
|* per thread to run at once: weights are mapped once for all.                *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef LATHE_RUNTIME_LATHE_H
#define LATHE_RUNTIME_LATHE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LATHE_API __attribute__((visibility("default")))
#else
#define LATHE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Version of everything in this header. */
#define LATHE_API_VERSION 1

/** Element types. A bool is one byte; types narrower than a byte take one byte
 *  per element, the value in the low bits. */
typedef enum lathe_dtype {
  LATHE_F32 = 0,
  LATHE_F64 = 1,
  LATHE_F16 = 2,
  LATHE_BF16 = 3,
  LATHE_I8 = 4,
  LATHE_I16 = 5,
  LATHE_I32 = 6,
  LATHE_I64 = 7,
  LATHE_UI8 = 8,
  LATHE_UI16 = 9,
  LATHE_UI32 = 10,
  LATHE_UI64 = 11,
  LATHE_BOOL = 12,
  LATHE_F8E4M3FN = 13,
  LATHE_F8E4M3FNUZ = 14,
  LATHE_F8E5M2 = 15,
  LATHE_F8E5M2FNUZ = 16,
  LATHE_F8E8M0FNU = 17,
  LATHE_F4E2M1FN = 18,
  LATHE_I4 = 19,
  LATHE_UI4 = 20,
  LATHE_I2 = 21,
  LATHE_UI2 = 22
} lathe_dtype;

typedef struct lathe_model lathe_model;
typedef struct lathe_cache lathe_cache;

/** A dense row-major tensor. */
typedef struct lathe_tensor {
  /** sizeof(lathe_tensor). */
  size_t size;
  /** Name of the input or output; NULL: that of the same place in the entry.
   *  The caller owns it; it is read during the call only. */
  const char *name;
  /** Elements, aligned to their size.
   *  Input: the caller's, read during the call only.
   *  Output: memory of the caller with room for `bytes`, or NULL; then the call
   *  sets it to memory that the model owns and that is valid until the next run
   *  of the same entry or lathe_model_free. */
  void *data;
  /** Bytes at `data`, tested against what the shape needs; an input may have -1
   *  to leave that out. Output: set to the bytes of the result. */
  int64_t bytes;
  /** A lathe_dtype. Output: set by the call. */
  int32_t dtype;
  /** Number of dims. Output: set by the call. */
  int32_t rank;
  /** Dims. Input: the caller's, read during the call only. Output: set to
   *  memory that the model owns and that is valid as long as its data. */
  const int64_t *shape;
  /** Input: NULL, or the strides of a dense row-major tensor, in elements;
   *  others are refused. The caller's. Output: not looked at. */
  const int64_t *strides;
} lathe_tensor;

typedef struct lathe_load_options {
  /** sizeof(lathe_load_options). */
  size_t size;
  /** Threads, the caller's included; 0: as many as there are processors. */
  int32_t threads;
  /** Not 0: test the whole weights file against its hash. */
  int32_t verify_weights;
  /** CPU level whose code is run: "avx512bf16", "avx512", "avx2" or "scalar";
   *  NULL or "native": the best that the folder has and this machine runs. A
   *  level that the folder lacks or the machine does not run is an error that
   *  lists those of both. The caller's, read during the call only. */
  const char *level;
} lathe_load_options;

typedef struct lathe_run_options {
  /** sizeof(lathe_run_options). */
  size_t size;
  /** Entry; NULL: "plain". The caller's, read during the call only. */
  const char *entry;
  /** Cache for entries that take one, which the run extends; else NULL. The
   *  caller's. */
  lathe_cache *cache;
  /** Rows of logits that "prefill" and "decode" compute, counted from the last
   *  token; 0: one. Other entries have no such choice and want 0. */
  int64_t logits_rows;
} lathe_run_options;

/** LATHE_API_VERSION of the library. */
LATHE_API int lathe_api_version(void);

/** What was wrong with the last call on this thread that failed. Never NULL.
 *  The library owns the text; it is valid until the next call on this thread
 *  that fails. */
LATHE_API const char *lathe_last_error(void);

/** Loads a compiled folder; NULL on error. The caller owns the model and ends
 *  it by lathe_model_free. `dir` and `options` (NULL: defaults) are read during
 *  the call only. */
LATHE_API lathe_model *lathe_model_load(const char *dir,
                                        const lathe_load_options *options);

/** Ends a model, and with it all memory it gave out. NULL is allowed. Caches
 *  made from it must be freed before. */
LATHE_API void lathe_model_free(lathe_model *model);

/** The text of model.json; the model owns it. */
LATHE_API const char *lathe_model_manifest(const lathe_model *model);

/** Runs an entry once; 0, or not 0 on error. `inputs` in any order if they have
 *  names; inputs that are left out take their defaults: empty past tensors, an
 *  attention mask of ones, positions counted on, token types of zeros.
 *  `outputs` names those that are wanted. All arrays are the caller's.
 *  From the second run of an entry on with sizes no larger than before, nothing
 *  is allocated, also while a cache fills. */
LATHE_API int lathe_model_run(lathe_model *model,
                              const lathe_run_options *options,
                              const lathe_tensor *inputs, size_t input_count,
                              lathe_tensor *outputs, size_t output_count);

/** Greedy generation by the entries "prefill" and "decode": writes up to
 *  `count` new tokens to `tokens` and returns how many, or -1 on error.
 *  `max_context` 0: just what is needed. The arrays are the caller's. The model
 *  keeps its memory, the KV cache included, for the next call: with a prompt
 *  and a count no larger than before and the same `max_context`, nothing is
 *  allocated. */
LATHE_API int64_t lathe_model_generate(lathe_model *model,
                                       const int64_t *prompt,
                                       size_t prompt_count, int64_t *tokens,
                                       size_t count, int64_t max_context);

/** An empty KV cache for `batch` sequences of up to `max_context` positions;
 *  NULL on error. The caller owns it and ends it by lathe_cache_free. */
LATHE_API lathe_cache *lathe_cache_create(const lathe_model *model,
                                          int64_t batch, int64_t max_context);

/** Ends a cache. NULL is allowed. */
LATHE_API void lathe_cache_free(lathe_cache *cache);

/** Positions that are filled. */
LATHE_API int64_t lathe_cache_length(const lathe_cache *cache);

/** Forgets all positions from `length` on; not 0 on error. */
LATHE_API int lathe_cache_truncate(lathe_cache *cache, int64_t length);

#ifdef __cplusplus
}
#endif

#endif /* LATHE_RUNTIME_LATHE_H */
