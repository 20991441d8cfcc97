//===- FfnSkipRequest.cpp - what skipping FFNs costs ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The dense run gives the cosine of every FFN and token. On these the state
// machine can be played without the model, which tells what threshold leads to
// about a wanted ratio; the loss and the true ratio of each rule are then
// measured. Only the rules that lose least are followed to further ratios.
//
//===----------------------------------------------------------------------===//

#include "FfnSkipRequest.h"
#include "lathe/Calibrate/Rows.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Evaluate.h"
#include "lathe/Runtime/Generate.h"
#include "llvm/Support/FormatVariadic.h"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace mlir;
using namespace lathe;

int64_t lathe::defaultUngated(int64_t ffns) {
  return std::max<int64_t>(1, llvm::divideNearest(12 * ffns, 100));
}

llvm::Expected<std::vector<SublayerOp>> lathe::skippableFfns(ModuleOp model) {
  if (!model.lookupSymbol<func::FuncOp>("decode"))
    return llvm::createStringError(
        "the model has no entry 'decode'; FFNs are skipped token by token "
        "while decoding with a KV cache");
  std::vector<SublayerOp> ffns;
  for (SublayerOp sublayer : sublayersOf(model, "decode"))
    if (sublayer.getKind() == SublayerKind::Ffn)
      ffns.push_back(sublayer);
  if (ffns.empty())
    return llvm::createStringError("the entry 'decode' has no FFN sub-layer");
  for (SublayerOp ffn : ffns) {
    std::string name = ("sub-layer '" + ffn.getSite().getPath() + "'").str();
    if (!ffn.getPost().empty() || !ffn.getExtra().empty())
      return llvm::createStringError(
          name + " cannot be skipped: its result is normed or more of it is "
                 "read than the residual stream");
    if (ffn.getSkip())
      return llvm::createStringError(name + " has a gate already");
  }
  return std::move(ffns);
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

namespace {

/// Ratios that are measured when none is wanted. At the first the rules
/// compete; at small ones all are alike.
constexpr double kRatios[] = {0.15, 0.25, 0.2, 0.1, 0.3, 0.05, 0.4};

/// What measured ratios may be off before the threshold is corrected.
constexpr double kTolerance = 0.015;

/// Contestants that are followed to the other ratios.
constexpr size_t kStay = 4;

/// Sequences that decode at once.
constexpr int64_t kMostRows = 16;

/// A series on its way to further ratios.
struct Contestant {
  SkipSeries series;
  /// How many times the ratio that was played has last been measured.
  double scale = 1;
  bool isIn = true;
};

class SkipSearch {
public:
  SkipSearch(CalibrationContext &context,
             const FfnSkipRequest::Options &options)
      : context(context), options(options) {}

  llvm::Error run();

private:
  llvm::Error setUp();
  llvm::Error makeData();
  llvm::Expected<rt::Evaluation>
  decode(const std::function<rt::Status(rt::Session &)> &setUp);
  llvm::Error traceDense();
  void observe(const rt::Session &session, unsigned stage);

  double play(const SkipSeries &series, double tau) const;
  std::optional<double> thresholdFor(const SkipSeries &series,
                                     double ratio) const;
  std::vector<SkipSeries> regions() const;
  std::vector<int64_t> counts(const SkipSeries &region) const;

  llvm::Expected<SkipPoint> measure(const SkipSeries &series, double threshold);
  llvm::Expected<std::optional<SkipPoint>> measureAt(Contestant &contestant,
                                                     double ratio);
  llvm::Error measureChance(const SkipSeries &region, double ratio);
  llvm::Error compete(double ratio, size_t from);
  void eliminate();
  llvm::Error chooseContestants(double ratio);
  void showProgress();

  CalibrationContext &context;
  const FfnSkipRequest::Options &options;
  std::string key;
  std::shared_ptr<const rt::Program> program;
  rt::TensorMap data;
  int64_t batch = 1, positions = 0;
  std::vector<unsigned> stages; ///< of the FFNs, in the entry `decode`
  /// By FFN: the cosine of each token, step by step, all rows of a step
  /// together; rows of the warm-up too.
  std::vector<std::vector<double>> cosines;
  std::vector<bool> isCold; ///< by token
  int64_t steps = 0;        ///< that were traced
  SkipPoints found;
  std::vector<Contestant> contestants;
  std::vector<double> losses; ///< at the ratio in hand; infinite where out
  size_t round = 0, rounds = 1, done = 0;
};

} // namespace

/// The tokens as inputs and, where the data have no labels, what follows each
/// token as its label.
llvm::Error SkipSearch::makeData() {
  data = context.runner.data();
  const rt::Tensor *tokens = nullptr;
  for (const auto &[name, tensor] : data.tensors)
    if (name != "y" && rt::inputKind(name) == rt::InputKind::Other)
      tokens = &tensor;
  if (!tokens || tokens->rank() != 2 || tokens->elements() == 0)
    return llvm::createStringError(
        "lathe-ffn-skip: decoding needs tokens of shape [items, positions]");
  int64_t items = tokens->shape()[0];
  positions = tokens->shape()[1];
  if (positions <= options.warmup)
    return llvm::createStringError(
        "lathe-ffn-skip: the data have " + llvm::Twine(positions) +
        " positions, none of them after the warm-up of " +
        llvm::Twine(options.warmup));
  // Full batches, as nearly as possible.
  int64_t runs = llvm::divideCeil(items, kMostRows);
  batch = llvm::divideCeil(items, runs);
  if (data.find("y"))
    return llvm::Error::success();
  auto y = rt::Tensor::zeros(rt::DType::I64, tokens->shape());
  if (y.failed())
    return llvm::createStringError(y.message());
  for (int64_t i = 0, count = tokens->elements(); i < count; ++i)
    y->as<int64_t>()[i] =
        (i + 1) % positions == 0
            ? -1
            : rt::loadInteger(tokens->dtype(), tokens->data(), i + 1);
  data.tensors["y"] = std::move(*y);
  return llvm::Error::success();
}

llvm::Expected<rt::Evaluation>
SkipSearch::decode(const std::function<rt::Status(rt::Session &)> &setUp) {
  rt::EvaluateOptions evaluate;
  evaluate.via = rt::Via::Decode;
  evaluate.batch = batch;
  evaluate.setUp = [&](rt::Decoder &decoder) {
    return setUp(decoder.decodeSession());
  };
  auto result = rt::evaluate(program, context.runner.pool(), data, evaluate);
  if (result.failed())
    return llvm::createStringError(result.message());
  return std::move(*result);
}

/// Notes the cosines of an FFN's rows.
void SkipSearch::observe(const rt::Session &session, unsigned stage) {
  auto ffn = llvm::find(stages, stage);
  if (ffn == stages.end())
    return;
  size_t number = ffn - stages.begin();
  const rt::Stage &decl = session.entry().stages[stage];
  rt::TensorView x = session.view(decl.args[*decl.residual]),
                 y = session.view(decl.outs[0]);
  int64_t width = rowWidth(x), rows = x.elements() / width;
  std::vector<float> from = toFloats(x), to = toFloats(y);
  for (int64_t row = 0; row < rows; ++row)
    cosines[number].push_back(rt::cosineOf(from.data() + row * width,
                                           to.data() + row * width, width));
  // Steps are counted as the last FFN sees them.
  if (number + 1 == stages.size())
    isCold.insert(isCold.end(), rows, steps++ % positions < options.warmup);
}

llvm::Error SkipSearch::traceDense() {
  auto result = decode([&](rt::Session &session) {
    session.setStageHook(
        [&](unsigned stage, double) { observe(session, stage); });
    return rt::Status::ok();
  });
  if (!result)
    return result.takeError();
  found.dense = result->score.meanBits();
  found.saturation.clear();
  for (const std::vector<double> &values : cosines) {
    double sum = 0;
    for (double cosine : values)
      sum += cosine;
    found.saturation.push_back(sum / double(values.size()));
  }
  return llvm::Error::success();
}

llvm::Error SkipSearch::setUp() {
  auto ffns = skippableFfns(context.model);
  if (!ffns)
    return llvm::createStringError("lathe-ffn-skip: " +
                                   llvm::toString(ffns.takeError()));
  if (llvm::Error error = makeData())
    return error;
  auto compiled = context.compile({"prefill", "decode"});
  if (!compiled)
    return compiled.takeError();
  program = std::move(*compiled);
  for (auto [number, stage] :
       llvm::enumerate(program->manifest().find("decode")->stages))
    if (stage.kind == "ffn" && stage.residual)
      stages.push_back(number);
  if (stages.size() != ffns->size())
    return llvm::createStringError(
        "lathe-ffn-skip: not every FFN of 'decode' is a stage of its own");
  cosines.resize(stages.size());
  key = skipPointsKey(options.warmup);
  // What an interrupted run, or a request before this one, has measured need
  // not be measured again.
  if (auto loaded = SkipPoints::load(context.profile, key))
    found = std::move(*loaded);
  else
    llvm::consumeError(loaded.takeError());
  return traceDense();
}

//===----------------------------------------------------------------------===//
// Thresholds and regions
//===----------------------------------------------------------------------===//

/// Share of FFNs that the rule would skip if skipping changed no cosine.
double SkipSearch::play(const SkipSeries &series, double tau) const {
  size_t first = series.front, last = stages.size() - series.tail;
  int64_t skipped = 0;
  for (size_t token = 0; token < isCold.size(); ++token) {
    if (isCold[token])
      continue;
    int64_t remaining = 0;
    for (size_t ffn = first; ffn < last; ++ffn) {
      if (remaining > 0) {
        --remaining;
        ++skipped;
      } else if (cosines[ffn][token] >= tau) {
        remaining = series.k;
      }
    }
  }
  return double(skipped) / double(isCold.size() * stages.size());
}

/// The largest threshold with which the series skips at least `ratio`; nothing
/// where it cannot.
std::optional<double> SkipSearch::thresholdFor(const SkipSeries &series,
                                               double ratio) const {
  // A threshold is above 0.
  double low = 1e-6, high = 1;
  if (play(series, low) < ratio)
    return std::nullopt;
  for (unsigned step = 0; step < 30; ++step) {
    double middle = (low + high) / 2;
    (play(series, middle) >= ratio ? low : high) = middle;
  }
  return low;
}

static double median(std::vector<double> values) {
  auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Where the mean cosine is above its median minus one median absolute
/// deviation, from the back: FFNs before and behind it.
static std::pair<int64_t, int64_t>
saturatedRegion(llvm::ArrayRef<double> saturation) {
  double middle = median(saturation);
  std::vector<double> deviations;
  for (double cosine : saturation)
    deviations.push_back(std::abs(cosine - middle));
  double limit = middle - median(deviations);
  int64_t count = saturation.size(), last = count;
  while (last > 1 && saturation[last - 1] < limit)
    --last;
  int64_t first = last;
  while (first > 0 && saturation[first - 1] >= limit)
    --first;
  return {std::max<int64_t>(first, 1), std::max<int64_t>(count - last, 1)};
}

/// The regions to try, the default first.
std::vector<SkipSeries> SkipSearch::regions() const {
  int64_t count = stages.size(), least = defaultUngated(count);
  std::vector<SkipSeries> result;
  auto add = [&](int64_t front, int64_t tail) {
    SkipSeries region;
    region.front = options.filter.front.value_or(front);
    region.tail = options.filter.tail.value_or(tail);
    // A rule needs an FFN to look at and one to skip.
    if (region.front + region.tail + 2 <= count &&
        !llvm::is_contained(result, region))
      result.push_back(region);
  };
  add(least, least);
  auto [front, tail] = saturatedRegion(found.saturation);
  add(front, tail);
  for (int64_t back : {least, count / 4})
    for (int64_t start : {least, count / 4, 2 * count / 5})
      add(start, back);
  return result;
}

/// The numbers of FFNs to skip that make a difference in the region.
std::vector<int64_t> SkipSearch::counts(const SkipSeries &region) const {
  if (options.filter.k)
    return {*options.filter.k};
  int64_t gated = int64_t(stages.size()) - region.front - region.tail;
  std::vector<int64_t> result;
  for (int64_t k = 1, next = 2; k < gated;
       std::tie(k, next) = std::pair(next, k + next))
    result.push_back(k);
  return result;
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

llvm::Expected<SkipPoint> SkipSearch::measure(const SkipSeries &series,
                                              double threshold) {
  auto known = llvm::find_if(found.points, [&](const SkipPoint &point) {
    return point.series == series && point.threshold == threshold;
  });
  if (known != found.points.end())
    return *known;
  rt::SkipRule rule;
  rule.kind =
      series.random ? rt::SkipRule::Kind::Random : rt::SkipRule::Kind::Cosine;
  rule.threshold = threshold;
  rule.count = series.k;
  rule.warmup = options.warmup;
  auto result = decode([&](rt::Session &session) {
    size_t last = stages.size() - series.tail;
    for (size_t ffn = series.front; ffn < last; ++ffn)
      if (auto status = session.setSkipRule(stages[ffn], rule); status.failed())
        return status;
    return rt::Status::ok();
  });
  if (!result)
    return result.takeError();
  SkipPoint point;
  point.series = series;
  point.threshold = threshold;
  point.ratio = result->skips.ratio();
  point.loss = result->score.meanBits();
  double rows = double(result->skips.total) / double(stages.size());
  for (unsigned stage : stages)
    point.rates.push_back(double(result->skips.skippedBy[stage]) / rows);
  found.points.push_back(point);
  if (llvm::Error error = found.store(context.profile, key))
    return std::move(error);
  if (llvm::Error error = context.checkpoint())
    return std::move(error);
  return point;
}

/// Measures the series at about `ratio`; nothing where it cannot skip as much.
llvm::Expected<std::optional<SkipPoint>>
SkipSearch::measureAt(Contestant &contestant, double ratio) {
  std::optional<SkipPoint> point;
  for (unsigned attempt = 0; attempt < 3; ++attempt) {
    auto tau = thresholdFor(contestant.series, ratio / contestant.scale);
    if (!tau)
      return point;
    auto measured = measure(contestant.series, *tau);
    if (!measured)
      return measured.takeError();
    point = std::move(*measured);
    if (point->ratio > 0)
      contestant.scale *= point->ratio / ratio;
    if (std::abs(point->ratio - ratio) <= kTolerance)
      break;
  }
  return point;
}

llvm::Error SkipSearch::measureChance(const SkipSeries &region, double ratio) {
  SkipSeries series = region;
  series.random = true;
  series.k = 1;
  int64_t gated = int64_t(stages.size()) - series.front - series.tail;
  double chance = ratio * double(stages.size()) / double(gated) *
                  double(positions) / double(positions - options.warmup);
  if (chance >= 1)
    return llvm::Error::success();
  auto measured = measure(series, chance);
  return measured ? llvm::Error::success() : measured.takeError();
}

//===----------------------------------------------------------------------===//
// The search
//===----------------------------------------------------------------------===//

void SkipSearch::showProgress() {
  size_t left = llvm::count_if(contestants,
                               [](const Contestant &one) { return one.isIn; });
  double share = left ? double(done) / double(left) : 1;
  context.progress("FFN skipping",
                   (double(round) + std::min(share, 1.0)) / double(rounds));
}

/// Measures the contestants from `from` on, and chance in each of their
/// regions.
llvm::Error SkipSearch::compete(double ratio, size_t from) {
  std::vector<SkipSeries> chanced;
  losses.resize(contestants.size());
  for (size_t i = from; i < contestants.size(); ++i) {
    losses[i] = std::numeric_limits<double>::infinity();
    if (!contestants[i].isIn)
      continue;
    showProgress();
    auto point = measureAt(contestants[i], ratio);
    if (!point)
      return point.takeError();
    ++done;
    if (!*point)
      continue;
    // One that only skips less is no match for the others.
    if ((*point)->ratio >= ratio - 2 * kTolerance)
      losses[i] = (*point)->loss;
    SkipSeries region = contestants[i].series;
    region.k = 1;
    if (llvm::is_contained(chanced, region))
      continue;
    chanced.push_back(region);
    if (llvm::Error error = measureChance(region, ratio))
      return error;
  }
  return llvm::Error::success();
}

/// Keeps the `kStay` that lose least, and no series that cannot skip as much.
void SkipSearch::eliminate() {
  std::vector<double> order = losses;
  llvm::sort(order);
  double limit = order[std::min(kStay, order.size()) - 1];
  for (auto [contestant, loss] : llvm::zip(contestants, losses))
    contestant.isIn &= std::isfinite(loss) && loss <= limit;
}

/// All counts in the default region, then those that stay in all regions.
llvm::Error SkipSearch::chooseContestants(double ratio) {
  std::vector<SkipSeries> all = regions();
  if (all.empty())
    return llvm::createStringError(
        "lathe-ffn-skip: no region of the " + llvm::Twine(stages.size()) +
        " FFNs leaves one to look at and one to skip");
  auto join = [&](SkipSeries series, int64_t k) {
    series.k = k;
    contestants.emplace_back().series = series;
  };
  for (int64_t k : counts(all.front()))
    join(all.front(), k);
  if (llvm::Error error = compete(ratio, 0))
    return error;
  eliminate();
  size_t first = contestants.size();
  for (const SkipSeries &region : llvm::drop_begin(all))
    for (size_t i = 0; i < first; ++i)
      if (contestants[i].isIn)
        join(region, contestants[i].series.k);
  if (llvm::Error error = compete(ratio, first))
    return error;
  eliminate();
  if (llvm::any_of(contestants, [](const Contestant &one) { return one.isIn; }))
    return llvm::Error::success();
  return llvm::createStringError(llvm::formatv(
      "lathe-ffn-skip: no rule skips {0:f1} % of the FFNs", 100 * ratio));
}

llvm::Error SkipSearch::run() {
  if (llvm::Error error = setUp())
    return error;
  std::vector<double> ratios(std::begin(kRatios), std::end(kRatios));
  // Around a wanted ratio, and below it for one at which skipping pays.
  if (options.ratio > 0)
    ratios = {options.ratio, std::min(options.ratio * 1.15, 0.99),
              options.ratio * 2 / 3, options.ratio / 3};
  rounds = ratios.size();
  if (llvm::Error error = chooseContestants(ratios.front()))
    return error;
  for (double ratio : llvm::drop_begin(ratios)) {
    done = 0;
    ++round;
    if (llvm::Error error = compete(ratio, 0))
      return error;
  }
  return llvm::Error::success();
}

llvm::Error FfnSkipRequest::run(CalibrationContext &context) {
  return SkipSearch(context, options).run();
}
