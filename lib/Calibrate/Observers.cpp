//===- Observers.cpp - statistics of values by site -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/Observers.h"
#include "Statistics.h"
#include "lathe/Calibrate/Rows.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/InlineStructure.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"
#include <cmath>

using namespace mlir;
using namespace lathe;

static constexpr std::pair<StatisticKind, llvm::StringLiteral> kNames[] = {
    {StatisticKind::MinMax, "minmax"},
    {StatisticKind::Moments, "moments"},
    {StatisticKind::Histogram, "histogram"},
    {StatisticKind::Gram, "gram"},
    {StatisticKind::Rows, "rows"},
    {StatisticKind::Norms, "norms"},
    {StatisticKind::Cosine, "cosine"},
    {StatisticKind::Angular, "angular"},
};

llvm::StringRef lathe::getName(StatisticKind kind) {
  for (auto &[value, name] : kNames)
    if (value == kind)
      return name;
  llvm_unreachable("all kinds have names");
}

std::optional<StatisticKind> lathe::parseStatisticKind(StringRef name) {
  for (auto &[value, text] : kNames)
    if (text == name)
      return value;
  return std::nullopt;
}

bool lathe::isOfChange(StatisticKind kind) {
  return kind == StatisticKind::Norms || kind == StatisticKind::Cosine ||
         kind == StatisticKind::Angular;
}

//===----------------------------------------------------------------------===//
// Declarations
//===----------------------------------------------------------------------===//

void Observers::observe(StringRef site, StatisticKind kind, int64_t size) {
  add({site.str(), kind, "", "", size});
}

void Observers::observeChange(StringRef site, StringRef first, StringRef last,
                              StatisticKind kind) {
  add({site.str(), kind, first.str(), last.str(), 0});
}

void Observers::add(Observation observation) {
  std::string name = nameOf(observation);
  if (!llvm::is_contained(llvm::map_range(observations, nameOf), name))
    observations.push_back(std::move(observation));
}

std::string Observers::nameOf(const Observation &observation) {
  std::string name = (getName(observation.kind) + "/" + observation.site).str();
  if (observation.size)
    name += "[" + std::to_string(observation.size) + "]";
  return name;
}

std::string Observers::text() const {
  std::vector<std::string> names;
  for (const Observation &observation : observations)
    names.push_back(nameOf(observation));
  llvm::sort(names);
  return llvm::join(names, ",");
}

//===----------------------------------------------------------------------===//
// Sites
//===----------------------------------------------------------------------===//

/// The sub-layer that `op` is in the body of, or null at the top level of an
/// entry whose blocks are inlined; nothing anywhere else.
static std::optional<SublayerOp> holderOf(Operation *op) {
  Operation *parent = op->getParentOp();
  while (isa<BlockOp>(parent))
    parent = parent->getParentOp();
  if (isa<func::FuncOp>(parent))
    return SublayerOp();
  auto sublayer = dyn_cast<SublayerOp>(parent);
  if (!sublayer || op->getParentRegion() != &sublayer.getBody() ||
      holderOf(sublayer) != SublayerOp())
    return std::nullopt;
  return sublayer;
}

ObservableSites lathe::observableSites(ModuleOp model) {
  ObservableSites sites;
  auto plain = model.lookupSymbol<func::FuncOp>("plain");
  if (!plain)
    return sites;
  plain.walk<WalkOrder::PreOrder>([&](Operation *op) {
    auto holder = holderOf(op);
    if (auto sublayer = dyn_cast<SublayerOp>(op);
        sublayer && holder == SublayerOp())
      sites.sublayers.push_back(sublayer.getSite().getPath().str());
    auto linear = dyn_cast<LinearOp>(op);
    if (linear && linear.getSite() && holder)
      sites.linears.push_back(linear.getSite()->getPath().str());
  });
  return sites;
}

//===----------------------------------------------------------------------===//
// Observed values as results of the entry
//===----------------------------------------------------------------------===//

/// Names of the places that are observed.
static std::string beforeOf(StringRef site) { return ("before/" + site).str(); }
static std::string behindOf(StringRef site) { return ("behind/" + site).str(); }
static std::string inputOf(StringRef site) { return ("input/" + site).str(); }

void Observers::expose(func::FuncOp plain, const Places &places) {
  Operation *end = plain.front().getTerminator();
  Builder builder(plain.getContext());
  llvm::DenseMap<Value, std::string> names;
  for (const auto &[place, value] : places) {
    std::string &name = names[value];
    if (name.empty()) {
      name = "lathe.observe/" + place;
      (void)plain.insertResult(
          plain.getNumResults(), value.getType(),
          builder.getDictionaryAttr(builder.getNamedAttr(
              LatheDialect::kNameAttr, builder.getStringAttr(name))));
      end->insertOperands(end->getNumOperands(), value);
    }
    outputs[place] = name;
  }
}

