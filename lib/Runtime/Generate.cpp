//===- Generate.cpp - decoding with the KV cache -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Generate.h"

#include "lathe/Runtime/Checked.h"
#include "lathe/Runtime/Defaults.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

using namespace lathe::rt;

int lathe::rt::logitsOutput(const Entry &entry) {
  int found = -1;
  for (unsigned i = 0; i < entry.outputs.size(); ++i) {
    if (entry.outputs[i].name == "logits")
      return i;
    if (found < 0 && isFloat(entry.outputs[i].dtype))
      found = i;
  }
  return found;
}

int64_t lathe::rt::argmaxRow(const TensorView &logits, int64_t row) {
  int64_t count = logits.shape[logits.rank - 1];
  int64_t best = 0;
  float most = -__builtin_inff();
  for (int64_t i = 0; i < count; ++i) {
    float value = loadFloat(logits.dtype, logits.data, row * count + i);
    if (value > most) {
      most = value;
      best = i;
    }
  }
  return best;
}

//===----------------------------------------------------------------------===//
// One entry, fed with tokens
//===----------------------------------------------------------------------===//

/// The session of an entry and the buffers of its inputs, which are sized for
/// `maxRows` positions a run and a full cache.
struct Decoder::Feeder {
  std::unique_ptr<Session> session;
  int logits = -1;

  Status setUp(std::shared_ptr<const Program> program, const char *name,
               ThreadPool &pool);
  Status feed(KvCache &cache, std::vector<uint8_t> &validity,
              const int64_t *tokens, int64_t count, const int64_t *valid,
              int64_t logitsRows = 1);

private:
  Status setUpDims();
  Result<int64_t> inputBytes(unsigned input);
  Status reserve(unsigned input);
  void fill(unsigned input, const KvCache &cache,
            const std::vector<uint8_t> &validity, const int64_t *tokens,
            int64_t count);

  enum class Role { Batch, Sequence, Past, Capacity, Logits };
  std::vector<Role> roles; ///< by dim
  DimValues setDims;       ///< the rows of logits, where the entry has the dim
  std::vector<int64_t> dims;
  int64_t mostPast = 0; ///< length of the cache when the last run fits
  std::vector<std::vector<ExprCode>> shapeCodes; ///< by input
  std::vector<std::vector<int64_t>> shapes;
  std::vector<Pages> buffers;
  std::vector<TensorView> views;
};

Decoder::Decoder() = default;
Decoder::~Decoder() = default;

Session &Decoder::prefillSession() { return *prefillFeeder->session; }
Session &Decoder::decodeSession() { return *decodeFeeder->session; }

Status Decoder::Feeder::setUpDims() {
  const Entry &entry = session->entry();
  for (const std::string &dim : entry.dims) {
    if (dim == entry.roles.batch)
      roles.push_back(Role::Batch);
    else if (dim == entry.roles.sequence)
      roles.push_back(Role::Sequence);
    else if (dim == entry.roles.past)
      roles.push_back(Role::Past);
    else if (dim == entry.roles.capacity)
      roles.push_back(Role::Capacity);
    else if (dim == entry.roles.logits)
      roles.push_back(Role::Logits);
    else
      return Status::error("entry '" + entry.name + "' has the dim '" + dim +
                           "', which tokens do not decide");
  }
  dims.resize(roles.size());
  if (!entry.roles.logits.empty())
    setDims.emplace_back(entry.roles.logits, 1);
  return Status::ok();
}

