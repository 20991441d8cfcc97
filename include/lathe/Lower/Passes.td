//===- Passes.td - passes of the lowering -----------------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_PASSES
#define LATHE_LOWER_PASSES

include "mlir/Pass/PassBase.td"

def FuseEpilogues : Pass<"lathe-fuse-epilogues", "::mlir::ModuleOp"> {
  let summary = "Elementwise operations behind a linear become its epilogue";
  let description = [{
    In the public functions of the module, stages: an activation, and a sum or
    product with a tensor of the same shape, move into the epilogue region of
    the f32 linear before them when nothing else reads its result. So a
    residual add or the product with a gate costs no pass over memory. Of two
    linears that are multiplied, the later one takes the product.

    Before:
    ```mlir
    %0 = lathe.linear %x, %w bias(%b) : ... -> tensor<?x4xf32>
    %1 = lathe.activation relu %0 : tensor<?x4xf32>
    %2 = lathe.onnx "Add"(%1, %r) {opset = 14 : i64} : ... -> tensor<?x4xf32>
    ```
    After:
    ```mlir
    %0 = lathe.linear %x, %w bias(%b) epilogue(%r) {
    ^bb0(%sum: f32, %extra: f32):
      %cst = arith.constant 0.000000e+00 : f32
      %1 = arith.maximumf %sum, %cst : f32
      %2 = arith.addf %1, %extra : f32
      lathe.yield %2 : f32
    } : ... -> tensor<?x4xf32>
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect"];
}

def LowerStagePass : Pass<"lathe-lower-stage", "::mlir::ModuleOp"> {
  let summary = "A stage in linalg on tensors and kernel calls";
  let description = [{
    Lowers the public function of the module, a stage (see
    lathe/Lower/CompileStage.h). Named dims become arguments, weights become
    buffers in the layouts that kernels read, typed operations become kernel
    calls, everything else linalg.

    Before:
    ```mlir
    func.func @stage(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]})
        -> tensor<?x4xf32> attributes {lathe.stage_dims = ["n"]} {
      %0 = lathe.onnx "Relu"(%x) {opset = 14 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
      return %0 : tensor<?x4xf32>
    }
    ```
    After:
    ```mlir
    func.func @stage(%ctx: !llvm.ptr {lathe.ctx}, %n: index {lathe.dim = "n"},
        %x: tensor<?x4xf32> {lathe.arg = 0, lathe.dims = ["n", "4"]})
        -> (tensor<?x4xf32> {lathe.dims = ["n", "4"]}) {
      %init = tensor.empty(%n) : tensor<?x4xf32>
      %0 = linalg.generic ... ins(%x) outs(%init) {
        arith.maximumf
      }
      return %0 : tensor<?x4xf32>
    }
    ```
  }];
  let options = [
    Option<"cpu", "target", "std::string", "\"native\"",
           "CPU level to compile for">
  ];
}

def PrintKernelPlan : Pass<"lathe-print-kernel-plan", "::mlir::ModuleOp"> {
  let summary = "Prints how the kernels of linears are cut";
  let description = [{
    Prints to stdout, for every function, the CPU level and a line per linear:
    its site, K and N (of a gated one half of the weight's columns), and what
    the cost model of the kernels (LinearPlan.h) chose for them on this level:

    * `tile` rows x columns of sums that stay in registers with many rows, then
      the tiles of fewer rows: the last rows of a long run, or all of a short
      one; `1x64` is the kernel of a decode step;
    * `k` the terms that are summed before the sums go through memory, and the
      number of such blocks;
    * `unit` rows x columns of one piece of parallel work, the number of panels
      of columns, and how many units a thread takes at once.

    Leaves the module as it is. Kernels are chosen for the weights as they are
    now, so passes that change them go before this one.

    Before, and after:
    ```mlir
    %y = lathe.linear %x, %w {site = #lathe.site<"blocks.0.ffn.up">}
        : (tensor<?x768xf32>, !lathe.weight<768x3072xf32, #lathe.dense<f32>>) -> tensor<?x3072xf32>
    ```
    Printed, with `target=avx2`:
    ```
    function plain, avx2
      blocks.0.ffn.up: 768x3072 f32: tile 6x16, fewer rows 1x64 2x32 3x32 4x16 5x16; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    ```
  }];
  let options = [
    Option<"cpu", "target", "std::string", "\"native\"",
           "CPU level to plan for">
  ];
}

def ToLinalg : Pass<"lathe-to-linalg", "::mlir::ModuleOp"> {
  let summary = "A model in linalg on tensors, with upstream dialects only";
  let description = [{
    Rewrites every entry of a model as a function that any MLIR compiler can
    read: linalg, tensor, arith, math and scf on tensors, one operation of the
    model after the other, named dims read off the arguments. Weights become
    constants, or further arguments in the order of their first use. Element
    types without arithmetic (ui8, bool, fp8) are passed as their bits.

    Entries with a KV cache (`prefill`, `decode`) are left out: tensors cannot
    say what they write in place; `plain` computes the same. Operators that only
    exist as loops over buffers (TopK, Scatter*, CumSum, ConvTranspose, Det) are
    reported, all at once.

    Before:
    ```mlir
    lathe.weight @w {data = #lathe.blob<...>} : !lathe.weight<4x8xf32, #lathe.dense<f32>>
    func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}) -> tensor<?x8xf32> {
      %w = lathe.use_weight @w : !lathe.weight<4x8xf32, #lathe.dense<f32>>
      %0 = lathe.linear %x, %w : (tensor<?x4xf32>, ...) -> tensor<?x8xf32>
      return %0 : tensor<?x8xf32>
    }
    ```
    After, with `weights=arguments`:
    ```mlir
    func.func @plain(%x: tensor<?x4xf32>, %w: tensor<4x8xf32>) -> tensor<?x8xf32> {
      %n = tensor.dim %x, %c0 : tensor<?x4xf32>
      ...
      %0 = linalg.generic {iterator_types = ["parallel", "parallel", "reduction"]}
          ins(%x, %w : ...) outs(%zero : tensor<?x8xf32>) { ... }
      return %0 : tensor<?x8xf32>
    }
    ```
  }];
  let options = [
    Option<"weights", "weights", "::lathe::WeightForm",
           "::lathe::WeightForm::Constants", "Where the weights go",
           [{::llvm::cl::values(
             clEnumValN(::lathe::WeightForm::Constants, "constants",
                        "into the module"),
             clEnumValN(::lathe::WeightForm::Arguments, "arguments",
                        "to the caller"))}]>
  ];
}

#endif // LATHE_LOWER_PASSES
