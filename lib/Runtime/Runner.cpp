//===- Runner.cpp - one entry on given data, timed -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Runner.h"

#include "lathe/Runtime/Checked.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

using namespace lathe::rt;

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

Result<int64_t> lathe::rt::parseInteger(const std::string &text, int64_t least,
                                        int64_t most, const std::string &what) {
  int64_t value = 0;
  size_t at = !text.empty() && text[0] == '-';
  bool negative = at == 1, good = at < text.size();
  for (; good && at < text.size(); ++at)
    good = text[at] >= '0' && text[at] <= '9' &&
           checkedMul<int64_t>(value, 10, value) &&
           (negative ? checkedSub<int64_t>(value, text[at] - '0', value)
                     : checkedAdd<int64_t>(value, text[at] - '0', value));
  if (good && value >= least && value <= most)
    return value;
  return Status::error(what + " must be an integer from " +
                       std::to_string(least) + " to " + std::to_string(most) +
                       ", not '" + text + "'");
}

/// The pieces between separators; at least one.
static std::vector<std::string> split(const std::string &text, char separator) {
  std::vector<std::string> pieces;
  size_t start = 0, end;
  while ((end = text.find(separator, start)) != std::string::npos) {
    pieces.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  pieces.push_back(text.substr(start));
  return pieces;
}

/// "name=value"; false without a name or the sign.
static bool splitSetting(const std::string &text, std::string &name,
                         std::string &value) {
  size_t sign = text.rfind('=');
  if (sign == std::string::npos || sign == 0)
    return false;
  name = text.substr(0, sign);
  value = text.substr(sign + 1);
  return true;
}

Result<DimValues> lathe::rt::parseDims(const std::string &text) {
  DimValues dims;
  for (const std::string &piece : split(text, ',')) {
    std::string name, value;
    if (!splitSetting(piece, name, value))
      return Status::error("dims are set as in batch=1,seq=128, not '" + piece +
                           "'");
    Result<int64_t> size =
        parseInteger(value, 0, INT64_MAX, "dim '" + name + "'");
    if (size.failed())
      return size.takeStatus();
    dims.emplace_back(name, *size);
  }
  return dims;
}

Result<std::vector<std::pair<std::string, std::vector<int64_t>>>>
lathe::rt::parseShapes(const std::string &text) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes;
  for (const std::string &piece : split(text, ',')) {
    std::string name, value;
    if (!splitSetting(piece, name, value))
      return Status::error("shapes are set as in image=1x1x64x64, not '" +
                           piece + "'");
    std::vector<int64_t> shape;
    for (const std::string &digits : split(value, 'x')) {
      Result<int64_t> size =
          parseInteger(digits, 0, INT64_MAX, "a size of input '" + name + "'");
      if (size.failed())
        return size.takeStatus();
      shape.push_back(*size);
    }
    shapes.emplace_back(name, std::move(shape));
  }
  return shapes;
}

Result<std::vector<int64_t>> lathe::rt::parseTokens(const std::string &text) {
  std::vector<int64_t> tokens;
  for (const std::string &piece : split(text, ',')) {
    Result<int64_t> token = parseInteger(piece, 0, INT64_MAX, "a token");
    if (token.failed())
      return token.takeStatus();
    tokens.push_back(*token);
  }
  return tokens;
}

