//===- CarrierMatch.h - looking at carrier operations -----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What every raising pass asks about carrier operations: constants, equal
/// computations, chains of casts; and how it replaces what it found.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_CARRIERMATCH_H
#define LATHE_LIB_RAISE_CARRIERMATCH_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseSet.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

/// The carrier of the default domain's `type` that makes `value`, or null.
OnnxOp getCarrier(mlir::Value value, llvm::StringRef type);

/// The carrier that makes `value`, or null.
OnnxOp getCarrier(mlir::Value value);

/// `value` before the casts between float types, identities and dropouts that
/// lead to it.
mlir::Value skipCasts(mlir::Value value);

/// True if both values are made by the same computation of the same values.
/// The exporters write `x - mean` twice, among others.
bool areEquivalent(mlir::Value a, mlir::Value b);

/// The operand of the two-operand carrier `op` that is not `operand`.
mlir::Value getOther(OnnxOp op, mlir::Value operand);

/// The only operation that uses `value`, once; null if there are more.
mlir::Operation *getOnlyUser(mlir::Value value);

/// The only user of `value`, if it is a carrier of the default domain's
/// `type`; null otherwise.
OnnxOp getOnlyUser(mlir::Value value, llvm::StringRef type);

/// Rank of a ranked tensor.
std::optional<int64_t> getRank(mlir::Value value);

/// Static extent of the last dim.
std::optional<int64_t> getLastDim(mlir::Value value);

mlir::Type getElement(mlir::Value value);

bool isFloatTensor(mlir::Value value);

/// The number that ONNX gives the float type `type`.
int64_t getOnnxElementType(mlir::Type type);

/// `axis` counted from the front; nothing if it is out of range.
std::optional<int64_t> normalizeAxis(int64_t axis, int64_t rank);

/// The axes of a reduction, squeeze or the like, counted from the front: the
/// attribute `axes` or the operand `input`. Nothing: they are not given or not
/// constant.
std::optional<llvm::SmallVector<int64_t>> getAxes(OnnxOp op, unsigned input,
                                                  int64_t rank);

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// True if `value` is computed from constants alone.
bool isConstant(mlir::Value value);

/// A constant in float, row-major.
struct FloatConstant {
  llvm::SmallVector<int64_t> shape;
  std::vector<float> values;

  bool isUniform() const;
};

/// Computes `value` if it is made from constants by elementwise arithmetic
/// and reshapes, and neither it nor its sources have more elements than
/// `limit`.
std::optional<FloatConstant> evaluateConstant(mlir::Value value,
                                              int64_t limit = 1 << 16);

/// The number that all elements of the constant `value` have.
std::optional<double> getUniform(mlir::Value value);

/// A uniform number within 1e-4 (relative) of `expected`.
bool isNumber(mlir::Value value, double expected);
bool isNear(double number, double expected);

/// Elements of a constant integer tensor of at most 1024 elements.
std::optional<llvm::SmallVector<int64_t>> getIntegers(mlir::Value value);

//===----------------------------------------------------------------------===//
// Replacing
//===----------------------------------------------------------------------===//

/// Rewrites with what raising passes need: erased operations are remembered,
/// so that a list of candidates made before stays usable.
class Raiser {
public:
  explicit Raiser(mlir::Operation *root);

  mlir::OpBuilder &getBuilder() { return builder; }
  mlir::OpBuilder *operator->() { return &builder; }
  operator mlir::OpBuilder &() { return builder; }

  bool isErased(mlir::Operation *op) const { return erased.contains(op); }

  /// Uses `value` for `old`. The two may differ in what their types say of the
  /// extents.
  void replaceUses(mlir::Value old, mlir::Value value);

  /// The same, and erases what computed `old` and nothing else.
  void replace(mlir::Value old, mlir::Value value);

  /// Erases `op` and what feeds only it, if it has no uses.
  void eraseIfDead(mlir::Operation *op);

  /// A carrier of the default domain.
  OnnxOp carrier(mlir::Location loc, llvm::StringRef type, mlir::Type result,
                 mlir::ValueRange inputs,
                 llvm::ArrayRef<mlir::NamedAttribute> attrs = {});

  /// A rank 1 i64 constant.
  mlir::Value integers(mlir::Location loc, llvm::ArrayRef<int64_t> values);

private:
  mlir::OpBuilder builder;
  llvm::DenseSet<mlir::Operation *> erased;
  int64_t opset;
};

/// Provenance of an operation that stands for what `from` did.
void copyProvenance(mlir::Operation *from, mlir::Operation *to);

/// All functions with a body.
llvm::SmallVector<mlir::func::FuncOp> getEntries(mlir::ModuleOp module);

/// Erases pure operations without uses from the function.
void eraseDeadOps(mlir::func::FuncOp function);

} // namespace lathe

#endif // LATHE_LIB_RAISE_CARRIERMATCH_H
