//===- WeightPacking.h - weights as kernels read them --------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The layouts in which parts lie in `model.weights`, and the packing of
/// payloads into them.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_WEIGHTPACKING_H
#define LATHE_LOWER_WEIGHTPACKING_H

#include "lathe/Codegen/CPU/EmitLinear.h"
#include "lathe/Dialect/Lathe.h"
#include "llvm/Support/Error.h"
#include <string>

namespace lathe {

/// How a part lies in memory. Every part starts at a multiple of 64 bytes.
enum class PartLayout {
  /// A linear weight `[K, N]` as f32 `[ceil(N/64)][K][64]`, zeros behind N.
  Panels,
  /// The same rounded to bf16, two rows of K side by side in 32 bits, the first
  /// in the low half: `[ceil(N/64)][ceil(K/2)][64][2]`.
  PairPanels,
  /// Panels and PairPanels of a gated linear's weight `[K, 2*N]`: panel p has
  /// the columns [32*p, 32*p + 32) of the left and of the right half, zeros
  /// behind N. There are ceil(N/32).
  GatedPanels,
  GatedPairPanels,
  /// A weight of rank 1 as f32, zeros up to a multiple of 64 elements.
  Vector,
  /// A table `[rows, columns]`, row-major, in `rowsElementType`.
  Rows,
  /// A constant's bytes as they are.
  Raw,
};

/// What a part is made of.
struct PartSource {
  /// Names the part in manifests: the weight's or the initialiser's name.
  std::string name;
  /// `!lathe.weight`, or a static tensor type.
  mlir::Type type;
  /// A weight's payload parts; null for constants.
  mlir::DictionaryAttr weightParts;
  /// A constant's payload; null for weights.
  PayloadAttr constant;
};

/// Element type of `type` in PartLayout::Rows: as stored when the encoding is
/// dense and row-major, else f32.
mlir::Type rowsElementType(WeightType type);

/// Panels of a weight of rank 2 in a layout of panels.
int64_t panelCount(WeightType type, PartLayout layout);

/// Bytes of a part of that type in that layout.
int64_t packedBytes(mlir::Type type, PartLayout layout);

/// Writes `source` in `layout` to `out`, which has packedBytes bytes. Error: a
/// payload cannot be read.
llvm::Error packPart(PayloadStore &store, const PartSource &source,
                     PartLayout layout, llvm::MutableArrayRef<char> out);

} // namespace lathe

#endif // LATHE_LOWER_WEIGHTPACKING_H
