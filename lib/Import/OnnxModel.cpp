//===- OnnxModel.cpp - Checked view of an ONNX model ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/OnnxModel.h"
#include "FunctionInliner.h"
#include "GraphOrder.h"
#include "NodeChecker.h"
#include "TensorReader.h"
#include "WireFormat.h"
#include "lathe/Import/Onnx.pb.h"
#include "llvm/ADT/StringSet.h"

#include <google/protobuf/io/coded_stream.h>

using namespace lathe;
using llvm::StringRef;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

StringRef OnnxNode::getDomain() const {
  StringRef domain = proto->domain();
  return domain == "ai.onnx" ? "" : domain;
}

std::string OnnxNode::getLabel() const {
  std::string label = "node ";
  label +=
      proto->name().empty() ? std::to_string(index) : quoteName(proto->name());
  label += " (";
  if (!getDomain().empty())
    label += escapeName(getDomain()) + ".";
  label += proto->op_type().empty() ? "?" : escapeName(proto->op_type());
  if (opset != 0)
    label += ", opset " + std::to_string(opset);
  return label + ")";
}

//===----------------------------------------------------------------------===//
// Loading
//===----------------------------------------------------------------------===//

namespace lathe {
/// Fills an OnnxModel step by step.
class ModelLoader {
public:
  ModelLoader(OnnxModel &model, Problems &problems)
      : model(model), problems(problems) {}

  void run(StringRef path, const OnnxModelOptions &options);

private:
  bool openAndParse(StringRef path, const OnnxModelOptions &options);
  bool parse();
  void checkHeader();
  void readInitializers();
  void readInputs();
  void readOutputs();
  bool checkNodes();
  bool readPort(const onnx::ValueInfoProto &info, const Twine &subject,
                OnnxPort &port);
  bool readShape(const onnx::ValueInfoProto &info, const Twine &subject,
                 OnnxPort &port);
  const TensorData *readTensor(const onnx::TensorProto &tensor,
                               const Twine &subject, const Twine &prefix);
  const TensorData *readNumbers(const onnx::AttributeProto &attribute);
  void defineOuter(StringRef name, const Twine &what, const Twine &subject);

  OnnxModel &model;
  Problems &problems;
  /// Names that exist before the first node, and what they are.
  llvm::StringMap<std::string> outer;
  std::unique_ptr<NodeChecker> checker;
};
} // namespace lathe

/// Levels of messages that protobuf may nest: each subgraph takes three (graph,
/// node, attribute), and a few stand around them.
constexpr int kRecursionLimit = 3 * kMaxGraphNesting + 50;

bool ModelLoader::parse() {
  llvm::Expected<std::string> skeleton =
      makeModelSkeleton(model.file->getBytes());
  if (!skeleton) {
    problems.add("", "is not an ONNX model: " +
                         llvm::toString(skeleton.takeError()));
    return false;
  }
  model.proto = std::make_unique<onnx::ModelProto>();
  google::protobuf::io::CodedInputStream stream(
      reinterpret_cast<const uint8_t *>(skeleton->data()),
      static_cast<int>(skeleton->size()));
  stream.SetRecursionLimit(kRecursionLimit);
  if (!model.proto->ParseFromCodedStream(&stream) ||
      !stream.ConsumedEntireMessage()) {
    problems.add("", "is not an ONNX model: the protobuf message is broken");
    return false;
  }
  return true;
}

bool ModelLoader::openAndParse(StringRef path,
                               const OnnxModelOptions &options) {
  auto file = MappedFile::open(path);
  if (!file) {
    problems.add("", llvm::toString(file.takeError()));
    return false;
  }
  model.file = std::move(*file);
  model.externalFiles =
      std::make_unique<ExternalFiles>(*model.file, options.externalDataRoots);
  if (model.file->getBytes().empty()) {
    problems.add("", "is empty");
    return false;
  }
  if (!parse())
    return false;
  if (!model.proto->has_graph()) {
    problems.add("", "has no graph; is it an ONNX model?");
    return false;
  }
  return true;
}

