//===- RaiseKvCache.cpp - entries that keep keys and values ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// In `plain`, keys are `j < past ? past[b, h, j, c] : new[b, h, j - past, c]`,
// and the same tensor is a result. In `prefill` and `decode` a cache stands for
// the argument and the result, and only the new rows are appended.
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Forms.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/MaskForm.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/IR/IRMapping.h"

namespace lathe {
#define GEN_PASS_DEF_RAISEKVCACHE
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseKvCache : lathe::impl::RaiseKvCacheBase<RaiseKvCache> {
  void runOnOperation() override;
};

/// Keys or values that continue an argument.
struct Append {
  /// Number of the argument with the past rows.
  unsigned past;
  /// Numbers of the results that are all rows.
  SmallVector<unsigned, 1> present;
  /// The new rows and how they are read over (b, h, row, c).
  Value base;
  FormAttr map;
};

/// One layer's cache.
struct Slot {
  AttentionOp attention;
  Append key, value;
  KvType type;
};

class CacheRaiser {
public:
  CacheRaiser(func::FuncOp plain, const SymbolicShapes &shapes)
      : plain(plain), shapes(shapes), context(shapes.getContext()) {}

  /// False if there is no cache.
  bool findSlots();
  void makeEntry(StringRef name, bool isDecode);

private:
  std::optional<Append> findAppend(AttentionOp attention, Value operand,
                                   FormAttr map, int64_t columns);
  void useCaches(func::FuncOp entry, const IRMapping &mapping);
  void dropUnused(func::FuncOp entry);
  void keepLastRows(func::FuncOp entry);
  bool findRowDim();

  func::FuncOp plain;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  SmallVector<Slot> slots;
  /// Name of the dim that counts the new rows.
  std::string rowDim;
};

} // namespace

static constexpr StringLiteral kSlotAttr = "lathe.kv_slot";
static constexpr StringLiteral kPastDimAttr = "lathe.past_dim";
static constexpr StringLiteral kPastAttr = "lathe.past";
static constexpr StringLiteral kPresentAttr = "lathe.present";
static constexpr StringLiteral kLogitsDimAttr = "lathe.logits_dim";
/// Name of the dim that counts the rows of logits.
static constexpr StringLiteral kLogitsDim = "logits_rows";
static constexpr StringLiteral kDimValuesAttr = "lathe.dim_values";

//===----------------------------------------------------------------------===//
// Finding caches
//===----------------------------------------------------------------------===//

std::optional<Append> CacheRaiser::findAppend(AttentionOp attention,
                                              Value operand, FormAttr map,
                                              int64_t columns) {
  auto expr = operand.getDefiningOp<IndexExprOp>();
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(operand);
  if (!expr || !shape || shape->size() != 4)
    return std::nullopt;
  SmallVector<Poly, 4> identity = getIdentity(context, *shape);
  if (map != getMap(plain.getContext(), identity))
    return std::nullopt;
  std::optional<SmallVector<ReadBranch>> branches =
      readBranches(shapes.formOf(operand).poly());
  if (!branches || branches->size() != 2 || !branches->front().coef.isOne())
    return std::nullopt;
  for (unsigned i : {0u, 1u}) {
    const ReadBranch &old = (*branches)[i], &fresh = (*branches)[1 - i];
    auto argument = dyn_cast<BlockArgument>(shapes.valueOfRead(old.id));
    if (!argument)
      continue;
    std::optional<ArrayRef<Poly>> pastShape = shapes.shapeOf(argument);
    if (!pastShape || pastShape->size() != 4 ||
        ArrayRef<Poly>(old.index) != ArrayRef<Poly>(identity))
      continue;
    // Old rows are those before the length of the argument.
    Poly past = (*pastShape)[2];
    if (old.cond != context.le(context.coord(2), past - 1, *shape))
      continue;
    Append append;
    append.past = argument.getArgNumber();
    append.base = shapes.valueOfRead(fresh.id);
    SmallVector<Poly, 4> newExtents(*shape);
    newExtents[2] = (*shape)[2] - past;
    SmallVector<Poly, 4> shifted{Poly(), Poly(), context.coord(2) + past};
    SmallVector<Poly, 4> index;
    for (Poly p : fresh.index)
      index.push_back(context.substitute(p, shifted, newExtents));
    if (llvm::any_of(index, [](Poly p) { return !p || p.usesReads(); }))
      continue;
    append.map = getMap(plain.getContext(), index);
    Operation *end = plain.getBody().front().getTerminator();
    for (auto [n, result] : llvm::enumerate(end->getOperands()))
      if (result == operand)
        append.present.push_back(n);
    if (append.present.empty())
      continue;
    return append;
  }
  return std::nullopt;
}

