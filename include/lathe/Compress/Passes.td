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

def ConvertPrecision : Lathe_CompressPass<"lathe-convert-precision"> {
  let summary = "Weights of linears and tables in 16 bits";
  let description = [{
    Writes the weights of `lathe.linear` and the tables of `lathe.embedding` in
    bf16 or f16, half of f32. With `to=bf16` linears also round what they
    multiply to bf16 (`acts = bf16`), so that kernels use the dot products of
    the machine; sums, biases, norms, softmax and the residual stream stay f32.
    With `to=f16` only storage changes: no kernel multiplies f16.

    One report row per weight that has a site gives `weight_error`, the
    Frobenius norm of the change divided by that of the weight. Sites of `keep`, and weights that are
    not dense, are kept. A weight with a value beyond the range of f16 is
    refused by `to=f16`.

    Before:
    ```mlir
    lathe.weight @w {data = #lathe.blob<"m.onnx", 0, 64, "...">} : !lathe.weight<4x4xf32, #lathe.dense<f32>>
    %y = lathe.linear %x, %w : ...
    ```
    After `lathe-convert-precision{to=bf16}`:
    ```mlir
    lathe.weight @w {data = #lathe.blob<"...", 0, 32, "...">} : !lathe.weight<4x4xf32, #lathe.dense<bf16>>
    %y = lathe.linear %x, %w {acts = bf16} : ...
    ```
  }];
  let options = [
    Option<"to", "to", "std::string", [{"bf16"}], "`bf16` or `f16`">,
    ListOption<"keep", "keep", "std::string",
               "Sites whose weights stay as they are: `head,blocks.0.ffn.up`">
  ];
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

    `profile` and `ratio` instead of `tau` take the rule that lost least of
    those that `lathe calibrate --for lathe-ffn-skip` measured while decoding:
    `k`, `front` and `tail` (what of them is given is kept to), and `tau`
    between measured points, so that `ratio` of all FFNs are skipped, as `lathe
    eval --via decode` counts it on the calibration data. A warning says so
    where chance does no worse.

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
    Option<"k", "k", "int64_t", "0",
           "Gated FFNs that a token skips after a saturated one (default: 1, or "
           "what the profile says)">,
    Option<"front", "front", "int64_t", "-1",
           "FFNs at the start without a gate (default: 12 % of them, at least "
           "1, or what the profile says)">,
    Option<"tail", "tail", "int64_t", "-1",
           "FFNs at the end without a gate (default: 12 % of them, at least 1, "
           "or what the profile says)">,
    Option<"warmup", "warmup", "int64_t", "10",
           "Tokens after the prompt that skip nothing">,
    Option<"profile", "profile", "std::string", [{""}],
           "Profile with the measured rules">,
    Option<"rule", "rule", "std::string", [{"cosine"}],
           "cosine, or random as the baseline">,
    Option<"ratio", "ratio", "double", "0",
           "Share of all FFNs to skip; the rule random skips it once it is warm"
           >,
    Option<"seed", "seed", "int64_t", "0", "Seed of the rule random">
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
    rows that `attention_mask` marks as padding are left out. A candidate is given
    up when its distance exceeds the best one, or when a paired t-test on the
    data run so far says so at the confidence `race`.

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
           "`greedy`, or `one-shot`: by the distances of the single removals">,
    Option<"race", "race", "double", /*default=*/"0.999",
           "Confidence at which a candidate is given up as worse than the best "
           "before all data were run; 1 waits until that is certain">,
    Option<"refit", "refit", "bool", /*default=*/"false",
           "Fold maps into the sub-layers that are left, so that the residual "
           "stream follows the original's; fitted when calibrating with refit "
           "and the same cut">
  ];
}

def FuseGpt : Lathe_CompressPass<"lathe-fuse-gpt"> {
  let summary = "Cuts the blocks that the last stream needs least, and refits";
  let description = [{
    Removes whole blocks in the order that `lathe calibrate --for
    lathe-fuse-gpt` found: at each step the one whose removal, given all before
    it, changes the residual stream behind the last block least, by the mean
    over the calibration rows of 1 - cos (macro influence). With `refit` the
    branch of each sub-layer beside a cut is mapped by a matrix, folded into its
    last linear, so that the stream follows the original's: the least-squares
    solution on the calibration data, instead of the training that the paper
    does. A map that brings the output on the quarter of the items that is held
    out no nearer to the original's is not used.

    Before:
    ```mlir
    %1 = lathe.block <"blocks.0"> { ... }
    %2 = lathe.block <"blocks.1"> { ... }
    ```
    After `lathe-fuse-gpt{profile=m.profile cut=1 refit=true}`, with the weights
    of the last linears of `blocks.0` replaced:
    ```mlir
    %1 = lathe.block <"blocks.0"> { ... }
    ```

    Source: FuseGPT, arXiv 2411.14507.
  }];
  let options = [
    Option<"profile", "profile", "std::string", /*default=*/"",
           "Profile with the ranking">,
    Option<"cut", "cut", "unsigned", /*default=*/"0", "Blocks to cut">,
    Option<"ratio", "ratio", "double", /*default=*/"0",
           "Share of all blocks to cut">,
    Option<"budget", "budget", "std::string", /*default=*/"",
           "`latency:SHARE` or `bytes:SHARE`: what may be left of the whole">,
    Option<"refit", "refit", "bool", /*default=*/"false",
           "Fold fitted maps into what is left">
  ];
}

