//===- ShortGpt.cpp - cuts the blocks that turn the stream least ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankingRequest.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"
#include <cmath>

namespace lathe {
#define GEN_PASS_DEF_SHORTGPT
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct ShortGpt : lathe::impl::ShortGptBase<ShortGpt> {
  using ShortGptBase::ShortGptBase;

  void runOnOperation() override {
    auto amount = parse();
    if (!amount) {
      getOperation().emitError()
          << getArgument() << ": " << llvm::toString(amount.takeError());
      return signalPassFailure();
    }
    if (failed(applyRanking(getOperation(), profile, key(), *amount,
                            getArgument())))
      signalPassFailure();
  }

  std::string key() const { return (getArgument() + "." + distance).str(); }
  DistanceKind kind() const { return *parseDistanceKind(distance); }
  llvm::Expected<CutBudget> parse() const {
    if (distance != "cosine" && distance != "angular")
      return llvm::createStringError("distance=" + distance +
                                     " is neither cosine nor angular");
    return CutBudget::parse(cut, ratio, budget);
  }
};

/// The influence of each block on the residual stream, from one dense run.
class InfluenceRequest : public CalibrationRequest {
public:
  InfluenceRequest(std::string key, DistanceKind distance)
      : key(std::move(key)), distance(distance) {}

  llvm::Error run(CalibrationContext &context) override;

private:
  void visit(const StageRunner &runner, unsigned chunk, unsigned stage);
  void compare(const StageRunner &runner, unsigned chunk, unsigned block,
               rt::TensorView after);

  std::string key;
  DistanceKind distance;
  /// First stages of the blocks, and the last stage of the last.
  std::vector<unsigned> first;
  unsigned last = 0;
  /// The stream before the block in hand.
  std::vector<float> before;
  std::vector<double> sums, ratios, rows;
};

} // namespace

static std::vector<float> toFloats(const rt::TensorView &tensor) {
  std::vector<float> values(tensor.elements());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = rt::loadFloat(tensor.dtype, tensor.data, i);
  return values;
}

static double norm(const float *row, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += double(row[i]) * row[i];
  return std::sqrt(sum);
}

/// Adds the rows of block `block`, which takes `before` to `after`.
void InfluenceRequest::compare(const StageRunner &runner, unsigned chunk,
                               unsigned block, rt::TensorView after) {
  std::vector<float> values = toFloats(after);
  if (values.size() != before.size() || after.rank < 2)
    return;
  int64_t width = after.shape[after.rank - 1];
  int64_t count = after.elements() / width, perItem = count / after.shape[0];
  for (int64_t row = 0; row < count; ++row) {
    if (!runner.isValid(chunk, row, perItem))
      continue;
    const float *from = before.data() + row * width,
                *to = values.data() + row * width;
    double value = rowDistance(distance, from, to, width);
    // As published: a row without a direction counts half.
    sums[block] += std::isfinite(value) ? value : 0.5;
    double length = norm(from, width);
    ratios[block] += length > 0 ? norm(to, width) / length : 1;
    rows[block] += 1;
  }
}

void InfluenceRequest::visit(const StageRunner &runner, unsigned chunk,
                             unsigned stage) {
  const rt::Stage &row = runner.entry().stages[stage];
  auto found = llvm::find(first, stage);
  if (found != first.end()) {
    unsigned block = found - first.begin();
    rt::TensorView stream = runner.view(row.args[*row.residual]);
    if (block > 0)
      compare(runner, chunk, block - 1, stream);
    before = toFloats(stream);
  }
  if (stage == last)
    compare(runner, chunk, first.size() - 1, runner.view(row.outs[0]));
}

llvm::Error InfluenceRequest::run(CalibrationContext &context) {
  std::vector<SiteGroup> groups =
      sublayerGroups(context.model, /*byBlock=*/true);
  for (const SiteGroup &group : groups) {
    int from = context.runner.stageOf(group.front()),
        to = context.runner.stageOf(group.back());
    if (from < 0 || to < 0)
      return llvm::createStringError("block of '" + group.front() +
                                     "' cannot be left out");
    first.push_back(from);
    last = to;
  }
  sums.resize(groups.size());
  ratios.resize(groups.size());
  rows.resize(groups.size());
  if (llvm::Error error = context.runner.prepare(
          [&](unsigned done, unsigned all) {
            context.progress("block influence", double(done) / all);
          },
          [&](unsigned chunk, unsigned stage) {
            visit(context.runner, chunk, stage);
          }))
    return error;

  std::vector<std::pair<double, unsigned>> order;
  auto growth = rt::Tensor::zeros(rt::DType::F64, {int64_t(groups.size())});
  if (growth.failed())
    return llvm::createStringError(growth.message());
  for (unsigned block = 0; block < groups.size(); ++block) {
    if (rows[block] == 0)
      return llvm::createStringError("the residual stream around '" +
                                     groups[block].front() +
                                     "' has no rows to compare");
    order.emplace_back(sums[block] / rows[block], block);
    growth->as<double>()[block] = ratios[block] / rows[block];
  }
  llvm::sort(order);
  Ranking &ranking = context.profile.rankings[key];
  ranking.measure = getName(distance);
  ranking.candidates = groups.size();
  ranking.steps.clear();
  for (auto [influence, block] : order)
    ranking.steps.push_back({toText(groups[block]), influence});
  context.profile.arrays["lathe-shortgpt.norm_ratio"] = std::move(*growth);
  return context.checkpoint();
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeShortGptRequest(Pass &pass) {
  auto &options = static_cast<ShortGpt &>(pass);
  auto amount = options.parse();
  if (!amount)
    return amount.takeError();
  return std::make_unique<InfluenceRequest>(options.key(), options.kind());
}
