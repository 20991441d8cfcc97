//===- NodeChecker.cpp - Checks nodes against the table -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeChecker.h"
#include "TensorReader.h"
#include "lathe/Import/Onnx.pb.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"

using namespace lathe;
using llvm::SmallVector;
using llvm::StringRef;
using llvm::Twine;

/// Larger constants are never looked into.
constexpr uint64_t kMaxInspected = 1024;

//===----------------------------------------------------------------------===//
// The registry's view of a node
//===----------------------------------------------------------------------===//

class NodeChecker::Info : public NodeInfo {
public:
  Info(const NodeChecker &checker, const OnnxNode &node)
      : checker(checker), node(node), proto(*node.proto) {
    // Trailing operands that are left out are as good as not there.
    for (numInputs = proto.input_size();
         numInputs > 0 && proto.input(numInputs - 1).empty(); --numInputs) {
    }
    for (numOutputs = proto.output_size();
         numOutputs > 0 && proto.output(numOutputs - 1).empty(); --numOutputs) {
    }
  }

  unsigned getNumInputs() const override { return numInputs; }
  unsigned getNumOutputs() const override { return numOutputs; }

  const ValueType *getInput(unsigned i) const override {
    const Value *value = find(i);
    return value ? &value->type : nullptr;
  }

  std::optional<SmallVector<int64_t, 8>> getConstant(unsigned i) const override;
  std::optional<SmallVector<float, 8>>
  getFloatConstant(unsigned i) const override;

  std::optional<int64_t> getInt(StringRef name) const override {
    if (const onnx::AttributeProto *attribute = findAttribute(name))
      return attribute->i();
    const AttrSpec *spec = node.spec->findAttribute(name);
    return spec ? spec->getDefaultInt() : std::nullopt;
  }
  std::optional<float> getFloat(StringRef name) const override {
    if (const onnx::AttributeProto *attribute = findAttribute(name))
      return attribute->f();
    const AttrSpec *spec = node.spec->findAttribute(name);
    return spec ? spec->getDefaultFloat() : std::nullopt;
  }
  std::optional<SmallVector<int64_t, 8>>
  getInts(StringRef name) const override {
    if (const onnx::AttributeProto *attribute = findAttribute(name))
      return SmallVector<int64_t, 8>(attribute->ints().begin(),
                                     attribute->ints().end());
    return std::nullopt;
  }
  std::optional<StringRef> getString(StringRef name) const override {
    if (const onnx::AttributeProto *attribute = findAttribute(name))
      return StringRef(attribute->s());
    const AttrSpec *spec = node.spec->findAttribute(name);
    if (spec && !spec->defaultText.empty())
      return StringRef(spec->defaultText);
    return std::nullopt;
  }
  std::optional<ElementType> getTensorElement(StringRef name) const override {
    if (const onnx::AttributeProto *attribute = findAttribute(name))
      return elementTypeFromOnnx(attribute->t().data_type());
    return std::nullopt;
  }

private:
  const onnx::AttributeProto *findAttribute(StringRef name) const {
    for (const onnx::AttributeProto &attribute : proto.attribute())
      if (attribute.name() == name)
        return &attribute;
    return nullptr;
  }
  const Value *find(unsigned i) const {
    if (i >= numInputs || proto.input(i).empty())
      return nullptr;
    auto it = checker.values.find(proto.input(i));
    // A name that nothing produces is reported elsewhere.
    static const Value unknown;
    return it == checker.values.end() ? &unknown : &it->second;
  }

  const NodeChecker &checker;
  const OnnxNode &node;
  const onnx::NodeProto &proto;
  unsigned numInputs;
  unsigned numOutputs;
};