void ModelLoader::checkHeader() {
  const onnx::ModelProto &proto = *model.proto;
  constexpr int64_t kOldest = 3;
  if (!proto.has_ir_version())
    problems.add("", "has no ir_version");
  else if (proto.ir_version() < kOldest)
    problems.add("", "has ir_version " + Twine(proto.ir_version()) +
                         ", the oldest that Lathe reads is " + Twine(kOldest));
  else if (proto.ir_version() > onnx::IR_VERSION)
    problems.add("", "has ir_version " + Twine(proto.ir_version()) +
                         ", the newest that Lathe reads is " +
                         Twine(static_cast<int64_t>(onnx::IR_VERSION)));
  if (proto.opset_import().empty())
    problems.add("", "imports no opset");
  if (proto.training_info_size())
    problems.add("", "is a training model, which is not supported");

  llvm::SmallVector<std::pair<StringRef, int64_t>> imports;
  for (const onnx::OperatorSetIdProto &import : proto.opset_import())
    imports.push_back({import.domain(), import.version()});
  model.opsets = readOpsets(imports, "", problems);
  if (model.getOpset() > kMaxTestedOpset)
    problems.note("opset " + Twine(model.getOpset()) +
                  " is newer than the newest that is tested (" +
                  Twine(kMaxTestedOpset) + ")");
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

const TensorData *ModelLoader::readTensor(const onnx::TensorProto &tensor,
                                          const Twine &subject,
                                          const Twine &prefix) {
  auto [it, isNew] = model.tensors.try_emplace(&tensor, nullptr);
  if (!isNew)
    return it->second;
  TensorReader reader(*model.file, *model.externalFiles);
  std::vector<uint8_t> &owned = model.byteStorage.emplace_back();
  llvm::Expected<TensorData> data = reader.read(tensor, owned);
  if (!data) {
    std::string reason = llvm::toString(data.takeError());
    StringRef hint;
    if (StringRef(reason).contains("outside the model's folder") ||
        StringRef(reason).contains("cannot be opened"))
      hint = "--external-data-root DIR names a further folder that may hold "
             "external data";
    problems.add(subject, prefix + reason, hint);
    return nullptr;
  }
  if (owned.empty())
    model.byteStorage.pop_back();
  const TensorData *stored =
      &model.tensorStorage.emplace_back(std::move(*data));
  model.tensors[&tensor] = stored;
  return stored;
}

/// Copies `count` numbers of `Number` as bytes.
template <typename Number>
static std::vector<uint8_t> toBytes(const Number *numbers, size_t count) {
  const auto *begin = reinterpret_cast<const uint8_t *>(numbers);
  return std::vector<uint8_t>(begin, begin + count * sizeof(Number));
}

const TensorData *
ModelLoader::readNumbers(const onnx::AttributeProto &attribute) {
  TensorData data;
  std::vector<uint8_t> bytes;
  switch (attribute.type()) {
  case onnx::AttributeProto::INT: {
    int64_t value = attribute.i();
    bytes = toBytes(&value, 1);
    data.element = ElementType::I64;
    break;
  }
  case onnx::AttributeProto::FLOAT: {
    float value = attribute.f();
    bytes = toBytes(&value, 1);
    data.element = ElementType::F32;
    break;
  }
  case onnx::AttributeProto::INTS:
    bytes = toBytes(attribute.ints().data(), attribute.ints_size());
    data.element = ElementType::I64;
    data.dims.push_back(attribute.ints_size());
    break;
  case onnx::AttributeProto::FLOATS:
    bytes = toBytes(attribute.floats().data(), attribute.floats_size());
    data.element = ElementType::F32;
    data.dims.push_back(attribute.floats_size());
    break;
  default:
    llvm_unreachable("the table allows no other value of a Constant");
  }
  data.numElements = data.dims.empty() ? 1 : data.dims[0];
  data.bytes = model.byteStorage.emplace_back(std::move(bytes));
  return &model.tensorStorage.emplace_back(std::move(data));
}

void ModelLoader::defineOuter(StringRef name, const Twine &what,
                              const Twine &subject) {
  if (name.empty()) {
    problems.add(subject, "has no name");
    return;
  }
  auto [it, isNew] = outer.try_emplace(name, what.str());
  if (!isNew)
    problems.add(subject, "the name is " + it->second + " already");
}

void ModelLoader::readInitializers() {
  const onnx::GraphProto &graph = model.proto->graph();
  for (const onnx::TensorProto &tensor : graph.initializer()) {
    std::string subject = "initializer " + quoteName(tensor.name());
    defineOuter(tensor.name(), "an initializer", subject);
    const TensorData *data = readTensor(tensor, subject, "");
    checker->define(tensor.name(), data ? data->getType() : ValueType(), data);
    if (data)
      model.initializers.insert({data->name, data});
  }
  for (const onnx::SparseTensorProto &sparse : graph.sparse_initializer())
    problems.add("initializer " + quoteName(sparse.values().name()),
                 "is sparse, which is not supported",
                 "write it as a dense tensor");
}

//===----------------------------------------------------------------------===//
// Inputs and outputs
//===----------------------------------------------------------------------===//

bool ModelLoader::readShape(const onnx::ValueInfoProto &info,
                            const Twine &subject, OnnxPort &port) {
  const onnx::TensorShapeProto &shape = info.type().tensor_type().shape();
  if (shape.dim_size() > static_cast<int>(kMaxRank)) {
    problems.add(subject, "has rank " + Twine(shape.dim_size()) + ", at most " +
                              Twine(kMaxRank) + " is read");
    return false;
  }
  port.type.dims.emplace();
  for (const onnx::TensorShapeProto::Dimension &dim : shape.dim()) {
    int64_t extent = dim.has_dim_value() ? dim.dim_value() : kUnknownDim;
    if (dim.has_dim_value() && (extent < 0 || extent > kMaxExtent)) {
      problems.add(subject, "has the impossible extent " + Twine(extent));
      return false;
    }
    port.type.dims->push_back(extent);
    port.dimNames.push_back(dim.dim_param());
  }
  return true;
}

bool ModelLoader::readPort(const onnx::ValueInfoProto &info,
                           const Twine &subject, OnnxPort &port) {
  port.name = info.name();
  if (!info.type().has_tensor_type()) {
    problems.add(subject, info.has_type() ? "is not a tensor" : "has no type");
    return false;
  }
  const onnx::TypeProto::Tensor &tensor = info.type().tensor_type();
  auto element = elementTypeFromOnnx(tensor.elem_type());
  if (!element || !isSupported(*element)) {
    problems.add(subject, "has element type " +
                              (element ? getName(*element).str()
                                       : std::to_string(tensor.elem_type())) +
                              ", which Lathe cannot compute with");
    return false;
  }
  port.type.element = *element;
  return !tensor.has_shape() || readShape(info, subject, port);
}

void ModelLoader::readInputs() {
  llvm::StringSet<> seen;
  for (const onnx::ValueInfoProto &info : model.proto->graph().input()) {
    std::string subject = "input " + quoteName(info.name());
    if (!info.name().empty() && !seen.insert(info.name()).second) {
      problems.add(subject, "is declared twice");
      continue;
    }
    // An initialiser of the same name is the value, also where ONNX would let
    // a caller override it.
    if (model.initializers.contains(info.name()) ||
        (outer.contains(info.name()) && !info.name().empty()))
      continue;
    defineOuter(info.name(), "an input of the graph", subject);
    OnnxPort port;
    bool isFine = readPort(info, subject, port);
    if (isFine && !port.type.hasRank()) {
      problems.add(subject, "has no shape; its rank must be known");
      isFine = false;
    }
    checker->define(info.name(), isFine ? port.type : ValueType());
    if (isFine)
      model.inputs.push_back(std::move(port));
  }
}

void ModelLoader::readOutputs() {
  const onnx::GraphProto &graph = model.proto->graph();
  if (graph.output().empty())
    problems.add("graph", "has no outputs");
  llvm::StringSet<> seen;
  for (const onnx::ValueInfoProto &info : graph.output()) {
    std::string subject = "output " + quoteName(info.name());
    if (!seen.insert(info.name()).second) {
      problems.add(subject, "is declared twice");
      continue;
    }
    const ValueType *type = checker->typeOf(info.name());
    if (!type || info.name().empty()) {
      problems.add(subject, "is produced by nothing");
      continue;
    }
    OnnxPort port;
    port.name = info.name();
    if (info.has_type() && !readPort(info, subject, port))
      continue;
    if (type->element == ElementType::Undefined)
      continue;
    if (type->isSequence) {
      problems.add(subject, "is a sequence, which is not supported");
      continue;
    }
    if (info.has_type() && port.type.element != type->element) {
      problems.add(subject, "is declared as " + getName(port.type.element) +
                                " and computed as " + getName(type->element));
      continue;
    }
    port.declaredDims = port.type.dims;
    port.type = *type;
    model.outputs.push_back(std::move(port));
  }
}

//===----------------------------------------------------------------------===//
// The whole model
//===----------------------------------------------------------------------===//

bool ModelLoader::checkNodes() {
  if (!inlineFunctions(*model.proto, model.opsets, model.inlinedNodes,
                       model.nodes, problems))
    return false;
  checkOrder(model.nodes, outer, problems);
  for (OnnxNode &node : model.nodes)
    checker->check(node);
  return true;
}

void ModelLoader::run(StringRef path, const OnnxModelOptions &options) {
  if (!openAndParse(path, options))
    return;
  auto tensorOf = [&](const OnnxNode &node,
                      const onnx::AttributeProto &attribute) {
    return readTensor(attribute.t(), node.getLabel(),
                      "attribute " + quoteName(attribute.name()) + " ");
  };
  auto numbersOf = [&](const onnx::AttributeProto &attribute) {
    return readNumbers(attribute);
  };
  checker = std::make_unique<NodeChecker>(problems, tensorOf, numbersOf);
  checkHeader();
  readInitializers();
  readInputs();
  if (checkNodes())
    readOutputs();
}

OnnxModel::OnnxModel() = default;
OnnxModel::~OnnxModel() = default;

unsigned OnnxModel::getOpset() const {
  return std::max({1u, opsets.lookup(""), opsets.lookup("com.microsoft")});
}

std::unique_ptr<OnnxModel> OnnxModel::load(StringRef path,
                                           const OnnxModelOptions &options,
                                           Problems &problems) {
  std::unique_ptr<OnnxModel> model(new OnnxModel());
  ModelLoader(*model, problems).run(path, options);
  if (!problems.empty())
    return nullptr;
  return model;
}
