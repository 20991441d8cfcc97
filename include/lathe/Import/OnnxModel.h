//===- OnnxModel.h - Checked view of an ONNX model --------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// An ONNX file, read and checked completely before anything is made of it. No
/// MLIR. Weights stay in the mapped file; only the graph costs memory.
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNXMODEL_H
#define LATHE_IMPORT_ONNXMODEL_H

#include "lathe/Import/MappedFile.h"
#include "lathe/Import/OpRegistry.h"
#include "lathe/Import/Problems.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include <deque>

namespace lathe::onnx {
class AttributeProto;
class GraphProto;
class ModelProto;
class NodeProto;
class TensorProto;
class ValueInfoProto;
} // namespace lathe::onnx

namespace lathe {

/// Limits of what is read. All but the first are ONNX's own.
constexpr unsigned kMaxOpset = 28;
/// Newest opset that the numeric tests cover; above it a note is given.
constexpr unsigned kMaxTestedOpset = 24;
constexpr unsigned kMaxRank = 1024;
constexpr unsigned kMaxFunctions = 10000;
constexpr unsigned kMaxCallDepth = 100;

struct OnnxModelOptions {
  /// Further folders in which external data may lie.
  std::vector<std::string> externalDataRoots;
};

/// A constant tensor: where its bytes are, in ONNX's raw layout (little endian,
/// row-major, types below a byte packed low bits first, a byte per boolean).
struct TensorData {
  std::string name;
  ElementType element = ElementType::Undefined;
  llvm::SmallVector<int64_t, 4> dims;
  uint64_t numElements = 0;
  llvm::ArrayRef<uint8_t> bytes;
  /// The file that holds the bytes, and where; nullptr: the bytes were written
  /// as typed fields and are held by the model.
  const MappedFile *file = nullptr;
  uint64_t offset = 0;

  ValueType getType() const { return {element, false, {dims}}; }
};

/// One node, after functions were inlined.
struct OnnxNode {
  const onnx::NodeProto *proto = nullptr;
  /// Version of the node's domain.
  unsigned opset = 1;
  /// Position in the order of the file, for nodes without a name.
  size_t index = 0;
  const OpSpec *spec = nullptr;
  /// One per output.
  llvm::SmallVector<ValueType, 1> results;
  /// The value of a Constant node.
  const TensorData *constant = nullptr;

  /// The domain; empty for the default one, also if it is written "ai.onnx".
  llvm::StringRef getDomain() const;
  /// `node 'name' (Add, opset 17)`.
  std::string getLabel() const;
};

/// An input or output of the graph.
struct OnnxPort {
  std::string name;
  /// Inputs: as declared. Outputs: as inferred.
  ValueType type;
  /// Per dim the name that the file gives it, or "". As declared.
  llvm::SmallVector<std::string, 4> dimNames;
  /// Outputs: extents as declared.
  std::optional<llvm::SmallVector<int64_t, 4>> declaredDims;
};

/// A model in which nothing is wrong.
class OnnxModel {
public:
  ~OnnxModel();

  /// Reads and checks the model at `path`. Everything that is wrong is added to
  /// `problems`; nullptr if there is anything.
  static std::unique_ptr<OnnxModel> load(llvm::StringRef path,
                                         const OnnxModelOptions &options,
                                         Problems &problems);

  llvm::StringRef getPath() const { return file->getPath(); }
  const MappedFile &getFile() const { return *file; }
  /// The message as it was parsed; `raw_data` of its tensors are elided.
  const onnx::ModelProto &getProto() const { return *proto; }
  /// Opset of the default domain (of com.microsoft if only that is imported).
  unsigned getOpset() const;

  /// Inputs that a caller must give: those without an initialiser.
  llvm::ArrayRef<OnnxPort> getInputs() const { return inputs; }
  llvm::ArrayRef<OnnxPort> getOutputs() const { return outputs; }
  /// Nodes in topological order, functions inlined.
  llvm::ArrayRef<OnnxNode> getNodes() const { return nodes; }
  /// Initialisers in the order of the file.
  const llvm::MapVector<llvm::StringRef, const TensorData *> &
  getInitializers() const {
    return initializers;
  }
  /// The tensor of a node's attribute, checked.
  const TensorData *getTensor(const onnx::TensorProto &tensor) const {
    return tensors.lookup(&tensor);
  }

private:
  OnnxModel();
  friend class ModelLoader;

  std::unique_ptr<MappedFile> file;
  std::unique_ptr<ExternalFiles> externalFiles;
  std::unique_ptr<onnx::ModelProto> proto;
  llvm::StringMap<unsigned> opsets;
  std::vector<OnnxPort> inputs;
  std::vector<OnnxPort> outputs;
  std::vector<OnnxNode> nodes;
  /// Copies of nodes that come from functions.
  std::deque<onnx::NodeProto> inlinedNodes;
  std::deque<TensorData> tensorStorage;
  /// Bytes of tensors that were written as typed fields.
  std::deque<std::vector<uint8_t>> byteStorage;
  llvm::MapVector<llvm::StringRef, const TensorData *> initializers;
  llvm::DenseMap<const onnx::TensorProto *, const TensorData *> tensors;
};

} // namespace lathe

#endif // LATHE_IMPORT_ONNXMODEL_H