/// `sublayer` with `values` of its body as further results.
static SublayerOp yieldToo(SublayerOp sublayer, llvm::ArrayRef<Value> values) {
  OpBuilder builder(sublayer);
  SmallVector<Type> types(sublayer.getExtra().getTypes());
  llvm::append_range(types, ValueRange(values).getTypes());
  auto wider = SublayerOp::create(
      builder, sublayer.getLoc(), sublayer.getResult().getType(), types,
      sublayer.getKind(), sublayer.getSite(), sublayer.getResidual(),
      sublayer.getSource(), sublayer.getArgs(), sublayer.getSkipAttr());
  wider.getBody().takeBody(sublayer.getBody());
  wider.getPost().takeBody(sublayer.getPost());
  Operation *yield = wider.getBody().front().getTerminator();
  yield->insertOperands(yield->getNumOperands(), values);
  sublayer->replaceAllUsesWith(
      wider->getResults().take_front(sublayer->getNumResults()));
  sublayer.erase();
  return wider;
}

llvm::Error Observers::exposeStreams(func::FuncOp plain) {
  inlineBlocks(plain);
  llvm::StringMap<SublayerOp> sublayers;
  for (auto sublayer : plain.getOps<SublayerOp>())
    sublayers[sublayer.getSite().getPath()] = sublayer;
  Places places;
  for (const Observation &observation : observations) {
    if (!isOfChange(observation.kind))
      continue;
    SublayerOp first = sublayers.lookup(observation.first),
               last = sublayers.lookup(observation.last);
    if (!first || !last)
      return llvm::createStringError("the stream around '" + observation.site +
                                     "' cannot be observed");
    places.emplace_back(beforeOf(observation.first), first.getResidual());
    places.emplace_back(behindOf(observation.last), last.getResult());
  }
  expose(plain, places);
  return llvm::Error::success();
}

/// What `linear` multiplies: a value of its sub-layer's body, or one outside.
static Value inputOf(LinearOp linear, SublayerOp holder) {
  auto argument = dyn_cast<BlockArgument>(linear.getX());
  if (!holder || !argument)
    return linear.getX();
  unsigned index = argument.getArgNumber();
  return index == 0 ? holder.getSource() : holder.getArgs()[index - 1];
}