bool CacheRaiser::findSlots() {
  DenseSet<unsigned> seen;
  for (auto attention : plain.getBody().getOps<AttentionOp>()) {
    if (!attention.getK())
      continue;
    std::optional<Append> key =
        findAppend(attention, attention.getK(), attention.getKMapAttr(),
                   attention.getHeadDim());
    std::optional<Append> value =
        key ? findAppend(attention, attention.getV(), attention.getVMapAttr(),
                         attention.getValueDim())
            : std::nullopt;
    if (!value || !seen.insert(key->past).second ||
        !seen.insert(value->past).second)
      continue;
    auto type = KvType::get(plain.getContext(), attention.getKvHeads(),
                            attention.getHeadDim(), attention.getValueDim(),
                            getElement(attention.getK()));
    slots.push_back({attention, *key, *value, type});
  }
  return !slots.empty() && findRowDim();
}

/// The dim that counts the rows of the queries, if it has a name of its own.
bool CacheRaiser::findRowDim() {
  for (Slot &slot : slots) {
    std::optional<ArrayRef<Poly>> shape =
        shapes.shapeOf(slot.attention.getResult());
    Atom rows = shape ? (*shape)[1].getAtom() : Atom();
    if (!rows || rows.kind() != AtomKind::Symbol ||
        (!rowDim.empty() && rowDim != rows.name()))
      return false;
    rowDim = rows.name().str();
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Making entries
//===----------------------------------------------------------------------===//

/// Puts the caches in: one more argument and result per slot.
void CacheRaiser::useCaches(func::FuncOp entry, const IRMapping &mapping) {
  Block &block = entry.getBody().front();
  OpBuilder builder(entry.getContext());
  Builder attrs(entry.getContext());
  auto nameOf = [&](DictionaryAttr dict) -> Attribute {
    Attribute name = dict ? dict.get(LatheDialect::kNameAttr) : Attribute();
    return name ? name : attrs.getStringAttr("");
  };
  // The dim that the past tensors had is now the length of the caches.
  std::optional<ArrayRef<Poly>> pastShape =
      shapes.shapeOf(plain.getArgument(slots.front().key.past));
  entry->setAttr(kPastDimAttr, attrs.getStringAttr(toString((*pastShape)[2])));

  Operation *end = block.getTerminator();
  SmallVector<Value> handles;
  SmallVector<DictionaryAttr> resultAttrs;
  for (auto [n, slot] : llvm::enumerate(slots)) {
    auto attention =
        cast<AttentionOp>(mapping.lookup(slot.attention.getOperation()));
    Attribute past[] = {nameOf(plain.getArgAttrDict(slot.key.past)),
                        nameOf(plain.getArgAttrDict(slot.value.past))};
    Attribute present[] = {
        nameOf(plain.getResultAttrDict(slot.key.present.front())),
        nameOf(plain.getResultAttrDict(slot.value.present.front()))};
    auto dict = attrs.getDictionaryAttr(
        {attrs.getNamedAttr(kSlotAttr, attrs.getI64IntegerAttr(n)),
         attrs.getNamedAttr(kPastAttr, attrs.getArrayAttr(past)),
         attrs.getNamedAttr(kPresentAttr, attrs.getArrayAttr(present))});
    unsigned number = entry.getNumArguments();
    (void)entry.insertArgument(number, slot.type, dict, entry.getLoc());
    Value handle = block.getArgument(number);

    builder.setInsertionPoint(attention);
    auto append =
        KvAppendOp::create(builder, attention.getLoc(), slot.type, handle,
                           mapping.lookupOrDefault(slot.key.base),
                           mapping.lookupOrDefault(slot.value.base),
                           slot.key.map, slot.value.map, SiteAttr());
    auto cached = AttentionOp::create(
        builder, attention.getLoc(), attention.getType(), attention.getQ(),
        Value(), Value(), append.getResult(), attention.getMaskArgs(),
        attention.getHeadsAttr(), attention.getKvHeadsAttr(),
        attention.getHeadDimAttr(), attention.getValueDimAttr(),
        attention.getScaleAttr(), attention.getSoftcapAttr(),
        attention.getQMapAttr(), FormAttr(), FormAttr(),
        attention.getKeysAttr(), attention.getMaskAttr(),
        attention.getBiasAttr(), attention.getMaskValueAttr(),
        attention.getRowsAttr(), attention.getSiteAttr());
    copyProvenance(attention, cached);
    attention.replaceAllUsesWith(cached.getResult());
    attention.erase();
    handles.push_back(append.getResult());
    resultAttrs.push_back(dict);
  }

  // The presents go, the handles come.
  DenseSet<unsigned> presents;
  for (const Slot &slot : slots) {
    presents.insert(slot.key.present.begin(), slot.key.present.end());
    presents.insert(slot.value.present.begin(), slot.value.present.end());
  }
  SmallVector<Value> results;
  SmallVector<DictionaryAttr> allAttrs;
  for (auto [n, value] : llvm::enumerate(end->getOperands()))
    if (!presents.contains(n)) {
      results.push_back(value);
      DictionaryAttr dict = entry.getResultAttrDict(n);
      allAttrs.push_back(dict ? dict : attrs.getDictionaryAttr({}));
    }
  llvm::append_range(results, handles);
  llvm::append_range(allAttrs, resultAttrs);
  end->setOperands(results);
  entry.setType(FunctionType::get(entry.getContext(),
                                  entry.getFunctionType().getInputs(),
                                  ValueRange(results).getTypes()));
  entry.setAllResultAttrs(allAttrs);
}

/// Removes the arguments that the caches stand for. A dim of theirs may still
/// be named in forms: it is the number of rows in the cache.
void CacheRaiser::dropUnused(func::FuncOp entry) {
  eraseDeadOps(entry);
  llvm::BitVector drop(entry.getNumArguments());
  for (const Slot &slot : slots)
    for (unsigned n : {slot.key.past, slot.value.past})
      if (entry.getArgument(n).use_empty())
        drop.set(n);
  (void)entry.eraseArguments(drop);
}

/// What is computed row by row from the rows of one operand.
static Value getRowOperand(Operation *op, int64_t rank) {
  if (isa<LinearOp, NormOp, ActivationOp>(op))
    return op->getOperand(0);
  auto carrier = dyn_cast<OnnxOp>(op);
  if (!carrier || carrier->getNumResults() != 1)
    return {};
  if (carrier.is("Cast") || carrier.is("Identity"))
    return carrier.getInputs()[0];
  if (carrier.is("Mul") || carrier.is("Div") || carrier.is("Add"))
    for (Value operand : carrier.getInputs())
      if (isConstant(operand) && getRank(operand).value_or(rank) <= 1)
        return getOther(carrier, operand);
  return {};
}

/// As many rows of logits as the caller wants: [B, S, V] results that a linear
/// makes are computed from a slice of the last rows.
void CacheRaiser::keepLastRows(func::FuncOp entry) {
  // A dim of the model that has the name keeps it.
  if (llvm::is_contained(shapes.freeDims(), kLogitsDim))
    return;
  Operation *end = entry.getBody().front().getTerminator();
  OpBuilder builder(entry.getContext());
  for (OpOperand &result : end->getOpOperands()) {
    auto type = dyn_cast<RankedTensorType>(result.get().getType());
    auto dims = entry.getResultAttrOfType<ArrayAttr>(result.getOperandNumber(),
                                                     LatheDialect::kDimsAttr);
    if (!type || type.getRank() != 3 || !dims || dims.size() != 3 ||
        cast<StringAttr>(dims[1]).getValue() != rowDim)
      continue;
    // Up to where rows are no longer computed one by one.
    SmallVector<Operation *> chain;
    Value top = result.get();
    bool hasLinear = false;
    while (Operation *op = top.getDefiningOp()) {
      Value next = top.hasOneUse() ? getRowOperand(op, 3) : Value();
      if (!next || getRank(next) != 3)
        break;
      chain.push_back(op);
      hasLinear |= isa<LinearOp>(op);
      top = next;
    }
    if (!hasLinear)
      continue;
    auto topType = cast<RankedTensorType>(top.getType());
    SmallVector<int64_t> extents(topType.getShape());
    if (ShapedType::isDynamic(extents[2]))
      continue;
    extents[1] = ShapedType::kDynamic;
    builder.setInsertionPoint(chain.back());
    Poly wanted = context.symbol(kLogitsDim);
    // Counted from the end of the new rows.
    Poly row = context.coord(1) + context.symbol(rowDim) - wanted;
    Attribute rows = builder.getStringAttr(toString(wanted));
    auto slice = IndexExprOp::create(
        builder, chain.back()->getLoc(), topType.clone(extents),
        FormAttr::get(entry.getContext(),
                      "read(0, [i0, " + toString(row) + ", i2])"),
        top,
        builder.getArrayAttr(
            {dims[0], rows, builder.getStringAttr(Twine(extents[2]))}));
    chain.back()->replaceUsesOfWith(top, slice);
    entry.setResultAttr(result.getOperandNumber(), LatheDialect::kDimsAttr,
                        builder.getArrayAttr({dims[0], rows, dims[2]}));
    entry->setAttr(kLogitsDimAttr, builder.getStringAttr(kLogitsDim));
  }
}

void CacheRaiser::makeEntry(StringRef name, bool isDecode) {
  OpBuilder builder(plain.getContext());
  builder.setInsertionPointAfter(plain);
  // Behind the entries that stand there already.
  Operation *last = plain;
  while (isa_and_nonnull<func::FuncOp>(last->getNextNode()))
    last = last->getNextNode();
  builder.setInsertionPointAfter(last);
  IRMapping mapping;
  auto entry = cast<func::FuncOp>(builder.clone(*plain, mapping));
  entry.setSymName(name);
  useCaches(entry, mapping);
  dropUnused(entry);
  // Both count rows and logits alike, so that they share stages.
  keepLastRows(entry);
  if (!isDecode)
    return;
  auto one = builder.getNamedAttr(rowDim, builder.getI64IntegerAttr(1));
  entry->setAttr(kDimValuesAttr, builder.getDictionaryAttr(one));
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void RaiseKvCache::runOnOperation() {
  ModuleOp module = getOperation();
  auto plain = module.lookupSymbol<func::FuncOp>("plain");
  if (!plain || plain.isExternal() || module.lookupSymbol("prefill") ||
      module.lookupSymbol("decode"))
    return;
  CacheRaiser raiser(plain, getChildAnalysis<SymbolicShapes>(plain));
  if (!raiser.findSlots())
    return;
  raiser.makeEntry("prefill", /*isDecode=*/false);
  raiser.makeEntry("decode", /*isDecode=*/true);
}
