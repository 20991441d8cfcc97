//===- StructureOps.td - weights and structure operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_STRUCTURE_OPS_TD
#define LATHE_STRUCTURE_OPS_TD

def Lathe_WeightOp : Lathe_Op<"weight", [Symbol]> {
  let summary = "A trained tensor of the model";
  let description = [{
    Holds a weight at module level with its named payload parts.

    Constraints:
    * (C1) `parts` are what the encoding of the type asks for
      (`EncodingAttrInterface::verifyPayload`).

    Example:
    ```mlir
    lathe.weight @"blocks.0.ffn.up" {data = #lathe.blob<"m.onnx", 0, 131072, "5d41402abc4b2a76">}
        : !lathe.weight<128x512xf32, #lathe.dense<f16>>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, DictionaryAttr:$parts,
                       TypeAttrOf<Lathe_WeightType>:$type);
  let assemblyFormat = "$sym_name $parts attr-dict `:` $type";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::lathe::WeightType getWeightType() {
      return ::llvm::cast<::lathe::WeightType>(getType());
    }
  }];
}

def Lathe_UseWeightOp
    : Lathe_Op<"use_weight",
               [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Refers to a weight";
  let description = [{
    Constraints:
    * (C1) `weight` names a `lathe.weight` of the same type.

    Example: `%w = lathe.use_weight @w : !lathe.weight<128x512xf32, #lathe.dense<f32>>`
  }];
  let arguments = (ins FlatSymbolRefAttr:$weight);
  let results = (outs Lathe_WeightType:$result);
  let assemblyFormat = "$weight attr-dict `:` qualified(type($result))";
}

def Lathe_SublayerOp
    : Lathe_Op<"sublayer", [IsolatedFromAbove, SingleBlock,
                            RecursiveMemoryEffects]> {
  let summary = "A residual branch: attention, FFN or another";
  let description = [{
    Yields `residual + body(source, args)`. In a post-norm network `post` is
    not empty and the result is `post(residual + body(source, args))`.
    Everything the body reads is an operand; weights are referred to by
    symbol. Parallel attention and FFN are two sub-layers with one source, the
    second taking the first's result as its residual.
    Removing a sub-layer leaves `residual` (post-norm: `post(residual)`).

    The blocks' arguments: `body` gets `source` and `args`; `post` gets the
    sum. `body` yields the branch and any extra results (cache handles,
    materialised `present` tensors).

    Constraints:
    * (C1) the first result has the type of `residual`.
    * (C2) the body's arguments are `source` and `args` in type and number.
    * (C3) the body yields a tensor of the type of `residual` first, then the
      further results.
    * (C4) `post` is empty or has one argument and yields one value, both of
      the type of `residual`.
    * (C5) `skip`, by which rows skip the sub-layer at run time, is only on an
      `ffn` without `post` and further results, in a function named `decode`.

    Example:
    ```mlir
    %y = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
    ^bb0(%s: tensor<?x65x128xf32>):
      %0 = lathe.norm layer %s {epsilon = 1.0e-6 : f32} : (tensor<?x65x128xf32>) -> tensor<?x65x128xf32>
      ...
      lathe.yield %d : tensor<?x65x128xf32>
    } : (tensor<?x65x128xf32>, tensor<?x65x128xf32>) -> tensor<?x65x128xf32>
    ```
  }];
  let arguments = (ins Lathe_SublayerKindAttr:$kind, Lathe_SiteAttr:$site,
                       Lathe_FloatTensor:$residual, Lathe_FloatTensor:$source,
                       Variadic<AnyType>:$args,
                       OptionalAttr<Lathe_SkipAttr>:$skip);
  let results = (outs Lathe_FloatTensor:$result, Variadic<AnyType>:$extra);
  let regions = (region SizedRegion<1>:$body, MaxSizedRegion<1>:$post);
  let assemblyFormat = [{
    `` $kind $site `residual` `(` $residual `)`
    `source` `(` $source `)` (`args` `(` $args^ `)`)? $body
    (`post` $post^)? attr-dict `:` functional-type(operands, results)
  }];
  let hasVerifier = 1;
}

def Lathe_BlockOp : Lathe_Op<"block", [SingleBlock, RecursiveMemoryEffects]> {
  let summary = "The sub-layers of one transformer block";
  let description = [{
    Groups what the model's author calls a layer. Values are captured from
    above; the region yields the results.

    Constraints:
    * (C1) the yielded types are the result types.

    Example:
    ```mlir
    %y = lathe.block <"blocks.0"> {
      ...
      lathe.yield %f : tensor<?x65x128xf32>
    } : tensor<?x65x128xf32>
    ```
  }];
  let arguments = (ins Lathe_SiteAttr:$site);
  let results = (outs Variadic<AnyType>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$site $body attr-dict `:` type($outputs)";
  let hasVerifier = 1;
}

def Lathe_StreamsOp
    : Lathe_Op<"streams", [IsolatedFromAbove, RecursiveMemoryEffects]> {
  let summary = "Two parallel branches over one input and what joins them";
  let description = [{
    Every operand is an argument of both `left` and `right`; `combine` gets
    what `left` yields, then what `right` yields, and yields the results.

    Constraints:
    * (C1) the arguments of `left` and of `right` are the operands' types.
    * (C2) the arguments of `combine` are the types yielded by `left`, then
      by `right`.
    * (C3) `combine` yields the result types.

    Example:
    ```mlir
    %y = lathe.streams <"blocks.0.attn"> (%x) left {
    ^bb0(%a: tensor<?x64xf32>):
      lathe.yield %a : tensor<?x64xf32>
    } right {
    ^bb0(%a: tensor<?x64xf32>):
      lathe.yield %a : tensor<?x64xf32>
    } combine {
    ^bb0(%l: tensor<?x64xf32>, %r: tensor<?x64xf32>):
      lathe.yield %l : tensor<?x64xf32>
    } : (tensor<?x64xf32>) -> tensor<?x64xf32>
    ```
  }];
  let arguments = (ins Lathe_SiteAttr:$site, Variadic<AnyType>:$inputs);
  let results = (outs Variadic<AnyType>:$outputs);
  let regions = (region SizedRegion<1>:$left, SizedRegion<1>:$right,
                        SizedRegion<1>:$combine);
  let assemblyFormat = [{
    $site `(` $inputs `)` `left` $left `right` $right `combine` $combine
    attr-dict `:` functional-type($inputs, $outputs)
  }];
  let hasVerifier = 1;
}

def Lathe_YieldOp
    : Lathe_Op<"yield", [Pure, Terminator, ReturnLike]> {
  let summary = "Ends a region of a structure operation";
  let description = [{
    Example: `lathe.yield %x : tensor<?x128xf32>`
  }];
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "attr-dict ($values^ `:` type($values))?";
  let builders = [OpBuilder<(ins), [{
    build($_builder, $_state, ::mlir::ValueRange());
  }]>];
}

#endif // LATHE_STRUCTURE_OPS_TD
