//===- NodeLowering.h - how one ONNX operator is lowered --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An operator is added by one row in the table of its family, in this folder:
//
//   {"Selu", 1, unary([](NodeLowering &n, Scalars &s, Value x) { ... })},
//
// Operators whose results have a closed form (all movement, shapes, integer
// arithmetic) are evaluated from it and need a row only so that they count as
// known; a row of `byForm` says that there is no other way.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ONNX_NODELOWERING_H
#define LATHE_LIB_LOWER_ONNX_NODELOWERING_H

#include "../StageLowering.h"
#include <functional>

namespace lathe {

/// One carrier operation while it is lowered.
class NodeLowering {
public:
  NodeLowering(StageLowering &stage, OnnxOp op)
      : stage(stage), t(stage.t), op(op) {}

  StageLowering &stage;
  TensorBuilder &t;
  OnnxOp op;

  unsigned opset() { return op.getOpset(); }
  unsigned numInputs() { return op.getInputs().size(); }
  bool has(unsigned i) { return bool(op.getOptionalInput(i)); }
  Tensor in(unsigned i) { return stage.get(op.getOptionalInput(i)); }
  /// Operand `i` as a value, not a form: for lowerings that read its elements.
  Tensor value(unsigned i) {
    Tensor tensor = in(i);
    return t.wrap(t.valueOf(tensor), tensor.element, tensor.shape);
  }
  llvm::SmallVector<Tensor> all();

  bool hasResult(unsigned i) {
    return i < op->getNumResults() && !op->getResult(i).use_empty();
  }
  /// The ONNX element type of result `i`.
  mlir::Type element(unsigned i = 0) {
    return mlir::getElementTypeOrSelf(op->getResult(i).getType());
  }
  SymbolicShape shape(unsigned i = 0) {
    return *stage.shapeOf(op->getResult(i));
  }

  /// Elements of an integer operand that is constant.
  std::optional<llvm::SmallVector<int64_t>> ints(unsigned i);
  /// The number that every element of operand `i` is.
  std::optional<double> number(unsigned i);
  /// Axes from operand `i`, if there is one, else from the attribute, counted
  /// from the front and ascending; fails if the operand is not constant. None
  /// if neither is there.
  mlir::FailureOr<std::optional<llvm::SmallVector<int64_t>>>
  axes(unsigned i, unsigned rank, llvm::StringRef attribute = "axes");
  /// Attribute `name` as an axis of `rank` dims.
  unsigned axis(unsigned rank, int64_t otherwise,
                llvm::StringRef name = "axis");

  void set(Tensor tensor, unsigned i = 0);
  /// Refuses an operator that only has a kernel, in linalg alone.
  mlir::LogicalResult needKernels();
  /// Says why this node cannot be lowered.
  mlir::LogicalResult refuse(const llvm::Twine &reason);
};

using NodeFn = std::function<mlir::LogicalResult(NodeLowering &)>;

/// A form of an operator that holds from an opset on, until the next row of the
/// same operator.
struct LoweringRow {
  const char *name;
  unsigned since;
  NodeFn fn;
};

class LoweringTable {
public:
  static const LoweringTable &get();

  const NodeFn *lookup(llvm::StringRef domain, llvm::StringRef op,
                       unsigned opset) const;
  void add(llvm::StringRef domain, llvm::ArrayRef<LoweringRow> rows);

private:
  LoweringTable();
  llvm::StringMap<llvm::SmallVector<std::pair<unsigned, NodeFn>, 1>> entries;
};

// Families, one file each.
void addElementwise(LoweringTable &table);
void addActivations(LoweringTable &table);
void addReductions(LoweringTable &table);
void addNormalizations(LoweringTable &table);
void addContractions(LoweringTable &table);
void addConvolutions(LoweringTable &table);
void addPooling(LoweringTable &table);
void addResampling(LoweringTable &table);
void addMovement(LoweringTable &table);
void addIndexing(LoweringTable &table);
void addSearch(LoweringTable &table);
void addQuantization(LoweringTable &table);
void addAttention(LoweringTable &table);
void addContrib(LoweringTable &table);

/// The operator is nothing but its closed form.
mlir::LogicalResult byForm(NodeLowering &n);

/// An elementwise operator of one operand, in the result's element type.
using UnaryFn = mlir::Value (*)(NodeLowering &, Scalars &, mlir::Value);
NodeFn unary(UnaryFn fn);
/// An elementwise operator with broadcasting, in the operands' element type.
using NaryFn = mlir::Value (*)(NodeLowering &, Scalars &,
                               llvm::ArrayRef<mlir::Value>);
NodeFn nary(NaryFn fn);

} // namespace lathe

#endif // LATHE_LIB_LOWER_ONNX_NODELOWERING_H
