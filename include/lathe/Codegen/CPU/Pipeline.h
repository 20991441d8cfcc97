//===- Pipeline.h - from kernels to object code -----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_PIPELINE_H
#define LATHE_CODEGEN_CPU_PIPELINE_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace lathe {

/// Registers the dialects that kernels are made of and their translations to
/// LLVM IR.
void registerCpuCodegenDialects(mlir::DialectRegistry &registry);

/// From func, scf, memref, vector, arith, math, affine and llvm on memrefs to
/// the LLVM dialect alone, for a module. Includes `lathe-expand-math` and
/// `lathe-lower-forall`. Tensors, linalg and allocations on the heap must be
/// gone before.
void buildCpuToLLVMPipeline(mlir::OpPassManager &pm, const CpuTarget &target);

/// Registers `lathe-cpu-to-llvm`, the pipeline above with the option
/// `target=native|avx512bf16|avx512|avx2|scalar`.
void registerCpuPipelines();

/// Translates a module of the LLVM dialect and compiles it to a relocatable,
/// position independent ELF object. `optLevel` is 0 to 3.
///
/// Generated code brings nothing of its own and links against nothing: an
/// object with an undefined symbol other than memcpy, memmove or memset is an
/// error that names the symbols. Callable from several threads at once on
/// modules of different contexts.
llvm::Expected<std::unique_ptr<llvm::MemoryBuffer>>
compileToObject(mlir::ModuleOp module, const CpuTarget &target,
                unsigned optLevel = 3);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_PIPELINE_H
