//===- LatheInterfaces.td - interfaces of the lathe dialect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INTERFACES_TD
#define LATHE_INTERFACES_TD

include "mlir/IR/Interfaces.td"

def Lathe_EncodingInterface : AttrInterface<"EncodingAttrInterface"> {
  let cppNamespace = "::lathe";
  let description = [{
    How the bytes of a weight are written. A weight has a logical shape and
    element type (what computations see) and an encoding (what lies in the
    file). The payload parts are named by the encoding; a leaf has one part
    `data` unless it says otherwise, and a composite prefixes the parts of its
    n-th operand with `n.`.
  }];
  let methods = [
    InterfaceMethod<[{
      Bits of payload for a weight of the given logical shape, scales and
      indices included.
    }], "int64_t", "storageBits", (ins "::llvm::ArrayRef<int64_t>":$shape)>,
    InterfaceMethod<[{
      Checks that `parts` names exactly the parts of this encoding, each a
      `#lathe.blob` of the right size.
    }], "::llvm::LogicalResult", "verifyPayload",
      (ins "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError,
           "::llvm::ArrayRef<int64_t>":$shape,
           "::mlir::DictionaryAttr":$parts)>,
    InterfaceMethod<[{
      Writes the decoded weight, row-major in its logical shape, to `out`
      (one float per element). Fails with an error when a part cannot be read.
    }], "::llvm::Error", "decode",
      (ins "::lathe::PayloadStore &":$store, "::llvm::ArrayRef<int64_t>":$shape,
           "::mlir::DictionaryAttr":$parts,
           "::llvm::MutableArrayRef<float>":$out)>,
  ];
}

#endif // LATHE_INTERFACES_TD