Status Decoder::Feeder::setUp(std::shared_ptr<const Program> program,
                              const char *name, ThreadPool &pool) {
  if (!program->manifest().find(name))
    return Status::error(std::string("the model has no entry '") + name +
                         "': it cannot decode with a KV cache");
  Result<std::unique_ptr<Session>> made =
      Session::create(std::move(program), name, pool);
  if (made.failed())
    return made.takeStatus();
  session = std::move(*made);
  const Entry &entry = session->entry();
  if (Status status = setUpDims(); status.failed())
    return status;
  logits = logitsOutput(entry);
  if (logits < 0)
    return Status::error("entry '" + entry.name + "' has no logits");
  unsigned tokenInputs = 0;
  for (const ValueDecl &input : entry.inputs) {
    bool isTokens = inputKind(input.name) == InputKind::Other;
    tokenInputs += isTokens;
    if (inputKind(input.name) == InputKind::Past ||
        (isTokens && (isFloat(input.dtype) || input.shape.size() != 2)))
      return Status::error("entry '" + entry.name + "' has the input '" +
                           input.name + "', which tokens do not give");
    std::vector<ExprCode> &codes = shapeCodes.emplace_back();
    for (const Expr &dim : input.shape) {
      Result<ExprCode> code = ExprCode::compile(dim, entry.dims);
      if (code.failed())
        return code.takeStatus();
      codes.push_back(std::move(*code));
    }
    shapes.emplace_back(codes.size());
  }
  if (tokenInputs != 1)
    return Status::error("entry '" + entry.name + "' has " +
                         std::to_string(tokenInputs) +
                         " inputs that could be the tokens, not one");
  buffers.resize(entry.inputs.size());
  views.resize(entry.inputs.size());
  return Status::ok();
}

Result<int64_t> Decoder::Feeder::inputBytes(unsigned input) {
  const ValueDecl &decl = session->entry().inputs[input];
  std::vector<int64_t> &shape = shapes[input];
  for (size_t axis = 0; axis < shape.size(); ++axis)
    if (!shapeCodes[input][axis].evaluate(dims.data(), shape[axis]))
      return Status::error("input '" + decl.name + "' has no size");
  return tensorBytes(decl.dtype, shape.data(), shape.size());
}

/// Evaluates the shape of an input and makes sure that its buffer holds it, now
/// and with a full cache.
Status Decoder::Feeder::reserve(unsigned input) {
  Result<int64_t> bytes = inputBytes(input);
  if (bytes.failed())
    return bytes.takeStatus();
  if (*bytes > buffers[input].size()) {
    std::vector<int64_t> now = dims;
    for (size_t i = 0; i < roles.size(); ++i)
      if (roles[i] == Role::Past)
        dims[i] = mostPast;
    Result<int64_t> later = inputBytes(input);
    dims = now;
    if (later.failed())
      return later.takeStatus();
    Result<Pages> pages = Pages::allocate(std::max(*bytes, *later));
    if (pages.failed())
      return pages.takeStatus();
    buffers[input] = std::move(*pages);
    bytes = inputBytes(input);
  }
  views[input] = {session->entry().inputs[input].dtype, shapes[input].data(),
                  unsigned(shapes[input].size()), buffers[input].data()};
  return bytes.failed() ? bytes.takeStatus() : Status::ok();
}

void Decoder::Feeder::fill(unsigned input, const KvCache &cache,
                           const std::vector<uint8_t> &validity,
                           const int64_t *tokens, int64_t count) {
  const TensorView &view = views[input];
  switch (inputKind(session->entry().inputs[input].name)) {
  case InputKind::PositionIds:
    return fillPositions(view, cache.length());
  case InputKind::TokenTypeIds:
    return fillConstant(view, 0);
  case InputKind::AttentionMask: {
    int64_t total = view.rank == 2 ? view.shape[1] : 0;
    if (total != cache.length() + count || view.shape[0] != cache.batch())
      return fillConstant(view, 1);
    for (int64_t b = 0; b < cache.batch(); ++b)
      for (int64_t j = 0; j < total; ++j)
        storeNumber(view.dtype, view.data, b * total + j,
                    validity[b * cache.capacity() + j]);
    return;
  }
  default:
    for (int64_t i = 0, n = cache.batch() * count; i < n; ++i)
      storeNumber(view.dtype, view.data, i, tokens[i]);
  }
}

