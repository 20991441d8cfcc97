//===- Session.cpp - one entry in execution -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Session.h"

#include "lathe/Runtime/Checked.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <numeric>

using namespace lathe::rt;

/// Beyond this an arena is a mistake in the dims, not a wish.
static constexpr int64_t maxArenaBytes = int64_t(1) << 46;

//===----------------------------------------------------------------------===//
// What stages see
//===----------------------------------------------------------------------===//

/// The context handed to stages. A failure is noted once, by whichever thread
/// is first; parallel_for's end orders it before the session reads it.
struct Session::Context : lathe_ctx {
  ThreadPool *pool;
  std::atomic<bool> failed{false};
  int64_t code = 0, detail = 0;

  explicit Context(ThreadPool &threads) : lathe_ctx(), pool(&threads) {
    parallel_for = [](lathe_ctx *ctx, lathe_body body, void *closure, int64_t n,
                      int64_t grain) {
      static_cast<Context *>(ctx)->pool->parallelFor(body, closure, n, grain);
    };
    fail = [](lathe_ctx *ctx, int64_t code, int64_t detail) {
      auto *self = static_cast<Context *>(ctx);
      if (self->failed.exchange(true))
        return;
      self->code = code;
      self->detail = detail;
    };
  }

  /// The noted failure, which is thereby forgotten.
  Status take(const Entry &entry, const std::string &site) {
    failed = false;
    std::string where = "stage '" + site + "': ";
    switch (code) {
    case LATHE_FAIL_INDEX:
      return Status::error(where + "the data contain the index " +
                           std::to_string(detail) +
                           ", which is outside its axis");
    case LATHE_FAIL_DIVISION:
      return Status::error(where + "the data lead to a division by zero");
    case LATHE_FAIL_ASSUMPTION:
      if (detail >= 0 && uint64_t(detail) < entry.assumptions.size())
        return Status::error(where +
                             "the data break what the model was "
                             "compiled for: " +
                             entry.assumptions[detail]);
      [[fallthrough]];
    default:
      return Status::error(where + "failed with code " + std::to_string(code) +
                           ", " + std::to_string(detail));
    }
  }
};

/// Memory in the arena: needed from stage `begin` to stage `end`, inclusive.
struct Session::Interval {
  unsigned begin = UINT_MAX, end = 0;
  int64_t offset = 0;

  void touch(unsigned stage) {
    begin = std::min(begin, stage);
    end = std::max(end, stage);
  }
  bool isUsed() const { return begin <= end; }
  bool overlaps(const Interval &other) const {
    return begin <= other.end && other.begin <= end;
  }
};

Session::~Session() = default;

//===----------------------------------------------------------------------===//
// Set-up, once
//===----------------------------------------------------------------------===//

Result<std::unique_ptr<Session>>
Session::create(std::shared_ptr<const Program> program,
                const std::string &entry, ThreadPool &pool, Options options) {
  Result<const Entry *> found = program->entry(entry);
  if (found.failed())
    return found.takeStatus();
  std::unique_ptr<Session> session(new Session);
  session->owner = std::move(program);
  session->decl = *found;
  session->pool = &pool;
  session->context = std::make_unique<Context>(pool);
  if (Status status = session->setUp(options); status.failed())
    return status;
  return session;
}

unsigned Session::slotOf(Ref ref) const {
  switch (ref.kind) {
  case Ref::Kind::Output:
    return decl->inputs.size() + ref.index;
  case Ref::Kind::Value:
    return decl->inputs.size() + decl->outputs.size() + ref.index;
  default:
    return ref.index;
  }
}

Status Session::compileShapes() {
  auto compile = [&](const ValueDecl &tensor) -> Status {
    std::vector<ExprCode> &codes = shapeCodes.emplace_back();
    for (const Expr &dim : tensor.shape) {
      Result<ExprCode> code = ExprCode::compile(dim, decl->dims);
      if (code.failed())
        return code.takeStatus();
      codes.push_back(std::move(*code));
    }
    shapes.emplace_back(codes.size());
    return Status::ok();
  };
  for (const ValueDecl &input : decl->inputs)
    if (Status status = compile(input); status.failed())
      return status;
  for (const ValueDecl &output : decl->outputs)
    if (Status status = compile(output); status.failed())
      return status;
  for (const ValueDecl &value : decl->values)
    if (Status status = compile(value); status.failed())
      return status;
  Result<ExprCode> appends = ExprCode::compile(decl->appends, decl->dims);
  if (appends.failed())
    return appends.takeStatus();
  appendsCode = std::move(*appends);
  return Status::ok();
}

