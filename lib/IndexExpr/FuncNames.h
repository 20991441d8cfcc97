//===- FuncNames.h - names of functions in text -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_INDEXEXPR_FUNCNAMES_H
#define LATHE_LIB_INDEXEXPR_FUNCNAMES_H

#include "lathe/IndexExpr/IndexExpr.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe {
namespace detail {

struct FuncInfo {
  llvm::StringLiteral name;
  Func func;
  unsigned arity;
};

inline constexpr FuncInfo kFuncs[] = {
    {"log", Func::Log, 1},         {"cos", Func::Cos, 1},
    {"sin", Func::Sin, 1},         {"exp", Func::Exp, 1},
    {"sqrt", Func::Sqrt, 1},       {"tanh", Func::Tanh, 1},
    {"sigmoid", Func::Sigmoid, 1}, {"pow", Func::Pow, 2},
    {"div", Func::Div, 2},         {"trunc", Func::Trunc, 1},
    {"tdiv", Func::TruncDiv, 2},   {"floor", Func::Floor, 1},
    {"ceil", Func::Ceil, 1},       {"recip", Func::Recip, 1},
};

/// True for "i7" given 'i'.
inline bool isNumbered(llvm::StringRef name, char prefix) {
  return name.size() > 1 && name[0] == prefix &&
         llvm::all_of(name.drop_front(), llvm::isDigit);
}

/// Words that a named dim may not be unless it is quoted.
inline bool isReserved(llvm::StringRef name) {
  constexpr llvm::StringLiteral words[] = {
      "true", "false", "and", "or",  "not", "inf", "nan", "read",
      "fdiv", "mod",   "min", "max", "abs", "sel", "sum"};
  for (llvm::StringRef word : words)
    if (name == word)
      return true;
  for (const FuncInfo &info : kFuncs)
    if (name == info.name)
      return true;
  return isNumbered(name, 'i') || isNumbered(name, 't');
}

inline bool isWordStart(char c) { return llvm::isAlpha(c) || c == '_'; }
inline bool isWordChar(char c) {
  return llvm::isAlnum(c) || c == '_' || c == '.';
}

} // namespace detail
} // namespace lathe

#endif // LATHE_LIB_INDEXEXPR_FUNCNAMES_H
