//===- c-api.c - uses the C API and a generated header --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "check.h"
#include "model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int lastErrorHas(const char *text) {
  if (strstr(lathe_last_error(), text))
    return 1;
  fprintf(stderr, "'%s' lacks '%s'\n", lathe_last_error(), text);
  return 0;
}

static void testTyped(lathe_model *model) {
  const int64_t ids[] = {1, 5, 2, 7};
  float logits[4 * 8], last[8];
  CHECK(model_plain(model, 1, 0, 4, ids, NULL, NULL, NULL, logits, NULL, NULL,
                    NULL) == 0);
  lathe_cache *cache = lathe_cache_create(model, 1, 4);
  CHECK(cache && lathe_cache_length(cache) == 0);
  CHECK(model_prefill(model, 1, 3, cache, ids, NULL, last) == 0);
  CHECK(lathe_cache_length(cache) == 3);
  CHECK(memcmp(last, logits + 2 * 8, sizeof last) == 0);
  CHECK(model_decode(model, 1, cache, ids + 3, NULL, last) == 0);
  CHECK(memcmp(last, logits + 3 * 8, sizeof last) == 0);
  CHECK(model_decode(model, 1, cache, ids, NULL, last) != 0);
  CHECK(lastErrorHas("the context is full"));
  CHECK(lathe_cache_truncate(cache, 5) != 0);
  CHECK(lathe_cache_truncate(cache, 3) == 0);
  CHECK(model_decode(model, 1, cache, ids + 3, NULL, last) == 0);
  CHECK(memcmp(last, logits + 3 * 8, sizeof last) == 0);
  lathe_cache_free(cache);

  int64_t tokens[6], again[6];
  CHECK(lathe_model_generate(model, ids, 4, tokens, 6, 0) == 6);
  CHECK(lathe_model_generate(model, ids, 4, again, 6, 5) == -1);
  CHECK(lastErrorHas("the context is full"));
  CHECK(lathe_model_generate(model, ids, 0, again, 6, 0) == -1);
  CHECK(lathe_model_generate(model, ids, 4, again, 6, 20) == 6);
  CHECK(memcmp(tokens, again, sizeof tokens) == 0);
}

static lathe_tensor inputOf(const char *name, void *data, int64_t bytes,
                            int32_t dtype, int32_t rank, const int64_t *shape) {
  lathe_tensor tensor = {
      sizeof(lathe_tensor), name, data, bytes, dtype, rank, shape, NULL};
  return tensor;
}

/// Runs `plain` on one input and fails with that message.
static void testRefused(lathe_model *model, lathe_tensor input,
                        const char *message) {
  lathe_tensor output = inputOf("logits", NULL, 0, 0, 0, NULL);
  CHECK(lathe_model_run(model, NULL, &input, 1, &output, 1) != 0);
  CHECK(lastErrorHas(message));
}

