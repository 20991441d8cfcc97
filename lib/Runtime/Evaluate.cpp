//===- Evaluate.cpp - quality of a model on labelled data -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Evaluate.h"

#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Generate.h"

#include <algorithm>
#include <chrono>
#include <cmath>

using namespace lathe::rt;

//===----------------------------------------------------------------------===//
// Score
//===----------------------------------------------------------------------===//

double Score::top1() const { return scored ? 100.0 * right / scored : 0; }
double Score::meanBits() const { return scored ? bits / scored : 0; }

namespace {
/// What one row of logits says of its label.
struct RowResult {
  int64_t best = -1;
  double bits = 0;
};
} // namespace

static RowResult scoreRow(const TensorView &logits, int64_t row,
                          int64_t label) {
  int64_t classes = logits.shape[logits.rank - 1];
  RowResult result;
  result.best = argmaxRow(logits, row);
  auto at = [&](int64_t index) {
    return loadFloat(logits.dtype, logits.data, row * classes + index);
  };
  float most = at(result.best);
  double sum = 0;
  for (int64_t i = 0; i < classes; ++i)
    sum += std::exp(at(i) - most);
  result.bits = (std::log(sum) + most - at(label)) / std::log(2.0);
  return result;
}

Status Score::add(const TensorView &logits, const Tensor &y, int64_t first,
                  int64_t count, ThreadPool &pool, int64_t positionEnd) {
  auto misfit = [&] {
    return Status::error(
        "logits of shape " + shapeText(logits.shape, logits.rank) +
        " do not fit to 'y' of shape " + shapeText(y.shape().data(), y.rank()));
  };
  if (y.dtype() != DType::I64 && y.dtype() != DType::I32)
    return Status::error(std::string("'y' is ") + dtypeName(y.dtype()) +
                         ", not i64");
  if (y.rank() < 1 || y.rank() > 2 || logits.rank != y.rank() + 1 ||
      logits.shape[0] < count)
    return misfit();
  int64_t positions = y.rank() == 2 ? y.shape()[1] : 1;
  int64_t rows = y.rank() == 2 ? logits.shape[1] : 1;
  int64_t classes = logits.shape[logits.rank - 1];
  int64_t end = positionEnd < 0 ? positions : positionEnd;
  if (rows > end || end > positions || classes == 0)
    return misfit();
  best.resize(y.elements(), -1);

  // One result per row, added up in order, so that sums do not depend on the
  // number of threads.
  std::vector<RowResult> results(count * rows);
  std::atomic<bool> badLabel{false};
  auto labelIndex = [&](int64_t row) {
    return (first + row / rows) * positions + end - rows + row % rows;
  };
  pool.parallelFor(count * rows, 8, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row) {
      int64_t label = loadInteger(y.dtype(), y.data(), labelIndex(row));
      if (label >= classes)
        badLabel = true;
      else if (label >= 0)
        results[row] = scoreRow(logits, row, label);
    }
  });
  if (badLabel)
    return Status::error("'y' has a label of " + std::to_string(classes) +
                         " or more, but the model has " +
                         std::to_string(classes) + " classes");
  for (int64_t row = 0; row < count * rows; ++row) {
    const RowResult &result = results[row];
    if (result.best < 0)
      continue;
    ++scored;
    right += result.best == loadInteger(y.dtype(), y.data(), labelIndex(row));
    bits += result.bits;
    best[labelIndex(row)] = result.best;
  }
  return Status::ok();
}

Result<double> lathe::rt::agreement(const Score &a, const Score &b) {
  if (a.argmax().size() != b.argmax().size())
    return Status::error("the two models were not run on the same data");
  int64_t both = 0, equal = 0;
  for (size_t i = 0; i < a.argmax().size(); ++i) {
    if (a.argmax()[i] < 0 || b.argmax()[i] < 0)
      continue;
    ++both;
    equal += a.argmax()[i] == b.argmax()[i];
  }
  if (both == 0)
    return Status::error("the two models have no scored position in common");
  return 100.0 * equal / both;
}

Result<Via> lathe::rt::parseVia(const std::string &name) {
  if (name == "plain")
    return Via::Plain;
  if (name == "prefill")
    return Via::Prefill;
  if (name == "decode")
    return Via::Decode;
  return Status::error("'" + name + "' is not one of plain, prefill, decode");
}

//===----------------------------------------------------------------------===//
// Running over the data
//===----------------------------------------------------------------------===//

namespace {
class Evaluator {
public:
  Evaluator(std::shared_ptr<const Program> program, ThreadPool &pool,
            const TensorMap &data, const EvaluateOptions &options)
      : program(std::move(program)), pool(pool), data(data), options(options) {}

