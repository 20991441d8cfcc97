//===- ConvertPrecision.cpp - weights in 16 bits --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Dialect/NarrowFloat.h"
#include "lathe/Report/Report.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

namespace lathe {
#define GEN_PASS_DEF_CONVERTPRECISION
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
/// A weight and everything that reads it.
struct Candidate {
  WeightOp weight;
  SmallVector<UseWeightOp> uses;
  /// Where the weight is a linear's matrix or an embedding's table.
  SmallVector<LinearOp> linears;
  SmallVector<EmbeddingOp> embeddings;
  bool hasOtherUse = false;

  SiteAttr getSite();
};

struct ConvertPrecision : lathe::impl::ConvertPrecisionBase<ConvertPrecision> {
  using ConvertPrecisionBase::ConvertPrecisionBase;

  void runOnOperation() override {
    if (failed(convert()))
      signalPassFailure();
  }

private:
  LogicalResult convert();
  FailureOr<llvm::StringSet<>> findKept(ModuleOp model,
                                        MutableArrayRef<Candidate> candidates);
  LogicalResult convert(Candidate &candidate, ReportRow &row);

  bool isBrain = true;
};
} // namespace

/// The first site among the readers; a weight may be read in several entries.
SiteAttr Candidate::getSite() {
  for (LinearOp linear : linears)
    if (std::optional<SiteAttr> site = linear.getSite())
      return *site;
  for (EmbeddingOp embedding : embeddings)
    if (std::optional<SiteAttr> site = embedding.getSite())
      return *site;
  return {};
}

/// The weights that linears or embeddings read, in the order of the module.
static SmallVector<Candidate> findCandidates(ModuleOp model) {
  llvm::MapVector<StringAttr, Candidate> found;
  for (WeightOp weight : model.getOps<WeightOp>())
    found[weight.getSymNameAttr()].weight = weight;
  model.walk([&](UseWeightOp use) {
    Candidate &candidate = found[use.getWeightAttr().getAttr()];
    candidate.uses.push_back(use);
    for (OpOperand &operand : use->getUses()) {
      auto linear = dyn_cast<LinearOp>(operand.getOwner());
      auto embedding = dyn_cast<EmbeddingOp>(operand.getOwner());
      if (linear && operand.get() == linear.getWeight() &&
          operand.getOperandNumber() == 1)
        candidate.linears.push_back(linear);
      else if (embedding)
        candidate.embeddings.push_back(embedding);
      else
        candidate.hasOtherUse = true;
    }
  });
  SmallVector<Candidate> result;
  for (auto &[name, candidate] : found)
    if (!candidate.linears.empty() || !candidate.embeddings.empty())
      result.push_back(std::move(candidate));
  return result;
}

/// The sites of `keep`, each of which must be a candidate's.
FailureOr<llvm::StringSet<>>
ConvertPrecision::findKept(ModuleOp model,
                           MutableArrayRef<Candidate> candidates) {
  llvm::StringSet<> sites, kept;
  for (Candidate &candidate : candidates)
    if (SiteAttr site = candidate.getSite())
      sites.insert(site.getPath());
  for (const std::string &site : keep) {
    if (!sites.contains(site))
      return model.emitError("lathe-convert-precision: keep: no linear and no "
                             "embedding has the site '")
             << site << "'";
    kept.insert(site);
  }
  return kept;
}

/// Rounds the payload; `row` gets what came of it.
LogicalResult ConvertPrecision::convert(Candidate &candidate, ReportRow &row) {
  WeightOp weight = candidate.weight;
  WeightType type = weight.getWeightType();
  MLIRContext *context = weight.getContext();
  auto dense = dyn_cast<DenseAttr>(type.getEncoding());
  if (!dense || candidate.hasOtherUse) {
    row.action = ReportAction::Kept;
    row.reason = dense ? "read by an operation of another kind"
                       : "its encoding is not dense";
    return success();
  }

  PayloadStore &store = getPayloads(weight);
  std::vector<float> values(type.getNumElements());
  if (llvm::Error error =
          dense.decode(store, type.getShape(), weight.getParts(), values))
    return weight.emitError(llvm::toString(std::move(error)));
  std::vector<uint16_t> rounded(values.size());
  double change = 0, norm = 0;
  for (auto [value, bits] : llvm::zip_equal(values, rounded)) {
    bits = isBrain ? bfloatBits(value) : halfBits(value);
    double stored = isBrain ? bfloatValue(bits) : halfValue(bits);
    if (std::isinf(stored) && !std::isinf(value)) {
      row.action = ReportAction::Refused;
      row.reason = "a value is beyond the range of " + to;
      return success();
    }
    change += (stored - value) * (stored - value);
    norm += double(value) * value;
  }
  auto payload = store.add(
      context, ArrayRef(reinterpret_cast<const char *>(rounded.data()),
                        rounded.size() * sizeof(uint16_t)));
  if (!payload)
    return weight.emitError(llvm::toString(payload.takeError()));

  Builder builder(context);
  Type element = isBrain ? Type(builder.getBF16Type()) : builder.getF16Type();
  auto narrow = WeightType::get(context, type.getShape(), type.getElementType(),
                                DenseAttr::get(context, element, false));
  weight.setPartsAttr(
      builder.getDictionaryAttr(builder.getNamedAttr("data", *payload)));
  weight.setTypeAttr(TypeAttr::get(narrow));
  for (UseWeightOp use : candidate.uses)
    use.getResult().setType(narrow);
  if (isBrain)
    for (LinearOp linear : candidate.linears)
      linear.setActsAttr(TypeAttr::get(element));
  row.action = ReportAction::Rewritten;
  row.values["weight_error"] = norm > 0 ? std::sqrt(change / norm) : 0;
  row.values["bits"] = 16;
  return success();
}

LogicalResult ConvertPrecision::convert() {
  ModuleOp model = getOperation();
  if (to != "bf16" && to != "f16")
    return model.emitError()
           << "lathe-convert-precision: to '" << to << "' is not bf16 or f16";
  isBrain = to == "bf16";
  SmallVector<Candidate> candidates = findCandidates(model);
  FailureOr<llvm::StringSet<>> kept = findKept(model, candidates);
  if (failed(kept))
    return failure();

  std::string text = "lathe-convert-precision{to=" + to;
  if (!keep.empty())
    text += " keep=" + llvm::join(keep, ",");
  recordPass(model, text + "}");
  for (Candidate &candidate : candidates) {
    ReportRow row;
    SiteAttr site = candidate.getSite();
    if (site)
      row.site = site.getPath().str();
    row.pass = getArgument().str();
    if (site && kept->contains(row.site))
      row.reason = "asked for";
    else if (failed(convert(candidate, row)))
      return failure();
    if (site)
      addReportRow(model, row);
  }
  return success();
}
