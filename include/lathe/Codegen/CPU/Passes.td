//===- Passes.td - passes of the CPU code generator --------*- tablegen -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_PASSES
#define LATHE_CODEGEN_CPU_PASSES

include "mlir/Pass/PassBase.td"

def ExpandMath : Pass<"lathe-expand-math"> {
  let summary = "Write elementary functions as arithmetic";
  let description = [{
    Generated code is linked against nothing, so what LLVM would turn into a
    call of libm becomes arithmetic on the same scalars or vectors: exp, exp2,
    expm1, log, log2, log10, log1p, sin, cos, tan, sincos, the hyperbolic and
    inverse functions, erf, cbrt, powf, fpowi, ipowi and `arith.remf`. f16 and
    bf16 are computed in f32. docs/Math.md states the error bounds. Conversions
    to bf16, and those of f16 without `has-half`, become integer arithmetic.
    Without `has-fma` also `math.fma` and `vector.fma` become a product and a
    sum.

    Rounding, square roots and bit counts have instructions and stay.

    Before:
    ```mlir
    %y = math.powf %x, %two : vector<8xf32>
    %e = math.exp %y : vector<8xf32>
    ```
    After:
    ```mlir
    %y = arith.mulf %x, %x : vector<8xf32>
    %n = arith.addf ... // y / ln(2), rounded by adding 1.5 * 2^23
    ...
    %e = arith.mulf %m, %scale : vector<8xf32>
    ```
  }];
  let options = [
    Option<"hasFma", "has-fma", "bool", /*default=*/"true",
           "the target fuses products and sums">,
    Option<"hasHalf", "has-half", "bool", /*default=*/"true",
           "the target converts between f16 and f32">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::scf::SCFDialect"];
}

def LowerForall : Pass<"lathe-lower-forall", "::mlir::ModuleOp"> {
  let summary = "Run parallel loops through the context's thread pool";
  let description = [{
    Every outermost `scf.forall` or `scf.parallel` of a function that has an
    argument `!llvm.ptr {lathe.ctx}` becomes a call of the pool, whose function
    pointer is the first field of the context (`lathe_ctx` in
    lathe/Runtime/Abi.h). The body moves to a function of its own; what it reads
    from outside travels through a closure on the stack, constants are made
    again inside. Dims and strides that the types know are not part of it.

    A loop of n dims is one range of `t0 * ... * tn-1` units, the last dim
    running fastest. The attribute `lathe.grain` (i64, default 1) is the number
    of units that one chunk has.

    Loops nested in another parallel loop, all loops of functions without a
    context, and `scf.parallel` with reductions become sequential loops. Static
    `memref.alloca` move to the entry of their function, so that a loop does not
    grow the stack.

    Before:
    ```mlir
    func.func @scale(%ctx: !llvm.ptr {lathe.ctx}, %x: memref<?x64xf32>) {
      ...
      scf.forall (%i) in (%rows) {
        ... %x[%i, %j] ...
      } {lathe.grain = 16 : i64}
    ```
    After:
    ```mlir
    func.func @scale(%ctx: !llvm.ptr {lathe.ctx}, %x: memref<?x64xf32>) {
      ...
      %closure = llvm.alloca %one x !llvm.struct<(ptr, i64)>
      // store the pointer and the run-time dim of %x
      %pool = llvm.load %ctx : !llvm.ptr -> !llvm.ptr
      llvm.call %pool(%ctx, %body, %closure, %units, %grain)
    }
    func.func private @scale_body0(%closure: !llvm.ptr, %b: i64, %e: i64) {
      // load %x
      scf.for %i = %b to %e step %c1 {
        ... %x[%i, %j] ...
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
                           "::mlir::func::FuncDialect",
                           "::mlir::LLVM::LLVMDialect",
                           "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect"];
}

#endif // LATHE_CODEGEN_CPU_PASSES
