//===- Profile.cpp - what was measured on data ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/Profile.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"
#include <cstring>

using namespace lathe;
namespace json = llvm::json;

/// Name of the array with the JSON text.
static constexpr char kMeta[] = "meta";

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

namespace lathe {
static bool fromJSON(const json::Value &value, RankingStep &step,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("site", step.site) && map.map("error", step.error);
}

static bool fromJSON(const json::Value &value, Ranking &ranking,
                     json::Path path) {
  json::ObjectMapper map(value, path);
  return map && map.map("measure", ranking.measure) &&
         map.map("candidates", ranking.candidates) &&
         map.map("steps", ranking.steps);
}
} // namespace lathe

static json::Object toJson(const Ranking &ranking) {
  json::Array steps;
  for (const RankingStep &step : ranking.steps)
    steps.push_back(json::Object{{"site", step.site}, {"error", step.error}});
  return json::Object{{"measure", ranking.measure},
                      {"candidates", ranking.candidates},
                      {"steps", std::move(steps)}};
}

static std::string metaText(const Profile &profile) {
  json::Object rankings, seconds, aliases;
  for (const auto &[name, owner] : profile.aliases)
    aliases[name] = owner;
  for (const auto &[key, ranking] : profile.rankings)
    rankings[key] = toJson(ranking);
  for (const auto &[site, value] : profile.seconds)
    seconds[site] = value;
  json::Object meta{{"profile", Profile::formatVersion},
                    {"lathe", LATHE_VERSION},
                    {"source", profile.source},
                    {"passes", json::Array(profile.passes)},
                    {"data", profile.data},
                    {"items", profile.items},
                    {"positions", profile.positions},
                    {"consumers", json::Array(profile.consumers)},
                    {"rankings", std::move(rankings)},
                    {"seconds", std::move(seconds)},
                    {"aliases", std::move(aliases)},
                    {"observed", profile.observed}};
  std::string text;
  llvm::raw_string_ostream out(text);
  out << llvm::formatv("{0:2}\n", json::Value(std::move(meta)));
  return text;
}

static llvm::Error readMeta(llvm::StringRef text, Profile &profile) {
  auto value = json::parse(text);
  if (!value)
    return value.takeError();
  json::Path::Root root("meta");
  json::ObjectMapper map(*value, root);
  int64_t version = 0;
  if (!map || !map.map("profile", version))
    return root.getError();
  if (version != Profile::formatVersion)
    return llvm::createStringError(
        "format version " + llvm::Twine(version) + ", this Lathe reads " +
        llvm::Twine(Profile::formatVersion) + "; calibrate again");
  if (!map.map("source", profile.source) ||
      !map.map("passes", profile.passes) || !map.map("data", profile.data) ||
      !map.map("items", profile.items) ||
      !map.map("positions", profile.positions) ||
      !map.map("consumers", profile.consumers) ||
      !map.map("rankings", profile.rankings) ||
      !map.map("seconds", profile.seconds) ||
      !map.mapOptional("aliases", profile.aliases) ||
      !map.mapOptional("observed", profile.observed))
    return root.getError();
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

llvm::Expected<Profile> Profile::load(llvm::StringRef path) {
  auto fail = [&](const llvm::Twine &reason) {
    return llvm::createStringError(path + ": " + reason);
  };
  auto tensors = rt::readNpz(path.str());
  if (tensors.failed())
    return llvm::createStringError(tensors.message());
  Profile profile;
  profile.arrays = std::move(tensors->tensors);
  auto meta = profile.arrays.find(kMeta);
  if (meta == profile.arrays.end() || meta->second.dtype() != rt::DType::UI8)
    return fail("is no profile of Lathe");
  llvm::StringRef text(meta->second.as<char>(), meta->second.elements());
  if (llvm::Error error = readMeta(text, profile))
    return fail("is no profile that can be read: " +
                llvm::toString(std::move(error)));
  profile.arrays.erase(meta);
  return std::move(profile);
}

llvm::Error Profile::save(llvm::StringRef path) const {
  std::string text = metaText(*this);
  int64_t size = text.size();
  std::vector<std::pair<std::string, rt::TensorView>> views;
  views.emplace_back(kMeta,
                     rt::TensorView{rt::DType::UI8, &size, 1, text.data()});
  for (const auto &[name, tensor] : arrays)
    views.emplace_back(name, tensor.view());
  rt::Status status = rt::writeNpz(path.str(), views);
  return status.failed() ? llvm::createStringError(status.message())
                         : llvm::Error::success();
}

const rt::Tensor *Profile::find(const std::string &name) const {
  auto alias = aliases.find(name);
  auto found = arrays.find(alias == aliases.end() ? name : alias->second);
  return found == arrays.end() ? nullptr : &found->second;
}

//===----------------------------------------------------------------------===//
// Identity
//===----------------------------------------------------------------------===//

llvm::Error Profile::checkSource(llvm::StringRef path,
                                 mlir::ModuleOp model) const {
  std::string hash = sourceHash(model);
  if (hash == source)
    return llvm::Error::success();
  return llvm::createStringError("profile '" + path +
                                 "' was made on another model (" + source +
                                 ", this is " + hash + ")");
}

static std::string passList(const std::vector<std::string> &passes) {
  return passes.empty() ? "no passes" : "'" + llvm::join(passes, ",") + "'";
}

llvm::Error Profile::check(llvm::StringRef path, mlir::ModuleOp model) const {
  if (llvm::Error error = checkSource(path, model))
    return error;
  std::vector<std::string> applied = appliedPasses(model);
  if (applied == passes)
    return llvm::Error::success();
  return llvm::createStringError(
      "profile '" + path + "' was made after " + passList(passes) +
      ", but to this model " + passList(applied) +
      (applied.size() == 1 ? " was applied" : " were applied") +
      "; calibrate again");
}
