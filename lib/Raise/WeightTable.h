//===- WeightTable.h - constants become weights -----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Turns constant operands into `lathe.weight` symbols of the module.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_WEIGHTTABLE_H
#define LATHE_LIB_RAISE_WEIGHTTABLE_H

#include "CarrierMatch.h"

namespace lathe {

/// A constant operand, seen through casts, transpositions and reshapes.
struct WeightSource {
  /// The constant's bytes: `#lathe.blob` or dense elements.
  mlir::Attribute bytes;
  /// What the bytes are written in.
  mlir::FloatType storage;
  /// What computations see.
  mlir::FloatType element;
  /// Logical shape.
  llvm::SmallVector<int64_t> shape;
  /// The bytes are row-major in the shape with its last two dims swapped.
  bool transposed = false;
  /// Name of the initialiser; may be empty.
  std::string name;

  int64_t getNumElements() const;
  /// Drops leading extents of 1 until `rank` dims are left; false if that
  /// fails.
  bool dropLeadingOnes(unsigned rank);
};

/// The weights of one module: equal bytes in equal types are one symbol.
class WeightTable {
public:
  explicit WeightTable(mlir::ModuleOp module);

  /// What `value` holds if it is a float constant behind any number of casts
  /// to the same or a wider type, transpositions of the last two dims and
  /// reshapes.
  static std::optional<WeightSource> find(mlir::Value value);

  /// A use of the weight, at the insertion point of `builder`. `source` has
  /// rank 1 or 2 (or any rank, row-major). Null with a diagnostic when its
  /// bytes cannot be read.
  mlir::Value use(mlir::OpBuilder &builder, mlir::Location loc,
                  const WeightSource &source);

  /// A use of a weight that is known already and holds the transposition of
  /// `source`, a matrix. Null without a diagnostic when there is none.
  mlir::Value useTransposed(mlir::OpBuilder &builder, mlir::Location loc,
                            const WeightSource &source);

  /// The same for a vector of `size` elements made from the constant `value`,
  /// which has that many elements or is uniform. Null if it is neither.
  mlir::Value useVector(mlir::OpBuilder &builder, mlir::Location loc,
                        mlir::Value value, int64_t size);

  /// The same for computed elements.
  mlir::Value use(mlir::OpBuilder &builder, mlir::Location loc,
                  llvm::ArrayRef<float> values, llvm::ArrayRef<int64_t> shape,
                  mlir::FloatType element, llvm::StringRef name);

  /// Makes the matrix known, so that a later one that is its transposition
  /// shares its payload.
  void note(const WeightSource &source);

  /// The elements times `factor`, as a new payload.
  std::optional<WeightSource> scale(const WeightSource &source, double factor);

private:
  PayloadAttr getPayload(mlir::Location loc, const WeightSource &source);
  PayloadAttr findTransposed(PayloadAttr payload, const WeightSource &source);
  /// The payload of `source`, shared where it can be; `transposed` says how its
  /// bytes lie.
  PayloadAttr sharePayload(mlir::Location loc, const WeightSource &source,
                           bool &transposed);
  PayloadAttr spill(mlir::Location loc, llvm::ArrayRef<char> bytes);
  mlir::Value use(mlir::OpBuilder &builder, mlir::Location loc,
                  PayloadAttr payload, WeightType type, llvm::StringRef name);

  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  /// (payload, type) -> symbol.
  llvm::DenseMap<std::pair<mlir::Attribute, mlir::Type>, WeightOp> known;
  /// Equal bytes are one payload, wherever they lie.
  llvm::StringMap<PayloadAttr> payloads;
  /// Matrices, by number of elements: those that may be a transposition of
  /// another.
  struct Matrix {
    PayloadAttr payload;
    mlir::FloatType storage;
    int64_t rows, columns;
  };
  llvm::DenseMap<int64_t, llvm::SmallVector<Matrix, 1>> matrices;
};

} // namespace lathe

#endif // LATHE_LIB_RAISE_WEIGHTTABLE_H
