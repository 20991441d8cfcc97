//===- OpRegistry.cpp - The operators that Lathe reads --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/OpRegistry.h"
#include "Ops/Families.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::SmallVectorImpl;
using llvm::StringRef;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Types by name
//===----------------------------------------------------------------------===//

static constexpr ElementTypeSet setOf(std::initializer_list<ElementType> list) {
  ElementTypeSet set = 0;
  for (ElementType type : list)
    set |= lathe::setOf(type);
  return set;
}

static constexpr ElementTypeSet kFloat = setOf(
    {ElementType::F16, ElementType::BF16, ElementType::F32, ElementType::F64});
static constexpr ElementTypeSet kInt = setOf(
    {ElementType::I8, ElementType::I16, ElementType::I32, ElementType::I64,
     ElementType::U8, ElementType::U16, ElementType::U32, ElementType::U64});
static constexpr ElementTypeSet kSmall =
    setOf({ElementType::F8E4M3FN, ElementType::F8E4M3FNUZ, ElementType::F8E5M2,
           ElementType::F8E5M2FNUZ, ElementType::F8E8M0, ElementType::F4E2M1,
           ElementType::U4, ElementType::I4, ElementType::U2, ElementType::I2});
static constexpr ElementTypeSet kBool = setOf({ElementType::Bool});

namespace {
struct NamedSet {
  const char *name;
  ElementTypeSet set;
};
} // namespace

static constexpr NamedSet kSets[] = {
    {"float", kFloat},
    {"int", kInt},
    {"num", kFloat | kInt},
    {"index", setOf({ElementType::I32, ElementType::I64})},
    {"quant", kInt | kSmall},
    {"any", kFloat | kInt | kSmall | kBool},
    {"bool", kBool},
    {"f32", setOf({ElementType::F32})},
    {"i32", setOf({ElementType::I32})},
    {"i64", setOf({ElementType::I64})},
    {"u8", setOf({ElementType::U8})}};

static ElementTypeSet parseSet(StringRef text, const Twine &where) {
  for (const NamedSet &named : kSets)
    if (text == named.name)
      return named.set;
  llvm::report_fatal_error("operator table: unknown type '" + text + "' in " +
                           where);
}

/// The one type of a set with one element.
static std::optional<ElementType> onlyTypeOf(ElementTypeSet set) {
  if (!llvm::isPowerOf2_32(set))
    return std::nullopt;
  return static_cast<ElementType>(llvm::Log2_32(set));
}

static std::string describeSet(ElementTypeSet set) {
  for (const NamedSet &named : kSets)
    if (named.set == set && !onlyTypeOf(set))
      return named.name;
  std::string text;
  for (unsigned code = 1; code < kNumElementTypes; ++code) {
    auto type = static_cast<ElementType>(code);
    if (set & lathe::setOf(type))
      text += (text.empty() ? "" : " or ") + getName(type).str();
  }
  return text;
}

//===----------------------------------------------------------------------===//
// Reading the table
//===----------------------------------------------------------------------===//

StringRef lathe::getName(AttrKind kind) {
  static constexpr StringRef names[] = {"int",  "float",  "string", "tensor",
                                        "ints", "floats", "strings"};
  return names[static_cast<unsigned>(kind)];
}

std::optional<int64_t> AttrSpec::getDefaultInt() const {
  int64_t value;
  if (kind != AttrKind::Int || StringRef(defaultText).getAsInteger(10, value))
    return std::nullopt;
  return value;
}

std::optional<float> AttrSpec::getDefaultFloat() const {
  double value;
  if (kind != AttrKind::Float || StringRef(defaultText).getAsDouble(value))
    return std::nullopt;
  return static_cast<float>(value);
}

const AttrSpec *OpSpec::findAttribute(StringRef attribute) const {
  auto it = llvm::find_if(
      attributes, [&](const AttrSpec &spec) { return spec.name == attribute; });
  return it == attributes.end() ? nullptr : &*it;
}

const OperandSpec &OpSpec::getInput(unsigned i) const {
  return inputs[std::min<size_t>(i, inputs.size() - 1)];
}
const OperandSpec &OpSpec::getOutput(unsigned i) const {
  return outputs[std::min<size_t>(i, outputs.size() - 1)];
}

namespace {
/// Reads the columns of one row.
class RowParser {
public:
  RowParser(OpSpec &spec, const OpRow &row) : spec(spec), row(row) {}

