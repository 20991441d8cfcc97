//===- OnnxExporter.cpp - a rewritten model back to ONNX ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The source is imported and raised again, to the level of the model. What the
// model does not have in common with it is what passes did: sub-layers that are
// gone, weights with other values. These become edits of the file. Everything
// that the comparison does not know is an error, so no rewrite gets lost.
//
//===----------------------------------------------------------------------===//

#include "lathe/Export/OnnxExporter.h"
#include "GraphEditor.h"
#include "ModelDiff.h"
#include "ModelFile.h"
#include "TensorEdits.h"
#include "lathe/Import/OnnxImporter.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/Pipelines.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "lathe/Report/Report.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace lathe;
namespace path = llvm::sys::path;

//===----------------------------------------------------------------------===//
// The source
//===----------------------------------------------------------------------===//

namespace {
/// The file that a model was made from, and the model as it was.
struct Source {
  std::unique_ptr<OnnxModel> file;
  OwningOpRef<ModuleOp> imported, raised;
};
} // namespace

/// Where the source lies: where the module says, or beside the module.
static std::string locate(StringRef source, StringRef searchFolder) {
  if (llvm::sys::fs::exists(source) || searchFolder.empty())
    return source.str();
  SmallString<128> beside(searchFolder);
  path::append(beside, path::filename(source));
  return llvm::sys::fs::exists(beside) ? beside.str().str() : source.str();
}

static llvm::Expected<Source> loadSource(ModuleOp model,
                                         const ExportOptions &options) {
  auto name = model->getAttrOfType<StringAttr>(LatheDialect::kSourceAttr);
  if (!name)
    return llvm::createStringError(
        "the module does not say which ONNX file it was made from "
        "(attribute 'lathe.source')");
  auto levelName = model->getAttrOfType<StringAttr>(LatheDialect::kLevelAttr);
  auto level = levelName ? parseModelLevel(levelName) : std::nullopt;
  if (!level)
    return llvm::createStringError(
        "the module is at no level that is exported (attribute 'lathe.level' "
        "must be imported, raised or structure)");

  Source source;
  std::string file = locate(name, options.searchFolder);
  Problems problems(file);
  source.file = OnnxModel::load(file, {options.externalDataRoots}, problems);
  if (!source.file)
    return problems.toError();
  MLIRContext *context = model.getContext();
  source.imported = importOnnx(*source.file, context, problems);
  if (!source.imported)
    return problems.toError();
  source.raised = source.imported->clone();
  std::string reason;
  ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
    if (reason.empty() && diagnostic.getSeverity() == DiagnosticSeverity::Error)
      reason = diagnostic.str();
    return success();
  });
  PassManager passes(context, ModuleOp::getOperationName());
  raisePipeline(passes, *level);
  if (failed(passes.run(*source.raised)))
    return llvm::createStringError(file + ": " + reason);
  return source;
}

//===----------------------------------------------------------------------===//
// What cannot be exported
//===----------------------------------------------------------------------===//

/// Decisions of the program at run time: the report says whose.
static llvm::Error checkGates(ModuleOp model) {
  auto rows = getReportRows(model);
  if (!rows)
    return rows.takeError();
  unsigned count = 0;
  const ReportRow *first = nullptr;
  for (const ReportRow &row : *rows)
    if (row.action == ReportAction::Gated && ++count == 1)
      first = &row;
  if (!first)
    return llvm::Error::success();
  return llvm::createStringError(
      first->pass + " skips " + first->site +
      (count > 1 ? " and " + std::to_string(count - 1) + " more sites"
                 : std::string()) +
      " by a decision at run time, which plain ONNX would lose");
}

