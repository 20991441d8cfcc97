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

#include "lathe/Compress/Passes.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
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

private:
  LogicalResult gate();
  LogicalResult checkOptions(ModuleOp model);
  FailureOr<SmallVector<SublayerOp>> findFfns(ModuleOp model);
  FailureOr<SkipAttr> getRule(ModuleOp model, int64_t ffns, int64_t gated);
  void report(ModuleOp model, ArrayRef<SublayerOp> ffns, int64_t first,
              int64_t last);
};
} // namespace

LogicalResult FfnSkip::checkOptions(ModuleOp model) {
  if (rule != "cosine" && rule != "random")
    return model.emitError()
           << "lathe-ffn-skip: rule '" << rule << "' is not cosine or random";
  if (rule == "cosine" && !(tau > 0))
    return model.emitError() << "lathe-ffn-skip needs tau=, the cosine from "
                                "which on an FFN counts as saturated (above 0)";
  if (rule == "random" && !(ratio > 0 && ratio < 1))
    return model.emitError()
           << "lathe-ffn-skip: rule=random needs ratio= between 0 and 1";
  if (k < 1 || warmup < 0 || seed < 0 || front < -1 || tail < -1)
    return model.emitError() << "lathe-ffn-skip: k= must be at least 1, and "
                                "front=, tail=, warmup= and seed= at least 0";
  return success();
}

/// The FFNs of `decode` in program order, each of which can be skipped.
FailureOr<SmallVector<SublayerOp>> FfnSkip::findFfns(ModuleOp model) {
  if (!model.lookupSymbol<func::FuncOp>("decode"))
    return model.emitError("lathe-ffn-skip: the model has no entry 'decode'; "
                           "FFNs are skipped token by token while decoding "
                           "with a KV cache");
  SmallVector<SublayerOp> ffns;
  for (SublayerOp sublayer : sublayersOf(model, "decode"))
    if (sublayer.getKind() == SublayerKind::Ffn)
      ffns.push_back(sublayer);
  if (ffns.empty())
    return model.emitError("lathe-ffn-skip: the entry 'decode' has no FFN "
                           "sub-layer");
  for (SublayerOp ffn : ffns) {
    if (!ffn.getPost().empty() || !ffn.getExtra().empty())
      return ffn.emitError()
             << "lathe-ffn-skip: sub-layer '" << ffn.getSite().getPath()
             << "' cannot be skipped: its result is normed or "
                "more of it is read than the residual stream";
    if (ffn.getSkip())
      return ffn.emitError()
             << "lathe-ffn-skip: sub-layer '" << ffn.getSite().getPath()
             << "' has a gate already";
  }
  return ffns;
}

FailureOr<SkipAttr> FfnSkip::getRule(ModuleOp model, int64_t ffns,
                                     int64_t gated) {
  Builder builder(model.getContext());
  if (rule == "cosine")
    return SkipAttr::get(model.getContext(), SkipKind::Cosine,
                         builder.getF64FloatAttr(tau), k, warmup, 0);
  double chance = ratio * ffns / gated;
  if (chance > 1)
    return model.emitError() << llvm::formatv(
               "lathe-ffn-skip: {0} of {1} FFNs have a gate, which "
               "cannot skip {2:f1} % of all",
               gated, ffns, 100 * ratio);
  return SkipAttr::get(model.getContext(), SkipKind::Random,
                       builder.getF64FloatAttr(chance), 1, warmup, seed);
}

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
  if (failed(checkOptions(model)))
    return failure();
  FailureOr<SmallVector<SublayerOp>> ffns = findFfns(model);
  if (failed(ffns))
    return failure();
  int64_t count = ffns->size();
  auto share = [&](int64_t given) {
    return given >= 0
               ? given
               : std::max<int64_t>(1, llvm::divideNearest(12 * count, 100));
  };
  int64_t first = share(front), last = count - share(tail);
  if (first >= last)
    return model.emitError()
           << "lathe-ffn-skip: front=" << first << " and tail=" << count - last
           << " leave none of " << count << " FFNs";
  FailureOr<SkipAttr> skip = getRule(model, count, last - first);
  if (failed(skip))
    return failure();
  std::string text =
      rule == "cosine"
          ? llvm::formatv("tau={0} k={1}", exactText(tau), int64_t(k)).str()
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
