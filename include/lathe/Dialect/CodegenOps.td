//===- CodegenOps.td - operations of the lowering ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_OPS_TD
#define LATHE_CODEGEN_OPS_TD

def Lathe_KernelOp : Lathe_Op<"kernel", [AttrSizedOperandSegments,
    DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "A call of a kernel that writes its results into buffers";
  let description = [{
    Stands for `func.call @callee(ctx, inputs..., outputs...)` while values are
    tensors: one result per output that is a tensor. Outputs are written whole;
    with `updates` their elements count as read too (the kernel changes some of
    them). A memref output is changed in place. After bufferization
    `lathe-call-kernels` makes the call; `ctx` is the argument of the enclosing
    function that carries `lathe.ctx`.

    Constraints:
    * (C1) the results have the types of the tensor outputs, in order.

    Example:
    ```mlir
    %y = lathe.kernel @linear_0 ins(%x, %w : tensor<?x768xf32>, tensor<12x768x64xf32>)
        outs(%e : tensor<?x768xf32>) -> tensor<?x768xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$callee, Variadic<AnyType>:$inputs,
                       Variadic<AnyShaped>:$outputs, UnitAttr:$updates);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    $callee (`ins` `(` $inputs^ `:` type($inputs) `)`)?
    (`outs` `(` $outputs^ `:` type($outputs) `)`)?
    attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() {
      return getOutputsMutable();
    }
  }];
}

#endif // LATHE_CODEGEN_OPS_TD
