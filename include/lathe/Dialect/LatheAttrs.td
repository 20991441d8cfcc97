//===- LatheAttrs.td - attributes of the lathe dialect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ATTRS_TD
#define LATHE_ATTRS_TD

include "lathe/Dialect/LatheDialect.td"
include "lathe/Dialect/LatheInterfaces.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

class Lathe_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Lathe_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Lathe_PayloadAttr : Lathe_Attr<"Payload", "blob"> {
  let summary = "A slice of a file";
  let description = [{
    The bytes `[offset, offset + bytes)` of `file`. `hash` is the xxh3-64 of
    the bytes in hexadecimal: equal hashes are one payload wherever they lie.
    A relative path is resolved against the working directory.

    Constraints:
    * (C1) `file` is not empty.
    * (C2) `offset` and `bytes` are not negative.
    * (C3) `hash` is 16 hexadecimal digits.

    Example: `#lathe.blob<"model.onnx", 4096, 589824, "9b1d0c2f66a1e7f3">`
  }];
  let parameters = (ins StringRefParameter<"path of the file">:$file,
                        "int64_t":$offset, "int64_t":$bytes,
                        StringRefParameter<"xxh3-64, hexadecimal">:$hash);
  let assemblyFormat = "`<` $file `,` $offset `,` $bytes `,` $hash `>`";
  let genVerifyDecl = 1;
}

