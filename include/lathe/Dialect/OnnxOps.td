//===- OnnxOps.td - carrier operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ONNX_OPS_TD
#define LATHE_ONNX_OPS_TD

def Lathe_OnnxOp : Lathe_Op<"onnx", [Pure]> {
  let summary = "Any ONNX node";
  let description = [{
    Carries one node of an ONNX graph as it was written. ONNX attributes are
    attributes of the operation under their own names. An optional input that
    is left out is the result of `lathe.none`. The op registry verifies the
    node; what the raising passes leave is lowered or exported from here.

    Constraints:
    * (C1) `op_type` is not empty.
    * (C2) `opset` is at least 1.
    * (C3) operands are tensors or the result of `lathe.none`; results are
      tensors.

    Example:
    ```mlir
    %y = lathe.onnx "Gather"(%x, %i) {axis = 0 : i64, opset = 17 : i64}
        : (tensor<30x8xf32>, tensor<?xi64>) -> tensor<?x8xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyType>:$inputs, StrAttr:$op_type,
                       I64Attr:$opset, OptionalAttr<StrAttr>:$domain);
  let results = (outs Variadic<AnyType>:$outputs);
  let assemblyFormat = [{
    $op_type `(` $inputs `)` attr-dict `:`
    functional-type($inputs, $outputs)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// True for `type` of the default ONNX domain.
    bool is(::llvm::StringRef type) {
      return getOpType() == type && !getDomain();
    }
    /// The ONNX domain; empty for the default one.
    ::llvm::StringRef getDomainOrDefault() {
      return getDomain().value_or(::llvm::StringRef());
    }
    /// Operand `i`, or null when it is absent or left out.
    ::mlir::Value getOptionalInput(unsigned i);
    /// ONNX INT attribute `name`, or `otherwise` when it is not written.
    int64_t getInt(::llvm::StringRef name, int64_t otherwise);
    /// ONNX FLOAT attribute `name`, or `otherwise`.
    double getFloat(::llvm::StringRef name, double otherwise);
    /// ONNX STRING attribute `name`, or `otherwise`.
    ::llvm::StringRef getString(::llvm::StringRef name,
                                ::llvm::StringRef otherwise);
    /// ONNX INTS attribute `name`; nothing when it is not written.
    std::optional<::llvm::ArrayRef<int64_t>> getInts(::llvm::StringRef name);
  }];
}

def Lathe_NoneOp : Lathe_Op<"none", [Pure]> {
  let summary = "An optional input that is left out";
  let description = [{
    Example: `%0 = lathe.none : none`
  }];
  let results = (outs NoneType:$result);
  let assemblyFormat = "attr-dict `:` type($result)";
}

def Lathe_ConstantOp : Lathe_Op<"constant", [Pure]> {
  let summary = "A constant tensor whose bytes lie in a file";
  let description = [{
    The elements are little endian and row-major; elements narrower than a
    byte are packed as ONNX packs them (low bits first); booleans take a byte.
    `name` is the name of the ONNX initialiser.

    Constraints:
    * (C1) the result has a static shape.
    * (C2) `value` holds exactly the bytes of the result's type.

    Example:
    ```mlir
    %w = lathe.constant <"m.onnx", 128, 65536, "0f1e2d3c4b5a6978">
        {name = "w"} : tensor<128x128xf32>
    ```
  }];
  let arguments = (ins Lathe_PayloadAttr:$value, OptionalAttr<StrAttr>:$name);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = "$value attr-dict `:` type($result)";
  let hasVerifier = 1;
}

#endif // LATHE_ONNX_OPS_TD
