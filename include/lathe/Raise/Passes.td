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

def PrintIndexExprs : Lathe_ModulePass<"lathe-print-index-exprs"> {
  let summary = "Prints the shape and the closed form of every value";
  let description = [{
    Changes nothing. For every function it prints, to standard output, the free
    dims, what was substituted for the others and why, the conditions that hold
    when the entry is called, and one line per value: its name in the ONNX file,
    its shape, and the element at `i0, i1, ...`. `read(name, [...])` reads the
    value of that name.

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

def RefineShapes : Pass<"lathe-refine-shapes", "::mlir::func::FuncOp"> {
  let summary = "Writes what the symbolic analysis knows into types and dims";
  let description = [{
    Puts static extents into the types of values where they are proven, and the
    unified names of dims into `lathe.dims` of arguments and results. Functions
    that hold structure operations keep their types.

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

#endif // LATHE_RAISE_PASSES_TD
