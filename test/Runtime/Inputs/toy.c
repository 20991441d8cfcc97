//===- toy.c - stages of a toy language model -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Three stages per entry, written by hand against Abi.h: an embedding of 8
// tokens in 8 channels, an attention of 2 heads of 4 channels whose weights are
// 1 / (1 + |q - k|^2), and the tied head, which wants token t + 3 after token
// t. toy.py computes the same in numpy.
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Abi.h"

enum { Vocab = 8, Heads = 2, HeadDim = 4, Channels = 8 };

/// Everything that a row of attention needs.
struct Attention {
  const float *x;      // [batch, seq, 8]
  const int64_t *mask; // [batch, past + seq]
  float *y;
  const float *pastKey, *pastValue; // [batch, 2, pastStride, 4]
  float *key, *value; // [batch, 2, stride, 4], written at past .. past + seq
  int64_t batch, seq, past, pastStride, stride;
  float scale; // of the values, a weight of this stage
};

static void attendRows(void *closure, int64_t begin, int64_t end) {
  const struct Attention *a = closure;
  for (int64_t row = begin; row < end; ++row) {
    int64_t b = row / a->seq, i = row % a->seq;
    const float *x = a->x + row * Channels;
    float *y = a->y + row * Channels;
    for (int h = 0; h < Heads; ++h) {
      const float *q = x + h * HeadDim;
      float sum = 0, acc[HeadDim] = {0};
      for (int64_t j = 0; j <= a->past + i; ++j) {
        if (!a->mask[b * (a->past + a->seq) + j])
          continue;
        const float *k = a->key + ((b * Heads + h) * a->stride + j) * HeadDim;
        const float *v = a->value + ((b * Heads + h) * a->stride + j) * HeadDim;
        float distance = 1;
        for (int c = 0; c < HeadDim; ++c)
          distance += (q[c] - k[c]) * (q[c] - k[c]);
        sum += 1 / distance;
        for (int c = 0; c < HeadDim; ++c)
          acc[c] += v[c] / distance;
      }
      for (int c = 0; c < HeadDim; ++c)
        y[h * HeadDim + c] = q[c] + (sum == 0 ? 0 : acc[c] / sum);
    }
  }
}

static void attend(lathe_ctx *ctx, struct Attention *a) {
  for (int64_t b = 0; b < a->batch; ++b)
    for (int h = 0; h < Heads; ++h)
      for (int64_t j = 0; j < a->past + a->seq; ++j)
        for (int c = 0; c < HeadDim; ++c) {
          int64_t at = ((b * Heads + h) * a->stride + j) * HeadDim + c;
          if (j >= a->past) {
            float x =
                a->x[(b * a->seq + j - a->past) * Channels + h * HeadDim + c];
            a->key[at] = x;
            a->value[at] = a->scale * x;
          } else if (a->pastKey != a->key) {
            int64_t from = ((b * Heads + h) * a->pastStride + j) * HeadDim + c;
            a->key[at] = a->pastKey[from];
            a->value[at] = a->pastValue[from];
          }
        }
  ctx->parallel_for(ctx, attendRows, a, a->batch * a->seq, 2);
}

static void embed(lathe_ctx *ctx, const float *table, const int64_t *ids,
                  float *x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    int64_t id = ids[i];
    if (id < 0 || id >= Vocab) {
      ctx->fail(ctx, LATHE_FAIL_INDEX, id);
      id = 0;
    }
    for (int c = 0; c < Channels; ++c)
      x[i * Channels + c] = table[id * Channels + c];
  }
}

static void head(const float *table, const float *y, float *logits,
                 int64_t rows) {
  for (int64_t row = 0; row < rows; ++row)
    for (int token = 0; token < Vocab; ++token) {
      float sum = 0;
      for (int c = 0; c < Channels; ++c)
        sum +=
            y[row * Channels + c] * table[(token + 5) % Vocab * Channels + c];
      logits[row * Vocab + token] = sum;
    }
}

#define ARG(type, number) ((type *)((char *)arena + dims[D + number]))
#define STAGE(name)                                                            \
  void name(__attribute__((unused)) lathe_ctx *ctx, const void *const *parts,  \
            void *arena, const int64_t *dims)

// plain: dims batch, past, seq.
#define D 3
STAGE(toy_embed_plain) {
  embed(ctx, parts[0], ARG(int64_t, 0), ARG(float, 1), dims[0] * dims[2]);
}
// x, mask, past key, past value -> y, present key, present value
STAGE(toy_attend_plain) {
  struct Attention a = {ARG(float, 0),
                        ARG(int64_t, 1),
                        ARG(float, 4),
                        ARG(float, 2),
                        ARG(float, 3),
                        ARG(float, 5),
                        ARG(float, 6),
                        dims[0],
                        dims[2],
                        dims[1],
                        dims[1],
                        dims[1] + dims[2],
                        *(const float *)parts[0]};
  // The scratch is tested by writing all of it.
  char *scratch = (char *)arena + dims[D + 7];
  for (int64_t i = 0; i < 4 * dims[0] * (dims[1] + dims[2]); ++i)
    scratch[i] = 1;
  attend(ctx, &a);
}
int64_t toy_attend_plain_scratch(const int64_t *dims) {
  return 4 * dims[0] * (dims[1] + dims[2]);
}
STAGE(toy_head_plain) {
  head(parts[0], ARG(float, 0), ARG(float, 1), dims[0] * dims[2]);
}
#undef D

// prefill: dims batch, past, seq, kv_capacity. Logits of the last row.
#define D 4
STAGE(toy_embed_prefill) {
  embed(ctx, parts[0], ARG(int64_t, 0), ARG(float, 1), dims[0] * dims[2]);
}
// x, mask, cache key, cache value -> y
STAGE(toy_attend_prefill) {
  struct Attention a = {ARG(float, 0),
                        ARG(int64_t, 1),
                        ARG(float, 4),
                        ARG(float, 2),
                        ARG(float, 3),
                        ARG(float, 2),
                        ARG(float, 3),
                        dims[0],
                        dims[2],
                        dims[1],
                        dims[3],
                        dims[3],
                        *(const float *)parts[0]};
  attend(ctx, &a);
}
STAGE(toy_head_prefill) {
  for (int64_t b = 0; b < dims[0]; ++b)
    head(parts[0], ARG(float, 0) + (b * dims[2] + dims[2] - 1) * Channels,
         ARG(float, 1) + b * Vocab, 1);
}
#undef D

// decode: dims batch, past, kv_capacity.
#define D 3
STAGE(toy_embed_decode) {
  embed(ctx, parts[0], ARG(int64_t, 0), ARG(float, 1), dims[0]);
}
STAGE(toy_attend_decode) {
  struct Attention a = {ARG(float, 0),
                        ARG(int64_t, 1),
                        ARG(float, 4),
                        ARG(float, 2),
                        ARG(float, 3),
                        ARG(float, 2),
                        ARG(float, 3),
                        dims[0],
                        1,
                        dims[1],
                        dims[2],
                        dims[2],
                        *(const float *)parts[0]};
  attend(ctx, &a);
}
int64_t toy_attend_decode_scratch(const int64_t *dims) { return 16 * dims[1]; }
STAGE(toy_head_decode) {
  head(parts[0], ARG(float, 0), ARG(float, 1), dims[0]);
}
#undef D
