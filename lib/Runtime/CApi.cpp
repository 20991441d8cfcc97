//===- CApi.cpp - the C API -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/lathe.h"

#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Generate.h"
#include "lathe/Runtime/Session.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>

using namespace lathe::rt;

// The two enums are one.
static_assert(LATHE_F32 == int(DType::F32) && LATHE_BOOL == int(DType::Bool) &&
              LATHE_UI2 == int(DType::UI2) && LATHE_UI2 + 1 == int(numDTypes));

struct lathe_cache {
  std::unique_ptr<KvCache> cache;
};

namespace {
/// One entry of a model. What a run needs stays for the next one, so that a run
/// with sizes no larger than before allocates nothing.
struct EntryRunner {
  std::unique_ptr<Session> session;
  InputCompleter completer;
  InputOptions options;
  std::vector<std::optional<TensorView>> given; ///< by input
  std::vector<int> places;                      ///< by tensor that is wanted
  std::vector<void *> memory;                   ///< by output

  static Result<EntryRunner> create(std::shared_ptr<const Program> program,
                                    const std::string &entry, ThreadPool &pool);

  Status run(const lathe_run_options &run, const lathe_tensor *inputs,
             size_t inputCount, lathe_tensor *outputs, size_t outputCount);

private:
  EntryRunner(std::unique_ptr<Session> session, InputCompleter completer)
      : session(std::move(session)), completer(std::move(completer)) {}

  Status importInputs(const lathe_tensor *inputs, size_t count);
  Status importOutputs(const lathe_tensor *outputs, size_t count);
  Status importOptions(const lathe_run_options &run);
  Status checkRoom(const lathe_tensor *outputs, size_t count) const;
};
} // namespace

struct lathe_model {
  std::shared_ptr<const Program> program;
  std::unique_ptr<ThreadPool> pool;
  std::string manifest;
  std::mutex running;
  std::map<std::string, EntryRunner, std::less<>> runners;
  std::optional<Generator> generator; ///< from the first generation on
};

static thread_local std::string lastError;

/// Notes the failure for lathe_last_error.
static int fail(const std::string &message) {
  lastError = message;
  return -1;
}

int lathe_api_version(void) { return LATHE_API_VERSION; }

const char *lathe_last_error(void) { return lastError.c_str(); }

/// Bytes of the struct when it had no `level`.
static constexpr size_t leastLoadOptions = offsetof(lathe_load_options, level);

lathe_model *lathe_model_load(const char *dir,
                              const lathe_load_options *options) {
  if (!dir || (options && options->size < leastLoadOptions)) {
    fail("lathe_model_load: no folder, or options without their size");
    return nullptr;
  }
  // The fields that the caller's version of the struct has.
  lathe_load_options known = {};
  if (options)
    std::memcpy(&known, options, std::min(options->size, sizeof known));
  if (known.threads < 0) {
    fail("the number of threads is negative");
    return nullptr;
  }
  Program::LoadOptions loadOptions;
  loadOptions.verifyWeights = known.verify_weights;
  if (known.level)
    loadOptions.level = known.level;
  Result<std::shared_ptr<const Program>> program =
      Program::load(dir, loadOptions);
  if (program.failed()) {
    fail(program.message());
    return nullptr;
  }
  Result<std::unique_ptr<ThreadPool>> pool = ThreadPool::create(known.threads);
  if (pool.failed()) {
    fail(pool.message());
    return nullptr;
  }
  auto *model = new lathe_model;
  model->program = std::move(*program);
  model->pool = std::move(*pool);
  model->manifest = manifestToJson(model->program->manifest());
  return model;
}

void lathe_model_free(lathe_model *model) { delete model; }

const char *lathe_model_manifest(const lathe_model *model) {
  return model->manifest.c_str();
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

/// The place in a list of declarations that a tensor means: by name, else by
/// its own place; -1 if there is none.
template <typename Decl>
static int placeOf(const lathe_tensor &tensor, size_t index,
                   const std::vector<Decl> &decls) {
  if (!tensor.name)
    return index < decls.size() ? int(index) : -1;
  for (size_t i = 0; i < decls.size(); ++i)
    if (decls[i].name == tensor.name)
      return i;
  return -1;
}

static std::string describe(const lathe_tensor &tensor, size_t index) {
  return tensor.name ? std::string("'") + tensor.name + "'"
                     : std::to_string(index);
}

static bool isDense(const lathe_tensor &tensor) {
  if (!tensor.strides)
    return true;
  int64_t stride = 1;
  for (int axis = tensor.rank - 1; axis >= 0; --axis) {
    // The stride of an axis of one element is never used.
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != stride)
      return false;
    stride *= tensor.shape[axis];
  }
  return true;
}