void Session::findIntervals() {
  unsigned stages = decl->stages.size();
  size_t tensors = decl->outputs.size() + decl->values.size();
  intervals.resize(tensors + stages);
  auto touch = [&](Ref ref, unsigned stage) {
    if (ref.kind == Ref::Kind::Output || ref.kind == Ref::Kind::Value)
      intervals[slotOf(ref) - decl->inputs.size()].touch(stage);
  };
  for (unsigned i = 0; i < stages; ++i) {
    for (Ref ref : decl->stages[i].args)
      touch(ref, i);
    for (Ref ref : decl->stages[i].outs)
      touch(ref, i);
    intervals[tensors + i].touch(i);
  }
  // The time after the last stage counts as one more: outputs are read then,
  // and copies made.
  for (unsigned i = 0; i < decl->outputs.size(); ++i) {
    intervals[i].touch(stages);
    if (decl->outputs[i].copyOf)
      touch(*decl->outputs[i].copyOf, stages);
  }
  if (!keepValues)
    return;
  for (size_t i = 0; i < tensors; ++i) {
    intervals[i].touch(0);
    intervals[i].touch(stages);
  }
}

Status Session::setUp(Options options) {
  keepValues = options.keepValues;
  Result<DimSolver> made = DimSolver::create(*decl);
  if (made.failed())
    return made.takeStatus();
  solver = std::move(*made);
  if (Status status = compileShapes(); status.failed())
    return status;
  findIntervals();
  batchDim = solver.find(decl->roles.batch);
  pastDim = solver.find(decl->roles.past);
  capacityDim = solver.find(decl->roles.capacity);
  dimValues.resize(decl->dims.size());
  planDims.resize(decl->dims.size());
  sizes.resize(intervals.size());
  plannedSizes.resize(intervals.size());
  cacheShapes.resize(2 * decl->kv.size());
  inputData.resize(decl->inputs.size());
  outputData.resize(decl->outputs.size());
  lastInputShapes.resize(decl->inputs.size());
  skipped.resize(decl->stages.size());
  gate = std::make_unique<SkipGate>(*decl);
  findCompactable();

  size_t words = 0;
  for (const Stage &stage : decl->stages) {
    tableAt.push_back(words);
    words += decl->dims.size() + stage.args.size() + stage.outs.size() + 1;
    std::vector<const void *> &pointers = stageParts.emplace_back();
    for (uint32_t part : stage.parts)
      pointers.push_back(owner->part(part));
  }
  table.resize(words);
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// Binding
//===----------------------------------------------------------------------===//

Status Session::checkInputs(const std::vector<TensorView> &inputs,
                            const std::vector<void *> &outputs,
                            KvCache *cache) const {
  if (inputs.size() != decl->inputs.size() ||
      (!outputs.empty() && outputs.size() != decl->outputs.size()))
    return Status::error("entry '" + decl->name + "' has " +
                         std::to_string(decl->inputs.size()) + " inputs and " +
                         std::to_string(decl->outputs.size()) + " outputs");
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorView &input = inputs[i];
    // Built only for messages: this path allocates nothing.
    auto name = [&] { return "input '" + decl->inputs[i].name + "'"; };
    Result<int64_t> bytes = tensorBytes(input.dtype, input.shape, input.rank);
    if (bytes.failed())
      return bytes.takeStatus().prefixed(name() + ": ");
    if (!input.data && *bytes != 0)
      return Status::error(name() + " has no data");
    if (reinterpret_cast<uintptr_t>(input.data) % dtypeBytes(input.dtype) != 0)
      return Status::error(name() + " is not aligned to its elements");
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    if (reinterpret_cast<uintptr_t>(outputs[i]) %
            dtypeBytes(decl->outputs[i].dtype) !=
        0)
      return Status::error("output '" + decl->outputs[i].name +
                           "' is not aligned to its elements");
  if (decl->kv.empty() != !cache)
    return Status::error(
        "entry '" + decl->name +
        (cache ? "' takes no KV cache" : "' needs a KV cache"));
  if (!cache)
    return Status::ok();
  bool fits = cache->slots().size() == decl->kv.size();
  for (size_t i = 0; fits && i < decl->kv.size(); ++i) {
    const KvSlot &have = cache->slots()[i], &want = decl->kv[i];
    fits = have.heads == want.heads && have.headDim == want.headDim &&
           have.valueDim == want.valueDim && have.dtype == want.dtype;
  }
  return fits ? Status::ok()
              : Status::error("the KV cache is that of another model");
}

bool Session::sameShapes(const std::vector<TensorView> &inputs,
                         const std::vector<void *> &outputs, KvCache *cache,
                         const DimValues &dims) const {
  if (!bound || dims != lastDims)
    return false;
  if (cache &&
      (cache->length() != lastLength || cache->capacity() != lastCapacity ||
       cache->batch() != lastBatch))
    return false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].dtype != decl->inputs[i].dtype ||
        inputs[i].rank != lastInputShapes[i].size() ||
        !std::equal(lastInputShapes[i].begin(), lastInputShapes[i].end(),
                    inputs[i].shape))
      return false;
  // The session's own memory is planned for exactly the outputs that had none.
  for (size_t i = 0; i < outputData.size(); ++i)
    if (!outputData[i] != (outputs.empty() || !outputs[i]))
      return false;
  return true;
}

