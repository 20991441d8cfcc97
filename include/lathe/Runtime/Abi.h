/*===- Abi.h - what compiled stages and the runtime agree on -------*- C
-*-===*\
|*                                                                            *|
|* Part of the Lathe project, under the Apache License v2.0 with LLVM         *|
|* Exceptions.                                                                *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* The binary interface between generated code and whoever runs it. Stages    *|
|* are plain functions without undefined symbols: all that they need from the *|
|* outside comes through `lathe_ctx`. The layout here only grows at its end;  *|
|* LATHE_ABI_VERSION counts the changes and stands in every manifest.         *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef LATHE_RUNTIME_ABI_H
#define LATHE_RUNTIME_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of everything in this header. */
#define LATHE_ABI_VERSION 1

/** Alignment in bytes of arena values, of scratch, of KV buffers and of packed
 *  weight parts. Buffers that the user passes in (entry inputs and outputs) are
 *  aligned to their element size only. */
#define LATHE_ALIGNMENT 64

/** Stack that a stage or a body may use, in bytes, on any thread. */
#define LATHE_STAGE_STACK (1 << 20)

typedef struct lathe_ctx lathe_ctx;

/** One chunk of a parallel loop: iterations [begin, end). */
typedef void (*lathe_body)(void *closure, int64_t begin, int64_t end);

/** Reasons a stage can give to `fail`. */
enum lathe_fail_code {
  /** An index read from data lies outside its axis; `detail` is the index. The
   *  stage has clamped it, so that no memory outside is touched. */
  LATHE_FAIL_INDEX = 1,
  /** An integer division by zero; the stage has used 1 instead. */
  LATHE_FAIL_DIVISION = 2,
  /** A condition on data that the compiler relied on does not hold; `detail`
   *  is the number of the entry's assumption. */
  LATHE_FAIL_ASSUMPTION = 3
};

/** What a stage gets from the runtime. Field order is fixed for ever. */
struct lathe_ctx {
  /** Runs body(closure, b, e) for every chunk [k*grain, min(n, (k+1)*grain))
   *  with k*grain < n, exactly once each, in any order and on any thread, and
   *  returns when all have ended. The chunks depend on n and grain only, so
   *  results do not depend on the number of threads, and begin / grain is a
   *  stable number of the chunk (for scratch by chunk). A call from inside a
   *  body runs its chunks in order on the calling thread. n <= 0 does nothing;
   *  grain < 1 counts as 1. */
  void (*parallel_for)(lathe_ctx *ctx, lathe_body body, void *closure,
                       int64_t n, int64_t grain);

  /** Notes that the data broke a rule, callable from any thread; the stage goes
   *  on and the run reports the first note as its error. */
  void (*fail)(lathe_ctx *ctx, int64_t code, int64_t detail);
};

/** A stage. With D the number of the entry's dims and A the number of the
 *  stage's activation arguments (inputs first, then outputs):
 *    dims[0 .. D)      values of the dims, in the manifest's order
 *    dims[D .. D+A)    signed byte offset from `arena` of each argument; arena
 *                      values, the user's buffers and KV buffers are all
 *                      addressed this way
 *    dims[D+A]         byte offset from `arena` of the stage's scratch
 *    parts[p]          packed weight part p of this stage */
typedef void (*lathe_stage_fn)(lathe_ctx *ctx, const void *const *parts,
                               void *arena, const int64_t *dims);

/** Bytes of scratch that a stage wants, exported as `<stage>_scratch`; it may
 *  read dims[0 .. D) only. A stage without that symbol wants none. Not negative
 *  and not decreasing in any dim, so that a plan for a larger size serves the
 *  smaller ones. */
typedef int64_t (*lathe_scratch_fn)(const int64_t *dims);

#ifdef __cplusplus
}
#endif

#endif /* LATHE_RUNTIME_ABI_H */
