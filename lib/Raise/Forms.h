//===- Forms.h - from terms to attributes and operations --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Writes the closed forms of the symbolic analysis into the IR.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_FORMS_H
#define LATHE_LIB_RAISE_FORMS_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/IR/Builders.h"

namespace lathe {

/// The operands that a form reads, numbered in order of appearance.
class ReadOperands {
public:
  explicit ReadOperands(const SymbolicShapes &shapes) : shapes(shapes) {}

  /// Adds what `form` reads.
  void add(IndexExpr form);
  /// The text of a form whose reads were added.
  std::string print(IndexExpr form) const;
  llvm::ArrayRef<mlir::Value> values() const { return operands; }

private:
  const SymbolicShapes &shapes;
  llvm::SmallVector<mlir::Value> operands;
  llvm::DenseMap<unsigned, unsigned> numbers;
};

/// A view of one tensor: its element at `index`.
struct View {
  mlir::Value base;
  llvm::SmallVector<Poly, 4> index;
};

/// `[p, q, ...]` over coordinates; the indices must not read.
FormAttr getMap(mlir::MLIRContext *context, llvm::ArrayRef<Poly> index);

/// Extents as texts of `lathe.index_expr`.
mlir::ArrayAttr getShapeAttr(mlir::Builder &builder,
                             llvm::ArrayRef<Poly> shape);

/// The tensor type of these extents: static where they are constants.
mlir::RankedTensorType getTensorType(llvm::ArrayRef<Poly> shape,
                                     mlir::Type element);

/// `lathe.index_expr` operations of one function: equal ones are made once,
/// right behind the last of their operands.
class FormBuilder {
public:
  FormBuilder(mlir::Block &block, const SymbolicShapes &shapes)
      : block(block), shapes(shapes),
        builder(block.getParentOp()->getContext()) {}

  /// The tensor with this form.
  mlir::Value get(mlir::Location loc, IndexExpr form,
                  llvm::ArrayRef<Poly> shape, mlir::Type element);
  /// The tensor that shows `base` through `index`, which may name values that
  /// the analysis does not know.
  mlir::Value getView(mlir::Location loc, const View &view,
                      llvm::ArrayRef<Poly> shape);

private:
  mlir::Value get(mlir::Location loc, mlir::StringRef text,
                  mlir::ValueRange operands, llvm::ArrayRef<Poly> shape,
                  mlir::Type element);

  mlir::Block &block;
  const SymbolicShapes &shapes;
  mlir::OpBuilder builder;
  llvm::DenseMap<mlir::Attribute, llvm::SmallVector<IndexExprOp, 1>> made;
};

/// Moves the builder right behind the last of `values` in `block`; to its
/// front, behind constants, if they are all arguments.
void setInsertionPointAfterAll(mlir::OpBuilder &builder, mlir::Block &block,
                               mlir::ValueRange values);

/// A coordinate per dim, 0 where the extent is 1.
llvm::SmallVector<Poly, 4> getIdentity(IndexExprContext &context,
                                       llvm::ArrayRef<Poly> shape);

} // namespace lathe

#endif // LATHE_LIB_RAISE_FORMS_H
