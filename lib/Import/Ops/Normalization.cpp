//===- Normalization.cpp - Normalizations ---------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"
#include <cmath>

using namespace lathe;
using shape::firstLikeFirst;
using shape::likeFirst;

static std::string checkEpsilon(const NodeInfo &node) {
  std::optional<float> epsilon = node.getFloat("epsilon");
  if (epsilon && !(*epsilon >= 0 && std::isfinite(*epsilon)))
    return "epsilon is negative or not a number";
  return check::axis(node);
}

/// Scale and bias are per group before opset 21, per channel from it on.
template <bool perGroup>
static std::string checkGroups(const NodeInfo &node) {
  int64_t groups = node.getInt("num_groups").value_or(1);
  if (groups < 1)
    return "num_groups is not positive";
  const ValueType *type = node.getInput(0);
  if (type && type->hasRank() && type->getRank() >= 2) {
    int64_t channels = (*type->dims)[1];
    if (channels != kUnknownDim && channels % groups != 0)
      return std::to_string(channels) + " channels do not divide into " +
             std::to_string(groups) + " groups";
  }
  for (unsigned operand : {1, 2}) {
    const ValueType *vector = node.getInput(operand);
    std::string problem;
    if (!perGroup)
      problem = check::perChannel(node, operand);
    else if (vector && vector->hasRank() &&
             (vector->getRank() != 1 || ((*vector->dims)[0] != kUnknownDim &&
                                         (*vector->dims)[0] != groups)))
      problem = "input " + std::to_string(operand) + " wants " +
                std::to_string(groups) + " entries, one per group";
    if (!problem.empty())
      return problem;
  }
  return checkEpsilon(node);
}

static std::string checkBatchNorm(const NodeInfo &node) {
  if (node.getInt("training_mode").value_or(0))
    return "training mode is not supported";
  if (node.getNumOutputs() > 1)
    return "outputs of the training mode are not supported";
  for (unsigned operand : {1, 2, 3, 4})
    if (std::string problem = check::perChannel(node, operand);
        !problem.empty())
      return problem;
  return checkEpsilon(node);
}

static std::string checkLayerNorm(const NodeInfo &node) {
  const ValueType *type = node.getInput(0);
  if (type && type->hasRank() && type->getRank() == 0)
    return "operand 0 has rank 0";
  for (unsigned operand : {1, 2})
    if (std::string problem = check::broadcastsToFirst(node, operand);
        !problem.empty())
      return problem;
  return checkEpsilon(node);
}

static std::string checkInstanceNorm(const NodeInfo &node) {
  for (unsigned operand : {1, 2})
    if (std::string problem = check::perChannel(node, operand);
        !problem.empty())
      return problem;
  std::string problem = check::rankAtLeast(node, 3);
  return problem.empty() ? checkEpsilon(node) : problem;
}

static std::string checkLrn(const NodeInfo &node) {
  if (node.getInt("size").value_or(1) < 1)
    return "size is not positive";
  return check::rankAtLeast(node, 2);
}

static constexpr OpRow kRows[] = {
    {"BatchNormalization", 7, "X:T{float}, scale:T, B:T, mean:T, var:T",
     "Y:T, mean?:T, var?:T, saved_mean?:T, saved_var?:T",
     "epsilon:float=1e-05, momentum:float=0.9, spatial:int=1", firstLikeFirst,
     checkBatchNorm},
    {"BatchNormalization", 9, "X:T{float}, scale:T, B:T, mean:T, var:T",
     "Y:T, mean?:T, var?:T, saved_mean?:T, saved_var?:T",
     "epsilon:float=1e-05, momentum:float=0.9", firstLikeFirst, checkBatchNorm},
    {"BatchNormalization", 14,
     "X:T{float}, scale:T1{float}, B:T1, input_mean:T2{float}, input_var:T2",
     "Y:T, running_mean?:T2, running_var?:T2",
     "epsilon:float=1e-05, momentum:float=0.9, training_mode:int=0",
     firstLikeFirst, checkBatchNorm},
    {"GroupNormalization", 18, "X:T{float}, scale:T, bias:T", "Y:T",
     "epsilon:float=1e-05, num_groups:int!", likeFirst, checkGroups<true>},
    {"GroupNormalization", 21, "X:T{float}, scale:T, bias:T", "Y:T",
     "epsilon:float=1e-05, num_groups:int!, stash_type:int=1", likeFirst,
     checkGroups<false>},
    {"InstanceNormalization", 6, "input:T{float}, scale:T, B:T", "output:T",
     "epsilon:float=1e-05", likeFirst, checkInstanceNorm},
    {"LRN", 1, "X:T{float}", "Y:T",
     "alpha:float=0.0001, beta:float=0.75, bias:float=1.0, size:int!",
     likeFirst, checkLrn},
    {"LayerNormalization", 17, "X:T{float}, Scale:T, B?:T",
     "Y:T, Mean?:@stash_type, InvStdDev?:@stash_type",
     "axis:int=-1, epsilon:float=1e-05, stash_type:int=1", firstLikeFirst,
     checkLayerNorm},
    {"LpNormalization", 1, "input:T{float}", "output:T", "axis:int=-1, p:int=2",
     likeFirst, check::axis},
    {"MeanVarianceNormalization", 9, "X:T{float}", "Y:T", "axes:ints=[0 2 3]",
     likeFirst},
    {"RMSNormalization", 23, "X:T{float}, scale:V{float}", "Y:V",
     "axis:int=-1, epsilon:float=1e-05, stash_type:int=1", likeFirst,
     checkLayerNorm},
    // ONNX Runtime's own, which it puts into the default domain.
    {"SimplifiedLayerNormalization", 1, "X:T{float}, scale:V{float}",
     "Y:V, inv_std_var?:f32",
     "axis:int=-1, epsilon:float=1e-05, stash_type:int=1", firstLikeFirst,
     checkLayerNorm},
};

llvm::ArrayRef<OpRow> lathe::normalizationOps() { return kRows; }
