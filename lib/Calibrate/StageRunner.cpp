//===- StageRunner.cpp - suffix runs over data ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/StageRunner.h"
#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Generate.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"
#include <algorithm>
#include <cstring>
#include <limits>

using namespace lathe;

static llvm::Error toError(rt::Status status) {
  return status.failed() ? llvm::createStringError(status.message())
                         : llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

/// The first `count` positions along axis 1.
static llvm::Expected<rt::Tensor> cutPositions(const rt::Tensor &tensor,
                                               int64_t count) {
  std::vector<int64_t> shape = tensor.shape();
  int64_t rows = shape[0], had = shape[1];
  shape[1] = count;
  auto cut = rt::Tensor::zeros(tensor.dtype(), shape);
  if (cut.failed())
    return llvm::createStringError(cut.message());
  int64_t width = rows ? tensor.bytes() / (rows * had) : 0;
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(cut->as<char>() + row * count * width,
                tensor.as<char>() + row * had * width, count * width);
  return std::move(*cut);
}

/// True if axis 1 of the input is the sequence.
static bool isSequence(const rt::Entry &entry, const rt::ValueDecl &decl) {
  return decl.shape.size() >= 2 && decl.shape[1].kind == rt::Expr::Kind::Dim &&
         decl.shape[1].name == entry.roles.sequence;
}

llvm::Error StageRunner::cutLabels(const rt::TensorMap &data, int64_t had) {
  const rt::Tensor *found = data.find("y");
  if (!found || found->rank() < 1 || found->rank() > 2 ||
      found->shape()[0] < numItems)
    return llvm::Error::success();
  y = found->rows(0, numItems);
  if (y.rank() == 1 || y.shape()[1] != had || had == numPositions)
    return llvm::Error::success();
  auto cut = cutPositions(y, numPositions);
  if (!cut)
    return cut.takeError();
  y = std::move(*cut);
  return llvm::Error::success();
}

std::pair<int64_t, int64_t> StageRunner::itemsOf(unsigned chunk) const {
  int64_t first = chunk * chunkItems;
  return {first, std::min(chunkItems, numItems - first)};
}

llvm::Error StageRunner::setUp(const rt::TensorMap &data,
                               const Options &options) {
  const rt::Entry &decl = entry();
  if (!decl.kv.empty())
    return llvm::createStringError("entry '" + decl.name +
                                   "' has a cache; its suffixes cannot be run");
  numItems = -1;
  for (const rt::ValueDecl &input : decl.inputs) {
    const rt::Tensor *tensor = data.find(input.name);
    if (!tensor)
      continue;
    if (tensor->rank() < 1 || (numItems >= 0 && tensor->shape()[0] != numItems))
      return llvm::createStringError(
          "array '" + input.name + "' has shape " +
          rt::shapeText(tensor->shape().data(), tensor->rank()) +
          ", but the others have " + std::to_string(numItems) + " items");
    numItems = tensor->shape()[0];
    items_.tensors[input.name] = *tensor;
  }
  if (numItems < 0)
    return llvm::createStringError("the data have none of the model's inputs");
  if (options.limit > 0)
    numItems = std::min(numItems, options.limit);
  if (numItems == 0)
    return llvm::createStringError("the data have no items");
  int64_t had = 0; // positions of an item before they are cut
  for (const rt::ValueDecl &input : decl.inputs) {
    auto found = items_.tensors.find(input.name);
    if (found == items_.tensors.end())
      continue;
    rt::Tensor &tensor = found->second;
    tensor = tensor.rows(0, numItems);
    if (!isSequence(decl, input) || tensor.rank() < 2)
      continue;
    numPositions = had = tensor.shape()[1];
    if (options.positions <= 0 || options.positions >= numPositions)
      continue;
    auto cut = cutPositions(tensor, options.positions);
    if (!cut)
      return cut.takeError();
    tensor = std::move(*cut);
    numPositions = options.positions;
  }
  if (llvm::Error error = chooseChunk(options))
    return error;
  if (llvm::Error error = cutLabels(data, had))
    return error;
  int output = rt::logitsOutput(decl);
  if (output < 0)
    return llvm::createStringError("the model has no output of floats");
  scoredOutput = output;
  gone.resize(decl.stages.size());
  leastSeconds.assign(decl.stages.size(),
                      std::numeric_limits<double>::infinity());
  session->setStageHook([this](unsigned stage, double seconds) {
    if (!session->isSkipped(stage))
      leastSeconds[stage] =
          std::min(leastSeconds[stage], seconds / double(chunkItems));
  });
  findLiveValues();
  kept.assign(numChunks, {});
  for (auto &values : kept)
    values.resize(decl.values.size());
  if (llvm::Error error = bind(0))
    return error;
  chooseStride(options.memory);
  return llvm::Error::success();
}

/// Rows of a run that keep the kernels busy.
static constexpr int64_t kRowsPerRun = 256;

llvm::Error StageRunner::chooseChunk(const Options &options) {
  int64_t fixed = 0;
  for (const rt::ValueDecl &input : entry().inputs)
    if (items_.find(input.name) && !input.shape.empty() &&
        input.shape[0].kind == rt::Expr::Kind::Constant)
      fixed = input.shape[0].value;
  chunkItems = fixed               ? fixed
               : options.chunk > 0 ? options.chunk
               : numPositions > 0
                   ? std::max<int64_t>(1, kRowsPerRun / numPositions)
                   : 16;
  if (!fixed)
    chunkItems = std::min(chunkItems, numItems);
  else if (numItems < fixed)
    return llvm::createStringError("the model has a fixed batch of " +
                                   llvm::Twine(fixed) + ", the data have " +
                                   llvm::Twine(numItems) + " items");
  else
    numItems -= numItems % fixed; // A part of a batch has no rows to compare.
  numChunks = (numItems + chunkItems - 1) / chunkItems;
  return llvm::Error::success();
}

rt::TensorMap StageRunner::data() const {
  rt::TensorMap result = items_;
  if (labels())
    result.tensors["y"] = y;
  return result;
}

std::string StageRunner::dataHash() const {
  std::string text;
  for (const auto &[name, tensor] : items_.tensors) {
    llvm::ArrayRef<uint8_t> bytes(tensor.as<uint8_t>(), tensor.bytes());
    text += name + " " + rt::dtypeName(tensor.dtype()) +
            rt::shapeText(tensor.shape().data(), tensor.rank()) +
            llvm::utohexstr(llvm::xxh3_64bits(bytes)) + "\n";
  }
  return llvm::utohexstr(llvm::xxh3_64bits(text), /*LowerCase=*/true, 16);
}

//===----------------------------------------------------------------------===//
// What is kept
//===----------------------------------------------------------------------===//

void StageRunner::findLiveValues() {
  const rt::Entry &decl = entry();
  unsigned stages = decl.stages.size();
  std::vector<unsigned> written(decl.values.size(), stages),
      read(decl.values.size(), 0);
  for (unsigned stage = 0; stage < stages; ++stage) {
    for (rt::Ref ref : decl.stages[stage].args)
      if (ref.kind == rt::Ref::Kind::Value)
        read[ref.index] = stage;
    for (rt::Ref ref : decl.stages[stage].outs)
      if (ref.kind == rt::Ref::Kind::Value)
        written[ref.index] = std::min(written[ref.index], stage);
  }
  live.resize(stages);
  for (unsigned stage = 0; stage < stages; ++stage)
    for (uint32_t value = 0; value < decl.values.size(); ++value)
      if (written[value] < stage && stage <= read[value])
        live[stage].push_back({rt::Ref::Kind::Value, value});
}

void StageRunner::chooseStride(int64_t memory) {
  unsigned stages = live.size();
  for (stride = 1; stride < stages; ++stride) {
    std::vector<bool> counted(entry().values.size());
    int64_t bytes = 0;
    for (unsigned stage = 0; stage < stages; stage += stride)
      for (rt::Ref ref : live[stage])
        if (!counted[ref.index]) {
          counted[ref.index] = true;
          bytes += session->view(ref).bytes();
        }
    if (bytes * numChunks <= memory)
      return;
  }
}

void StageRunner::keep(unsigned chunk, unsigned stage) {
  for (rt::Ref ref : live[stage]) {
    rt::TensorView tensor = session->view(ref);
    const uint8_t *bytes = static_cast<const uint8_t *>(tensor.data);
    kept[chunk][ref.index].assign(bytes, bytes + tensor.bytes());
  }
}

void StageRunner::restore(unsigned chunk, unsigned stage) {
  for (rt::Ref ref : live[stage]) {
    const std::vector<uint8_t> &bytes = kept[chunk][ref.index];
    if (!bytes.empty())
      std::memcpy(session->view(ref).data, bytes.data(), bytes.size());
  }
}

//===----------------------------------------------------------------------===//
// Runs
//===----------------------------------------------------------------------===//

llvm::Expected<std::unique_ptr<StageRunner>>
StageRunner::create(std::shared_ptr<const rt::Program> program,
                    const std::string &entry, rt::ThreadPool &pool,
                    const rt::TensorMap &data, const Options &options) {
  std::unique_ptr<StageRunner> runner(new StageRunner);
  runner->threads = &pool;
  auto session = rt::Session::create(std::move(program), entry, pool);
  if (session.failed())
    return llvm::createStringError(session.message());
  runner->session = std::move(*session);
  if (llvm::Error error = runner->setUp(data, options))
    return std::move(error);
  return std::move(runner);
}

int StageRunner::stageOf(llvm::StringRef site) const {
  for (auto [index, stage] : llvm::enumerate(entry().stages))
    if (stage.site == site && stage.residual)
      return index;
  return -1;
}

llvm::Error StageRunner::bind(unsigned chunk) {
  auto [first, count] = itemsOf(chunk);
  inputs.tensors.clear();
  for (const auto &[name, tensor] : items_.tensors)
    inputs.tensors[name] = tensor.rows(first, first + count);
  std::vector<std::string> notes;
  if (llvm::Error error = toError(
          rt::completeInputs(entry(), rt::InputOptions(), inputs, notes)))
    return error;
  return toError(session->bind(inputs));
}

llvm::Error StageRunner::runStages(unsigned chunk, unsigned begin, unsigned end,
                                   llvm::ArrayRef<unsigned> left,
                                   const Observe *observe) {
  for (unsigned stage = begin; stage < end; ++stage)
    if (llvm::Error error = toError(session->setSkipped(
            stage, gone[stage] || llvm::is_contained(left, stage))))
      return error;
  if (!observe && !edit)
    return toError(session->run(begin, end));
  for (unsigned stage = begin; stage < end; ++stage) {
    if (observe && stage % stride == 0)
      keep(chunk, stage);
    if (llvm::Error error = toError(session->run(stage, stage + 1)))
      return error;
    if (edit && !session->isSkipped(stage))
      edit(stage);
    if (observe && *observe)
      (*observe)(chunk, stage);
  }
  return llvm::Error::success();
}

llvm::Error StageRunner::prepare(const Progress &progress,
                                 const Observe &observe) {
  for (unsigned chunk = 0; chunk < numChunks; ++chunk) {
    if (llvm::Error error = bind(chunk))
      return error;
    if (llvm::Error error = runStages(chunk, 0, gone.size(), {}, &observe))
      return error;
    if (progress)
      progress(chunk + 1, numChunks);
  }
  return llvm::Error::success();
}

llvm::Error StageRunner::run(unsigned chunk, llvm::ArrayRef<unsigned> left,
                             unsigned end) {
  unsigned begin = left.empty() ? 0 : left.front() / stride * stride;
  if (llvm::Error error = bind(chunk))
    return error;
  restore(chunk, begin);
  if (llvm::Error error = runStages(chunk, begin, end, left, nullptr))
    return error;
  return end == gone.size() ? toError(session->finish())
                            : llvm::Error::success();
}

llvm::Error StageRunner::runWhole(unsigned chunk, unsigned end) {
  std::vector<bool> removed(gone.size());
  std::swap(removed, gone);
  llvm::Error error = run(chunk, {}, end);
  std::swap(removed, gone);
  return error;
}

llvm::Error StageRunner::remove(llvm::ArrayRef<unsigned> stages) {
  for (unsigned stage : stages)
    gone[stage] = true;
  return refresh(*std::min_element(stages.begin(), stages.end()));
}

llvm::Error StageRunner::refresh(unsigned stage, const Observe &observe) {
  unsigned begin = stage / stride * stride;
  unsigned end =
      observe ? gone.size() : (gone.size() - 1) / stride * stride + 1;
  for (unsigned chunk = 0; chunk < numChunks; ++chunk) {
    if (llvm::Error error = bind(chunk))
      return error;
    restore(chunk, begin);
    if (llvm::Error error = runStages(chunk, begin, end, {}, &observe))
      return error;
  }
  return llvm::Error::success();
}

llvm::Error StageRunner::reset() {
  gone.assign(gone.size(), false);
  return prepare();
}

rt::TensorView StageRunner::output() const {
  return session->output(scoredOutput);
}

bool StageRunner::isValid(unsigned chunk, int64_t row, int64_t rows) const {
  const rt::Tensor *mask = items_.find("attention_mask");
  if (!mask || mask->rank() != 2 || rows <= 1)
    return true;
  int64_t item = chunk * chunkItems + row / rows, position = row % rows;
  if (item >= mask->shape()[0] || rows != mask->shape()[1])
    return true;
  return rt::loadInteger(mask->dtype(), mask->data(), item * rows + position) !=
         0;
}
