//===- OpRegistry.h - The operators that Lathe reads ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// One table of all ONNX operators that may stand in a model: per (domain, op,
/// opset range) the operands, results and attributes, the rule for the result's
/// element types and, where that is easy, its shape.
///
/// A row of the table is written in a small language (lib/Import/Ops/*.cpp):
///
/// ```
/// {"Gather", 1, "data:T{any}, indices:I{index}", "output:T", "axis:int=0",
///  gatherShape},
/// ```
///
/// Operands: `name:type`, comma separated. A `?` after the name: may be left
/// out; `*` or `+`: any number of operands, at least none or one; `~` behind
/// that: of unlike types. The type is a class or type name (`f32`), or a type
/// variable with its class at the first use (`T{num}`), or such a variable
/// again (`T`): then the types must be equal. Classes: float, int, num, index
/// (i32, i64), quant (what may be quantized data), any.
/// Results: the same, or `@attr` (the element type that the ONNX number in
/// attribute `attr` names; of a tensor attribute: its type), and alternatives
/// separated by `|`: the first that is there counts. `seq(T)` is a sequence.
/// Attributes: `name:type` with `!` required, or `=default`.
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_OPREGISTRY_H
#define LATHE_IMPORT_OPREGISTRY_H

#include "lathe/Import/ElementType.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace lathe {

/// An extent that only run time knows.
constexpr int64_t kUnknownDim = -1;

/// What is known of a value before any analysis: its element type always, its
/// extents where a look at the operands is enough.
struct ValueType {
  ElementType element = ElementType::Undefined;
  bool isSequence = false;
  /// Nothing: the rank is unknown.
  std::optional<llvm::SmallVector<int64_t, 4>> dims;

  bool hasRank() const { return dims.has_value(); }
  int64_t getRank() const { return dims->size(); }
};

/// What the rules may ask about the node that they judge.
class NodeInfo {
public:
  virtual ~NodeInfo() = default;

  virtual unsigned getNumInputs() const = 0;
  virtual unsigned getNumOutputs() const = 0;
  /// Type of operand `i`; nullptr when it is absent or left out.
  virtual const ValueType *getInput(unsigned i) const = 0;
  /// Elements of operand `i` if it is a constant of i32 or i64 with at most
  /// 1024 elements.
  virtual std::optional<llvm::SmallVector<int64_t, 8>>
  getConstant(unsigned i) const = 0;
  /// The same of a constant of f32.
  virtual std::optional<llvm::SmallVector<float, 8>>
  getFloatConstant(unsigned i) const = 0;
  /// The attribute as it is written, or the default of the table, or nothing.
  virtual std::optional<int64_t> getInt(llvm::StringRef name) const = 0;
  virtual std::optional<float> getFloat(llvm::StringRef name) const = 0;
  virtual std::optional<llvm::SmallVector<int64_t, 8>>
  getInts(llvm::StringRef name) const = 0;
  virtual std::optional<llvm::StringRef>
  getString(llvm::StringRef name) const = 0;
  /// Element type of a tensor attribute.
  virtual std::optional<ElementType>
  getTensorElement(llvm::StringRef name) const = 0;
};

/// Sets the extents of the results that it can tell; the element types are set.
using ShapeRule = void (*)(const NodeInfo &node,
                           llvm::MutableArrayRef<ValueType> results);
/// Returns what is wrong with the node's attributes and shapes; empty: nothing.
using CheckRule = std::string (*)(const NodeInfo &node);

/// One row of the table, as it is written.
struct OpRow {
  const char *name;
  /// First opset of this form; it ends where the next row of the same name
  /// begins.
  unsigned since;
  /// nullptr: the operator is gone from this opset on.
  const char *inputs;
  const char *outputs = "";
  const char *attributes = "";
  ShapeRule shape = nullptr;
  CheckRule check = nullptr;
};

enum class AttrKind : uint8_t {
  Int,
  Float,
  String,
  Tensor,
  Ints,
  Floats,
  Strings,
};
llvm::StringRef getName(AttrKind kind);

