//===- Refit.cpp - what is left makes up for what was cut -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Refit.h"
#include "lathe/Calibrate/Rows.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Report/Report.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include <Eigen/Cholesky>

using namespace mlir;
using namespace lathe;

using Matrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

static constexpr double kRidge = 1e-2;
static constexpr unsigned kHeldOut = 4; // one item of so many

std::string lathe::refitPrefix(StringRef key, size_t steps) {
  return (key + ".refit=" + Twine(steps)).str();
}

//===----------------------------------------------------------------------===//
// The last linear of a sub-layer
//===----------------------------------------------------------------------===//

/// The linear that makes the branch of `sublayer`; null if something comes
/// behind it.
static LinearOp lastLinear(SublayerOp sublayer) {
  if (!sublayer.getPost().empty())
    return {};
  Operation *end = sublayer.getBody().front().getTerminator();
  auto linear = end->getOperand(0).getDefiningOp<LinearOp>();
  return linear && linear.getEpilogue().empty() ? linear : LinearOp();
}

/// The weights that a map is folded into; nothing when one of them serves
/// another site.
static std::optional<SmallVector<WeightOp>> foldedWeights(SublayerOp sublayer) {
  LinearOp linear = lastLinear(sublayer);
  if (!linear)
    return std::nullopt;
  auto module = sublayer->getParentOfType<ModuleOp>();
  SmallVector<WeightOp> weights;
  for (Value value : {Value(linear.getWeight()), Value(linear.getBias())}) {
    if (!value)
      continue;
    auto use = value.getDefiningOp<UseWeightOp>();
    if (!use)
      return std::nullopt;
    auto weight = module.lookupSymbol<WeightOp>(use.getWeight());
    auto uses = SymbolTable::getSymbolUses(weight, module);
    if (!uses)
      return std::nullopt;
    for (SymbolTable::SymbolUse other : *uses) {
      auto owner = other.getUser()->getParentOfType<SublayerOp>();
      if (!owner || owner.getSite() != sublayer.getSite())
        return std::nullopt;
    }
    weights.push_back(weight);
  }
  return weights;
}

//===----------------------------------------------------------------------===//
// Fitting
//===----------------------------------------------------------------------===//

namespace {

/// The rows of all chunks, one after the other.
struct Rows {
  int64_t width = 0;
  std::vector<float> values;

  int64_t count() const { return width ? values.size() / width : 0; }
  Matrix matrix() const {
    return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic,
                                          Eigen::RowMajor>>(values.data(),
                                                            count(), width)
        .cast<double>();
  }
};

class MapFitter {
public:
  MapFitter(CalibrationContext &context, ArrayRef<std::string> sites,
            DistanceKind distance, std::string prefix)
      : context(context), runner(context.runner), cut(llvm::from_range, sites),
        distance(distance), prefix(std::move(prefix)) {}

  llvm::Error run();

private:
  /// A sub-layer that stays.
  struct Place {
    std::string site;
    unsigned stage;
    bool canFit, isAfterCut;
    Rows target; ///< the original's stream where the next place begins
    Matrix map;  ///< empty: none
  };

  void findPlaces();
  llvm::Error readTargets();
  llvm::Error fit(unsigned index);
  Matrix solve(const Rows &residual, const Rows &stream, const Rows &target);
  llvm::Expected<double> outputDistance();
  void append(Rows &rows, unsigned chunk, const rt::TensorView &tensor);
  void edit(unsigned stage);
  llvm::Error store(const Place &place, double before, double after);

  CalibrationContext &context;
  StageRunner &runner;
  llvm::StringSet<> cut;
  DistanceKind distance;
  std::string prefix;
  /// First chunk that is held out, and the original's outputs from there on.
  unsigned fitted = 0;
  std::vector<Rows> outputs;
  double bestDistance = 0; ///< with the maps so far
  std::vector<Place> places;
  std::vector<unsigned> removed;
  unsigned lastStage = 0; ///< of all sub-layers of the original
};

} // namespace