double lathe::rt::percentile(std::vector<double> samples, double percent) {
  if (samples.empty())
    return 0;
  std::sort(samples.begin(), samples.end());
  double rank = std::ceil(percent / 100 * samples.size());
  size_t index = rank < 1 ? 0 : size_t(rank) - 1;
  return samples[std::min(index, samples.size() - 1)];
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// What an entry's batch and appended rows will be, as far as the inputs and
/// --dim decide them.
static Status sizeCache(const Entry &entry, const TensorMap &inputs,
                        const RunOptions &options, int64_t &batch,
                        int64_t &appended) {
  Result<DimSolver> solver = DimSolver::create(entry);
  if (solver.failed())
    return solver.takeStatus();
  for (const auto &[name, value] : options.dims)
    if (Status status = solver->set(name, value); status.failed())
      return status;
  for (unsigned i = 0; i < entry.inputs.size(); ++i) {
    const Tensor *tensor = inputs.find(entry.inputs[i].name);
    if (!tensor)
      continue;
    TensorView view = tensor->view();
    if (numpyCarrier(entry.inputs[i].dtype) == view.dtype)
      view.dtype = entry.inputs[i].dtype;
    if (Status status = solver->addInput(i, view); status.failed())
      return status;
  }
  if (Status status = solver->solve(); status.failed())
    return status;
  int dim = solver->find(entry.roles.batch);
  batch = dim >= 0 && solver->isKnown(dim) ? solver->values()[dim] : 1;
  Result<ExprCode> code = ExprCode::compile(entry.appends, entry.dims);
  if (code.failed())
    return code.takeStatus();
  for (unsigned used : code->uses())
    if (!solver->isKnown(used))
      return Status::error("nothing decides the dim '" + entry.dims[used] +
                           "'; set it with --dim");
  if (!code->evaluate(solver->values().data(), appended))
    appended = 0;
  return Status::ok();
}

/// Length of the past tensors that the data have for slot 0, or 0.
static int64_t givenPast(const Entry &entry, const TensorMap &inputs) {
  const KvSlot &slot = entry.kv[0];
  const Tensor *tensor = inputs.find(slot.pastKey);
  size_t axis = slot.keyLayout.find('s');
  return tensor && tensor->rank() == 4 ? tensor->shape()[axis] : 0;
}

/// The cache for an entry with KV slots, filled as the options and data say;
/// null for others.
static Result<std::unique_ptr<KvCache>> makeCache(const Entry &entry,
                                                  const TensorMap &inputs,
                                                  const RunOptions &options) {
  if (entry.kv.empty())
    return std::unique_ptr<KvCache>();
  int64_t batch, appended, needed;
  if (Status status = sizeCache(entry, inputs, options, batch, appended);
      status.failed())
    return status;
  int64_t past = givenPast(entry, inputs);
  if (!checkedAdd(std::max(past, options.context), appended, needed))
    return Status::error("the context is too large");
  Result<std::unique_ptr<KvCache>> cache = KvCache::create(
      entry, batch,
      std::max<int64_t>(1,
                        options.maxContext > 0 ? options.maxContext : needed));
  if (cache.failed())
    return cache;
  if (past > 0)
    if (Status status = (*cache)->importPast(inputs); status.failed())
      return status;
  if (options.context > past)
    if (Status status = (*cache)->append(options.context - past);
        status.failed())
      return status;
  return cache;
}

static Status copyOutputs(const Session &session, const KvCache *cache,
                          RunOutcome &outcome) {
  const Entry &entry = session.entry();
  for (unsigned i = 0; i < entry.outputs.size(); ++i) {
    TensorView view = session.output(i);
    Result<Tensor> copy = Tensor::zeros(
        view.dtype, std::vector<int64_t>(view.shape, view.shape + view.rank));
    if (copy.failed())
      return copy.takeStatus();
    if (int64_t bytes = view.bytes(); bytes > 0)
      std::memcpy(copy->data(), view.data, bytes);
    outcome.outputs.emplace_back(entry.outputs[i].name, std::move(*copy));
  }
  if (!cache)
    return Status::ok();
  Result<TensorMap> present = cache->exportPresent();
  if (present.failed())
    return present.takeStatus();
  for (auto &[name, tensor] : present->tensors)
    outcome.outputs.emplace_back(name, std::move(tensor));
  return Status::ok();
}

Result<RunOutcome> lathe::rt::runEntry(std::shared_ptr<const Program> program,
                                       ThreadPool &pool, TensorMap inputs,
                                       const RunOptions &options) {
  Result<std::unique_ptr<Session>> made =
      Session::create(std::move(program), options.entry, pool);
  if (made.failed())
    return made.takeStatus();
  Session &session = **made;
  Result<std::unique_ptr<KvCache>> cache =
      makeCache(session.entry(), inputs, options);
  if (cache.failed())
    return cache.takeStatus();

  RunOutcome outcome;
  InputOptions inputOptions;
  inputOptions.dims = options.dims;
  inputOptions.shapes = options.shapes;
  inputOptions.cache = cache->get();
  inputOptions.sample = options.sample;
  if (Status status =
          completeInputs(session.entry(), inputOptions, inputs, outcome.notes);
      status.failed())
    return status;

  Result<std::vector<TensorView>> views = session.viewsOf(inputs);
  if (views.failed())
    return views.takeStatus();
  int64_t past = *cache ? (*cache)->length() : 0;
  int64_t iterations = std::max<int64_t>(1, options.iterations);
  int64_t warmUp = iterations > 1 ? 1 : 0;
  for (int64_t i = 0; i < warmUp + iterations; ++i) {
    if (*cache)
      (*cache)->truncate(past);
    auto start = std::chrono::steady_clock::now();
    if (Status status = session.bind(*views, {}, cache->get(), options.dims);
        status.failed())
      return status;
    if (Status status = session.run(); status.failed())
      return status;
    if (i >= warmUp)
      outcome.milliseconds.push_back(
          std::chrono::duration<double, std::milli>(
              std::chrono::steady_clock::now() - start)
              .count());
  }
  outcome.arenaBytes = session.arenaBytes();
  if (Status status = copyOutputs(session, cache->get(), outcome);
      status.failed())
    return status;
  return outcome;
}
