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

def RaiseLinear : Lathe_ModulePass<"lathe-raise-linear"> {
  let summary = "Raises products with constant weights, and embeddings";
  let description = [{
    MatMul and Gemm with a constant right side, behind any number of casts,
    transpositions and reshapes, become `lathe.linear` over a `lathe.weight` at
    module level; a vector added behind (also behind movement that keeps the
    last axis) becomes its bias. Gather of rows of a constant table becomes
    `lathe.embedding`. Equal bytes, also up to transposition, are one payload.

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