Status Decoder::Feeder::feed(KvCache &cache, std::vector<uint8_t> &validity,
                             const int64_t *tokens, int64_t count,
                             const int64_t *valid, int64_t logitsRows) {
  if (Status status = cache.checkRoom(count); status.failed())
    return status;
  int64_t past = cache.length();
  mostPast = cache.capacity() - count;
  for (int64_t b = 0; b < cache.batch(); ++b)
    for (int64_t i = 0; i < count; ++i)
      validity[b * cache.capacity() + past + i] =
          valid ? valid[b * count + i] != 0 : 1;
  for (size_t i = 0; i < roles.size(); ++i)
    dims[i] = roles[i] == Role::Batch      ? cache.batch()
              : roles[i] == Role::Sequence ? count
              : roles[i] == Role::Past     ? past
              : roles[i] == Role::Capacity ? cache.capacity()
                                           : logitsRows;
  for (auto &[name, value] : setDims)
    value = logitsRows;
  const Entry &entry = session->entry();
  for (unsigned i = 0; i < entry.inputs.size(); ++i) {
    if (Status status = reserve(i); status.failed())
      return status;
    // An entry of fixed length takes that many tokens and no others.
    if (inputKind(entry.inputs[i].name) == InputKind::Other &&
        views[i].elements() != cache.batch() * count)
      return Status::error("entry '" + entry.name + "' takes tokens of shape " +
                           shapeText(views[i].shape, 2) + ", not " +
                           std::to_string(cache.batch()) + " x " +
                           std::to_string(count));
    fill(i, cache, validity, tokens, count);
  }
  if (Status status = session->bind(views, {}, &cache, setDims);
      status.failed())
    return status;
  return session->run();
}

//===----------------------------------------------------------------------===//
// Decoder
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<Decoder>>
Decoder::create(std::shared_ptr<const Program> program, ThreadPool &pool,
                int64_t batch, int64_t maxContext) {
  std::unique_ptr<Decoder> decoder(new Decoder);
  decoder->prefillFeeder = std::make_unique<Feeder>();
  decoder->decodeFeeder = std::make_unique<Feeder>();
  decoder->batch = batch;
  if (Status status = decoder->prefillFeeder->setUp(program, "prefill", pool);
      status.failed())
    return status;
  if (Status status = decoder->decodeFeeder->setUp(program, "decode", pool);
      status.failed())
    return status;
  if (Status status = decoder->makeCache(maxContext); status.failed())
    return status;
  return decoder;
}

Status Decoder::makeCache(int64_t maxContext) {
  // The old one's memory first.
  kvCache.reset();
  Result<std::unique_ptr<KvCache>> cache =
      KvCache::create(decodeSession().entry(), batch, maxContext);
  if (cache.failed())
    return cache.takeStatus();
  kvCache = std::move(*cache);
  int64_t positions;
  if (!checkedMul(batch, maxContext, positions))
    return Status::error("the context is too large");
  validity.resize(positions);
  return Status::ok();
}

Status Decoder::restart(int64_t maxContext) {
  if (!kvCache || kvCache->capacity() != maxContext)
    return makeCache(maxContext);
  kvCache->truncate(0);
  return Status::ok();
}

Status Decoder::prefill(const int64_t *tokens, int64_t count,
                        const int64_t *valid, int64_t logitsRows) {
  last = prefillFeeder.get();
  return prefillFeeder->feed(*kvCache, validity, tokens, count, valid,
                             logitsRows);
}

Status Decoder::step(const int64_t *tokens, const int64_t *valid) {
  last = decodeFeeder.get();
  return decodeFeeder->feed(*kvCache, validity, tokens, 1, valid);
}

TensorView Decoder::logits() const {
  return last->session->output(last->logits);
}

//===----------------------------------------------------------------------===//
// Generation
//===----------------------------------------------------------------------===//

double Generation::medianDecodeMs() const {
  if (decodeMs.empty())
    return 0;
  std::vector<double> sorted = decodeMs;
  auto middle = sorted.begin() + sorted.size() / 2;
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

double Generation::meanDecodeMs() const {
  if (decodeMs.empty())
    return 0;
  return std::accumulate(decodeMs.begin(), decodeMs.end(), 0.0) /
         decodeMs.size();
}

static double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now() - start)
      .count();
}

