//===- ShapeRules.cpp - Shapes that follow from operands ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ShapeRules.h"

using namespace lathe;
using llvm::ArrayRef;

std::optional<int64_t> shape::normalizeAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return std::nullopt;
  return axis < 0 ? axis + rank : axis;
}

const ValueType *shape::ranked(const NodeInfo &node, unsigned i) {
  const ValueType *type = node.getInput(i);
  return type && type->hasRank() ? type : nullptr;
}

void shape::setRank(ValueType &type, int64_t rank) {
  type.dims.emplace(rank, kUnknownDim);
}

shape::Dims shape::broadcast(ArrayRef<ArrayRef<int64_t>> shapes) {
  size_t rank = 0;
  for (ArrayRef<int64_t> dims : shapes)
    rank = std::max(rank, dims.size());
  Dims result(rank, 1);
  for (ArrayRef<int64_t> dims : shapes) {
    size_t skip = rank - dims.size();
    for (size_t i = 0; i < dims.size(); ++i) {
      int64_t &extent = result[skip + i];
      if (dims[i] == 1 || dims[i] == extent)
        continue;
      // An unknown extent may be 1; a known one other than 1 then wins.
      if (extent == 1 || extent == kUnknownDim)
        extent = dims[i] == kUnknownDim ? kUnknownDim : dims[i];
    }
  }
  return result;
}

static void like(const NodeInfo &node, shape::Results results, unsigned input) {
  const ValueType *type = node.getInput(input);
  for (ValueType &result : results)
    if (type && type->hasRank())
      result.dims = type->dims;
}

void shape::likeFirst(const NodeInfo &node, Results results) {
  like(node, results, 0);
}

void shape::firstLikeFirst(const NodeInfo &node, Results results) {
  like(node, results.take_front(1), 0);
}

void shape::likeSecond(const NodeInfo &node, Results results) {
  like(node, results, 1);
}

void shape::rankOfFirst(const NodeInfo &node, Results results) {
  const ValueType *type = node.getInput(0);
  for (ValueType &result : results)
    if (type && type->hasRank())
      setRank(result, type->getRank());
}

/// Shapes of all operands, or nothing if the rank of one is unknown.
static std::optional<llvm::SmallVector<ArrayRef<int64_t>>>
allShapes(const NodeInfo &node) {
  llvm::SmallVector<ArrayRef<int64_t>> shapes;
  for (unsigned i = 0, e = node.getNumInputs(); i < e; ++i) {
    const ValueType *type = node.getInput(i);
    if (!type)
      continue;
    if (!type->hasRank())
      return std::nullopt;
    shapes.push_back(*type->dims);
  }
  return shapes;
}

void shape::broadcastAll(const NodeInfo &node, Results results) {
  auto shapes = allShapes(node);
  if (!shapes)
    return;
  Dims dims = broadcast(*shapes);
  for (ValueType &result : results)
    result.dims = dims;
}

void shape::scalar(const NodeInfo &, Results results) {
  for (ValueType &result : results)
    setRank(result, 0);
}

void shape::vector(const NodeInfo &, Results results) {
  for (ValueType &result : results)
    setRank(result, 1);
}

std::string check::isInRange(const char *what, int64_t axis, int64_t extent) {
  if (shape::normalizeAxis(axis, extent))
    return "";
  return std::string(what) + " " + std::to_string(axis) + " is outside [" +
         std::to_string(-extent) + ", " + std::to_string(extent) + ")";
}

std::string check::axis(const NodeInfo &node) {
  const ValueType *type = shape::ranked(node, 0);
  std::optional<int64_t> axis = node.getInt("axis");
  if (!axis || !type)
    return "";
  return isInRange("axis", *axis, type->getRank());
}

std::string check::rankAtLeast(const NodeInfo &node, int64_t rank) {
  const ValueType *type = shape::ranked(node, 0);
  if (!type || type->getRank() >= rank)
    return "";
  return "operand 0 has rank " + std::to_string(type->getRank()) +
         ", wanted is " + std::to_string(rank) + " or more";
}

static bool isUnlike(int64_t a, int64_t b) {
  return a != kUnknownDim && b != kUnknownDim && a != b;
}

std::string check::broadcastsToFirst(const NodeInfo &node, unsigned operand) {
  const ValueType *to = shape::ranked(node, 0);
  const ValueType *type = shape::ranked(node, operand);
  if (!to || !type)
    return "";
  std::string label = "input " + std::to_string(operand);
  if (type->getRank() > to->getRank())
    return label + " has rank " + std::to_string(type->getRank()) +
           ", operand 0 has " + std::to_string(to->getRank());
  for (auto [extent, wanted] :
       llvm::zip(llvm::reverse(*type->dims), llvm::reverse(*to->dims)))
    if (extent != 1 && isUnlike(extent, wanted))
      return label + " has extent " + std::to_string(extent) +
             " where operand 0 has " + std::to_string(wanted);
  return "";
}

std::string check::perChannel(const NodeInfo &node, unsigned operand) {
  const ValueType *to = shape::ranked(node, 0);
  const ValueType *type = shape::ranked(node, operand);
  if (!to || !type)
    return "";
  std::string label = "input " + std::to_string(operand);
  if (type->getRank() != 1)
    return label + " has rank " + std::to_string(type->getRank()) +
           ", wanted is 1";
  int64_t channels = to->getRank() > 1 ? (*to->dims)[1] : 1;
  if (isUnlike((*type->dims)[0], channels))
    return label + " has " + std::to_string((*type->dims)[0]) +
           " entries for " + std::to_string(channels) + " channels";
  return "";
}

std::string check::broadcasts(const NodeInfo &node) {
  auto shapes = allShapes(node);
  if (!shapes)
    return "";
  shape::Dims known;
  for (ArrayRef<int64_t> dims : *shapes) {
    if (known.size() < dims.size())
      known.insert(known.begin(), dims.size() - known.size(), 1);
    size_t skip = known.size() - dims.size();
    for (size_t i = 0; i < dims.size(); ++i) {
      int64_t &extent = known[skip + i];
      if (dims[i] == 1 || dims[i] == kUnknownDim || dims[i] == extent)
        continue;
      if (extent == 1 || extent == kUnknownDim) {
        extent = dims[i];
        continue;
      }
      return "extents " + std::to_string(extent) + " and " +
             std::to_string(dims[i]) + " do not broadcast";
    }
  }
  return "";
}
