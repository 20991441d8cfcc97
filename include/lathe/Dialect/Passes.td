//===- Passes.td - passes on payloads ----------------------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_PASSES
#define LATHE_DIALECT_PASSES

include "mlir/Pass/PassBase.td"

def GatherPayloads : Pass<"lathe-gather-payloads"> {
  let summary = "Put the payloads that passes made into one file";
  let description = [{
    Payloads that passes make lie in the spill folder of the payload store until
    somebody writes the module to a file. This pass writes those that the
    operation names to `file`, each once and aligned to 64 bytes, in the order
    in which they are named, and points the operation there. Slices of other
    files stay as they are; without a payload to write there is no file.

    Before:
    ```mlir
    lathe.weight @w {data = #lathe.blob<"~/.cache/lathe/payloads/9b1d0c2f66a1e7f3.bin", 0, 96, "9b1d0c2f66a1e7f3">} ...
    ```
    After `lathe-gather-payloads{file=m.mlir.weights}`:
    ```mlir
    lathe.weight @w {data = #lathe.blob<"m.mlir.weights", 0, 96, "9b1d0c2f66a1e7f3">} ...
    ```
  }];
  let options = [
    Option<"file", "file", "std::string", /*default=*/"",
           "File to write the payloads to">
  ];
}

#endif // LATHE_DIALECT_PASSES
