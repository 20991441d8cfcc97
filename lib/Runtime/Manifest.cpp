//===- Manifest.cpp - verification of manifests -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Manifest.h"

#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/Checked.h"

#include <algorithm>
#include <set>

using namespace lathe::rt;

const Entry *Manifest::find(const std::string &entry) const {
  for (const Entry &candidate : entries)
    if (candidate.name == entry)
      return &candidate;
  return nullptr;
}

namespace {
constexpr size_t maxProblems = 20;
constexpr size_t maxRank = 64;

/// Collects what is wrong with a manifest.
class Verifier {
public:
  explicit Verifier(const Manifest &manifest) : manifest(manifest) {}
  Status run();

private:
  void problem(const std::string &text) {
    ++count;
    if (problems.size() < maxProblems)
      problems.push_back(where.empty() ? text : where + ": " + text);
  }
  void checkParts();
  void checkLibraries();
  void checkEntry(const Entry &entry);
  void checkDims(const Entry &entry);
  void checkExpr(const Expr &expr, const std::string &what);
  template <typename Decl>
  void checkTensors(const std::vector<Decl> &tensors, const char *what);
  void checkKv(const Entry &entry);
  void checkStages(const Entry &entry);
  void checkStage(const Entry &entry, const Stage &stage);
  void checkResidual(const Entry &entry, const Stage &stage);
  void checkOutputs(const Entry &entry);
  bool inRange(const Entry &entry, Ref ref);
  bool isWritten(Ref ref) const;
  void checkSameKv();

  const Manifest &manifest;
  std::string where;
  std::vector<std::string> problems;
  size_t count = 0;

  // Of the entry in hand.
  const Entry *current = nullptr;
  std::vector<char> valueWritten, outputWritten;
};
} // namespace

/// A symbol or file name that may be handed to the system as it is.
static bool isPlainName(const std::string &name) {
  return !name.empty() && name.size() < 256 && name != "." && name != ".." &&
         name.find_first_of(std::string("/\0", 2)) == std::string::npos;
}

static bool isIdentifier(const std::string &name) {
  return !name.empty() && name.size() < 4096 &&
         std::all_of(
             name.begin(), name.end(),
             [](unsigned char c) {
               return std::isalnum(c) || c == '_' || c == '.' || c == '$';
             });
}

Status Verifier::run() {
  if (manifest.abi != LATHE_ABI_VERSION)
    problem("made for version " + std::to_string(manifest.abi) +
            " of the stage interface, this runtime has version " +
            std::to_string(LATHE_ABI_VERSION));
  checkLibraries();
  checkParts();
  if (manifest.entries.empty())
    problem("has no entries");
  std::set<std::string> names;
  for (const Entry &entry : manifest.entries) {
    where = "entry '" + entry.name + "'";
    if (entry.name.empty() || !names.insert(entry.name).second)
      problem("its name is empty or used twice");
    checkEntry(entry);
  }
  where.clear();
  checkSameKv();
  if (count == 0)
    return Status::ok();
  if (count == 1)
    return Status::error(problems[0]);
  std::string text = std::to_string(count) + " problems";
  for (const std::string &line : problems)
    text += "\n  " + line;
  return Status::error(text);
}

void Verifier::checkLibraries() {
  for (const Library &library : manifest.libraries)
    if (!isPlainName(library.file))
      problem("library '" + library.file + "' is not a plain file name");
  if (!manifest.weights.file.empty() && !isPlainName(manifest.weights.file))
    problem("weights file '" + manifest.weights.file +
            "' is not a plain file name");
}

void Verifier::checkParts() {
  std::set<std::string> names;
  for (const Part &part : manifest.parts) {
    if (part.name.empty() || !names.insert(part.name).second)
      problem("part name '" + part.name + "' is empty or used twice");
    if (part.offset % LATHE_ALIGNMENT != 0)
      problem("part '" + part.name + "': offset " +
              std::to_string(part.offset) + " is not a multiple of " +
              std::to_string(LATHE_ALIGNMENT));
    uint64_t end;
    if (!checkedAdd(part.offset, part.bytes, end) ||
        (manifest.weights.bytes != 0 && end > manifest.weights.bytes))
      problem("part '" + part.name + "': bytes " + std::to_string(part.offset) +
              " to " + std::to_string(part.offset) + " + " +
              std::to_string(part.bytes) + " lie outside the weights file of " +
              std::to_string(manifest.weights.bytes) + " bytes");
  }
}

