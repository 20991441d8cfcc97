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

def FfnSkip : Lathe_CompressPass<"lathe-ffn-skip"> {
  let summary = "Lets tokens skip FFNs while decoding (FFN-SkipLLM)";
  let description = [{
    Gates the FFNs of the entry `decode` (arXiv 2404.03865): once an FFN has
    left the direction of a token's residual stream as it was (cosine of at
    least `tau`), the token skips the next `k` gated FFNs. The first `front` and
    the last `tail` FFNs have no gate, and the first `warmup` tokens after the
    prompt skip nothing. `prefill` and `plain` are left as they are; attention
    always runs, so the KV cache has all its rows.

    `rule=random` skips by chance instead, at `ratio` of all FFNs: what every
    choice of `tau` and `k` has to beat.

    A model without `decode`, a region with nothing in it and an FFN whose
    result is normed (post-norm) are errors.

    Before:
    ```mlir
    func.func @decode(...) {
      %2 = lathe.sublayer ffn <"blocks.3.ffn"> residual(%1) source(%1) { ... }
    ```
    After `lathe-ffn-skip{tau=0.95 k=1}`:
    ```mlir
    func.func @decode(...) {
      %2 = lathe.sublayer ffn <"blocks.3.ffn"> residual(%1) source(%1) { ... }
        {skip = #lathe.skip<cosine, threshold = 0.95 : f64, count = 1, warmup = 10, seed = 0>}
    ```
  }];
  let options = [
    Option<"tau", "tau", "double", "0",
           "Cosine from which on an FFN counts as saturated">,
    Option<"k", "k", "int64_t", "1",
           "Gated FFNs that a token skips after a saturated one">,
    Option<"front", "front", "int64_t", "-1",
           "FFNs at the start without a gate (default: 12 % of them, at least "
           "1)">,
    Option<"tail", "tail", "int64_t", "-1",
           "FFNs at the end without a gate (default: 12 % of them, at least "
           "1)">,
    Option<"warmup", "warmup", "int64_t", "10",
           "Tokens after the prompt that skip nothing">,
    Option<"rule", "rule", "std::string", [{"cosine"}],
           "cosine, or random as the baseline">,
    Option<"ratio", "ratio", "double", "0",
           "Share of all FFNs that the rule random skips once it is warm">,
    Option<"seed", "seed", "int64_t", "0", "Seed of the rule random">
  ];
}

#endif // LATHE_COMPRESS_PASSES_TD
