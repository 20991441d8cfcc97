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
// Operations that read through maps or forms do that for free, and a product
// of two results moves into the kernel; a linear with any other reader stays
// alone, because a copy would cost more than is won.
//
// Some models have gate and up of a gated linear unit in one weight from the
// beginning. That linear needs no others, only the product of its halves.
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Fuse/FuseSiblings.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Lower/Activation.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "lathe/Report/Report.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include <array>
#include <memory>
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

namespace {

/// A factor of a product that becomes an epilogue: a linear or half of its
/// columns, and perhaps an activation behind it.
struct Factor {
  LinearOp linear;
  /// What shows half of the columns; null for all.
  IndexExprOp view;
  ActivationOp activation;
  /// The sum of the gated linear that the factor is: 0 or 1.
  unsigned sum = 0;
};

/// Both factors, in their order.
using Factors = std::array<Factor, 2>;

/// Linears of one block with the same x that become one, or one linear whose
/// halves are multiplied.
struct Siblings {
  SmallVector<LinearOp, 3> members;
  /// The product that becomes the epilogue, and its factors; null when readers
  /// read the members' columns instead.
  OnnxOp product;
  Factors factors;

  bool isMerged() const { return members.size() == 1; }
};

/// The shapes of entries, which are analysed when they are asked for.
class EntryShapes {
public:
  /// Null outside of entries.
  const SymbolicShapes *operator()(Operation *op) {
    auto entry = op->getParentOfType<func::FuncOp>();
    if (!entry)
      return nullptr;
    std::unique_ptr<SymbolicShapes> &shapes = analyses[entry];
    if (!shapes)
      shapes = std::make_unique<SymbolicShapes>(entry);
    return shapes.get();
  }

private:
  DenseMap<Operation *, std::unique_ptr<SymbolicShapes>> analyses;
};

} // namespace

static UseWeightOp getUse(Value weight) {
  return weight ? weight.getDefiningOp<UseWeightOp>() : UseWeightOp();
}

/// Whether the weights of `linear` can be parts of wider ones.
static bool hasOwnWeights(LinearOp linear) {
  return linear.getEpilogue().empty() && getUse(linear.getWeight()) &&
         (!linear.getBias() || getUse(linear.getBias()));
}