struct AttrSpec {
  std::string name;
  AttrKind kind = AttrKind::Int;
  bool isRequired = false;
  /// The default as written in the table; empty: there is none.
  std::string defaultText;

  std::optional<int64_t> getDefaultInt() const;
  std::optional<float> getDefaultFloat() const;
};

/// An operand or a result.
struct OperandSpec {
  std::string name;
  bool isOptional = false;
  bool isVariadic = false;
  /// Variadic: whether all must have one type.
  bool isHomogeneous = true;
  bool isSequence = false;
  /// Number of the type variable, or -1.
  int variable = -1;
  ElementTypeSet allowed = 0;
  /// Results: alternatives in order, "@attr" or a type.
  struct Source {
    std::string attribute;
    int variable = -1;
    std::optional<ElementType> type;
  };
  llvm::SmallVector<Source, 1> sources;
};

/// One operator in a range of opsets, read from its row.
struct OpSpec {
  std::string domain;
  std::string name;
  std::string family;
  unsigned since = 1;
  /// Last opset of this form; UINT_MAX when it is the newest.
  unsigned until = ~0u;
  std::vector<OperandSpec> inputs;
  std::vector<OperandSpec> outputs;
  std::vector<AttrSpec> attributes;
  unsigned minInputs = 0;
  /// UINT_MAX: any number.
  unsigned maxInputs = 0;
  unsigned minOutputs = 0;
  unsigned maxOutputs = 0;
  unsigned numTypeVariables = 0;
  /// Only while the table is built: the row that ends an operator.
  bool isRemoved = false;
  ShapeRule shape = nullptr;
  CheckRule check = nullptr;

  const AttrSpec *findAttribute(llvm::StringRef name) const;
  /// The spec of operand or result `i` (the last one for variadic tails).
  const OperandSpec &getInput(unsigned i) const;
  const OperandSpec &getOutput(unsigned i) const;
};

/// Why an operator that exists is not read ("If": control flow …).
struct RefusedOp {
  const char *name;
  const char *reason;
};

/// The whole table. Immutable after its construction.
class OpRegistry {
public:
  static const OpRegistry &get();

  /// The form of `name` at `opset`, or nullptr. `domain` is empty for the
  /// default domain.
  const OpSpec *lookup(llvm::StringRef domain, llvm::StringRef name,
                       unsigned opset) const;
  /// All forms of an operator, oldest first.
  llvm::ArrayRef<const OpSpec *> lookupAll(llvm::StringRef domain,
                                           llvm::StringRef name) const;
  /// Whether some operator lives in `domain`.
  bool knowsDomain(llvm::StringRef domain) const;
  /// Why an operator of ONNX is refused; empty if there is nothing to say.
  llvm::StringRef whyRefused(llvm::StringRef domain,
                             llvm::StringRef name) const;

  /// All specs, by domain, name and opset.
  llvm::ArrayRef<std::unique_ptr<OpSpec>> getAll() const { return specs; }

  /// Prints docs/SupportedOps.md.
  void printMarkdown(llvm::raw_ostream &os) const;
  /// Prints every spec as a line of JSON, for the test against ONNX's schemas.
  void printJson(llvm::raw_ostream &os) const;

private:
  OpRegistry();
  void addFamily(llvm::StringRef domain, llvm::StringRef family,
                 llvm::ArrayRef<OpRow> rows);

  std::vector<std::unique_ptr<OpSpec>> specs;
  llvm::StringMap<llvm::SmallVector<const OpSpec *, 2>> byName;
};

/// Checks the node against `spec` (numbers of operands, element types) and
/// infers its results. Problems are sentences without the node's name; when
/// there are any the results may be incomplete.
void inferNode(const OpSpec &spec, const NodeInfo &node,
               llvm::SmallVectorImpl<ValueType> &results,
               llvm::SmallVectorImpl<std::string> &problems);

} // namespace lathe

#endif // LATHE_IMPORT_OPREGISTRY_H
