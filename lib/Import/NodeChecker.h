//===- NodeChecker.h - Checks nodes against the table -----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_NODECHECKER_H
#define LATHE_LIB_IMPORT_NODECHECKER_H

#include "lathe/Import/OnnxModel.h"

namespace lathe {

/// Looks up each node in the registry, checks its attributes, and infers the
/// types of its results in one walk in the order of the nodes.
class NodeChecker {
public:
  /// Gives the checked tensor of an attribute; nullptr if it is faulty (which
  /// is reported then).
  using TensorSource = llvm::function_ref<const TensorData *(
      const OnnxNode &node, const onnx::AttributeProto &attribute)>;
  /// Makes the tensor that a Constant node writes as plain numbers.
  using NumberSource =
      llvm::function_ref<const TensorData *(const onnx::AttributeProto &)>;

  NodeChecker(Problems &problems, TensorSource readTensor,
              NumberSource readNumbers)
      : problems(problems), readTensor(readTensor), readNumbers(readNumbers) {}

  /// Makes a value known whose type no node gives.
  void define(llvm::StringRef name, ValueType type,
              const TensorData *constant = nullptr);

  void check(OnnxNode &node);

  /// Type of a value that was defined or computed; nullptr: unknown name.
  const ValueType *typeOf(llvm::StringRef name) const;

private:
  class Info;
  struct Value {
    ValueType type;
    const TensorData *constant = nullptr;
  };

  const OpSpec *findSpec(const OnnxNode &node);
  void report(const OnnxNode &node, const llvm::Twine &reason,
              llvm::StringRef hint = "", llvm::StringRef group = "");
  bool checkAttributes(const OnnxNode &node);
  bool checkAttribute(const OnnxNode &node,
                      const onnx::AttributeProto &attribute);
  void inferConstant(OnnxNode &node);
  void infer(OnnxNode &node, const Info &info);

  Problems &problems;
  TensorSource readTensor;
  NumberSource readNumbers;
  llvm::StringMap<Value> values;
};

} // namespace lathe

#endif // LATHE_LIB_IMPORT_NODECHECKER_H