void Session::rememberShapes(const std::vector<TensorView> &inputs,
                             KvCache *cache, const DimValues &dims) {
  for (size_t i = 0; i < inputs.size(); ++i)
    lastInputShapes[i].assign(inputs[i].shape,
                              inputs[i].shape + inputs[i].rank);
  if (dims != lastDims)
    lastDims = dims;
  if (!cache)
    return;
  lastLength = cache->length();
  lastCapacity = cache->capacity();
  lastBatch = cache->batch();
}

Status Session::solveDims(const std::vector<TensorView> &inputs, KvCache *cache,
                          const DimValues &dims) {
  solver.reset();
  if (cache) {
    if (batchDim >= 0)
      solver.setDim(batchDim, cache->batch());
    solver.setDim(pastDim, cache->length());
    solver.setDim(capacityDim, cache->capacity());
  }
  for (const auto &[name, value] : dims)
    if (Status status = solver.set(name, value); status.failed())
      return status;
  for (unsigned i = 0; i < inputs.size(); ++i)
    if (Status status = solver.addInput(i, inputs[i]); status.failed())
      return status;
  if (Status status = solver.solve(); status.failed())
    return status;
  solver.setDefaults();
  if (std::string names = solver.unknownNames(); !names.empty())
    return Status::error("nothing decides the dims " + names +
                         "; set them with --dim");
  if (Status status = solver.check(); status.failed())
    return status;
  dimValues = solver.values();
  if (!appendsCode.evaluate(dimValues.data(), appended) || appended < 0)
    return Status::error("entry '" + decl->name +
                         "' cannot append to its KV cache at these dims");
  return cache ? cache->checkRoom(appended) : Status::ok();
}

Status Session::evaluateShapes() {
  for (size_t slot = 0; slot < shapes.size(); ++slot)
    for (size_t axis = 0; axis < shapes[slot].size(); ++axis)
      if (!shapeCodes[slot][axis].evaluate(dimValues.data(),
                                           shapes[slot][axis]) ||
          shapes[slot][axis] < 0)
        return Status::error("entry '" + decl->name +
                             "' has a tensor of impossible size at these dims");
  for (size_t i = 0; kvCache && i < decl->kv.size(); ++i) {
    const KvSlot &slot = decl->kv[i];
    cacheShapes[2 * i] = {kvCache->batch(), slot.heads, kvCache->capacity(),
                          slot.headDim};
    cacheShapes[2 * i + 1] = {kvCache->batch(), slot.heads, kvCache->capacity(),
                              slot.valueDim};
  }
  return Status::ok();
}