/// The bytes that the module names in the source must still be there.
static llvm::Error checkSource(const ModelDiff &diff, StringRef sourceFile) {
  auto isOutdated = [&](PayloadAttr before, PayloadAttr after) {
    return before && after && before.getHash() != after.getHash() &&
           path::filename(after.getFile()) == path::filename(sourceFile);
  };
  auto fail = [&](StringRef name) {
    return llvm::createStringError("the source " + sourceFile +
                                   " was changed after the module was made: '" +
                                   name + "' has other values");
  };
  for (WeightUse use : diff.weights) {
    auto before = use.before.getParts().getAs<PayloadAttr>("data");
    if (isOutdated(before, use.after.getParts().getAs<PayloadAttr>("data")))
      return fail(use.before.getSymName());
  }
  for (ConstantChange change : diff.constants)
    if (isOutdated(change.before.getValue(), change.after.getValue()))
      return fail(*change.before.getName());
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Edits
//===----------------------------------------------------------------------===//

/// Names of the ONNX values whose sum `value` is; a sum that raising made has
/// no name itself.
static std::vector<std::string> namesOf(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return {};
  Operation *op = result.getOwner();
  auto from = dyn_cast_or_null<DictionaryAttr>(
      op->getDiscardableAttr(LatheDialect::kFromAttr));
  auto outputs = from ? from.getAs<ArrayAttr>("outputs") : ArrayAttr();
  if (outputs && result.getResultNumber() < outputs.size())
    if (auto name = dyn_cast<StringAttr>(outputs[result.getResultNumber()]))
      return {name.str()};
  auto sum = dyn_cast<OnnxOp>(op);
  if (!sum || !sum.is("Add"))
    return {};
  std::vector<std::string> names;
  for (Value operand : sum.getInputs()) {
    std::vector<std::string> part = namesOf(operand);
    if (part.empty())
      return {};
    llvm::append_range(names, part);
  }
  return names;
}

static llvm::Expected<BranchRemoval> toRemoval(const RemovedSublayer &removed) {
  SublayerOp sublayer = removed.sublayer;
  BranchRemoval removal;
  removal.site = sublayer.getSite().getPath().str();
  removal.branch =
      namesOf(sublayer.getBody().front().getTerminator()->getOperand(0));
  if (removal.branch.empty())
    return llvm::createStringError("sub-layer " + removal.site +
                                   ": its branch is no value of the file");
  auto from = dyn_cast_or_null<DictionaryAttr>(
      sublayer->getDiscardableAttr(LatheDialect::kFromAttr));
  if (auto outputs = from ? from.getAs<ArrayAttr>("outputs") : ArrayAttr();
      outputs && !outputs.empty() && isa<StringAttr>(outputs[0]))
    removal.sum = cast<StringAttr>(outputs[0]).str();
  if (!removed.withNorm)
    return removal;
  std::vector<std::string> norm =
      namesOf(sublayer.getPost().front().getTerminator()->getOperand(0));
  if (norm.size() != 1 || removal.sum.empty())
    return llvm::createStringError("sub-layer " + removal.site +
                                   ": its norm is no value of the file");
  removal.norm = norm.front();
  return removal;
}

static llvm::Expected<GraphEdits> toGraphEdits(const ModelDiff &diff) {
  GraphEdits edits;
  edits.droppedInputs = diff.droppedInputs;
  edits.droppedOutputs = diff.droppedOutputs;
  for (const RemovedSublayer &removed : diff.removed) {
    auto removal = toRemoval(removed);
    if (!removal)
      return removal.takeError();
    edits.removals.push_back(std::move(*removal));
  }
  return edits;
}

using Shapes = llvm::StringMap<std::vector<std::string>>;

/// Shapes of the values of an imported model, by name.
static Shapes getShapes(ModuleOp imported) {
  Shapes shapes;
  auto entry = imported.lookupSymbol<func::FuncOp>("plain");
  SymbolicShapes analysis(entry);
  auto add = [&](StringRef name, Value value) {
    std::optional<ArrayRef<Poly>> shape = analysis.shapeOf(value);
    if (!shape)
      return;
    std::vector<std::string> &texts = shapes[name];
    for (Poly extent : *shape)
      texts.push_back(toString(extent));
  };
  for (BlockArgument arg : entry.getArguments())
    if (auto name = entry.getArgAttrOfType<StringAttr>(arg.getArgNumber(),
                                                       LatheDialect::kNameAttr))
      add(name, arg);
  entry.walk([&](Operation *op) {
    for (OpResult result : op->getResults())
      if (std::vector<std::string> names = namesOf(result); names.size() == 1)
        add(names.front(), result);
  });
  return shapes;
}

static llvm::Error exportModel(ModuleOp model, StringRef path,
                               const ExportOptions &options) {
  if (llvm::Error error = checkGates(model))
    return error;
  auto source = loadSource(model, options);
  if (!source)
    return source.takeError();
  auto diff = diffModels(*source->raised, model);
  if (!diff)
    return diff.takeError();
  if (llvm::Error error = checkSource(*diff, source->file->getPath()))
    return error;
  auto tensors = findTensorEdits(*diff, *source->file);
  if (!tensors)
    return tensors.takeError();
  bool isEdited = diff->changesGraph() || !tensors->empty();
  bool hasCalls = source->file->getProto().functions_size() != 0;
  auto file = ModelFile::copy(*source->file, isEdited && hasCalls);
  if (!file)
    return file.takeError();
  if (diff->changesGraph()) {
    auto edits = toGraphEdits(*diff);
    if (!edits)
      return edits.takeError();
    Shapes shapes = getShapes(*source->imported);
    auto shapeOf = [&](StringRef name) {
      auto found = shapes.find(name);
      return found == shapes.end() ? std::nullopt
                                   : std::optional(found->second);
    };
    if (llvm::Error error = editGraph(file->getGraph(), *edits, shapeOf))
      return error;
  }
  file->apply(*tensors);
  return file->write(path, options.embedLimit);
}

llvm::Error lathe::exportOnnx(ModuleOp model, StringRef path,
                              const ExportOptions &options) {
  llvm::Error error = exportModel(model, path, options);
  if (!error)
    return error;
  std::string reason = llvm::toString(std::move(error));
  if (!StringRef(reason).starts_with(path))
    reason = path.str() + ": cannot be exported: " + reason;
  return llvm::createStringError(reason);
}