void Verifier::checkEntry(const Entry &entry) {
  current = &entry;
  checkDims(entry);
  checkTensors(entry.inputs, "input");
  checkTensors(entry.outputs, "output");
  checkTensors(entry.values, "value");
  checkKv(entry);
  checkExpr(entry.appends, "'appends'");
  for (const Check &check : entry.checks) {
    checkExpr(check.left, "check '" + check.message + "'");
    checkExpr(check.right, "check '" + check.message + "'");
  }
  valueWritten.assign(entry.values.size(), false);
  outputWritten.assign(entry.outputs.size(), false);
  checkStages(entry);
  checkOutputs(entry);
}

void Verifier::checkDims(const Entry &entry) {
  std::set<std::string> names;
  for (const std::string &dim : entry.dims)
    if (dim.empty() || !names.insert(dim).second)
      problem("dim name '" + dim + "' is empty or used twice");
  for (const std::string *role :
       {&entry.roles.batch, &entry.roles.sequence, &entry.roles.past,
        &entry.roles.capacity, &entry.roles.logits})
    if (!role->empty() && !names.count(*role))
      problem("'roles' names the unknown dim '" + *role + "'");
  for (const auto &[name, expr] : entry.aliases) {
    if (name.empty() || !names.insert(name).second)
      problem("alias '" + name + "' is empty or names a dim or another alias");
    checkExpr(expr, "alias '" + name + "'");
  }
}

void Verifier::checkExpr(const Expr &expr, const std::string &what) {
  Result<ExprCode> code = ExprCode::compile(expr, current->dims);
  if (code.failed())
    problem(what + ": " + code.message());
}

template <typename Decl>
void Verifier::checkTensors(const std::vector<Decl> &tensors,
                            const char *what) {
  std::set<std::string> names;
  for (const Decl &tensor : tensors) {
    std::string name = std::string(what) + " '" + tensor.name + "'";
    if (tensor.name.empty() || !names.insert(tensor.name).second)
      problem(name + ": the name is empty or used twice");
    if (tensor.shape.size() > maxRank)
      problem(name + ": rank " + std::to_string(tensor.shape.size()) +
              " is above " + std::to_string(maxRank));
    for (const Expr &dim : tensor.shape)
      checkExpr(dim, name);
  }
}

static bool isLayout(std::string letters) {
  std::sort(letters.begin(), letters.end());
  return letters == "bdhs";
}

void Verifier::checkKv(const Entry &entry) {
  std::set<std::string> names;
  for (const KvSlot &slot : entry.kv) {
    std::string name = "KV slot '" + slot.name + "'";
    if (slot.name.empty() || !names.insert(slot.name).second)
      problem(name + ": the name is empty or used twice");
    if (slot.heads < 1 || slot.headDim < 1 || slot.valueDim < 1)
      problem(name + ": heads and dims must be positive");
    if (!isLayout(slot.keyLayout) || !isLayout(slot.valueLayout))
      problem(name + ": a layout is the letters b, h, s, d in some order");
  }
  if (entry.kv.empty())
    return;
  if (entry.roles.past.empty() || entry.roles.capacity.empty())
    problem("has KV slots but no dims in the roles 'past' and 'capacity'");
}

bool Verifier::inRange(const Entry &entry, Ref ref) {
  size_t size = 0;
  switch (ref.kind) {
  case Ref::Kind::Input:
    size = entry.inputs.size();
    break;
  case Ref::Kind::Output:
    size = entry.outputs.size();
    break;
  case Ref::Kind::Value:
    size = entry.values.size();
    break;
  case Ref::Kind::CacheKey:
  case Ref::Kind::CacheValue:
    size = entry.kv.size();
    break;
  }
  return ref.index < size;
}

bool Verifier::isWritten(Ref ref) const {
  if (ref.kind == Ref::Kind::Value)
    return valueWritten[ref.index];
  if (ref.kind == Ref::Kind::Output)
    return outputWritten[ref.index];
  return true;
}

