//===- Calibrate.cpp - lathe calibrate and lathe profile ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Calibrate.h"
#include "Command.h"
#include "Progress.h"
#include "lathe/Compress/Skip/SkipPoints.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

using namespace lathe;
using namespace lathe::cli;
namespace json = llvm::json;
namespace cl = llvm::cl;

#define CALIBRATE cl::sub(subCommand("calibrate"))
static cl::opt<std::string>
    dataOption("data", cl::Required, cl::value_desc("D.npz"),
               cl::desc("Inputs by name, one row per item"), CALIBRATE);
static cl::opt<std::string>
    forOption("for", cl::Required, cl::value_desc("PASS{options},..."),
              cl::desc("Passes that are to find what they need"), CALIBRATE);
static cl::opt<std::string> outputOption("o", cl::Required,
                                         cl::value_desc("P.profile"),
                                         cl::desc("The profile"), CALIBRATE);
static cl::opt<int64_t> limitOption("limit", cl::init(0), cl::value_desc("N"),
                                    cl::desc("Items at most"), CALIBRATE);
static cl::opt<int64_t> seqOption("seq", cl::init(0), cl::value_desc("N"),
                                  cl::desc("Positions of an item at most"),
                                  CALIBRATE);
static cl::opt<int64_t>
    memoryOption("memory", cl::init(2048), cl::value_desc("MB"),
                 cl::desc("For kept values; beyond, they are computed again"),
                 CALIBRATE);

llvm::Error cli::runCalibrate() {
  auto start = std::chrono::steady_clock::now();
  auto model = loadModel();
  if (!model)
    return model.takeError();
  if (!model->module)
    return llvm::createStringError(
        options.model + ": calibration needs a model file; this is compiled");
  auto target = runnableTarget();
  if (!target)
    return target.takeError();
  auto data = toExpected(rt::readTensors(dataOption));
  if (!data)
    return data.takeError();
  ProgressLine line(llvm::errs().is_displayed() && !options.json);
  CalibrateOptions calibrate;
  calibrate.passes = forOption;
  calibrate.compile = compileOptions({*target});
  calibrate.run.limit = limitOption;
  calibrate.run.positions = seqOption;
  calibrate.run.memory = memoryOption << 20;
  calibrate.output = outputOption;
  calibrate.progress = [&](llvm::StringRef what, double share) {
    line.show(what, share);
  };
  calibrate.note = [](const llvm::Twine &text) { note(text); };
  auto profile = lathe::calibrate(*model->module, *data, calibrate);
  if (!profile)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(profile.takeError()));
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (options.json) {
    printJson(json::Object{{"passes", json::Array(profile->consumers)},
                           {"sites", int64_t(profile->seconds.size()) - 1},
                           {"items", profile->items},
                           {"seconds", seconds}});
    return llvm::Error::success();
  }
  llvm::outs() << llvm::formatv(
      "{0}: {1} on {2} items in {3:f1} s\n", outputOption,
      llvm::join(profile->consumers, ", "), profile->items, seconds);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// lathe profile
//===----------------------------------------------------------------------===//

static cl::opt<std::string> profileOption(cl::Positional, cl::Required,
                                          cl::desc("P.profile"),
                                          cl::sub(subCommand("profile")));

using ObservedValues = std::map<std::string, std::map<std::string, double>>;

/// The sites that have one of `columns`, and what they have of them.
static void printObserved(const ObservedValues &values,
                          llvm::ArrayRef<std::string> columns) {
  std::vector<std::string> sites;
  for (const auto &[site, row] : values)
    if (llvm::any_of(columns, [&, &row = row](const std::string &column) {
          return row.count(column) > 0;
        }))
      sites.push_back(site);
  if (sites.empty())
    return;
  llvm::sort(sites, [](llvm::StringRef a, llvm::StringRef b) {
    return a.compare_numeric(b) < 0;
  });
  llvm::outs() << llvm::formatv("\n{0,-36}", "site");
  for (const std::string &column : columns)
    llvm::outs() << llvm::formatv(" {0,12}", column);
  for (const std::string &site : sites) {
    llvm::outs() << llvm::formatv("\n{0,-36}", site);
    const std::map<std::string, double> &row = values.at(site);
    for (const std::string &column : columns) {
      auto found = row.find(column);
      std::string text;
      if (found != row.end())
        text = llvm::formatv("{0:f5}", found->second).str();
      llvm::outs() << llvm::formatv(" {0,12}", text);
    }
  }
  llvm::outs() << "\n";
}

