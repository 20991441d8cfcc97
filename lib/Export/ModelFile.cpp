//===- ModelFile.cpp - an ONNX file that is being edited ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"
#include "lathe/Import/OnnxImporter.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

using namespace lathe;
using llvm::ArrayRef;
using llvm::StringRef;
namespace fs = llvm::sys::fs;

/// Tensors in the data file start at pages, so that they can be mapped.
static constexpr uint64_t kPage = 4096;

static ArrayRef<char> toChars(ArrayRef<uint8_t> bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

//===----------------------------------------------------------------------===//
// Copying
//===----------------------------------------------------------------------===//

void ModelFile::hold(onnx::TensorProto &tensor, ArrayRef<char> bytes) {
  tensor.clear_raw_data();
  tensor.clear_external_data();
  tensor.clear_data_location();
  tensor.set_lathe_raw_offset(held.size());
  tensor.set_lathe_raw_length(bytes.size());
  held.push_back(bytes);
}

/// True for a tensor whose bytes lie outside the message.
static bool isOutside(const onnx::TensorProto &tensor) {
  return tensor.has_lathe_raw_offset() ||
         tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

void ModelFile::holdTensors(onnx::NodeProto &node,
                            const onnx::NodeProto &original,
                            const OnnxModel &source) {
  for (int i = 0; i < node.attribute_size(); ++i) {
    const onnx::AttributeProto &attribute = original.attribute(i);
    if (!attribute.has_t() || !isOutside(attribute.t()))
      continue;
    if (const TensorData *data = source.getTensor(attribute.t()))
      hold(*node.mutable_attribute(i)->mutable_t(), toChars(data->bytes));
    else
      holdRaw(*node.mutable_attribute(i)->mutable_t(), source);
  }
}

/// A tensor that nothing reads: its bytes were only measured.
void ModelFile::holdRaw(onnx::TensorProto &tensor, const OnnxModel &source) {
  if (tensor.has_lathe_raw_offset())
    hold(tensor, toChars(source.getFile().getBytes().slice(
                     tensor.lathe_raw_offset(), tensor.lathe_raw_length())));
}

llvm::Error ModelFile::inlineCalls(const OnnxModel &source) {
  onnx::GraphProto &graph = getGraph();
  graph.clear_node();
  proto.clear_functions();
  for (const OnnxNode &node : source.getNodes()) {
    bool isImported = llvm::any_of(
        proto.opset_import(), [&](const onnx::OperatorSetIdProto &import) {
          StringRef domain = import.domain();
          return (domain == "ai.onnx" ? "" : domain) == node.getDomain() &&
                 import.version() == static_cast<int64_t>(node.opset);
        });
    if (!isImported)
      return llvm::createStringError(
          node.getLabel() + " comes from a function that imports another "
                            "opset than the model; such models can be "
                            "exported unchanged only");
    *graph.add_node() = *node.proto;
    holdTensors(*graph.mutable_node(graph.node_size() - 1), *node.proto,
                source);
  }
  return llvm::Error::success();
}

llvm::Expected<ModelFile> ModelFile::copy(const OnnxModel &source,
                                          bool inlined) {
  ModelFile file;
  const onnx::ModelProto &original = source.getProto();
  file.proto = original;
  onnx::GraphProto &graph = file.getGraph();
  for (onnx::TensorProto &tensor : *graph.mutable_initializer())
    if (const TensorData *data = source.getInitializers().lookup(tensor.name());
        data && isOutside(tensor))
      file.hold(tensor, toChars(data->bytes));
  if (inlined) {
    if (llvm::Error error = file.inlineCalls(source))
      return std::move(error);
    return file;
  }
  for (int i = 0; i < graph.node_size(); ++i)
    file.holdTensors(*graph.mutable_node(i), original.graph().node(i), source);
  for (int f = 0; f < file.proto.functions_size(); ++f)
    for (int i = 0; i < file.proto.functions(f).node_size(); ++i)
      file.holdTensors(*file.proto.mutable_functions(f)->mutable_node(i),
                       original.functions(f).node(i), source);
  return file;
}

//===----------------------------------------------------------------------===//
// Editing
//===----------------------------------------------------------------------===//

/// Takes out whatever fields hold the tensor's elements.
static void clearElements(onnx::TensorProto &tensor) {
  tensor.clear_float_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_double_data();
  tensor.clear_uint64_data();
}

/// A Constant node whose value is in another attribute than a tensor.
static onnx::TensorProto &toTensorConstant(onnx::NodeProto &node) {
  onnx::AttributeProto &attribute = *node.mutable_attribute(0);
  if (!attribute.has_t()) {
    attribute.Clear();
    attribute.set_name("value");
    attribute.set_type(onnx::AttributeProto::TENSOR);
    attribute.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  }
  return *attribute.mutable_t();
}

void ModelFile::apply(const TensorEdits &edits) {
  onnx::GraphProto &graph = getGraph();
  bool changesShape = false;
  auto set = [&](onnx::TensorProto &tensor, const TensorEdit &edit) {
    changesShape |= !llvm::equal(tensor.dims(), edit.dims);
    clearElements(tensor);
    tensor.mutable_dims()->Assign(edit.dims.begin(), edit.dims.end());
    hold(tensor, edit.bytes);
  };
  for (onnx::TensorProto &tensor : *graph.mutable_initializer())
    if (auto edit = edits.find(tensor.name()); edit != edits.end())
      set(tensor, edit->second);
  for (onnx::NodeProto &node : *graph.mutable_node())
    if (node.op_type() == "Constant" && node.output_size() == 1)
      if (auto edit = edits.find(node.output(0)); edit != edits.end())
        set(toTensorConstant(node), edit->second);
  // What the file says of the shapes in between may be wrong now.
  if (changesShape)
    graph.clear_value_info();
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

std::vector<onnx::TensorProto *> ModelFile::getHeld() {
  std::vector<onnx::TensorProto *> tensors;
  auto add = [&](onnx::TensorProto &tensor) {
    if (tensor.has_lathe_raw_offset())
      tensors.push_back(&tensor);
  };
  auto addNode = [&](onnx::NodeProto &node) {
    for (onnx::AttributeProto &attribute : *node.mutable_attribute())
      if (attribute.has_t())
        add(*attribute.mutable_t());
  };
  for (onnx::TensorProto &tensor : *getGraph().mutable_initializer())
    add(tensor);
  for (onnx::NodeProto &node : *getGraph().mutable_node())
    addNode(node);
  for (onnx::FunctionProto &function : *proto.mutable_functions())
    for (onnx::NodeProto &node : *function.mutable_node())
      addNode(node);
  return tensors;
}

static void addEntry(onnx::TensorProto &tensor, StringRef key,
                     const llvm::Twine &value) {
  onnx::StringStringEntryProto &entry = *tensor.add_external_data();
  entry.set_key(key.str());
  entry.set_value(value.str());
}

namespace {
/// A file that gets its name when everything is written.
class PendingFile {
public:
  static llvm::Expected<PendingFile> create(StringRef path) {
    auto file = fs::TempFile::create(path + ".%%%%%%%%.tmp", 0666 & ~umask());
    if (!file)
      return llvm::createStringError(path + ": " +
                                     llvm::toString(file.takeError()));
    return PendingFile(path.str(), std::move(*file));
  }
  PendingFile(PendingFile &&) = default;
  ~PendingFile() {
    if (file)
      llvm::consumeError(file->discard());
  }

  llvm::Error write(llvm::function_ref<void(llvm::raw_ostream &)> fill) {
    llvm::raw_fd_ostream os(file->FD, /*shouldClose=*/false);
    fill(os);
    os.flush();
    if (!os.has_error())
      return llvm::Error::success();
    std::string reason = os.error().message();
    os.clear_error();
    return llvm::createStringError(path + ": " + reason);
  }

  llvm::Error keep() {
    llvm::Error error = file->keep(path);
    file.reset();
    if (error)
      return llvm::createStringError(path + ": " +
                                     llvm::toString(std::move(error)));
    return llvm::Error::success();
  }

private:
  PendingFile(std::string path, fs::TempFile file)
      : path(std::move(path)), file(std::move(file)) {}
  static unsigned umask() { return fs::getUmask(); }

  std::string path;
  std::optional<fs::TempFile> file;
};
} // namespace

/// The message; the same bytes for the same message.
static std::string serialize(const onnx::ModelProto &proto) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  proto.SerializeWithCachedSizes(&coded);
  return bytes;
}

llvm::Error ModelFile::write(StringRef path, uint64_t embedLimit) {
  std::vector<onnx::TensorProto *> tensors = getHeld();
  uint64_t total = 0;
  for (onnx::TensorProto *tensor : tensors)
    total += tensor->lathe_raw_length();
  bool isLarge = total > embedLimit;
  std::string dataPath = (path + ".data").str();
  std::vector<std::pair<uint64_t, ArrayRef<char>>> outside;
  uint64_t end = 0;
  for (onnx::TensorProto *tensor : tensors) {
    ArrayRef<char> bytes = held[tensor->lathe_raw_offset()];
    tensor->clear_lathe_raw_offset();
    tensor->clear_lathe_raw_length();
    if (!isLarge || bytes.size() < kInlineLimit) {
      tensor->set_raw_data(bytes.data(), bytes.size());
      continue;
    }
    uint64_t offset = llvm::alignTo(end, kPage);
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    addEntry(*tensor, "location", llvm::sys::path::filename(dataPath));
    addEntry(*tensor, "offset", llvm::Twine(offset));
    addEntry(*tensor, "length", llvm::Twine(bytes.size()));
    outside.push_back({offset, bytes});
    end = offset + bytes.size();
  }
  if (proto.ByteSizeLong() > INT32_MAX)
    return llvm::createStringError(path + ": the graph is larger than 2 GiB");

  std::optional<PendingFile> dataFile;
  if (!outside.empty()) {
    auto created = PendingFile::create(dataPath);
    if (!created)
      return created.takeError();
    dataFile.emplace(std::move(*created));
    if (llvm::Error error = dataFile->write([&](llvm::raw_ostream &os) {
          for (auto [offset, bytes] : outside) {
            os.write_zeros(offset - os.tell());
            os.write(bytes.data(), bytes.size());
          }
        }))
      return error;
  }
  auto modelFile = PendingFile::create(path);
  if (!modelFile)
    return modelFile.takeError();
  if (llvm::Error error = modelFile->write(
          [&](llvm::raw_ostream &os) { os << serialize(proto); }))
    return error;
  if (dataFile)
    if (llvm::Error error = dataFile->keep())
      return error;
  return modelFile->keep();
}