  Result<Evaluation> run();

private:
  Status checkData(const Entry &entry);
  Status chooseBatch(const Entry &entry);
  Status makeDecoder();
  void collectSkips();
  Status runPlain(int64_t first, int64_t count);
  Status runCached(int64_t first, int64_t count);
  Status feedWindow(Decoder &decoder, int64_t first, int64_t count);
  Status feedTokens(Decoder &decoder, int64_t first, int64_t count);
  void copyRows(const Tensor &tensor, int64_t first, int64_t count,
                std::vector<int64_t> &copy) const;

  std::shared_ptr<const Program> program;
  ThreadPool &pool;
  const TensorMap &data;
  const EvaluateOptions &options;

  Evaluation result;
  const Tensor *y = nullptr, *tokens = nullptr, *mask = nullptr;
  int64_t items = 0, batch = 0;
  bool fixedBatch = false;
  std::unique_ptr<Session> session;
  std::unique_ptr<Decoder> decoder;
  std::vector<int64_t> tokenCopy, maskCopy;
};
} // namespace

/// All arrays that the entry takes have one row per item, as `y` has.
Status Evaluator::checkData(const Entry &entry) {
  y = data.find("y");
  if (!y || y->rank() < 1)
    return Status::error("the data have no array 'y' of labels");
  items = y->shape()[0];
  for (const ValueDecl &input : entry.inputs) {
    const Tensor *tensor = data.find(input.name);
    if (tensor && (tensor->rank() < 1 || tensor->shape()[0] != items))
      return Status::error("array '" + input.name + "' has shape " +
                           shapeText(tensor->shape().data(), tensor->rank()) +
                           ", but 'y' has " + std::to_string(items) + " items");
  }
  if (options.limit > 0)
    items = std::min(items, options.limit);
  if (items == 0)
    return Status::error("the data have no items");
  return Status::ok();
}

Status Evaluator::chooseBatch(const Entry &entry) {
  const ValueDecl *first = nullptr;
  for (const ValueDecl &input : entry.inputs)
    if (!first && data.find(input.name) && !input.shape.empty())
      first = &input;
  if (!first)
    return Status::error("the data have none of the model's inputs");
  const Expr &rows = first->shape[0];
  fixedBatch = rows.kind == Expr::Kind::Constant;
  if (fixedBatch && options.batch > 0 && options.batch != rows.value)
    return Status::error("the model has a fixed batch of " +
                         std::to_string(rows.value));
  if (fixedBatch && rows.value < 1)
    return Status::error("the model has a batch of 0");
  batch = fixedBatch ? rows.value : options.batch > 0 ? options.batch : 8;
  if (!fixedBatch)
    batch = std::min(batch, items);
  return Status::ok();
}

Status Evaluator::runPlain(int64_t first, int64_t count) {
  const Entry &entry = session->entry();
  TensorMap inputs;
  for (const ValueDecl &decl : entry.inputs) {
    const Tensor *tensor = data.find(decl.name);
    if (!tensor)
      continue;
    if (!fixedBatch || count == batch) {
      inputs.tensors[decl.name] = tensor->rows(first, first + count);
      continue;
    }
    // A fixed batch is filled up with rows whose results nobody reads.
    std::vector<int64_t> shape = tensor->shape();
    shape[0] = batch;
    Result<Tensor> padded = Tensor::zeros(tensor->dtype(), shape);
    if (padded.failed())
      return padded.takeStatus();
    Tensor rows = tensor->rows(first, first + count);
    std::copy_n(rows.as<uint8_t>(), rows.bytes(), padded->as<uint8_t>());
    inputs.tensors[decl.name] = std::move(*padded);
  }
  std::vector<std::string> notes;
  if (Status status = completeInputs(entry, InputOptions(), inputs, notes);
      status.failed())
    return status;
  if (first == 0)
    result.notes = std::move(notes);
  if (Status status = session->bind(inputs); status.failed())
    return status;
  if (Status status = session->run(); status.failed())
    return status;
  int logits = logitsOutput(entry);
  if (logits < 0)
    return Status::error("the model has no output of floats");
  return result.score.add(session->output(logits), *y, first, count, pool);
}

/// Rows of an integer tensor as i64, padded to the whole batch with the first.
void Evaluator::copyRows(const Tensor &tensor, int64_t first, int64_t count,
                         std::vector<int64_t> &copy) const {
  int64_t width = tensor.shape()[1];
  copy.resize(batch * width);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < width; ++i)
      copy[b * width + i] =
          loadInteger(tensor.dtype(), tensor.data(),
                      (first + (b < count ? b : 0)) * width + i);
}