static void testRaw(lathe_model *model) {
  int64_t ids[] = {1, 5, 2, 7, 0}, shape[] = {2, 2}, strides[] = {2, 1},
          turned[] = {1, 2}, negative[] = {2, -2},
          huge[] = {1LL << 40, 1LL << 40};
  lathe_tensor input = inputOf("input_ids", ids, 32, LATHE_I64, 2, shape);
  lathe_tensor outputs[2] = {inputOf("logits", NULL, 0, 0, 0, NULL),
                             inputOf("ids", NULL, 0, 0, 0, NULL)};
  input.strides = strides;
  CHECK(lathe_model_run(model, NULL, &input, 1, outputs, 2) == 0);
  CHECK(outputs[0].rank == 3 && outputs[0].dtype == LATHE_F32 &&
        outputs[0].shape[0] == 2 && outputs[0].shape[2] == 8 &&
        outputs[0].bytes == 2 * 2 * 8 * 4);
  CHECK(memcmp(outputs[1].data, ids, 32) == 0);

  /* By place instead of name, into the caller's memory. */
  float logits[32];
  lathe_tensor output = inputOf(NULL, logits, sizeof logits, 0, 0, NULL);
  lathe_run_options options = {sizeof options, "plain", NULL, 0};
  input.name = NULL;
  CHECK(lathe_model_run(model, &options, &input, 1, &output, 1) == 0);
  output.bytes = sizeof logits - 1;
  CHECK(lathe_model_run(model, &options, &input, 1, &output, 1) != 0);
  CHECK(lastErrorHas("needs 128 bytes, but has memory for 127"));

  input = inputOf("input_ids", ids, 32, LATHE_I64, 2, shape);
  input.strides = turned;
  testRefused(model, input, "is not dense and row-major");
  testRefused(model, inputOf("input_ids", ids, 31, LATHE_I64, 2, shape),
              "has 31 bytes, but its shape needs 32");
  testRefused(model, inputOf("input_ids", ids, 32, LATHE_I32, 2, shape),
              "is i32, but the model takes i64");
  testRefused(model, inputOf("input_ids", ids, 32, 99, 2, shape),
              "no valid dtype");
  testRefused(model, inputOf("input_ids", ids, 32, LATHE_I64, 1, shape),
              "has shape [2], but the model takes [batch, seq]");
  testRefused(model, inputOf("input_ids", ids, 32, LATHE_I64, -1, shape),
              "no valid rank");
  testRefused(model, inputOf("input_ids", ids, 32, LATHE_I64, 2, NULL),
              "no valid rank");
  testRefused(model, inputOf("input_ids", ids, -1, LATHE_I64, 2, negative),
              "negative dim");
  testRefused(model, inputOf("input_ids", ids, -1, LATHE_I64, 2, huge),
              "too large");
  testRefused(model, inputOf("input_ids", NULL, 32, LATHE_I64, 2, shape),
              "has no data");
  testRefused(model,
              inputOf("input_ids", (char *)ids + 1, 32, LATHE_I64, 2, shape),
              "not aligned");
  testRefused(model, inputOf("tokens", ids, 32, LATHE_I64, 2, shape),
              "has no input 'tokens'");
  input.size = 8;
  testRefused(model, input, "does not give its struct's size");
  options.entry = "verify";
  CHECK(lathe_model_run(model, &options, NULL, 0, NULL, 0) != 0);
  CHECK(lastErrorHas("there is no entry 'verify'"));
  CHECK(lathe_model_run(NULL, NULL, NULL, 0, NULL, 0) != 0);
}

static void testLevels(const char *dir) {
  lathe_load_options options = {sizeof options, 1, 0, "scalar"};
  lathe_model *model = lathe_model_load(dir, &options);
  CHECK(model);
  lathe_model_free(model);
  options.level = "avx2";
  CHECK(!lathe_model_load(dir, &options));
  CHECK(lastErrorHas("no code of level 'avx2' can be run: the folder has "
                     "scalar"));
  /* A program of the time before there was a level. */
  options.size = offsetof(lathe_load_options, level);
  model = lathe_model_load(dir, &options);
  CHECK(model);
  lathe_model_free(model);
  options.size -= 1;
  CHECK(!lathe_model_load(dir, &options));
  CHECK(lastErrorHas("options without their size"));
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  CHECK(lathe_api_version() == LATHE_API_VERSION);
  CHECK(!lathe_model_load("nowhere", NULL));
  CHECK(lastErrorHas("nowhere: is not a compiled folder"));
  testLevels(argv[1]);
  lathe_load_options options = {sizeof options, 2, 1, NULL};
  lathe_model *model = lathe_model_load(argv[1], &options);
  CHECK(model);
  CHECK(strstr(lathe_model_manifest(model), "\"toy.onnx\""));
  testTyped(model);
  testRaw(model);
  lathe_model_free(model);
  lathe_model_free(NULL);
  return 0;
}
