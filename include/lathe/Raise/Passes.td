//===- Passes.td - raising passes ------------------------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_PASSES_TD
#define LATHE_RAISE_PASSES_TD

include "mlir/Pass/PassBase.td"

class Lathe_ModulePass<string argument>
    : Pass<argument, "::mlir::ModuleOp"> {
  let dependentDialects = ["::lathe::LatheDialect",
                           "::mlir::arith::ArithDialect"];
}

def HoistRowOps : Lathe_ModulePass<"lathe-hoist-row-ops"> {
  let summary = "Computes rows as they are counted where they come from";
  let description = [{
    A linear, norm, activation or sum works row by row. Where an exporter counts
    its rows in another way than their producer does (a Gemm wants rank 2), it
    is computed on the producer's rows, and the old shape becomes a view of the
    result. Views of views cancel, so that the residual stream keeps one shape.

    Before:
    ```mlir
    %r = lathe.onnx "Reshape"(%x, ...) ... -> tensor<?x8xf32>
    %y = lathe.linear %r, %w : (tensor<?x8xf32>, ...) -> tensor<?x16xf32>
    ```
    After:
    ```mlir
    %l = lathe.linear %x, %w : (tensor<?x?x8xf32>, ...) -> tensor<?x?x16xf32>
    %y = lathe.index_expr <"read(0, [fdiv(i0, seq), mod(i0, seq), i1])"> (%l) shape ["batch*seq", "16"] ...
    ```
  }];
}

def MaterializeIndexExprs
    : Lathe_ModulePass<"lathe-materialize-index-exprs"> {
  let summary = "Makes operations of closed forms, and drops what they replace";
  let description = [{
    What a remaining operation or a return reads and what the symbolic analysis
    knows in closed form (movement, positions, masks, shape arithmetic) becomes
    one `lathe.index_expr` over the tensors that it really reads: the tensor
    itself where nothing was moved, a constant where nothing is read. The
    operations that wrote it out are dead then.

    Before:
    ```mlir
    %r = lathe.onnx "Reshape"(%x, %shape) ... -> tensor<?x?x4x16xf32>
    %t = lathe.onnx "Transpose"(%r) {perm = array<i64: 0, 2, 1, 3>} ... -> tensor<?x4x?x16xf32>
    %y = lathe.onnx "Erf"(%t) ...
    ```
    After:
    ```mlir
    %t = lathe.index_expr <"read(0, [i0, i2, 16*i1 + i3])"> (%x) shape ["batch", "4", "seq", "16"] ...
    %y = lathe.onnx "Erf"(%t) ...
    ```
  }];
}

def OutlineSublayers : Lathe_ModulePass<"lathe-outline-sublayers"> {
  let summary = "Outlines residual branches and groups them into blocks";
  let description = [{
    Finds the residual stream: sums of a value and of something computed from
    it by at least one linear, convolution or attention. Each becomes a
    `lathe.sublayer` whose body holds the branch; a norm behind the sum that
    nothing else shares goes into `post`, unless the branch begins with one.
    A sum of two branches is two sub-layers with one source. Sub-layers are
    grouped into `lathe.block`s (a new one at every attention), sites and the
    roles of linears are set, and weights are renamed by the sites.

    Before:
    ```mlir
    %n = lathe.norm layer %x ...
    %u = lathe.linear %n, %w0 ...
    %a = lathe.activation gelu %u ...
    %d = lathe.linear %a, %w1 ...
    %y = lathe.onnx "Add"(%x, %d) ...
    ```
    After:
    ```mlir
    %y = lathe.sublayer ffn #lathe.site<"blocks.0.ffn"> residual(%x) source(%x) {
    ^bb0(%s: tensor<?x65x128xf32>):
      %n = lathe.norm layer %s ...
      ...
      lathe.yield %d : tensor<?x65x128xf32>
    } : (tensor<?x65x128xf32>, tensor<?x65x128xf32>) -> tensor<?x65x128xf32>
    ```
  }];
}

