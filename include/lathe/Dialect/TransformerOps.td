//===- TransformerOps.td - transformer operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMER_OPS_TD
#define LATHE_TRANSFORMER_OPS_TD

def Lathe_LinearOp
    : Lathe_Op<"linear", [AttrSizedOperandSegments, RecursiveMemoryEffects]> {
  let summary = "y = epilogue(x * W + bias)";
  let description = [{
    `x` is `[..., K]`, `weight` `[K, N]`, `bias` `[N]`; the result is
    `[..., N]`. The optional epilogue is a region on scalars: its first
    argument is an element of `x * W + bias`, one more per epilogue operand
    (a tensor of the result's shape, or of its last dim), and it yields the
    element of the result.

    With `acts`, the elements of `x` and of the weight are rounded to that type
    before they are multiplied; sums, bias and epilogue stay f32.

    With `gated`, the weight is `[K, 2*N]` and the bias `[2*N]`: the epilogue
    takes two sums for element n of the result, those of the columns n and
    N + n, as a gated linear unit multiplies them (arXiv 2002.05202).

    Constraints:
    * (C1) the last dim of `x` is K, and the weight has rank 2.
    * (C2) `bias` has rank 1 and as many elements as the weight has columns.
    * (C3) the result has the leading dims of `x` and N last.
    * (C4) an epilogue operand has the result's rank, or rank 1 and N
      elements.
    * (C5) the epilogue takes one scalar per operand after the sum, or the
      two sums, and yields one scalar of the result's element type.
    * (C6) `acts` is bf16.
    * (C7) a `gated` linear has an epilogue and an even number of columns.

    Source: ONNX MatMul and Gemm.

    Example:
    ```mlir
    %y = lathe.linear %x, %w bias(%b) {site = #lathe.site<"blocks.0.ffn.up">}
        : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f32>>, !lathe.weight<512xf32, #lathe.dense<f32>>) -> tensor<?x65x512xf32>
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$x, Lathe_WeightType:$weight,
                       Optional<Lathe_WeightType>:$bias,
                       Variadic<Lathe_FloatTensor>:$epilogue_args,
                       OptionalAttr<TypeAttr>:$acts,
                       UnitAttr:$gated,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_FloatTensor:$result);
  let regions = (region MaxSizedRegion<1>:$epilogue);
  let assemblyFormat = [{
    $x `,` $weight (`bias` `(` $bias^ `)`)?
    (`epilogue` `(` $epilogue_args `)` $epilogue^)?
    attr-dict `:` functional-type(operands, $result)
  }];
  let hasVerifier = 1;
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$x,
                                 "::mlir::Value":$weight,
                                 "::mlir::Value":$bias,
                                 "::lathe::SiteAttr":$site)>];
  let extraClassDeclaration = [{
    /// Sums that one element of the result is made of: the first arguments of
    /// the epilogue.
    int64_t getSumCount() { return getGated() ? 2 : 1; }
    /// N: columns of the result.
    int64_t getColumns() {
      return getWeight().getType().getDim(1) / getSumCount();
    }
  }];
}

def Lathe_EmbeddingOp : Lathe_Op<"embedding", [Pure]> {
  let summary = "Rows of a table";
  let description = [{
    `result[..., :] = table[ids[...], :]`, or `table[:, ids[...]]` when it is
    `transposed`: a table that is also the weight of a linear (a tied head) is
    one weight. A negative id counts from the end.

    Constraints:
    * (C1) the table has rank 2.
    * (C2) the result has the shape of `ids` and the table's columns (its rows
      when it is `transposed`) last.

    Source: ONNX Gather on axis 0.

    Example:
    ```mlir
    %y = lathe.embedding %ids, %t : (tensor<?x?xi64>, !lathe.weight<256x192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
    ```
  }];
  let arguments = (ins TensorOf<[AnySignlessInteger]>:$ids,
                       Lathe_WeightType:$table, UnitAttr:$transposed,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    $ids `,` $table (`transposed` $transposed^)? attr-dict `:`
    functional-type(operands, $result)
  }];
  let extraClassDeclaration = [{
    /// Rows that ids choose from.
    int64_t getCount() {
      return getTable().getType().getDim(getTransposed() ? 1 : 0);
    }
    /// Elements of a row.
    int64_t getColumns() {
      return getTable().getType().getDim(getTransposed() ? 0 : 1);
    }
  }];
  let hasVerifier = 1;
}

def Lathe_NormOp : Lathe_Op<"norm", [Pure, AttrSizedOperandSegments]> {
  let summary = "Layer or RMS normalisation over the last axis";
  let description = [{
    layer: `(x - mean) / sqrt(var + epsilon) * gamma + beta`;
    rms: `x / sqrt(mean(x^2) + epsilon) * gamma`.

    Constraints:
    * (C1) the result has the type of `x`, whose last dim is static.
    * (C2) `gamma` and `beta` have rank 1 and as many elements as the last
      dim.
    * (C3) `epsilon` is finite and not negative.
    * (C4) `beta` only beside `gamma`, and not on an RMS norm.

    Source: ONNX LayerNormalization-17, RMSNormalization-23.

    Example:
    ```mlir
    %y = lathe.norm rms %x gamma(%g) {epsilon = 1.0e-5 : f32}
        : (tensor<?x?x192xf32>, !lathe.weight<192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
    ```
  }];
  let arguments = (ins Lathe_NormKindAttr:$kind, Lathe_FloatTensor:$x,
                       Optional<Lathe_WeightType>:$gamma,
                       Optional<Lathe_WeightType>:$beta, F32Attr:$epsilon,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    `` $kind $x (`gamma` `(` $gamma^ `)`)?
    (`beta` `(` $beta^ `)`)? attr-dict `:`
    functional-type(operands, $result)
  }];
  let hasVerifier = 1;
}

def Lathe_ActivationOp
    : Lathe_Op<"activation", [Pure, SameOperandsAndResultType]> {
  let summary = "A pointwise activation";
  let description = [{
    gelu: `x/2 * (1 + erf(x/sqrt 2))`; gelu_tanh: its tanh form;
    silu: `x * sigmoid(x)`; quick_gelu: `x * sigmoid(1.702 x)`; relu, tanh,
    sigmoid.

    Source: ONNX Gelu-20, Swish-24, com.microsoft QuickGelu.

    Example: `%y = lathe.activation silu %x : tensor<?x?x512xf32>`
  }];
  let arguments = (ins Lathe_ActivationKindAttr:$kind, Lathe_FloatTensor:$x);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = "`` $kind $x attr-dict `:` type($result)";
}

def Lathe_SoftmaxOp
    : Lathe_Op<"softmax", [Pure, SameOperandsAndResultType]> {
  let summary = "Softmax over the last axis";
  let description = [{
    Source: ONNX Softmax-13 with axis -1.

    Example: `%y = lathe.softmax %x : tensor<?x12x?x?xf32>`
  }];
  let arguments = (ins Lathe_FloatTensor:$x);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = "$x attr-dict `:` type($result)";
}

def Lathe_RopeOp : Lathe_Op<"rope", [Pure]> {
  let summary = "Rotary position embedding";
  let description = [{
    Rotates the first `rotary_dim` columns of every head and copies the rest.
    `x_map` gives the index of each dim of `x` over `i0` = batch, `i1` = head,
    `i2` = row, `i3` = column. `cos` and `sin` are `[1 or B, S, rotary_dim/2]`.
    half: column c pairs with `c + rotary_dim/2`; interleaved: `2c` with
    `2c + 1`. With the pair (a, b): `a cos - b sin`, `b cos + a sin`. The
    result is `[B, S, heads * head_dim]`.

    Constraints:
    * (C1) `rotary_dim` is even, positive and at most `head_dim`.
    * (C2) `x_map` lists one index per dim of `x`, over `i0` to `i3`.
    * (C3) the result has rank 3 and `heads * head_dim` columns.
    * (C4) `cos` and `sin` have one type, rank 3 and `rotary_dim / 2` columns.

    Source: RoFormer (arXiv 2104.09864), ONNX RotaryEmbedding-23.

    Example:
    ```mlir
    %r = lathe.rope half %q <"[i0, i2, 32*i1 + i3]"> cos(%cos) sin(%sin) heads 12 x 32 rotary 32
        : (tensor<?x?x384xf32>, tensor<1x?x16xf32>, tensor<1x?x16xf32>) -> tensor<?x?x384xf32>
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$x, Lathe_FloatTensor:$cos,
                       Lathe_FloatTensor:$sin, Lathe_RopeLayoutAttr:$layout,
                       I64Attr:$heads, I64Attr:$head_dim, I64Attr:$rotary_dim,
                       Lathe_FormAttr:$x_map,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    `` $layout $x $x_map `cos` `(` $cos `)` `sin` `(` $sin `)`
    `heads` $heads `x` $head_dim `rotary` $rotary_dim attr-dict `:`
    functional-type(operands, $result)
  }];
  let hasVerifier = 1;
}

def Lathe_AttentionOp : Lathe_Op<"attention", [AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "softmax(mask(scale * q k^T) + bias) v";
  let description = [{
    Attention of `heads` query heads over `kv_heads` key/value heads, whose
    groups of `heads / kv_heads` share keys. The operands are read through
    maps: each gives the index of every dim of its operand over `i0` = batch,
    `i1` = head (key/value head for k and v), `i2` = row (key for k and v)
    and `i3` = column; so head splits, packed QKV and windows are addresses.
    Keys and values come from `k` and `v`, or from `cache` in all rows
    appended so far.

    `mask`, a predicate over `i0` = batch, `i1` = head, `i2` = query row,
    `i3` = key, says which keys a row sees; `bias` is a number over the same,
    added to the scaled score. `read(n, [...])` in them reads mask argument n.
    `softcap` c replaces a score s by `c * tanh(s / c)` before both. `rows` is
    the value of a row that sees no key: zero, the mean of all values, NaN, or
    soft (`mask_value` is added to masked scores as an ordinary number).
    `keys` is the number of keys, a polynomial over the named dims; without it
    that is the extent of the dim of `k` whose index is `i2` alone, or what the
    cache holds. The result is `[B, S, heads * value_dim]`.

    Constraints:
    * (C1) `heads` is a multiple of `kv_heads`; both are positive.
    * (C2) k and v, or a cache, not both.
    * (C3) `q_map`, `k_map`, `v_map` list one index per dim of their operand.
    * (C4) the result has rank 3 and `heads * value_dim` columns.
    * (C5) the cache has `kv_heads` heads, `head_dim` and `value_dim` columns.
    * (C6) `softcap`, where present, is positive.
    * (C7) `mask_value` exactly with `rows = soft`.
    * (C8) `mask` is a predicate and `bias` a number over `i0` to `i3`; every
      `read` names a mask argument and has one index per dim of it.

    Source: Attention Is All You Need; grouped queries arXiv 2305.13245; ONNX
    Attention-23.

    Example:
    ```mlir
    %o = lathe.attention q(%q <"[i0, i2, 32*i1 + i3]">) k(%k <"[i0, i2, 32*i1 + i3]">)
        v(%v <"[i0, i2, 32*i1 + i3]">) heads 12 over 6 dims 32, 32 scale 0.176777
        mask <"read(0, [i0, i3]) != 0"> reads(%m)
        : (tensor<?x?x384xf32>, tensor<?x?x192xf32>, tensor<?x?x192xf32>, tensor<?x?xi64>) -> tensor<?x?x384xf32>
    ```
  }];
  let arguments = (ins Lathe_FloatTensor:$q, Optional<Lathe_FloatTensor>:$k,
                       Optional<Lathe_FloatTensor>:$v,
                       Optional<Lathe_KvType>:$cache,
                       Variadic<AnyRankedTensor>:$mask_args,
                       I64Attr:$heads, I64Attr:$kv_heads, I64Attr:$head_dim,
                       I64Attr:$value_dim, F32Attr:$scale,
                       OptionalAttr<F32Attr>:$softcap,
                       Lathe_FormAttr:$q_map,
                       OptionalAttr<Lathe_FormAttr>:$k_map,
                       OptionalAttr<Lathe_FormAttr>:$v_map,
                       OptionalAttr<StrAttr>:$keys,
                       OptionalAttr<Lathe_FormAttr>:$mask,
                       OptionalAttr<Lathe_FormAttr>:$bias,
                       OptionalAttr<F32Attr>:$mask_value,
                       DefaultValuedAttr<Lathe_MaskedRowsAttr,
                         "::lathe::MaskedRows::Zero">:$rows,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_FloatTensor:$result);
  let assemblyFormat = [{
    `q` `(` $q $q_map `)` (`k` `(` $k^ $k_map `)`)? (`v` `(` $v^ $v_map `)`)?
    (`cache` `(` $cache^ `)`)? (`keys` $keys^)? `heads` $heads `over` $kv_heads
    `dims` $head_dim `,` $value_dim `scale` $scale (`softcap` $softcap^)?
    (`mask` $mask^)? (`bias` $bias^)? (`reads` `(` $mask_args^ `)`)?
    (`rows` `` $rows^)? (`mask_value` $mask_value^)?
    attr-dict `:` functional-type(operands, $result)
  }];
  let hasVerifier = 1;
}

def Lathe_KvAppendOp : Lathe_Op<"kv_append", [
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Appends key and value rows to a cache";
  let description = [{
    Writes the rows of `k` and `v`, read through their maps (`i0` = batch,
    `i1` = head, `i2` = row, `i3` = column), behind the rows that the cache
    holds, and yields the handle that holds them all.

    Constraints:
    * (C1) the result has the type of `cache`.
    * (C2) `k_map` and `v_map` list one index per dim of their operand.

    Example:
    ```mlir
    %kv2 = lathe.kv_append %kv, k(%k <"[i0, i2, 32*i1 + i3]">) v(%v <"[i0, i2, 32*i1 + i3]">)
        : (!lathe.kv<6, 32, 32, f32>, tensor<?x?x192xf32>, tensor<?x?x192xf32>) -> !lathe.kv<6, 32, 32, f32>
    ```
  }];
  let arguments = (ins Lathe_KvType:$cache, Lathe_FloatTensor:$k,
                       Lathe_FloatTensor:$v, Lathe_FormAttr:$k_map,
                       Lathe_FormAttr:$v_map,
                       OptionalAttr<Lathe_SiteAttr>:$site);
  let results = (outs Lathe_KvType:$result);
  let assemblyFormat = [{
    $cache `,` `k` `(` $k $k_map `)` `v` `(` $v $v_map `)` attr-dict `:`
    functional-type(operands, $result)
  }];
  let hasVerifier = 1;
}

def Lathe_IndexExprOp : Lathe_Op<"index_expr", [Pure]> {
  let summary = "A tensor given by a closed form";
  let description = [{
    The element at `i0, i1, ...` is `form`; `read(n, [...])` reads operand n.
    Data movement, masks, positions and rotary tables are of this kind.
    `shape` gives each extent as a polynomial over the named dims.

    Constraints:
    * (C1) `shape` has one entry per dim of the result, a number over named
      dims; static dims agree.
    * (C2) the form is a predicate for a boolean result, else a number, over
      as many coordinates as the result has dims.
    * (C3) every `read` names an operand and has one index per dim of it.

    Example:
    ```mlir
    %p = lathe.index_expr <"read(0, [i0, i2, 32*i1 + i3])"> (%x) shape ["batch", "12", "seq", "32"]
        : (tensor<?x?x384xf32>) -> tensor<?x12x?x32xf32>
    ```
  }];
  let arguments = (ins Lathe_FormAttr:$form,
                       Variadic<AnyRankedTensor>:$inputs,
                       StrArrayAttr:$shape);
  let results = (outs AnyRankedTensor:$result);
  let assemblyFormat = [{
    $form `(` $inputs `)` `shape` $shape attr-dict `:`
    functional-type($inputs, $result)
  }];
  let hasVerifier = 1;
}

#endif // LATHE_TRANSFORMER_OPS_TD
