//===- FunctionInliner.cpp - Inlines model-local functions ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionInliner.h"
#include "lathe/Import/Onnx.pb.h"
#include "llvm/ADT/StringSet.h"

using namespace lathe;
using llvm::StringRef;
using llvm::Twine;

/// "ai.onnx" is another way to write the default domain.
static StringRef canonicalDomain(StringRef domain) {
  return domain == "ai.onnx" ? "" : domain;
}

static std::string domainText(StringRef domain) {
  return domain.empty() ? "the default domain" : "domain " + quoteName(domain);
}

OpsetMap
lathe::readOpsets(llvm::ArrayRef<std::pair<StringRef, int64_t>> imports,
                  const Twine &subject, Problems &problems) {
  OpsetMap opsets;
  for (auto [written, version] : imports) {
    StringRef domain = canonicalDomain(written);
    if (version < 1) {
      problems.add(subject, "imports version " + Twine(version) + " of " +
                                domainText(domain));
      continue;
    }
    if (domain.empty() && version > kMaxOpset) {
      problems.add(subject,
                   "imports opset " + Twine(version) +
                       ", the newest that Lathe reads is " + Twine(kMaxOpset),
                   "onnx.version_converter.convert_version(model, 23) writes "
                   "an older opset");
      continue;
    }
    // Other domains count their own versions.
    unsigned bounded = std::min<int64_t>(version, UINT32_MAX);
    if (!opsets.try_emplace(domain, bounded).second)
      problems.add(subject, "imports " + domainText(domain) + " twice");
  }
  return opsets;
}

namespace {

/// Nodes that calls may expand to, all together.
constexpr size_t kMaxCopies = 1000 * 1000;

/// One body that is being expanded: the graph (function is null) or a call.
struct Frame {
  const onnx::FunctionProto *function = nullptr;
  const google::protobuf::RepeatedPtrField<onnx::NodeProto> *body = nullptr;
  int next = 0;
  const OpsetMap *opsets = nullptr;
  /// Names inside the function to names outside.
  llvm::StringMap<std::string> names;
  /// The call's attributes by name, resolved.
  llvm::StringMap<const onnx::AttributeProto *> attributes;
  /// Put before node names and values of the body.
  std::string prefix;
};

class Inliner {
public:
  Inliner(const onnx::ModelProto &model, const OpsetMap &opsets,
          std::deque<onnx::NodeProto> &copies, std::vector<OnnxNode> &nodes,
          Problems &problems)
      : model(model), modelOpsets(opsets), copies(copies), nodes(nodes),
        problems(problems) {}

  bool run();

private:
  void collectFunctions();
  const onnx::FunctionProto *calleeOf(const onnx::NodeProto &node) const;
  void step();
  void emit(const onnx::NodeProto &node, const OpsetMap &opsets);
  bool enter(const onnx::NodeProto &call, const onnx::FunctionProto &callee);
  void bindArguments(const onnx::NodeProto &call, Frame &frame);
  const onnx::NodeProto *instantiate(const onnx::NodeProto &node, Frame &frame);
  void resolveAttributes(onnx::NodeProto &node, const Frame &frame);
  std::string freshName(StringRef prefix, StringRef name);
  void collectNames();

  const onnx::ModelProto &model;
  const OpsetMap &modelOpsets;
  std::deque<onnx::NodeProto> &copies;
  std::vector<OnnxNode> &nodes;
  Problems &problems;

  struct Function {
    const onnx::FunctionProto *proto;
    OpsetMap opsets;
  };
  llvm::StringMap<Function> functions;
  llvm::StringSet<> usedNames;
  std::vector<std::unique_ptr<Frame>> stack;
  size_t numCopies = 0;
  bool isBroken = false;
};

} // namespace

static std::string keyOf(StringRef domain, StringRef name, StringRef overload) {
  // NUL cannot be confused with a part of a name by accident.
  std::string key = canonicalDomain(domain).str();
  key += '\0';
  key += name;
  key += '\0';
  key += overload;
  return key;
}

