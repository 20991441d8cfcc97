//===- GraphEditor.cpp - edits of an ONNX graph ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A branch goes by being zero: sums with a zero are their other operand, and
// movement of zeros is zero. What only the branch needed is then dead.
//
// Exporters read extents from whatever tensor is at hand, also from one inside
// a removed branch. Reading the shape of a value that something else needs, or
// needed before the edit, therefore keeps nothing alive; if the value goes, the
// shape of another one is read.
//
//===----------------------------------------------------------------------===//

#include "GraphEditor.h"
#include "lathe/Import/Onnx.pb.h"
#include "lathe/Import/Problems.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

using namespace lathe;
using llvm::StringRef;

namespace {

class Editor {
public:
  Editor(onnx::GraphProto &graph, const ShapeOf &shapeOf)
      : graph(graph), shapeOf(shapeOf) {}

  llvm::Error run(const GraphEdits &edits);

private:
  llvm::Error remove(const BranchRemoval &removal);
  void spreadZeros();
  bool isReduced(StringRef sum) const;
  bool isZeroResult(const onnx::NodeProto &node) const;
  void alias(StringRef name, StringRef other);
  std::string resolve(StringRef name) const;
  void applyAliases();
  void findMakers();
  void findLive();
  llvm::Error redirectShapes();
  std::string findOfShape(int reader) const;
  llvm::Error checkReads(const llvm::StringSet<> &droppedInputs) const;
  void erase(const llvm::StringSet<> &droppedInputs);
  bool isAvailable(StringRef name) const;
  bool isNeededAnyway(StringRef name) const;

  onnx::GraphProto &graph;
  const ShapeOf &shapeOf;
  /// Values of removed branches, each with its site.
  llvm::StringMap<std::string> zeros;
  /// Values that another one takes the place of.
  llvm::StringMap<std::string> aliases;
  /// Number of the node that makes a value.
  llvm::StringMap<int> makers;
  /// Inputs that stay and initialisers.
  llvm::StringSet<> given;
  /// Nodes that outputs need for more than a shape.
  std::vector<bool> live;
  /// Values of the nodes that were live before the edit.
  llvm::StringSet<> needed;
  bool isEdited = false;
};

} // namespace

static bool is(const onnx::NodeProto &node, StringRef type) {
  return StringRef(node.op_type()) == type &&
         (node.domain().empty() || node.domain() == "ai.onnx");
}

static std::string label(const onnx::NodeProto &node) {
  return "node " +
         quoteName(node.name().empty() && node.output_size() ? node.output(0)
                                                             : node.name()) +
         " (" + escapeName(node.op_type()) + ")";
}

//===----------------------------------------------------------------------===//
// Zeros
//===----------------------------------------------------------------------===//

/// Moves elements, or keeps zeros zero.
static bool keepsZeros(const onnx::NodeProto &node) {
  static constexpr StringRef kinds[] = {
      "Cast",  "Dropout", "Expand",  "Flatten",   "Identity", "Reshape",
      "Slice", "Split",   "Squeeze", "Transpose", "Unsqueeze"};
  return llvm::any_of(kinds, [&](StringRef kind) { return is(node, kind); });
}

bool Editor::isZeroResult(const onnx::NodeProto &node) const {
  auto isZero = [&](const std::string &name) { return zeros.contains(name); };
  if (node.input().empty())
    return false;
  if (is(node, "Add") || is(node, "Concat"))
    return llvm::all_of(node.input(), isZero);
  return keepsZeros(node) && isZero(node.input(0));
}

void Editor::alias(StringRef name, StringRef other) {
  aliases.try_emplace(name, other);
}

std::string Editor::resolve(StringRef name) const {
  std::string result = name.str();
  for (auto it = aliases.find(result); it != aliases.end();
       it = aliases.find(result))
    result = it->second;
  return result;
}

void Editor::spreadZeros() {
  size_t before;
  do {
    before = zeros.size() + aliases.size();
    for (const onnx::NodeProto &node : graph.node()) {
      if (isZeroResult(node)) {
        for (const std::string &output : node.output())
          zeros.try_emplace(output, zeros.lookup(node.input(0)));
        continue;
      }
      if (!is(node, "Add") || node.input_size() != 2)
        continue;
      for (int i : {0, 1})
        if (zeros.contains(node.input(i)))
          alias(node.output(0), node.input(1 - i));
    }
  } while (zeros.size() + aliases.size() != before);
}

