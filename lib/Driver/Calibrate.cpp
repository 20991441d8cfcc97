//===- Calibrate.cpp - a profile of a model on data -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Calibrate.h"
#include "lathe/Calibrate/Calibration.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;
using namespace lathe;

llvm::Expected<std::shared_ptr<const rt::Program>>
lathe::loadForSearch(ModuleOp model, const CompileOptions &options,
                     Observers *observers) {
  OwningOpRef<ModuleOp> copy = model.clone();
  auto plain = copy->lookupSymbol<func::FuncOp>("plain");
  if (!plain)
    return llvm::createStringError("the model has no entry 'plain'");
  if (observers)
    if (llvm::Error error = observers->exposeStreams(plain))
      return std::move(error);
  separateSublayers(plain);
  if (observers)
    if (llvm::Error error = observers->exposeInputs(plain))
      return std::move(error);
  CompileOptions compile = options;
  compile.entries = {"plain"};
  auto compiled = compileModel(*copy, compile);
  if (!compiled)
    return compiled.takeError();
  return loadInMemory(std::move(*compiled), getPayloads(model));
}

/// What an interrupted run has left, if it is of the same request; else the
/// empty profile of this one.
static Profile continueProfile(const Profile &fresh, const std::string &partial,
                               const CalibrateOptions &options) {
  if (!llvm::sys::fs::exists(partial))
    return fresh;
  auto earlier = Profile::load(partial);
  if (!earlier) {
    options.note("starting over: " + llvm::toString(earlier.takeError()));
    return fresh;
  }
  if (earlier->source != fresh.source || earlier->passes != fresh.passes ||
      earlier->data != fresh.data || earlier->items != fresh.items ||
      earlier->positions != fresh.positions) {
    options.note("starting over: " + partial +
                 " is of another model or other data");
    return fresh;
  }
  options.note("going on from " + partial);
  earlier->consumers = fresh.consumers;
  return std::move(*earlier);
}

/// The times of the stages by site; those between sub-layers count for the
/// whole only.
static void recordSeconds(const StageRunner &runner, Profile &profile) {
  double whole = 0;
  for (auto [index, stage] : llvm::enumerate(runner.entry().stages)) {
    whole += runner.seconds(index);
    if (stage.residual)
      profile.seconds[stage.site] = runner.seconds(index);
  }
  profile.seconds["model"] = whole;
}

/// Measures what the requests declare, unless the profile has it.
static llvm::Error observe(ModuleOp model, const rt::TensorMap &data,
                           const CalibrateOptions &options,
                           PreparedCalibration &prepared) {
  Observers observers;
  for (auto &request : prepared.requests)
    if (llvm::Error error = request->declare(model, observers))
      return error;
  Profile &profile = prepared.profile;
  if (observers.empty() || profile.observed == observers.text())
    return llvm::Error::success();
  auto program = loadForSearch(model, options.compile, &observers);
  if (!program)
    return program.takeError();
  auto runner =
      StageRunner::create(*program, "plain", *prepared.pool, data, options.run);
  if (!runner)
    return runner.takeError();
  if (llvm::Error error =
          observers.run(**runner, profile, [&](unsigned done, unsigned all) {
            options.progress("observers", double(done) / all);
          }))
    return error;
  return profile.save(prepared.partial);
}

llvm::Expected<std::unique_ptr<PreparedCalibration>>
PreparedCalibration::create(ModuleOp model, const rt::TensorMap &data,
                            const CalibrateOptions &options) {
  auto result = std::make_unique<PreparedCalibration>();
  Profile &profile = result->profile;
  auto requests =
      parseCalibration(options.passes, model.getContext(), profile.consumers);
  if (!requests)
    return requests.takeError();
  result->requests = std::move(*requests);
  auto program = loadForSearch(model, options.compile);
  if (!program)
    return program.takeError();
  auto pool = rt::ThreadPool::create(options.compile.threads);
  if (pool.failed())
    return llvm::createStringError(pool.message());
  result->pool = std::move(*pool);
  auto runner =
      StageRunner::create(*program, "plain", *result->pool, data, options.run);
  if (!runner)
    return runner.takeError();
  result->runner = std::move(*runner);

  profile.source = sourceHash(model);
  profile.passes = appliedPasses(model);
  profile.data = result->runner->dataHash();
  profile.items = result->runner->items();
  profile.positions = result->runner->positions();
  result->partial = options.output + ".partial";
  profile = continueProfile(profile, result->partial, options);
  if (llvm::Error error = observe(model, data, options, *result))
    return std::move(error);
  if (llvm::Error error =
          result->runner->prepare([&](unsigned done, unsigned all) {
            options.progress("dense run", double(done) / all);
          }))
    return std::move(error);
  recordSeconds(*result->runner, profile);
  return std::move(result);
}

llvm::Error PreparedCalibration::runRequests(ModuleOp model,
                                             const CalibrateOptions &options) {
  auto compile = [&](std::vector<std::string> entries)
      -> llvm::Expected<std::shared_ptr<const rt::Program>> {
    CompileOptions compile = options.compile;
    compile.entries = std::move(entries);
    auto compiled = compileModel(model, compile);
    if (!compiled)
      return compiled.takeError();
    return loadInMemory(std::move(*compiled), getPayloads(model));
  };
  CalibrationContext context{*runner,
                             model,
                             compile,
                             profile,
                             [&] { return profile.save(partial); },
                             options.progress};
  for (auto &request : requests)
    if (llvm::Error error = request->run(context))
      return error;
  if (llvm::Error error = profile.save(options.output))
    return error;
  (void)llvm::sys::fs::remove(partial);
  return llvm::Error::success();
}

llvm::Expected<Profile> lathe::calibrate(ModuleOp model,
                                         const rt::TensorMap &data,
                                         const CalibrateOptions &options) {
  auto prepared = PreparedCalibration::create(model, data, options);
  if (!prepared)
    return prepared.takeError();
  if (llvm::Error error = (*prepared)->runRequests(model, options))
    return std::move(error);
  return std::move((*prepared)->profile);
}