Status Evaluator::feedWindow(Decoder &decoder, int64_t first, int64_t count) {
  int64_t width = tokens->shape()[1];
  if (Status status = decoder.prefill(tokenCopy.data(), width,
                                      mask ? maskCopy.data() : nullptr, width);
      status.failed())
    return status;
  return result.score.add(decoder.logits(), *y, first, count, pool);
}

Status Evaluator::feedTokens(Decoder &decoder, int64_t first, int64_t count) {
  int64_t width = tokens->shape()[1];
  std::vector<int64_t> column(batch), valid(batch, 1);
  for (int64_t i = 0; i < width; ++i) {
    for (int64_t b = 0; b < batch; ++b) {
      column[b] = tokenCopy[b * width + i];
      if (mask)
        valid[b] = maskCopy[b * width + i];
    }
    if (Status status = decoder.step(column.data(), valid.data());
        status.failed())
      return status;
    if (Status status =
            result.score.add(decoder.logits(), *y, first, count, pool, i + 1);
        status.failed())
      return status;
  }
  return Status::ok();
}

Status Evaluator::makeDecoder() {
  Result<std::unique_ptr<Decoder>> made =
      Decoder::create(program, pool, batch, tokens->shape()[1]);
  if (made.failed())
    return made.takeStatus();
  decoder = std::move(*made);
  return options.setUp ? options.setUp(*decoder) : Status::ok();
}

/// Adds what the decoder has counted to the result.
void Evaluator::collectSkips() {
  const SkipCounts &counts = decoder->decodeSession().skipCounts();
  SkipCounts &sums = result.skips;
  sums.skippedBy.resize(counts.skippedBy.size());
  sums.idle.resize(counts.idle.size());
  sums.skipped += counts.skipped;
  sums.total += counts.total;
  sums.runs += counts.runs;
  for (size_t stage = 0; stage < counts.idle.size(); ++stage) {
    sums.skippedBy[stage] += counts.skippedBy[stage];
    sums.idle[stage] += counts.idle[stage];
  }
}

Status Evaluator::runCached(int64_t first, int64_t count) {
  // The rest is a batch of its own: rows that fill one up would count as rows
  // that skip.
  if (count < batch && !fixedBatch) {
    collectSkips();
    batch = count;
    if (Status status = makeDecoder(); status.failed())
      return status;
  }
  copyRows(*tokens, first, count, tokenCopy);
  if (mask)
    copyRows(*mask, first, count, maskCopy);
  decoder->cache().truncate(0);
  return options.via == Via::Decode ? feedTokens(*decoder, first, count)
                                    : feedWindow(*decoder, first, count);
}

Result<Evaluation> Evaluator::run() {
  bool cached = options.via != Via::Plain;
  Result<const Entry *> entry =
      program->entry(options.via == Via::Plain     ? "plain"
                     : options.via == Via::Prefill ? "prefill"
                                                   : "decode");
  if (entry.failed())
    return entry.takeStatus();
  if (Status status = checkData(**entry); status.failed())
    return status;
  if (Status status = chooseBatch(**entry); status.failed())
    return status;
  result.tokens = y->rank() == 2;
  result.items = items;
  if (cached) {
    for (const ValueDecl &input : (*entry)->inputs)
      if (inputKind(input.name) == InputKind::Other)
        tokens = data.find(input.name);
    mask = data.find("attention_mask");
    if (!tokens || tokens->rank() != 2 || tokens->shape() != y->shape() ||
        (mask && mask->shape() != tokens->shape()))
      return Status::error("evaluation with the cache needs tokens, labels and "
                           "masks of shape [items, positions]");
    if (Status status = makeDecoder(); status.failed())
      return status;
  } else {
    Result<std::unique_ptr<Session>> made =
        Session::create(program, "plain", pool);
    if (made.failed())
      return made.takeStatus();
    session = std::move(*made);
  }
  auto start = std::chrono::steady_clock::now();
  for (int64_t first = 0; first < items; first += batch) {
    int64_t count = std::min(batch, items - first);
    Status status = cached ? runCached(first, count) : runPlain(first, count);
    if (status.failed())
      return status;
    if (options.progress)
      options.progress(first + count, items);
  }
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (options.via == Via::Decode)
    collectSkips();
  return std::move(result);
}

Result<Evaluation> lathe::rt::evaluate(std::shared_ptr<const Program> program,
                                       ThreadPool &pool, const TensorMap &data,
                                       const EvaluateOptions &options) {
  return Evaluator(std::move(program), pool, data, options).run();
}