def PrintIndexExprs : Lathe_ModulePass<"lathe-print-index-exprs"> {
  let summary = "Prints the shape and the closed form of every value";
  let description = [{
    Changes nothing. For every function it prints, to standard output, the free
    dims, what was substituted for the others and why, the conditions that hold
    when the entry is called, and one line per value: its name in the ONNX file,
    its shape, and the element at `i0, i1, ...`. The last lines name the values
    behind `read(n, [...])`.

    With `json=true` it prints one JSON object per line instead: one for the
    function, one for the names behind `read(n, ...)`, one per value.

    Example:
    ```
    function plain
      dims: batch, past, seq
      total := past + seq (forced by node '/Concat' (Concat))
      check: past + seq <= 512
      position_ids: [batch, seq] integer
      /Less: [seq, past + seq] boolean = i1 <= i0 + past
    ```
  }];
  let options = [
    Option<"json", "json", "bool", "false", "Print JSON lines">,
    Option<"constants", "constants", "bool", "false",
           "Print constants, too">
  ];
}

def RaiseActivation : Lathe_ModulePass<"lathe-raise-activation"> {
  let summary = "Raises activations in all their spellings";
  let description = [{
    gelu by erf or tanh (in any order and association of its factors), silu,
    quick gelu, Gelu-20, Swish-24, com.microsoft's Gelu, FastGelu, BiasGelu and
    QuickGelu; relu, tanh and sigmoid as they are.

    Before:
    ```mlir
    %s = lathe.onnx "Sigmoid"(%x) ...
    %y = lathe.onnx "Mul"(%x, %s) ...
    ```
    After:
    ```mlir
    %y = lathe.activation silu %x : tensor<?x8xf32>
    ```
  }];
}

def RaiseAttention : Lathe_ModulePass<"lathe-raise-attention"> {
  let summary = "Raises attention in all its spellings";
  let description = [{
    From every Softmax over the last axis the pass walks up through masks,
    biases, scales, a softcap and reshapes to the product of queries and keys,
    and down to the product with the values. Operands, masks and biases are
    closed forms of the symbolic analysis, so that head splits, packed
    projections, repeated key heads and appended rows need no patterns.
    Attention-23 and com.microsoft's MultiHeadAttention are raised the same
    way. What the attention replaces becomes a view of its result.

    A Softmax between two products that could not be raised gets the reason as
    the attribute `lathe.unraised`.

    Before:
    ```mlir
    %s = lathe.onnx "MatMul"(%qt, %kt) ...
    %d = lathe.onnx "Div"(%s, %four) ...
    %m = lathe.onnx "Where"(%mask, %d, %inf) ...
    %p = lathe.onnx "Softmax"(%m) ...
    %o = lathe.onnx "MatMul"(%p, %vt) ...
    ```
    After:
    ```mlir
    %a = lathe.attention q(%q <"[i0, i2, 16*i1 + i3]">) k(...) v(...)
        heads 4 over 2 dims 16, 16 scale 0.25 : f32 mask <"i3 <= i2"> ...
    %o = lathe.index_expr <"read(0, [i0, i2, 16*i1 + i3])"> (%a) ...
    ```
  }];
}

def RaiseConv : Lathe_ModulePass<"lathe-raise-conv"> {
  let summary = "Raises convolutions to linears over patches";
  let description = [{
    A Conv of one group with a constant kernel becomes a `lathe.linear` over
    patches, which one `lathe.index_expr` gathers (padding is a selection of 0);
    a view puts the channels back in front.

    Before:
    ```mlir
    %y = lathe.onnx "Conv"(%x, %w, %b) {strides = array<i64: 8, 8>, ...} : (tensor<?x1x64x64xf32>, ...) -> tensor<?x128x8x8xf32>
    ```
    After:
    ```mlir
    %p = lathe.index_expr <"read(0, [i0, 0, 8*i1 + fdiv(i3, 8), 8*i2 + mod(i3, 8)])"> (%x) shape ["batch", "8", "8", "64"] ...
    %l = lathe.linear %p, %0 bias(%1) : ... -> tensor<?x8x8x128xf32>
    %y = lathe.index_expr <"read(0, [i0, i2, i3, i1])"> (%l) ...
    ```
  }];
}

