//===- Session.cpp - tests of programs and sessions -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-session-test DIR DATA.npz   tests the toy model (Inputs/toy.py)
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Session.h"
#include "Check.h"
#include "lathe/Runtime/File.h"
#include "lathe/Runtime/Npz.h"

#include <cmath>
#include <cstring>
#include <new>
#include <thread>

using namespace lathe::rt;

/// Counts what goes through operator new, to see that nothing does.
static std::atomic<int64_t> allocations{0};
void *operator new(size_t bytes) {
  ++allocations;
  void *memory = std::malloc(bytes);
  if (!memory)
    std::abort();
  return memory;
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }

using Tokens = std::vector<int64_t>;

static bool near(const TensorView &have, const Tensor &want) {
  if (have.rank != want.rank() ||
      !std::equal(want.shape().begin(), want.shape().end(), have.shape))
    return false;
  for (int64_t i = 0; i < want.elements(); ++i)
    if (!(std::fabs(static_cast<float *>(have.data)[i] - want.as<float>()[i]) <
          1e-4))
      return false;
  return true;
}

static std::vector<float> floats(const TensorView &tensor) {
  const float *data = static_cast<float *>(tensor.data);
  return {data, data + tensor.elements()};
}

static Tensor tensorOf(Tokens &tokens) {
  return Tensor::over(DType::I64, {1, int64_t(tokens.size())}, tokens.data(),
                      nullptr);
}

/// A stage table of one entry, bound to one sequence.
struct Case {
  std::unique_ptr<Session> session;
  Tokens tokens, ones;
  TensorMap inputs;

  Case(std::shared_ptr<const Program> program, const char *entry,
       ThreadPool &pool, Tokens sequence, int64_t past = 0,
       bool keepValues = false)
      : tokens(std::move(sequence)), ones(past + tokens.size(), 1) {
    session =
        take(Session::create(std::move(program), entry, pool, {keepValues}));
    inputs.tensors["input_ids"] = tensorOf(tokens);
    inputs.tensors["attention_mask"] = tensorOf(ones);
    for (const char *name : {"past.0.key", "past.0.value"})
      inputs.tensors[name] = take(Tensor::zeros(DType::F32, {1, 2, past, 4}));
  }
};

static void testReference(std::shared_ptr<const Program> program,
                          const TensorMap &data) {
  for (unsigned threads : {1, 3}) {
    std::unique_ptr<ThreadPool> pool = take(ThreadPool::create(threads));
    auto session = take(Session::create(program, "plain", *pool));
    checkOk(session->bind(data));
    for (int i = 0; i < 2; ++i) {
      checkOk(session->run());
      for (unsigned out = 0; out < 3; ++out)
        CHECK(near(session->output(out),
                   *data.find(session->entry().outputs[out].name)));
      CHECK(std::memcmp(session->output(3).data, data.find("ids")->data(),
                        80) == 0);
    }
  }
}

static void testNoAllocation(std::shared_ptr<const Program> program,
                             const TensorMap &data, ThreadPool &pool) {
  auto session = take(Session::create(program, "plain", pool));
  std::vector<TensorView> views;
  for (const ValueDecl &input : session->entry().inputs)
    views.push_back(data.find(input.name)->view());
  std::vector<void *> outputs;
  DimValues dims;
  checkOk(session->bind(views, outputs, nullptr, dims));
  checkOk(session->run());
  int64_t before = allocations;
  for (int i = 0; i < 10; ++i) {
    checkOk(session->bind(views, outputs, nullptr, dims));
    checkOk(session->run());
  }
  CHECK(allocations == before);

  // Decoding to the end of the context: one plan serves all lengths.
  auto decode = take(Session::create(program, "decode", pool));
  auto cache = take(KvCache::create(decode->entry(), 1, 100));
  Tokens token = {3}, ones(100, 1);
  int64_t tokenShape[] = {1, 1}, maskShape[] = {1, 1};
  std::vector<TensorView> step = {{DType::I64, tokenShape, 2, token.data()},
                                  {DType::I64, maskShape, 2, ones.data()}};
  for (int64_t past = 0; past < 100; ++past) {
    maskShape[1] = past + 1;
    if (past == 1)
      before = allocations;
    checkOk(decode->bind(step, outputs, cache.get(), dims));
    checkOk(decode->run());
    CHECK(cache->length() == past + 1);
  }
  CHECK(allocations == before);
  maskShape[1] = 101;
  checkFails(decode->bind(step, outputs, cache.get(), dims),
             "the context is full: 100 positions are used and 1 more do not "
             "fit into the 100 of the KV cache; raise --max-context");
}

