//===- Passes.td - compression methods -------------------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_PASSES_TD
#define LATHE_COMPRESS_PASSES_TD

include "mlir/Pass/PassBase.td"

class Lathe_CompressPass<string argument>
    : Pass<argument, "::mlir::ModuleOp"> {
  let dependentDialects = ["::lathe::LatheDialect"];
}

def CutSublayers : Lathe_CompressPass<"lathe-cut-sublayers"> {
  let summary = "Removes sub-layers by site";
  let description = [{
    Removes the named sub-layers from every entry: what reads their result
    reads their residual, or in a post-norm network the norm of it. Their
    weights go, and with an attention its slot of the KV cache: the inputs and
    outputs of the ONNX signature, the handles of `prefill` and `decode`. The
    other slots keep their names and are numbered densely inside. A block with
    nothing left goes too. The module records what went in `lathe.removed`,
    the pass in `lathe.passes`, and one report row per sub-layer.

    All sub-layers, an unknown or removed site, and a sub-layer of which more
    than the residual stream and the cache is read are errors.

    Before:
    ```mlir
    %1 = lathe.sublayer attn <"blocks.0.attn"> residual(%0) source(%0) { ... }
    %2 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%1) source(%1) { ... }
    ```
    After `lathe-cut-sublayers{sites=blocks.0.attn}`:
    ```mlir
    %2 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%0) source(%0) { ... }
    ```
  }];
  let options = [
    ListOption<"sites", "sites", "std::string",
               "Sub-layers to remove: `blocks.3.attn,blocks.7.ffn`">
  ];
}

#endif // LATHE_COMPRESS_PASSES_TD
