//===- Defaults.cpp - inputs that a user may leave out -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Defaults.h"

#include <algorithm>

using namespace lathe::rt;

InputKind lathe::rt::inputKind(const std::string &name) {
  if (name.compare(0, 4, "past") == 0)
    return InputKind::Past;
  if (name == "attention_mask")
    return InputKind::AttentionMask;
  if (name == "position_ids")
    return InputKind::PositionIds;
  if (name == "token_type_ids")
    return InputKind::TokenTypeIds;
  return InputKind::Other;
}

void lathe::rt::fillConstant(const TensorView &tensor, int64_t value) {
  for (int64_t i = 0, n = tensor.elements(); i < n; ++i)
    storeNumber(tensor.dtype, tensor.data, i, value);
}

void lathe::rt::fillPositions(const TensorView &tensor, int64_t first) {
  int64_t length = tensor.rank == 0 ? 1 : tensor.shape[tensor.rank - 1];
  for (int64_t i = 0, n = tensor.elements(); i < n; ++i)
    storeNumber(tensor.dtype, tensor.data, i, first + i % length);
}

void lathe::rt::nameTestInputs(const Entry &entry, TensorMap &inputs) {
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    const std::string &name = entry.inputs[i].name;
    auto found = inputs.tensors.find("input_" + std::to_string(i));
    if (found != inputs.tensors.end() && !inputs.find(name))
      inputs.tensors.emplace(name, found->second);
  }
}

namespace {
class Completer {
public:
  Completer(const Entry &entry, const InputOptions &options, TensorMap &inputs,
            std::vector<std::string> &notes)
      : entry(entry), options(options), inputs(inputs), notes(notes) {}

  Status run();

private:
  Status addEquations();
  void findMissing();
  void decidePast();
  Status decideBatch();
  Status checkPast() const;
  Status checkMissing() const;
  Status makeInput(unsigned index);
  void fill(const Tensor &tensor, unsigned index);
  int64_t pastLength() const;

  const Entry &entry;
  const InputOptions &options;
  TensorMap &inputs;
  std::vector<std::string> &notes;
  DimSolver solver;
  std::vector<unsigned> missing, missingPast;
  bool emptyPast = false; ///< all past inputs are missing
};
} // namespace

static std::string joinNames(const std::vector<std::string> &names) {
  constexpr size_t most = 4;
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i)
    text += (i ? ", " : "") + names[i];
  if (names.size() > most)
    text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

Status Completer::addEquations() {
  if (options.cache) {
    const std::pair<const std::string &, int64_t> roles[] = {
        {entry.roles.batch, options.cache->batch()},
        {entry.roles.past, options.cache->length()},
        {entry.roles.capacity, options.cache->capacity()}};
    for (const auto &[name, value] : roles)
      if (int dim = solver.find(name); dim >= 0)
        solver.setDim(dim, value);
  }
  for (const auto &[name, value] : options.dims)
    if (Status status = solver.set(name, value); status.failed())
      return status;
  for (const auto &given : options.shapes) {
    const std::vector<int64_t> &shape = given.second;
    auto found = std::find_if(
        entry.inputs.begin(), entry.inputs.end(),
        [&](const ValueDecl &decl) { return decl.name == given.first; });
    if (found == entry.inputs.end())
      return Status::error("there is no input '" + given.first + "'");
    TensorView view{found->dtype, shape.data(), unsigned(shape.size()),
                    nullptr};
    if (Status status = solver.addInput(found - entry.inputs.begin(), view);
        status.failed())
      return status;
  }
  for (unsigned i = 0; i < entry.inputs.size(); ++i) {
    const ValueDecl &decl = entry.inputs[i];
    const Tensor *tensor = inputs.find(decl.name);
    if (!tensor)
      continue;
    TensorView view = tensor->view();
    if (numpyCarrier(decl.dtype) == view.dtype)
      view.dtype = decl.dtype;
    if (Status status = solver.addInput(i, view); status.failed())
      return status;
  }
  return Status::ok();
}

void Completer::findMissing() {
  size_t pastInputs = 0;
  for (unsigned i = 0; i < entry.inputs.size(); ++i) {
    bool isPast = inputKind(entry.inputs[i].name) == InputKind::Past;
    pastInputs += isPast;
    if (inputs.find(entry.inputs[i].name))
      continue;
    missing.push_back(i);
    if (isPast)
      missingPast.push_back(i);
  }
  emptyPast = !missingPast.empty() && missingPast.size() == pastInputs;
}

/// Sets the length of the past to 0 where nothing has decided it: the dim in
/// that role or, without roles, what only past inputs have beside the batch.
void Completer::decidePast() {
  if (!emptyPast)
    return;
  if (int past = solver.find(entry.roles.past); past >= 0) {
    if (!solver.isKnown(past))
      solver.setDim(past, 0);
    return;
  }
  int batch = solver.find(entry.roles.batch);
  for (unsigned input : missingPast)
    for (unsigned axis = 1; axis < entry.inputs[input].shape.size(); ++axis)
      for (unsigned dim : solver.inputDimUses(input, axis))
        if (!solver.isKnown(dim) && int(dim) != batch)
          solver.setDim(dim, 0);
}

Status Completer::decideBatch() {
  int batch = solver.find(entry.roles.batch);
  if (batch < 0 || solver.isKnown(batch))
    return Status::ok();
  solver.setDim(batch, 1);
  notes.push_back("dim '" + entry.roles.batch + "' is not set: 1");
  return solver.solve();
}

