//===- Engine.cpp - what transfer functions share -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// A rank-1 value up to this length is also looked at element by element.
static constexpr int64_t kMaxListLength = 16;

ElementClass shapes::classOf(Type type) {
  Type element = type;
  if (auto shaped = dyn_cast<ShapedType>(type))
    element = shaped.getElementType();
  if (isa<FloatType>(element))
    return ElementClass::Float;
  if (element.isInteger(1))
    return ElementClass::Boolean;
  return isa<IntegerType, IndexType>(element) ? ElementClass::Integer
                                              : ElementClass::Other;
}

std::string shapes::describe(Operation *op) {
  if (isa<func::ReturnOp>(op))
    return "the declared dims of the results";
  std::string name;
  if (auto loc = dyn_cast<NameLoc>(op->getLoc()))
    name = " '" + loc.getName().str() + "'";
  StringRef type = op->getName().getStringRef();
  if (auto onnx = dyn_cast<OnnxOp>(op))
    type = onnx.getOpType();
  return "node" + name + " (" + type.str() + ")";
}

std::string shapes::describe(Value value) {
  if (Operation *op = value.getDefiningOp())
    return describe(op);
  auto arg = cast<BlockArgument>(value);
  std::string name = "argument " + std::to_string(arg.getArgNumber());
  if (auto func = dyn_cast<func::FuncOp>(arg.getOwner()->getParentOp()))
    if (auto attr = func.getArgAttrOfType<StringAttr>(arg.getArgNumber(),
                                                      LatheDialect::kNameAttr))
      name = attr.str();
  return name;
}

std::optional<unsigned> shapes::wrapAxis(int64_t axis, unsigned rank) {
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis >= static_cast<int64_t>(rank))
    return std::nullopt;
  return static_cast<unsigned>(axis);
}

Engine::Engine(func::FuncOp func) : func(func) {}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

const ValueInfo *Engine::lookup(Value value) const {
  return infos.lookup(value);
}

void Engine::set(Value value, ValueInfo info) {
  info.value = value;
  // A dim that is read from data is nothing that can be computed on entry.
  if (info.shape)
    for (auto [k, extent] : llvm::enumerate(*info.shape))
      if (extent && extent.usesReads())
        extent = unknownDim(value, k);
  ValueInfo *&slot = infos[value];
  if (slot) {
    *slot = std::move(info);
    return;
  }
  storage.push_back(std::move(info));
  slot = &storage.back();
}

unsigned Engine::readIdOf(Value value) {
  auto [it, inserted] = readIds.try_emplace(value, readValues.size());
  if (inserted) {
    readValues.push_back(value);
    if (classOf(value.getType()) == ElementClass::Float)
      context.declareReal(it->second);
  }
  return it->second;
}

Poly Engine::unknownDim(Value value, unsigned k) {
  return namedDim(("?" + Twine(readIdOf(value)) + "." + Twine(k)).str());
}

OptionalShape Engine::shapeOfType(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type)
    return std::nullopt;
  SymbolicShape shape;
  for (auto [k, extent] : llvm::enumerate(type.getShape()))
    shape.push_back(ShapedType::isDynamic(extent) ? unknownDim(value, k)
                                                  : dim(extent));
  return shape;
}

ValueInfo Engine::makeLeaf(Value value, OptionalShape shape) {
  ValueInfo info;
  info.value = value;
  info.elementClass = classOf(value.getType());
  if (!shape || llvm::is_contained(*shape, Poly()))
    return info;
  info.shape = std::move(shape);
  info.kind = ValueInfo::FormKind::Leaf;
  Poly read = context.read(readIdOf(value), identityIndex(*info.shape));
  if (!read)
    return info;
  info.form = read;
  if (info.elementClass == ElementClass::Boolean)
    info.form = context.toBoolean(read);
  return info;
}

//===----------------------------------------------------------------------===//
// Forms
//===----------------------------------------------------------------------===//

SmallVector<Poly> Engine::identityIndex(ArrayRef<Poly> shape) {
  SmallVector<Poly> index;
  for (auto [k, extent] : llvm::enumerate(shape))
    index.push_back(extent.isConstant(1) ? context.zero() : context.coord(k));
  return index;
}

IndexExpr Engine::choose(Pred cond, IndexExpr a, IndexExpr b, Extents extents) {
  if (!cond || !a || !b)
    return {};
  if (a.isPred() != b.isPred())
    return {};
  if (a.isPred())
    return context.choose(cond, a.pred(), b.pred());
  return context.select(cond, a.poly(), b.poly(), extents);
}

