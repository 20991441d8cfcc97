//===- TensorBuilder.h - tensors of symbolic shape as linalg ----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the lowerings of operators are written with: broadcasting maps,
// reductions, element-by-element definitions and reinterpreted shapes, all on
// tensors whose extents are polynomials over named dims.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_TENSORBUILDER_H
#define LATHE_LIB_LOWER_TENSORBUILDER_H

#include "Scalars.h"
#include "lathe/Lower/IndexExprCodegen.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"
#include <map>

namespace lathe {

/// A tensor while it is lowered: a value, or a closed form that nobody has
/// needed as a value yet.
struct Tensor {
  /// Has the storage type of `element`; null for a form.
  mlir::Value value;
  /// The ONNX element type (`ui8`, `i1`, ...).
  mlir::Type element;
  SymbolicShape shape;
  IndexExpr form;

  unsigned rank() const { return shape.size(); }
  explicit operator bool() const { return value || form; }
};

/// Computes an element of the result from elements of the operands.
using MapFn =
    llvm::function_ref<mlir::Value(Scalars &, llvm::ArrayRef<mlir::Value>)>;
/// Computes an element of the result at coordinates.
using GenerateFn = llvm::function_ref<mlir::Value(Scalars &, mlir::ValueRange)>;

/// The read that the whole form is, or null: a view of another tensor.
Atom getMovement(IndexExpr form);

class TensorBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;

  /// Gives the tensor behind a read of a form.
  using ReadTensorFn = std::function<Tensor(unsigned id)>;

  TensorBuilder(mlir::OpBuilder &builder, mlir::Location loc,
                IndexExprContext &terms, ReadTensorFn readTensor);

  /// Where operations go; its location is that of the node being lowered.
  mlir::ImplicitLocOpBuilder &getBuilder() { return b; }
  IndexExprContext &getTerms() { return terms; }

  /// Makes `value` (of type index) the value of a named dim. Extents are
  /// computed behind the last such value.
  void setDim(llvm::StringRef name, Value value);
  /// The context argument, through which data that breaks a rule is reported;
  /// without one such data is only clamped.
  void setContext(Value pointer) { context = pointer; }
  Value getContext() const { return context; }
  /// What is built goes to upstream's passes, whose expansion of
  /// `expand_shape` fails on several run-time extents.
  void setForUpstream() { forUpstream = true; }

  // Extents.
  Poly poly(int64_t value) { return terms.constant(value); }
  /// `p` over named dims as a value of type index, computed at entry.
  Value dim(Poly p);
  mlir::OpFoldResult mixedDim(Poly p);
  Poly product(llvm::ArrayRef<Poly> extents) { return terms.product(extents); }
  SymbolicShape broadcast(llvm::ArrayRef<SymbolicShape> shapes);
  /// The type of the tensor that holds elements of ONNX type `element`.
  mlir::RankedTensorType typeOf(llvm::ArrayRef<Poly> shape, Type element);

  // Values.
  Tensor wrap(Value value, Type element, SymbolicShape shape) {
    return {value, element, std::move(shape), {}};
  }
  /// The tensor itself: a form is computed, once for equal forms.
  Value valueOf(const Tensor &tensor);
  Value empty(llvm::ArrayRef<Poly> shape, Type element);
  /// A tensor of one repeated number.
  Tensor splat(llvm::ArrayRef<Poly> shape, Type element, double value);
  /// A constant tensor, in its storage type.
  Tensor constant(mlir::DenseElementsAttr value);
  /// The number, if every element is the same constant.
  std::optional<double> splatOf(const Tensor &tensor);

