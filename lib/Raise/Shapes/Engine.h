//===- Engine.h - the walk behind SymbolicShapes ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_SHAPES_ENGINE_H
#define LATHE_LIB_RAISE_SHAPES_ENGINE_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include <deque>

namespace lathe {
namespace shapes {

using OptionalShape = std::optional<SymbolicShape>;

/// Two dims that the graph needs to be equal.
struct Equality {
  Poly p, q;
  mlir::Operation *op;
};

/// Why a substitution was made; the text is made from it only when it is kept.
struct Solution {
  std::string name;
  Poly value;
  bool assumed;
  std::string reason;
};

/// Where a named dim first stands on an argument.
struct DimSource {
  unsigned argument;
  unsigned dim;
  unsigned order;
};

/// Holds the state of one round of the walk, and what lives across rounds.
/// Transfer functions work on it through a `Node`.
class Engine {
public:
  explicit Engine(mlir::func::FuncOp func);

  /// Walks until the dims are unified.
  void run();

  mlir::func::FuncOp func;
  IndexExprContext context;

  /// \name Values
  /// @{
  const ValueInfo *lookup(mlir::Value value) const;
  void set(mlir::Value value, ValueInfo info);
  ValueInfo makeLeaf(mlir::Value value, OptionalShape shape);
  /// The shape of the type, dynamic dims as names of their own.
  OptionalShape shapeOfType(mlir::Value value);
  unsigned readIdOf(mlir::Value value);
  mlir::Value valueOfRead(unsigned id) const { return readValues[id]; }
  /// A dim that nothing is known about.
  Poly unknownDim(mlir::Value value, unsigned k);
  /// @}

  /// \name Forms
  /// @{
  IndexExpr formOf(const ValueInfo &info);
  std::optional<llvm::SmallVector<IndexExpr>> listOf(const ValueInfo &info);
  std::optional<llvm::SmallVector<int64_t>> intsOf(const ValueInfo &info);
  std::optional<Number> uniformConstant(const ValueInfo &info);
  bool isIndexy(const ValueInfo &info);
  bool isIndexy(IndexExpr form);
  /// The form in the coordinates of a value of shape `out` that it is
  /// broadcast to.
  IndexExpr aligned(const ValueInfo &info, llvm::ArrayRef<Poly> out);
  /// The form with its coordinates replaced by `index`, which is written in
  /// the coordinates of a value of shape `out`.
  IndexExpr moved(const ValueInfo &info, llvm::ArrayRef<Poly> index,
                  llvm::ArrayRef<Poly> out);
  /// Select on either kind.
  IndexExpr choose(Pred cond, IndexExpr a, IndexExpr b, Extents extents = {});
  /// A coordinate per dim, 0 where the extent is 1.
  llvm::SmallVector<Poly> identityIndex(llvm::ArrayRef<Poly> shape);
  /// @}

  /// \name Dims
  /// @{
  Poly dim(int64_t value) { return context.constant(value); }
  void equate(Poly p, Poly q, mlir::Operation *op);
  void require(DimCheck::Kind kind, Poly p, Poly q, mlir::Operation *op);
  void require(DimCheck check);
  void assume(std::string line) {
    if (!llvm::is_contained(assumptions, line))
      assumptions.push_back(std::move(line));
  }
  Poly broadcastDim(Poly p, Poly q, mlir::Operation *op);
  OptionalShape broadcast(llvm::ArrayRef<const ValueInfo *> infos,
                          mlir::Operation *op);
  SymbolicShape broadcast(llvm::ArrayRef<Poly> a, llvm::ArrayRef<Poly> b,
                          mlir::Operation *op);
  Poly product(llvm::ArrayRef<Poly> dims) { return context.product(dims); }
  /// A named dim of the source, as it is after unification.
  Poly namedDim(llvm::StringRef name);
  /// Polynomial text of `lathe.dims` or `shape`; null if it does not parse.
  Poly parseDim(llvm::StringRef text);
  /// @}

  /// What `finish` leaves for the analysis.
  std::vector<std::string> freeDims;
  std::vector<DimSubstitution> substitutions;
  std::vector<DimCheck> checks;
  std::vector<std::string> assumptions;
  llvm::MapVector<llvm::StringRef, unsigned> unknownOps;
  unsigned rounds = 0;

private:
  // Walk.cpp
  void walk();
  void bindArguments();
  void walkBlock(mlir::Block &block);
  void visit(mlir::Operation *op);
  void visitOnnx(OnnxOp op);
  void declareResults();
  void setUnset(mlir::Operation *op);

