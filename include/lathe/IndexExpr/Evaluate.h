//===- Evaluate.h - values of index expressions ------------------*- C++
//-*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INDEXEXPR_EVALUATE_H
#define LATHE_INDEXEXPR_EVALUATE_H

#include "lathe/IndexExpr/IndexExpr.h"

namespace lathe {

/// Computes terms at one point. Integers are computed in 64 bits, reals in
/// double. Of a selection only the taken arm is computed.
class Evaluator {
public:
  /// The value of a named dim; std::nullopt if it is not known.
  using DimFn = llvm::function_ref<std::optional<int64_t>(llvm::StringRef)>;
  /// The element of a value at a position; std::nullopt if there is none.
  using ReadFn = llvm::function_ref<std::optional<Number>(
      unsigned id, llvm::ArrayRef<int64_t>)>;

  /// The callees and the array must outlive this.
  Evaluator(DimFn dims, llvm::ArrayRef<int64_t> coords = {}, ReadFn reads = {})
      : dims(dims), coords(coords), reads(reads) {}

  /// std::nullopt if a dim, coordinate or element is missing, on integer
  /// overflow, and for a division by zero.
  std::optional<Number> operator()(Poly p);
  std::optional<bool> operator()(Pred p);

private:
  std::optional<Number> evaluate(Atom atom);
  std::optional<Number> evaluateSum(Atom atom);
  std::optional<Number> evaluateFunction(Atom atom);
  std::optional<Number> evaluateExtremum(Atom atom);

  DimFn dims;
  llvm::ArrayRef<int64_t> coords;
  ReadFn reads;
  llvm::SmallDenseMap<unsigned, int64_t> boundVars;
};

} // namespace lathe

#endif // LATHE_INDEXEXPR_EVALUATE_H