/// Tests what the caller says of an input and gives its view.
static Result<TensorView> importInput(const lathe_tensor &tensor,
                                      size_t index) {
  // Built only for messages: this path allocates nothing.
  auto name = [&] { return "input " + describe(tensor, index); };
  if (tensor.dtype < 0 || tensor.dtype >= int(numDTypes))
    return Status::error(name() + " has no valid dtype");
  if (tensor.rank < 0 || tensor.rank > 64 || (tensor.rank > 0 && !tensor.shape))
    return Status::error(name() + " has no valid rank and shape");
  TensorView view = {DType(tensor.dtype), tensor.shape, unsigned(tensor.rank),
                     tensor.data};
  Result<int64_t> bytes = tensorBytes(view.dtype, view.shape, view.rank);
  if (bytes.failed())
    return bytes.takeStatus().prefixed(name() + ": ");
  if (tensor.bytes != -1 && tensor.bytes < *bytes)
    return Status::error(name() + " has " + std::to_string(tensor.bytes) +
                         " bytes, but its shape needs " +
                         std::to_string(*bytes));
  if (!isDense(tensor))
    return Status::error(name() + " is not dense and row-major");
  return view;
}

Result<EntryRunner> EntryRunner::create(std::shared_ptr<const Program> program,
                                        const std::string &entry,
                                        ThreadPool &pool) {
  Result<std::unique_ptr<Session>> session =
      Session::create(std::move(program), entry, pool);
  if (session.failed())
    return session.takeStatus();
  Result<InputCompleter> completer =
      InputCompleter::create((*session)->entry());
  if (completer.failed())
    return completer.takeStatus();
  return EntryRunner(std::move(*session), std::move(*completer));
}

Status EntryRunner::importInputs(const lathe_tensor *inputs, size_t count) {
  const Entry &entry = session->entry();
  given.assign(entry.inputs.size(), std::nullopt);
  for (size_t i = 0; i < count; ++i) {
    if (inputs[i].size < sizeof(lathe_tensor))
      return Status::error("input " + std::to_string(i) +
                           " does not give its struct's size");
    int place = placeOf(inputs[i], i, entry.inputs);
    if (place < 0)
      return Status::error("entry '" + entry.name + "' has no input " +
                           describe(inputs[i], i));
    Result<TensorView> view = importInput(inputs[i], i);
    if (view.failed())
      return view.takeStatus();
    if (given[place])
      return Status::error("input " + describe(inputs[i], i) +
                           " is given twice");
    given[place] = *view;
  }
  return Status::ok();
}

/// Finds the output that each tensor wants and the memory that it gives.
Status EntryRunner::importOutputs(const lathe_tensor *outputs, size_t count) {
  const Entry &entry = session->entry();
  places.clear();
  memory.assign(entry.outputs.size(), nullptr);
  for (size_t i = 0; i < count; ++i) {
    if (outputs[i].size < sizeof(lathe_tensor))
      return Status::error("output " + std::to_string(i) +
                           " does not give its struct's size");
    int place = placeOf(outputs[i], i, entry.outputs);
    if (place < 0 ||
        std::find(places.begin(), places.end(), place) != places.end())
      return Status::error("entry '" + entry.name + "' has no output " +
                           describe(outputs[i], i) + ", or it is given twice");
    places.push_back(place);
    memory[place] = outputs[i].data;
  }
  return Status::ok();
}

/// The cache, and the dims that the caller's rows of logits set.
Status EntryRunner::importOptions(const lathe_run_options &run) {
  const Entry &entry = session->entry();
  options.cache = run.cache ? run.cache->cache.get() : nullptr;
  if (run.logits_rows != 0 && entry.roles.logits.empty())
    return Status::error("entry '" + entry.name +
                         "' has no choice of the rows of logits");
  options.dims.resize(run.logits_rows != 0);
  for (auto &[name, value] : options.dims) {
    name = entry.roles.logits;
    value = run.logits_rows;
  }
  return Status::ok();
}

/// Tests the memory that the caller gives for outputs; they must be bound.
Status EntryRunner::checkRoom(const lathe_tensor *outputs, size_t count) const {
  for (size_t i = 0; i < count; ++i) {
    int64_t need = session->output(places[i]).bytes();
    if (outputs[i].data && outputs[i].bytes < need)
      return Status::error("output " + describe(outputs[i], i) + " needs " +
                           std::to_string(need) +
                           " bytes, but has memory for " +
                           std::to_string(outputs[i].bytes));
  }
  return Status::ok();
}

