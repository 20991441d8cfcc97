//===- Reduction.cpp - Reductions, orderings and scans --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::likeFirst;
using shape::normalizeAxis;
using shape::setRank;

/// Axes of a reduction: attribute or operand 1; nothing when they are unknown.
/// An absent or empty list means all axes.
static std::optional<llvm::SmallVector<int64_t, 8>>
axesOf(const NodeInfo &node) {
  if (auto axes = node.getInts("axes"))
    return axes;
  if (!node.getInput(1))
    return llvm::SmallVector<int64_t, 8>();
  return node.getConstant(1);
}

static void reduceShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (!type || !type->hasRank())
    return;
  bool keeps = node.getInt("keepdims").value_or(1) != 0;
  auto axes = axesOf(node);
  if (!axes) {
    if (keeps)
      setRank(results[0], type->getRank());
    return;
  }
  llvm::SmallVector<bool> isReduced(type->getRank(), axes->empty());
  if (axes->empty() && node.getInt("noop_with_empty_axes").value_or(0))
    isReduced.assign(type->getRank(), false);
  for (int64_t axis : *axes)
    isReduced[*normalizeAxis(axis, type->getRank())] = true;
  shape::Dims dims;
  for (int64_t i = 0; i < type->getRank(); ++i) {
    if (!isReduced[i])
      dims.push_back((*type->dims)[i]);
    else if (keeps)
      dims.push_back(1);
  }
  results[0].dims = dims;
}

static std::string checkReduce(const NodeInfo &node) {
  const ValueType *type = node.getInput(0);
  auto axes = axesOf(node);
  if (!axes || !type || !type->hasRank())
    return "";
  for (int64_t axis : *axes)
    if (std::string problem = check::isInRange("axis", axis, type->getRank());
        !problem.empty())
      return problem;
  return "";
}

static void argShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (!type || !type->hasRank())
    return;
  auto axis = normalizeAxis(node.getInt("axis").value_or(0), type->getRank());
  if (!axis)
    return;
  results[0].dims = type->dims;
  if (node.getInt("keepdims").value_or(1))
    (*results[0].dims)[*axis] = 1;
  else
    results[0].dims->erase(results[0].dims->begin() + *axis);
}

/// The number of elements that TopK keeps, if it is known.
static std::optional<int64_t> topKOf(const NodeInfo &node) {
  if (auto k = node.getInt("k"))
    return k;
  auto k = node.getConstant(1);
  if (k && k->size() == 1)
    return (*k)[0];
  return std::nullopt;
}

static void topKShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (!type || !type->hasRank())
    return;
  auto axis = normalizeAxis(node.getInt("axis").value_or(-1), type->getRank());
  for (ValueType &result : results) {
    result.dims = type->dims;
    if (axis)
      (*result.dims)[*axis] = topKOf(node).value_or(kUnknownDim);
  }
}

static std::string checkTopK(const NodeInfo &node) {
  std::string problem = check::axis(node);
  const ValueType *type = node.getInput(0);
  auto k = topKOf(node);
  if (!problem.empty() || !k)
    return problem;
  if (*k < 0)
    return "k is negative";
  if (!type || !type->hasRank())
    return "";
  auto axis = normalizeAxis(node.getInt("axis").value_or(-1), type->getRank());
  if (!axis)
    return "operand 0 has rank 0";
  int64_t extent = (*type->dims)[*axis];
  if (extent != kUnknownDim && *k > extent)
    return "k is " + std::to_string(*k) + ", the axis has " +
           std::to_string(extent) + " elements";
  return "";
}

/// A reduction whose axes are an attribute.
static constexpr OpRow axesAttribute(const char *name, const char *inputs) {
  return {
      name,        1,          inputs, "reduced:T", "axes:ints, keepdims:int=1",
      reduceShape, checkReduce};
}

/// A reduction whose axes are an operand.
static constexpr OpRow axesOperand(const char *name, unsigned since,
                                   const char *inputs) {
  return {name,
          since,
          inputs,
          "reduced:T",
          "keepdims:int=1, noop_with_empty_axes:int=0",
          reduceShape,
          checkReduce};
}

static constexpr OpRow kRows[] = {
    {"ArgMax", 1, "data:T{num}", "reduced:i64", "axis:int=0, keepdims:int=1",
     argShape, check::axis},
    {"ArgMax", 12, "data:T{num}", "reduced:i64",
     "axis:int=0, keepdims:int=1, select_last_index:int=0", argShape,
     check::axis},
    {"ArgMin", 1, "data:T{num}", "reduced:i64", "axis:int=0, keepdims:int=1",
     argShape, check::axis},
    {"ArgMin", 12, "data:T{num}", "reduced:i64",
     "axis:int=0, keepdims:int=1, select_last_index:int=0", argShape,
     check::axis},
    {"CumProd", 26, "x:T{num}, axis:T2{index}", "y:T",
     "exclusive:int=0, reverse:int=0", likeFirst},
    {"CumSum", 11, "x:T{num}, axis:T2{index}", "y:T",
     "exclusive:int=0, reverse:int=0", likeFirst},
    {"Hardmax", 1, "input:T{float}", "output:T", "axis:int=1", likeFirst,
     check::axis},
    {"Hardmax", 13, "input:T{float}", "output:T", "axis:int=-1", likeFirst,
     check::axis},
    {"LogSoftmax", 1, "input:T{float}", "output:T", "axis:int=1", likeFirst,
     check::axis},
    {"LogSoftmax", 13, "input:T{float}", "output:T", "axis:int=-1", likeFirst,
     check::axis},
    axesAttribute("ReduceL1", "data:T{num}"),
    axesOperand("ReduceL1", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceL2", "data:T{num}"),
    axesOperand("ReduceL2", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceLogSum", "data:T{num}"),
    axesOperand("ReduceLogSum", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceLogSumExp", "data:T{num}"),
    axesOperand("ReduceLogSumExp", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceMax", "data:T{any}"),
    axesOperand("ReduceMax", 18, "data:T{any}, axes?:i64"),
    axesAttribute("ReduceMean", "data:T{num}"),
    axesOperand("ReduceMean", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceMin", "data:T{any}"),
    axesOperand("ReduceMin", 18, "data:T{any}, axes?:i64"),
    axesAttribute("ReduceProd", "data:T{num}"),
    axesOperand("ReduceProd", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceSumSquare", "data:T{num}"),
    axesOperand("ReduceSumSquare", 18, "data:T{num}, axes?:i64"),
    axesAttribute("ReduceSum", "data:T{num}"),
    axesOperand("ReduceSum", 13, "data:T{num}, axes?:i64"),
    {"Softmax", 1, "input:T{float}", "output:T", "axis:int=1", likeFirst,
     check::axis},
    {"Softmax", 13, "input:T{float}", "output:T", "axis:int=-1", likeFirst,
     check::axis},
    {"TopK", 1, "X:T{float}", "Values:T, Indices:i64", "axis:int=-1, k:int!",
     topKShape, checkTopK},
    {"TopK", 10, "X:T{float}, K:i64", "Values:T, Indices:i64", "axis:int=-1",
     topKShape, checkTopK},
    {"TopK", 11, "X:T{num}, K:i64", "Values:T, Indices:i64",
     "axis:int=-1, largest:int=1, sorted:int=1", topKShape, checkTopK},
};

llvm::ArrayRef<OpRow> lathe::reductionOps() { return kRows; }
