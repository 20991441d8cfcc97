//===- Passes.td - passes of the lowering -----------------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_PASSES
#define LATHE_LOWER_PASSES

include "mlir/Pass/PassBase.td"

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

#endif // LATHE_LOWER_PASSES
