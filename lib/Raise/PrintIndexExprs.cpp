//===- PrintIndexExprs.cpp - shows what is known about values -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {
#define GEN_PASS_DEF_PRINTINDEXEXPRS
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace lathe;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// The name of a value in the ONNX file.
static std::string nameOf(Value value) {
  if (auto arg = dyn_cast<BlockArgument>(value)) {
    auto func = dyn_cast<func::FuncOp>(arg.getOwner()->getParentOp());
    if (!func)
      return "arg" + std::to_string(arg.getArgNumber());
    auto name = func.getArgAttrOfType<StringAttr>(arg.getArgNumber(),
                                                  LatheDialect::kNameAttr);
    return name ? name.str() : "arg" + std::to_string(arg.getArgNumber());
  }
  Operation *op = value.getDefiningOp();
  unsigned number = cast<OpResult>(value).getResultNumber();
  if (auto from = op->getAttrOfType<DictionaryAttr>(LatheDialect::kFromAttr))
    if (auto outputs = from.getAs<ArrayAttr>("outputs"))
      if (number < outputs.size())
        if (auto name = dyn_cast<StringAttr>(outputs[number]))
          return name.str();
  if (auto constant = dyn_cast<ConstantOp>(op))
    if (constant.getName())
      return constant.getName()->str();
  if (auto loc = dyn_cast<NameLoc>(op->getLoc()))
    return loc.getName().str();
  return op->getName().getStringRef().str();
}

static StringRef className(ElementClass elementClass) {
  switch (elementClass) {
  case ElementClass::Float:
    return "float";
  case ElementClass::Integer:
    return "integer";
  case ElementClass::Boolean:
    return "boolean";
  case ElementClass::Other:
    return "other";
  }
  llvm_unreachable("all classes are covered");
}

static StringRef kindName(ValueInfo::FormKind kind) {
  switch (kind) {
  case ValueInfo::FormKind::None:
    return "none";
  case ValueInfo::FormKind::Leaf:
    return "leaf";
  case ValueInfo::FormKind::Poly:
    return "poly";
  case ValueInfo::FormKind::Pred:
    return "pred";
  case ValueInfo::FormKind::List:
    return "list";
  case ValueInfo::FormKind::Sequence:
    return "sequence";
  }
  llvm_unreachable("all kinds are covered");
}

namespace {
struct PrintIndexExprs
    : public lathe::impl::PrintIndexExprsBase<PrintIndexExprs> {
  using PrintIndexExprsBase::PrintIndexExprsBase;
  void runOnOperation() override;

private:
  void printText(func::FuncOp func, const SymbolicShapes &shapes);
  void printJson(func::FuncOp func, const SymbolicShapes &shapes);
  SmallVector<Value> values(func::FuncOp func);
};

/// Numbers the reads that are printed, in order of appearance.
class ReadNumbers {
public:
  unsigned operator()(unsigned id) {
    auto [it, inserted] = numbers.try_emplace(id, ids.size());
    if (inserted)
      ids.push_back(id);
    return it->second;
  }
  ArrayRef<unsigned> getIds() const { return ids; }

private:
  llvm::DenseMap<unsigned, unsigned> numbers;
  SmallVector<unsigned> ids;
};
} // namespace

SmallVector<Value> PrintIndexExprs::values(func::FuncOp func) {
  SmallVector<Value> list;
  llvm::append_range(list, func.getArguments());
  func.walk<WalkOrder::PreOrder>([&](Operation *op) {
    bool isConstant = isa<ConstantOp, arith::ConstantOp>(op);
    if (!isConstant || constants)
      llvm::append_range(list, op->getResults());
    if (op != func)
      for (Region &region : op->getRegions())
        for (Block &block : region)
          llvm::append_range(list, block.getArguments());
  });
  llvm::erase_if(list,
                 [](Value value) { return !isa<TensorType>(value.getType()); });
  return list;
}

/// The text of a form, with the names of values in the place of read numbers.
static std::string printForm(const SymbolicShapes &shapes,
                             const ValueInfo &info, ReadNumberFn readNumber) {
  if (info.kind != ValueInfo::FormKind::List)
    return toString(info.form, readNumber);
  return toString(ArrayRef<IndexExpr>(info.list), readNumber);
}

