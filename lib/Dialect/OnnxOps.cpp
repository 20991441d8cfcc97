//===- OnnxOps.cpp - carrier operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// OnnxOp
//===----------------------------------------------------------------------===//

LogicalResult OnnxOp::verify() {
  if (getOpType().empty())
    return emitOpError("needs the name of an ONNX operator");
  if (static_cast<int64_t>(getOpset()) < 1)
    return emitOpError("needs an opset of at least 1");
  for (Value input : getInputs())
    if (!isa<TensorType>(input.getType()) &&
        !isa_and_nonnull<NoneOp>(input.getDefiningOp()))
      return emitOpError("operands must be tensors or left out, not ")
             << input.getType();
  if (!llvm::all_of(getResultTypes(), llvm::IsaPred<TensorType>))
    return emitOpError("results must be tensors");
  return success();
}

Value OnnxOp::getOptionalInput(unsigned i) {
  if (i >= getInputs().size() ||
      isa_and_nonnull<NoneOp>(getInputs()[i].getDefiningOp()))
    return {};
  return getInputs()[i];
}

int64_t OnnxOp::getInt(StringRef name, int64_t otherwise) {
  auto attr = (*this)->getAttrOfType<IntegerAttr>(name);
  return attr ? attr.getInt() : otherwise;
}

double OnnxOp::getFloat(StringRef name, double otherwise) {
  auto attr = (*this)->getAttrOfType<FloatAttr>(name);
  // Attributes of ONNX are f32, and so are their defaults.
  return attr ? attr.getValueAsDouble() : float(otherwise);
}

StringRef OnnxOp::getString(StringRef name, StringRef otherwise) {
  auto attr = (*this)->getAttrOfType<StringAttr>(name);
  return attr ? attr.getValue() : otherwise;
}

std::optional<ArrayRef<int64_t>> OnnxOp::getInts(StringRef name) {
  if (auto attr = (*this)->getAttrOfType<DenseI64ArrayAttr>(name))
    return attr.asArrayRef();
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// ConstantOp
//===----------------------------------------------------------------------===//

LogicalResult ConstantOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitOpError("needs a static shape");
  FailureOr<int64_t> elements = checkedNumElements(type.getShape());
  FailureOr<int64_t> bytes = failure();
  if (succeeded(elements))
    bytes = payloadBytes(type.getElementType(), *elements);
  if (failed(bytes))
    return emitOpError("has a type without a size: ") << type;
  if (getValue().getBytes() != *bytes)
    return emitOpError("holds ")
           << getValue().getBytes() << " bytes, " << type << " has " << *bytes;
  return success();
}
