//===- DimSolver.cpp - dims of an entry from the shapes of its inputs -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/DimSolver.h"

#include "lathe/Runtime/Checked.h"

#include <algorithm>

using namespace lathe::rt;

Result<DimSolver> DimSolver::create(const Entry &entry) {
  DimSolver solver;
  solver.entry = &entry;
  auto compile = [&](const Expr &expr, std::vector<ExprCode> &codes) -> Status {
    Result<ExprCode> code = ExprCode::compile(expr, entry.dims);
    if (code.failed())
      return code.takeStatus();
    codes.push_back(std::move(*code));
    return Status::ok();
  };
  for (const ValueDecl &input : entry.inputs) {
    std::vector<ExprCode> &shape = solver.inputShapes.emplace_back();
    for (const Expr &dim : input.shape)
      if (Status status = compile(dim, shape); status.failed())
        return status;
  }
  for (const auto &alias : entry.aliases)
    if (Status status = compile(alias.second, solver.aliasCodes);
        status.failed())
      return status;
  for (const Check &check : entry.checks)
    for (const Expr *side : {&check.left, &check.right})
      if (Status status = compile(*side, solver.checkCodes); status.failed())
        return status;
  solver.reset();
  return solver;
}

void DimSolver::reset() {
  equations.clear();
  dims.assign(entry->dims.size(), 0);
  known.assign(entry->dims.size(), false);
}

int DimSolver::find(const std::string &name) const {
  auto found = std::find(entry->dims.begin(), entry->dims.end(), name);
  return found == entry->dims.end() ? -1 : found - entry->dims.begin();
}

void DimSolver::setDim(unsigned dim, int64_t value) {
  dims[dim] = value;
  known[dim] = true;
}

Status DimSolver::set(const std::string &name, int64_t value) {
  if (value < 0)
    return Status::error("dim '" + name + "' cannot be " +
                         std::to_string(value));
  if (int dim = find(name); dim >= 0) {
    if (known[dim] && dims[dim] != value)
      return Status::error("dim '" + name + "' is set to " +
                           std::to_string(dims[dim]) + " and to " +
                           std::to_string(value));
    setDim(dim, value);
    return Status::ok();
  }
  for (unsigned i = 0; i < entry->aliases.size(); ++i)
    if (entry->aliases[i].first == name) {
      equations.push_back({&aliasCodes[i], value, -1, i});
      return Status::ok();
    }
  std::string names;
  for (const std::string &dim : entry->dims)
    names += (names.empty() ? "" : ", ") + dim;
  for (const auto &alias : entry->aliases)
    names += (names.empty() ? "" : ", ") + alias.first;
  return Status::error(
      "there is no dim '" + name + "'; " +
      (names.empty() ? "all dims are fixed" : "the names are " + names));
}

Status DimSolver::addInput(unsigned index, const TensorView &tensor) {
  const ValueDecl &input = entry->inputs[index];
  if (tensor.dtype != input.dtype)
    return Status::error("input '" + input.name + "' is " +
                         dtypeName(tensor.dtype) + ", but the model takes " +
                         dtypeName(input.dtype));
  if (tensor.rank != input.shape.size()) {
    std::string shape;
    for (const Expr &dim : input.shape)
      shape += (shape.empty() ? "" : ", ") + dim.str();
    return Status::error("input '" + input.name + "' has shape " +
                         shapeText(tensor.shape, tensor.rank) +
                         ", but the model takes [" + shape + "]");
  }
  for (unsigned axis = 0; axis < tensor.rank; ++axis)
    equations.push_back(
        {&inputShapes[index][axis], tensor.shape[axis], int(index), axis});
  return Status::ok();
}

std::string DimSolver::describe(const Equation &equation) const {
  std::string text;
  const Expr *expr;
  if (equation.input < 0) {
    const auto &alias = entry->aliases[equation.axis];
    text =
        "dim '" + alias.first + "' is set to " + std::to_string(equation.value);
    expr = &alias.second;
  } else {
    const ValueDecl &input = entry->inputs[equation.input];
    text = "input '" + input.name + "': axis " + std::to_string(equation.axis) +
           " is " + std::to_string(equation.value);
    expr = &input.shape[equation.axis];
  }
  text += ", but the model has " + expr->str() + " there";
  std::string values;
  if (expr->kind == Expr::Kind::Constant)
    return text;
  for (unsigned dim : equation.code->uses())
    if (known[dim])
      values += (values.empty() ? "" : ", ") + entry->dims[dim] + " = " +
                std::to_string(dims[dim]);
  return values.empty() ? text : text + ", with " + values;
}

Status DimSolver::solveOne(const Equation &equation, bool &progress) {
  int unknown = -1;
  for (unsigned dim : equation.code->uses()) {
    if (known[dim])
      continue;
    if (unknown >= 0)
      return Status::ok();
    unknown = dim;
  }
  int64_t scale, offset, rest;
  if (unknown < 0) {
    if (!equation.code->evaluate(dims.data(), rest) || rest != equation.value)
      return Status::error(describe(equation));
    return Status::ok();
  }
  if (!equation.code->affineIn(unknown, dims.data(), scale, offset) ||
      scale == 0)
    return Status::ok();
  if (!checkedSub(equation.value, offset, rest) ||
      (scale == -1 && rest == INT64_MIN) || rest % scale != 0 ||
      rest / scale < 0)
    return Status::error(describe(equation));
  setDim(unknown, rest / scale);
  progress = true;
  return Status::ok();
}

Status DimSolver::solve() {
  // Each round decides at least one dim or is the last.
  for (bool progress = true; progress;) {
    progress = false;
    for (const Equation &equation : equations)
      if (Status status = solveOne(equation, progress); status.failed())
        return status;
  }
  return Status::ok();
}

void DimSolver::setDefaults() {
  if (int logits = find(entry->roles.logits); logits >= 0 && !known[logits])
    setDim(logits, 1);
}

bool DimSolver::inputDim(unsigned input, unsigned axis, int64_t &result) const {
  const ExprCode &code = inputShapes[input][axis];
  for (unsigned dim : code.uses())
    if (!known[dim])
      return false;
  return code.evaluate(dims.data(), result);
}

const std::vector<unsigned> &DimSolver::inputDimUses(unsigned input,
                                                     unsigned axis) const {
  return inputShapes[input][axis].uses();
}

std::string DimSolver::unknownNames() const {
  std::string names;
  for (unsigned i = 0; i < known.size(); ++i)
    if (!known[i])
      names += (names.empty() ? "" : ", ") + entry->dims[i];
  return names;
}

Status DimSolver::check() const {
  for (const Equation &equation : equations) {
    int64_t value;
    if (!equation.code->evaluate(dims.data(), value) || value != equation.value)
      return Status::error(describe(equation));
  }
  for (unsigned i = 0; i < entry->checks.size(); ++i) {
    const Check &check = entry->checks[i];
    int64_t left, right;
    bool holds = checkCodes[2 * i].evaluate(dims.data(), left) &&
                 checkCodes[2 * i + 1].evaluate(dims.data(), right) &&
                 (check.op == Check::Op::Equal ? left == right : left <= right);
    if (holds)
      continue;
    std::string values;
    for (unsigned dim = 0; dim < dims.size(); ++dim)
      values += (values.empty() ? "" : ", ") + entry->dims[dim] + " = " +
                std::to_string(dims[dim]);
    return Status::error(
        check.message + " (" + check.left.str() +
        (check.op == Check::Op::Equal ? " must equal " : " must be at most ") +
        check.right.str() + "; " + values + ")");
  }
  return Status::ok();
}