  void run() {
    parseOperands(row.inputs, spec.inputs, /*areResults=*/false);
    parseOperands(row.outputs, spec.outputs, /*areResults=*/true);
    parseAttributes();
    spec.numTypeVariables = variables.size();
    count(spec.inputs, spec.minInputs, spec.maxInputs);
    count(spec.outputs, spec.minOutputs, spec.maxOutputs);
  }

private:
  void parseOperands(StringRef text, std::vector<OperandSpec> &list,
                     bool areResults);
  OperandSpec parseOperand(StringRef text, bool isResult);
  void parseSource(StringRef text, OperandSpec &operand);
  void parseType(StringRef text, OperandSpec &operand);
  void parseAttributes();
  static void count(ArrayRef<OperandSpec> list, unsigned &min, unsigned &max);
  [[noreturn]] void fail(const Twine &what) {
    llvm::report_fatal_error("operator table: " + what + " in " + row.name +
                             "-" + Twine(row.since));
  }

  OpSpec &spec;
  const OpRow &row;
  /// Name and class of each type variable, in order of appearance.
  SmallVector<std::pair<StringRef, ElementTypeSet>, 4> variables;
};
} // namespace

static SmallVector<StringRef> splitTrimmed(StringRef text, char separator) {
  SmallVector<StringRef> parts;
  if (text.trim().empty())
    return parts;
  text.split(parts, separator);
  for (StringRef &part : parts)
    part = part.trim();
  return parts;
}

void RowParser::parseOperands(StringRef text, std::vector<OperandSpec> &list,
                              bool areResults) {
  for (StringRef part : splitTrimmed(text, ','))
    list.push_back(parseOperand(part, areResults));
}

OperandSpec RowParser::parseOperand(StringRef text, bool isResult) {
  auto [name, type] = text.split(':');
  OperandSpec operand;
  if (name.consume_back("~"))
    operand.isHomogeneous = false;
  if (name.consume_back("?"))
    operand.isOptional = true;
  else if (name.consume_back("*"))
    operand.isVariadic = operand.isOptional = true;
  else if (name.consume_back("+"))
    operand.isVariadic = true;
  operand.name = name.str();
  if (type.consume_front("seq(")) {
    operand.isSequence = true;
    type.consume_back(")");
  }
  if (type.empty())
    fail("missing type of '" + name + "'");
  if (!isResult) {
    parseType(type, operand);
    return operand;
  }
  for (StringRef source : splitTrimmed(type, '|'))
    parseSource(source, operand);
  return operand;
}

void RowParser::parseSource(StringRef text, OperandSpec &operand) {
  OperandSpec::Source source;
  if (text.consume_front("@")) {
    source.attribute = text.str();
    operand.sources.push_back(source);
    return;
  }
  OperandSpec type;
  parseType(text, type);
  source.variable = type.variable;
  if (source.variable < 0) {
    source.type = onlyTypeOf(type.allowed);
    if (!source.type)
      fail("result type '" + text + "' is not one type");
  }
  operand.sources.push_back(source);
}

void RowParser::parseType(StringRef text, OperandSpec &operand) {
  auto [name, rest] = text.split('{');
  for (auto [number, variable] : llvm::enumerate(variables)) {
    if (variable.first != name)
      continue;
    operand.variable = number;
    operand.allowed = variable.second;
    return;
  }
  if (!text.contains('{')) {
    operand.allowed = parseSet(name, row.name);
    return;
  }
  rest.consume_back("}");
  operand.variable = variables.size();
  operand.allowed = parseSet(rest, row.name);
  variables.push_back({name, operand.allowed});
}

void RowParser::parseAttributes() {
  for (StringRef part : splitTrimmed(row.attributes, ',')) {
    auto [name, type] = part.split(':');
    AttrSpec attribute;
    attribute.name = name.str();
    StringRef kind, defaultText;
    std::tie(kind, defaultText) = type.split('=');
    attribute.defaultText = defaultText.str();
    attribute.isRequired = kind.consume_back("!");
    bool isKnown = false;
    for (AttrKind candidate :
         {AttrKind::Int, AttrKind::Float, AttrKind::String, AttrKind::Tensor,
          AttrKind::Ints, AttrKind::Floats, AttrKind::Strings}) {
      if (kind != getName(candidate))
        continue;
      attribute.kind = candidate;
      isKnown = true;
    }
    if (!isKnown)
      fail("unknown attribute kind '" + kind + "'");
    spec.attributes.push_back(std::move(attribute));
  }
}

