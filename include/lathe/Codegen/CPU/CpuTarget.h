//===- CpuTarget.h - what a CPU level offers --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel is emitted for a level, not for a processor model: one object per
// level serves every machine that has it.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_CPUTARGET_H
#define LATHE_CODEGEN_CPU_CPUTARGET_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

enum class CpuLevel { Scalar, Avx2, Avx512, Avx512Bf16 };

struct CpuTarget {
  CpuLevel level = CpuLevel::Scalar;
  /// f32 lanes of one vector register: 16, 8 or 4.
  int64_t lanes = 4;
  /// Vector registers that a loop may hold.
  int64_t registers = 16;
  /// False: a fused multiply-add would become a call of libm's `fmaf`, so
  /// kernels multiply and add.
  bool hasFma = false;
  /// The same of conversions between f16 and f32.
  bool hasHalf = false;
  /// What LLVM's TargetMachine is made from.
  std::string triple;
  std::string cpu;
  std::string features;

  /// The text that `parse` accepts for this level.
  llvm::StringRef name() const;

  static CpuTarget get(CpuLevel level);

  /// The best level that this machine runs.
  static CpuTarget host();

  /// `native`, `avx512bf16`, `avx512`, `avx2` or `scalar`; anything else is an
  /// error that lists them.
  static llvm::Expected<CpuTarget> parse(llvm::StringRef text);

  /// Every level of this machine's architecture, whether or not the machine
  /// runs it, best first.
  static std::vector<CpuTarget> all();

  /// A comma list of what `parse` takes and of `all`: the levels it names, each
  /// once, best first. An error names the item that is no level.
  static llvm::Expected<std::vector<CpuTarget>> parseList(llvm::StringRef text);
};

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_CPUTARGET_H