/// Bytes of a tensor at the dims, rounded up; false where there is no such
/// size.
static bool alignedBytes(const std::vector<ExprCode> &shape, DType dtype,
                         const int64_t *dims, int64_t &bytes) {
  bytes = dtypeBytes(dtype);
  for (const ExprCode &code : shape) {
    int64_t size;
    if (!code.evaluate(dims, size) || size < 0 ||
        !checkedMul(bytes, size, bytes))
      return false;
  }
  return checkedAlign(bytes, LATHE_ALIGNMENT, bytes) && bytes <= maxArenaBytes;
}

Status Session::evaluateSizes(const std::vector<int64_t> &dims,
                              std::vector<int64_t> &result) const {
  size_t at = 0;
  auto tooLarge = [](const std::string &what) {
    return Status::error(what + " is too large for memory at these dims");
  };
  for (unsigned i = 0; i < decl->outputs.size(); ++i, ++at) {
    const OutputDecl &output = decl->outputs[i];
    if (!alignedBytes(shapeCodes[slotOf({Ref::Kind::Output, i})], output.dtype,
                      dims.data(), result[at]))
      return tooLarge("output '" + output.name + "'");
    if (outputData[i])
      result[at] = 0;
  }
  for (unsigned i = 0; i < decl->values.size(); ++i, ++at) {
    const ValueDecl &value = decl->values[i];
    if (!alignedBytes(shapeCodes[slotOf({Ref::Kind::Value, i})], value.dtype,
                      dims.data(), result[at]))
      return tooLarge("value '" + value.name + "'");
    if (!intervals[at].isUsed())
      result[at] = 0;
  }
  const std::vector<Program::StageCode> &code = owner->code(*decl);
  for (unsigned i = 0; i < decl->stages.size(); ++i, ++at) {
    int64_t bytes = code[i].scratch ? code[i].scratch(dims.data()) : 0;
    if (bytes < 0 || !checkedAlign(bytes, LATHE_ALIGNMENT, bytes) ||
        bytes > maxArenaBytes)
      return tooLarge("the scratch of stage '" + decl->stages[i].site + "'");
    result[at] = bytes;
  }
  return Status::ok();
}

Status Session::planMemory() {
  if (Status status = evaluateSizes(dimValues, sizes); status.failed())
    return status;
  bool fits = planned;
  for (size_t i = 0; fits && i < sizes.size(); ++i)
    fits = sizes[i] <= plannedSizes[i];
  if (fits)
    return Status::ok();

  // With a cache, plan at once for the step that fills it.
  planned = false;
  planDims = dimValues;
  if (kvCache)
    planDims[pastDim] = kvCache->capacity() - appended;
  if (Status status = evaluateSizes(planDims, plannedSizes); status.failed())
    return status;
  for (size_t i = 0; i < sizes.size(); ++i)
    plannedSizes[i] = std::max(plannedSizes[i], sizes[i]);
  if (Status status = placeIntervals(); status.failed())
    return status;
  planned = true;
  return Status::ok();
}

Status Session::placeIntervals() {
  // Largest first, each at the lowest place that is free while it lives.
  std::vector<unsigned> order(intervals.size()), placed;
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](unsigned a, unsigned b) {
    return plannedSizes[a] != plannedSizes[b]
               ? plannedSizes[a] > plannedSizes[b]
               : a < b;
  });
  int64_t total = 0;
  for (unsigned index : order) {
    Interval &interval = intervals[index];
    interval.offset = 0;
    if (plannedSizes[index] == 0)
      continue;
    // `placed` is sorted by offset.
    for (unsigned other : placed) {
      const Interval &taken = intervals[other];
      if (!interval.overlaps(taken))
        continue;
      if (taken.offset - interval.offset >= plannedSizes[index])
        break;
      interval.offset =
          std::max(interval.offset, taken.offset + plannedSizes[other]);
    }
    int64_t end;
    if (!checkedAdd(interval.offset, plannedSizes[index], end) ||
        end > maxArenaBytes)
      return Status::error("the intermediate values are too large for memory");
    total = std::max(total, end);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                   [&](unsigned a, unsigned b) {
                                     return intervals[a].offset <
                                            intervals[b].offset;
                                   }),
                  index);
  }
  if (arena.data() && total <= arena.size())
    return Status::ok();
  arena = Pages();
  Result<Pages> pages = Pages::allocate(total);
  if (pages.failed())
    return pages.takeStatus().prefixed("arena: ");
  arena = std::move(*pages);
  return Status::ok();
}