static llvm::Error printProfile(const Profile &profile) {
  llvm::outs() << llvm::formatv(
      "model {0}, after {1}\n", profile.source,
      profile.passes.empty() ? "no passes" : llvm::join(profile.passes, ","));
  llvm::outs() << llvm::formatv("data {0}: {1} items", profile.data,
                                profile.items);
  if (profile.positions > 0)
    llvm::outs() << llvm::formatv(" of {0} positions", profile.positions);
  llvm::outs() << llvm::formatv("\nfor {0}\n",
                                llvm::join(profile.consumers, ", "));
  for (const auto &[key, ranking] : profile.rankings) {
    llvm::outs() << llvm::formatv("\n{0}: {1} of {2} candidates\n", key,
                                  ranking.steps.size(), ranking.candidates);
    llvm::outs() << llvm::formatv("{0,5} {1,-36} {2}\n", "step", "site",
                                  ranking.measure);
    for (auto [index, step] : llvm::enumerate(ranking.steps))
      llvm::outs() << llvm::formatv("{0,5} {1,-36} {2:f6}\n", index + 1,
                                    step.site, step.error);
  }
  for (const std::string &key : skipPointsKeys(profile)) {
    auto points = SkipPoints::load(profile, key);
    if (!points)
      return points.takeError();
    llvm::outs() << "\n" << key << ": ";
    points->print(llvm::outs());
  }
  ObservedValues observed = observedValues(profile);
  printObserved(observed, {"min", "max", "mean", "std"});
  printObserved(observed,
                {"norm_before", "norm_behind", "saturation", "angle"});
  llvm::outs() << llvm::formatv("\n{0,-24} {1}\n", "site", "ms per item");
  for (const auto &[site, seconds] : profile.seconds)
    llvm::outs() << llvm::formatv("{0,-24} {1:f3}\n", site, seconds * 1e3);
  for (const auto &[name, tensor] : profile.arrays)
    llvm::outs() << llvm::formatv(
        "{0} {1}{2}\n", name, rt::dtypeName(tensor.dtype()),
        rt::shapeText(tensor.shape().data(), tensor.rank()));
  return llvm::Error::success();
}

static json::Object profileJson(const Profile &profile) {
  json::Object rankings, seconds, arrays, observed;
  for (const auto &[site, numbers] : observedValues(profile)) {
    json::Object row;
    for (const auto &[name, value] : numbers)
      row[name] = value;
    observed[site] = std::move(row);
  }
  for (const auto &[key, ranking] : profile.rankings) {
    json::Array steps;
    for (const RankingStep &step : ranking.steps)
      steps.push_back(json::Object{{"site", step.site}, {"error", step.error}});
    rankings[key] = json::Object{{"measure", ranking.measure},
                                 {"candidates", ranking.candidates},
                                 {"steps", std::move(steps)}};
  }
  for (const auto &[site, value] : profile.seconds)
    seconds[site] = value;
  for (const auto &[name, tensor] : profile.arrays)
    arrays[name] = rt::shapeText(tensor.shape().data(), tensor.rank());
  return json::Object{{"source", profile.source},
                      {"applied", json::Array(profile.passes)},
                      {"data", profile.data},
                      {"items", profile.items},
                      {"positions", profile.positions},
                      {"passes", json::Array(profile.consumers)},
                      {"rankings", std::move(rankings)},
                      {"seconds", std::move(seconds)},
                      {"arrays", std::move(arrays)},
                      {"observed", std::move(observed)}};
}

llvm::Error cli::runProfile() {
  auto profile = Profile::load(profileOption);
  if (!profile)
    return profile.takeError();
  if (!options.json)
    return printProfile(*profile);
  printJson(profileJson(*profile));
  return llvm::Error::success();
}
