//===- Evaluate.cpp - tests of scores and of the decoder ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-evaluate-test DIR DATA.npz   evaluates the toy model by all three
//                                         entries and prints what toy.py prints
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Evaluate.h"
#include "Check.h"
#include "lathe/Runtime/Generate.h"
#include "lathe/Runtime/Npz.h"

#include <cmath>

using namespace lathe::rt;

static void testClasses(ThreadPool &pool) {
  float logits[] = {0, 1, 2, /**/ 5, 1, 1, /**/ 0, 0, 0};
  int64_t shape[] = {3, 3}, labels[] = {2, 1, 0, -1};
  TensorView view{DType::F32, shape, 2, logits};
  Tensor y = Tensor::over(DType::I64, {4}, labels, nullptr);
  Score score;
  checkOk(score.add(view, y, 0, 3, pool));
  // A tie goes to the first; a negative label does not count.
  CHECK(score.labels() == 3 && std::fabs(score.top1() - 200.0 / 3) < 1e-9);
  checkOk(score.add(view, y, 3, 1, pool));
  CHECK(score.labels() == 3);
  CHECK(score.argmax() == std::vector<int64_t>({2, 0, 0, -1}));
  Score other;
  checkOk(other.add(view, y, 1, 2, pool));
  CHECK(take(agreement(score, other)) == 50);
  checkFails(agreement(score, Score()), "not run on the same data");

  labels[0] = 3;
  checkFails(Score().add(view, y, 0, 3, pool), "a label of 3 or more");
  int64_t flat[] = {9};
  checkFails(Score().add({DType::F32, flat, 1, logits}, y, 0, 3, pool),
             "do not fit to 'y' of shape [4]");
  Tensor floats = Tensor::over(DType::F32, {4}, logits, nullptr);
  checkFails(Score().add(view, floats, 0, 3, pool), "'y' is f32, not i64");
  logits[1] = NAN;
  CHECK(argmaxRow(view, 0) == 2);
  CHECK(parseVia("verify").failed() && take(parseVia("decode")) == Via::Decode);
}

static void testErrors(std::shared_ptr<const Program> program, ThreadPool &pool,
                       TensorMap data) {
  EvaluateOptions options;
  TensorMap none;
  checkFails(evaluate(program, pool, none, options), "no array 'y'");
  data.tensors["attention_mask"] = data.find("y")->rows(0, 3);
  checkFails(evaluate(program, pool, data, options),
             "array 'attention_mask' has shape [3, 6], but 'y' has 7 items");
  data.tensors.erase("input_ids");
  data.tensors.erase("attention_mask");
  checkFails(evaluate(program, pool, data, options),
             "the data have none of the model's inputs");
}

static void testGenerate(std::shared_ptr<const Program> program,
                         ThreadPool &pool) {
  GenerateOptions options;
  checkFails(generate(program, pool, {}, options), "at least one token");
  options.count = 12;
  Generation result = take(generate(program, pool, {1, 2, 3}, options));
  CHECK(result.tokens.size() == 12 && result.decodeMs.size() == 11);
  // Two streamed parts of 260 bytes, and 8 positions of 64.
  CHECK(result.bytesPerToken == 260 + 8 * 64);
  std::printf("tokens ");
  for (size_t i = 0; i < result.tokens.size(); ++i)
    std::printf("%s%d", i ? "," : "", int(result.tokens[i]));
  std::printf("\n");
  int64_t seen = 0;
  options.onToken = [&](int64_t) { return ++seen < 4; };
  CHECK(take(generate(program, pool, {1}, options)).tokens.size() == 4);
  options.onToken = nullptr;
  options.count = 0;
  CHECK(take(generate(program, pool, {1}, options)).tokens.empty());
  options.count = 5;
  options.maxContext = 6;
  checkFails(generate(program, pool, {1, 2, 3}, options),
             "the context is full");
  options.maxContext = 7;
  CHECK(take(generate(program, pool, {1, 2, 3}, options)).tokens.size() == 5);
  options.maxContext = 2;
  checkFails(generate(program, pool, {1, 2, 3}, options),
             "0 positions are used and 3 more do not fit into the 2");

  // What a generator keeps is memory alone: after a run of another size, one
  // with an error and one that was ended, runs are as new.
  Generator generator(program, pool);
  const int64_t prompt[] = {1, 2, 3};
  options = GenerateOptions();
  options.count = 2;
  take(generator.run(prompt, 1, options));
  options.maxContext = 2;
  checkFails(generator.run(prompt, 3, options), "the context is full");
  options = GenerateOptions();
  options.count = 12;
  options.onToken = [](int64_t) { return false; };
  CHECK(take(generator.run(prompt, 3, options))->tokens.size() == 1);
  options.onToken = nullptr;
  for (int i = 0; i < 2; ++i) {
    const Generation &again = *take(generator.run(prompt, 3, options));
    CHECK(again.tokens == result.tokens && again.decodeMs.size() == 11);
    CHECK(again.bytesPerToken == result.bytesPerToken);
    CHECK(again.skips.runs == result.skips.runs);
  }
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  std::unique_ptr<ThreadPool> pool = take(ThreadPool::create(2));
  testClasses(*pool);
  auto program = take(Program::load(argv[1]));
  TensorMap data = take(readNpz(argv[2]));
  testErrors(program, *pool, data);

  EvaluateOptions options;
  Evaluation plain = take(evaluate(program, *pool, data, options));
  CHECK(plain.tokens && plain.items == 7 && plain.score.labels() == 41);
  options.batch = 3; // does not divide 7
  options.via = Via::Decode;
  int64_t reported = 0;
  options.progress = [&](int64_t done, int64_t) { reported = done; };
  Evaluation decode = take(evaluate(program, *pool, data, options));
  CHECK(reported == 7);
  CHECK(std::fabs(decode.score.meanBits() - plain.score.meanBits()) < 1e-6);
  CHECK(take(agreement(plain.score, decode.score)) == 100);
  options.via = Via::Prefill;
  Evaluation prefill = take(evaluate(program, *pool, data, options));
  CHECK(prefill.score.labels() == 7);
  CHECK(take(agreement(plain.score, prefill.score)) == 100);
  options.limit = 2;
  CHECK(take(evaluate(program, *pool, data, options)).items == 2);

  std::printf("bits %.4f last %.4f top1 %.2f\n", plain.score.meanBits(),
              prefill.score.meanBits(), plain.score.top1());
  testGenerate(program, *pool);
  return 0;
}
