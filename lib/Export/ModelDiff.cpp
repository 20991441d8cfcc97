//===- ModelDiff.cpp - what was done to a model ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Blocks and sub-layers are looked through: each of their regions runs once,
// with known values. In the source, a sub-layer that the model does not have
// yields its residual; then both must have the same numbers.
//
// The bytes of weights and of named constants take no part in the numbers.
// Operations that read weights are told apart by the nodes they come from, so
// that each finds its partner, and then the weights are compared.
//
//===----------------------------------------------------------------------===//

#include "ModelDiff.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/ADT/StringSet.h"
#include <map>

using namespace mlir;
using namespace lathe;

using Number = unsigned;

namespace {

/// What made a number first.
struct Maker {
  Operation *op = nullptr;
  SmallVector<Number> operands;
};

/// Numbers of both models.
class Numbers {
public:
  explicit Numbers(MLIRContext *context);

  /// The number of what `key` describes.
  Number get(StringRef key, Operation *op = nullptr,
             ArrayRef<Number> operands = {});
  /// A number that nothing else gets.
  Number fresh(Operation *op, ArrayRef<Number> operands);
  const Maker &makerOf(Number number) const { return makers[number]; }
  unsigned size() const { return makers.size(); }

  /// What tells `op` from others with the same operands.
  std::string keyOf(Operation *op);

private:
  llvm::StringMap<Number> numbers;
  std::vector<Maker> makers;
  AttrTypeReplacer placeless;
};

/// Numbers the values of one entry.
class EntryWalk {
public:
  /// `removed`: sub-layers that yield their residual, and whether the norm
  /// behind goes with them.
  EntryWalk(Numbers &numbers, func::FuncOp entry,
            const std::map<std::string, bool> &removed)
      : numbers(numbers), entry(entry), removed(removed) {}

  /// Calls `visit` with each operation that has a number, and the number of
  /// its first result.
  void run(function_ref<void(Operation *, Number)> visit);

  /// One per result of the entry.
  ArrayRef<Number> getResults() const { return results; }

private:
  void walk(Block &block);
  void walkSublayer(SublayerOp sublayer);
  void walkOp(Operation *op);
  void set(ValueRange values, ValueRange from);
  SmallVector<Number> numbersOf(ValueRange values) const;

  Numbers &numbers;
  func::FuncOp entry;
  const std::map<std::string, bool> &removed;
  function_ref<void(Operation *, Number)> visit;
  DenseMap<Value, Number> known;
  SmallVector<Number> results;
};

class Differ {
public:
  Differ(ModuleOp source, ModuleOp model)
      : source(source), model(model), sourceSymbols(source),
        modelSymbols(model), numbers(source.getContext()) {}

  llvm::Expected<ModelDiff> run();

private:
  llvm::Error compareEntry(func::FuncOp before, func::FuncOp after);
  llvm::Error findRemoved(func::FuncOp before, func::FuncOp after,
                          std::map<std::string, bool> &removed);
  llvm::Error comparePorts(func::FuncOp before, func::FuncOp after,
                           ArrayRef<Number> expected, ArrayRef<Number> actual);
  llvm::Error pair(Operation *before, Operation *after);
  llvm::Error foreignError(StringRef entry, Number number);

  ModuleOp source, model;
  SymbolTable sourceSymbols, modelSymbols;
  Numbers numbers;
  /// Numbers from here on are unknown to the source.
  unsigned firstForeign = 0;
  ModelDiff diff;
};

} // namespace

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

Numbers::Numbers(MLIRContext *context) {
  // Equal bytes are one payload wherever they lie.
  placeless.addReplacement([](PayloadAttr blob) -> std::optional<Attribute> {
    return PayloadAttr::get(blob.getContext(), "*", 0, blob.getBytes(),
                            blob.getHash());
  });
}

Number Numbers::get(StringRef key, Operation *op, ArrayRef<Number> operands) {
  auto [entry, isNew] = numbers.try_emplace(key, makers.size());
  if (isNew)
    makers.push_back({op, SmallVector<Number>(operands)});
  return entry->second;
}

Number Numbers::fresh(Operation *op, ArrayRef<Number> operands) {
  makers.push_back({op, SmallVector<Number>(operands)});
  return makers.size() - 1;
}

