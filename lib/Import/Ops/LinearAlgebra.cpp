//===- LinearAlgebra.cpp - Matrix products --------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"
#include "llvm/ADT/StringExtras.h"

using namespace lathe;
using shape::ranked;
using shape::setRank;

/// The two ranked operands, or nothing.
static std::optional<
    std::pair<llvm::ArrayRef<int64_t>, llvm::ArrayRef<int64_t>>>
bothShapes(const NodeInfo &node, unsigned first, unsigned second) {
  const ValueType *a = node.getInput(first), *b = node.getInput(second);
  if (!a || !b || !a->hasRank() || !b->hasRank())
    return std::nullopt;
  return std::make_pair(llvm::ArrayRef<int64_t>(*a->dims),
                        llvm::ArrayRef<int64_t>(*b->dims));
}

static void matMulDims(llvm::ArrayRef<int64_t> a, llvm::ArrayRef<int64_t> b,
                       ValueType &result) {
  if (a.empty() || b.empty())
    return;
  shape::Dims dims =
      shape::broadcast({a.drop_back(std::min<size_t>(2, a.size())),
                        b.drop_back(std::min<size_t>(2, b.size()))});
  if (a.size() > 1)
    dims.push_back(a[a.size() - 2]);
  if (b.size() > 1)
    dims.push_back(b.back());
  result.dims = dims;
}

static void matMulShape(const NodeInfo &node, shape::Results results) {
  if (auto shapes = bothShapes(node, 0, 1))
    matMulDims(shapes->first, shapes->second, results[0]);
}

static std::string checkMatMul(const NodeInfo &node) {
  auto shapes = bothShapes(node, 0, 1);
  if (!shapes)
    return "";
  auto [a, b] = *shapes;
  if (a.empty() || b.empty())
    return "an operand has rank 0";
  int64_t left = a.back(), right = b.size() == 1 ? b[0] : b[b.size() - 2];
  if (left != kUnknownDim && right != kUnknownDim && left != right)
    return "inner extents " + std::to_string(left) + " and " +
           std::to_string(right) + " differ";
  return "";
}

static void qLinearMatMulShape(const NodeInfo &node, shape::Results results) {
  if (auto shapes = bothShapes(node, 0, 3))
    matMulDims(shapes->first, shapes->second, results[0]);
}

static void gemmShape(const NodeInfo &node, shape::Results results) {
  setRank(results[0], 2);
  auto shapes = bothShapes(node, 0, 1);
  if (!shapes || shapes->first.size() != 2 || shapes->second.size() != 2)
    return;
  bool transA = node.getInt("transA").value_or(0) != 0;
  bool transB = node.getInt("transB").value_or(0) != 0;
  (*results[0].dims)[0] = shapes->first[transA ? 1 : 0];
  (*results[0].dims)[1] = shapes->second[transB ? 0 : 1];
}

static std::string checkGemm(const NodeInfo &node) {
  for (unsigned i = 0; i < 2; ++i)
    if (const ValueType *type = node.getInput(i))
      if (type->hasRank() && type->getRank() != 2)
        return "input " + std::to_string(i) + " has rank " +
               std::to_string(type->getRank()) + ", not 2";
  auto shapes = bothShapes(node, 0, 1);
  if (!shapes)
    return "";
  int64_t left = shapes->first[node.getInt("transA").value_or(0) ? 0 : 1];
  int64_t right = shapes->second[node.getInt("transB").value_or(0) ? 1 : 0];
  if (left != kUnknownDim && right != kUnknownDim && left != right)
    return "inner extents " + std::to_string(left) + " and " +
           std::to_string(right) + " differ";
  return "";
}

static void einsumShape(const NodeInfo &node, shape::Results results) {
  llvm::StringRef equation = node.getString("equation").value_or("");
  auto [terms, output] = equation.split("->");
  if (equation.contains("...") || !equation.contains("->"))
    return;
  setRank(results[0], llvm::count_if(output, llvm::isAlpha));
}

static std::string checkEinsum(const NodeInfo &node) {
  llvm::StringRef equation = node.getString("equation").value_or("");
  llvm::StringRef terms = equation.split("->").first;
  if (terms.count(',') + 1 != node.getNumInputs())
    return "the equation has " + std::to_string(terms.count(',') + 1) +
           " terms for " + std::to_string(node.getNumInputs()) + " inputs";
  for (char c : equation)
    if (!llvm::isAlpha(c) && !llvm::StringRef(" ,.->").contains(c))
      return "the equation has a character that is no letter";
  return "";
}

static void detShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (type && type->hasRank() && type->getRank() >= 2)
    results[0].dims = shape::Dims(type->dims->begin(), type->dims->end() - 2);
}

static constexpr OpRow kRows[] = {
    {"Det", 11, "X:T{float}", "Y:T", "", detShape},
    {"Einsum", 12, "Inputs+:T{num}", "Output:T", "equation:string!",
     einsumShape, checkEinsum},
    {"Gemm", 7, "A:T{num}, B:T, C:T", "Y:T",
     "alpha:float=1.0, beta:float=1.0, transA:int=0, transB:int=0", gemmShape,
     checkGemm},
    {"Gemm", 11, "A:T{num}, B:T, C?:T", "Y:T",
     "alpha:float=1.0, beta:float=1.0, transA:int=0, transB:int=0", gemmShape,
     checkGemm},
    {"MatMul", 1, "A:T{num}, B:T", "Y:T", "", matMulShape, checkMatMul},
    {"MatMulInteger", 10,
     "A:T1{int}, B:T2{int}, a_zero_point?:T1, b_zero_point?:T2", "Y:i32", "",
     matMulShape, checkMatMul},
    {"QLinearMatMul", 10,
     "a:T1{quant}, a_scale:TS{float}, a_zero_point:T1, b:T2{quant}, "
     "b_scale:TS, b_zero_point:T2, y_scale:TS, y_zero_point:T3{quant}",
     "y:T3", "", qLinearMatMulShape},
};

llvm::ArrayRef<OpRow> lathe::linearAlgebraOps() { return kRows; }