Status EntryRunner::run(const lathe_run_options &run,
                        const lathe_tensor *inputs, size_t inputCount,
                        lathe_tensor *outputs, size_t outputCount) {
  if (Status status = importInputs(inputs, inputCount); status.failed())
    return status;
  if (Status status = importOutputs(outputs, outputCount); status.failed())
    return status;
  if (Status status = importOptions(run); status.failed())
    return status;
  if (Status status = completer.complete(given, options); status.failed())
    return status;
  KvCache *cache = run.cache ? run.cache->cache.get() : nullptr;
  if (Status status =
          session->bind(completer.views(), memory, cache, options.dims);
      status.failed())
    return status;
  if (Status status = checkRoom(outputs, outputCount); status.failed())
    return status;
  if (Status status = session->run(); status.failed())
    return status;
  for (size_t i = 0; i < outputCount; ++i) {
    TensorView view = session->output(places[i]);
    outputs[i].data = view.data;
    outputs[i].bytes = view.bytes();
    outputs[i].dtype = int32_t(view.dtype);
    outputs[i].rank = view.rank;
    outputs[i].shape = view.shape;
  }
  return Status::ok();
}

static Status runModel(lathe_model &model, const lathe_run_options &run,
                       const lathe_tensor *inputs, size_t inputCount,
                       lathe_tensor *outputs, size_t outputCount) {
  std::string_view name = run.entry ? run.entry : "plain";
  auto found = model.runners.find(name);
  if (found == model.runners.end()) {
    Result<EntryRunner> made =
        EntryRunner::create(model.program, std::string(name), *model.pool);
    if (made.failed())
      return made.takeStatus();
    found = model.runners.emplace(name, std::move(*made)).first;
  }
  return found->second.run(run, inputs, inputCount, outputs, outputCount);
}

int lathe_model_run(lathe_model *model, const lathe_run_options *options,
                    const lathe_tensor *inputs, size_t input_count,
                    lathe_tensor *outputs, size_t output_count) {
  if (!model || (input_count > 0 && !inputs) || (output_count > 0 && !outputs))
    return fail("lathe_model_run: a null pointer");
  if (options && options->size < sizeof(lathe_run_options))
    return fail("lathe_model_run: options without their size");
  std::lock_guard<std::mutex> lock(model->running);
  Status status = runModel(*model, options ? *options : lathe_run_options(),
                           inputs, input_count, outputs, output_count);
  return status.failed() ? fail(status.message()) : 0;
}

int64_t lathe_model_generate(lathe_model *model, const int64_t *prompt,
                             size_t prompt_count, int64_t *tokens, size_t count,
                             int64_t max_context) {
  if (!model || !prompt || (count > 0 && !tokens) || count > INT64_MAX ||
      prompt_count > INT64_MAX || max_context < 0)
    return fail("lathe_model_generate: a null pointer or impossible size");
  std::lock_guard<std::mutex> lock(model->running);
  GenerateOptions options;
  options.count = count;
  options.maxContext = max_context;
  if (!model->generator)
    model->generator.emplace(model->program, *model->pool);
  Result<const Generation *> result =
      model->generator->run(prompt, prompt_count, options);
  if (result.failed())
    return fail(result.message());
  const std::vector<int64_t> &made = (*result)->tokens;
  std::copy(made.begin(), made.end(), tokens);
  return made.size();
}

//===----------------------------------------------------------------------===//
// Caches
//===----------------------------------------------------------------------===//

lathe_cache *lathe_cache_create(const lathe_model *model, int64_t batch,
                                int64_t max_context) {
  if (!model) {
    fail("lathe_cache_create: a null pointer");
    return nullptr;
  }
  for (const Entry &entry : model->program->manifest().entries) {
    if (entry.kv.empty())
      continue;
    Result<std::unique_ptr<KvCache>> cache =
        KvCache::create(entry, batch, max_context);
    if (cache.failed()) {
      fail(cache.message());
      return nullptr;
    }
    return new lathe_cache{std::move(*cache)};
  }
  fail("the model has no entry with a KV cache");
  return nullptr;
}

void lathe_cache_free(lathe_cache *cache) { delete cache; }

int64_t lathe_cache_length(const lathe_cache *cache) {
  return cache ? cache->cache->length() : 0;
}

int lathe_cache_truncate(lathe_cache *cache, int64_t length) {
  if (!cache || length < 0 || length > cache->cache->length())
    return fail("lathe_cache_truncate: no cache, or not its length");
  cache->cache->truncate(length);
  return 0;
}
