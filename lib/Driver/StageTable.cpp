//===- StageTable.cpp - an entry cut into stages ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/StageTable.h"
#include "lathe/Driver/Macs.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/InlineStructure.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace lathe;

/// Attribute of a stage's function: the dims in the order of `dims[]`.
static constexpr StringLiteral kStageDims = "lathe.stage_dims";
/// Marks a constant tensor argument of a stage.
static constexpr StringLiteral kPartAttr = "lathe.part";
/// Name of the dim that is the capacity of the cache.
static constexpr StringLiteral kCapacity = "kv_capacity";
/// Attribute of an entry with a cache: the dim that is its length.
static constexpr StringLiteral kPastDim = "lathe.past_dim";
/// Attribute of an entry: the dim that counts its rows of logits.
static constexpr StringLiteral kLogitsDim = "lathe.logits_dim";
/// Placeholder until the text that names a stage's function is known.
static constexpr StringLiteral kStageName = "stage";

namespace {

/// What a stage reads without computing it: weights and constants.
/// What follows from the dims alone is computed wherever it is used: a stage
/// must see the numbers that its shapes depend on.
bool isSource(Operation *op) {
  auto form = dyn_cast<IndexExprOp>(op);
  return isa<UseWeightOp, ConstantOp, NoneOp>(op) ||
         (form && form.getInputs().empty()) ||
         op->hasTrait<OpTrait::ConstantLike>();
}

/// Numbers that say how something is computed, not what with: a stage must see
/// them.
bool isRecipe(Operation *op) {
  return llvm::any_of(op->getUses(), [](OpOperand &use) {
    auto node = dyn_cast<OnnxOp>(use.getOwner());
    return node && use.getOperandNumber() > 0 &&
           (node.getOpType() == "Resize" || node.getOpType() == "Upsample");
  });
}

/// The key of a source that becomes a part argument; null when the operation
/// stays inside the stage (scalars and splats, which equal layers share).
Attribute partKey(Operation *op) {
  if (auto use = dyn_cast<UseWeightOp>(op))
    return use.getWeightAttr();
  if (auto constant = dyn_cast<ConstantOp>(op))
    return ArrayAttr::get(
        op->getContext(),
        {constant.getValue(), TypeAttr::get(constant.getType())});
  DenseElementsAttr elements;
  // Integers may say how something is computed (axes, pads), not only what
  // with.
  if (matchPattern(op, m_Constant(&elements)) && !elements.isSplat() &&
      elements.getNumElements() > 1 &&
      isa<FloatType>(elements.getElementType()) && !isRecipe(op))
    return elements;
  return {};
}

/// A run of operations that becomes one stage.
struct Group {
  SmallVector<Operation *> ops;
  SublayerOp sublayer; ///< set when the group is that one operation
};

/// Builds the stages of one entry into a ModelStages.
class EntryBuilder {
public:
  EntryBuilder(ModelStages &model, func::FuncOp function,
               llvm::StringMap<unsigned> &functionIndex,
               llvm::DenseMap<Attribute, unsigned> &partIndex)
      : model(model), function(function), functionIndex(functionIndex),
        partIndex(partIndex), shapes(function) {}

  llvm::Error build();

private:
  llvm::Error declareInterface();
  void splitIntoGroups();
  llvm::Error declareResults();
  llvm::Error declareValues();
  llvm::Error buildGroup(unsigned index);
  unsigned partOf(Operation *source, Attribute key);
  llvm::Expected<std::vector<rt::Expr>> shapeOf(Value value);
  ArrayAttr dimsAttr(Value value);
  std::string siteOf(unsigned index);
  llvm::Error error(Operation *op, const Twine &reason);

  ModelStages &model;
  func::FuncOp function;
  llvm::StringMap<unsigned> &functionIndex;
  llvm::DenseMap<Attribute, unsigned> &partIndex;
  SymbolicShapes shapes;
  std::vector<Group> groups;
  llvm::DenseMap<Operation *, unsigned> groupOf;
  llvm::DenseMap<Value, rt::Ref> refs;
  EntryStages entry;
};

} // namespace