IndexExpr Engine::formOf(const ValueInfo &info) {
  // A small table has both: it is better read than spelt out.
  if (info.kind != ValueInfo::FormKind::List || info.form)
    return info.form;
  if (info.list.empty())
    return info.elementClass == ElementClass::Boolean
               ? IndexExpr(context.getTrue())
               : IndexExpr(context.zero());
  IndexExpr form = info.list.back();
  if (llvm::all_of(info.list, [&](IndexExpr e) { return e == form; }))
    return form;
  for (int64_t k = info.list.size() - 2; k >= 0; --k)
    form = choose(context.le(context.coord(0), dim(k)), info.list[k], form);
  return form;
}

std::optional<SmallVector<IndexExpr>> Engine::listOf(const ValueInfo &info) {
  if (info.kind == ValueInfo::FormKind::List)
    return SmallVector<IndexExpr>(info.list.begin(), info.list.end());
  if (!info.shape || info.rank() > 1 || !info.form)
    return std::nullopt;
  if (info.elementClass == ElementClass::Float && !isIndexy(info))
    return std::nullopt;
  if (info.rank() == 0)
    return SmallVector<IndexExpr>{info.form};
  std::optional<int64_t> length = (*info.shape)[0].getConstantInt();
  if (!length || *length < 0 || *length > kMaxListLength)
    return std::nullopt;
  SmallVector<IndexExpr> list;
  for (int64_t k = 0; k != *length; ++k) {
    list.push_back(context.substitute(info.form, dim(k)));
    if (!list.back())
      return std::nullopt;
  }
  return list;
}

std::optional<SmallVector<int64_t>> Engine::intsOf(const ValueInfo &info) {
  std::optional<SmallVector<IndexExpr>> list = listOf(info);
  if (!list)
    return std::nullopt;
  SmallVector<int64_t> ints;
  for (IndexExpr e : *list) {
    std::optional<int64_t> value = e.poly().getConstantInt();
    if (!value)
      return std::nullopt;
    ints.push_back(*value);
  }
  return ints;
}

std::optional<Number> Engine::uniformConstant(const ValueInfo &info) {
  IndexExpr form = info.form;
  if (info.kind == ValueInfo::FormKind::List)
    form = info.list.size() == 1 ? info.list[0] : IndexExpr();
  if (Pred p = form.pred())
    return p.isTrue() || p.isFalse() ? std::optional<Number>(p.isTrue())
                                     : std::nullopt;
  return form.poly().getConstant();
}

bool Engine::isIndexy(IndexExpr form) {
  if (!form)
    return false;
  if (!form.usesReads())
    return true;
  const void *key = form.isPoly() ? form.poly().getAsOpaquePointer()
                                  : form.pred().getAsOpaquePointer();
  auto [it, inserted] = indexyForms.try_emplace(key);
  if (!inserted)
    return it->second;
  bool indexy = llvm::all_of(collectReads(form), [&](unsigned id) {
    Value value = readValues[id];
    if (classOf(value.getType()) != ElementClass::Float)
      return true;
    Operation *op = value.getDefiningOp();
    return op && isa<ConstantOp, arith::ConstantOp>(op);
  });
  indexyForms[key] = indexy;
  return indexy;
}

bool Engine::isIndexy(const ValueInfo &info) {
  if (info.kind == ValueInfo::FormKind::List)
    return llvm::all_of(info.list, [&](IndexExpr e) { return isIndexy(e); });
  if (!info.form)
    return false;
  return info.elementClass == ElementClass::Integer ||
         info.elementClass == ElementClass::Boolean || isIndexy(info.form);
}

IndexExpr Engine::aligned(const ValueInfo &info, ArrayRef<Poly> out) {
  unsigned shift = out.size() - info.rank();
  SmallVector<Poly> index;
  for (auto [k, extent] : llvm::enumerate(*info.shape))
    index.push_back(extent.isConstant(1) ? context.zero()
                                         : context.coord(k + shift));
  return context.substitute(formOf(info), index, out);
}

IndexExpr Engine::moved(const ValueInfo &info, ArrayRef<Poly> index,
                        ArrayRef<Poly> out) {
  // A coordinate of extent 1 is 0, wherever it is used.
  Substituter flatten(context, identityIndex(out), out);
  SmallVector<Poly> flat;
  for (Poly p : index) {
    flat.push_back(flatten(p));
    if (!flat.back())
      return {};
  }
  return context.substitute(formOf(info), flat, out);
}

//===----------------------------------------------------------------------===//
// Dims
//===----------------------------------------------------------------------===//

Poly Engine::namedDim(StringRef name) {
  auto it = replaced.find(name);
  return it == replaced.end() ? context.symbol(name) : it->second;
}

Poly Engine::parseDim(StringRef text) {
  llvm::Expected<Poly> parsed = parsePoly(context, text);
  if (!parsed) {
    llvm::consumeError(parsed.takeError());
    return {};
  }
  if (parsed->usesReads() || parsed->coordMask() != 0)
    return {};
  return context.substituteSymbols(*parsed, replaced);
}

void Engine::equate(Poly p, Poly q, Operation *op) {
  if (p && q && p != q)
    equalities.push_back({p, q, op});
}

