//===- Compress.cpp - the best model under a budget -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Compress.h"
#include "lathe/Calibrate/Calibration.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Runtime/Evaluate.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <tuple>

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Budgets and points
//===----------------------------------------------------------------------===//

llvm::Expected<CompressBudget> CompressBudget::parse(StringRef text) {
  auto [name, number] = text.split('=');
  CompressBudget budget;
  bool known = true;
  if (name == "size")
    budget.kind = Kind::Size;
  else if (name == "latency")
    budget.kind = Kind::Latency;
  else if (name == "loss")
    budget.kind = Kind::Loss;
  else
    known = false;
  if (!known || number.getAsDouble(budget.limit))
    return llvm::createStringError(
        "--budget: '" + text +
        "' is none of size=SHARE, latency=SHARE, loss=X");
  bool fits = budget.kind == Kind::Loss ? budget.limit >= 0
                                        : budget.limit > 0 && budget.limit <= 1;
  if (!fits)
    return llvm::createStringError("--budget: '" + text + "' is out of range");
  return budget;
}

std::string CompressPoint::pipeline() const {
  return sites.empty()
             ? ""
             : "lathe-cut-sublayers{sites=" + llvm::join(sites, ",") + "}";
}

std::string CompressPoint::recipe() const {
  if (sites.empty())
    return "passes: []\n";
  return "passes:\n  - lathe-cut-sublayers:\n      sites: " +
         llvm::join(sites, ",") + "\n";
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

namespace {

/// Measures the model that a runner holds.
class Meter {
public:
  explicit Meter(StageRunner &runner) : runner(runner) {}

  /// `bits per token`, `share of items`, or empty without labels.
  std::string unit() const {
    const rt::Tensor *y = runner.labels();
    return !y ? "" : y->rank() == 2 ? "bits per token" : "share of items";
  }

  /// What the model as it is now loses by its labels, not yet relative to the
  /// original.
  llvm::Expected<double> measure() const;

private:
  StageRunner &runner;
};

} // namespace

llvm::Expected<double> Meter::measure() const {
  const rt::Tensor &y = *runner.labels();
  rt::Score score;
  for (unsigned chunk = 0; chunk < runner.chunks(); ++chunk) {
    if (llvm::Error error = runner.run(chunk, {}, runner.entry().stages.size()))
      return std::move(error);
    auto [first, count] = runner.itemsOf(chunk);
    rt::Status status =
        score.add(runner.output(), y, first, count, runner.pool());
    if (status.failed())
      return llvm::createStringError(status.message());
  }
  return y.rank() == 2 ? score.meanBits() : 1 - score.top1() / 100;
}

/// Bytes of weights by site, and of the whole under "model".
static llvm::StringMap<double> siteBytes(ModuleOp model) {
  llvm::StringMap<double> bytes;
  for (auto weight : model.getOps<WeightOp>()) {
    WeightType type = weight.getWeightType();
    bytes["model"] +=
        double(type.getEncodingInterface().storageBits(type.getShape()) / 8);
  }
  for (SublayerOp sublayer : plainSublayers(model))
    bytes[sublayer.getSite().getPath()] = double(weightBytes(sublayer));
  return bytes;
}

/// The prefixes of a ranking as points, each measured on the way.
static llvm::Error addPoints(StageRunner &runner, const Meter &meter,
                             const Profile &profile,
                             const llvm::StringMap<double> &bytes,
                             StringRef key, const Ranking &ranking,
                             double original, CompressResult &result) {
  CompressPoint point;
  point.method = key.str();
  // All sub-layers, besides the whole model.
  size_t all = bytes.size() - 1;
  for (const RankingStep &step : ranking.steps) {
    SmallVector<StringRef> sites;
    StringRef(step.site).split(sites, '+');
    if (point.sites.size() + sites.size() >= all)
      break;
    std::vector<unsigned> stages;
    for (StringRef site : sites) {
      point.sites.push_back(site.str());
      point.size -= bytes.lookup(site) / bytes.lookup("model");
      point.latency -=
          profile.seconds.at(site.str()) / profile.seconds.at("model");
      stages.push_back(runner.stageOf(site));
    }
    if (llvm::Error error = runner.remove(stages))
      return error;
    point.loss = step.error;
    if (runner.labels()) {
      auto measured = meter.measure();
      if (!measured)
        return measured.takeError();
      point.loss = *measured - original;
    }
    result.points.push_back(point);
  }
  return runner.reset();
}

//===----------------------------------------------------------------------===//
// Choosing
//===----------------------------------------------------------------------===//

static void markPareto(std::vector<CompressPoint> &points) {
  for (CompressPoint &point : points)
    point.isPareto = llvm::none_of(points, [&](const CompressPoint &other) {
      bool noWorse = other.size <= point.size &&
                     other.latency <= point.latency && other.loss <= point.loss;
      bool better = other.size < point.size || other.latency < point.latency ||
                    other.loss < point.loss;
      return noWorse && better;
    });
}

/// What a budget limits.
static double limited(const CompressPoint &point, CompressBudget::Kind kind) {
  switch (kind) {
  case CompressBudget::Kind::Size:
    return point.size;
  case CompressBudget::Kind::Latency:
    return point.latency;
  case CompressBudget::Kind::Loss:
    return point.loss;
  }
  llvm_unreachable("all kinds are handled");
}

/// What is made as small as possible within the budget, what counts most first.
static std::tuple<double, double, double> wanted(const CompressPoint &point,
                                                 CompressBudget::Kind kind) {
  if (kind == CompressBudget::Kind::Loss)
    return {point.size, point.latency, point.loss};
  return {point.loss, point.size, point.latency};
}

static llvm::Error choose(CompressResult &result,
                          const CompressBudget &budget) {
  std::optional<size_t> best;
  double nearest = std::numeric_limits<double>::infinity();
  for (auto [index, point] : llvm::enumerate(result.points)) {
    double value = limited(point, budget.kind);
    nearest = std::min(nearest, value);
    if (value > budget.limit)
      continue;
    if (!best ||
        wanted(point, budget.kind) < wanted(result.points[*best], budget.kind))
      best = index;
  }
  if (!best)
    return llvm::createStringError(llvm::formatv(
        "no model is within the budget; the methods reach {0:f3}", nearest));
  result.best = *best;
  return llvm::Error::success();
}

llvm::Expected<CompressResult>
lathe::searchCompression(ModuleOp model, const rt::TensorMap &data,
                         const CalibrateOptions &options,
                         const CompressBudget &budget) {
  auto prepared = PreparedCalibration::create(model, data, options);
  if (!prepared)
    return prepared.takeError();
  StageRunner &runner = *(*prepared)->runner;
  Profile &profile = (*prepared)->profile;
  if (llvm::Error error = (*prepared)->runRequests(model, options))
    return std::move(error);

  CompressResult result;
  Meter meter(runner);
  result.lossUnit = meter.unit();
  double original = 0;
  if (runner.labels()) {
    auto measured = meter.measure();
    if (!measured)
      return measured.takeError();
    original = *measured;
  }
  result.points.emplace_back();
  result.points.back().method = "original";
  llvm::StringMap<double> bytes = siteBytes(model);
  for (const auto &[key, ranking] : profile.rankings) {
    options.progress("points of " + key, 0);
    if (result.lossUnit.empty())
      result.lossUnit = ranking.measure;
    if (llvm::Error error = addPoints(runner, meter, profile, bytes, key,
                                      ranking, original, result))
      return std::move(error);
  }
  markPareto(result.points);
  if (llvm::Error error = choose(result, budget))
    return std::move(error);
  return std::move(result);
}

//===----------------------------------------------------------------------===//
// Table and picture
//===----------------------------------------------------------------------===//

std::string lathe::paretoTable(const CompressResult &result) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << llvm::formatv("{0,5} {1,-26} {2,4} {3,7} {4,8} {5,10}  {6}\n", "point",
                       "method", "cut", "size", "latency", "loss", "");
  for (auto [index, point] : llvm::enumerate(result.points))
    out << llvm::formatv("{0,5} {1,-26} {2,4} {3,7:f4} {4,8:f4} {5,10:f5}  "
                         "{6}{7}\n",
                         index, point.method, point.sites.size(), point.size,
                         point.latency, point.loss,
                         point.isPareto ? "pareto" : "",
                         index == result.best ? " best" : "");
  out << "size and latency: share of the original; loss: " << result.lossUnit
      << "\n";
  return text;
}