/// Prefill and decode give what plain gives on the whole sequence.
static void testCache(std::shared_ptr<const Program> program,
                      ThreadPool &pool) {
  Case plain(program, "plain", pool, {1, 5, 2, 7, 0, 3});
  checkOk(plain.session->bind(plain.inputs));
  checkOk(plain.session->run());
  std::vector<float> want = floats(plain.session->output(0));

  auto cache = take(KvCache::create(*take(program->entry("prefill")), 1, 6));
  CHECK(cache->bytesPerPosition() == 2 * 8 * 4);
  Case prefill(program, "prefill", pool, {1, 5, 2, 7});
  checkOk(prefill.session->bind(prefill.inputs, cache.get()));
  checkOk(prefill.session->run());
  std::vector<float> have = floats(prefill.session->output(0));
  CHECK(std::equal(have.begin(), have.end(), want.begin() + 3 * 8));
  for (int64_t step = 4; step < 6; ++step) {
    Case decode(program, "decode", pool, {plain.tokens[step]}, step);
    checkOk(decode.session->bind(decode.inputs, cache.get()));
    checkOk(decode.session->run());
    have = floats(decode.session->output(0));
    CHECK(std::equal(have.begin(), have.end(), want.begin() + step * 8));
  }

  // The cache now holds the present tensors of plain, and takes them back.
  TensorMap present = take(cache->exportPresent());
  for (unsigned out : {1, 2})
    CHECK(near(plain.session->output(out),
               *present.find(plain.session->entry().outputs[out].name)));
  TensorMap past;
  past.tensors["past.0.key"] = *present.find("present.0.key");
  past.tensors["past.0.value"] = *present.find("present.0.value");
  auto other = take(KvCache::create(*take(program->entry("prefill")), 1, 9));
  checkOk(other->importPast(past));
  CHECK(other->length() == 6);
  CHECK(near(take(other->exportPresent()).find("present.0.key")->view(),
             *present.find("present.0.key")));
  auto small = take(KvCache::create(*take(program->entry("prefill")), 1, 5));
  checkFails(small->importPast(past), "more than the 5 of the KV cache");
  auto two = take(KvCache::create(*take(program->entry("prefill")), 2, 9));
  checkFails(two->importPast(past), "the cache has batch 2, 2 heads of 4");
  past.tensors.erase("past.0.value");
  checkFails(other->importPast(past), "'past.0.value' is missing");
  checkFails(
      KvCache::create(*take(program->entry("prefill")), 1, int64_t(1) << 60),
      "too large");
  cache->truncate(2);
  CHECK(cache->length() == 2);
}