/// True if `sum` is now another value, or an operand of its is: branches that
/// run side by side are added to each other first.
bool Editor::isReduced(StringRef sum) const {
  auto isGone = [&](StringRef name) {
    return aliases.contains(name) || zeros.contains(name);
  };
  return isGone(sum) ||
         llvm::any_of(graph.node(), [&](const onnx::NodeProto &node) {
           return node.output_size() && node.output(0) == sum &&
                  llvm::any_of(node.input(), isGone);
         });
}

llvm::Error Editor::remove(const BranchRemoval &removal) {
  for (const std::string &name : removal.branch)
    zeros[name] = removal.site;
  size_t before = aliases.size();
  spreadZeros();
  bool isOut =
      removal.sum.empty() ? aliases.size() != before : isReduced(removal.sum);
  if (!isOut)
    return llvm::createStringError(
        "sub-layer " + removal.site + ": its branch " +
        quoteName(removal.branch.front()) +
        " does not reach the residual stream through a sum of the file");
  if (!removal.norm.empty())
    alias(removal.norm, removal.sum);
  return llvm::Error::success();
}

void Editor::applyAliases() {
  for (onnx::NodeProto &node : *graph.mutable_node())
    for (std::string &input : *node.mutable_input())
      if (aliases.contains(input))
        input = resolve(input);
  // An output keeps its name, so a node must make it.
  for (const onnx::ValueInfoProto &output : graph.output()) {
    auto other = aliases.find(output.name());
    if (other == aliases.end())
      continue;
    for (onnx::NodeProto &node : *graph.mutable_node())
      for (std::string &name : *node.mutable_output())
        if (name == output.name())
          name = name + "_before_removal";
    onnx::NodeProto &node = *graph.add_node();
    node.set_op_type("Identity");
    node.set_name(output.name() + "_identity");
    node.add_input(resolve(output.name()));
    node.add_output(output.name());
  }
}

//===----------------------------------------------------------------------===//
// What stays
//===----------------------------------------------------------------------===//

void Editor::findMakers() {
  makers.clear();
  for (int i = 0; i < graph.node_size(); ++i)
    for (const std::string &output : graph.node(i).output())
      if (!output.empty())
        makers[output] = i;
}

/// Before the edit, nothing is known to be needed: what only shapes are read of
/// is left out, and only then.
bool Editor::isNeededAnyway(StringRef name) const {
  return !isEdited || needed.contains(name);
}

void Editor::findLive() {
  findMakers();
  live.assign(graph.node_size(), false);
  std::vector<StringRef> pending;
  for (const onnx::ValueInfoProto &output : graph.output())
    pending.push_back(output.name());
  while (!pending.empty()) {
    auto maker = makers.find(pending.back());
    pending.pop_back();
    if (maker == makers.end() || live[maker->second])
      continue;
    live[maker->second] = true;
    const onnx::NodeProto &node = graph.node(maker->second);
    bool readsShape = is(node, "Shape") || is(node, "Size");
    for (const std::string &input : node.input())
      if (!readsShape || !isNeededAnyway(input))
        pending.push_back(input);
  }
}

bool Editor::isAvailable(StringRef name) const {
  if (zeros.contains(name))
    return false;
  auto maker = makers.find(name);
  return maker == makers.end() ? given.contains(name) : live[maker->second];
}

/// The extents that a Shape or Size node reads from a value of shape `shape`.
static std::vector<std::string> getRead(const onnx::NodeProto &node,
                                        std::vector<std::string> shape) {
  int64_t rank = shape.size(), start = 0, end = rank;
  for (const onnx::AttributeProto &attribute : node.attribute()) {
    int64_t value = attribute.i() < 0 ? attribute.i() + rank : attribute.i();
    value = std::clamp<int64_t>(value, 0, rank);
    if (attribute.name() == "start")
      start = value;
    else if (attribute.name() == "end")
      end = value;
  }
  if (start >= end)
    return {};
  return {shape.begin() + start, shape.begin() + end};
}

/// A value that exists before node `reader` and of which it reads the same as
/// of its input; empty if there is none.
std::string Editor::findOfShape(int reader) const {
  const onnx::NodeProto &node = graph.node(reader);
  auto shape = shapeOf(node.input(0));
  if (!shape)
    return "";
  std::vector<std::string> wanted = getRead(node, *shape);
  auto fits = [&](StringRef name) {
    if (!isAvailable(name))
      return false;
    auto other = shapeOf(name);
    return other && getRead(node, *other) == wanted;
  };
  for (const onnx::ValueInfoProto &input : graph.input())
    if (fits(input.name()))
      return input.name();
  for (int i = 0; i < reader; ++i)
    for (const std::string &output : graph.node(i).output())
      if (!output.empty() && fits(output))
        return output;
  return "";
}