/// A past that the user made longer than empty cannot be invented.
Status Completer::checkPast() const {
  if (!emptyPast || options.sample)
    return Status::ok();
  for (unsigned input : missingPast) {
    const ValueDecl &decl = entry.inputs[input];
    bool empty = decl.shape.empty();
    for (unsigned axis = 0; axis < decl.shape.size(); ++axis) {
      int64_t size;
      empty |= solver.inputDim(input, axis, size) && size == 0;
    }
    if (!empty)
      return Status::error("input '" + decl.name +
                           "' is missing, and the other inputs or dims leave " +
                           std::to_string(pastLength()) +
                           " earlier positions for it");
  }
  return Status::ok();
}

Status Completer::checkMissing() const {
  if (options.sample)
    return Status::ok();
  std::vector<std::string> names;
  for (unsigned input : missing) {
    const std::string &name = entry.inputs[input].name;
    InputKind kind = inputKind(name);
    if (kind == InputKind::Other || (kind == InputKind::Past && !emptyPast))
      names.push_back(name);
  }
  if (names.empty())
    return Status::ok();
  return Status::error(
      (names.size() == 1 ? "input is missing: " : "inputs are missing: ") +
      joinNames(names));
}

int64_t Completer::pastLength() const {
  int past = solver.find(entry.roles.past);
  return past >= 0 && solver.isKnown(past) ? solver.values()[past] : 0;
}

void Completer::fill(const Tensor &tensor, unsigned index) {
  switch (inputKind(entry.inputs[index].name)) {
  case InputKind::AttentionMask:
    return fillConstant(tensor.view(), 1);
  case InputKind::PositionIds:
    return fillPositions(tensor.view(), pastLength());
  case InputKind::TokenTypeIds:
    return;
  default:
    break;
  }
  DType dtype = tensor.dtype();
  if (dtype != DType::F32 && dtype != DType::F64)
    return fillConstant(tensor.view(), isFloat(dtype) ? 0 : 1);
  // A fixed sequence, so that timings repeat.
  uint32_t state = 12345;
  for (int64_t i = 0, n = tensor.elements(); i < n; ++i) {
    state = state * 1664525 + 1013904223;
    float value = int32_t(state) * 0x1p-31f;
    if (dtype == DType::F32)
      tensor.as<float>()[i] = value;
    else
      tensor.as<double>()[i] = value;
  }
}

Status Completer::makeInput(unsigned index) {
  const ValueDecl &decl = entry.inputs[index];
  std::vector<int64_t> shape(decl.shape.size());
  for (unsigned axis = 0; axis < shape.size(); ++axis)
    if (!solver.inputDim(index, axis, shape[axis]))
      return Status::error("input '" + decl.name +
                           "' has no size at these dims");
  Result<Tensor> tensor = Tensor::zeros(decl.dtype, shape);
  if (tensor.failed())
    return tensor.takeStatus().prefixed("input '" + decl.name + "': ");
  fill(*tensor, index);
  InputKind kind = inputKind(decl.name);
  std::string note = "input '" + decl.name + "' left out: ";
  if (kind == InputKind::AttentionMask)
    notes.push_back(note + "ones " + shapeText(shape.data(), shape.size()));
  else if (kind == InputKind::PositionIds)
    notes.push_back(note + "counted from " + std::to_string(pastLength()));
  else if (kind == InputKind::TokenTypeIds)
    notes.push_back(note + "zeros " + shapeText(shape.data(), shape.size()));
  else if (kind == InputKind::Other)
    notes.push_back(note + "made up " + shapeText(shape.data(), shape.size()));
  inputs.tensors[decl.name] = std::move(*tensor);
  return Status::ok();
}

Status Completer::run() {
  Result<DimSolver> made = DimSolver::create(entry);
  if (made.failed())
    return made.takeStatus();
  solver = std::move(*made);
  findMissing();
  for (const ValueDecl &decl : entry.inputs)
    if (auto bad = inputs.unusable.find(decl.name);
        bad != inputs.unusable.end())
      return Status::error("input '" + decl.name + "': " + bad->second);
  if (Status status = addEquations(); status.failed())
    return status;
  if (Status status = solver.solve(); status.failed())
    return status;
  if (Status status = checkMissing(); status.failed())
    return status;
  decidePast();
  if (Status status = solver.solve(); status.failed())
    return status;
  if (Status status = decideBatch(); status.failed())
    return status;
  solver.setDefaults();
  if (std::string names = solver.unknownNames(); !names.empty())
    return Status::error("nothing decides the dims " + names +
                         "; set them, as in --dim " +
                         names.substr(0, names.find(',')) + "=8");
  if (Status status = checkPast(); status.failed())
    return status;
  if (!missingPast.empty()) {
    std::vector<std::string> names;
    for (unsigned input : missingPast)
      names.push_back(entry.inputs[input].name);
    notes.push_back("left out: " + joinNames(names) + ": " +
                    (pastLength() == 0 ? "empty" : "made up"));
  }
  for (unsigned input : missing)
    if (Status status = makeInput(input); status.failed())
      return status;
  return Status::ok();
}

Status lathe::rt::completeInputs(const Entry &entry,
                                 const InputOptions &options, TensorMap &inputs,
                                 std::vector<std::string> &notes) {
  return Completer(entry, options, inputs, notes).run();
}
