//===- FfnSkip.cpp - FFN-SkipLLM ------------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// FFN-SkipLLM (arXiv 2404.03865). The pass only says where and when; stages are
// the same objects with and without a gate, and the runtime decides
// (lathe/Runtime/SkipGate.h).
//
//===----------------------------------------------------------------------===//

#include "FfnSkipRequest.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Report/Report.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FormatVariadic.h"
#include <charconv>

namespace lathe {
#define GEN_PASS_DEF_FFNSKIP
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
struct FfnSkip : lathe::impl::FfnSkipBase<FfnSkip> {
  using FfnSkipBase::FfnSkipBase;

  void runOnOperation() override {
    if (failed(gate()))
      signalPassFailure();
  }

  llvm::Expected<FfnSkipRequest::Options> request() const;

private:
  LogicalResult gate();
  llvm::Error checkSigns() const;
  llvm::Error checkOptions() const;
  llvm::Error choose(ModuleOp model, int64_t ffns);
  llvm::Expected<SkipAttr> getRule(int64_t ffns, int64_t gated);
  SkipFilter filter() const;
  void report(ModuleOp model, ArrayRef<SublayerOp> ffns, int64_t first,
              int64_t last);

  /// What a profile says of the rule that is applied.
  SkipPoints measured;
  std::optional<SkipPoint> chosen;
};
} // namespace

//===----------------------------------------------------------------------===//
// Options
//===----------------------------------------------------------------------===//

llvm::Error FfnSkip::checkSigns() const {
  if (k < 0 || warmup < 0 || seed < 0 || front < -1 || tail < -1)
    return llvm::createStringError(
        "k=, front=, tail=, warmup= and seed= are not negative");
  return llvm::Error::success();
}

llvm::Error FfnSkip::checkOptions() const {
  if (rule != "cosine" && rule != "random")
    return llvm::createStringError("rule '" + rule +
                                   "' is not cosine or random");
  if (llvm::Error error = checkSigns())
    return error;
  bool isShare = ratio > 0 && ratio < 1;
  if (rule == "random")
    return !isShare ? llvm::createStringError(
                          "rule=random needs ratio= between 0 and 1")
           : profile.empty()
               ? llvm::Error::success()
               : llvm::createStringError("rule=random takes no profile=");
  if (profile.empty())
    return tau > 0 ? llvm::Error::success()
                   : llvm::createStringError(
                         "needs tau=, the cosine from which on an FFN counts "
                         "as saturated (above 0), or profile=FILE, made by "
                         "'lathe calibrate --for lathe-ffn-skip', and ratio=");
  if (tau != 0)
    return llvm::createStringError("tau= and profile= exclude each other");
  return isShare
             ? llvm::Error::success()
             : llvm::createStringError("profile= needs ratio= between 0 and 1");
}

SkipFilter FfnSkip::filter() const {
  SkipFilter result;
  if (k > 0)
    result.k = k;
  if (front >= 0)
    result.front = front;
  if (tail >= 0)
    result.tail = tail;
  return result;
}