void *Session::address(Ref ref) const {
  switch (ref.kind) {
  case Ref::Kind::Input:
    return inputData[ref.index];
  case Ref::Kind::Output:
    if (outputData[ref.index])
      return outputData[ref.index];
    [[fallthrough]];
  case Ref::Kind::Value:
    return arena.data() + intervals[slotOf(ref) - decl->inputs.size()].offset;
  case Ref::Kind::CacheKey:
    return kvCache->key(ref.index);
  case Ref::Kind::CacheValue:
    return kvCache->value(ref.index);
  }
  return nullptr;
}

void Session::writeTable() {
  size_t scratch = decl->outputs.size() + decl->values.size();
  auto offset = [&](Ref ref) {
    return int64_t(reinterpret_cast<uintptr_t>(address(ref)) -
                   reinterpret_cast<uintptr_t>(arena.data()));
  };
  for (size_t i = 0; i < decl->stages.size(); ++i) {
    int64_t *words = &table[tableAt[i]];
    words = std::copy(dimValues.begin(), dimValues.end(), words);
    for (Ref ref : decl->stages[i].args)
      *words++ = offset(ref);
    for (Ref ref : decl->stages[i].outs)
      *words++ = offset(ref);
    *words = intervals[scratch + i].offset;
  }
}

Status Session::bind(const std::vector<TensorView> &inputs,
                     const std::vector<void *> &outputs, KvCache *cache,
                     const DimValues &dims) {
  if (Status status = checkInputs(inputs, outputs, cache); status.failed()) {
    bound = false;
    return status;
  }
  bool same = sameShapes(inputs, outputs, cache, dims);
  bound = false;
  for (size_t i = 0; i < inputs.size(); ++i)
    inputData[i] = inputs[i].data;
  for (size_t i = 0; i < outputData.size(); ++i)
    outputData[i] = outputs.empty() ? nullptr : outputs[i];
  kvCache = cache;
  if (!same) {
    if (Status status = solveDims(inputs, cache, dims); status.failed())
      return status;
    if (Status status = evaluateShapes(); status.failed())
      return status;
    if (Status status = planMemory(); status.failed())
      return status;
    rememberShapes(inputs, cache, dims);
  }
  writeTable();
  bound = true;
  return Status::ok();
}

Result<std::vector<TensorView>>
Session::viewsOf(const TensorMap &inputs) const {
  std::vector<TensorView> views;
  std::string missing;
  for (const ValueDecl &input : decl->inputs) {
    const Tensor *tensor = inputs.find(input.name);
    if (!tensor) {
      auto unusable = inputs.unusable.find(input.name);
      if (unusable != inputs.unusable.end())
        return Status::error("input '" + input.name + "': " + unusable->second);
      missing += (missing.empty() ? "" : ", ") + input.name;
      continue;
    }
    TensorView view = tensor->view();
    if (numpyCarrier(input.dtype) == view.dtype)
      view.dtype = input.dtype;
    views.push_back(view);
  }
  if (!missing.empty())
    return Status::error("inputs are missing: " + missing);
  return views;
}