llvm::Error EntryBuilder::error(Operation *op, const Twine &reason) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << "entry '" << function.getName() << "': ";
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    out << "node '" << name.getName().getValue() << "' ";
  if (auto node = dyn_cast<OnnxOp>(op))
    out << "(" << node.getOpType() << ", opset " << node.getOpset() << ")";
  else
    out << "(" << op->getName() << ")";
  out << ": " << reason;
  return llvm::createStringError(text);
}

//===----------------------------------------------------------------------===//
// Shapes as the runtime's expressions
//===----------------------------------------------------------------------===//

static std::optional<rt::Expr> toExpr(Poly poly);

static std::optional<rt::Expr> toExpr(Atom atom) {
  using Kind = rt::Expr::Kind;
  if (atom.kind() == AtomKind::Symbol)
    return rt::Expr::dim(atom.name().str());
  Kind kind;
  switch (atom.kind()) {
  case AtomKind::FloorDiv:
    kind = Kind::FloorDiv;
    break;
  case AtomKind::Mod:
    kind = Kind::Mod;
    break;
  case AtomKind::Min:
    kind = Kind::Min;
    break;
  case AtomKind::Max:
    kind = Kind::Max;
    break;
  default:
    return std::nullopt;
  }
  std::vector<rt::Expr> args;
  for (Poly operand : atom.operands()) {
    auto arg = toExpr(operand);
    if (!arg)
      return std::nullopt;
    args.push_back(std::move(*arg));
  }
  return rt::Expr::op(kind, std::move(args));
}

/// `poly` as an expression over dims; nothing when it holds anything else.
static std::optional<rt::Expr> toExpr(Poly poly) {
  if (!poly)
    return std::nullopt;
  std::vector<rt::Expr> sum;
  for (const Term &term : poly.terms()) {
    if (!term.coef.isInteger())
      return std::nullopt;
    std::vector<rt::Expr> factors;
    if (!term.coef.isOne() || term.atoms.empty())
      factors.push_back(rt::Expr(term.coef.asInteger()));
    for (Atom atom : term.atoms) {
      auto factor = toExpr(atom);
      if (!factor)
        return std::nullopt;
      factors.push_back(std::move(*factor));
    }
    sum.push_back(factors.size() == 1
                      ? std::move(factors[0])
                      : rt::Expr::op(rt::Expr::Kind::Mul, std::move(factors)));
  }
  if (sum.empty())
    return rt::Expr(0);
  return sum.size() == 1 ? std::move(sum[0])
                         : rt::Expr::op(rt::Expr::Kind::Add, std::move(sum));
}

llvm::Expected<std::vector<rt::Expr>> EntryBuilder::shapeOf(Value value) {
  std::vector<rt::Expr> shape;
  const ValueInfo *info = shapes.lookup(value);
  auto culprit = [&]() -> Operation * {
    Operation *op = value.getDefiningOp();
    return op ? op : function.getOperation();
  };
  if (!info || !info->shape)
    return error(culprit(), "its shape is not known before it runs");
  for (Poly extent : *info->shape) {
    auto expr = toExpr(extent);
    if (!expr)
      return error(culprit(), "an extent of its result depends on data");
    shape.push_back(std::move(*expr));
  }
  return shape;
}

ArrayAttr EntryBuilder::dimsAttr(Value value) {
  Builder builder(function.getContext());
  SmallVector<Attribute> texts;
  for (Poly extent : *shapes.lookup(value)->shape)
    texts.push_back(builder.getStringAttr(toString(extent)));
  return builder.getArrayAttr(texts);
}

/// The runtime's element type of a tensor type.
static std::optional<rt::DType> dtypeOf(Type type) {
  std::string name;
  llvm::raw_string_ostream out(name);
  out << getElementTypeOrSelf(type);
  return rt::parseDType(name);
}

