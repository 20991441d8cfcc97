//===- Kernels.cpp - what kernels a model runs ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Kernels.h"
#include "lathe/Compress/Fuse/FuseSiblings.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Driver/Macs.h"
#include "lathe/Raise/InlineStructure.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringSet.h"
#include <tuple>

using namespace mlir;
using namespace lathe;

/// The dim that counts the positions in the cache of an entry.
static constexpr StringLiteral kPastDim = "lathe.past_dim";

namespace {

/// The kernels of one function whose structure is inlined.
class KernelList {
public:
  KernelList(func::FuncOp function, const llvm::StringMap<int64_t> &dims)
      : function(function), dims(dims), shapes(function) {}

  void appendTo(std::vector<KernelSummary> &kernels);

private:
  void noteEpilogue(LinearOp linear);
  bool summarize(Operation *op, KernelSummary &kernel);
  void summarizeAttention(AttentionOp op, KernelSummary &kernel);
  bool summarizeNode(OnnxOp op, KernelSummary &kernel);
  int64_t elements(Value value);
  int64_t extent(Value value, unsigned axis);
  int64_t rowsOf(Value value);

  func::FuncOp function;
  const llvm::StringMap<int64_t> &dims;
  SymbolicShapes shapes;
  llvm::DenseMap<Operation *, std::vector<std::string>> epilogues;
  /// Operations that run in the epilogue of a linear.
  llvm::SmallPtrSet<Operation *, 32> absorbed;
};

} // namespace

int64_t KernelList::elements(Value value) {
  auto shape = shapes.shapeOf(value);
  return shape ? valueAt(shapes.getContext().product(*shape), dims) : 0;
}

int64_t KernelList::extent(Value value, unsigned axis) {
  auto shape = shapes.shapeOf(value);
  return shape && axis < shape->size() ? valueAt((*shape)[axis], dims) : 0;
}

/// Elements of all dims but the last.
int64_t KernelList::rowsOf(Value value) {
  auto shape = shapes.shapeOf(value);
  if (!shape || shape->empty())
    return 0;
  return valueAt(shapes.getContext().product(shape->drop_back()), dims);
}

/// Collects what lathe-fuse-epilogues puts behind `linear`. Of two linears
/// that meet in one operation the later takes it, so later ones come first.
void KernelList::noteEpilogue(LinearOp linear) {
  std::vector<std::string> &names = epilogues[linear];
  Value value = linear.getResult();
  while (value.hasOneUse()) {
    Operation *user = *value.user_begin();
    if (absorbed.contains(user))
      return;
    if (auto activation = dyn_cast<ActivationOp>(user)) {
      names.push_back(stringifyActivationKind(activation.getKind()).str());
    } else {
      auto node = dyn_cast<OnnxOp>(user);
      if (!node || (!node.is("Add") && !node.is("Mul")))
        return;
      auto left = shapes.shapeOf(node->getOperand(0)),
           right = shapes.shapeOf(node->getOperand(1));
      if (!left || !right || *left != *right)
        return;
      names.push_back(node.getOpType().lower());
    }
    absorbed.insert(user);
    value = user->getResult(0);
  }
}

void KernelList::summarizeAttention(AttentionOp op, KernelSummary &kernel) {
  kernel.op = "attention";
  if (op.getMask())
    kernel.mask = op.getMask()->getText().str();
  int64_t rows = extent(op.getResult(), 1), keys = 0;
  if (op.getCache()) {
    auto past = function->getAttrOfType<StringAttr>(kPastDim);
    keys = rows + (past ? dims.lookup(past.getValue()) : 0);
  } else {
    keys = valueAt(countKeys(op, shapes), dims);
  }
  kernel.sizes = {{"batch", extent(op.getResult(), 0)},
                  {"rows", rows},
                  {"keys", keys},
                  {"heads", op.getHeads()},
                  {"kv_heads", op.getKvHeads()},
                  {"head_dim", op.getHeadDim()},
                  {"value_dim", op.getValueDim()},
                  {"cached", op.getCache() ? 1 : 0}};
}

/// True for what computes a float from floats of the same place.
static bool isElementwise(OnnxOp op) {
  static const llvm::StringSet<> names = {
      "Add", "Sub",  "Mul",  "Div",   "Max", "Min",  "Neg",
      "Abs", "Sqrt", "Exp",  "Log",   "Erf", "Tanh", "Sigmoid",
      "Pow", "Sum",  "Mean", "Where", "Clip"};
  auto type = dyn_cast<ShapedType>(op->getResult(0).getType());
  return type && isa<FloatType>(type.getElementType()) &&
         op.getDomainOrDefault().empty() && names.contains(op.getOpType());
}

/// A Softmax over the last axis that no attention took.
static bool isSoftmax(Operation *op) {
  auto node = dyn_cast<OnnxOp>(op);
  auto type = dyn_cast_or_null<ShapedType>(node ? node->getResult(0).getType()
                                                : Type());
  if (!type || !type.hasRank() || !node.is("Softmax"))
    return false;
  int64_t axis = node.getInt("axis", -1);
  return axis == -1 || axis == type.getRank() - 1;
}