void PrintIndexExprs::printText(func::FuncOp func,
                                const SymbolicShapes &shapes) {
  raw_ostream &os = llvm::outs();
  os << "function " << func.getName() << "\n";
  os << "  dims: " << llvm::join(shapes.freeDims(), ", ") << "\n";
  for (const DimSubstitution &substitution : shapes.substitutions())
    os << "  " << substitution.name << " := " << toString(substitution.value)
       << (substitution.assumed ? " (assumed: " : " (forced by ")
       << substitution.reason << ")\n";
  for (const DimCheck &check : shapes.checks())
    os << "  check: " << check.toString() << "\n";
  for (const std::string &line : shapes.assumptions())
    os << "  assumption: " << line << "\n";
  for (auto &[op, count] : shapes.unknownOps())
    os << "  no rule: " << op << " (" << count << ")\n";

  ReadNumbers numbers;
  for (Value value : values(func)) {
    const ValueInfo *info = shapes.lookup(value);
    os << "  " << nameOf(value) << ":";
    if (!info) {
      os << " nothing known\n";
      continue;
    }
    os << " " << (info->shape ? toString(ArrayRef<Poly>(*info->shape)) : "[*]")
       << " " << className(info->elementClass);
    if (info->kind == ValueInfo::FormKind::Sequence)
      os << " sequence of " << info->sequence->size();
    else if (info->kind != ValueInfo::FormKind::Leaf &&
             info->kind != ValueInfo::FormKind::None)
      os << " = " << printForm(shapes, *info, numbers);
    os << "\n";
  }
  for (auto [number, id] : llvm::enumerate(numbers.getIds()))
    os << "  read(" << number << ") is " << nameOf(shapes.valueOfRead(id))
       << "\n";
}

void PrintIndexExprs::printJson(func::FuncOp func,
                                const SymbolicShapes &shapes) {
  raw_ostream &os = llvm::outs();
  llvm::json::Array dims, substitutions, checks, assumptions, unknown;
  for (const std::string &name : shapes.freeDims())
    dims.push_back(name);
  for (const DimSubstitution &substitution : shapes.substitutions())
    substitutions.push_back(
        llvm::json::Object{{"name", substitution.name},
                           {"value", toString(substitution.value)},
                           {"assumed", substitution.assumed},
                           {"reason", substitution.reason}});
  for (const DimCheck &check : shapes.checks())
    checks.push_back(check.toString());
  for (const std::string &line : shapes.assumptions())
    assumptions.push_back(line);
  for (auto &[op, count] : shapes.unknownOps())
    unknown.push_back(op);
  os << llvm::json::Value(llvm::json::Object{
            {"function", func.getName()},
            {"dims", std::move(dims)},
            {"substitutions", std::move(substitutions)},
            {"checks", std::move(checks)},
            {"assumptions", std::move(assumptions)},
            {"unknown", std::move(unknown)},
            {"rounds", static_cast<int64_t>(shapes.rounds())}})
     << "\n";

  ReadNumbers numbers;
  for (Value value : values(func)) {
    const ValueInfo *info = shapes.lookup(value);
    if (!info)
      continue;
    llvm::json::Object entry{{"value", nameOf(value)},
                             {"class", className(info->elementClass)},
                             {"kind", kindName(info->kind)},
                             {"indexy", shapes.isIndexy(value)}};
    if (Operation *op = value.getDefiningOp())
      if (auto onnx = dyn_cast<OnnxOp>(op))
        entry["op"] = onnx.getOpType();
    if (info->shape) {
      llvm::json::Array shape;
      for (Poly extent : *info->shape)
        shape.push_back(toString(extent));
      entry["shape"] = std::move(shape);
    }
    if (info->kind == ValueInfo::FormKind::List) {
      llvm::json::Array list;
      for (IndexExpr e : info->list)
        list.push_back(toString(e, numbers));
      entry["list"] = std::move(list);
    }
    if (IndexExpr form = shapes.formOf(value))
      entry["form"] = toString(form, numbers);
    os << llvm::json::Value(std::move(entry)) << "\n";
  }
  llvm::json::Array reads;
  for (unsigned id : numbers.getIds())
    reads.push_back(nameOf(shapes.valueOfRead(id)));
  os << llvm::json::Value(llvm::json::Object{{"reads", std::move(reads)}})
     << "\n";
}

void PrintIndexExprs::runOnOperation() {
  for (func::FuncOp func : getOperation().getOps<func::FuncOp>()) {
    SymbolicShapes shapes(func);
    if (json)
      printJson(func, shapes);
    else
      printText(func, shapes);
  }
  markAllAnalysesPreserved();
}
