//===- Expr.h - integer expressions over dims -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shapes and checks of a manifest are expressions over the entry's dims. `Expr`
// is the tree that the compiler builds and the JSON shows; `ExprCode` is the
// same against an ordered list of dims, evaluated without allocation.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_EXPR_H
#define LATHE_RUNTIME_EXPR_H

#include "lathe/Runtime/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lathe::rt {

/// An integer expression: integer, dim name, or an operation on expressions.
struct Expr {
  enum class Kind : uint8_t {
    Constant,
    Dim,
    Add,
    Mul,
    FloorDiv,
    Mod,
    Min,
    Max
  };

  Kind kind = Kind::Constant;
  int64_t value = 0;      ///< Constant
  std::string name;       ///< Dim
  std::vector<Expr> args; ///< Add, Mul, Min, Max: one or more; others: two

  Expr() = default;
  /// A constant; implicit so that shapes read `{dim("batch"), 12}`.
  Expr(int64_t value) : value(value) {}

  static Expr dim(std::string name);
  static Expr op(Kind kind, std::vector<Expr> args);

  bool operator==(const Expr &other) const;
  bool operator!=(const Expr &other) const { return !(*this == other); }

  /// Readable text: `past + seq`, `min(4, 2*seq)`.
  std::string str() const;
};

/// An expression compiled against an ordered list of dims.
class ExprCode {
public:
  /// Fails on a name that `dims` lacks, a wrong number of operands, or nesting
  /// beyond 32 levels.
  static Result<ExprCode> compile(const Expr &expr,
                                  const std::vector<std::string> &dims);

  /// Value at `dims`; false on overflow or a division by zero.
  [[nodiscard]] bool evaluate(const int64_t *dims, int64_t &result) const;

  /// The dims it names, as indices, ascending, each once.
  const std::vector<unsigned> &uses() const { return used; }

  /// True if this is dim `uses()[0]` itself.
  bool isDim() const {
    return ops.size() == 1 && ops[0].kind == Expr::Kind::Dim;
  }

  /// With all dims but `unknown` given, this is `scale * unknown + offset`;
  /// false if it is not affine in `unknown`, or on overflow.
  [[nodiscard]] bool affineIn(unsigned unknown, const int64_t *dims,
                              int64_t &scale, int64_t &offset) const;

private:
  struct Op {
    Expr::Kind kind;
    int64_t operand; ///< value of a constant, index of a dim
  };
  Status append(const Expr &expr, const std::vector<std::string> &dims,
                unsigned depth);

  std::vector<Op> ops; ///< reverse Polish, binary
  std::vector<unsigned> used;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_EXPR_H
