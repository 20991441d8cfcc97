//===- Text.h - printer and parser of index expressions ----------*- C++
//-*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   poly := ['-'] product { ('+' | '-') product }
//   product := factor { '*' factor }
//   factor := integer | real | inf | nan | name | 'quoted name' | iN | tN
//           | '(' poly ')' | read(N, [poly, ...])
//           | fdiv(p, q) | mod(p, q) | min(p, ...) | max(p, ...) | abs(p)
//           | sel(pred, p, q) | sum(tN, upper, body)
//           | log cos sin exp sqrt tanh sigmoid trunc floor ceil recip (p)
//           | pow div tdiv (p, q)
//   pred := true | false | poly (>= | <= | > | < | == | !=) poly
//         | not(pred) | '(' pred {and pred} ')' | '(' pred {or pred} ')'
//
// `p < q` and `p > q` mean `q - p - 1 >= 0` and are for integers. What is
// printed depends on the term only, not on the order in which a context built
// its terms, and parses back to the same term.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INDEXEXPR_TEXT_H
#define LATHE_INDEXEXPR_TEXT_H

#include "lathe/IndexExpr/IndexExpr.h"
#include "llvm/Support/Error.h"
#include <string>

namespace lathe {

/// Prints read ids through this map if it is given.
using ReadNumberFn = llvm::function_ref<unsigned(unsigned id)>;

std::string toString(Poly p, ReadNumberFn readNumber = {});
std::string toString(Pred p, ReadNumberFn readNumber = {});
/// "<none>" for a null term.
std::string toString(IndexExpr e, ReadNumberFn readNumber = {});
/// "[e0, e1]".
std::string toString(llvm::ArrayRef<IndexExpr> list,
                     ReadNumberFn readNumber = {});
std::string toString(llvm::ArrayRef<Poly> list, ReadNumberFn readNumber = {});

struct ParseOptions {
  /// Simplifies under these extents.
  Extents extents;
  /// The id for `read(n, ...)` is readIds[n]; n past the end is an error. If
  /// not given, the id is n.
  std::optional<llvm::ArrayRef<unsigned>> readIds;
};

/// The whole text must be one term. The error says what is wrong and at which
/// column.
llvm::Expected<Poly> parsePoly(IndexExprContext &context, llvm::StringRef text,
                               const ParseOptions &options = {});
llvm::Expected<Pred> parsePred(IndexExprContext &context, llvm::StringRef text,
                               const ParseOptions &options = {});
/// Either kind.
llvm::Expected<IndexExpr> parseIndexExpr(IndexExprContext &context,
                                         llvm::StringRef text,
                                         const ParseOptions &options = {});
/// "[e0, e1, ...]".
llvm::Expected<llvm::SmallVector<IndexExpr>>
parseIndexExprList(IndexExprContext &context, llvm::StringRef text,
                   const ParseOptions &options = {});

} // namespace lathe

#endif // LATHE_INDEXEXPR_TEXT_H