void Verifier::checkStages(const Entry &entry) {
  std::string entryName = where;
  for (size_t i = 0; i < entry.stages.size(); ++i) {
    where = entryName + ", stage " + std::to_string(i) + " '" +
            entry.stages[i].site + "'";
    checkStage(entry, entry.stages[i]);
  }
  where = entryName;
}

void Verifier::checkStage(const Entry &entry, const Stage &stage) {
  if (!isIdentifier(stage.function))
    problem("'" + stage.function + "' is not the name of a function");
  for (uint32_t part : stage.parts)
    if (part >= manifest.parts.size())
      problem("part " + std::to_string(part) + " does not exist");
  if (stage.macs)
    checkExpr(*stage.macs, "'macs'");
  for (Ref ref : stage.args) {
    if (!inRange(entry, ref))
      problem("an argument is out of range");
    else if (!isWritten(ref))
      problem("reads '" +
              (ref.kind == Ref::Kind::Value ? entry.values[ref.index].name
                                            : entry.outputs[ref.index].name) +
              "' before any stage has written it");
  }
  checkResidual(entry, stage);
  for (Ref ref : stage.outs) {
    if (!inRange(entry, ref))
      problem("an output is out of range");
    else if (ref.kind == Ref::Kind::Input)
      problem("writes the input '" + entry.inputs[ref.index].name + "'");
    else if (ref.kind == Ref::Kind::Value)
      valueWritten[ref.index] = true;
    else if (ref.kind == Ref::Kind::Output) {
      outputWritten[ref.index] = true;
      if (entry.outputs[ref.index].copyOf)
        problem("writes the output '" + entry.outputs[ref.index].name +
                "', which is a copy");
    }
  }
}

/// The declaration behind an input, output or value.
static const ValueDecl *declOf(const Entry &entry, Ref ref) {
  switch (ref.kind) {
  case Ref::Kind::Input:
    return &entry.inputs[ref.index];
  case Ref::Kind::Output:
    return &entry.outputs[ref.index];
  case Ref::Kind::Value:
    return &entry.values[ref.index];
  default:
    return nullptr;
  }
}

static bool sameType(const ValueDecl *a, const ValueDecl *b) {
  return a && b && a->dtype == b->dtype && a->shape == b->shape;
}

void Verifier::checkResidual(const Entry &entry, const Stage &stage) {
  if (!stage.residual)
    return;
  if (*stage.residual >= stage.args.size())
    return problem("'residual' is not the number of an argument");
  // Writes to the cache do not count: they stay in the skipped stage.
  if (stage.outs.size() != 1)
    return problem("has a residual and needs exactly one output");
  Ref from = stage.args[*stage.residual], to = stage.outs[0];
  if (inRange(entry, from) && inRange(entry, to) &&
      !sameType(declOf(entry, from), declOf(entry, to)))
    problem("its residual and its output differ in type or shape");
}

void Verifier::checkOutputs(const Entry &entry) {
  for (size_t i = 0; i < entry.outputs.size(); ++i) {
    const OutputDecl &output = entry.outputs[i];
    if (!output.copyOf) {
      if (!outputWritten[i])
        problem("output '" + output.name + "' is written by no stage");
      continue;
    }
    if (!inRange(entry, *output.copyOf) || !isWritten(*output.copyOf))
      problem("output '" + output.name + "' copies what does not exist");
    else if (!sameType(&output, declOf(entry, *output.copyOf)))
      problem("output '" + output.name +
              "' differs in type or shape from what it copies");
  }
}

static bool sameSlot(const KvSlot &a, const KvSlot &b) {
  return a.name == b.name && a.heads == b.heads && a.headDim == b.headDim &&
         a.valueDim == b.valueDim && a.dtype == b.dtype;
}

void Verifier::checkSameKv() {
  const Entry *first = nullptr;
  for (const Entry &entry : manifest.entries) {
    if (entry.kv.empty())
      continue;
    if (!first)
      first = &entry;
    else if (!std::equal(entry.kv.begin(), entry.kv.end(), first->kv.begin(),
                         first->kv.end(), sameSlot))
      problem("entries '" + first->name + "' and '" + entry.name +
              "' have different KV slots");
  }
}

Status lathe::rt::verifyManifest(const Manifest &manifest) {
  return Verifier(manifest).run();
}
