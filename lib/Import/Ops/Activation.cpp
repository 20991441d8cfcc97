//===- Activation.cpp - Activation functions ------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::likeFirst;

static std::string checkGelu(const NodeInfo &node) {
  llvm::StringRef form = node.getString("approximate").value_or("none");
  if (form == "none" || form == "tanh")
    return "";
  return "attribute 'approximate' must be \"none\" or \"tanh\"";
}

static std::string checkPRelu(const NodeInfo &node) {
  return check::broadcastsToFirst(node, 1);
}

static constexpr OpRow kRows[] = {
    {"Celu", 12, "X:T{float}", "Y:T", "alpha:float=1.0", likeFirst},
    {"Elu", 6, "X:T{float}", "Y:T", "alpha:float=1.0", likeFirst},
    {"Gelu", 20, "X:T{float}", "Y:T", "approximate:string=none", likeFirst,
     checkGelu},
    {"HardSigmoid", 6, "X:T{float}", "Y:T", "alpha:float=0.2, beta:float=0.5",
     likeFirst},
    {"HardSwish", 14, "X:T{float}", "Y:T", "", likeFirst},
    {"LeakyRelu", 6, "X:T{float}", "Y:T", "alpha:float=0.01", likeFirst},
    {"Mish", 18, "X:T{float}", "Y:T", "", likeFirst},
    {"PRelu", 7, "X:T{num}, slope:T", "Y:T", "", likeFirst, checkPRelu},
    {"Relu", 6, "X:T{num}", "Y:T", "", likeFirst},
    {"Selu", 6, "X:T{float}", "Y:T",
     "alpha:float=1.673263, gamma:float=1.050701", likeFirst},
    {"Shrink", 9, "input:T{num}", "output:T", "bias:float=0.0, lambd:float=0.5",
     likeFirst},
    {"Sigmoid", 6, "X:T{float}", "Y:T", "", likeFirst},
    {"Softplus", 1, "X:T{float}", "Y:T", "", likeFirst},
    {"Softsign", 1, "input:T{float}", "output:T", "", likeFirst},
    {"SwiGLU", 28, "A:T{float}, B:T", "Y:T", "alpha:float=1.0",
     shape::broadcastAll, check::broadcasts},
    {"Swish", 24, "X:T{float}", "Y:T", "alpha:float=1.0", likeFirst},
    {"Tanh", 6, "input:T{float}", "output:T", "", likeFirst},
    {"ThresholdedRelu", 10, "X:T{float}", "Y:T", "alpha:float=1.0", likeFirst},
};

llvm::ArrayRef<OpRow> lathe::activationOps() { return kRows; }
