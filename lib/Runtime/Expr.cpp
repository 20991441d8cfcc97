//===- Expr.cpp - integer expressions over dims -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Expr.h"

#include "lathe/Runtime/Checked.h"

#include <algorithm>
#include <array>

using namespace lathe::rt;

static constexpr unsigned maxDepth = 32;

Expr Expr::dim(std::string name) {
  Expr expr;
  expr.kind = Kind::Dim;
  expr.name = std::move(name);
  return expr;
}

Expr Expr::op(Kind kind, std::vector<Expr> args) {
  Expr expr;
  expr.kind = kind;
  expr.args = std::move(args);
  return expr;
}

bool Expr::operator==(const Expr &other) const {
  return kind == other.kind && value == other.value && name == other.name &&
         args == other.args;
}

static std::string joined(const std::vector<Expr> &args, const char *separator,
                          bool bracketSums) {
  std::string text;
  for (const Expr &arg : args) {
    if (!text.empty())
      text += separator;
    bool bracket = bracketSums && arg.kind == Expr::Kind::Add;
    text += bracket ? "(" + arg.str() + ")" : arg.str();
  }
  return text;
}

std::string Expr::str() const {
  switch (kind) {
  case Kind::Constant:
    return std::to_string(value);
  case Kind::Dim:
    return name;
  case Kind::Add:
    return joined(args, " + ", false);
  case Kind::Mul:
    return joined(args, "*", true);
  case Kind::FloorDiv:
    return "fdiv(" + joined(args, ", ", false) + ")";
  case Kind::Mod:
    return "mod(" + joined(args, ", ", false) + ")";
  case Kind::Min:
    return "min(" + joined(args, ", ", false) + ")";
  case Kind::Max:
    return "max(" + joined(args, ", ", false) + ")";
  }
  return "";
}

Status ExprCode::append(const Expr &expr, const std::vector<std::string> &names,
                        unsigned depth) {
  if (depth == maxDepth)
    return Status::error("expression nested too deeply");
  if (expr.kind == Expr::Kind::Constant) {
    ops.push_back({expr.kind, expr.value});
    return Status::ok();
  }
  if (expr.kind == Expr::Kind::Dim) {
    auto found = std::find(names.begin(), names.end(), expr.name);
    if (found == names.end())
      return Status::error("unknown dim '" + expr.name + "'");
    unsigned index = found - names.begin();
    ops.push_back({expr.kind, index});
    auto at = std::lower_bound(used.begin(), used.end(), index);
    if (at == used.end() || *at != index)
      used.insert(at, index);
    return Status::ok();
  }
  bool pair = expr.kind == Expr::Kind::FloorDiv || expr.kind == Expr::Kind::Mod;
  if (pair ? expr.args.size() != 2 : expr.args.empty())
    return Status::error("wrong number of operands in '" + expr.str() + "'");
  for (size_t i = 0; i < expr.args.size(); ++i) {
    if (Status status = append(expr.args[i], names, depth + 1); status.failed())
      return status;
    if (i > 0)
      ops.push_back({expr.kind, 0});
  }
  return Status::ok();
}

Result<ExprCode> ExprCode::compile(const Expr &expr,
                                   const std::vector<std::string> &dims) {
  ExprCode code;
  if (Status status = code.append(expr, dims, 0); status.failed())
    return status;
  return code;
}

/// a fdiv b and a mod b with the sign of b; false where they do not exist.
static bool floorDivMod(int64_t a, int64_t b, int64_t &quotient,
                        int64_t &remainder) {
  if (b == 0 || (a == INT64_MIN && b == -1))
    return false;
  quotient = a / b;
  remainder = a % b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    --quotient;
    remainder += b;
  }
  return true;
}

static bool applyConstants(Expr::Kind kind, int64_t a, int64_t b,
                           int64_t &result) {
  int64_t other;
  switch (kind) {
  case Expr::Kind::Add:
    return checkedAdd(a, b, result);
  case Expr::Kind::Mul:
    return checkedMul(a, b, result);
  case Expr::Kind::FloorDiv:
    return floorDivMod(a, b, result, other);
  case Expr::Kind::Mod:
    return floorDivMod(a, b, other, result);
  case Expr::Kind::Min:
    result = std::min(a, b);
    return true;
  case Expr::Kind::Max:
    result = std::max(a, b);
    return true;
  default:
    return false;
  }
}

bool ExprCode::evaluate(const int64_t *dims, int64_t &result) const {
  // Operands of an operation stay on the stack while its later siblings are
  // evaluated: one per level of nesting.
  std::array<int64_t, maxDepth + 1> stack;
  unsigned top = 0;
  for (const Op &op : ops) {
    if (op.kind == Expr::Kind::Constant) {
      stack[top++] = op.operand;
    } else if (op.kind == Expr::Kind::Dim) {
      stack[top++] = dims[op.operand];
    } else {
      --top;
      if (!applyConstants(op.kind, stack[top - 1], stack[top], stack[top - 1]))
        return false;
    }
  }
  result = stack[0];
  return top == 1;
}

namespace {
/// scale * unknown + offset.
struct Affine {
  int64_t scale, offset;
};
} // namespace

static bool applyAffine(Expr::Kind kind, Affine a, Affine b, Affine &result) {
  if (a.scale == 0 && b.scale == 0) {
    result.scale = 0;
    return applyConstants(kind, a.offset, b.offset, result.offset);
  }
  if (kind == Expr::Kind::Add)
    return checkedAdd(a.scale, b.scale, result.scale) &&
           checkedAdd(a.offset, b.offset, result.offset);
  if (kind != Expr::Kind::Mul || (a.scale != 0 && b.scale != 0))
    return false;
  int64_t factor = a.scale == 0 ? a.offset : b.offset;
  Affine other = a.scale == 0 ? b : a;
  return checkedMul(other.scale, factor, result.scale) &&
         checkedMul(other.offset, factor, result.offset);
}

bool ExprCode::affineIn(unsigned unknown, const int64_t *dims, int64_t &scale,
                        int64_t &offset) const {
  std::array<Affine, maxDepth + 1> stack;
  unsigned top = 0;
  for (const Op &op : ops) {
    if (op.kind == Expr::Kind::Constant) {
      stack[top++] = {0, op.operand};
    } else if (op.kind == Expr::Kind::Dim) {
      bool isUnknown = op.operand == unknown;
      stack[top++] = {isUnknown, isUnknown ? 0 : dims[op.operand]};
    } else {
      --top;
      if (!applyAffine(op.kind, stack[top - 1], stack[top], stack[top - 1]))
        return false;
    }
  }
  scale = stack[0].scale;
  offset = stack[0].offset;
  return top == 1;
}
