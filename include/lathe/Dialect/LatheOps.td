//===- LatheOps.td - operations of the lathe dialect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_OPS_TD
#define LATHE_OPS_TD

include "lathe/Dialect/LatheDialect.td"
include "lathe/Dialect/LatheInterfaces.td"
include "lathe/Dialect/LatheAttrs.td"
include "lathe/Dialect/LatheTypes.td"
include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Lathe_Op<string mnemonic, list<Trait> traits = []>
    : Op<Lathe_Dialect, mnemonic, traits>;

/// Element types that a computation may have.
def Lathe_Float : AnyTypeOf<[F64, F32, F16, BF16]>;
def Lathe_FloatTensor : TensorOf<[F64, F32, F16, BF16]>;

include "lathe/Dialect/OnnxOps.td"
include "lathe/Dialect/StructureOps.td"
include "lathe/Dialect/TransformerOps.td"
include "lathe/Dialect/CodegenOps.td"

#endif // LATHE_OPS_TD