void MapFitter::findPlaces() {
  bool isAfterCut = false;
  for (SublayerOp sublayer : plainSublayers(context.model)) {
    std::string site = sublayer.getSite().getPath().str();
    int stage = runner.stageOf(site);
    if (stage < 0)
      continue;
    lastStage = stage;
    if (cut.contains(site)) {
      removed.push_back(stage);
      // The one before is the first that can make up for it.
      if (!places.empty())
        places.back().isAfterCut = true;
      isAfterCut = true;
      continue;
    }
    places.push_back({site,
                      unsigned(stage),
                      foldedWeights(sublayer).has_value(),
                      isAfterCut,
                      {},
                      {}});
  }
}

void MapFitter::append(Rows &rows, unsigned chunk,
                       const rt::TensorView &tensor) {
  ObservedRows own = observedRows(runner, chunk, tensor);
  rows.width = own.width;
  llvm::append_range(rows.values, own.values);
}

llvm::Error MapFitter::readTargets() {
  if (llvm::Error error = runner.prepare(
          [&](unsigned done, unsigned all) {
            context.progress("streams of the original", double(done) / all);
          },
          [&](unsigned chunk, unsigned stage) {
            if (chunk >= fitted)
              return;
            const rt::Stage &row = runner.entry().stages[stage];
            for (size_t i = 1; i < places.size(); ++i)
              if (places[i].stage == stage)
                append(places[i - 1].target, chunk,
                       runner.view(row.args[*row.residual]));
            if (stage == lastStage)
              append(places.back().target, chunk, runner.view(row.outs[0]));
          }))
    return error;
  for (unsigned chunk = fitted; chunk < runner.chunks(); ++chunk) {
    if (llvm::Error error =
            runner.runWhole(chunk, runner.entry().stages.size()))
      return error;
    append(outputs.emplace_back(), chunk, runner.output());
  }
  return llvm::Error::success();
}

/// Mean distance of the output's rows on the items that are held out.
llvm::Expected<double> MapFitter::outputDistance() {
  double sum = 0, count = 0;
  for (unsigned chunk = fitted; chunk < runner.chunks(); ++chunk) {
    if (llvm::Error error = runner.run(chunk, {}, runner.entry().stages.size()))
      return std::move(error);
    Rows now;
    append(now, chunk, runner.output());
    const Rows &original = outputs[chunk - fitted];
    for (int64_t row = 0; row < original.count(); ++row)
      sum += rowDistance(distance, original.values.data() + row * now.width,
                         now.values.data() + row * now.width, now.width);
    count += double(original.count());
  }
  return sum / count;
}

/// Maps the branch that `stage` has added, where there is a map for it.
void MapFitter::edit(unsigned stage) {
  auto place = llvm::find_if(
      places, [&](const Place &place) { return place.stage == stage; });
  if (place == places.end() || place->map.size() == 0)
    return;
  const rt::Stage &row = runner.entry().stages[stage];
  rt::TensorView from = runner.view(row.args[*row.residual]),
                 to = runner.view(row.outs[0]);
  using Floats = Eigen::Map<
      Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  int64_t width = place->map.rows(), count = to.elements() / width;
  Floats residual(static_cast<float *>(from.data), count, width);
  Floats stream(static_cast<float *>(to.data), count, width);
  Matrix branch = (stream - residual).cast<double>();
  stream = residual + (branch * place->map).cast<float>();
}

llvm::Error MapFitter::store(const Place &place, double before, double after) {
  int64_t width = place.map.rows();
  auto map = rt::Tensor::zeros(rt::DType::F32, {width, width});
  auto error = rt::Tensor::zeros(rt::DType::F64, {2});
  if (map.failed() || error.failed())
    return llvm::createStringError(map.failed() ? map.message()
                                                : error.message());
  for (int64_t i = 0; i < width * width; ++i)
    map->as<float>()[i] = float(place.map.data()[i]);
  error->as<double>()[0] = before;
  error->as<double>()[1] = after;
  context.profile.arrays[prefix + "/" + place.site] = std::move(*map);
  context.profile.arrays[prefix + ".error/" + place.site] = std::move(*error);
  return llvm::Error::success();
}