def RaiseEmbedding : Lathe_ModulePass<"lathe-raise-embedding"> {
  let summary = "Raises look-ups of rows of a constant table";
  let description = [{
    Runs behind the passes that want tables in closed form (rotary embeddings,
    relative positions). A table that is also a head is that weight, transposed.

    Before:
    ```mlir
    %y = lathe.onnx "Gather"(%table, %ids) {axis = 0 : i64, ...} ...
    ```
    After:
    ```mlir
    lathe.weight @table {data = ...} : !lathe.weight<100x64xf32, #lathe.dense<f32>>
    ...
    %y = lathe.embedding %ids, %0 : ...
    ```
  }];
}

def RaiseKvCache : Lathe_ModulePass<"lathe-raise-kv-cache"> {
  let summary = "Makes the entries prefill and decode";
  let description = [{
    Where keys and values of an attention are an argument's rows and new rows
    behind them, and the whole is a result, `plain` is cloned twice: `prefill`
    and `decode` have one `!lathe.kv` argument and result per layer instead
    (attributes `lathe.kv_slot`, `lathe.past` and `lathe.present` with the
    names of what they stand for). They compute logits of their last
    `logits_rows` rows only, a dim that the caller sets (`lathe.logits_dim`):
    1 to generate, all rows to score a text. `decode` has
    `lathe.dim_values = {seq = 1}`, its types stay as they are so that both
    share stages. `plain` is not changed.

    Before:
    ```mlir
    func.func @plain(..., %past: tensor<?x3x?x32xf32>, ...) -> (..., tensor<?x3x?x32xf32>) {
      %k = lathe.index_expr <"sel(i2 <= past - 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 32*i1 + i3]))"> (%past, %new) ...
      %a = lathe.attention q(%q ...) k(%k ...) v(%v ...) ...
    ```
    After, beside it:
    ```mlir
    func.func @decode(..., %kv: !lathe.kv<3, 32, 32, f32>) -> (..., !lathe.kv<3, 32, 32, f32>) {
      %kv1 = lathe.kv_append %kv, k(%new <"[i0, i2, 32*i1 + i3]">) v(...) ...
      %a = lathe.attention q(%q ...) cache(%kv1) ...
    ```
  }];
}

def RaiseLinear : Lathe_ModulePass<"lathe-raise-linear"> {
  let summary = "Raises products with constant weights";
  let description = [{
    MatMul and Gemm with a constant right side, behind any number of casts,
    transpositions and reshapes, become `lathe.linear` over a `lathe.weight` at
    module level; a vector added behind (also behind movement that keeps the
    last axis) becomes its bias. Equal bytes, also up to transposition, are one
    payload.

    Before:
    ```mlir
    %p = lathe.onnx "MatMul"(%x, %w) ...
    %y = lathe.onnx "Add"(%b, %p) ...
    ```
    After:
    ```mlir
    lathe.weight @w {data = ...} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    lathe.weight @b {data = ...} : !lathe.weight<16xf32, #lathe.dense<f32>>
    ...
    %y = lathe.linear %x, %0 bias(%1) : ...
    ```
  }];
}

