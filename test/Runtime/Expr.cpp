//===- Expr.cpp - tests of expressions and dims ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Check.h"
#include "lathe/Runtime/DimSolver.h"

using namespace lathe::rt;
using Kind = Expr::Kind;

static const std::vector<std::string> dims = {"batch", "past", "seq"};
static Expr seq() { return Expr::dim("seq"); }
static Expr past() { return Expr::dim("past"); }

static int64_t evaluate(const Expr &expr, std::vector<int64_t> values) {
  int64_t result = -999;
  CHECK(take(ExprCode::compile(expr, dims)).evaluate(values.data(), result));
  return result;
}

static bool exists(const Expr &expr, std::vector<int64_t> values) {
  int64_t result;
  return take(ExprCode::compile(expr, dims)).evaluate(values.data(), result);
}

static void testEvaluate() {
  Expr total = Expr::op(Kind::Add, {past(), seq(), 1});
  CHECK(evaluate(total, {1, 3, 5}) == 9);
  CHECK(total.str() == "past + seq + 1");
  CHECK(evaluate(Expr::op(Kind::Mul, {total, 2, seq()}), {1, 3, 5}) == 90);
  CHECK(Expr::op(Kind::Mul, {2, total}).str() == "2*(past + seq + 1)");
  CHECK(evaluate(Expr::op(Kind::FloorDiv, {-7, 2}), {0, 0, 0}) == -4);
  CHECK(evaluate(Expr::op(Kind::FloorDiv, {7, -2}), {0, 0, 0}) == -4);
  CHECK(evaluate(Expr::op(Kind::Mod, {-7, 2}), {0, 0, 0}) == 1);
  CHECK(evaluate(Expr::op(Kind::Mod, {7, -2}), {0, 0, 0}) == -1);
  CHECK(evaluate(Expr::op(Kind::Min, {seq(), 4, past()}), {0, 9, 5}) == 4);
  CHECK(evaluate(Expr::op(Kind::Max, {seq()}), {0, 9, 5}) == 5);
  CHECK(!exists(Expr::op(Kind::FloorDiv, {1, past()}), {1, 0, 1}));
  CHECK(!exists(Expr::op(Kind::FloorDiv, {INT64_MIN, -1}), {1, 0, 1}));
  CHECK(!exists(Expr::op(Kind::Mul, {seq(), seq()}), {0, 0, int64_t(1) << 32}));
  CHECK(!exists(Expr::op(Kind::Add, {seq(), INT64_MAX}), {0, 0, 1}));
}

static void testCompileErrors() {
  checkFails(ExprCode::compile(Expr::dim("total"), dims), "unknown dim");
  checkFails(ExprCode::compile(Expr::op(Kind::Mod, {1}), dims), "operands");
  checkFails(ExprCode::compile(Expr::op(Kind::Add, {}), dims), "operands");
  Expr deep = seq();
  for (int i = 0; i < 100; ++i)
    deep = Expr::op(Kind::Add, {1, deep});
  checkFails(ExprCode::compile(deep, dims), "too deeply");
}

static void testAffine() {
  int64_t scale, offset;
  std::vector<int64_t> values = {2, 3, 0};
  ExprCode code = take(ExprCode::compile(
      Expr::op(Kind::Add, {Expr::op(Kind::Mul, {past(), seq()}), past(), -1}),
      dims));
  CHECK(code.affineIn(2, values.data(), scale, offset));
  CHECK(scale == 3 && offset == 2);
  code = take(ExprCode::compile(Expr::op(Kind::Min, {seq(), 4}), dims));
  CHECK(!code.affineIn(2, values.data(), scale, offset));
}

static ValueDecl input(const char *name, std::vector<Expr> shape) {
  ValueDecl decl;
  decl.name = name;
  decl.dtype = DType::I64;
  decl.shape = std::move(shape);
  return decl;
}

static void testSolver() {
  Entry entry;
  entry.name = "plain";
  entry.dims = dims;
  entry.aliases = {{"total", Expr::op(Kind::Add, {past(), seq()})},
                   {"length", seq()}};
  // The mask comes first: its dim cannot be solved before the ids' is known.
  entry.inputs = {
      input("mask", {Expr::dim("batch"), Expr::op(Kind::Add, {past(), seq()})}),
      input("ids", {Expr::dim("batch"), Expr::op(Kind::Mul, {2, seq()})})};
  entry.checks = {{Check::Op::AtMost, seq(), 100, "the window is full"}};
  DimSolver solver = take(DimSolver::create(entry));

  auto view = [](const std::vector<int64_t> &shape) {
    return TensorView{DType::I64, shape.data(), unsigned(shape.size()),
                      nullptr};
  };
  std::vector<int64_t> mask = {2, 8}, ids = {2, 10}, odd = {2, 9},
                       other = {3, 10}, flat = {10}, longer = {2, 20};
  checkOk(solver.addInput(0, view(mask)));
  checkOk(solver.addInput(1, view(ids)));
  checkOk(solver.solve());
  checkOk(solver.check());
  CHECK(solver.values() == std::vector<int64_t>{2, 3, 5});
  int64_t size;
  CHECK(solver.inputDim(0, 1, size) && size == 8);

  solver.reset();
  checkOk(solver.addInput(1, view(odd)));
  checkFails(solver.solve(), "input 'ids': axis 1 is 9, but the model has "
                             "2*seq there");
  solver.reset();
  checkOk(solver.addInput(0, view(mask)));
  checkOk(solver.addInput(1, view(other)));
  checkFails(solver.solve(), "input 'ids': axis 0 is 3, but the model has "
                             "batch there, with batch = 2");
  solver.reset();
  checkOk(solver.addInput(0, view(mask)));
  checkOk(solver.addInput(1, view(longer)));
  checkFails(solver.solve(), "axis 1 is 8, but the model has past + seq there, "
                             "with seq = 10");
  solver.reset();
  checkFails(solver.addInput(1, view(flat)),
             "has shape [10], but the model takes [batch, 2*seq]");

  // Aliases and derived names take part.
  solver.reset();
  checkOk(solver.set("length", 4));
  checkOk(solver.set("total", 6));
  checkOk(solver.solve());
  CHECK(solver.isKnown(1) && solver.values()[1] == 2);
  CHECK(solver.unknownNames() == "batch");
  checkFails(solver.set("sequence", 4),
             "there is no dim 'sequence'; the names are batch, past, seq, "
             "total, length");
  checkFails(solver.set("batch", -4), "cannot be -4");

  solver.reset();
  checkOk(solver.set("total", 6));
  checkOk(solver.set("seq", 7));
  checkFails(solver.solve(), "dim 'total' is set to 6");
  solver.reset();
  for (const char *name : {"batch", "past"})
    checkOk(solver.set(name, 1));
  checkOk(solver.set("seq", 101));
  checkOk(solver.solve());
  checkFails(solver.check(), "the window is full (seq must be at most 100; "
                             "batch = 1, past = 1, seq = 101)");
}

int main() {
  testEvaluate();
  testCompileErrors();
  testAffine();
  testSolver();
  return 0;
}