void RowParser::count(ArrayRef<OperandSpec> list, unsigned &min,
                      unsigned &max) {
  min = 0;
  max = list.size();
  for (auto [number, operand] : llvm::enumerate(list)) {
    if (!operand.isOptional)
      min = number + 1;
    if (operand.isVariadic)
      max = ~0u;
  }
}

//===----------------------------------------------------------------------===//
// The registry
//===----------------------------------------------------------------------===//

static std::string keyOf(StringRef domain, StringRef name) {
  return (domain + ":" + name).str();
}

OpRegistry::OpRegistry() {
  addFamily("", "Elementwise", elementwiseOps());
  addFamily("", "Activation", activationOps());
  addFamily("", "Data movement", movementOps());
  addFamily("", "Constants and ranges", generationOps());
  addFamily("", "Reduction and ordering", reductionOps());
  addFamily("", "Linear algebra", linearAlgebraOps());
  addFamily("", "Normalization", normalizationOps());
  addFamily("", "Attention", attentionOps());
  addFamily("", "Convolution, pooling and resampling", convolutionOps());
  addFamily("", "Quantization", quantizationOps());
  addFamily("com.microsoft", "Contributed by ONNX Runtime", contribOps());

  llvm::sort(specs, [](const auto &a, const auto &b) {
    return std::tie(a->domain, a->name, a->since) <
           std::tie(b->domain, b->name, b->since);
  });
  for (const std::unique_ptr<OpSpec> &spec : specs) {
    auto &forms = byName[keyOf(spec->domain, spec->name)];
    if (!forms.empty())
      const_cast<OpSpec *>(forms.back())->until = spec->since - 1;
    forms.push_back(spec.get());
  }
  // Rows that only say where an operator ends have done their work.
  for (auto &entry : byName)
    llvm::erase_if(entry.second,
                   [](const OpSpec *spec) { return spec->isRemoved; });
  llvm::erase_if(specs, [](const auto &spec) { return spec->isRemoved; });
}

const OpRegistry &OpRegistry::get() {
  static const OpRegistry registry;
  return registry;
}

void OpRegistry::addFamily(StringRef domain, StringRef family,
                           ArrayRef<OpRow> rows) {
  for (const OpRow &row : rows) {
    auto spec = std::make_unique<OpSpec>();
    spec->domain = domain.str();
    spec->name = row.name;
    spec->family = family.str();
    spec->since = row.since;
    spec->shape = row.shape;
    spec->check = row.check;
    spec->isRemoved = !row.inputs;
    if (row.inputs)
      RowParser(*spec, row).run();
    specs.push_back(std::move(spec));
  }
}

ArrayRef<const OpSpec *> OpRegistry::lookupAll(StringRef domain,
                                               StringRef name) const {
  auto it = byName.find(keyOf(domain, name));
  if (it == byName.end())
    return {};
  return it->second;
}

const OpSpec *OpRegistry::lookup(StringRef domain, StringRef name,
                                 unsigned opset) const {
  for (const OpSpec *spec : lookupAll(domain, name))
    if (spec->since <= opset && opset <= spec->until)
      return spec;
  return nullptr;
}

bool OpRegistry::knowsDomain(StringRef domain) const {
  return llvm::any_of(specs,
                      [&](const auto &spec) { return spec->domain == domain; });
}

StringRef OpRegistry::whyRefused(StringRef domain, StringRef name) const {
  if (!domain.empty())
    return "";
  for (const RefusedOp &refused : refusedOps())
    if (name == refused.name)
      return refused.reason;
  return "";
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

static std::string describeOperands(ArrayRef<OperandSpec> list) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(list, os, [&](const OperandSpec &operand) {
    os << operand.name;
    if (operand.isVariadic)
      os << "...";
    else if (operand.isOptional)
      os << "?";
  });
  return text;
}

static std::string describeAttributes(ArrayRef<AttrSpec> list) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleaveComma(list, os, [&](const AttrSpec &attribute) {
    os << attribute.name;
    if (attribute.isRequired)
      os << " (required)";
    else if (!attribute.defaultText.empty())
      os << " = " << attribute.defaultText;
  });
  return text;
}