/// The ridge solution; empty for a branch of zeros.
Matrix MapFitter::solve(const Rows &residual, const Rows &stream,
                        const Rows &target) {
  int64_t width = residual.width;
  Matrix r = residual.matrix();
  Matrix branch = stream.matrix() - r, wanted = target.matrix() - r;
  Matrix gram = branch.transpose() * branch;
  double ridge = kRidge * gram.trace() / double(width);
  if (!(ridge > 0))
    return {};
  Matrix one = Matrix::Identity(width, width);
  Matrix right = branch.transpose() * wanted + ridge * one;
  gram += ridge * one;
  return gram.llt().solve(right);
}

llvm::Error MapFitter::fit(unsigned index) {
  Place &place = places[index];
  // What the sub-layers before make has changed with the last map.
  unsigned from = index == 0 ? 0 : places[index - 1].stage;
  Rows residual, stream;
  if (llvm::Error error =
          runner.refresh(from, [&](unsigned chunk, unsigned stage) {
            if (stage != place.stage || chunk >= fitted)
              return;
            const rt::Stage &row = runner.entry().stages[stage];
            append(residual, chunk, runner.view(row.args[*row.residual]));
            append(stream, chunk, runner.view(row.outs[0]));
          }))
    return error;
  if (residual.count() < residual.width)
    return llvm::createStringError(
        "refit needs at least " + Twine(residual.width) + " rows to fit '" +
        place.site + "', the data have " + Twine(residual.count()));
  Matrix map = solve(residual, stream, place.target);
  if (map.size() == 0)
    return llvm::Error::success();

  double before = bestDistance;
  Matrix one = Matrix::Identity(map.rows(), map.cols()), best;
  for (double part : {1.0, 0.5, 0.25}) {
    place.map = one + part * (map - one);
    auto found = outputDistance();
    if (!found)
      return found.takeError();
    if (*found >= bestDistance)
      continue;
    bestDistance = *found;
    best = place.map;
  }
  place.map = std::move(best);
  return place.map.size() ? store(place, before, bestDistance)
                          : llvm::Error::success();
}

llvm::Error MapFitter::run() {
  findPlaces();
  if (places.empty() || removed.empty())
    return llvm::createStringError("refit has nothing to make up for");
  unsigned chunks = runner.chunks();
  if (chunks < 2)
    return llvm::createStringError(
        "refit holds items out, and all data are one run; give more items");
  fitted = chunks - std::max(1u, chunks / kHeldOut);
  if (llvm::Error error = runner.reset())
    return error;
  if (llvm::Error error = readTargets())
    return error;
  if (llvm::Error error = runner.remove(removed))
    return error;
  runner.setEdit([&](unsigned stage) { edit(stage); });
  auto start = outputDistance();
  if (!start)
    return start.takeError();
  bestDistance = *start;
  for (unsigned i = 0; i < places.size(); ++i) {
    if (places[i].canFit && places[i].isAfterCut)
      if (llvm::Error error = fit(i))
        return error;
    context.progress("refit", double(i + 1) / double(places.size()));
  }
  runner.setEdit(nullptr);
  return runner.reset();
}

llvm::Error lathe::fitMaps(CalibrationContext &context,
                           ArrayRef<std::string> sites, DistanceKind distance,
                           const std::string &prefix) {
  // Of an earlier run, perhaps with other data.
  auto &arrays = context.profile.arrays;
  for (auto entry = arrays.begin(); entry != arrays.end();) {
    StringRef name = entry->first;
    bool isOld =
        name.starts_with(prefix + "/") || name.starts_with(prefix + ".error/");
    entry = isOld ? arrays.erase(entry) : std::next(entry);
  }
  if (llvm::Error error = MapFitter(context, sites, distance, prefix).run())
    return error;
  return context.checkpoint();
}

//===----------------------------------------------------------------------===//
// Applying
//===----------------------------------------------------------------------===//

