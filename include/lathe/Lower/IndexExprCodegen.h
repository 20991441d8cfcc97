//===- IndexExprCodegen.h - index expressions as operations -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Writes the arith, math and scf operations that compute an index expression
/// at one point.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_INDEXEXPRCODEGEN_H
#define LATHE_LOWER_INDEXEXPRCODEGEN_H

#include "lathe/IndexExpr/IndexExpr.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/StringMap.h"
#include <functional>

namespace lathe {

/// Integers are computed as `index`, reals in a float type, predicates as `i1`.
///
/// * A term that mixes integers and reals is computed as ONNX computes it: the
///   integer part exactly, then rounded once (`(past + i1) * inv_freq`).
/// * What reads is inside `scf.if` wherever the expression reads it only under
///   a condition, so that an untaken read has no effect.
class IndexExprCodegen {
public:
  /// The element that a read names, at the position given as values of type
  /// index: an `index`, `i1` or float.
  using ReadFn = std::function<mlir::Value(mlir::ImplicitLocOpBuilder &,
                                           Atom read, mlir::ValueRange)>;
  /// The value (index) of a named dim; null where there is none.
  using DimFn = std::function<mlir::Value(llvm::StringRef)>;

  /// `coords` are the values of i0, i1, ...; `extents` is what proofs may use.
  /// The arrays must outlive this.
  IndexExprCodegen(mlir::ImplicitLocOpBuilder &builder, DimFn dims,
                   mlir::ValueRange coords = {}, Extents extents = {},
                   ReadFn read = {}, mlir::Type realType = {});

  /// Each returns null when a dim or coordinate is missing; `getMissing` says
  /// which.
  mlir::Value emitIndex(Poly p);
  mlir::Value emitReal(Poly p);
  mlir::Value emit(Pred p);

  /// The first name for which there was no value.
  llvm::StringRef getMissing() const { return missing; }

private:
  struct IntegerTerm;
  mlir::Value emitIntegers(llvm::ArrayRef<IntegerTerm> terms);
  mlir::Value emitInteger(Atom atom);
  mlir::Value emitReal(Atom atom);
  mlir::Value emitSelect(Atom atom, bool real);
  mlir::Value emitSum(Atom atom, bool real);
  mlir::Value emitFunction(Atom atom);
  mlir::Value emitRead(Atom atom);
  mlir::Value emitExtremum(Atom atom, bool real);
  mlir::Value emitJunction(Pred p);
  mlir::Value emitDivision(Atom atom);
  mlir::Value guarded(mlir::Value condition, mlir::Type type,
                      llvm::function_ref<mlir::Value()> then,
                      llvm::function_ref<mlir::Value()> otherwise);

  mlir::Value index(int64_t value);
  mlir::Value real(double value);
  mlir::Value toReal(mlir::Value value);
  mlir::Value toIndex(mlir::Value value);
  mlir::Value note(const llvm::Twine &name);

  mlir::ImplicitLocOpBuilder &builder;
  DimFn dims;
  mlir::ValueRange coords;
  Extents extents;
  ReadFn read;
  mlir::Type realType;
  llvm::DenseMap<unsigned, mlir::Value> boundVars;
  std::string missing;
};

} // namespace lathe

#endif // LATHE_LOWER_INDEXEXPRCODEGEN_H