template <typename T>
static void append(std::string &key, T value) {
  key.append(reinterpret_cast<const char *>(&value), sizeof(T));
}

static bool readsWeight(Operation *op) {
  return llvm::any_of(op->getOperandTypes(), llvm::IsaPred<WeightType>);
}

/// Attributes that say where an operation comes from, not what it does.
static bool isNote(NamedAttribute attr) {
  StringRef name = attr.getName();
  return name.starts_with("onnx.") || name.starts_with("lathe.");
}

std::string Numbers::keyOf(Operation *op) {
  std::string key = "op";
  append(key, op->getName().getAsOpaquePointer());
  if (auto constant = dyn_cast<ConstantOp>(op);
      constant && constant.getName()) {
    append(key, constant.getNameAttr().getAsOpaquePointer());
    append(key, constant.getType().getAsOpaquePointer());
    return key;
  }
  NamedAttrList attrs;
  for (NamedAttribute attr : op->getAttrs())
    if (!isNote(attr))
      attrs.push_back(attr);
  if (readsWeight(op))
    if (Attribute from = op->getDiscardableAttr(LatheDialect::kFromAttr))
      attrs.set(LatheDialect::kFromAttr, from);
  Attribute all = placeless.replace(attrs.getDictionary(op->getContext()));
  append(key, all.getAsOpaquePointer());
  for (Type type : op->getResultTypes())
    append(key, getElementTypeOrSelf(type).getAsOpaquePointer());
  return key;
}

//===----------------------------------------------------------------------===//
// EntryWalk
//===----------------------------------------------------------------------===//

SmallVector<Number> EntryWalk::numbersOf(ValueRange values) const {
  SmallVector<Number> list;
  for (Value value : values)
    list.push_back(known.lookup(value));
  return list;
}

void EntryWalk::set(ValueRange values, ValueRange from) {
  for (auto [value, other] : llvm::zip(values, from))
    known[value] = known.lookup(other);
}

void EntryWalk::walkOp(Operation *op) {
  SmallVector<Number> operands = numbersOf(op->getOperands());
  bool isOpaque = llvm::any_of(op->getRegions(),
                               [](Region &region) { return !region.empty(); });
  std::string key = isOpaque ? "" : numbers.keyOf(op);
  for (Number operand : operands)
    append(key, operand);
  for (OpResult result : op->getResults()) {
    std::string own = key;
    append(own, result.getResultNumber());
    known[result] =
        isOpaque ? numbers.fresh(op, operands) : numbers.get(own, op, operands);
  }
  if (op->getNumResults())
    visit(op, known.lookup(op->getResult(0)));
}

void EntryWalk::walkSublayer(SublayerOp sublayer) {
  Block &body = sublayer.getBody().front();
  set(body.getArguments().take_front(), sublayer.getSource());
  set(body.getArguments().drop_front(), sublayer.getArgs());
  walk(body);
  Operation *end = body.getTerminator();
  set(sublayer.getExtra(), end->getOperands().drop_front());

  Number sum = known.lookup(sublayer.getResidual());
  auto found = removed.find(sublayer.getSite().getPath().str());
  bool isRemoved = found != removed.end();
  if (!isRemoved) {
    Number parts[] = {sum, known.lookup(end->getOperand(0))};
    std::string key = "sum";
    append(key, sublayer.getSite().getAsOpaquePointer());
    for (Number part : parts)
      append(key, part);
    sum = numbers.get(key, sublayer, parts);
  }
  known[sublayer.getResult()] = sum;
  if (sublayer.getPost().empty() || (isRemoved && found->second))
    return;
  Block &post = sublayer.getPost().front();
  known[post.getArgument(0)] = sum;
  walk(post);
  set(sublayer.getResult(), post.getTerminator()->getOperands());
}

void EntryWalk::walk(Block &block) {
  for (Operation &op : block.without_terminator()) {
    if (auto group = dyn_cast<BlockOp>(op)) {
      Block &body = group.getBody().front();
      walk(body);
      set(group.getOutputs(), body.getTerminator()->getOperands());
    } else if (auto sublayer = dyn_cast<SublayerOp>(op)) {
      walkSublayer(sublayer);
    } else if (isa<UseWeightOp>(op)) {
      known[op.getResult(0)] = numbers.get("weight");
    } else {
      walkOp(&op);
    }
  }
}

