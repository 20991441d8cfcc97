//===- NodeLowering.cpp - how one ONNX operator is lowered ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"
#include "lathe/Lower/LoweringRegistry.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

LoweringTable::LoweringTable() {
  addActivations(*this);
  addAttention(*this);
  addContrib(*this);
  addContractions(*this);
  addConvolutions(*this);
  addElementwise(*this);
  addIndexing(*this);
  addMovement(*this);
  addNormalizations(*this);
  addPooling(*this);
  addQuantization(*this);
  addReductions(*this);
  addResampling(*this);
  addSearch(*this);
}

const LoweringTable &LoweringTable::get() {
  static const LoweringTable table;
  return table;
}

static std::string keyOf(StringRef domain, StringRef op) {
  return (domain + ":" + op).str();
}

void LoweringTable::add(StringRef domain, ArrayRef<LoweringRow> rows) {
  for (const LoweringRow &row : rows)
    entries[keyOf(domain, row.name)].emplace_back(row.since, row.fn);
}

const NodeFn *LoweringTable::lookup(StringRef domain, StringRef op,
                                    unsigned opset) const {
  auto found = entries.find(keyOf(domain, op));
  if (found == entries.end())
    return nullptr;
  const NodeFn *best = nullptr;
  unsigned since = 0;
  for (const auto &[first, fn] : found->second)
    if (first <= opset && first >= since) {
      best = &fn;
      since = first;
    }
  return best;
}

bool lathe::hasLowering(StringRef domain, StringRef op, unsigned opset) {
  return LoweringTable::get().lookup(domain, op, opset);
}

//===----------------------------------------------------------------------===//
// NodeLowering
//===----------------------------------------------------------------------===//

SmallVector<Tensor> NodeLowering::all() {
  SmallVector<Tensor> tensors;
  for (unsigned i = 0; i < numInputs(); ++i)
    if (has(i))
      tensors.push_back(in(i));
  return tensors;
}

std::optional<SmallVector<int64_t>> NodeLowering::ints(unsigned i) {
  if (!has(i))
    return std::nullopt;
  std::optional<SmallVector<IndexExpr>> list =
      stage.getShapes().listOf(op.getOptionalInput(i));
  if (!list)
    return std::nullopt;
  SmallVector<int64_t> values;
  for (IndexExpr e : *list) {
    std::optional<int64_t> value;
    if (e.isPoly())
      value = e.poly().getConstantInt();
    if (!value)
      return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

std::optional<double> NodeLowering::number(unsigned i) {
  if (!has(i))
    return std::nullopt;
  if (std::optional<Number> uniform =
          stage.getShapes().uniformConstant(op.getOptionalInput(i)))
    return uniform->asDouble();
  return t.splatOf(in(i));
}

FailureOr<std::optional<SmallVector<int64_t>>>
NodeLowering::axes(unsigned i, unsigned rank, StringRef attribute) {
  std::optional<SmallVector<int64_t>> list;
  if (has(i)) {
    list = ints(i);
    if (!list) {
      // An empty list may have lost its values: only its length matters.
      Tensor tensor = in(i);
      if (tensor.rank() == 1 && tensor.shape[0].isConstant(0))
        list.emplace();
      else
        return refuse("its axes are not constant");
    }
  } else if (auto written = op.getInts(attribute)) {
    list = llvm::to_vector(*written);
  }
  if (!list)
    return list;
  for (int64_t &axis : *list)
    if (axis < 0)
      axis += rank;
  llvm::sort(*list);
  list->erase(llvm::unique(*list), list->end());
  for (int64_t axis : *list)
    if (axis < 0 || axis >= rank)
      return refuse("an axis is out of range");
  return list;
}

unsigned NodeLowering::axis(unsigned rank, int64_t otherwise, StringRef name) {
  int64_t axis = op.getInt(name, otherwise);
  return axis < 0 ? axis + rank : axis;
}

void NodeLowering::set(Tensor tensor, unsigned i) {
  stage.bind(op->getResult(i), std::move(tensor));
}

/// "node 'name' (Op, opset)".
static std::string describe(OnnxOp op) {
  std::string text = "node ";
  if (auto name = dyn_cast<NameLoc>(op.getLoc()))
    text += "'" + name.getName().str() + "' ";
  text += "(" + op.getOpType().str() + ", opset " +
          std::to_string(op.getOpset()) + ")";
  return text;
}

LogicalResult NodeLowering::refuse(const Twine &reason) {
  return emitError(op.getLoc()) << describe(op) << ": " << reason;
}

LogicalResult NodeLowering::needKernels() {
  if (stage.usesKernels())
    return success();
  return refuse(
      "it is written as loops over buffers, not in linalg on tensors");
}

LogicalResult lathe::byForm(NodeLowering &n) {
  return n.refuse("its result has no closed form over the model's dims");
}

NodeFn lathe::unary(UnaryFn fn) {
  return [fn](NodeLowering &n) {
    Type element = n.element();
    n.set(n.t.mapTo(
        n.shape(), n.in(0), element,
        [&](Scalars &s, ArrayRef<Value> x) { return fn(n, s, x[0]); }));
    return success();
  };
}

NodeFn lathe::nary(NaryFn fn) {
  return [fn](NodeLowering &n) {
    n.set(
        n.t.mapTo(n.shape(), n.all(), n.element(),
                  [&](Scalars &s, ArrayRef<Value> x) { return fn(n, s, x); }));
    return success();
  };
}
