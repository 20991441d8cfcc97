//===- Kernels.h - what kernels a model runs --------------------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The distinct kernels of a model with their sizes: what to measure one by
/// one, and what to count work by.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_KERNELS_H
#define LATHE_DRIVER_KERNELS_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lathe {

/// One kernel of an entry, and how often the entry runs it.
struct KernelSummary {
  std::string entry;
  /// linear, attention, norm, rope, embedding, activation, softmax or
  /// elementwise.
  std::string op;
  /// Kind of norm or activation, layout of rope, ONNX operation of an
  /// elementwise one; of a gated linear, the function (of the dialect math)
  /// that its activation calls, if it calls one.
  std::string variant;
  /// Of a linear, what runs in it behind the sum: kinds of activations, add,
  /// mul.
  std::vector<std::string> epilogue;
  /// Of an attention, the keys that a row sees.
  std::string mask;
  /// Sizes in numbers of elements, by name:
  ///
  ///   linear       rows inputs outputs bias gated
  ///   attention    batch rows keys heads kv_heads head_dim value_dim cached
  ///   norm         rows width beta
  ///   rope         rows heads head_dim rotary_dim
  ///   embedding    rows width vocabulary tied
  ///   softmax      rows width
  ///   the others   elements
  ///
  /// `bias`, `beta`, `cached` and `gated` are 1 where there is one, `tied`
  /// where the table is the weight of a linear too; else 0. A gated linear has
  /// weights of twice `outputs` columns.
  std::vector<std::pair<std::string, int64_t>> sizes;
  int64_t count = 1;
};

/// The kernels of every entry in the order in which they first run. Linears
/// are those that compilation makes of the model's: siblings merged, with the
/// elementwise operations behind them. Movement of data, masks and tables of
/// positions are left out. `dims` gives dims by name; one that is not given is
/// 1.
std::vector<KernelSummary> listKernels(mlir::ModuleOp model,
                                       const llvm::StringMap<int64_t> &dims);

} // namespace lathe

#endif // LATHE_DRIVER_KERNELS_H