/// Whether `linear` can be part of a wider one whose columns are read.
static bool canJoin(LinearOp linear) {
  return hasOwnWeights(linear) &&
         llvm::all_of(linear.getResult().getUses(), [](OpOperand &use) {
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

/// What siblings have in common: x, acts, and the types of the elements of
/// weight and bias.
using SiblingKey = std::tuple<Value, Type, Type, Type>;

static SiblingKey getKey(LinearOp linear) {
  auto elementOf = [](Value weight) {
    return weight ? cast<WeightType>(weight.getType()).getElementType()
                  : Type();
  };
  return {linear.getX(), linear.getActs().value_or(Type()),
          elementOf(linear.getWeight()), elementOf(linear.getBias())};
}

/// The first column of `linear` that `view` shows, if it shows neighbouring
/// columns of all rows.
static std::optional<int64_t> getFirstColumn(IndexExprOp view, LinearOp linear,
                                             const SymbolicShapes &shapes) {
  std::optional<ArrayRef<Poly>> all = shapes.shapeOf(linear.getResult()),
                                shown = shapes.shapeOf(view.getResult());
  if (!all || !shown || all->size() != shown->size() ||
      all->drop_back() != shown->drop_back())
    return std::nullopt;
  IndexExprContext terms;
  IndexExpr form =
      llvm::cantFail(parseIndexExpr(terms, view.getForm().getText()));
  Atom read = form.isPoly() ? form.poly().getAtom() : Atom();
  if (!read || read.kind() != AtomKind::Read)
    return std::nullopt;
  auto coordOf = [&](unsigned k) {
    return (*shown)[k].isConstant(1) ? terms.zero() : terms.coord(k);
  };
  unsigned last = shown->size() - 1;
  for (unsigned k = 0; k < last; ++k)
    if (read.operands()[k] != coordOf(k))
      return std::nullopt;
  Poly first = read.operands()[last] - coordOf(last);
  return first ? first.getConstantInt() : std::nullopt;
}

static bool isF32(Value value) {
  return getElementTypeOrSelf(value.getType()).isF32();
}

/// `value` as a factor that only its product reads, or half of a linear that
/// only two halves read; a null linear when it is none.
static Factor matchFactor(Value value) {
  Factor factor;
  if (auto activation = value.getDefiningOp<ActivationOp>()) {
    if (!value.hasOneUse())
      return {};
    factor.activation = activation;
    value = activation.getX();
  }
  auto view = value.getDefiningOp<IndexExprOp>();
  if (view && value.hasOneUse() && isF32(view) &&
      view.getInputs().size() == 1) {
    factor.view = view;
    value = view.getInputs()[0];
  }
  factor.linear = value.getDefiningOp<LinearOp>();
  bool fits = factor.linear && value.hasNUses(factor.view ? 2 : 1) &&
              hasOwnWeights(factor.linear) && isF32(value);
  return fits ? factor : Factor();
}

/// Whether the factors are the two halves of one linear; says which is which.
static bool matchHalves(Factors &factors, EntryShapes &entries) {
  LinearOp linear = factors[0].linear;
  const SymbolicShapes *shapes = entries(linear);
  int64_t columns = getColumns(linear);
  if (!shapes || columns % 2 != 0)
    return false;
  for (Factor &factor : factors) {
    auto type = cast<RankedTensorType>(factor.view.getType());
    std::optional<int64_t> first = getFirstColumn(factor.view, linear, *shapes);
    if (!first || type.getShape().back() != columns / 2 ||
        (*first != 0 && *first != columns / 2))
      return false;
    factor.sum = *first == 0 ? 0 : 1;
  }
  return factors[0].sum != factors[1].sum;
}

/// The linears behind a gated linear unit that ends in `product`.
static std::optional<Siblings> matchGated(OnnxOp product,
                                          EntryShapes &entries) {
  if (!product.is("Mul") || product->getNumOperands() != 2)
    return std::nullopt;
  Factors factors = {matchFactor(product->getOperand(0)),
                     matchFactor(product->getOperand(1))};
  LinearOp left = factors[0].linear, right = factors[1].linear;
  if (!left || !right)
    return std::nullopt;
  if (factors[0].view && factors[1].view) {
    if (left != right || !matchHalves(factors, entries))
      return std::nullopt;
    return Siblings{{left}, product, factors};
  }
  if (factors[0].view || factors[1].view || left == right ||
      getKey(left) != getKey(right) || getColumns(left) != getColumns(right))
    return std::nullopt;
  factors[1].sum = 1;
  return Siblings{{left, right}, product, factors};
}

/// The groups of `block`.
static SmallVector<Siblings> findSiblings(Block &block, EntryShapes &entries) {
  SmallVector<Siblings> result;
  llvm::SmallDenseSet<Operation *> gated;
  for (auto node : block.getOps<OnnxOp>())
    if (std::optional<Siblings> group = matchGated(node, entries)) {
      gated.insert(group->members.begin(), group->members.end());
      result.push_back(*group);
    }
  llvm::MapVector<SiblingKey, Siblings> groups;
  for (auto linear : block.getOps<LinearOp>())
    if (!gated.contains(linear) && canJoin(linear))
      groups[getKey(linear)].members.push_back(linear);
  for (auto &[key, group] : groups)
    if (group.members.size() > 1 && canShift(group.members))
      result.push_back(std::move(group));
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

/// The linear that takes the place of `members`, at the builder's place.
static LinearOp createFused(OpBuilder &builder, ArrayRef<LinearOp> members,
                            Type result, WeightOp weight, WeightOp bias,
                            SiteAttr site) {
  SmallVector<Location> locations;
  for (LinearOp linear : members)
    locations.push_back(linear.getLoc());
  LinearOp first = members.front();
  auto fused =
      LinearOp::create(builder, builder.getFusedLoc(locations), result,
                       first.getX(), useWeight(builder, weight),
                       bias ? useWeight(builder, bias) : Value(), site);
  fused.setActsAttr(first.getActsAttr());
  return fused;
}

static void eraseLinear(LinearOp linear) {
  UseWeightOp uses[] = {getUse(linear.getWeight()), getUse(linear.getBias())};
  linear.erase();
  for (UseWeightOp use : uses)
    if (use && use->use_empty())
      use.erase();
}

/// One linear in the place of `members`, of which the readers read columns.
static void replaceColumns(ArrayRef<LinearOp> members, WeightOp weight,
                           WeightOp bias, SiteAttr site) {
  LinearOp first = members.front();
  OpBuilder builder(first);
  auto type = cast<RankedTensorType>(first.getResult().getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = weight.getWeightType().getDim(1);
  LinearOp fused =
      createFused(builder, members, type.clone(shape), weight, bias, site);

  int64_t offset = 0;
  for (LinearOp linear : members) {
    for (OpOperand &use :
         llvm::make_early_inc_range(linear.getResult().getUses())) {
      Reader reader = getReader(use, offset);
      use.getOwner()->setAttr(reader.name, reader.form);
      use.set(fused.getResult());
    }
    offset += getColumns(linear);
    eraseLinear(linear);
  }
}

/// One gated linear in the place of a product and its factors.
static void replaceProduct(const Siblings &group, WeightOp weight,
                           WeightOp bias, SiteAttr site) {
  OnnxOp product = group.product;
  OpBuilder builder(product);
  Value old = product->getResult(0);
  LinearOp fused =
      createFused(builder, group.members, old.getType(), weight, bias, site);
  fused.setGated(true);

  ImplicitLocOpBuilder scalars(product.getLoc(), builder);
  Block *block = scalars.createBlock(&fused.getEpilogue());
  for (unsigned n = 0; n < 2; ++n)
    block->addArgument(scalars.getF32Type(), scalars.getLoc());
  SmallVector<Value> values;
  for (const Factor &factor : group.factors) {
    Value value = block->getArgument(factor.sum);
    if (ActivationOp activation = factor.activation)
      value = emitActivation(scalars, activation.getKind(), value);
    values.push_back(value);
  }
  Value made = arith::MulFOp::create(scalars, values[0], values[1]);
  YieldOp::create(scalars, made);

  old.replaceAllUsesWith(fused.getResult());
  product.erase();
  for (Factor factor : group.factors) {
    if (factor.activation)
      factor.activation.erase();
    if (factor.view)
      factor.view.erase();
  }
  for (LinearOp linear : group.members)
    eraseLinear(linear);
}

/// What `value` uses; null for null.
static WeightOp lookUp(SymbolTable &symbols, Value value) {
  UseWeightOp use = getUse(value);
  return use ? symbols.lookup<WeightOp>(use.getWeight()) : WeightOp();
}

/// Multiplies the halves of one linear in its kernel, in all its places.
static void fuseHalves(SymbolTable &symbols, ArrayRef<Siblings> places) {
  for (const Siblings &place : places) {
    LinearOp linear = place.members.front();
    replaceProduct(place, lookUp(symbols, linear.getWeight()),
                   lookUp(symbols, linear.getBias()), linear.getSiteAttr());
  }
}

/// Makes the merged weights of a group and uses them in all its places.
static void fuse(SymbolTable &symbols, ArrayRef<Siblings> places) {
  ArrayRef<LinearOp> members = places.front().members;
  SiteAttr site = joinSites(members);
  SmallVector<WeightOp> weights, biases;
  for (LinearOp linear : members) {
    weights.push_back(lookUp(symbols, linear.getWeight()));
    if (WeightOp bias = lookUp(symbols, linear.getBias()))
      biases.push_back(bias);
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
  for (const Siblings &place : places) {
    if (place.product)
      replaceProduct(place, weight, bias, site);
    else
      replaceColumns(place.members, weight, bias, site);
  }
  for (WeightOp old : weights)
    symbols.erase(old);
  // Equal biases are one weight, which others may read, too.
  llvm::SmallSetVector<WeightOp, 4> old(biases.begin(), biases.end());
  for (WeightOp bias : old)
    if (SymbolTable::symbolKnownUseEmpty(bias, symbols.getOp()))
      symbols.erase(bias);
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

/// Why the members of a group become what they become.
static std::string getReason(const Siblings &group) {
  if (group.isMerged())
    return "its halves are multiplied in its kernel";
  SiteAttr site = joinSites(group.members);
  return site ? ("part of " + site.getPath()).str() : "";
}

void lathe::fuseSiblings(ModuleOp model, StringRef pass) {
  // All places of a merged weight must read it in one layout.
  using GroupKey = std::pair<ArrayAttr, unsigned>;
  llvm::MapVector<GroupKey, SmallVector<Siblings>> groups;
  EntryShapes entries;
  model.walk([&](Block *block) {
    for (Siblings &group : findSiblings(*block, entries))
      groups[{getWeightNames(group.members), group.product ? 1 : 0}].push_back(
          std::move(group));
  });
  DenseMap<Attribute, unsigned> reads = countReads(model);
  SymbolTable symbols(model);
  for (auto &[key, places] : groups) {
    const Siblings &first = places.front();
    ArrayRef<LinearOp> members = first.members;
    unsigned count = places.size();
    // A matrix must not be there twice; a bias may.
    bool isOwn = llvm::all_of(members, [&](LinearOp linear) {
      return reads.lookup(getUse(linear.getWeight()).getWeightAttr()) == count;
    });
    if (!isOwn) {
      addRows(model, pass, members, ReportAction::Kept,
              "a weight is read elsewhere, too");
      continue;
    }
    addRows(model, pass, members, ReportAction::Rewritten, getReason(first));
    if (first.isMerged())
      fuseHalves(symbols, places);
    else
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