void Inliner::collectFunctions() {
  if (model.functions_size() > static_cast<int>(kMaxFunctions)) {
    problems.add("", "has " + Twine(model.functions_size()) +
                         " functions, at most " + Twine(kMaxFunctions) +
                         " are read");
    isBroken = true;
    return;
  }
  for (const onnx::FunctionProto &function : model.functions()) {
    std::string subject = "function " + quoteName(function.name());
    llvm::SmallVector<std::pair<StringRef, int64_t>> imports;
    for (const onnx::OperatorSetIdProto &import : function.opset_import())
      imports.push_back({import.domain(), import.version()});
    Function entry = {&function, readOpsets(imports, subject, problems)};
    for (const auto &domain : modelOpsets)
      entry.opsets.try_emplace(domain.first(), domain.second);
    std::string key =
        keyOf(function.domain(), function.name(), function.overload());
    if (!functions.try_emplace(key, std::move(entry)).second)
      problems.add(subject, "is defined twice");
  }
}

const onnx::FunctionProto *
Inliner::calleeOf(const onnx::NodeProto &node) const {
  if (functions.empty())
    return nullptr;
  auto it =
      functions.find(keyOf(node.domain(), node.op_type(), node.overload()));
  return it == functions.end() ? nullptr : it->second.proto;
}

void Inliner::collectNames() {
  const onnx::GraphProto &graph = model.graph();
  for (const onnx::ValueInfoProto &input : graph.input())
    usedNames.insert(input.name());
  for (const onnx::TensorProto &tensor : graph.initializer())
    usedNames.insert(tensor.name());
  for (const onnx::NodeProto &node : graph.node())
    for (const std::string &output : node.output())
      usedNames.insert(output);
}

std::string Inliner::freshName(StringRef prefix, StringRef name) {
  std::string base = (prefix + name).str();
  std::string candidate = base;
  for (unsigned i = 1; !usedNames.insert(candidate).second; ++i)
    candidate = base + "_" + std::to_string(i);
  return candidate;
}

void Inliner::emit(const onnx::NodeProto &node, const OpsetMap &opsets) {
  OnnxNode entry;
  entry.proto = &node;
  entry.index = nodes.size();
  auto it = opsets.find(canonicalDomain(node.domain()));
  entry.opset = it == opsets.end() ? 0 : it->second;
  nodes.push_back(std::move(entry));
}

void Inliner::bindArguments(const onnx::NodeProto &call, Frame &frame) {
  const onnx::FunctionProto &function = *frame.function;
  for (int i = 0; i < function.input_size(); ++i)
    frame.names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
  for (int i = 0; i < function.output_size(); ++i) {
    const std::string &inner = function.output(i);
    bool isUsed = i < call.output_size() && !call.output(i).empty();
    // An argument that is returned as it came needs a node of its own.
    auto passed = frame.names.find(inner);
    if (passed != frame.names.end()) {
      if (!isUsed)
        continue;
      onnx::NodeProto &identity = copies.emplace_back();
      identity.set_op_type("Identity");
      identity.set_name(frame.prefix + "Identity");
      identity.add_input(passed->second);
      identity.add_output(call.output(i));
      emit(identity, *frame.opsets);
      continue;
    }
    frame.names[inner] =
        isUsed ? call.output(i) : freshName(frame.prefix, inner);
  }
  for (const onnx::AttributeProto &attribute : function.attribute_proto())
    frame.attributes[attribute.name()] = &attribute;
  for (const onnx::AttributeProto &attribute : call.attribute())
    frame.attributes[attribute.name()] = &attribute;
}

