//===- FuseSiblings.cpp - linears of one value become one -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The columns of a product do not depend on one another, so linears that read
// the same value are one linear with their weights side by side, bit for bit.
// What reads the single results must then read columns in the middle of rows.
// Operations that read through maps or forms do that for free; a linear with
// any other reader stays alone, because a copy would cost more than is won.
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Fuse/FuseSiblings.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Report/Report.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringExtras.h"
#include <numeric>

namespace lathe {
#define GEN_PASS_DEF_FUSESIBLINGS
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Readers
//===----------------------------------------------------------------------===//

/// `map` with its last index moved on by `offset`; null beyond 64 bits.
static FormAttr shiftMap(FormAttr map, int64_t offset) {
  IndexExprContext terms;
  auto list = llvm::cantFail(parseIndexExprList(terms, map.getText()));
  Poly last = list.back().poly() + offset;
  if (!last)
    return {};
  list.back() = last;
  return FormAttr::get(map.getContext(), toString(list));
}

/// The form of `op` with the last index of every read of operand `number`
/// moved on by `offset`; null beyond 64 bits.
static FormAttr shiftReads(IndexExprOp op, unsigned number, int64_t offset) {
  IndexExprContext terms;
  for (auto [n, input] : llvm::enumerate(op.getInputs()))
    if (isa<FloatType>(getElementTypeOrSelf(input.getType())))
      terms.declareReal(n);
  IndexExpr form =
      llvm::cantFail(parseIndexExpr(terms, op.getForm().getText()));
  auto shift = [&](unsigned id, ArrayRef<Poly> position) {
    SmallVector<Poly> moved(position);
    if (id == number)
      moved.back() = moved.back() + offset;
    return terms.read(id, moved);
  };
  IndexExpr moved = Substituter(terms, {}).setReads(shift)(form);
  return moved ? FormAttr::get(op.getContext(), toString(moved)) : FormAttr();
}

namespace {
/// How an operation that reads a linear's result reads columns instead.
struct Reader {
  /// Name of the attribute that says where `use` reads.
  StringAttr name;
  /// What it must say; null when the reader cannot read columns.
  FormAttr form;
};
} // namespace

/// The reader behind `use` when the result begins at column `offset`.
static Reader getReader(OpOperand &use, int64_t offset) {
  Operation *op = use.getOwner();
  auto mapped = [&](StringAttr name) -> Reader {
    return {name, shiftMap(op->getAttrOfType<FormAttr>(name), offset)};
  };
  auto is = [&](Value value) { return use.get() == value; };
  if (auto rope = dyn_cast<RopeOp>(op)) {
    if (is(rope.getX()) && use.getOperandNumber() == 0)
      return mapped(rope.getXMapAttrName());
  } else if (auto attention = dyn_cast<AttentionOp>(op)) {
    unsigned number = use.getOperandNumber();
    if (number == 0)
      return mapped(attention.getQMapAttrName());
    if (attention.getK() && number == 1)
      return mapped(attention.getKMapAttrName());
    if (attention.getV() && number == 2)
      return mapped(attention.getVMapAttrName());
  } else if (auto append = dyn_cast<KvAppendOp>(op)) {
    return mapped(use.getOperandNumber() == 1 ? append.getKMapAttrName()
                                              : append.getVMapAttrName());
  } else if (auto view = dyn_cast<IndexExprOp>(op)) {
    return {view.getFormAttrName(),
            shiftReads(view, use.getOperandNumber(), offset)};
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// Linears of one block with the same x, in order.
using Siblings = SmallVector<LinearOp>;

static UseWeightOp getUse(Value weight) {
  return weight ? weight.getDefiningOp<UseWeightOp>() : UseWeightOp();
}

/// Whether `linear` can be part of a wider one.
static bool canJoin(LinearOp linear) {
  if (!linear.getEpilogue().empty() || !getUse(linear.getWeight()) ||
      (linear.getBias() && !getUse(linear.getBias())))
    return false;
  return llvm::all_of(linear.getResult().getUses(), [](OpOperand &use) {
    return bool(getReader(use, 0).form);
  });
}

static int64_t getColumns(LinearOp linear) {
  return linear.getWeight().getType().getDim(1);
}

/// Whether all readers can read behind the columns of the linears before.
static bool canShift(ArrayRef<LinearOp> members) {
  int64_t offset = 0;
  for (LinearOp linear : members) {
    for (OpOperand &use : linear.getResult().getUses())
      if (!getReader(use, offset).form)
        return false;
    offset += getColumns(linear);
  }
  return true;
}

/// The groups of two and more of `block`.
static SmallVector<Siblings> findSiblings(Block &block) {
  // x, acts, type of the weight's and of the bias's elements.
  using Key = std::tuple<Value, Type, Type, Type>;
  auto elementOf = [](Value weight) {
    return weight ? cast<WeightType>(weight.getType()).getElementType()
                  : Type();
  };
  llvm::MapVector<Key, Siblings> groups;
  for (auto linear : block.getOps<LinearOp>())
    if (canJoin(linear))
      groups[{linear.getX(), linear.getActs().value_or(Type()),
              elementOf(linear.getWeight()), elementOf(linear.getBias())}]
          .push_back(linear);
  SmallVector<Siblings> result;
  for (auto &[key, members] : groups)
    if (members.size() > 1 && canShift(members))
      result.push_back(std::move(members));
  return result;
}

/// The weights that the linears read, which identify a group across entries.
static ArrayAttr getWeightNames(ArrayRef<LinearOp> members) {
  SmallVector<Attribute> names;
  for (LinearOp linear : members)
    for (UseWeightOp use :
         {getUse(linear.getWeight()), getUse(linear.getBias())})
      if (use)
        names.push_back(use.getWeightAttr());
  return ArrayAttr::get(members.front()->getContext(), names);
}

/// How often every weight of the model is read. One that is named and not read
/// counts, too: it must not go.
static DenseMap<Attribute, unsigned> countReads(ModuleOp model) {
  DenseMap<Attribute, unsigned> reads;
  model.walk([&](UseWeightOp use) {
    unsigned count = std::distance(use->use_begin(), use->use_end());
    reads[use.getWeightAttr()] += std::max(count, 1u);
  });
  return reads;
}

//===----------------------------------------------------------------------===//
// Fusion
//===----------------------------------------------------------------------===//

/// `blocks.0.attn.qkv` for `blocks.0.attn.q`, `.k` and `.v`; null unless all
/// have one parent.
static SiteAttr joinSites(ArrayRef<LinearOp> members) {
  StringRef parent;
  SmallVector<StringRef> roles;
  for (LinearOp linear : members) {
    SiteAttr site = linear.getSiteAttr();
    if (!site)
      return {};
    auto [path, role] = site.getPath().rsplit('.');
    if (role.empty() || (!roles.empty() && path != parent))
      return {};
    parent = path;
    roles.push_back(role);
  }
  bool isShort =
      llvm::all_of(roles, [](StringRef role) { return role.size() == 1; });
  std::string path =
      (parent + "." + llvm::join(roles, isShort ? "" : "_")).str();
  return SiteAttr::get(members.front()->getContext(), path);
}

/// The weights side by side along `axis`.
static WeightOp concat(OpBuilder &builder, ArrayRef<WeightOp> weights,
                       int64_t axis, StringRef name) {
  SmallVector<Attribute> encodings;
  SmallVector<NamedAttribute> parts;
  SmallVector<int64_t> sizes, shape;
  WeightOp first = weights.front();
  for (auto [n, weight] : llvm::enumerate(weights)) {
    WeightType type = WeightOp(weight).getWeightType();
    encodings.push_back(type.getEncoding());
    sizes.push_back(type.getDim(axis));
    for (NamedAttribute part : WeightOp(weight).getParts())
      parts.push_back(builder.getNamedAttr(
          std::to_string(n) + "." + part.getName().str(), part.getValue()));
  }
  llvm::append_range(shape, first.getWeightType().getShape());
  shape[axis] = std::accumulate(sizes.begin(), sizes.end(), int64_t(0));
  auto type = WeightType::get(
      builder.getContext(), shape, first.getWeightType().getElementType(),
      ConcatAttr::get(builder.getContext(), axis, encodings, sizes));
  return WeightOp::create(builder, first.getLoc(), name,
                          builder.getDictionaryAttr(parts), type);
}

static UseWeightOp useWeight(OpBuilder &builder, WeightOp weight) {
  return UseWeightOp::create(builder, weight.getLoc(), weight.getWeightType(),
                             FlatSymbolRefAttr::get(weight.getSymNameAttr()));
}

/// One linear in the place of `members`, of which the readers read columns.
static void replace(ArrayRef<LinearOp> members, WeightOp weight, WeightOp bias,
                    SiteAttr site) {
  LinearOp first = members.front();
  OpBuilder builder(first);
  auto type = cast<RankedTensorType>(first.getResult().getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = weight.getWeightType().getDim(1);
  SmallVector<Location> locations;
  for (LinearOp linear : members)
    locations.push_back(linear.getLoc());
  auto fused = LinearOp::create(
      builder, builder.getFusedLoc(locations), type.clone(shape), first.getX(),
      useWeight(builder, weight), bias ? useWeight(builder, bias) : Value(),
      site);
  fused.setActsAttr(first.getActsAttr());

  int64_t offset = 0;
  for (LinearOp linear : members) {
    for (OpOperand &use :
         llvm::make_early_inc_range(linear.getResult().getUses())) {
      Reader reader = getReader(use, offset);
      use.getOwner()->setAttr(reader.name, reader.form);
      use.set(fused.getResult());
    }
    offset += getColumns(linear);
    UseWeightOp weightUse = getUse(linear.getWeight());
    UseWeightOp biasUse = getUse(linear.getBias());
    linear.erase();
    for (UseWeightOp use : {weightUse, biasUse})
      if (use && use->use_empty())
        use.erase();
  }
}

/// Makes the merged weights of a group and uses them in all its places.
static void fuse(SymbolTable &symbols, ArrayRef<Siblings> places) {
  const Siblings &members = places.front();
  SiteAttr site = joinSites(members);
  SmallVector<WeightOp> weights, biases;
  for (LinearOp linear : members) {
    auto find = [&](Value value) {
      return symbols.lookup<WeightOp>(getUse(value).getWeight());
    };
    weights.push_back(find(linear.getWeight()));
    if (linear.getBias())
      biases.push_back(find(linear.getBias()));
  }
  OpBuilder builder(weights.front());
  auto merge = [&](ArrayRef<WeightOp> parts, int64_t axis, StringRef suffix) {
    StringRef name = site ? site.getPath() : WeightOp(parts[0]).getSymName();
    WeightOp weight =
        concat(builder, parts, axis, site ? (name + suffix).str() : name.str());
    // Renames it when the name is taken.
    symbols.insert(weight, weight->getIterator());
    return weight;
  };
  WeightOp weight = merge(weights, 1, "");
  WeightOp bias = biases.empty() ? WeightOp() : merge(biases, 0, ".bias");
  for (const Siblings &place : places)
    replace(place, weight, bias, site);
  for (WeightOp old : llvm::concat<WeightOp>(weights, biases))
    symbols.erase(old);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

/// One row per member that has a site.
static void addRows(ModuleOp model, StringRef pass, ArrayRef<LinearOp> members,
                    ReportAction action, StringRef reason) {
  for (LinearOp linear : members) {
    if (!linear.getSiteAttr())
      continue;
    ReportRow row;
    row.site = linear.getSiteAttr().getPath().str();
    row.pass = pass.str();
    row.action = action;
    row.reason = reason.str();
    addReportRow(model, row);
  }
}

void lathe::fuseSiblings(ModuleOp model, StringRef pass) {
  llvm::MapVector<ArrayAttr, SmallVector<Siblings>> groups;
  model.walk([&](Block *block) {
    for (Siblings &members : findSiblings(*block))
      groups[getWeightNames(members)].push_back(std::move(members));
  });
  DenseMap<Attribute, unsigned> reads = countReads(model);
  SymbolTable symbols(model);
  for (auto &[names, places] : groups) {
    unsigned count = places.size();
    bool isOwn = llvm::all_of(
        names, [&](Attribute name) { return reads.lookup(name) == count; });
    if (!isOwn) {
      addRows(model, pass, places.front(), ReportAction::Kept,
              "a weight is read elsewhere, too");
      continue;
    }
    SiteAttr site = joinSites(places.front());
    addRows(model, pass, places.front(), ReportAction::Rewritten,
            site ? ("part of " + site.getPath()).str() : "");
    fuse(symbols, places);
  }
}

namespace {
struct FuseSiblings : lathe::impl::FuseSiblingsBase<FuseSiblings> {
  using FuseSiblingsBase::FuseSiblingsBase;

  void runOnOperation() override {
    recordPass(getOperation(), getArgument());
    fuseSiblings(getOperation(), getArgument());
  }
};
} // namespace