/// `values` rounded to `element`.
static std::vector<char> toBytes(ArrayRef<float> values, FloatType element) {
  size_t width = element.getWidth() / 8;
  std::vector<char> bytes(values.size() * width);
  for (auto [i, value] : llvm::enumerate(values)) {
    llvm::APFloat number(value);
    bool isInexact;
    number.convert(element.getFloatSemantics(),
                   llvm::APFloat::rmNearestTiesToEven, &isInexact);
    uint64_t bits = number.bitcastToAPInt().getZExtValue();
    std::memcpy(bytes.data() + i * width, &bits, width);
  }
  return bytes;
}

/// Rewrites `weight` [..., D] as weight x map.
static llvm::Error foldMap(WeightOp weight, const Matrix &map) {
  WeightType type = weight.getWeightType();
  int64_t width = map.rows();
  if (type.getShape().back() != width)
    return llvm::createStringError("weight '" + weight.getSymName() +
                                   "' has other columns than its map");
  PayloadStore &store = getPayloads(weight);
  std::vector<float> values(type.getNumElements());
  if (llvm::Error error = type.getEncodingInterface().decode(
          store, type.getShape(), weight.getParts(), values))
    return error;
  Eigen::Map<
      Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>
      rows(values.data(), values.size() / width, width);
  Matrix product = rows.cast<double>() * map;
  rows = product.cast<float>();

  // In the type that the weight has, so that neither the model grows nor an
  // exporter is asked for another one.
  MLIRContext *context = weight.getContext();
  auto dense = dyn_cast<DenseAttr>(type.getEncoding());
  auto element = dense ? cast<FloatType>(dense.getElementType())
                       : FloatType(Float32Type::get(context));
  auto payload = store.add(context, toBytes(values, element));
  if (!payload)
    return payload.takeError();
  Builder builder(context);
  auto written =
      WeightType::get(context, type.getShape(), type.getElementType(),
                      DenseAttr::get(context, element, /*transposed=*/false));
  weight.setPartsAttr(
      builder.getDictionaryAttr(builder.getNamedAttr("data", *payload)));
  weight.setTypeAttr(TypeAttr::get(written));
  auto module = weight->getParentOfType<ModuleOp>();
  module.walk([&](UseWeightOp use) {
    if (use.getWeight() == weight.getSymName())
      use.getResult().setType(written);
  });
  return llvm::Error::success();
}

LogicalResult lathe::applyMaps(ModuleOp model, const Profile &profile,
                               StringRef path, const std::string &prefix,
                               StringRef pass) {
  bool found = false;
  auto fail = [&](const Twine &reason) {
    return model.emitError() << pass << ": " << reason;
  };
  for (SublayerOp sublayer : plainSublayers(model)) {
    std::string site = sublayer.getSite().getPath().str();
    auto array = profile.arrays.find(prefix + "/" + site);
    auto error = profile.arrays.find(prefix + ".error/" + site);
    if (array == profile.arrays.end() || error == profile.arrays.end())
      continue;
    const rt::Tensor &values = array->second;
    if (values.rank() != 2 || values.dtype() != rt::DType::F32 ||
        values.shape()[0] != values.shape()[1] ||
        error->second.elements() != 2 ||
        error->second.dtype() != rt::DType::F64)
      return fail("profile '" + path + "' has a map '" + array->first +
                  "' that is no square of f32");
    auto weights = foldedWeights(sublayer);
    if (!weights)
      return fail("the weights of '" + site + "' cannot take a map");
    Matrix map = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic,
                                          Eigen::RowMajor>>(
                     values.as<float>(), values.shape()[0], values.shape()[1])
                     .cast<double>();
    if (!found)
      recordPass(model, (pass + "{" + prefix + "}").str());
    found = true;
    for (WeightOp weight : *weights)
      if (llvm::Error folded = foldMap(weight, map))
        return fail(llvm::toString(std::move(folded)));
    ReportRow row;
    row.site = site;
    row.pass = pass.str();
    row.action = ReportAction::Rewritten;
    row.reason = "refitted to the stream of the original";
    row.values["distance_before"] = error->second.as<double>()[0];
    row.values["distance_after"] = error->second.as<double>()[1];
    addReportRow(model, row);
  }
  if (!found)
    return fail("profile '" + path + "' has no maps '" + prefix +
                "'; calibrate with refit and this cut");
  return success();
}
