//===- LatheTypes.td - types of the lathe dialect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TYPES_TD
#define LATHE_TYPES_TD

include "lathe/Dialect/LatheAttrs.td"

class Lathe_Type<string name, string typeMnemonic>
    : TypeDef<Lathe_Dialect, name> {
  let mnemonic = typeMnemonic;
}

def Lathe_WeightType : Lathe_Type<"Weight", "weight"> {
  let summary = "A trained tensor in an encoding";
  let description = [{
    A type of its own, which only Lathe's operations accept: upstream patterns
    drop an encoding on `tensor` silently. Shapes of linear weights are
    `[K, N]`, with `y = x * W`.

    Constraints:
    * (C1) the shape is static and its extents are positive.
    * (C2) the element type is f32, f16, bf16 or f64.
    * (C3) the encoding implements the encoding interface.

    Example: `!lathe.weight<768x3072xf32, #lathe.dense<f16>>`
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$elementType,
                        "::mlir::Attribute":$encoding);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    int64_t getRank() const { return getShape().size(); }
    int64_t getDim(int64_t i) const { return getShape()[i]; }
    int64_t getNumElements() const;
    EncodingAttrInterface getEncodingInterface() const;
  }];
}

def Lathe_KvType : Lathe_Type<"Kv", "kv"> {
  let summary = "Handle of one layer's key/value cache";
  let description = [{
    A token: appending yields a new handle, and whoever reads a handle sees
    the rows appended up to it. The cache holds `heads` key heads of
    `keyDim` columns and as many value heads of `valueDim`.

    Constraints:
    * (C1) heads and dims are positive.
    * (C2) the element type is a float.

    Example: `!lathe.kv<3, 32, 32, f32>` (heads, key dim, value dim)
  }];
  let parameters = (ins "int64_t":$heads, "int64_t":$keyDim,
                        "int64_t":$valueDim, "::mlir::Type":$elementType);
  let assemblyFormat = [{
    `<` $heads `,` $keyDim `,` $valueDim `,` $elementType `>`
  }];
  let genVerifyDecl = 1;
}

#endif // LATHE_TYPES_TD