/// Colours of the methods, in the order in which they come (Okabe, Ito 2008:
/// told apart without red and green).
static constexpr StringLiteral kColours[] = {"#0072b2", "#d55e00", "#009e73",
                                             "#cc79a7", "#000000"};

std::string lathe::paretoPicture(const CompressResult &result) {
  constexpr double width = 640, height = 400, left = 70, bottom = 50, top = 20;
  double most = 1e-9, least = 0, smallest = 1;
  for (const CompressPoint &point : result.points) {
    most = std::max(most, point.loss);
    least = std::min(least, point.loss);
    smallest = std::min(smallest, point.size);
  }
  double span = std::max(1e-9, 1 - smallest);
  auto x = [&](double size) {
    return left + (size - smallest) / span * (width - left - 30);
  };
  auto y = [&](double loss) {
    return height - bottom -
           (loss - least) / (most - least) * (height - bottom - top);
  };
  std::string text;
  llvm::raw_string_ostream out(text);
  out << llvm::formatv("<svg xmlns=\"http://www.w3.org/2000/svg\" "
                       "viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" "
                       "font-size=\"12\">\n<rect width=\"{0}\" height=\"{1}\" "
                       "fill=\"white\"/>\n",
                       width, height);
  out << llvm::formatv("<path d=\"M{0:f1} {1:f1}V{2:f1}H{3:f1}\" "
                       "fill=\"none\" stroke=\"black\"/>\n",
                       left, top, height - bottom, width - 20);
  for (double share : {0.0, 0.5, 1.0}) {
    double size = smallest + share * span,
           loss = least + share * (most - least);
    out << llvm::formatv("<text x=\"{0:f1}\" y=\"{1:f1}\" "
                         "text-anchor=\"middle\">{2:f2}</text>\n",
                         x(size), height - bottom + 18, size);
    out << llvm::formatv("<text x=\"{0:f1}\" y=\"{1:f1}\" "
                         "text-anchor=\"end\">{2:f3}</text>\n",
                         left - 6, y(loss) + 4, loss);
  }
  out << llvm::formatv("<text x=\"{0:f1}\" y=\"{1:f1}\" "
                       "text-anchor=\"middle\">size (share of the "
                       "original)</text>\n<text x=\"14\" y=\"{2:f1}\" "
                       "transform=\"rotate(-90 14 {2:f1})\" "
                       "text-anchor=\"middle\">loss ({3})</text>\n",
                       (left + width) / 2, height - 12, height / 2,
                       result.lossUnit);
  std::vector<std::string> methods;
  for (auto [index, point] : llvm::enumerate(result.points)) {
    auto method = llvm::find(methods, point.method);
    size_t number = method - methods.begin();
    if (method == methods.end())
      methods.push_back(point.method);
    StringRef colour = kColours[number % std::size(kColours)];
    out << llvm::formatv(
        "<circle cx=\"{0:f1}\" cy=\"{1:f1}\" r=\"{2}\" "
        "fill=\"{3}\" stroke=\"{4}\"><title>{5}: {6} cut, "
        "size {7:f4}, latency {8:f4}, loss "
        "{9:f5}</title></circle>\n",
        x(point.size), y(point.loss), index == result.best ? 7 : 4,
        point.isPareto ? colour : StringRef("white"), colour, point.method,
        point.sites.size(), point.size, point.latency, point.loss);
  }
  for (auto [number, method] : llvm::enumerate(methods))
    out << llvm::formatv("<text x=\"{0:f1}\" y=\"{1:f1}\" fill=\"{2}\" "
                         "text-anchor=\"end\">{3}</text>\n",
                         width - 24, top + 16 * double(number + 1),
                         kColours[number % std::size(kColours)], method);
  out << "</svg>\n";
  return text;
}
