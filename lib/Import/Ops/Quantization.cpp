//===- Quantization.cpp - Quantization ------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"
#include <cmath>

using namespace lathe;
using shape::likeFirst;
using shape::normalizeAxis;

/// Scale and zero point against operand 0: one for all, one per entry of the
/// axis, or one per block along it.
template <bool divides>
static std::string checkScales(const NodeInfo &node) {
  const ValueType *x = node.getInput(0), *scale = node.getInput(1);
  const ValueType *zero = node.getInput(2);
  int64_t blockSize = node.getInt("block_size").value_or(0);
  if (blockSize < 0)
    return "block_size is negative";
  if (auto numbers = node.getFloatConstant(1))
    for (float number : *numbers)
      if (!std::isfinite(number) || (divides && number == 0))
        return "a scale is 0 or not a number";
  if (!x || !x->hasRank() || !scale || !scale->hasRank())
    return "";
  auto isNumber = [](const ValueType &type) {
    return type.getRank() == 0 || (type.getRank() == 1 && (*type.dims)[0] == 1);
  };
  int64_t rank = scale->getRank();
  bool isPerTensor = isNumber(*scale);
  if (zero && zero->hasRank() && zero->getRank() != rank &&
      !(isPerTensor && isNumber(*zero)))
    return "scale and zero point have unlike ranks";
  if (isPerTensor && blockSize == 0)
    return "";
  std::string problem = check::axis(node);
  if (!problem.empty())
    return problem;
  std::optional<int64_t> axis =
      normalizeAxis(node.getInt("axis").value_or(1), x->getRank());
  if (!axis)
    return "a scale per axis needs an operand with axes";
  int64_t extent = (*x->dims)[*axis];
  if (blockSize == 0) {
    if (rank != 1)
      return "the scale has rank " + std::to_string(rank) +
             ", without blocks 0 or 1 is wanted";
    int64_t length = (*scale->dims)[0];
    if (length != kUnknownDim && extent != kUnknownDim && length != extent)
      return "the scale has " + std::to_string(length) + " entries, axis " +
             std::to_string(*axis) + " has " + std::to_string(extent);
    return "";
  }
  if (rank != x->getRank())
    return "the scale has rank " + std::to_string(rank) + ", the operand " +
           std::to_string(x->getRank());
  int64_t blocks = (*scale->dims)[*axis];
  if (blocks != kUnknownDim && extent != kUnknownDim &&
      blocks != (extent + blockSize - 1) / blockSize)
    return std::to_string(blocks) + " scales for blocks of " +
           std::to_string(blockSize) + " along " + std::to_string(extent);
  return "";
}

static void dynamicShape(const NodeInfo &node, shape::Results results) {
  likeFirst(node, results.take_front(1));
  shape::scalar(node, results.drop_front());
}

static constexpr OpRow kRows[] = {
    {"DequantizeLinear", 10, "x:T{quant}, x_scale:f32, x_zero_point?:T",
     "y:f32", "", likeFirst, checkScales<false>},
    {"DequantizeLinear", 13, "x:T{quant}, x_scale:f32, x_zero_point?:T",
     "y:f32", "axis:int=1", likeFirst, checkScales<false>},
    {"DequantizeLinear", 19, "x:T1{quant}, x_scale:T2{float}, x_zero_point?:T1",
     "y:T2", "axis:int=1", likeFirst, checkScales<false>},
    {"DequantizeLinear", 21, "x:T1{quant}, x_scale:T2{float}, x_zero_point?:T1",
     "y:T2", "axis:int=1, block_size:int=0", likeFirst, checkScales<false>},
    {"DequantizeLinear", 23, "x:T1{quant}, x_scale:T2{any}, x_zero_point?:T1",
     "y:@output_dtype|T2", "axis:int=1, block_size:int=0, output_dtype:int=0",
     likeFirst, checkScales<false>},
    {"DynamicQuantizeLinear", 11, "x:f32", "y:u8, y_scale:f32, y_zero_point:u8",
     "", dynamicShape},
    {"QuantizeLinear", 10, "x:T1{num}, y_scale:f32, y_zero_point?:T2{quant}",
     "y:T2|u8", "", likeFirst, checkScales<true>},
    {"QuantizeLinear", 13, "x:T1{num}, y_scale:f32, y_zero_point?:T2{quant}",
     "y:T2|u8", "axis:int=1", likeFirst, checkScales<true>},
    {"QuantizeLinear", 19, "x:T1{num}, y_scale:T1, y_zero_point?:T2{quant}",
     "y:T2|u8", "axis:int=1, saturate:int=1", likeFirst, checkScales<true>},
    {"QuantizeLinear", 21, "x:T1{num}, y_scale:T1, y_zero_point?:T2{quant}",
     "y:T2|@output_dtype|u8",
     "axis:int=1, block_size:int=0, output_dtype:int=0, saturate:int=1",
     likeFirst, checkScales<true>},
    {"QuantizeLinear", 23,
     "x:T1{num}, y_scale:T2{any}, y_zero_point?:T3{quant}",
     "y:T3|@output_dtype|u8",
     "axis:int=1, block_size:int=0, output_dtype:int=0, precision:int=0, "
     "saturate:int=1",
     likeFirst, checkScales<true>},
};

llvm::ArrayRef<OpRow> lathe::quantizationOps() { return kRows; }
