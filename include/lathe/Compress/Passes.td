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

def FinerCut : Lathe_CompressPass<"lathe-finercut"> {
  let summary = "Cuts the sub-layers that the output needs least (FinerCut)";
  let description = [{
    Removes attention and FFN sub-layers in the order that `lathe calibrate
    --for lathe-finercut` found: at each step the one whose removal, given all
    before it, changes the output on the calibration data least. Any prefix of
    the order is cut without a new search. `latency` is the time of the stages
    as it was measured while calibrating, `bytes` the size of all weights. What
    this pass has cut from the model before counts as part of the prefix.

    The distance is taken row by row between the outputs of the original and of
    the cut model (logits of tokens or classes, or a hidden state) and averaged;
    rows that `attention_mask` marks as padding are left out.

    Before:
    ```mlir
    %1 = lathe.sublayer attn <"blocks.5.attn"> residual(%0) source(%0) { ... }
    %2 = lathe.sublayer ffn <"blocks.5.ffn"> residual(%1) source(%1) { ... }
    ```
    After `lathe-finercut{profile=m.profile cut=1}`:
    ```mlir
    %2 = lathe.sublayer ffn <"blocks.5.ffn"> residual(%0) source(%0) { ... }
    ```

    Source: FinerCut, arXiv 2405.18218.
  }];
  let options = [
    Option<"profile", "profile", "std::string", /*default=*/"",
           "Profile with the ranking">,
    Option<"cut", "cut", "unsigned", /*default=*/"0",
           "Sub-layers to cut">,
    Option<"ratio", "ratio", "double", /*default=*/"0",
           "Share of all sub-layers to cut">,
    Option<"budget", "budget", "std::string", /*default=*/"",
           "`latency:SHARE` or `bytes:SHARE`: what may be left of the whole">,
    Option<"distance", "distance", "std::string", /*default=*/"\"js\"",
           "`js`, `js-reversed`, `kl`, `angular` or `norm`">,
    Option<"front", "front", "double", /*default=*/"0",
           "Share of the earliest sub-layers that are not tried until that many "
           "and one more have been cut">,
    Option<"includeFirst", "include-first", "bool", /*default=*/"false",
           "Try the first sub-layer too">,
    Option<"search", "search", "std::string", /*default=*/"\"greedy\"",
           "`greedy`, or `one-shot`: by the distances of the single removals">
  ];
}

#endif // LATHE_COMPRESS_PASSES_TD
