//===- CApi.cpp - the C API -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/lathe.h"

#include "lathe/Runtime/Generate.h"
#include "lathe/Runtime/Runner.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

using namespace lathe::rt;

// The two enums are one.
static_assert(LATHE_F32 == int(DType::F32) && LATHE_BOOL == int(DType::Bool) &&
              LATHE_UI2 == int(DType::UI2) && LATHE_UI2 + 1 == int(numDTypes));

struct lathe_model {
  std::shared_ptr<const Program> program;
  std::unique_ptr<ThreadPool> pool;
  std::string manifest;
  std::mutex running;
  std::map<std::string, std::unique_ptr<Session>> sessions;
};

struct lathe_cache {
  std::unique_ptr<KvCache> cache;
};

static thread_local std::string lastError;

/// Notes the failure for lathe_last_error.
static int fail(const std::string &message) {
  lastError = message;
  return -1;
}

int lathe_api_version(void) { return LATHE_API_VERSION; }

const char *lathe_last_error(void) { return lastError.c_str(); }

lathe_model *lathe_model_load(const char *dir,
                              const lathe_load_options *options) {
  if (!dir || (options && options->size < sizeof(lathe_load_options))) {
    fail("lathe_model_load: no folder, or options without their size");
    return nullptr;
  }
  if (options && options->threads < 0) {
    fail("the number of threads is negative");
    return nullptr;
  }
  Program::LoadOptions loadOptions;
  loadOptions.verifyWeights = options && options->verify_weights;
  Result<std::shared_ptr<const Program>> program =
      Program::load(dir, loadOptions);
  if (program.failed()) {
    fail(program.message());
    return nullptr;
  }
  Result<std::unique_ptr<ThreadPool>> pool =
      ThreadPool::create(options ? options->threads : 0);
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

/// Tests what the caller says of an input and makes a tensor over it.
static Result<Tensor> importInput(const lathe_tensor &tensor, size_t index) {
  std::string name = "input " + describe(tensor, index);
  if (tensor.dtype < 0 || tensor.dtype >= int(numDTypes))
    return Status::error(name + " has no valid dtype");
  if (tensor.rank < 0 || tensor.rank > 64 || (tensor.rank > 0 && !tensor.shape))
    return Status::error(name + " has no valid rank and shape");
  DType dtype = DType(tensor.dtype);
  Result<int64_t> bytes = tensorBytes(dtype, tensor.shape, tensor.rank);
  if (bytes.failed())
    return bytes.takeStatus().prefixed(name + ": ");
  if (tensor.bytes != -1 && tensor.bytes < *bytes)
    return Status::error(name + " has " + std::to_string(tensor.bytes) +
                         " bytes, but its shape needs " +
                         std::to_string(*bytes));
  if (!isDense(tensor))
    return Status::error(name + " is not dense and row-major");
  std::vector<int64_t> shape(tensor.shape, tensor.shape + tensor.rank);
  return Tensor::over(dtype, std::move(shape), tensor.data, nullptr);
}

static Status importInputs(const Entry &entry, const lathe_tensor *inputs,
                           size_t count, TensorMap &result) {
  for (size_t i = 0; i < count; ++i) {
    if (inputs[i].size < sizeof(lathe_tensor))
      return Status::error("input " + std::to_string(i) +
                           " does not give its struct's size");
    int place = placeOf(inputs[i], i, entry.inputs);
    if (place < 0)
      return Status::error("entry '" + entry.name + "' has no input " +
                           describe(inputs[i], i));
    Result<Tensor> tensor = importInput(inputs[i], i);
    if (tensor.failed())
      return tensor.takeStatus();
    if (!result.tensors.emplace(entry.inputs[place].name, std::move(*tensor))
             .second)
      return Status::error("input " + describe(inputs[i], i) +
                           " is given twice");
  }
  return Status::ok();
}

/// Finds the output that each tensor wants and the memory that it gives.
static Status importOutputs(const Entry &entry, const lathe_tensor *outputs,
                            size_t count, std::vector<int> &places,
                            std::vector<void *> &memory) {
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

static Result<Session *> sessionOf(lathe_model &model,
                                   const std::string &entry) {
  std::unique_ptr<Session> &session = model.sessions[entry];
  if (!session) {
    Result<std::unique_ptr<Session>> made =
        Session::create(model.program, entry, *model.pool);
    if (made.failed())
      return made.takeStatus();
    session = std::move(*made);
  }
  return session.get();
}

/// The dims that the caller's rows of logits set.
static Status logitsDims(const Entry &entry, int64_t rows, DimValues &dims) {
  if (rows == 0)
    return Status::ok();
  if (entry.roles.logits.empty())
    return Status::error("entry '" + entry.name +
                         "' has no choice of the rows of logits");
  dims.emplace_back(entry.roles.logits, rows);
  return Status::ok();
}

static Status runModel(lathe_model &model, const lathe_run_options &run,
                       const lathe_tensor *inputs, size_t inputCount,
                       lathe_tensor *outputs, size_t outputCount) {
  std::string entryName = run.entry ? run.entry : "plain";
  KvCache *cache = run.cache ? run.cache->cache.get() : nullptr;
  if (Result<const Entry *> found = model.program->entry(entryName);
      found.failed())
    return found.takeStatus();
  Result<Session *> found = sessionOf(model, entryName);
  if (found.failed())
    return found.takeStatus();
  Session &session = **found;
  const Entry &entry = session.entry();

  TensorMap tensors;
  std::vector<std::string> notes;
  std::vector<int> places;
  std::vector<void *> memory;
  if (Status status = importInputs(entry, inputs, inputCount, tensors);
      status.failed())
    return status;
  if (Status status =
          importOutputs(entry, outputs, outputCount, places, memory);
      status.failed())
    return status;
  InputOptions options;
  options.cache = cache;
  if (Status status = logitsDims(entry, run.logits_rows, options.dims);
      status.failed())
    return status;
  if (Status status = completeInputs(entry, options, tensors, notes);
      status.failed())
    return status;
  std::vector<TensorView> views;
  for (const ValueDecl &input : entry.inputs)
    views.push_back(tensors.find(input.name)->view());
  if (Status status = session.bind(views, memory, cache, options.dims);
      status.failed())
    return status;
  for (size_t i = 0; i < outputCount; ++i) {
    int64_t need = session.output(places[i]).bytes();
    if (outputs[i].data && outputs[i].bytes < need)
      return Status::error("output " + describe(outputs[i], i) + " needs " +
                           std::to_string(need) +
                           " bytes, but has memory for " +
                           std::to_string(outputs[i].bytes));
  }
  if (Status status = session.run(); status.failed())
    return status;
  for (size_t i = 0; i < outputCount; ++i) {
    TensorView view = session.output(places[i]);
    outputs[i].data = view.data;
    outputs[i].bytes = view.bytes();
    outputs[i].dtype = int32_t(view.dtype);
    outputs[i].rank = view.rank;
    outputs[i].shape = view.shape;
  }
  return Status::ok();
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
      max_context < 0)
    return fail("lathe_model_generate: a null pointer or impossible size");
  std::lock_guard<std::mutex> lock(model->running);
  GenerateOptions options;
  options.count = count;
  options.maxContext = max_context;
  Result<Generation> result =
      generate(model->program, *model->pool,
               std::vector<int64_t>(prompt, prompt + prompt_count), options);
  if (result.failed())
    return fail(result.message());
  std::copy(result->tokens.begin(), result->tokens.end(), tokens);
  return result->tokens.size();
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