void Engine::require(DimCheck::Kind kind, Poly p, Poly q, Operation *op) {
  if (p && q)
    require({kind, p, q, describe(op)});
}

void Engine::require(DimCheck check) {
  bool known = llvm::any_of(checks, [&](const DimCheck &other) {
    return check.kind == other.kind && check.lhs == other.lhs &&
           check.rhs == other.rhs;
  });
  if (!known)
    checks.push_back(std::move(check));
}

Poly Engine::broadcastDim(Poly p, Poly q, Operation *op) {
  if (p == q || !p || !q || q.isConstant(1))
    return p;
  if (p.isConstant(1))
    return q;
  equate(p, q, op);
  return q.isConstant() ? q : p;
}

SymbolicShape Engine::broadcast(ArrayRef<Poly> a, ArrayRef<Poly> b,
                                Operation *op) {
  if (a.size() < b.size())
    std::swap(a, b);
  SymbolicShape shape(a);
  unsigned shift = a.size() - b.size();
  for (auto [k, extent] : llvm::enumerate(b))
    shape[k + shift] = broadcastDim(shape[k + shift], extent, op);
  return shape;
}

OptionalShape Engine::broadcast(ArrayRef<const ValueInfo *> infos,
                                Operation *op) {
  SymbolicShape shape;
  for (const ValueInfo *info : infos) {
    if (!info || !info->shape)
      return std::nullopt;
    shape = broadcast(shape, *info->shape, op);
  }
  return shape;
}

//===----------------------------------------------------------------------===//
// Node
//===----------------------------------------------------------------------===//

Node::Node(Engine &engine, OnnxOp op)
    : engine(engine), context(engine.context), op(op) {
  for (Value value : op.getInputs()) {
    bool leftOut = isa<NoneType>(value.getType());
    inputs.push_back(leftOut ? nullptr : engine.lookup(value));
  }
}

ElementClass Node::resultClass(unsigned k) {
  return classOf(op->getResult(k).getType());
}

std::optional<SmallVector<int64_t>>
Node::intsFrom(unsigned k, StringRef attribute, bool &known) {
  known = true;
  if (has(k)) {
    std::optional<SmallVector<int64_t>> ints = engine.intsOf(in(k));
    known = ints.has_value();
    return ints;
  }
  if (std::optional<ArrayRef<int64_t>> ints = op.getInts(attribute))
    return SmallVector<int64_t>(*ints);
  return std::nullopt;
}

std::optional<unsigned> Node::axis(StringRef name, int64_t otherwise,
                                   unsigned rank) {
  return wrapAxis(op.getInt(name, otherwise), rank);
}

void Node::setInfo(ValueInfo info, unsigned k) {
  if (k < numResults())
    engine.set(op->getResult(k), std::move(info));
}

void Node::setLeaf(OptionalShape shape, unsigned k) {
  if (k < numResults())
    setInfo(engine.makeLeaf(op->getResult(k), std::move(shape)), k);
}

void Node::setForm(SymbolicShape shape, IndexExpr form, unsigned k) {
  if (k >= numResults())
    return;
  bool fits =
      form && form.isPred() == (resultClass(k) == ElementClass::Boolean);
  if (!fits || llvm::is_contained(shape, Poly()))
    return setLeaf(std::move(shape), k);
  ValueInfo info;
  info.elementClass = resultClass(k);
  info.shape = std::move(shape);
  info.kind =
      form.isPred() ? ValueInfo::FormKind::Pred : ValueInfo::FormKind::Poly;
  info.form = form;
  setInfo(std::move(info), k);
}

void Node::setList(SymbolicShape shape, ArrayRef<IndexExpr> list, unsigned k) {
  if (k >= numResults())
    return;
  bool isBoolean = resultClass(k) == ElementClass::Boolean;
  bool fits = llvm::all_of(
      list, [&](IndexExpr e) { return e && e.isPred() == isBoolean; });
  if (!fits)
    return setLeaf(std::move(shape), k);
  ValueInfo info;
  info.elementClass = resultClass(k);
  info.shape = std::move(shape);
  info.kind = ValueInfo::FormKind::List;
  info.list.assign(list.begin(), list.end());
  setInfo(std::move(info), k);
}

void Node::setCopy(const ValueInfo &info, unsigned k) {
  ValueInfo copy = info;
  // What was a leaf is now a form that reads another value.
  if (copy.isLeaf())
    copy.kind = copy.form.isPred() ? ValueInfo::FormKind::Pred
                                   : ValueInfo::FormKind::Poly;
  setInfo(std::move(copy), k);
}

void Node::setMoved(const ValueInfo &info, ArrayRef<Poly> index,
                    SymbolicShape shape, unsigned k) {
  IndexExpr form = engine.moved(info, index, shape);
  setForm(std::move(shape), form, k);
}