def Lathe_DenseAttr
    : Lathe_Attr<"Dense", "dense",
                 [DeclareAttrInterfaceMethods<Lathe_EncodingInterface>]> {
  let summary = "Every element written once, in a float type";
  let description = [{
    One part `data`: the elements in little endian `elementType`, row-major in
    the logical shape; with `transposed`, in the logical shape with its two
    dims swapped.

    Constraints:
    * (C1) `elementType` is f64, f32, f16 or bf16.
    * (C2) `transposed` only on weights of rank 2.

    Example: `#lathe.dense<f16, transposed>`
  }];
  let parameters = (ins "::mlir::Type":$elementType,
                        DefaultValuedParameter<"bool", "false">:$transposed);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def Lathe_ConcatAttr
    : Lathe_Attr<"Concat", "concat",
                 [DeclareAttrInterfaceMethods<Lathe_EncodingInterface>]> {
  let summary = "Weights laid side by side along one axis";
  let description = [{
    The weight is the concatenation along `axis` of operands with extents
    `sizes`, each in its own encoding. Part names of operand n start with
    `n.`.

    Constraints:
    * (C1) as many encodings as sizes, at least one.
    * (C2) every encoding implements the encoding interface.
    * (C3) the sizes are positive and add up to the extent of `axis`.

    Example: `#lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<f16>], [768, 256]>`
  }];
  let parameters = (ins "int64_t":$axis,
                        ArrayRefParameter<"::mlir::Attribute">:$encodings,
                        ArrayRefParameter<"int64_t">:$sizes);
  let assemblyFormat = [{
    `<` $axis `,` `[` $encodings `]` `,` `[` $sizes `]` `>`
  }];
  let genVerifyDecl = 1;
}

def Lathe_SiteAttr : Lathe_Attr<"Site", "site"> {
  let summary = "The place of a component in the original model";
  let description = [{
    A dotted path by the grammar `blocks.N`, `blocks.N.{attn,ffn,...}` or
    `blocks.N.{attn,ffn,...}.role`; components outside blocks are
    `embed`, `head`, `norm` and the like. N is the index in the original
    model for ever: removing a block renames nobody.

    Constraints:
    * (C1) the names between dots are not empty and made of letters, digits,
      `_` and `-`.
    * (C2) `blocks` is followed by a number.

    Example: `#lathe.site<"blocks.3.ffn.up">`
  }];
  let parameters = (ins StringRefParameter<"dotted path">:$path);
  let assemblyFormat = "`<` $path `>`";
  let genVerifyDecl = 1;
}

def Lathe_FormAttr : Lathe_Attr<"Form", "form"> {
  let summary = "An index expression";
  let description = [{
    A closed form over the coordinates `i0`, `i1`, ... of the value it
    describes, over named dims, and over reads of operands
    (`read(n, [...])` is operand n at an index): a number, a predicate, or a
    list `[f, g, ...]` of numbers.

    Constraints:
    * (C1) the text parses (`lathe/IndexExpr/Text.h` has the grammar).

    Example: `#lathe.form<"i3 <= i2 + past and read(0, [i0, i3]) != 0">`
  }];
  let parameters = (ins StringRefParameter<"text">:$text);
  let assemblyFormat = "`<` $text `>`";
  let genVerifyDecl = 1;
}

class Lathe_Enum<string name, string text, list<I32EnumAttrCase> cases>
    : I32EnumAttr<name, text, cases> {
  let cppNamespace = "::lathe";
  let genSpecializedAttr = 0;
}
class Lathe_EnumAttr<EnumAttrInfo info, string mnemonic>
    : EnumAttr<Lathe_Dialect, info, mnemonic>;

def Lathe_NormKind : Lathe_Enum<"NormKind", "kind of normalisation", [
  I32EnumAttrCase<"Layer", 0, "layer">, I32EnumAttrCase<"Rms", 1, "rms">]>;
def Lathe_NormKindAttr : Lathe_EnumAttr<Lathe_NormKind, "norm_kind">;

def Lathe_ActivationKind : Lathe_Enum<"ActivationKind", "activation", [
  I32EnumAttrCase<"Gelu", 0, "gelu">,
  I32EnumAttrCase<"GeluTanh", 1, "gelu_tanh">,
  I32EnumAttrCase<"Silu", 2, "silu">,
  I32EnumAttrCase<"QuickGelu", 3, "quick_gelu">,
  I32EnumAttrCase<"Relu", 4, "relu">,
  I32EnumAttrCase<"Tanh", 5, "tanh">,
  I32EnumAttrCase<"Sigmoid", 6, "sigmoid">]>;
def Lathe_ActivationKindAttr
    : Lathe_EnumAttr<Lathe_ActivationKind, "activation_kind">;

def Lathe_RopeLayout : Lathe_Enum<"RopeLayout", "pairing of rotary columns", [
  I32EnumAttrCase<"Half", 0, "half">,
  I32EnumAttrCase<"Interleaved", 1, "interleaved">]>;
def Lathe_RopeLayoutAttr : Lathe_EnumAttr<Lathe_RopeLayout, "rope_layout">;

def Lathe_MaskedRows : Lathe_Enum<"MaskedRows",
                                  "value of a row whose keys are all masked", [
  I32EnumAttrCase<"Zero", 0, "zero">, I32EnumAttrCase<"Mean", 1, "mean">,
  I32EnumAttrCase<"NaN", 2, "nan">, I32EnumAttrCase<"Soft", 3, "soft">]>;
def Lathe_MaskedRowsAttr : Lathe_EnumAttr<Lathe_MaskedRows, "masked_rows">;

def Lathe_SublayerKind : Lathe_Enum<"SublayerKind", "kind of sub-layer", [
  I32EnumAttrCase<"Attn", 0, "attn">, I32EnumAttrCase<"Ffn", 1, "ffn">,
  I32EnumAttrCase<"Other", 2, "other">]>;
def Lathe_SublayerKindAttr
    : Lathe_EnumAttr<Lathe_SublayerKind, "sublayer_kind">;

def Lathe_SkipKind : Lathe_Enum<"SkipKind", "rule by which rows skip", [
  I32EnumAttrCase<"Cosine", 0, "cosine">,
  I32EnumAttrCase<"Random", 1, "random">]>;

def Lathe_SkipAttr : Lathe_Attr<"Skip", "skip"> {
  let summary = "When rows of a decode step skip a sub-layer";
  let description = [{
    The gate of FFN-SkipLLM (arXiv 2404.03865). Every row (token) carries a
    count of gated sub-layers that it still skips, 0 at the start of each step.
    A row with a count above 0 skips the sub-layer and takes 1 off; another row
    runs it, and then has the count `count` if the cosine of its residual
    before and after is at least `threshold`, else 0. The first `warmup` tokens
    after the prompt skip nothing.

    The rule `random` is the baseline: a row skips with probability
    `threshold`, drawn from `seed`, the token's number, the sub-layer and the
    sequence; `count` is 1.

    Constraints:
    * (C1) `threshold` is a number above 0.
    * (C2) `count` is at least 1, `warmup` and `seed` at least 0.

    Example: `#lathe.skip<cosine, threshold = 0.95 : f64, count = 1, warmup = 10, seed = 0>`
  }];
  let parameters = (ins EnumParameter<Lathe_SkipKind>:$kind,
                        "::mlir::FloatAttr":$threshold, "int64_t":$count,
                        "int64_t":$warmup, "int64_t":$seed);
  let assemblyFormat = [{
    `<` $kind `,` struct($threshold, $count, $warmup, $seed) `>`
  }];
  let genVerifyDecl = 1;
}

#endif // LATHE_ATTRS_TD