void OpRegistry::printMarkdown(llvm::raw_ostream &os) const {
  os << "# Supported operators\n\n"
     << "<!-- Generated by `lathe-translate --print-supported-ops`. -->\n\n"
     << "Every form of every operator that the importer reads. `?` marks what "
        "may be left\nout, `...` any number.\n";
  SmallVector<StringRef> families;
  for (const auto &spec : specs)
    if (!llvm::is_contained(families, spec->family))
      families.push_back(spec->family);
  llvm::sort(families);
  for (StringRef family : families) {
    os << "\n## " << family << "\n\n"
       << "| operator | opsets | inputs | outputs | attributes |\n"
       << "|---|---|---|---|---|\n";
    for (const auto &spec : specs) {
      if (spec->family != family)
        continue;
      os << "| " << spec->name << " | " << spec->since;
      if (spec->until == ~0u)
        os << "+";
      else if (spec->until != spec->since)
        os << "-" << spec->until;
      os << " | " << describeOperands(spec->inputs) << " | "
         << describeOperands(spec->outputs) << " | "
         << describeAttributes(spec->attributes) << " |\n";
    }
  }
  os << "\n## Refused\n\n| operator | why |\n|---|---|\n";
  for (const RefusedOp &refused : refusedOps())
    os << "| " << refused.name << " | " << refused.reason << " |\n";
}

static llvm::json::Array toJson(ArrayRef<OperandSpec> list) {
  llvm::json::Array result;
  for (const OperandSpec &operand : list) {
    llvm::json::Array types;
    for (unsigned code = 1; code < kNumElementTypes; ++code)
      if (operand.allowed & lathe::setOf(static_cast<ElementType>(code)))
        types.push_back(code);
    result.push_back(llvm::json::Object{{"name", operand.name},
                                        {"optional", operand.isOptional},
                                        {"variadic", operand.isVariadic},
                                        {"variable", operand.variable},
                                        {"types", std::move(types)}});
  }
  return result;
}

void OpRegistry::printJson(llvm::raw_ostream &os) const {
  for (const auto &spec : specs) {
    llvm::json::Array attributes;
    for (const AttrSpec &attribute : spec->attributes)
      attributes.push_back(
          llvm::json::Object{{"name", attribute.name},
                             {"kind", getName(attribute.kind)},
                             {"required", attribute.isRequired},
                             {"default", attribute.defaultText}});
    os << llvm::json::Value(llvm::json::Object{
              {"domain", spec->domain},
              {"name", spec->name},
              {"since", spec->since},
              {"until", static_cast<int64_t>(spec->until)},
              {"inputs", toJson(spec->inputs)},
              {"outputs", toJson(spec->outputs)},
              {"min_inputs", spec->minInputs},
              {"max_inputs", static_cast<int64_t>(spec->maxInputs)},
              {"min_outputs", spec->minOutputs},
              {"max_outputs", static_cast<int64_t>(spec->maxOutputs)},
              {"attributes", std::move(attributes)}})
       << "\n";
  }
}

//===----------------------------------------------------------------------===//
// Inference of one node
//===----------------------------------------------------------------------===//

static std::string countText(unsigned min, unsigned max) {
  if (min == max)
    return std::to_string(min);
  if (max == ~0u)
    return "at least " + std::to_string(min);
  return std::to_string(min) + " to " + std::to_string(max);
}

namespace {
class NodeInference {
public:
  NodeInference(const OpSpec &spec, const NodeInfo &node,
                SmallVectorImpl<std::string> &problems)
      : spec(spec), node(node), problems(problems),
        bound(spec.numTypeVariables) {}

  bool checkCounts();
  void bindInputs();
  void inferOutputs(SmallVectorImpl<ValueType> &results);

private:
  void bindInput(unsigned i, const OperandSpec &operand);
  std::optional<ElementType> typeOf(const OperandSpec::Source &source);

  const OpSpec &spec;
  const NodeInfo &node;
  SmallVectorImpl<std::string> &problems;
  /// Type of each variable and the operand that fixed it.
  struct Binding {
    std::optional<ElementType> type;
    unsigned input = 0;
  };
  SmallVector<Binding, 4> bound;
};
} // namespace