def RaiseNorm : Lathe_ModulePass<"lathe-raise-norm"> {
  let summary = "Raises layer and RMS normalisation";
  let description = [{
    LayerNormalization, RMSNormalization, com.microsoft's simplified and skip
    forms, and every decomposition over the last axis: squares by Pow or Mul,
    roots by Sqrt or Pow, quotients by Div, Reciprocal or a product, casts
    around, with or without gamma and beta.

    Before:
    ```mlir
    %q = lathe.onnx "Pow"(%x, %two) ...
    %m = lathe.onnx "ReduceMean"(%q) {axes = array<i64: -1>, ...} ...
    %e = lathe.onnx "Add"(%m, %eps) ...
    %s = lathe.onnx "Sqrt"(%e) ...
    %n = lathe.onnx "Div"(%x, %s) ...
    %y = lathe.onnx "Mul"(%g, %n) ...
    ```
    After:
    ```mlir
    %y = lathe.norm rms %x gamma(%0) {epsilon = 1.0e-6 : f32} : ...
    ```
  }];
}

def RaiseRope : Lathe_ModulePass<"lathe-raise-rope"> {
  let summary = "Raises rotary embeddings in all their spellings";
  let description = [{
    A value whose columns are `cos * a - sin * b` and `cos * b + sin * a` for
    pairs (a, b) of columns of one tensor becomes a `lathe.rope`: half or
    interleaved pairs, rotation of a part of the columns, slices, stacks and
    negations in any order; RotaryEmbedding-23 and com.microsoft's. The tables
    are made once per entry, from their closed form.

    Before:
    ```mlir
    %a = lathe.onnx "Mul"(%q, %cos) ...
    %n = lathe.onnx "Neg"(%hi) ...
    %r = lathe.onnx "Concat"(%n, %lo) {axis = -1 : i64} ...
    %b = lathe.onnx "Mul"(%r, %sin) ...
    %y = lathe.onnx "Add"(%a, %b) ...
    ```
    After:
    ```mlir
    %c = lathe.index_expr <"cos(i1*read(0, [i2]))"> (%freq) shape ["1", "seq", "8"] ...
    %s = lathe.index_expr <"sin(i1*read(0, [i2]))"> (%freq) shape ["1", "seq", "8"] ...
    %o = lathe.rope half %x <"[i0, i2, 16*i1 + i3]"> cos(%c) sin(%s) heads 4 x 16 rotary 16 ...
    %y = lathe.index_expr <"read(0, [i0, i2, 16*i1 + i3])"> (%o) ...
    ```
  }];
}

def RefineShapes : Pass<"lathe-refine-shapes", "::mlir::func::FuncOp"> {
  let summary = "Writes what the symbolic analysis knows into types and dims";
  let description = [{
    Puts static extents into the types of values where they are proven, and the
    unified names of dims into `lathe.dims` of arguments and results. Functions
    that hold structure operations keep their types. What the graph needs of
    its dims goes into `lathe.checks`: the nodes that say it may be gone when
    the model is compiled.

    Before:
    ```mlir
    func.func @plain(%x: tensor<?x?x8xf32> {lathe.name = "x", lathe.dims = ["batch", "seq", "8"]},
                     %m: tensor<?x?xi64> {lathe.name = "m", lathe.dims = ["s12", "s21"]}) ... {
      %0 = lathe.onnx "Transpose"(%x) {...} : (tensor<?x?x8xf32>) -> tensor<?x?x?xf32>
    ```
    After:
    ```mlir
    func.func @plain(%x: tensor<?x?x8xf32> {lathe.name = "x", lathe.dims = ["batch", "seq", "8"]},
                     %m: tensor<?x?xi64> {lathe.name = "m", lathe.dims = ["batch", "seq"]}) ... {
      %0 = lathe.onnx "Transpose"(%x) {...} : (tensor<?x?x8xf32>) -> tensor<?x8x?xf32>
    ```
  }];
}

def SetLevel : Lathe_ModulePass<"lathe-set-level"> {
  let summary = "Notes how far a model has been taken";
  let description = [{
    Before: `module attributes {lathe.level = "imported"}`
    After: `module attributes {lathe.level = "raised"}`
  }];
  let options = [
    Option<"level", "level", "std::string", /*default=*/"\"raised\"",
           "imported, raised or structure">
  ];
}

#endif // LATHE_RAISE_PASSES_TD