/// `check` as the runtime tests it; nothing when it names more than dims.
static std::optional<rt::Check> toCheck(const DimCheck &check) {
  auto left = toExpr(check.lhs), right = toExpr(check.rhs);
  if (!left || !right)
    return std::nullopt;
  rt::Check result;
  result.message = check.where + " needs " + check.toString();
  switch (check.kind) {
  case DimCheck::Kind::Equal:
    result.left = std::move(*left);
    result.right = std::move(*right);
    break;
  case DimCheck::Kind::LessEqual:
    result.op = rt::Check::Op::AtMost;
    result.left = std::move(*left);
    result.right = std::move(*right);
    break;
  case DimCheck::Kind::Divides:
    result.left = rt::Expr::op(rt::Expr::Kind::Mod,
                               {std::move(*right), std::move(*left)});
    result.right = rt::Expr(0);
    break;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// The entry's interface
//===----------------------------------------------------------------------===//

static std::string nameOf(DictionaryAttr attrs, StringRef prefix,
                          unsigned index) {
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>(LatheDialect::kNameAttr))
      return name.getValue().str();
  return (prefix + Twine(index)).str();
}

/// The dim that alone is extent `axis` of `decl`; empty when it is not.
static std::string plainDim(const rt::ValueDecl &decl, unsigned axis) {
  if (axis < decl.shape.size() && decl.shape[axis].kind == rt::Expr::Kind::Dim)
    return decl.shape[axis].name;
  return {};
}

/// Names of a slot's past or present tensors.
static void setNames(DictionaryAttr attrs, StringRef attr, std::string &key,
                     std::string &value) {
  auto names = attrs ? attrs.getAs<ArrayAttr>(attr) : ArrayAttr();
  if (!names || names.size() != 2)
    return;
  key = cast<StringAttr>(names[0]).getValue().str();
  value = cast<StringAttr>(names[1]).getValue().str();
}

llvm::Error EntryBuilder::declareInterface() {
  rt::Entry &decl = entry.entry;
  decl.name = function.getName().str();
  for (StringRef dim : shapes.freeDims())
    decl.dims.push_back(dim.str());

  bool hasCache = false;
  for (BlockArgument arg : function.getArguments()) {
    DictionaryAttr attrs = function.getArgAttrDict(arg.getArgNumber());
    if (auto kv = dyn_cast<KvType>(arg.getType())) {
      rt::KvSlot slot;
      slot.name = std::to_string(decl.kv.size());
      slot.heads = kv.getHeads();
      slot.headDim = kv.getKeyDim();
      slot.valueDim = kv.getValueDim();
      slot.dtype = *dtypeOf(kv.getElementType());
      setNames(attrs, "lathe.past", slot.pastKey, slot.pastValue);
      setNames(attrs, "lathe.present", slot.presentKey, slot.presentValue);
      refs[arg] = {rt::Ref::Kind::CacheKey,
                   static_cast<uint32_t>(decl.kv.size())};
      decl.kv.push_back(std::move(slot));
      hasCache = true;
      continue;
    }
    rt::ValueDecl input;
    input.name = nameOf(attrs, "input", arg.getArgNumber());
    auto dtype = dtypeOf(arg.getType());
    if (!dtype)
      return error(function, "input '" + Twine(input.name) +
                                 "' has an element type that cannot be bound");
    input.dtype = *dtype;
    auto shape = shapeOf(arg);
    if (!shape)
      return shape.takeError();
    input.shape = std::move(*shape);
    refs[arg] = {rt::Ref::Kind::Input,
                 static_cast<uint32_t>(decl.inputs.size())};
    decl.inputs.push_back(std::move(input));
  }
  auto past = function->getAttrOfType<StringAttr>(kPastDim);
  if (hasCache) {
    if (past && !llvm::is_contained(decl.dims, past.getValue().str()))
      decl.dims.push_back(past.getValue().str());
    decl.dims.push_back(kCapacity.str());
  }

  // Roles by the shape of the interface: the batch is the first dim of the
  // first input; a sequence is its second where the input holds ids.
  if (!decl.inputs.empty()) {
    decl.roles.batch = plainDim(decl.inputs[0], 0);
    if (decl.inputs[0].dtype == rt::DType::I64 ||
        decl.inputs[0].dtype == rt::DType::I32)
      decl.roles.sequence = plainDim(decl.inputs[0], 1);
  }
  if (hasCache) {
    decl.roles.capacity = kCapacity.str();
    decl.appends = decl.roles.sequence.empty()
                       ? rt::Expr(1)
                       : rt::Expr::dim(decl.roles.sequence);
  }
  if (auto logits = function->getAttrOfType<StringAttr>(kLogitsDim)) {
    decl.roles.logits = logits.getValue().str();
    decl.dims.push_back(decl.roles.logits);
    rt::Check check;
    check.op = rt::Check::Op::AtMost;
    check.left = rt::Expr::dim(decl.roles.logits);
    check.right = decl.appends;
    check.message = "more rows of logits than new rows";
    decl.checks.push_back(std::move(check));
  }
  if (past)
    decl.roles.past = past.getValue().str();
  else
    for (const rt::ValueDecl &input : decl.inputs)
      if (StringRef(input.name).starts_with("past") && decl.roles.past.empty())
        decl.roles.past = plainDim(input, 2);

  for (const DimSubstitution &substitution : shapes.substitutions())
    if (auto expr = toExpr(substitution.value))
      decl.aliases.emplace_back(substitution.name, std::move(*expr));
  for (const DimCheck &check : shapes.checks())
    if (auto converted = toCheck(check))
      decl.checks.push_back(std::move(*converted));
  for (const std::string &assumption : shapes.assumptions())
    decl.assumptions.push_back(assumption);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// A constant that the entry returns is computed like any other result.
static void computeReturnedSources(func::FuncOp function) {
  Operation *end = function.front().getTerminator();
  OpBuilder builder(end);
  for (OpOperand &operand : end->getOpOperands()) {
    Operation *source = operand.get().getDefiningOp();
    if (!source || !isSource(source))
      continue;
    auto copy = OnnxOp::create(builder, source->getLoc(),
                               TypeRange(operand.get().getType()),
                               ValueRange(operand.get()), "Identity",
                               /*opset=*/int64_t(14), StringAttr());
    operand.set(copy.getResult(0));
  }
}

void EntryBuilder::splitIntoGroups() {
  for (Operation &op : function.front().without_terminator()) {
    if (isSource(&op))
      continue;
    auto sublayer = dyn_cast<SublayerOp>(op);
    if (sublayer || groups.empty() || groups.back().sublayer)
      groups.push_back({{}, sublayer});
    groups.back().ops.push_back(&op);
    groupOf[&op] = groups.size() - 1;
  }
}

llvm::Error EntryBuilder::declareResults() {
  Operation *end = function.front().getTerminator();
  unsigned index = 0;
  for (OpOperand &operand : end->getOpOperands()) {
    Value value = operand.get();
    if (isa<KvType>(value.getType()))
      continue;
    rt::OutputDecl output;
    output.name = nameOf(function.getResultAttrDict(operand.getOperandNumber()),
                         "output", operand.getOperandNumber());
    auto dtype = dtypeOf(value.getType());
    if (!dtype)
      return error(end, "output '" + Twine(output.name) +
                            "' has an element type that cannot be bound");
    output.dtype = *dtype;
    auto shape = shapeOf(value);
    if (!shape)
      return shape.takeError();
    output.shape = std::move(*shape);
    auto known = refs.find(value);
    if (known != refs.end())
      output.copyOf = known->second;
    else
      refs[value] = {rt::Ref::Kind::Output, index};
    ++index;
    entry.entry.outputs.push_back(std::move(output));
  }
  return llvm::Error::success();
}

/// Gives every tensor that crosses a border between groups its place.
llvm::Error EntryBuilder::declareValues() {
  for (unsigned number = 0; number < groups.size(); ++number)
    for (Operation *op : groups[number].ops)
      for (Value result : op->getResults()) {
        bool crosses = llvm::any_of(result.getUsers(), [&](Operation *user) {
          auto found = groupOf.find(user);
          return found == groupOf.end() || found->second != number;
        });
        if (!crosses || refs.count(result))
          continue;
        if (isa<KvType>(result.getType())) {
          // A handle is the slot of the handle that it was made from.
          Value cache;
          for (Value operand : op->getOperands())
            if (operand.getType() == result.getType() && refs.count(operand))
              cache = operand;
          if (cache)
            refs[result] = refs.lookup(cache);
          continue;
        }
        auto dtype = dtypeOf(result.getType());
        if (!dtype)
          return error(op, "its result has an element type without storage");
        auto shape = shapeOf(result);
        if (!shape)
          return shape.takeError();
        uint32_t index = entry.entry.values.size();
        refs[result] = {rt::Ref::Kind::Value, index};
        entry.entry.values.push_back(
            {"v" + std::to_string(index), *dtype, std::move(*shape)});
      }
  return llvm::Error::success();
}

std::string EntryBuilder::siteOf(unsigned index) {
  if (groups[index].sublayer)
    return groups[index].sublayer.getSite().getPath().str();
  if (groups.size() == 1)
    return "model";
  if (index == 0)
    return "embed";
  if (index + 1 == groups.size())
    return "head";
  return "between." + std::to_string(index);
}

//===----------------------------------------------------------------------===//
// Stage functions
//===----------------------------------------------------------------------===//

unsigned EntryBuilder::partOf(Operation *source, Attribute key) {
  auto [slot, isNew] = partIndex.try_emplace(key, model.parts.size());
  if (!isNew)
    return slot->second;
  PartSource part;
  if (auto use = dyn_cast<UseWeightOp>(source)) {
    auto weight = SymbolTable::lookupNearestSymbolFrom<WeightOp>(
        source, use.getWeightAttr());
    part.name = weight.getSymName().str();
    part.type = weight.getWeightType();
    part.weightParts = weight.getParts();
  } else if (auto constant = dyn_cast<ConstantOp>(source)) {
    std::optional<StringRef> name = constant.getName();
    part.name = name ? name->str() : "constant." + std::to_string(slot->second);
    part.type = constant.getType();
    part.constant = constant.getValue();
  } else {
    auto elements = cast<DenseElementsAttr>(key);
    part.name = "constant." + std::to_string(slot->second);
    part.type = elements.getType();
    auto payload =
        getPayloads(source).add(source->getContext(), elements.getRawData());
    if (payload)
      part.constant = *payload;
    else
      llvm::consumeError(payload.takeError());
  }
  model.parts.push_back(std::move(part));
  return slot->second;
}

/// A part's argument must not be renumbered by its place among all parts of
/// the model: the text of equal stages would differ. So arguments are ordered
/// by first use in the stage.
namespace {
struct StageArguments {
  llvm::SmallSetVector<Value, 8> activations, caches;
  llvm::MapVector<Attribute, Operation *> parts;

  void add(Value value) {
    if (Operation *op = value.getDefiningOp())
      if (isSource(op)) {
        addSource(op);
        return;
      }
    if (isa<KvType>(value.getType()))
      caches.insert(value);
    else
      activations.insert(value);
  }
  void addSource(Operation *op) {
    if (Attribute key = partKey(op))
      parts.insert({key, op});
  }
};
} // namespace

/// Clones a source into the stage, or maps it to its argument.
static void mapSource(OpBuilder &builder, Operation *op, IRMapping &map,
                      const llvm::DenseMap<Attribute, Value> &partArgs) {
  if (Attribute key = partKey(op))
    map.map(op->getResult(0), partArgs.lookup(key));
  else
    builder.clone(*op, map);
}

static std::optional<rt::SkipRule> skipRule(SublayerOp sublayer) {
  std::optional<SkipAttr> skip = sublayer.getSkip();
  if (!skip)
    return std::nullopt;
  rt::SkipRule rule;
  rule.kind = skip->getKind() == SkipKind::Cosine ? rt::SkipRule::Kind::Cosine
                                                  : rt::SkipRule::Kind::Random;
  rule.threshold = skip->getThreshold().getValueAsDouble();
  rule.count = skip->getCount();
  rule.warmup = skip->getWarmup();
  rule.seed = skip->getSeed();
  return rule;
}

llvm::Error EntryBuilder::buildGroup(unsigned index) {
  Group &group = groups[index];
  StageArguments arguments;
  for (Operation *op : group.ops) {
    for (Value operand : op->getOperands()) {
      auto found = operand.getDefiningOp()
                       ? groupOf.find(operand.getDefiningOp())
                       : groupOf.end();
      if (found == groupOf.end() || found->second != index)
        arguments.add(operand);
    }
    if (auto sublayer = dyn_cast<SublayerOp>(op))
      sublayer->walk([&](Operation *inner) {
        if (inner != op && isSource(inner))
          arguments.addSource(inner);
      });
  }

  MLIRContext *context = function.getContext();
  OpBuilder builder(context);
  Location unknown = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(unknown);
  builder.setInsertionPointToEnd(module->getBody());
  auto stage = func::FuncOp::create(builder, unknown, kStageName,
                                    builder.getFunctionType({}, {}));
  Block *block = stage.addEntryBlock();
  builder.setInsertionPointToEnd(block);

  StageRow row;
  row.site = siteOf(index);
  IRMapping map;
  SmallVector<DictionaryAttr> argAttrs;
  auto addArgument = [&](Type type, StringRef attr, Attribute value) {
    argAttrs.push_back(
        value ? builder.getDictionaryAttr(builder.getNamedAttr(attr, value))
              : builder.getDictionaryAttr({}));
    return block->addArgument(type, unknown);
  };
  for (Value value : arguments.activations) {
    // Shapes of all values that cross were found before.
    map.map(value, addArgument(value.getType(), LatheDialect::kDimsAttr,
                               dimsAttr(value)));
    row.args.push_back(refs.lookup(value));
  }
  for (Value value : arguments.caches) {
    map.map(value, addArgument(value.getType(), "", Attribute()));
    rt::Ref key = refs.lookup(value);
    row.args.push_back(key);
    row.args.push_back({rt::Ref::Kind::CacheValue, key.index});
  }
  llvm::DenseMap<Attribute, Value> partArgs;
  for (auto &[key, source] : arguments.parts) {
    Type type = source->getResult(0).getType();
    bool isWeight = isa<WeightType>(type);
    partArgs[key] = addArgument(type, kPartAttr,
                                isWeight ? Attribute() : builder.getUnitAttr());
    row.parts.push_back(partOf(source, key));
  }

  auto cloneOp = [&](Operation &op) {
    if (isSource(&op))
      mapSource(builder, &op, map, partArgs);
    else
      builder.clone(op, map);
  };
  SmallVector<Value> results;
  SmallVector<DictionaryAttr> resultAttrs;
  for (Operation *op : group.ops) {
    for (Value operand : op->getOperands())
      if (Operation *source = operand.getDefiningOp())
        if (isSource(source) && !map.contains(operand))
          mapSource(builder, source, map, partArgs);
    if (auto sublayer = dyn_cast<SublayerOp>(op))
      cloneSublayer(builder, sublayer, map, cloneOp);
    else
      builder.clone(*op, map);
    for (Value result : op->getResults()) {
      auto ref = refs.find(result);
      if (ref == refs.end() || isa<KvType>(result.getType()))
        continue;
      results.push_back(map.lookup(result));
      resultAttrs.push_back(builder.getDictionaryAttr(
          builder.getNamedAttr(LatheDialect::kDimsAttr, dimsAttr(result))));
      row.outs.push_back(ref->second);
    }
  }
  func::ReturnOp::create(builder, unknown, results);
  stage.setFunctionType(builder.getFunctionType(
      block->getArgumentTypes(), ValueRange(results).getTypes()));
  stage.setAllArgAttrs(argAttrs);
  stage.setAllResultAttrs(resultAttrs);
  SmallVector<StringRef> dims;
  for (const std::string &dim : entry.entry.dims)
    dims.push_back(dim);
  stage->setAttr(kStageDims, builder.getStrArrayAttr(dims));
  if (Attribute past = function->getAttr(kPastDim))
    stage->setAttr(kPastDim, past);
  // Provenance and sites differ between equal layers.
  stage.walk([](Operation *op) {
    op->removeAttr(LatheDialect::kFromAttr);
    op->removeAttr("site");
  });
  Poly macs = shapes.getContext().zero();
  for (Operation *op : group.ops)
    macs = macs + countMacs(op, shapes);
  row.macs = toExpr(macs);
  if (group.sublayer && group.sublayer.getPost().empty() &&
      group.sublayer.getExtra().empty())
    for (auto [n, value] : llvm::enumerate(arguments.activations))
      if (value == group.sublayer.getResidual())
        row.residual = n;
  if (group.sublayer) {
    row.kind = stringifySublayerKind(group.sublayer.getKind()).str();
    row.skip = skipRule(group.sublayer);
  }

  std::string text;
  llvm::raw_string_ostream out(text);
  module->print(out, OpPrintingFlags());
  auto [known, isNew] = functionIndex.try_emplace(text, model.functions.size());
  if (isNew) {
    std::string hash = llvm::utohexstr(llvm::xxh3_64bits(text),
                                       /*LowerCase=*/true, 16);
    std::string name = "lathe_stage_" + hash;
    stage.setName(name);
    std::string named;
    llvm::raw_string_ostream namedOut(named);
    // With locations: errors of the lowering name nodes.
    module->print(namedOut, OpPrintingFlags().enableDebugInfo());
    model.functions.push_back({name, named, text});
  }
  row.function = known->second;
  entry.rows.push_back(std::move(row));
  return llvm::Error::success();
}

llvm::Error EntryBuilder::build() {
  if (llvm::Error error = declareInterface())
    return error;
  splitIntoGroups();
  if (llvm::Error error = declareResults())
    return error;
  if (llvm::Error error = declareValues())
    return error;
  for (unsigned index = 0; index < groups.size(); ++index)
    if (llvm::Error error = buildGroup(index))
      return error;
  model.entries.push_back(std::move(entry));
  return llvm::Error::success();
}

llvm::Expected<ModelStages> lathe::buildStages(ModuleOp model,
                                               ArrayRef<std::string> names) {
  OwningOpRef<ModuleOp> copy = model.clone();
  SmallVector<func::FuncOp> functions;
  if (names.empty())
    llvm::append_range(functions, copy->getOps<func::FuncOp>());
  for (const std::string &name : names) {
    auto function = copy->lookupSymbol<func::FuncOp>(name);
    if (!function) {
      std::string known;
      for (auto other : copy->getOps<func::FuncOp>())
        known += (known.empty() ? "" : ", ") + other.getName().str();
      return llvm::createStringError("there is no entry '" + Twine(name) +
                                     "'; the model has: " + known);
    }
    functions.push_back(function);
  }

  ModelStages stages;
  llvm::StringMap<unsigned> functionIndex;
  llvm::DenseMap<Attribute, unsigned> partIndex;
  for (func::FuncOp function : functions) {
    inlineBlocks(function);
    computeReturnedSources(function);
    EntryBuilder builder(stages, function, functionIndex, partIndex);
    if (llvm::Error error = builder.build())
      return std::move(error);
  }
  return stages;
}