llvm::Error Editor::redirectShapes() {
  for (int i = 0; i < graph.node_size(); ++i) {
    onnx::NodeProto &node = *graph.mutable_node(i);
    if (!live[i] || !(is(node, "Shape") || is(node, "Size")) ||
        isAvailable(node.input(0)))
      continue;
    std::string other = findOfShape(i);
    if (other.empty())
      return llvm::createStringError(
          label(node) + " reads the shape of " + quoteName(node.input(0)) +
          ", which is removed, and no earlier value has the same shape");
    node.set_input(0, other);
  }
  return llvm::Error::success();
}

llvm::Error Editor::checkReads(const llvm::StringSet<> &droppedInputs) const {
  for (int i = 0; i < graph.node_size(); ++i) {
    if (!live[i])
      continue;
    const onnx::NodeProto &node = graph.node(i);
    for (const std::string &input : node.input()) {
      auto zero = zeros.find(input);
      if (zero != zeros.end())
        return llvm::createStringError(
            label(node) + " reads " + quoteName(input) +
            ", a value of the removed sub-layer " + zero->second);
      if (droppedInputs.contains(input))
        return llvm::createStringError(label(node) + " reads the input " +
                                       quoteName(input) +
                                       ", which the model does not have");
    }
  }
  for (const onnx::ValueInfoProto &output : graph.output())
    if (auto zero = zeros.find(output.name()); zero != zeros.end())
      return llvm::createStringError("output " + quoteName(output.name()) +
                                     " is a value of the removed sub-layer " +
                                     zero->second);
  return llvm::Error::success();
}

/// Erases the elements of `list` that `isDead` holds for; the others keep their
/// order.
template <typename List, typename Pred>
static void eraseIf(List &list, Pred isDead) {
  int kept = 0;
  for (int i = 0; i < list.size(); ++i)
    if (!isDead(list.Get(i))) {
      if (i != kept)
        list.SwapElements(i, kept);
      ++kept;
    }
  list.DeleteSubrange(kept, list.size() - kept);
}

void Editor::erase(const llvm::StringSet<> &droppedInputs) {
  int number = 0;
  eraseIf(*graph.mutable_node(),
          [&](const onnx::NodeProto &) { return !live[number++]; });
  llvm::StringSet<> read, made;
  for (const onnx::NodeProto &node : graph.node()) {
    read.insert_range(node.input());
    made.insert_range(node.output());
  }
  for (const onnx::ValueInfoProto &output : graph.output())
    read.insert(output.name());
  llvm::StringSet<> erased;
  eraseIf(*graph.mutable_initializer(), [&](const onnx::TensorProto &tensor) {
    bool isDead = !read.contains(tensor.name());
    if (isDead)
      erased.insert(tensor.name());
    return isDead;
  });
  eraseIf(*graph.mutable_input(), [&](const onnx::ValueInfoProto &input) {
    return droppedInputs.contains(input.name()) ||
           erased.contains(input.name());
  });
  eraseIf(*graph.mutable_value_info(), [&](const onnx::ValueInfoProto &info) {
    return !made.contains(info.name()) && !read.contains(info.name());
  });
  eraseIf(*graph.mutable_quantization_annotation(),
          [&](const onnx::TensorAnnotation &annotation) {
            return !made.contains(annotation.tensor_name()) &&
                   !read.contains(annotation.tensor_name());
          });
}

llvm::Error Editor::run(const GraphEdits &edits) {
  findLive();
  for (int i = 0; i < graph.node_size(); ++i)
    if (live[i])
      needed.insert_range(graph.node(i).output());
  isEdited = true;
  for (const BranchRemoval &removal : edits.removals)
    if (llvm::Error error = remove(removal))
      return error;
  eraseIf(*graph.mutable_output(), [&](const onnx::ValueInfoProto &output) {
    return llvm::is_contained(edits.droppedOutputs, output.name());
  });
  llvm::StringSet<> dropped;
  dropped.insert_range(edits.droppedInputs);
  for (const onnx::TensorProto &tensor : graph.initializer())
    given.insert(tensor.name());
  for (const onnx::ValueInfoProto &input : graph.input())
    if (!dropped.contains(input.name()))
      given.insert(input.name());
  applyAliases();
  findLive();
  if (llvm::Error error = redirectShapes())
    return error;
  if (llvm::Error error = checkReads(dropped))
    return error;
  erase(dropped);
  return llvm::Error::success();
}

llvm::Error lathe::editGraph(onnx::GraphProto &graph, const GraphEdits &edits,
                             const ShapeOf &shapeOf) {
  return Editor(graph, shapeOf).run(edits);
}