llvm::Error Observers::exposeInputs(func::FuncOp plain) {
  llvm::StringSet<> wanted;
  for (const Observation &observation : observations)
    if (!isOfChange(observation.kind))
      wanted.insert(observation.site);
  Places places;
  llvm::MapVector<Operation *, llvm::SetVector<Value>> inner;
  plain.walk([&](LinearOp linear) {
    auto holder = holderOf(linear);
    if (!holder || !linear.getSite() ||
        !wanted.erase(linear.getSite()->getPath()))
      return;
    Value input = inputOf(linear, *holder);
    places.emplace_back(inputOf(linear.getSite()->getPath()), input);
    if (*holder && input.getParentRegion() == &holder->getBody())
      inner[*holder].insert(input);
  });
  if (!wanted.empty())
    return llvm::createStringError("what '" + wanted.begin()->getKey() +
                                   "' multiplies cannot be observed");
  llvm::DenseMap<Value, Value> outer;
  for (auto &[op, inputs] : inner) {
    SublayerOp wider = yieldToo(cast<SublayerOp>(op), inputs.getArrayRef());
    for (auto [input, result] :
         llvm::zip_equal(inputs, wider.getExtra().take_back(inputs.size())))
      outer[input] = result;
  }
  for (auto &[place, value] : places)
    if (Value result = outer.lookup(value))
      value = result;
  expose(plain, places);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// The run
//===----------------------------------------------------------------------===//

/// A statistic of one value, or of the change from one to another, and the
/// sites that want it.
struct Observers::Task {
  unsigned before, behind; ///< outputs of the entry
  StatisticKind kind;
  int64_t size;
  std::unique_ptr<Statistic> statistic;
  std::vector<std::string> sites;
};

/// The arrays of `task` under the name of its first site, the others as
/// aliases.
llvm::Error Observers::store(Task &task, int64_t rows, Profile &profile) {
  std::map<std::string, rt::Tensor> arrays;
  if (llvm::Error error = task.statistic->finish(arrays))
    return error;
  auto count = rt::Tensor::zeros(rt::DType::I64, {1});
  if (count.failed())
    return llvm::createStringError(count.message());
  *count->as<int64_t>() = rows;
  arrays["count"] = std::move(*count);
  for (auto &[name, tensor] : arrays) {
    std::string owner = name + "/" + task.sites.front();
    profile.arrays[owner] = std::move(tensor);
    for (const std::string &site : llvm::drop_begin(task.sites))
      profile.aliases[name + "/" + site] = owner;
  }
  return llvm::Error::success();
}

std::vector<Observers::Task>
Observers::makeTasks(const rt::Entry &entry) const {
  llvm::StringMap<unsigned> indices;
  for (auto [index, output] : llvm::enumerate(entry.outputs))
    indices[output.name] = index;
  auto indexOf = [&](const std::string &place) {
    return indices.lookup(outputs.at(place));
  };
  std::vector<Task> tasks;
  for (const Observation &observation : observations) {
    bool isChange = isOfChange(observation.kind);
    Task task;
    task.before = indexOf(isChange ? beforeOf(observation.first)
                                   : inputOf(observation.site));
    task.behind = isChange ? indexOf(behindOf(observation.last)) : task.before;
    task.kind = observation.kind;
    task.size = observation.size;
    auto same = llvm::find_if(tasks, [&](const Task &other) {
      return std::tie(other.before, other.behind, other.kind, other.size) ==
             std::tie(task.before, task.behind, task.kind, task.size);
    });
    if (same == tasks.end()) {
      task.statistic = Statistic::create(task.kind, task.size);
      same = tasks.insert(tasks.end(), std::move(task));
    }
    same->sites.push_back(observation.site);
  }
  return tasks;
}

llvm::Error Observers::run(StageRunner &runner, Profile &profile,
                           const StageRunner::Progress &progress) {
  std::vector<Task> tasks = makeTasks(runner.entry());
  std::map<unsigned, ObservedRows> rows; // by output
  std::map<unsigned, int64_t> counts;
  for (const Task &task : tasks)
    rows[task.before], rows[task.behind];
  for (unsigned chunk = 0; chunk < runner.chunks(); ++chunk) {
    if (llvm::Error error =
            runner.runWhole(chunk, runner.entry().stages.size()))
      return error;
    for (auto &[output, observed] : rows) {
      observed = observedRows(
          runner, chunk,
          runner.view({rt::Ref::Kind::Output, static_cast<uint32_t>(output)}));
      counts[output] += observed.count();
    }
    // Each statistic on one thread: sums do not depend on how many there are.
    runner.pool().parallelFor(tasks.size(), 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i)
        tasks[i].statistic->add(rows[tasks[i].before], rows[tasks[i].behind]);
    });
    if (progress)
      progress(chunk + 1, runner.chunks());
  }
  for (Task &task : tasks)
    if (llvm::Error error = store(task, counts[task.before], profile))
      return error;
  profile.observed = text();
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// In short
//===----------------------------------------------------------------------===//

/// Mean and standard deviation over all elements, of moments [4, W].
static std::map<std::string, double> ofMoments(const rt::Tensor &tensor) {
  const double *moments = tensor.as<double>();
  int64_t width = tensor.shape()[1];
  double mean = 0, square = 0;
  for (int64_t c = 0; c < width; ++c) {
    mean += moments[c] / width;
    square += moments[width + c] / width;
  }
  return {{"mean", mean},
          {"std", std::sqrt(std::max(0.0, square - mean * mean))}};
}

/// The numbers that the array NAME of a site comes down to; none of the large
/// ones, which are not looked at, and of what no observer writes.
static std::map<std::string, double> inShort(StringRef name,
                                             const rt::Tensor &tensor) {
  int64_t count = tensor.elements();
  if (tensor.dtype() == rt::DType::F32 && count > 0) {
    llvm::ArrayRef<float> values(tensor.as<float>(), count);
    if (name == "min")
      return {{"min", *llvm::min_element(values)}};
    if (name == "max")
      return {{"max", *llvm::max_element(values)}};
  }
  if (tensor.dtype() != rt::DType::F64 || count == 0)
    return {};
  const double *values = tensor.as<double>();
  if (name == "moments" && tensor.rank() == 2 && tensor.shape()[0] == 4)
    return ofMoments(tensor);
  if (name == "norms" && count == 3)
    return {{"norm_before", values[0]}, {"norm_behind", values[1]}};
  if (name == "cosine")
    return {{"saturation", 1 - values[0]}};
  if (name == "angular")
    return {{"angle", values[0]}};
  return {};
}

std::map<std::string, std::map<std::string, double>>
lathe::observedValues(const Profile &profile) {
  std::map<std::string, std::map<std::string, double>> values;
  auto add = [&](StringRef key, const rt::Tensor &tensor) {
    auto [name, site] = key.split('/');
    for (auto &[label, value] : inShort(name, tensor))
      values[site.str()][label] = value;
  };
  for (const auto &[key, tensor] : profile.arrays)
    add(key, tensor);
  for (const auto &[key, owner] : profile.aliases)
    if (const rt::Tensor *tensor = profile.find(owner))
      add(key, *tensor);
  return values;
}
