//===- SymbolicShapes.h - shapes and closed forms of values ------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One forward walk over an entry gives every value a shape over the named dims
// and, where there is one, a closed form over its own coordinates. Integer and
// boolean values and all data movement have closed forms; a value without one
// is the form that reads it. Equalities between dims are collected on the way,
// solved, and the walk repeated until nothing changes.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_SYMBOLICSHAPES_H
#define LATHE_RAISE_SYMBOLICSHAPES_H

#include "lathe/IndexExpr/IndexExpr.h"
#include "mlir/IR/Operation.h"
#include "mlir/IR/Value.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

using SymbolicShape = llvm::SmallVector<Poly, 4>;

enum class ElementClass : uint8_t { Float, Integer, Boolean, Other };

/// Whether `extent` depends on a dim that the analysis made up for want of
/// knowledge.
bool isUnknownExtent(Poly extent);

/// What is known about one value.
struct ValueInfo {
  enum class FormKind : uint8_t {
    None,    // the rank is unknown
    Leaf,    // the form reads the value itself
    Poly,    // a number per element
    Pred,    // a truth value per element
    List,    // one form per element: rank 0, or rank 1 of static length
    Sequence // an ONNX sequence of values
  };

  /// Null for an element of a sequence.
  mlir::Value value;
  /// One polynomial over named dims per dim; none if the rank is unknown.
  std::optional<SymbolicShape> shape;
  ElementClass elementClass = ElementClass::Other;
  FormKind kind = FormKind::None;
  /// The element at i0, i1, ... Null for None and Sequence, and for a list that
  /// is not a constant: `SymbolicShapes::formOf` makes it on demand.
  IndexExpr form;
  llvm::SmallVector<IndexExpr, 0> list;
  std::shared_ptr<std::vector<ValueInfo>> sequence;

  unsigned rank() const { return shape ? shape->size() : 0; }
  bool isLeaf() const { return kind == FormKind::Leaf; }
  /// Every element is known to be an integer (in a float tensor, too).
  bool isIntegerValued() const;
};

/// A condition over named dims alone, to be tested when an entry is called.
struct DimCheck {
  enum class Kind : uint8_t {
    Equal,     // lhs == rhs
    LessEqual, // lhs <= rhs
    Divides    // lhs divides rhs
  };
  Kind kind;
  Poly lhs, rhs;
  /// The node that needs it, for messages.
  std::string where;
  /// "seq <= 512".
  std::string toString() const;
};

/// "==", "<=" or "divides".
llvm::StringRef getName(DimCheck::Kind kind);

/// A named dim of the source that was replaced.
struct DimSubstitution {
  std::string name;
  Poly value;
  /// False if the graph forces it; true if it is an assumption.
  bool assumed;
  /// Why, for people.
  std::string reason;
};

/// The analysis of one `func.func` (use with `getAnalysis`).
class SymbolicShapes {
public:
  explicit SymbolicShapes(mlir::Operation *func);
  ~SymbolicShapes();

  /// Where all terms live. It may be used to build further terms.
  IndexExprContext &getContext() const;

  /// Null for values of other functions.
  const ValueInfo *lookup(mlir::Value value) const;
  /// The shape, or none if the rank is unknown.
  std::optional<llvm::ArrayRef<Poly>> shapeOf(mlir::Value value) const;
  /// The element at i0, i1, ...; a list as nested selections. Null if the rank
  /// is unknown.
  IndexExpr formOf(mlir::Value value) const;
  /// The element at `coords`, one per dim, simplified under `extents`. Null if
  /// there is none or it would be too large.
  IndexExpr formAt(mlir::Value value, llvm::ArrayRef<Poly> coords,
                   Extents extents) const;
  /// The elements of a value of rank 0, or of rank 1 and static length <= 16.
  std::optional<llvm::SmallVector<IndexExpr>> listOf(mlir::Value value) const;
  /// The number that every element is.
  std::optional<Number> uniformConstant(mlir::Value value) const;
  /// Computed from constants, dims, coordinates and integer or boolean values
  /// alone: never a trained activation.
  bool isIndexy(mlir::Value value) const;
  bool isIndexy(IndexExpr form) const;

  /// The value behind `read(id, ...)`.
  mlir::Value valueOfRead(unsigned id) const;
  /// The id that reads of `value` have.
  unsigned readIdOf(mlir::Value value) const;

  /// Named dims of the arguments, in order of appearance, after unification.
  llvm::ArrayRef<std::string> freeDims() const;
  llvm::ArrayRef<DimSubstitution> substitutions() const;
  llvm::ArrayRef<DimCheck> checks() const;
  /// One line for each thing taken for granted that no check on dims covers.
  llvm::ArrayRef<std::string> assumptions() const;
  /// How often the walk ran.
  unsigned rounds() const;
  /// Operations without a transfer function: op type and number of nodes.
  llvm::ArrayRef<std::pair<std::string, unsigned>> unknownOps() const;

private:
  class Impl;
  std::unique_ptr<Impl> impl;
};

/// The index of each dim of a tensor of shape `from`, in terms of the
/// coordinates of the tensor of shape `to` that it was reshaped to. Nothing if
/// the dims do not group.
std::optional<llvm::SmallVector<Poly>>
reshapeIndexMap(IndexExprContext &context, llvm::ArrayRef<Poly> from,
                llvm::ArrayRef<Poly> to);

} // namespace lathe

#endif // LATHE_RAISE_SYMBOLICSHAPES_H