def FuseSiblings : Lathe_CompressPass<"lathe-fuse-siblings"> {
  let summary = "Linears that read the same value become one";
  let description = [{
    Linears of one block that multiply the same value, such as those of Q, K and
    V, become one linear whose weight is their `concat` along the columns:
    values are read once, short products no longer waste a panel each, and
    threads meet once. The results are the same bit for bit.

    What read one of the results reads its columns of the wider one. Rotary
    embeddings, attention, appends to the cache and `lathe.index_expr` do so
    through their maps and forms; a linear that anything else reads stays as it
    is, because its columns would have to be copied. So do linears of which one
    matrix is also read elsewhere, and linears that differ in `acts` or in
    having a bias.

    Two linears that only a product reads, with or without an activation in
    between, are a gated linear unit: they become one `gated` linear, whose
    kernel has columns of both side by side and stores the product alone. So
    does one linear of which only a product of its two halves is read, in either
    order, as models have it whose weights of gate and up are merged already; it
    keeps its weight and its site.

    The merged weight and linear are named after all of them, and the sites of
    the single ones exist no more, so this pass comes after those that name
    sites. One report row per single site says what it is part of.

    Before:
    ```mlir
    %q = lathe.linear %x, %wq {site = #lathe.site<"blocks.0.attn.q">} : ... -> tensor<?x?x64xf32>
    %k = lathe.linear %x, %wk {site = #lathe.site<"blocks.0.attn.k">} : ... -> tensor<?x?x32xf32>
    %a = lathe.attention q(%q <"[i0, i2, 32*i1 + i3]">) k(%k <"[i0, i2, 32*i1 + i3]">) ...
    ```
    After:
    ```mlir
    %w = lathe.use_weight @blocks.0.attn.qk : !lathe.weight<64x96xf32, #lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<f32>], [64, 32]>>
    %qk = lathe.linear %x, %w {site = #lathe.site<"blocks.0.attn.qk">} : ... -> tensor<?x?x96xf32>
    %a = lathe.attention q(%qk <"[i0, i2, 32*i1 + i3]">) k(%qk <"[i0, i2, 32*i1 + i3 + 64]">) ...
    ```

    Before:
    ```mlir
    %g = lathe.linear %x, %wg {site = #lathe.site<"blocks.0.ffn.gate">} : ... -> tensor<?x?x128xf32>
    %r = lathe.activation relu %g : tensor<?x?x128xf32>
    %u = lathe.linear %x, %wu {site = #lathe.site<"blocks.0.ffn.up">} : ... -> tensor<?x?x128xf32>
    %y = lathe.onnx "Mul"(%r, %u) ...
    ```
    After:
    ```mlir
    %y = lathe.linear %x, %w epilogue() {
    ^bb0(%g: f32, %u: f32):
      %zero = arith.constant 0.0 : f32
      %r = arith.maximumf %g, %zero : f32
      %m = arith.mulf %r, %u : f32
      lathe.yield %m : f32
    } {gated, site = #lathe.site<"blocks.0.ffn.gate_up">} : ... -> tensor<?x?x128xf32>
    ```

    Before:
    ```mlir
    %gu = lathe.linear %x, %w {site = #lathe.site<"blocks.0.ffn.gate_up">} : ... -> tensor<?x?x256xf32>
    %g = lathe.index_expr <"read(0, [i0, i1, i2])">(%gu) ... -> tensor<?x?x128xf32>
    %r = lathe.activation relu %g : tensor<?x?x128xf32>
    %u = lathe.index_expr <"read(0, [i0, i1, i2 + 128])">(%gu) ... -> tensor<?x?x128xf32>
    %y = lathe.onnx "Mul"(%r, %u) ...
    ```
    After: the same as above, with the weight as it was.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect"];
}

def Observe : Lathe_CompressPass<"lathe-observe"> {
  let summary = "Reports statistics of the values inside a model";
  let description = [{
    `lathe calibrate --for 'lathe-observe{statistics=... sites=...}'` measures
    the named statistics of the values at the named sites, in one run with
    those that other passes want; docs/Calibration.md lists the arrays. Of a
    `lathe.linear` with a site, what it multiplies is observed; of a
    `lathe.sublayer`, the residual stream before and behind it.

    The pass itself changes nothing but the report: one row per site with
    `min`, `max`, `mean` and `std` over all elements, the mean l2 norms
    `norm_before` and `norm_behind`, `saturation` (mean cosine of the stream
    before and behind) and `angle`, as far as they were measured. Arrays without
    such a number (histograms, Gram matrices, rows) are for programs.

    Before:
    ```mlir
    module attributes {lathe.level = "structure"} { ... }
    ```
    After `lathe-observe{profile=m.profile sites=blocks.0.ffn}`:
    ```mlir
    module attributes {lathe.level = "structure", lathe.report = [{action =
      "kept", pass = "lathe-observe", site = #lathe.site<"blocks.0.ffn">,
      values = {norm_before = 3.1, norm_behind = 3.4, saturation = 0.98}}]} { ... }
    ```
  }];
  let options = [
    Option<"profile", "profile", "std::string", /*default=*/"",
           "Profile with the statistics">,
    ListOption<"statistics", "statistics", "std::string",
               "`minmax`, `moments`, `histogram`, `gram` and `rows` of what "
               "linears multiply, `norms`, `cosine` and `angular` of the "
               "residual stream; without: minmax,moments,norms,cosine">,
    ListOption<"sites", "sites", "std::string",
               "Sites, with `*`, `?` and `[a-z]` as in a shell; without: all">,
    Option<"bins", "bins", "int64_t", /*default=*/"2048",
           "Bins of histograms, a multiple of 4">,
    Option<"rows", "rows", "int64_t", /*default=*/"256",
           "Rows to sample per site">
  ];
}

def RandomCut : Lathe_CompressPass<"lathe-random-cut"> {
  let summary = "Cuts sub-layers or blocks by chance, to compare methods with";
  let description = [{
    What a method must beat: as many sub-layers, drawn without looking. The same
    seed draws the same ones everywhere.

    Before:
    ```mlir
    %1 = lathe.sublayer attn <"blocks.5.attn"> residual(%0) source(%0) { ... }
    %2 = lathe.sublayer ffn <"blocks.5.ffn"> residual(%1) source(%1) { ... }
    ```
    After `lathe-random-cut{cut=1 seed=3}`:
    ```mlir
    %1 = lathe.sublayer attn <"blocks.5.attn"> residual(%0) source(%0) { ... }
    ```
  }];
  let options = [
    Option<"cut", "cut", "unsigned", /*default=*/"0", "How many to cut">,
    Option<"ratio", "ratio", "double", /*default=*/"0", "Share of all to cut">,
    Option<"seed", "seed", "uint64_t", /*default=*/"0", "Of the draw">,
    Option<"blocks", "blocks", "bool", /*default=*/"false",
           "Draw whole blocks">,
    Option<"includeFirst", "include-first", "bool", /*default=*/"false",
           "Draw the first too">
  ];
}

def ShortGpt : Lathe_CompressPass<"lathe-shortgpt"> {
  let summary = "Cuts the blocks that turn the residual stream least (ShortGPT)";
  let description = [{
    Removes whole blocks in the order of their influence: the mean over the
    calibration rows of 1 - cos of the residual stream before and behind the
    block, or of the angle (arccos). The order is made once, on the original
    model, by `lathe calibrate --for lathe-shortgpt`; nothing is excluded. The
    profile also holds how much each block lengthens the stream, in the arrays
    `norms/SITES` (docs/Calibration.md): a small angle can hide that.

    Before:
    ```mlir
    %1 = lathe.block <"blocks.0"> { ... }
    %2 = lathe.block <"blocks.1"> { ... }
    ```
    After `lathe-shortgpt{profile=m.profile cut=1}`:
    ```mlir
    %2 = lathe.block <"blocks.0"> { ... }
    ```

    Source: ShortGPT, arXiv 2403.03853.
  }];
  let options = [
    Option<"profile", "profile", "std::string", /*default=*/"",
           "Profile with the influences">,
    Option<"cut", "cut", "unsigned", /*default=*/"0", "Blocks to cut">,
    Option<"ratio", "ratio", "double", /*default=*/"0",
           "Share of all blocks to cut">,
    Option<"budget", "budget", "std::string", /*default=*/"",
           "`latency:SHARE` or `bytes:SHARE`: what may be left of the whole">,
    Option<"distance", "distance", "std::string", /*default=*/"\"cosine\"",
           "`cosine` or `angular`">
  ];
}

#endif // LATHE_COMPRESS_PASSES_TD
