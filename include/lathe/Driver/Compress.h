//===- Compress.h - the best model under a budget ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_COMPRESS_H
#define LATHE_DRIVER_COMPRESS_H

#include "lathe/Driver/Calibrate.h"

namespace lathe {

/// What must hold of the compressed model.
struct CompressBudget {
  enum class Kind { Size, Latency, Loss };
  Kind kind = Kind::Size;
  /// Size, Latency: share of the original that may be left. Loss: what may be
  /// lost, in the unit of CompressPoint::loss.
  double limit = 0;

  /// `size=0.5`, `latency=0.6` or `loss=0.01`.
  static llvm::Expected<CompressBudget> parse(llvm::StringRef text);
};

/// One compressed model.
struct CompressPoint {
  std::string method;             ///< key of the ranking that it is a prefix of
  std::vector<std::string> sites; ///< what is cut, in order
  double size = 1;                ///< share of the bytes of the weights
  double latency = 1;             ///< share of the measured time of the stages
  /// What is lost on the data: bits per token, or share of items, with labels
  /// `y`; without, the distance of the outputs as the method measures it.
  double loss = 0;
  bool isPareto = false; ///< no other point is at least as good in all three

  /// The passes that make it; empty for the original.
  std::string pipeline() const;
  /// The same as a recipe file.
  std::string recipe() const;
};

struct CompressResult {
  std::vector<CompressPoint> points; ///< the original first
  size_t best = 0;                   ///< into `points`
  std::string lossUnit; ///< `bits per token`, `share of items`, ...
};

/// Lets each of `methods` (passes that rank, `PASS{options},...`) order what it
/// would remove, measures every prefix, and chooses: of the points within the
/// budget the one that loses least, or under a budget of loss the smallest.
/// Fails when no point is within the budget.
llvm::Expected<CompressResult>
searchCompression(mlir::ModuleOp model, const rt::TensorMap &data,
                  const CalibrateOptions &options,
                  const CompressBudget &budget);

/// The points as a table for people, and as a picture (SVG) of loss over size.
std::string paretoTable(const CompressResult &result);
std::string paretoPicture(const CompressResult &result);

} // namespace lathe

#endif // LATHE_DRIVER_COMPRESS_H