bool KernelList::summarizeNode(OnnxOp op, KernelSummary &kernel) {
  if (op->getNumResults() != 1 || absorbed.contains(op) ||
      shapes.isIndexy(op->getResult(0)) || !isElementwise(op))
    return false;
  kernel.op = "elementwise";
  kernel.variant = op.getOpType().str();
  kernel.sizes = {{"elements", elements(op->getResult(0))}};
  return true;
}

/// The function that dominates the activation of a gated linear.
static std::string gateFunction(LinearOp linear) {
  std::string name;
  if (linear.getGated())
    linear.getEpilogue().walk([&](Operation *op) {
      if (isa<math::MathDialect>(op->getDialect()))
        name = op->getName().stripDialect().str();
    });
  return name;
}

/// Fills `kernel` with what `op` is; false if it is no kernel of its own.
bool KernelList::summarize(Operation *op, KernelSummary &kernel) {
  if (auto linear = dyn_cast<LinearOp>(op)) {
    kernel.op = "linear";
    kernel.variant = gateFunction(linear);
    kernel.epilogue = epilogues.lookup(op);
    kernel.sizes = {{"rows", rowsOf(linear.getResult())},
                    {"inputs", linear.getWeight().getType().getDim(0)},
                    {"outputs", linear.getColumns()},
                    {"bias", linear.getBias() ? 1 : 0},
                    {"gated", linear.getGated() ? 1 : 0}};
    return true;
  }
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    summarizeAttention(attention, kernel);
    return true;
  }
  if (auto norm = dyn_cast<NormOp>(op)) {
    auto type = cast<ShapedType>(norm.getResult().getType());
    kernel.op = "norm";
    kernel.variant = stringifyNormKind(norm.getKind()).str();
    kernel.sizes = {{"rows", rowsOf(norm.getResult())},
                    {"width", type.getShape().back()},
                    {"beta", norm.getBeta() ? 1 : 0}};
    return true;
  }
  if (auto rope = dyn_cast<RopeOp>(op)) {
    kernel.op = "rope";
    kernel.variant = stringifyRopeLayout(rope.getLayout()).str();
    kernel.sizes = {{"rows", rowsOf(rope.getResult())},
                    {"heads", rope.getHeads()},
                    {"head_dim", rope.getHeadDim()},
                    {"rotary_dim", rope.getRotaryDim()}};
    return true;
  }
  if (auto embedding = dyn_cast<EmbeddingOp>(op)) {
    kernel.op = "embedding";
    kernel.sizes = {{"rows", rowsOf(embedding.getResult())},
                    {"width", embedding.getColumns()},
                    {"vocabulary", embedding.getCount()},
                    {"tied", embedding.getTransposed() ? 1 : 0}};
    return true;
  }
  if (auto activation = dyn_cast<ActivationOp>(op)) {
    if (absorbed.contains(op))
      return false;
    kernel.op = "activation";
    kernel.variant = stringifyActivationKind(activation.getKind()).str();
    kernel.sizes = {{"elements", elements(activation.getResult())}};
    return true;
  }
  if (isa<SoftmaxOp>(op) || isSoftmax(op)) {
    Value result = op->getResult(0);
    int64_t rows = rowsOf(result);
    kernel.op = "softmax";
    kernel.sizes = {{"rows", rows},
                    {"width", rows ? elements(result) / rows : 0}};
    return true;
  }
  auto node = dyn_cast<OnnxOp>(op);
  return node && summarizeNode(node, kernel);
}

static bool isSame(const KernelSummary &a, const KernelSummary &b) {
  return std::tie(a.entry, a.op, a.variant, a.epilogue, a.mask, a.sizes) ==
         std::tie(b.entry, b.op, b.variant, b.epilogue, b.mask, b.sizes);
}

void KernelList::appendTo(std::vector<KernelSummary> &kernels) {
  SmallVector<LinearOp> linears(function.getOps<LinearOp>());
  for (LinearOp linear : llvm::reverse(linears))
    noteEpilogue(linear);
  function.walk([&](Operation *op) {
    KernelSummary kernel;
    kernel.entry = function.getName().str();
    if (!summarize(op, kernel))
      return;
    auto known = llvm::find_if(kernels, [&](const KernelSummary &other) {
      return isSame(kernel, other);
    });
    if (known != kernels.end())
      ++known->count;
    else
      kernels.push_back(std::move(kernel));
  });
}

std::vector<KernelSummary>
lathe::listKernels(ModuleOp model, const llvm::StringMap<int64_t> &dims) {
  // As compilation does it, on a copy.
  OwningOpRef<ModuleOp> fused = model.clone();
  fuseSiblings(*fused, "lathe-fuse-siblings");
  std::vector<KernelSummary> kernels;
  for (auto function : fused->getOps<func::FuncOp>()) {
    inlineStructure(function);
    KernelList(function, dims).appendTo(kernels);
  }
  return kernels;
}