Status Session::bind(const TensorMap &inputs, KvCache *cache,
                     const DimValues &dims) {
  Result<std::vector<TensorView>> views = viewsOf(inputs);
  if (views.failed())
    return views.takeStatus();
  return bind(*views, {}, cache, dims);
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// memcpy for sizes that may be 0 with pointers that may then be null.
static void copyBytes(void *to, const void *from, int64_t bytes) {
  if (bytes > 0)
    std::memcpy(to, from, bytes);
}

void Session::runSkipped(unsigned stage) {
  const Stage &row = decl->stages[stage];
  Ref from = row.args[*row.residual], to = row.outs[0];
  TensorView target = view(to);
  if (void *source = address(from); source != target.data)
    copyBytes(target.data, source, target.bytes());
}

void Session::runStage(unsigned stage) {
  owner->code(*decl)[stage].run(context.get(), stageParts[stage].data(),
                                arena.data(), &table[tableAt[stage]]);
}

/// A stage can run on fewer rows if its residual is [batch, 1, ..., width] and
/// it reads nothing else that has rows.
void Session::findCompactable() {
  compactable.resize(decl->stages.size());
  for (size_t i = 0; i < decl->stages.size(); ++i) {
    const Stage &stage = decl->stages[i];
    if (!stage.residual || stage.args.size() != 1 || batchDim < 0)
      continue;
    const Ref from = stage.args[0];
    if (from.kind != Ref::Kind::Value && from.kind != Ref::Kind::Output)
      continue;
    const std::vector<Expr> &shape = from.kind == Ref::Kind::Value
                                         ? decl->values[from.index].shape
                                         : decl->outputs[from.index].shape;
    bool fits = shape.size() >= 2 && shape[0].kind == Expr::Kind::Dim &&
                shape[0].name == decl->roles.batch;
    for (size_t axis = 1; fits && axis + 1 < shape.size(); ++axis)
      fits = shape[axis].kind == Expr::Kind::Constant && shape[axis].value == 1;
    compactable[i] = fits;
  }
}

void Session::beginGate() {
  int64_t past = pastDim >= 0 ? dimValues[pastDim] : 0;
  int64_t batch = batchDim >= 0 ? dimValues[batchDim] : 1;
  int64_t each = std::max<int64_t>(appended, 1);
  gate->begin(batch * each, each, past - promptLength);
}

/// Runs the stage on `rows` of the batch alone, and copies the others. False
/// where there is no memory for that.
bool Session::runRows(unsigned stage, const std::vector<int64_t> &rows) {
  const Stage &row = decl->stages[stage];
  TensorView x = view(row.args[0]), y = view(row.outs[0]);
  int64_t bytes = x.bytes() / x.shape[0], half;
  if (!checkedAlign(x.bytes(), LATHE_ALIGNMENT, half))
    return false;
  if (gathered.size() < 2 * half) {
    Result<Pages> pages = Pages::allocate(2 * half);
    if (pages.failed())
      return false;
    gathered = std::move(*pages);
  }
  uint8_t *in = gathered.data(), *out = in + half;
  const uint8_t *from = static_cast<const uint8_t *>(x.data);
  uint8_t *to = static_cast<uint8_t *>(y.data);
  for (size_t i = 0; i < rows.size(); ++i)
    copyBytes(in + i * bytes, from + rows[i] * bytes, bytes);

  int64_t *words = &table[tableAt[stage]], *offsets = words + dimValues.size();
  int64_t saved[] = {words[batchDim], offsets[0], offsets[1]};
  words[batchDim] = rows.size();
  offsets[0] = in - static_cast<uint8_t *>(arena.data());
  offsets[1] = out - static_cast<uint8_t *>(arena.data());
  runStage(stage);
  words[batchDim] = saved[0];
  offsets[0] = saved[1];
  offsets[1] = saved[2];

  copyBytes(to, from, x.bytes());
  for (size_t i = 0; i < rows.size(); ++i)
    copyBytes(to + rows[i] * bytes, out + i * bytes, bytes);
  return true;
}

void Session::runGated(unsigned stage) {
  const Stage &row = decl->stages[stage];
  TensorView x = view(row.args[*row.residual]), y = view(row.outs[0]);
  int64_t width = x.shape[x.rank - 1];
  int64_t all = width > 0 ? x.elements() / width : 0;
  const std::vector<int64_t> &rows = gate->decide(stage);
  if (rows.empty())
    return runSkipped(stage);
  bool some = int64_t(rows.size()) < all;
  if (!some || !compactable[stage] || !runRows(stage, rows)) {
    runStage(stage);
    // Rows that do not run keep what they had.
    int64_t bytes = all > 0 ? x.bytes() / all : 0;
    size_t next = 0;
    for (int64_t r = 0; some && r < all; ++r) {
      if (next < rows.size() && rows[next] == r)
        ++next;
      else
        copyBytes(static_cast<uint8_t *>(y.data) + r * bytes,
                  static_cast<const uint8_t *>(x.data) + r * bytes, bytes);
    }
  }
  gate->observe(stage, x, y);
}

Status Session::run(unsigned begin, unsigned end) {
  if (!bound)
    return Status::error("the session has no inputs bound");
  if (gate->any() && begin == 0)
    beginGate();
  for (unsigned i = begin; i < end; ++i) {
    auto start = stageHook ? std::chrono::steady_clock::now()
                           : std::chrono::steady_clock::time_point();
    if (skipped[i]) {
      runSkipped(i);
    } else if (gate->isGated(i)) {
      runGated(i);
    } else {
      runStage(i);
      gate->pass(i);
    }
    if (context->failed)
      return context->take(*decl, decl->stages[i].site);
    if (stageHook)
      stageHook(i, std::chrono::duration<double>(
                       std::chrono::steady_clock::now() - start)
                       .count());
  }
  return Status::ok();
}

Status Session::finish() {
  for (unsigned i = 0; i < decl->outputs.size(); ++i) {
    if (!decl->outputs[i].copyOf)
      continue;
    TensorView target = output(i);
    copyBytes(target.data, address(*decl->outputs[i].copyOf), target.bytes());
  }
  return kvCache ? kvCache->append(appended) : Status::ok();
}

Status Session::run() {
  if (Status status = run(0, decl->stages.size()); status.failed())
    return status;
  return finish();
}

TensorView Session::view(Ref ref) const {
  if (ref.kind == Ref::Kind::CacheKey || ref.kind == Ref::Kind::CacheValue) {
    const std::array<int64_t, 4> &shape =
        cacheShapes[2 * ref.index + (ref.kind == Ref::Kind::CacheValue)];
    return {decl->kv[ref.index].dtype, shape.data(), 4, address(ref)};
  }
  DType dtype = ref.kind == Ref::Kind::Input    ? decl->inputs[ref.index].dtype
                : ref.kind == Ref::Kind::Output ? decl->outputs[ref.index].dtype
                                                : decl->values[ref.index].dtype;
  const std::vector<int64_t> &shape = shapes[slotOf(ref)];
  return {dtype, shape.data(), unsigned(shape.size()), address(ref)};
}

Status Session::checkSkippable(unsigned stage) const {
  if (decl->stages[stage].residual)
    return Status::ok();
  return Status::error("stage '" + decl->stages[stage].site +
                       "' has no residual and cannot be skipped");
}

Status Session::setSkipped(unsigned stage, bool skip) {
  if (Status status = checkSkippable(stage); skip && status.failed())
    return status;
  skipped[stage] = skip;
  return Status::ok();
}

Status Session::setSkipRule(unsigned stage,
                            const std::optional<SkipRule> &rule) {
  if (Status status = checkSkippable(stage); rule && status.failed())
    return status;
  gate->setRule(stage, rule);
  return Status::ok();
}

void Session::setPart(unsigned stage, unsigned part, const void *data) {
  stageParts[stage][part] =
      data ? data : owner->part(decl->stages[stage].parts[part]);
}

Session::Snapshot Session::save(unsigned stage) const {
  Snapshot snapshot;
  snapshot.stage = stage;
  auto keep = [&](Ref ref) {
    const Interval &interval = intervals[slotOf(ref) - decl->inputs.size()];
    if (interval.begin >= stage || interval.end < stage)
      return;
    TensorView tensor = view(ref);
    const uint8_t *bytes = static_cast<const uint8_t *>(tensor.data);
    snapshot.values.emplace_back(
        ref, std::vector<uint8_t>(bytes, bytes + tensor.bytes()));
  };
  for (unsigned i = 0; i < decl->outputs.size(); ++i)
    keep({Ref::Kind::Output, i});
  for (unsigned i = 0; i < decl->values.size(); ++i)
    keep({Ref::Kind::Value, i});
  return snapshot;
}

void Session::restore(const Snapshot &snapshot) {
  for (const auto &[ref, bytes] : snapshot.values)
    copyBytes(address(ref), bytes.data(), bytes.size());
}