static void testSkipSwapHookSnapshot(std::shared_ptr<const Program> program,
                                     ThreadPool &pool) {
  auto cache = take(KvCache::create(*take(program->entry("prefill")), 1, 8));
  Case run(program, "prefill", pool, {4, 1, 6}, 0, /*keepValues=*/true);
  Session &session = *run.session;
  Ref x = {Ref::Kind::Value, 0}, y = {Ref::Kind::Value, 1};
  checkOk(session.bind(run.inputs, cache.get()));
  std::vector<unsigned> seen;
  session.setStageHook([&](unsigned stage, double seconds) {
    CHECK(seconds >= 0 && seconds < 60);
    seen.push_back(stage);
  });
  checkOk(session.run(0, 3));
  CHECK(seen == std::vector<unsigned>{0, 1, 2});
  CHECK(cache->length() == 0);
  std::vector<float> whole = floats(session.output(0));

  // A suffix from a snapshot, with stage 1 skipped and run again.
  checkOk(session.run(0, 1));
  Session::Snapshot before = session.save(1);
  checkOk(session.setSkipped(1, true));
  checkOk(session.run(1, 3));
  CHECK(floats(session.view(y)) == floats(session.view(x)));
  CHECK(floats(session.output(0)) != whole);
  std::memset(session.view(x).data, 0, session.view(x).bytes());
  session.restore(before);
  checkOk(session.setSkipped(1, false));
  checkOk(session.run(1, 3));
  CHECK(floats(session.output(0)) == whole);
  checkFails(session.setSkipped(0, true), "cannot be skipped");

  // Another scale of the values.
  alignas(64) float scale = 3;
  session.setPart(1, 0, &scale);
  checkOk(session.run(1, 3));
  CHECK(floats(session.output(0)) != whole);
  session.setPart(1, 0, nullptr);
  checkOk(session.run(1, 3));
  CHECK(floats(session.output(0)) == whole);
  TensorView key = session.view({Ref::Kind::CacheKey, 0});
  CHECK(key.rank == 4 && key.shape[2] == 8 && key.data == cache->key(0));
  CHECK(session.dim(2) == 3);
}

static void testUserBuffers(std::shared_ptr<const Program> program,
                            const TensorMap &data, ThreadPool &pool) {
  auto session = take(Session::create(program, "plain", pool));
  checkOk(session->bind(data));
  int64_t full = session->arenaBytes();
  std::vector<TensorView> views;
  for (const ValueDecl &input : session->entry().inputs)
    views.push_back(data.find(input.name)->view());
  std::vector<float> logits(80), key(2 * 2 * 8 * 4), value(key.size());
  std::vector<int64_t> ids(10);
  std::vector<void *> outputs = {logits.data(), key.data(), value.data(),
                                 ids.data()};
  checkOk(session->bind(views, outputs));
  checkOk(session->run());
  CHECK(near(session->output(0), *data.find("logits")));
  CHECK(session->output(0).data == logits.data());
  CHECK(std::memcmp(ids.data(), data.find("ids")->data(), 80) == 0);
  // Back to own memory.
  checkOk(session->bind(views));
  checkOk(session->run());
  CHECK(near(session->output(0), *data.find("logits")));
  CHECK(session->arenaBytes() == full);

  outputs[0] = reinterpret_cast<char *>(logits.data()) + 1;
  checkFails(session->bind(views, outputs), "output 'logits' is not aligned");
  checkFails(session->run(), "no inputs bound");
  views[0].data = static_cast<char *>(views[0].data) + 4;
  checkFails(session->bind(views), "input 'input_ids' is not aligned");
  views[0].data = nullptr;
  checkFails(session->bind(views), "input 'input_ids' has no data");
  views.pop_back();
  checkFails(session->bind(views), "has 4 inputs and 4 outputs");
}

/// Sessions of several threads take turns in one pool.
static void testThreads(std::shared_ptr<const Program> program,
                        const TensorMap &data, ThreadPool &pool) {
  auto work = [&] {
    auto session = take(Session::create(program, "plain", pool));
    checkOk(session->bind(data));
    for (int i = 0; i < 300; ++i) {
      checkOk(session->run());
      CHECK(near(session->output(0), *data.find("logits")));
    }
  };
  std::thread first(work), second(work), third(work);
  first.join();
  second.join();
  third.join();
}