  // Computations.
  /// ONNX broadcasting of `inputs`.
  Tensor map(llvm::ArrayRef<Tensor> inputs, Type element, MapFn fn);
  Tensor mapTo(llvm::ArrayRef<Poly> shape, llvm::ArrayRef<Tensor> inputs,
               Type element, MapFn fn);
  Tensor convert(const Tensor &input, Type element);
  /// Every element by itself; `fn` reads tensors with `load`.
  Tensor generate(llvm::ArrayRef<Poly> shape, Type element, GenerateFn fn);
  /// The compute scalar at `coords`, which must be inside.
  Value load(Scalars &s, const Tensor &tensor, mlir::ValueRange coords);
  /// `coords` after ONNX's rule for indices from data: a negative one counts
  /// from the end; what is still outside is reported and clamped.
  Value checkedIndex(Scalars &s, Value index, Value extent);
  /// Reports `code` with `detail` where `condition` holds.
  void report(Scalars &s, Value condition, int64_t code, Value detail);
  /// Combines the elements along `axes` (ascending), which the result lacks.
  /// `accumulator` is the ONNX type of the result; `pre` makes such a scalar
  /// from an element.
  Tensor reduce(const Tensor &input, llvm::ArrayRef<int64_t> axes,
                Type accumulator, mlir::Attribute init, MapFn pre,
                llvm::function_ref<Value(Scalars &, Value, Value)> combine);
  /// Sum of products: dim k of operand n runs with loop `labels[n][k]`; loops
  /// that `result` does not list are summed over, in `accumulator`. An extent
  /// of 1 is repeated. The result has element type `accumulator`.
  Tensor einsum(llvm::ArrayRef<Tensor> inputs,
                llvm::ArrayRef<llvm::SmallVector<int64_t>> labels,
                llvm::ArrayRef<int64_t> result, Type accumulator);
  /// Inserts extents of 1 at `axes` (ascending, positions in the result).
  Tensor expandAxes(const Tensor &input, llvm::ArrayRef<int64_t> axes);
  /// The elements in row-major order under another shape.
  Tensor reshape(const Tensor &input, llvm::ArrayRef<Poly> shape);
  Tensor transpose(const Tensor &input, llvm::ArrayRef<int64_t> permutation);
  /// Rank 2: the first `leading` dims make the rows.
  Tensor flatten(const Tensor &input, unsigned leading);

  /// The element of a form at `coords`, as a compute scalar of `element`.
  Value emitForm(Scalars &s, IndexExpr form, Type element,
                 mlir::ValueRange coords, Extents extents);

  /// The tensor behind a read of a form.
  Tensor readTensor(unsigned id) { return readTensorFn(id); }

  /// The first name that no dim had, since the builder was made.
  llvm::StringRef getMissing() const { return missing; }

private:
  /// How a loop nest over coordinates reads one tensor.
  struct Access {
    enum Kind { Operand, Splat, Form, Element } kind;
    Value value;         // Operand, Element
    mlir::AffineMap map; // Operand
    Type element;        // Operand: its ONNX type
    double number = 0;   // Splat
  };
  Access access(const Tensor &tensor, llvm::ArrayRef<Poly> loops,
                llvm::ArrayRef<int64_t> loopOf);
  /// The map by which loops with extents `loops` read `base` at `position`;
  /// null if it is not affine, or if a loop alone would not run through its
  /// dim.
  mlir::AffineMap affineMap(llvm::ArrayRef<Poly> position,
                            llvm::ArrayRef<Poly> base,
                            llvm::ArrayRef<Poly> loops,
                            llvm::ArrayRef<int64_t> loopOf);
  Value sliceFor(const Tensor &base, mlir::AffineMap map,
                 llvm::ArrayRef<Poly> loops);
  Value broadcastCoord(Scalars &s, Poly extent, Poly loop, Value coord);
  Value materialise(const Tensor &tensor);

  mlir::ImplicitLocOpBuilder b;
  IndexExprContext &terms;
  ReadTensorFn readTensorFn;
  Value context;
  bool forUpstream = false;
  llvm::StringMap<Value> dims;
  mlir::Operation *dimAnchor = nullptr;
  llvm::DenseMap<Poly, Value> dimValues;
  std::map<std::vector<const void *>, Value> formValues;
  /// What a reshaped value was made from.
  llvm::DenseMap<Value, Tensor> reshapedFrom;
  std::string missing;
};

} // namespace lathe

#endif // LATHE_LIB_LOWER_TENSORBUILDER_H
