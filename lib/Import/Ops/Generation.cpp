//===- Generation.cpp - Constants, shapes and ranges ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::setRank;

static void shapeShape(const NodeInfo &node, shape::Results results) {
  setRank(results[0], 1);
  const ValueType *type = node.getInput(0);
  if (!type || !type->hasRank())
    return;
  int64_t rank = type->getRank();
  auto clamp = [rank](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank);
  };
  int64_t start = clamp(node.getInt("start").value_or(0));
  int64_t end = clamp(node.getInt("end").value_or(rank));
  (*results[0].dims)[0] = std::max<int64_t>(end - start, 0);
}

static void constantOfShapeShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (auto sizes = node.getConstant(0))
    results[0].dims = shape::Dims(sizes->begin(), sizes->end());
  else if (type && type->hasRank() && type->getRank() == 1 &&
           (*type->dims)[0] != kUnknownDim)
    setRank(results[0], (*type->dims)[0]);
}

static std::string checkConstantOfShape(const NodeInfo &node) {
  auto sizes = node.getConstant(0);
  if (!sizes)
    return "";
  uint64_t elements = 1;
  for (int64_t size : *sizes) {
    if (size < 0)
      return "the shape has a negative extent " + std::to_string(size);
    auto product = checkedMul(elements, size);
    if (!product || *product > (uint64_t(1) << 40))
      return "the shape has more than 2^40 elements";
    elements = *product;
  }
  return "";
}

static std::string checkRange(const NodeInfo &node) {
  auto delta = node.getConstant(2);
  if (delta && delta->size() == 1 && (*delta)[0] == 0)
    return "delta is 0";
  return "";
}

static void oneHotShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  if (type && type->hasRank())
    setRank(results[0], type->getRank() + 1);
}

static std::string checkOneHot(const NodeInfo &node) {
  auto depth = node.getConstant(1);
  if (depth && depth->size() == 1 && (*depth)[0] < 1)
    return "depth " + std::to_string((*depth)[0]) + " is not positive";
  const ValueType *values = node.getInput(2);
  if (values && values->hasRank() &&
      (values->getRank() != 1 ||
       ((*values->dims)[0] != kUnknownDim && (*values->dims)[0] != 2)))
    return "values are not two numbers";
  return "";
}

static std::string checkEyeLike(const NodeInfo &node) {
  const ValueType *type = node.getInput(0);
  if (type && type->hasRank() && type->getRank() != 2)
    return "operand 0 has rank " + std::to_string(type->getRank()) +
           ", wanted is 2";
  return "";
}

static void nonZeroShape(const NodeInfo &node, shape::Results results) {
  const ValueType *type = node.getInput(0);
  setRank(results[0], 2);
  if (type && type->hasRank())
    (*results[0].dims)[0] = type->getRank();
}

static constexpr OpRow kRows[] = {
    // The importer turns Constant into a constant; its row checks attributes.
    {"Constant", 1, "", "output:@value", "value:tensor!"},
    {"Constant", 11, "", "output:@value", "value:tensor"},
    {"Constant", 12, "", "output:@value",
     "value:tensor, value_float:float, value_floats:floats, value_int:int, "
     "value_ints:ints"},
    {"ConstantOfShape", 9, "input:i64", "output:@value|f32", "value:tensor",
     constantOfShapeShape, checkConstantOfShape},
    {"EyeLike", 9, "input:T1{any}", "output:@dtype|T1", "dtype:int, k:int=0",
     shape::likeFirst, checkEyeLike},
    {"NonZero", 9, "X:T{any}", "Y:i64", "", nonZeroShape},
    {"OneHot", 9, "indices:T1{num}, depth:T2{num}, values:T3{any}", "output:T3",
     "axis:int=-1", oneHotShape, checkOneHot},
    {"Range", 11, "start:T{num}, limit:T, delta:T", "output:T", "",
     shape::vector, checkRange},
    {"Range", 27, "start:T{num}, limit:T, delta:T", "output:T",
     "stash_type:int=1", shape::vector, checkRange},
    {"Shape", 1, "data:T{any}", "shape:i64", "", shapeShape},
    {"Shape", 15, "data:T{any}", "shape:i64", "end:int, start:int=0",
     shapeShape},
    {"Size", 1, "data:T{any}", "size:i64", "", shape::scalar},
};

llvm::ArrayRef<OpRow> lathe::generationOps() { return kRows; }
