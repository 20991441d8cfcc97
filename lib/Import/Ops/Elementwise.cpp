//===- Elementwise.cpp - Arithmetic, comparison, logic, casts -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Families.h"
#include "ShapeRules.h"

using namespace lathe;
using shape::broadcastAll;
using shape::likeFirst;

static std::string checkShift(const NodeInfo &node) {
  llvm::StringRef direction = node.getString("direction").value_or("");
  if (direction != "LEFT" && direction != "RIGHT")
    return "direction is '" + direction.str() + "', wanted is LEFT or RIGHT";
  return check::broadcasts(node);
}

static constexpr OpRow kRows[] = {
    // One operand.
    {"Abs", 6, "X:T{num}", "Y:T", "", likeFirst},
    {"Acos", 7, "input:T{float}", "output:T", "", likeFirst},
    {"Acosh", 9, "input:T{float}", "output:T", "", likeFirst},
    {"Asin", 7, "input:T{float}", "output:T", "", likeFirst},
    {"Asinh", 9, "input:T{float}", "output:T", "", likeFirst},
    {"Atan", 7, "input:T{float}", "output:T", "", likeFirst},
    {"Atanh", 9, "input:T{float}", "output:T", "", likeFirst},
    {"BitwiseNot", 18, "X:T{int}", "Y:T", "", likeFirst},
    {"Ceil", 6, "X:T{float}", "Y:T", "", likeFirst},
    {"Cos", 7, "input:T{float}", "output:T", "", likeFirst},
    {"Cosh", 9, "input:T{float}", "output:T", "", likeFirst},
    {"Dropout", 7, "data:T{float}", "output:T, mask?:T", "ratio:float=0.5",
     likeFirst},
    {"Dropout", 10, "data:T{float}", "output:T, mask?:bool", "ratio:float=0.5",
     likeFirst},
    {"Dropout", 12, "data:T{any}, ratio?:T1{any}, training_mode?:bool",
     "output:T, mask?:bool", "seed:int", likeFirst},
    {"Erf", 9, "input:T{num}", "output:T", "", likeFirst},
    {"Exp", 6, "input:T{float}", "output:T", "", likeFirst},
    {"Floor", 6, "X:T{float}", "Y:T", "", likeFirst},
    {"Identity", 1, "input:T{any}", "output:T", "", likeFirst},
    {"IsInf", 10, "X:T1{any}", "Y:bool",
     "detect_negative:int=1, detect_positive:int=1", likeFirst},
    {"IsNaN", 9, "X:T1{any}", "Y:bool", "", likeFirst},
    {"Log", 6, "input:T{float}", "output:T", "", likeFirst},
    {"Neg", 6, "X:T{num}", "Y:T", "", likeFirst},
    {"Not", 1, "X:T{bool}", "Y:T", "", likeFirst},
    {"Reciprocal", 6, "X:T{float}", "Y:T", "", likeFirst},
    {"Round", 11, "X:T{float}", "Y:T", "", likeFirst},
    {"Sign", 9, "input:T{num}", "output:T", "", likeFirst},
    {"Sin", 7, "input:T{float}", "output:T", "", likeFirst},
    {"Sinh", 9, "input:T{float}", "output:T", "", likeFirst},
    {"Sqrt", 6, "X:T{float}", "Y:T", "", likeFirst},
    {"Tan", 7, "input:T{float}", "output:T", "", likeFirst},

    // Casts.
    {"BitCast", 26, "input:T1{any}", "output:@to", "to:int!", likeFirst},
    {"Cast", 6, "input:T1{any}", "output:@to", "to:int!", likeFirst},
    {"Cast", 19, "input:T1{any}", "output:@to", "saturate:int=1, to:int!",
     likeFirst},
    {"Cast", 24, "input:T1{any}", "output:@to",
     "round_mode:string=up, saturate:int=1, to:int!", likeFirst},
    {"CastLike", 15, "input:T1{any}, target_type:T2{any}", "output:T2", "",
     likeFirst},
    {"CastLike", 19, "input:T1{any}, target_type:T2{any}", "output:T2",
     "saturate:int=1", likeFirst},
    {"CastLike", 24, "input:T1{any}, target_type:T2{any}", "output:T2",
     "round_mode:string=up, saturate:int=1", likeFirst},

    // Two operands. Before opset 7 broadcasting was an attribute.
    {"Add", 7, "A:T{num}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"And", 7, "A:T{bool}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"BitShift", 11, "X:T{int}, Y:T", "Z:T", "direction:string!", broadcastAll,
     checkShift},
    {"BitwiseAnd", 18, "A:T{int}, B:T", "C:T", "", broadcastAll,
     check::broadcasts},
    {"BitwiseOr", 18, "A:T{int}, B:T", "C:T", "", broadcastAll,
     check::broadcasts},
    {"BitwiseXor", 18, "A:T{int}, B:T", "C:T", "", broadcastAll,
     check::broadcasts},
    {"Div", 7, "A:T{num}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"Equal", 7, "A:T{any}, B:T", "C:bool", "", broadcastAll,
     check::broadcasts},
    {"Greater", 7, "A:T{num}, B:T", "C:bool", "", broadcastAll,
     check::broadcasts},
    {"GreaterOrEqual", 12, "A:T{num}, B:T", "C:bool", "", broadcastAll,
     check::broadcasts},
    {"Less", 7, "A:T{num}, B:T", "C:bool", "", broadcastAll, check::broadcasts},
    {"LessOrEqual", 12, "A:T{num}, B:T", "C:bool", "", broadcastAll,
     check::broadcasts},
    {"Mod", 10, "A:T{num}, B:T", "C:T", "fmod:int=0", broadcastAll,
     check::broadcasts},
    {"Mul", 7, "A:T{num}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"Or", 7, "A:T{bool}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"Pow", 7, "X:T{num}, Y:T1{num}", "Z:T", "", broadcastAll,
     check::broadcasts},
    {"Sub", 7, "A:T{num}, B:T", "C:T", "", broadcastAll, check::broadcasts},
    {"Xor", 7, "A:T{bool}, B:T", "C:T", "", broadcastAll, check::broadcasts},

    // More operands.
    {"Clip", 6, "input:T{float}", "output:T",
     "max:float=3.402823e+38, min:float=-3.402823e+38", likeFirst},
    {"Clip", 11, "input:T{num}, min?:T, max?:T", "output:T", "", likeFirst},
    {"Max", 6, "data_0+:T{num}", "max:T", "", broadcastAll, check::broadcasts},
    {"Mean", 6, "data_0+:T{float}", "mean:T", "", broadcastAll,
     check::broadcasts},
    {"Min", 6, "data_0+:T{num}", "min:T", "", broadcastAll, check::broadcasts},
    {"Sum", 6, "data_0+:T{float}", "sum:T", "", broadcastAll,
     check::broadcasts},
    {"Where", 9, "condition:bool, X:T{any}, Y:T", "output:T", "", broadcastAll,
     check::broadcasts},
};

llvm::ArrayRef<OpRow> lathe::elementwiseOps() { return kRows; }