/// The token with the largest logit at the last position fed.
static Result<int64_t> lastToken(const Decoder &decoder) {
  TensorView logits = decoder.logits();
  if (logits.rank < 2 || logits.elements() == 0)
    return Status::error("the model gives no logits");
  int64_t rows = logits.elements() / logits.shape[logits.rank - 1];
  return argmaxRow(logits, rows - 1);
}

/// Bytes of weights that a step did not read on average, because all rows
/// skipped their stage.
static uint64_t unreadBytes(const Program &program, const Entry &entry,
                            const SkipCounts &skips) {
  double bytes = 0;
  for (size_t i = 0; i < entry.stages.size(); ++i)
    for (uint32_t part : entry.stages[i].parts)
      bytes += double(skips.idle[i]) * program.manifest().parts[part].bytes;
  return skips.runs > 0 ? bytes / skips.runs : 0;
}

/// Makes the decoder, or sets the one of the last run back.
Status Generator::start(int64_t context) {
  if (decoder) {
    decoder->decodeSession().resetSkipCounts();
    return decoder->restart(context);
  }
  Result<std::unique_ptr<Decoder>> made =
      Decoder::create(program, pool, 1, context);
  if (made.failed())
    return made.takeStatus();
  decoder = std::move(*made);
  streamedBytes = program->streamedBytes(decoder->decodeSession().entry());
  return Status::ok();
}

Status Generator::decode(const int64_t *prompt, int64_t count,
                         const GenerateOptions &options) {
  auto start = std::chrono::steady_clock::now();
  if (Status status = decoder->prefill(prompt, count); status.failed())
    return status;
  decoder->decodeSession().setPromptLength(count);
  for (int64_t i = 0; i < options.count; ++i) {
    Result<int64_t> token = lastToken(*decoder);
    if (token.failed())
      return token.takeStatus();
    if (i == 0)
      result.prefillMs = since(start);
    else
      result.decodeMs.push_back(since(start));
    result.tokens.push_back(*token);
    if (options.onToken && !options.onToken(*token))
      break;
    if (i + 1 == options.count)
      break;
    start = std::chrono::steady_clock::now();
    if (Status status = decoder->step(&*token); status.failed())
      return status;
  }
  return Status::ok();
}

Result<const Generation *> Generator::run(const int64_t *prompt, int64_t count,
                                          const GenerateOptions &options) {
  if (count == 0)
    return Status::error("generation needs at least one token to start from");
  if (options.count < 0)
    return Status::error("cannot generate " + std::to_string(options.count) +
                         " tokens");
  // The last new token is never fed.
  int64_t needed;
  if (!checkedAdd<int64_t>(count, std::max<int64_t>(options.count, 1) - 1,
                           needed))
    return Status::error("too many tokens");
  int64_t context = options.maxContext > 0 ? options.maxContext : needed;
  if (Status status = start(context); status.failed())
    return status;

  result.prefillMs = 0;
  result.tokens.clear();
  result.decodeMs.clear();
  // No more than the context has room for, so that steps allocate nothing.
  result.tokens.reserve(std::min(options.count, context));
  result.decodeMs.reserve(std::min(options.count, context));
  if (Status status = decode(prompt, count, options); status.failed())
    return status;

  const Entry &entry = decoder->decodeSession().entry();
  int64_t middle = (count + decoder->cache().length()) / 2;
  result.skips = decoder->decodeSession().skipCounts();
  result.bytesPerToken = streamedBytes -
                         unreadBytes(*program, entry, result.skips) +
                         middle * decoder->cache().bytesPerPosition();
  return &result;
}

Result<Generation> lathe::rt::generate(std::shared_ptr<const Program> program,
                                       ThreadPool &pool,
                                       const std::vector<int64_t> &prompt,
                                       const GenerateOptions &options) {
  Generator generator(std::move(program), pool);
  Result<const Generation *> result =
      generator.run(prompt.data(), prompt.size(), options);
  if (result.failed())
    return result.takeStatus();
  return **result;
}