static void testErrors(std::shared_ptr<const Program> program,
                       ThreadPool &pool) {
  checkFails(
      Session::create(program, "verify", pool),
      "there is no entry 'verify'; the model has plain, prefill, decode");
  Case plain(program, "plain", pool, {1, 2, 3});
  auto cache = take(KvCache::create(*take(program->entry("prefill")), 1, 8));
  checkFails(plain.session->bind(plain.inputs, cache.get()),
             "entry 'plain' takes no KV cache");
  checkFails(Case(program, "decode", pool, {1}).session->bind(plain.inputs),
             "entry 'decode' needs a KV cache");
  checkFails(plain.session->bind(plain.inputs, nullptr, {{"total", 9}}),
             "dim 'total' is set to 9");

  Tokens bad = {1, 8, 2};
  plain.inputs.tensors["input_ids"] = tensorOf(bad);
  checkOk(plain.session->bind(plain.inputs));
  checkFails(plain.session->run(), "stage 'embed': the data contain the index "
                                   "8, which is outside its axis");
  bad[1] = 7;
  checkOk(plain.session->run());

  plain.inputs.tensors["input_ids"] = take(Tensor::zeros(DType::I32, {1, 3}));
  checkFails(plain.session->bind(plain.inputs),
             "input 'input_ids' is i32, but the model takes i64");
  plain.inputs.tensors.erase("input_ids");
  plain.inputs.tensors.erase("past.0.key");
  checkFails(plain.session->bind(plain.inputs),
             "inputs are missing: input_ids, past.0.key");
  plain.inputs.unusable["input_ids"] = "is an array of records";
  checkFails(plain.session->bind(plain.inputs), "is an array of records");

  Case tooLong(program, "plain", pool, Tokens(65, 1));
  checkFails(tooLong.session->bind(tooLong.inputs),
             "at most 64 positions (past + seq must be at most 64");
  Case none(program, "plain", pool, {});
  checkOk(none.session->bind(none.inputs));
  checkOk(none.session->run());
  CHECK(none.session->output(0).elements() == 0);
}

/// The manifest in memory with a resolver: what the compiler does.
static void testInMemory(std::shared_ptr<const Program> loaded,
                         const TensorMap &data, ThreadPool &pool) {
  const Manifest &manifest = loaded->manifest();
  std::vector<const void *> parts;
  for (unsigned i = 0; i < manifest.parts.size(); ++i)
    parts.push_back(loaded->part(i));
  auto resolver = [&](const std::string &symbol) -> void * {
    for (const Entry &entry : manifest.entries)
      for (size_t i = 0; i < entry.stages.size(); ++i) {
        const Program::StageCode &code = loaded->code(entry)[i];
        if (symbol == entry.stages[i].function)
          return reinterpret_cast<void *>(code.run);
        if (symbol == entry.stages[i].function + "_scratch")
          return reinterpret_cast<void *>(code.scratch);
      }
    return nullptr;
  };
  auto program = take(Program::create(manifest, resolver, parts, nullptr));
  CHECK(program->streamedBytes(program->manifest().entries[0]) == 260);
  auto session = take(Session::create(program, "plain", pool));
  checkOk(session->bind(data));
  checkOk(session->run());
  CHECK(near(session->output(0), *data.find("logits")));

  Manifest broken = manifest;
  broken.entries[0].stages[0].function = "missing";
  checkFails(Program::create(broken, resolver, parts, nullptr),
             "entry 'plain', stage 'embed': function 'missing' does not exist");
  checkFails(Program::create(manifest, resolver, parts[0], 8, nullptr),
             "lies outside the 8 bytes of weights");
  parts.pop_back();
  checkFails(Program::create(manifest, resolver, parts, nullptr),
             "has 2 parts of weights, not 1");

  // JSON and back.
  std::string text = manifestToJson(manifest);
  Manifest again = take(parseManifest(text, "again"));
  CHECK(manifestToJson(again) == text);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  TensorMap data = take(readNpz(argv[2]));
  Program::LoadOptions options;
  options.verifyWeights = true;
  auto program = take(Program::load(std::string(argv[1]) + "//", options));
  std::unique_ptr<ThreadPool> pool = take(ThreadPool::create(2));
  testReference(program, data);
  testNoAllocation(program, data, *pool);
  testCache(program, *pool);
  testSkipSwapHookSnapshot(program, *pool);
  testUserBuffers(program, data, *pool);
  testThreads(program, data, *pool);
  testErrors(program, *pool);
  testInMemory(program, data, *pool);
  take(Program::load(argv[1], {false, "scalar"}));
  take(Program::load(argv[1], {false, "native"}));
  checkFails(Program::load(argv[1], {false, "avx2048"}),
             "no code of level 'avx2048' can be run: the folder has scalar, "
             "this machine runs");
  return 0;
}