  // Unify.cpp
  bool unify();
  std::optional<Solution> solve();
  std::optional<Solution> solveForced(const Equality &equality);
  std::optional<Solution> solveQuotient(const Equality &equality);
  std::optional<Solution> solveCovering();
  std::optional<Solution> coveringOf(const ValueInfo &info, Atom read);
  void apply(Solution solution);
  void finish();
  void recallChecks();
  bool isOverInputs(const DimCheck &check) const;
  bool isInputDim(Atom symbol) const;
  bool isUnknownDim(Atom symbol) const;

  std::deque<ValueInfo> storage;
  llvm::DenseMap<mlir::Value, ValueInfo *> infos;
  /// Constants do not depend on dims: looked at once.
  llvm::DenseMap<mlir::Value, ValueInfo> constants;
  llvm::DenseMap<mlir::Value, unsigned> readIds;
  llvm::SmallVector<mlir::Value> readValues;
  llvm::DenseMap<const void *, bool> indexyForms;

  std::vector<Equality> equalities;
  llvm::StringMap<Poly> replaced;
  llvm::StringMap<DimSource> sources;

  friend class Node;
};

/// One `lathe.onnx` operation during the walk. Results that a transfer function
/// leaves unset become leaves of unknown shape.
class Node {
public:
  Node(Engine &engine, OnnxOp op);

  Engine &engine;
  IndexExprContext &context;
  OnnxOp op;

  unsigned numInputs() const { return inputs.size(); }
  unsigned numResults() { return op->getNumResults(); }
  /// Null if it is left out.
  const ValueInfo *input(unsigned k) const {
    return k < inputs.size() ? inputs[k] : nullptr;
  }
  bool has(unsigned k) const { return input(k) != nullptr; }
  /// Input k is there and its rank is known.
  bool ranked(unsigned k) const { return has(k) && input(k)->shape; }
  const SymbolicShape &shape(unsigned k) const { return *input(k)->shape; }
  const ValueInfo &in(unsigned k) const { return *input(k); }
  ElementClass resultClass(unsigned k = 0);

  /// Constant integers: from input k if it is there, else from the attribute.
  /// `known` is false if the input is there but not constant.
  std::optional<llvm::SmallVector<int64_t>>
  intsFrom(unsigned k, llvm::StringRef attribute, bool &known);
  std::optional<unsigned> axis(llvm::StringRef name, int64_t otherwise,
                               unsigned rank);

  void setLeaf(OptionalShape shape, unsigned k = 0);
  /// A leaf if the form is null.
  void setForm(SymbolicShape shape, IndexExpr form, unsigned k = 0);
  void setList(SymbolicShape shape, llvm::ArrayRef<IndexExpr> list,
               unsigned k = 0);
  /// Same form, list and shape as `info`.
  void setCopy(const ValueInfo &info, unsigned k = 0);
  void setMoved(const ValueInfo &info, llvm::ArrayRef<Poly> index,
                SymbolicShape shape, unsigned k = 0);
  void setInfo(ValueInfo info, unsigned k = 0);

private:
  llvm::SmallVector<const ValueInfo *, 4> inputs;
};

using TransferFn = void (*)(Node &);

/// Registers transfer functions under op names; those of the domain
/// com.microsoft are written "com.microsoft.Gelu".
class TransferTable {
public:
  void add(llvm::StringRef op, TransferFn fn) { table[op] = fn; }
  void add(llvm::ArrayRef<llvm::StringLiteral> ops, TransferFn fn) {
    for (llvm::StringRef op : ops)
      add(op, fn);
  }
  TransferFn lookup(llvm::StringRef op) const { return table.lookup(op); }
  static const TransferTable &get();

private:
  llvm::StringMap<TransferFn> table;
};

void registerConstants(TransferTable &table);
void registerMovement(TransferTable &table);
void registerReshape(TransferTable &table);
void registerIndexing(TransferTable &table);
void registerElementwise(TransferTable &table);
void registerPointwise(TransferTable &table);
void registerReductions(TransferTable &table);
void registerContractions(TransferTable &table);
void registerConvolutions(TransferTable &table);
void registerTransformer(TransferTable &table);
void registerContrib(TransferTable &table);
void registerResampling(TransferTable &table);
void registerSequences(TransferTable &table);

/// The form of a constant operation's result.
ValueInfo analyseConstant(Engine &engine, mlir::Operation *op);

/// Sets the results of an operation of the dialect other than `lathe.onnx`;
/// false if it has no rule.
bool visitTyped(Engine &engine, mlir::Operation *op);

/// -axes wrapped into [0, rank); nothing if it is outside.
std::optional<unsigned> wrapAxis(int64_t axis, unsigned rank);

ElementClass classOf(mlir::Type type);

/// "node 'name' (Op)" for messages; an argument's name.
std::string describe(mlir::Operation *op);
std::string describe(mlir::Value value);

} // namespace shapes
} // namespace lathe

#endif // LATHE_LIB_RAISE_SHAPES_ENGINE_H
