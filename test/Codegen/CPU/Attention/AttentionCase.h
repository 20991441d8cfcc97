//===- AttentionCase.h - attention problems with a reference ----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_ATTENTIONTEST_ATTENTIONCASE_H
#define LATHE_TOOLS_ATTENTIONTEST_ATTENTIONCASE_H

#include "Harness.h"
#include "lathe/Codegen/CPU/Attention.h"
#include <string>
#include <vector>

namespace lathe::test {

/// How the operands lie in memory.
enum class Layout {
  /// [B, T, kv_heads*2*d + heads*d]: one fused projection, q, k, v in columns.
  Fused,
  /// q [B, S, H*d]; k and v caches [B, kv_heads, capacity, d].
  Cache,
  /// q [B, H, S, d], k [B, kv_heads, d, T], v [B, kv_heads, dv, T].
  Transposed
};

/// Which mask a case has; everything else of it is in `AttentionSpec`.
struct MaskKind {
  std::string name;
  bool causal = false;
  /// Keys that a row sees, itself included; 0: all.
  int64_t window = 0;
  /// A [B, T] mask of 0 and 1.
  bool padding = false;
  /// A predicate that depends on all four coordinates.
  bool holes = false;
  bool bias = false;
  bool headScale = false;
  double softcap = 0.0;
  AttentionRows rows = AttentionRows::Zero;
  double negative = -1e4;
};

/// The kernel's parameters that are compiled in.
struct AttentionConfig {
  int64_t heads, kvHeads, headDim, valueDim;
  MaskKind mask;
  Layout layout;
  /// Keys and values are f16; not in the fused layout.
  bool halfCache = false;
  std::string name() const;
  AttentionSpec makeSpec(mlir::MLIRContext *context) const;
};

struct CompiledAttention {
  CompiledAttention(const CpuTarget &target, const AttentionConfig &config);
  CompiledKernel kernel;
  ScratchSize scratch;
};

/// One call: buffers with random contents, and the reference in f64.
class AttentionProblem {
public:
  enum class Padding { None, Left, Right, Holes, Everything };

  AttentionProblem(const AttentionConfig &config, int64_t batch, int64_t rows,
                   int64_t keys, Padding padding, unsigned seed,
                   bool atStart = false);

  /// Runs the kernel into the output buffer.
  void run(const CompiledAttention &kernel, Pool &pool);
  const float *output() const { return out->as<float>(); }
  size_t outputSize() const;
  void clear();

  /// The expected output; `emptyRows` tells for each row of it (value_dim
  /// elements) whether all its keys are masked.
  std::vector<double> reference(std::vector<bool> &emptyRows) const;

private:
  struct Operand {
    std::unique_ptr<GuardedBuffer> buffer;
    bool isHalf = false;
    int64_t offset = 0, batch = 0, head = 0, row = 0, column = 1;
    int64_t at(int64_t b, int64_t h, int64_t r, int64_t c) const {
      return offset + b * batch + h * head + r * row + c * column;
    }
    void append(std::vector<Argument> &arguments,
                const GuardedBuffer &memory) const;
  };

  void layOut(bool atStart);
  const GuardedBuffer &memoryOf(const Operand &operand) const;
  float read(const Operand &operand, int64_t b, int64_t h, int64_t r,
             int64_t c) const;
  void write(const Operand &operand, int64_t b, int64_t h, int64_t r, int64_t c,
             float value);
  bool keeps(int64_t b, int64_t h, int64_t i, int64_t j) const;

  const AttentionConfig &config;
  int64_t batch, rows, keys;
  Operand q, k, v;
  /// The buffer that all operands share in the fused layout.
  std::unique_ptr<GuardedBuffer> fused;
  std::unique_ptr<GuardedBuffer> out, scratch, padding, slopes;
};

} // namespace lathe::test

#endif // LATHE_TOOLS_ATTENTIONTEST_ATTENTIONCASE_H
