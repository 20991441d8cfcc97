//===- Run.cpp - lathe run, and one entry at work ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"
#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;

//===----------------------------------------------------------------------===//
// Runner
//===----------------------------------------------------------------------===//

llvm::Expected<std::unique_ptr<rt::ThreadPool>> cli::makePool() {
  return toExpected(rt::ThreadPool::create(options.threads));
}

llvm::Expected<std::unique_ptr<Runner>>
Runner::create(const LoadedProgram &loaded, const std::string &entry,
               rt::Session::Options sessionOptions) {
  auto runner = std::make_unique<Runner>();
  auto pool = makePool();
  if (!pool)
    return pool.takeError();
  runner->pool = std::move(*pool);
  auto session = toExpected(rt::Session::create(loaded.program, entry,
                                                *runner->pool, sessionOptions));
  if (!session)
    return session.takeError();
  runner->owned = std::move(*session);
  auto dims = dimValues(runner->owned->entry());
  if (!dims)
    return dims.takeError();
  runner->dims = std::move(*dims);
  return runner;
}

llvm::Error Runner::bind(rt::TensorMap inputs, bool sample) {
  rt::InputOptions input;
  input.dims = dims;
  input.cache = cache.get();
  input.sample = sample;
  std::vector<std::string> notes;
  if (llvm::Error error =
          toError(rt::completeInputs(owned->entry(), input, inputs, notes)))
    return error;
  for (const std::string &text : notes)
    note(text);
  bound = std::move(inputs);
  return toError(owned->bind(bound, cache.get(), dims));
}

llvm::Error Runner::run(const rt::TensorMap &inputs) {
  if (llvm::Error error = bind(inputs, /*sample=*/false))
    return error;
  return toError(owned->run());
}

llvm::Error Runner::makeCache(bool allLogits) {
  const rt::Entry &entry = owned->entry();
  auto solver = toExpected(rt::DimSolver::create(entry));
  if (!solver)
    return solver.takeError();
  if (int past = solver->find(entry.roles.past); past >= 0)
    solver->setDim(past, context);
  for (auto &[name, value] : dims)
    if (llvm::Error error = toError(solver->set(name, value)))
      return error;
  if (llvm::Error error = toError(solver->solve()))
    return error;
  auto valueOf = [&](const std::string &name, int64_t otherwise) {
    int dim = solver->find(name);
    return dim >= 0 && solver->isKnown(dim) ? solver->values()[dim] : otherwise;
  };
  int64_t batch = valueOf(entry.roles.batch, 1);
  int64_t rows = valueOf(entry.roles.sequence, 1);
  // Decoding is one row per step unless it is told otherwise.
  if (entry.name == "decode" && !entry.roles.sequence.empty())
    dims.emplace_back(entry.roles.sequence, rows);
  if (allLogits && !entry.roles.logits.empty())
    dims.emplace_back(entry.roles.logits, rows);
  auto made = toExpected(rt::KvCache::create(entry, batch, context + rows));
  if (!made)
    return made.takeError();
  cache = std::move(*made);
  return toError(cache->append(context));
}

llvm::Error Runner::bindSample(int64_t positions, bool allLogits) {
  context = positions;
  if (!owned->entry().kv.empty())
    if (llvm::Error error = makeCache(allLogits))
      return error;
  return bind({}, /*sample=*/true);
}

llvm::Error Runner::rerun() {
  if (cache) {
    cache->truncate(context);
    if (llvm::Error error = toError(owned->bind(bound, cache.get(), dims)))
      return error;
  }
  return toError(owned->run());
}

//===----------------------------------------------------------------------===//
// lathe run
//===----------------------------------------------------------------------===//

#define RUN cl::sub(subCommand("run"))
static cl::opt<std::string>
    inputsOption("inputs", cl::Required, cl::value_desc("F"),
                 cl::desc("Inputs: an .npz or a folder of ONNX test files"),
                 RUN);
static cl::opt<std::string> outputsOption("outputs", cl::value_desc("G.npz"),
                                          cl::desc("Where outputs go"), RUN);

/// A line per output: its shape and a few figures that show it is sane.
static void printOutput(const std::string &name, rt::TensorView tensor) {
  llvm::outs() << llvm::formatv("{0,-24} {1,-5} {2}", name,
                                rt::dtypeName(tensor.dtype),
                                rt::shapeText(tensor.shape, tensor.rank));
  int64_t count = tensor.elements();
  if (rt::isFloat(tensor.dtype) && count > 0 &&
      rt::dtypeBytes(tensor.dtype) >= 2) {
    double smallest = INFINITY, largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; ++i) {
      double value = rt::loadFloat(tensor.dtype, tensor.data, i);
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
      sum += value;
    }
    llvm::outs() << llvm::format("  min %.6g  mean %.6g  max %.6g", smallest,
                                 sum / count, largest);
  }
  llvm::outs() << "\n";
}

llvm::Error cli::runRun() {
  // Inputs first: a wrong path should not cost a compilation.
  auto inputs = toExpected(rt::readTensors(inputsOption));
  if (!inputs)
    return inputs.takeError();
  auto loaded = loadProgram({"plain"});
  if (!loaded)
    return loaded.takeError();
  auto runner = Runner::create(*loaded, "plain");
  if (!runner)
    return runner.takeError();
  if (llvm::Error error = (*runner)->run(*inputs))
    return error;
  rt::Session &session = (*runner)->session();
  std::vector<std::pair<std::string, rt::TensorView>> outputs;
  for (unsigned n = 0; n < session.entry().outputs.size(); ++n)
    outputs.emplace_back(session.entry().outputs[n].name, session.output(n));
  if (!outputsOption.empty())
    if (llvm::Error error = toError(rt::writeNpz(outputsOption, outputs)))
      return error;
  if (options.json) {
    llvm::json::Array rows;
    for (auto &[name, tensor] : outputs) {
      llvm::json::Array shape;
      for (unsigned n = 0; n < tensor.rank; ++n)
        shape.push_back(tensor.shape[n]);
      rows.push_back(llvm::json::Object{{"name", name},
                                        {"dtype", rt::dtypeName(tensor.dtype)},
                                        {"shape", std::move(shape)}});
    }
    printJson(llvm::json::Object{{"outputs", std::move(rows)}});
    return llvm::Error::success();
  }
  for (auto &[name, tensor] : outputs)
    printOutput(name, tensor);
  return llvm::Error::success();
}
