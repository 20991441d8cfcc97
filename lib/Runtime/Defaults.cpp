//===- Defaults.cpp - inputs that a user may leave out -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Defaults.h"

#include <algorithm>
#include <cassert>

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

static std::string joinNames(const std::vector<std::string> &names) {
  constexpr size_t most = 4;
  std::string text;
  for (size_t i = 0; i < names.size() && i < most; ++i)
    text += (i ? ", " : "") + names[i];
  if (names.size() > most)
    text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

Result<InputCompleter> InputCompleter::create(const Entry &entry) {
  InputCompleter completer(entry);
  Result<DimSolver> solver = DimSolver::create(entry);
  if (solver.failed())
    return solver.takeStatus();
  completer.solver = std::move(*solver);
  completer.all.resize(entry.inputs.size());
  completer.buffers.resize(entry.inputs.size());
  for (const ValueDecl &decl : entry.inputs)
    completer.shapes.emplace_back(decl.shape.size());
  return completer;
}

Status InputCompleter::addEquations(
    const std::vector<std::optional<TensorView>> &given,
    const InputOptions &options) {
  if (options.cache) {
    const std::pair<const std::string &, int64_t> roles[] = {
        {entry->roles.batch, options.cache->batch()},
        {entry->roles.past, options.cache->length()},
        {entry->roles.capacity, options.cache->capacity()}};
    for (const auto &[name, value] : roles)
      if (int dim = solver.find(name); dim >= 0)
        solver.setDim(dim, value);
  }
  for (const auto &[name, value] : options.dims)
    if (Status status = solver.set(name, value); status.failed())
      return status;
  for (const auto &[name, shape] : options.shapes) {
    const std::string &wanted = name;
    auto found = std::find_if(
        entry->inputs.begin(), entry->inputs.end(),
        [&](const ValueDecl &decl) { return decl.name == wanted; });
    if (found == entry->inputs.end())
      return Status::error("there is no input '" + name + "'");
    TensorView view{found->dtype, shape.data(), unsigned(shape.size()),
                    nullptr};
    if (Status status = solver.addInput(found - entry->inputs.begin(), view);
        status.failed())
      return status;
  }
  for (unsigned i = 0; i < given.size(); ++i)
    if (given[i])
      if (Status status = solver.addInput(i, *given[i]); status.failed())
        return status;
  return Status::ok();
}

void InputCompleter::findMissing(
    const std::vector<std::optional<TensorView>> &given) {
  size_t pastInputs = 0;
  missing.clear();
  missingPast.clear();
  for (unsigned i = 0; i < given.size(); ++i) {
    bool isPast = inputKind(entry->inputs[i].name) == InputKind::Past;
    pastInputs += isPast;
    if (given[i])
      continue;
    missing.push_back(i);
    if (isPast)
      missingPast.push_back(i);
  }
  emptyPast = !missingPast.empty() && missingPast.size() == pastInputs;
}

/// Sets the length of the past to 0 where nothing has decided it: the dim in
/// that role or, without roles, what only past inputs have beside the batch.
void InputCompleter::decidePast() {
  if (!emptyPast)
    return;
  if (int past = solver.find(entry->roles.past); past >= 0) {
    if (!solver.isKnown(past))
      solver.setDim(past, 0);
    return;
  }
  int batch = solver.find(entry->roles.batch);
  for (unsigned input : missingPast)
    for (unsigned axis = 1; axis < entry->inputs[input].shape.size(); ++axis)
      for (unsigned dim : solver.inputDimUses(input, axis))
        if (!solver.isKnown(dim) && int(dim) != batch)
          solver.setDim(dim, 0);
}

Status InputCompleter::decideBatch(std::vector<std::string> *notes) {
  int batch = solver.find(entry->roles.batch);
  if (batch < 0 || solver.isKnown(batch))
    return Status::ok();
  solver.setDim(batch, 1);
  if (notes)
    notes->push_back("dim '" + entry->roles.batch + "' is not set: 1");
  return solver.solve();
}

/// A past that the user made longer than empty cannot be invented.
Status InputCompleter::checkPast() const {
  if (!emptyPast)
    return Status::ok();
  for (unsigned input : missingPast) {
    const ValueDecl &decl = entry->inputs[input];
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

Status InputCompleter::checkMissing() const {
  std::vector<std::string> names;
  for (unsigned input : missing) {
    const std::string &name = entry->inputs[input].name;
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

int64_t InputCompleter::pastLength() const {
  int past = solver.find(entry->roles.past);
  return past >= 0 && solver.isKnown(past) ? solver.values()[past] : 0;
}

/// From the equations to all dims.
Status InputCompleter::decideDims(const InputOptions &options,
                                  std::vector<std::string> *notes) {
  if (Status status = solver.solve(); status.failed())
    return status;
  if (!options.sample)
    if (Status status = checkMissing(); status.failed())
      return status;
  decidePast();
  if (Status status = solver.solve(); status.failed())
    return status;
  if (Status status = decideBatch(notes); status.failed())
    return status;
  solver.setDefaults();
  if (std::string names = solver.unknownNames(); !names.empty())
    return Status::error("nothing decides the dims " + names +
                         "; set them, as in --dim " +
                         names.substr(0, names.find(',')) + "=8");
  return options.sample ? Status::ok() : checkPast();
}

/// Evaluates the shape of an input at the dims and gives its bytes.
Result<int64_t> InputCompleter::evaluateShape(unsigned index) {
  const ValueDecl &decl = entry->inputs[index];
  std::vector<int64_t> &shape = shapes[index];
  for (unsigned axis = 0; axis < shape.size(); ++axis)
    if (!solver.inputDim(index, axis, shape[axis]))
      return Status::error("input '" + decl.name +
                           "' has no size at these dims");
  Result<int64_t> bytes = tensorBytes(decl.dtype, shape.data(), shape.size());
  if (bytes.failed())
    return bytes.takeStatus().prefixed("input '" + decl.name + "': ");
  return bytes;
}

/// Makes sure that an input has memory for its shape, now and with a full
/// cache.
Status InputCompleter::reserve(unsigned index, const KvCache *cache) {
  Result<int64_t> bytes = evaluateShape(index);
  if (bytes.failed())
    return bytes.takeStatus();
  if (buffers[index].data() && *bytes <= buffers[index].size())
    return Status::ok();
  int64_t most = *bytes;
  if (int past = solver.find(entry->roles.past); cache && past >= 0) {
    int64_t length = solver.values()[past];
    solver.setDim(past, cache->capacity());
    // A shape that only a full cache makes impossible is none of this call's.
    if (Result<int64_t> full = evaluateShape(index); !full.failed())
      most = std::max(most, *full);
    solver.setDim(past, length);
    // Back to the shape of now.
    bytes = evaluateShape(index);
  }
  Result<Pages> pages = Pages::allocate(most);
  if (pages.failed())
    return pages.takeStatus().prefixed("input '" + entry->inputs[index].name +
                                       "': ");
  buffers[index] = std::move(*pages);
  return Status::ok();
}

void InputCompleter::fill(unsigned index) const {
  const TensorView &tensor = all[index];
  switch (inputKind(entry->inputs[index].name)) {
  case InputKind::AttentionMask:
    return fillConstant(tensor, 1);
  case InputKind::PositionIds:
    return fillPositions(tensor, pastLength());
  case InputKind::TokenTypeIds:
    // Its memory is fresh zeros, which nobody changes.
    return;
  default:
    break;
  }
  DType dtype = tensor.dtype;
  if (dtype != DType::F32 && dtype != DType::F64)
    return fillConstant(tensor, isFloat(dtype) ? 0 : 1);
  // A fixed sequence, so that timings repeat.
  uint32_t state = 12345;
  for (int64_t i = 0, n = tensor.elements(); i < n; ++i) {
    state = state * 1664525 + 1013904223;
    float value = int32_t(state) * 0x1p-31f;
    if (dtype == DType::F32)
      static_cast<float *>(tensor.data)[i] = value;
    else
      static_cast<double *>(tensor.data)[i] = value;
  }
}

void InputCompleter::notePast(std::vector<std::string> &notes) const {
  if (missingPast.empty())
    return;
  std::vector<std::string> names;
  for (unsigned input : missingPast)
    names.push_back(entry->inputs[input].name);
  notes.push_back("left out: " + joinNames(names) + ": " +
                  (pastLength() == 0 ? "empty" : "made up"));
}

void InputCompleter::noteInput(unsigned index,
                               std::vector<std::string> &notes) const {
  const std::string &name = entry->inputs[index].name;
  std::string note = "input '" + name + "' left out: ";
  std::string shape = shapeText(all[index].shape, all[index].rank);
  switch (inputKind(name)) {
  case InputKind::Past: // all of them have one note
    return;
  case InputKind::AttentionMask:
    notes.push_back(note + "ones " + shape);
    return;
  case InputKind::PositionIds:
    notes.push_back(note + "counted from " + std::to_string(pastLength()));
    return;
  case InputKind::TokenTypeIds:
    notes.push_back(note + "zeros " + shape);
    return;
  case InputKind::Other:
    notes.push_back(note + "made up " + shape);
  }
}

Status
InputCompleter::complete(const std::vector<std::optional<TensorView>> &given,
                         const InputOptions &options,
                         std::vector<std::string> *notes) {
  assert(given.size() == all.size() && "one element per input");
  solver.reset();
  findMissing(given);
  if (Status status = addEquations(given, options); status.failed())
    return status;
  if (Status status = decideDims(options, notes); status.failed())
    return status;
  if (notes)
    notePast(*notes);
  for (unsigned i = 0; i < given.size(); ++i)
    if (given[i])
      all[i] = *given[i];
  for (unsigned input : missing) {
    if (Status status = reserve(input, options.cache); status.failed())
      return status;
    all[input] = {entry->inputs[input].dtype, shapes[input].data(),
                  unsigned(shapes[input].size()), buffers[input].data()};
    fill(input);
    if (notes)
      noteInput(input, *notes);
  }
  return Status::ok();
}

Status lathe::rt::completeInputs(const Entry &entry,
                                 const InputOptions &options, TensorMap &inputs,
                                 std::vector<std::string> &notes) {
  Result<InputCompleter> made = InputCompleter::create(entry);
  if (made.failed())
    return made.takeStatus();
  // Keeps the memory of all tensors that it makes.
  auto completer = std::make_shared<InputCompleter>(std::move(*made));
  std::vector<std::optional<TensorView>> given(entry.inputs.size());
  for (unsigned i = 0; i < given.size(); ++i) {
    const ValueDecl &decl = entry.inputs[i];
    if (auto bad = inputs.unusable.find(decl.name);
        bad != inputs.unusable.end())
      return Status::error("input '" + decl.name + "': " + bad->second);
    const Tensor *tensor = inputs.find(decl.name);
    if (!tensor)
      continue;
    given[i] = tensor->view();
    if (numpyCarrier(decl.dtype) == given[i]->dtype)
      given[i]->dtype = decl.dtype;
  }
  if (Status status = completer->complete(given, options, &notes);
      status.failed())
    return status;
  for (unsigned i = 0; i < given.size(); ++i) {
    const TensorView &view = completer->views()[i];
    if (!given[i])
      inputs.tensors[entry.inputs[i].name] = Tensor::over(
          view.dtype, std::vector<int64_t>(view.shape, view.shape + view.rank),
          view.data, completer);
  }
  return Status::ok();
}