bool Inliner::enter(const onnx::NodeProto &call,
                    const onnx::FunctionProto &callee) {
  std::string subject = "function " + quoteName(callee.name());
  for (const std::unique_ptr<Frame> &frame : stack) {
    if (frame->function != &callee)
      continue;
    problems.add(subject, "calls itself", "", "recursion:" + callee.name());
    return false;
  }
  if (stack.size() > kMaxCallDepth) {
    problems.add(subject,
                 "is called at a depth of more than " + Twine(kMaxCallDepth),
                 "", "depth");
    return false;
  }
  if (call.input_size() > callee.input_size() ||
      call.output_size() > callee.output_size()) {
    problems.add(subject, "takes " + Twine(callee.input_size()) +
                              " inputs and gives " +
                              Twine(callee.output_size()) + " outputs; node " +
                              quoteName(call.name()) + " has " +
                              Twine(call.input_size()) + " and " +
                              Twine(call.output_size()));
    return false;
  }
  auto frame = std::make_unique<Frame>();
  frame->function = &callee;
  frame->body = &callee.node();
  frame->opsets =
      &functions.find(keyOf(callee.domain(), callee.name(), callee.overload()))
           ->second.opsets;
  frame->prefix = (call.name().empty() ? callee.name() : call.name()) + "/";
  bindArguments(call, *frame);
  stack.push_back(std::move(frame));
  return true;
}

void Inliner::resolveAttributes(onnx::NodeProto &node, const Frame &frame) {
  auto *attributes = node.mutable_attribute();
  for (int i = attributes->size() - 1; i >= 0; --i) {
    onnx::AttributeProto &attribute = *attributes->Mutable(i);
    if (attribute.ref_attr_name().empty())
      continue;
    auto it = frame.attributes.find(attribute.ref_attr_name());
    // An attribute that the call leaves out is left out inside, too.
    if (it == frame.attributes.end()) {
      attributes->DeleteSubrange(i, 1);
      continue;
    }
    std::string name = attribute.name();
    attribute = *it->second;
    attribute.set_name(name);
  }
}

const onnx::NodeProto *Inliner::instantiate(const onnx::NodeProto &node,
                                            Frame &frame) {
  if (!frame.function)
    return &node;
  onnx::NodeProto &copy = copies.emplace_back(node);
  copy.set_name(frame.prefix + node.name());
  auto rename = [&](std::string &name) {
    if (name.empty())
      return;
    auto [it, isNew] = frame.names.try_emplace(name);
    if (isNew)
      it->second = freshName(frame.prefix, name);
    name = it->second;
  };
  for (std::string &input : *copy.mutable_input())
    rename(input);
  for (std::string &output : *copy.mutable_output())
    rename(output);
  resolveAttributes(copy, frame);
  return &copy;
}

void Inliner::step() {
  Frame &frame = *stack.back();
  if (frame.next == frame.body->size()) {
    stack.pop_back();
    return;
  }
  const onnx::NodeProto *node =
      instantiate(frame.body->Get(frame.next++), frame);
  if (frame.function && ++numCopies > kMaxCopies) {
    problems.add("", "has functions that expand to more than " +
                         Twine(kMaxCopies) + " nodes");
    isBroken = true;
    return;
  }
  const onnx::FunctionProto *callee = calleeOf(*node);
  if (!callee) {
    emit(*node, *frame.opsets);
    return;
  }
  if (!enter(*node, *callee))
    isBroken = true;
}

bool Inliner::run() {
  collectFunctions();
  if (isBroken)
    return false;
  if (!functions.empty())
    collectNames();
  auto frame = std::make_unique<Frame>();
  frame->body = &model.graph().node();
  frame->opsets = &modelOpsets;
  nodes.reserve(model.graph().node_size());
  stack.push_back(std::move(frame));
  while (!stack.empty() && !isBroken)
    step();
  return !isBroken;
}

bool lathe::inlineFunctions(const onnx::ModelProto &model,
                            const OpsetMap &opsets,
                            std::deque<onnx::NodeProto> &copies,
                            std::vector<OnnxNode> &nodes, Problems &problems) {
  return Inliner(model, opsets, copies, nodes, problems).run();
}