bool NodeInference::checkCounts() {
  unsigned inputs = node.getNumInputs(), outputs = node.getNumOutputs();
  size_t before = problems.size();
  if (inputs < spec.minInputs || inputs > spec.maxInputs)
    problems.push_back("has " + std::to_string(inputs) + " inputs, takes " +
                       countText(spec.minInputs, spec.maxInputs));
  if (outputs < spec.minOutputs || outputs > spec.maxOutputs)
    problems.push_back("has " + std::to_string(outputs) + " outputs, gives " +
                       countText(spec.minOutputs, spec.maxOutputs));
  return problems.size() == before;
}

void NodeInference::bindInput(unsigned i, const OperandSpec &operand) {
  std::string label = "input " + std::to_string(i) + " '" + operand.name + "'";
  const ValueType *type = node.getInput(i);
  if (!type) {
    if (!operand.isOptional)
      problems.push_back(label + " is required and left out");
    return;
  }
  if (type->element == ElementType::Undefined)
    return;
  if (type->isSequence != operand.isSequence) {
    problems.push_back(label + (type->isSequence
                                    ? " is a sequence, a tensor is wanted"
                                    : " is a tensor, a sequence is wanted"));
    return;
  }
  if (!(operand.allowed & lathe::setOf(type->element))) {
    problems.push_back(label + " has element type " +
                       getName(type->element).str() + ", wanted is " +
                       describeSet(operand.allowed));
    return;
  }
  if (operand.variable < 0 || !operand.isHomogeneous)
    return;
  Binding &binding = bound[operand.variable];
  if (!binding.type) {
    binding = {type->element, i};
    return;
  }
  if (*binding.type != type->element)
    problems.push_back(label + " has element type " +
                       getName(type->element).str() + ", but input " +
                       std::to_string(binding.input) + " has " +
                       getName(*binding.type).str());
}

void NodeInference::bindInputs() {
  for (unsigned i = 0, e = node.getNumInputs(); i < e; ++i)
    bindInput(i, spec.getInput(i));
}

std::optional<ElementType>
NodeInference::typeOf(const OperandSpec::Source &source) {
  if (source.type)
    return source.type;
  if (source.variable >= 0)
    return bound[source.variable].type;
  const AttrSpec *attribute = spec.findAttribute(source.attribute);
  if (attribute && attribute->kind == AttrKind::Tensor)
    return node.getTensorElement(source.attribute);
  std::optional<int64_t> code = node.getInt(source.attribute);
  // 0 means "not given" wherever such an attribute has a default.
  if (!code || *code == 0)
    return std::nullopt;
  std::optional<ElementType> type = elementTypeFromOnnx(*code);
  if (type && isSupported(*type))
    return type;
  problems.push_back("attribute '" + source.attribute +
                     "' names element type " +
                     (type ? getName(*type).str() : std::to_string(*code)) +
                     ", which Lathe cannot compute with");
  return ElementType::Undefined;
}

void NodeInference::inferOutputs(SmallVectorImpl<ValueType> &results) {
  // Behind a node that is wrong, nothing is known and nothing is reported.
  bool hasUnknown = false;
  for (unsigned i = 0, e = node.getNumInputs(); i < e; ++i)
    if (const ValueType *type = node.getInput(i))
      hasUnknown |= type->element == ElementType::Undefined;
  results.assign(node.getNumOutputs(), ValueType());
  for (auto [i, result] : llvm::enumerate(results)) {
    const OperandSpec &operand = spec.getOutput(i);
    result.isSequence = operand.isSequence;
    std::optional<ElementType> type;
    for (const OperandSpec::Source &source : operand.sources)
      if (!type)
        type = typeOf(source);
    if (type)
      result.element = *type;
    else if (problems.empty() && !hasUnknown)
      problems.push_back("element type of output " + std::to_string(i) + " '" +
                         operand.name + "' cannot be told");
  }
  if (!problems.empty())
    return;
  if (spec.check) {
    std::string problem = spec.check(node);
    if (!problem.empty()) {
      problems.push_back(problem);
      return;
    }
  }
  if (spec.shape)
    spec.shape(node, results);
}

void lathe::inferNode(const OpSpec &spec, const NodeInfo &node,
                      llvm::SmallVectorImpl<ValueType> &results,
                      llvm::SmallVectorImpl<std::string> &problems) {
  NodeInference inference(spec, node, problems);
  if (!inference.checkCounts()) {
    results.assign(node.getNumOutputs(), ValueType());
    return;
  }
  inference.bindInputs();
  inference.inferOutputs(results);
}