/// The name by which an argument or a result is known outside.
static std::string portName(DictionaryAttr attrs) {
  if (!attrs)
    return "";
  if (auto name = attrs.getAs<StringAttr>(LatheDialect::kNameAttr))
    return name.str();
  // A cache has the names of the inputs that it stands for.
  std::string text;
  llvm::raw_string_ostream os(text);
  if (Attribute past = attrs.get("lathe.past"))
    os << past;
  return text;
}

void EntryWalk::run(function_ref<void(Operation *, Number)> visit) {
  this->visit = visit;
  for (BlockArgument arg : entry.getArguments()) {
    std::string name = portName(entry.getArgAttrDict(arg.getArgNumber()));
    if (name.empty())
      name = "#" + std::to_string(arg.getArgNumber());
    known[arg] = numbers.get("input" + name);
  }
  Block &body = entry.getBody().front();
  walk(body);
  results = numbersOf(body.getTerminator()->getOperands());
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

/// `'lathe.linear' at blocks.0.ffn.up`.
static std::string describe(Operation *op) {
  std::string text = "'" + op->getName().getStringRef().str() + "'";
  if (auto carrier = dyn_cast<OnnxOp>(op))
    text += " " + carrier.getOpType().str();
  if (auto site = op->getAttrOfType<SiteAttr>("site"))
    return text + " at " + site.getPath().str();
  for (Operation *outer = op->getParentOp(); outer;
       outer = outer->getParentOp())
    if (auto sublayer = dyn_cast<SublayerOp>(outer))
      return text + " in " + sublayer.getSite().getPath().str();
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return text + " (node '" + name.getName().str() + "')";
  return text;
}

llvm::Error Differ::foreignError(StringRef entry, Number number) {
  // The first operation on the way whose operands the source has.
  const Maker *maker = &numbers.makerOf(number);
  while (true) {
    auto next = llvm::find_if(maker->operands, [&](Number operand) {
      return operand >= firstForeign;
    });
    if (next == maker->operands.end())
      break;
    maker = &numbers.makerOf(*next);
  }
  std::string what = maker->op ? describe(maker->op) : "an input";
  return llvm::createStringError(
      "entry '" + entry + "': " + what +
      " is not what the source computes there, and no ONNX form of the "
      "difference is known");
}

//===----------------------------------------------------------------------===//
// Differ
//===----------------------------------------------------------------------===//

/// Sites of the sub-layers of an entry.
static std::map<std::string, SublayerOp> getSublayers(func::FuncOp entry) {
  std::map<std::string, SublayerOp> sites;
  entry->walk([&](SublayerOp sublayer) {
    sites[sublayer.getSite().getPath().str()] = sublayer;
  });
  return sites;
}

/// True if `entry` has the norm behind `sublayer`, wherever it stands.
static bool hasNorm(func::FuncOp entry, SublayerOp sublayer) {
  llvm::SmallPtrSet<Attribute, 4> origins;
  sublayer.getPost().walk([&](NormOp norm) {
    if (Attribute from = norm->getDiscardableAttr(LatheDialect::kFromAttr))
      origins.insert(from);
  });
  return entry
      ->walk([&](NormOp norm) {
        return origins.contains(
                   norm->getDiscardableAttr(LatheDialect::kFromAttr))
                   ? WalkResult::interrupt()
                   : WalkResult::advance();
      })
      .wasInterrupted();
}

llvm::Error Differ::findRemoved(func::FuncOp before, func::FuncOp after,
                                std::map<std::string, bool> &removed) {
  std::map<std::string, SublayerOp> old = getSublayers(before),
                                    now = getSublayers(after);
  for (auto &[site, sublayer] : now)
    if (!old.count(site))
      return llvm::createStringError("entry '" + after.getName() +
                                     "': the source has no sub-layer " + site);
  for (auto &[site, sublayer] : old)
    if (!now.count(site))
      removed[site] = !sublayer.getPost().empty() && !hasNorm(after, sublayer);
  bool isPlain = before.getName() == "plain";
  if (isPlain)
    for (auto &[site, withNorm] : removed)
      diff.removed.push_back({old[site], withNorm});
  return llvm::Error::success();
}

llvm::Error Differ::pair(Operation *before, Operation *after) {
  if (auto constant = dyn_cast<ConstantOp>(before)) {
    auto other = cast<ConstantOp>(after);
    if (constant.getValue().getHash() != other.getValue().getHash())
      diff.constants.push_back({constant, other});
    return llvm::Error::success();
  }
  if (!readsWeight(before))
    return llvm::Error::success();
  for (auto [old, now] :
       llvm::zip(before->getOperands(), after->getOperands())) {
    auto oldUse = old.getDefiningOp<UseWeightOp>();
    auto newUse = now.getDefiningOp<UseWeightOp>();
    if (!oldUse || !newUse)
      continue;
    auto oldWeight = sourceSymbols.lookup<WeightOp>(oldUse.getWeight());
    auto newWeight = modelSymbols.lookup<WeightOp>(newUse.getWeight());
    if (!oldWeight || !newWeight)
      return llvm::createStringError(describe(after) +
                                     " reads a weight that is not there");
    diff.weights.push_back({before, oldWeight, newWeight});
  }
  return llvm::Error::success();
}

llvm::Error Differ::comparePorts(func::FuncOp before, func::FuncOp after,
                                 ArrayRef<Number> expected,
                                 ArrayRef<Number> actual) {
  bool isPlain = before.getName() == "plain";
  std::map<std::string, Number> outputs;
  for (auto [i, number] : llvm::enumerate(expected))
    outputs[portName(before.getResultAttrDict(i))] = number;
  llvm::StringSet<> kept;
  for (auto [i, number] : llvm::enumerate(actual)) {
    std::string name = portName(after.getResultAttrDict(i));
    kept.insert(name);
    auto found = outputs.find(name);
    // Results that are only threaded through have no name.
    bool matches = name.empty()
                       ? llvm::is_contained(expected, number)
                       : found != outputs.end() && found->second == number;
    if (matches)
      continue;
    if (number >= firstForeign)
      return foreignError(after.getName(), number);
    return llvm::createStringError(
        "entry '" + after.getName() + "': output '" + name +
        "' is not the value that it is in the source");
  }
  if (!isPlain)
    return llvm::Error::success();
  for (auto &[name, number] : outputs)
    if (!kept.contains(name))
      diff.droppedOutputs.push_back(name);
  llvm::StringSet<> inputs;
  for (unsigned i = 0; i < after.getNumArguments(); ++i)
    inputs.insert(portName(after.getArgAttrDict(i)));
  for (unsigned i = 0; i < before.getNumArguments(); ++i)
    if (std::string name = portName(before.getArgAttrDict(i));
        !inputs.contains(name))
      diff.droppedInputs.push_back(name);
  return llvm::Error::success();
}

llvm::Error Differ::compareEntry(func::FuncOp before, func::FuncOp after) {
  std::map<std::string, bool> removed;
  if (llvm::Error error = findRemoved(before, after, removed))
    return error;
  DenseMap<Number, Operation *> partners;
  EntryWalk oldWalk(numbers, before, removed);
  oldWalk.run(
      [&](Operation *op, Number number) { partners.try_emplace(number, op); });
  firstForeign = numbers.size();
  const std::map<std::string, bool> nothing;
  EntryWalk newWalk(numbers, after, nothing);
  SmallVector<std::pair<Operation *, Operation *>> pairs;
  newWalk.run([&](Operation *op, Number number) {
    if (Operation *partner = partners.lookup(number))
      pairs.push_back({partner, op});
  });
  if (llvm::Error error = comparePorts(before, after, oldWalk.getResults(),
                                       newWalk.getResults()))
    return error;
  for (auto [old, now] : pairs)
    if (llvm::Error error = pair(old, now))
      return error;
  return llvm::Error::success();
}

llvm::Expected<ModelDiff> Differ::run() {
  for (auto after : model.getOps<func::FuncOp>()) {
    auto before = source.lookupSymbol<func::FuncOp>(after.getName());
    if (!before || after.isExternal())
      return llvm::createStringError("entry '" + after.getName() +
                                     "' has no counterpart in the source");
    if (llvm::Error error = compareEntry(before, after))
      return std::move(error);
  }
  if (!model.lookupSymbol<func::FuncOp>("plain"))
    return llvm::createStringError("the module has no entry 'plain'");
  return std::move(diff);
}

llvm::Expected<ModelDiff> lathe::diffModels(ModuleOp source, ModuleOp model) {
  return Differ(source, model).run();
}