std::optional<SmallVector<int64_t, 8>>
NodeChecker::Info::getConstant(unsigned i) const {
  const Value *value = find(i);
  if (!value || !value->constant)
    return std::nullopt;
  const TensorData &tensor = *value->constant;
  if (tensor.numElements > kMaxInspected)
    return std::nullopt;
  SmallVector<int64_t, 8> elements;
  using namespace llvm::support::endian;
  for (uint64_t at = 0; at < tensor.numElements; ++at) {
    if (tensor.element == ElementType::I64)
      elements.push_back(read64le(tensor.bytes.data() + at * 8));
    else if (tensor.element == ElementType::I32)
      elements.push_back(
          static_cast<int32_t>(read32le(tensor.bytes.data() + at * 4)));
    else
      return std::nullopt;
  }
  return elements;
}

std::optional<SmallVector<float, 8>>
NodeChecker::Info::getFloatConstant(unsigned i) const {
  const Value *value = find(i);
  if (!value || !value->constant ||
      value->constant->element != ElementType::F32 ||
      value->constant->numElements > kMaxInspected)
    return std::nullopt;
  SmallVector<float, 8> elements;
  for (uint64_t at = 0; at < value->constant->numElements; ++at)
    elements.push_back(llvm::bit_cast<float>(llvm::support::endian::read32le(
        value->constant->bytes.data() + at * 4)));
  return elements;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

void NodeChecker::report(const OnnxNode &node, const Twine &reason,
                         StringRef hint, StringRef group) {
  problems.add(node.getLabel(), reason, hint, group);
}

static std::optional<AttrKind>
kindOf(onnx::AttributeProto::AttributeType type) {
  switch (type) {
  case onnx::AttributeProto::FLOAT:
    return AttrKind::Float;
  case onnx::AttributeProto::INT:
    return AttrKind::Int;
  case onnx::AttributeProto::STRING:
    return AttrKind::String;
  case onnx::AttributeProto::TENSOR:
    return AttrKind::Tensor;
  case onnx::AttributeProto::FLOATS:
    return AttrKind::Floats;
  case onnx::AttributeProto::INTS:
    return AttrKind::Ints;
  case onnx::AttributeProto::STRINGS:
    return AttrKind::Strings;
  default:
    return std::nullopt;
  }
}

/// Whether the field that belongs to a single value is there.
static bool hasValue(const onnx::AttributeProto &attribute, AttrKind kind) {
  switch (kind) {
  case AttrKind::Int:
    return attribute.has_i();
  case AttrKind::Float:
    return attribute.has_f();
  case AttrKind::String:
    return attribute.has_s();
  case AttrKind::Tensor:
    return attribute.has_t();
  case AttrKind::Ints:
  case AttrKind::Floats:
  case AttrKind::Strings:
    return true;
  }
  llvm_unreachable("all kinds are handled");
}

bool NodeChecker::checkAttribute(const OnnxNode &node,
                                 const onnx::AttributeProto &attribute) {
  std::string label = "attribute " + quoteName(attribute.name());
  if (attribute.name().empty()) {
    report(node, "has an attribute without a name");
    return false;
  }
  if (!attribute.ref_attr_name().empty()) {
    report(node, label + " refers to an attribute of a function, but stands "
                         "in none");
    return false;
  }
  const AttrSpec *spec = node.spec->findAttribute(attribute.name());
  if (!spec) {
    report(node, label + " is unknown");
    return false;
  }
  std::optional<AttrKind> kind = kindOf(attribute.type());
  if (!kind || *kind != spec->kind) {
    report(node, label + " is " +
                     (kind ? "of type " + getName(*kind).str()
                           : std::string("of no type that is known here")) +
                     ", wanted is " + getName(spec->kind));
    return false;
  }
  if (!hasValue(attribute, *kind)) {
    report(node, label + " has no value");
    return false;
  }
  if (*kind == AttrKind::Tensor && !readTensor(node, attribute))
    return false;
  return true;
}

bool NodeChecker::checkAttributes(const OnnxNode &node) {
  size_t before = problems.size();
  const auto &attributes = node.proto->attribute();
  llvm::StringSet<> seen;
  for (const onnx::AttributeProto &attribute : attributes) {
    if (!checkAttribute(node, attribute))
      continue;
    if (!seen.insert(attribute.name()).second)
      report(node,
             "attribute " + quoteName(attribute.name()) + " is given twice");
  }
  for (const AttrSpec &spec : node.spec->attributes)
    if (spec.isRequired && !llvm::any_of(attributes, [&](const auto &written) {
          return written.name() == spec.name;
        }))
      report(node, "attribute '" + spec.name + "' is missing");
  return problems.size() == before;
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

static constexpr StringRef kSupportedHint =
    "docs/SupportedOps.md lists the operators that Lathe reads";

const OpSpec *NodeChecker::findSpec(const OnnxNode &node) {
  const OpRegistry &registry = OpRegistry::get();
  const std::string &op = node.proto->op_type();
  StringRef domain = node.getDomain();
  if (op.empty()) {
    report(node, "has no op_type");
    return nullptr;
  }
  std::string group = ("op:" + domain + ":" + op).str();
  if (!registry.knowsDomain(domain)) {
    report(node, "the domain " + quoteName(domain) + " is unknown",
           kSupportedHint, group);
    return nullptr;
  }
  if (node.opset == 0) {
    report(node,
           "the model imports no version of " +
               (domain.empty() ? std::string("the default domain")
                               : "domain " + quoteName(domain)),
           "", "import:" + domain.str());
    return nullptr;
  }
  // ONNX Runtime ignores the version of its own domain.
  unsigned opset = domain.empty() ? node.opset : 1;
  if (const OpSpec *spec = registry.lookup(domain, op, opset))
    return spec;
  StringRef why = registry.whyRefused(domain, op);
  if (!why.empty()) {
    report(node, why, kSupportedHint, group);
    return nullptr;
  }
  llvm::ArrayRef<const OpSpec *> forms = registry.lookupAll(domain, op);
  if (forms.empty()) {
    report(node, "the operator is not supported", kSupportedHint, group);
    return nullptr;
  }
  if (opset < forms.front()->since)
    report(node,
           "the operator is read from opset " + Twine(forms.front()->since) +
               " on",
           "onnx.version_converter.convert_version(model, 17) writes a newer "
           "opset",
           group);
  else
    report(node,
           "the operator is gone since opset " + Twine(forms.back()->until + 1),
           "", group);
  return nullptr;
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

void NodeChecker::define(StringRef name, ValueType type,
                         const TensorData *constant) {
  values[name] = {std::move(type), constant};
}

const ValueType *NodeChecker::typeOf(StringRef name) const {
  auto it = values.find(name);
  return it == values.end() ? nullptr : &it->second.type;
}

void NodeChecker::inferConstant(OnnxNode &node) {
  const auto &attributes = node.proto->attribute();
  if (attributes.size() != 1) {
    report(node, "has " + Twine(attributes.size()) +
                     " attributes, exactly one holds the value");
    return;
  }
  const onnx::AttributeProto &value = attributes[0];
  node.constant = value.type() == onnx::AttributeProto::TENSOR
                      ? readTensor(node, value)
                      : readNumbers(value);
  if (node.constant)
    node.results.assign(1, node.constant->getType());
}

void NodeChecker::infer(OnnxNode &node, const Info &info) {
  SmallVector<std::string> reasons;
  inferNode(*node.spec, info, node.results, reasons);
  for (const std::string &reason : reasons)
    report(node, reason);
  for (ValueType &result : node.results) {
    if (!result.hasRank() ||
        llvm::all_of(*result.dims, [](int64_t e) { return e <= kMaxExtent; }))
      continue;
    report(node, "a result has an impossible extent");
    result.dims.reset();
  }
}

void NodeChecker::check(OnnxNode &node) {
  node.spec = findSpec(node);
  if (node.spec && checkAttributes(node)) {
    Info info(*this, node);
    bool isConstant =
        node.proto->op_type() == "Constant" && node.getDomain().empty();
    if (isConstant && info.getNumInputs() == 0 && info.getNumOutputs() == 1)
      inferConstant(node);
    else
      infer(node, info);
  }
  node.results.resize(node.proto->output_size());
  for (int i = 0; i < node.proto->output_size(); ++i)
    if (!node.proto->output(i).empty())
      define(node.proto->output(i), node.results[i], node.constant);
}