llvm::Expected<FfnSkipRequest::Options> FfnSkip::request() const {
  if (rule != "cosine" || tau != 0)
    return llvm::createStringError(
        "tau= and the rule random need nothing measured");
  if (llvm::Error error = checkSigns())
    return std::move(error);
  if (!(ratio >= 0 && ratio < 1))
    return llvm::createStringError("ratio= is a share, from 0 to below 1");
  FfnSkipRequest::Options result;
  result.warmup = warmup;
  result.ratio = ratio;
  result.filter = filter();
  return result;
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeFfnSkipRequest(Pass &pass) {
  auto options = static_cast<FfnSkip &>(pass).request();
  if (!options)
    return options.takeError();
  return std::make_unique<FfnSkipRequest>(*options);
}

//===----------------------------------------------------------------------===//
// The choice by measurement
//===----------------------------------------------------------------------===//

/// Says so where chance does no worse than the rule that was chosen.
static void compareWithChance(ModuleOp model, const SkipPoints &measured,
                              const SkipPoint &chosen,
                              const SkipFilter &filter) {
  auto chance = measured.best(/*random=*/true, chosen.ratio);
  if (!chance || chosen.loss < chance->loss)
    return;
  auto win = measured.nearestWin(chosen.ratio, filter);
  std::string offer =
      win ? llvm::formatv("at ratio={0:f3} a rule beats chance", *win).str()
          : std::string("no measured ratio is better");
  model.emitWarning() << llvm::formatv(
      "lathe-ffn-skip: at ratio={0:f3} no rule beats chance: {1:f4} bits "
      "against {2:f4} ({3:f4} with nothing skipped); {4}",
      chosen.ratio, chosen.loss, chance->loss, measured.dense, offer);
}

/// Sets the options to what the profile found best at the wanted ratio.
llvm::Error FfnSkip::choose(ModuleOp model, int64_t ffns) {
  auto loaded = Profile::load(profile);
  if (!loaded)
    return loaded.takeError();
  if (llvm::Error error = loaded->check(profile, model))
    return error;
  auto points = SkipPoints::load(*loaded, skipPointsKey(warmup));
  if (!points)
    return llvm::createStringError("profile '" + profile + "' " +
                                   llvm::toString(points.takeError()));
  measured = std::move(*points);
  SkipFilter allowed = filter();
  chosen = measured.best(/*random=*/false, ratio, allowed);
  auto [least, most] = measured.range(allowed);
  if (!chosen && most == 0)
    return llvm::createStringError("profile '" + profile +
                                   "' has no rule with this k=, front= and "
                                   "tail=; calibrate with them");
  if (!chosen || int64_t(measured.saturation.size()) != ffns)
    return llvm::createStringError(
        llvm::formatv("profile '{0}' has rules for ratios from {1:f3} to "
                      "{2:f3}, not {3:f3}; calibrate with this ratio",
                      profile, least, most, double(ratio)));
  k = chosen->series.k;
  front = chosen->series.front;
  tail = chosen->series.tail;
  tau = chosen->threshold;
  compareWithChance(model, measured, *chosen, allowed);
  return llvm::Error::success();
}

llvm::Expected<SkipAttr> FfnSkip::getRule(int64_t ffns, int64_t gated) {
  Builder builder(&getContext());
  if (rule == "cosine")
    return SkipAttr::get(&getContext(), SkipKind::Cosine,
                         builder.getF64FloatAttr(tau), std::max<int64_t>(k, 1),
                         warmup, 0);
  double chance = ratio * ffns / gated;
  if (chance > 1)
    return llvm::createStringError(
        llvm::formatv("{0} of {1} FFNs have a gate, which cannot skip {2:f1} % "
                      "of all",
                      gated, ffns, 100 * ratio));
  return SkipAttr::get(&getContext(), SkipKind::Random,
                       builder.getF64FloatAttr(chance), 1, warmup, seed);
}

//===----------------------------------------------------------------------===//
// The gates
//===----------------------------------------------------------------------===//

void FfnSkip::report(ModuleOp model, ArrayRef<SublayerOp> ffns, int64_t first,
                     int64_t last) {
  for (auto [number, sublayer] : llvm::enumerate(ffns)) {
    SublayerOp ffn = sublayer;
    int64_t index = number;
    ReportRow row;
    row.site = ffn.getSite().getPath().str();
    row.pass = getArgument().str();
    if (index >= first && index < last) {
      row.action = ReportAction::Gated;
    } else {
      row.action = ReportAction::Kept;
      row.reason = index < first ? "cold start" : "tail";
    }
    if (chosen) {
      row.values["saturation"] = measured.saturation[number];
      row.values["skip_rate"] = chosen->rates[number];
    }
    addReportRow(model, row);
  }
}

/// The shortest text that reads back as `value`.
static std::string exactText(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, std::end(text), value).ptr);
}

LogicalResult FfnSkip::gate() {
  ModuleOp model = getOperation();
  auto fail = [&](llvm::Error error) {
    return model.emitError()
           << getArgument() << ": " << llvm::toString(std::move(error));
  };
  if (llvm::Error error = checkOptions())
    return fail(std::move(error));
  auto ffns = skippableFfns(model);
  if (!ffns)
    return fail(ffns.takeError());
  int64_t count = ffns->size();
  if (!profile.empty())
    if (llvm::Error error = choose(model, count))
      return fail(std::move(error));
  int64_t first = front >= 0 ? front : defaultUngated(count),
          last = count - (tail >= 0 ? tail : defaultUngated(count));
  if (first >= last)
    return fail(llvm::createStringError(
        llvm::formatv("front={0} and tail={1} leave none of {2} FFNs", first,
                      count - last, count)));
  auto skip = getRule(count, last - first);
  if (!skip)
    return fail(skip.takeError());
  std::string text =
      rule == "cosine"
          ? llvm::formatv("tau={0} k={1}", exactText(tau), skip->getCount())
                .str()
          : llvm::formatv("rule=random ratio={0} seed={1}", exactText(ratio),
                          int64_t(seed))
                .str();
  recordPass(model, llvm::formatv("lathe-ffn-skip{{{0} front={1} tail={2} "
                                  "warmup={3}}",
                                  text, first, count - last, int64_t(warmup))
                        .str());
  for (SublayerOp ffn : ArrayRef(*ffns).slice(first, last - first))
    ffn.setSkipAttr(*skip);
  report(model, *ffns, first, last);
  return success();
}
