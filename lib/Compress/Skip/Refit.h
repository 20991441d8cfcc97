//===- Refit.h - what is left makes up for what was cut ---------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A forward-only repair of a model that lost sub-layers, shared by the methods
/// that cut: the branch of each sub-layer before or behind a cut is mapped so
/// that the residual stream follows the original's.
///
/// With D the width of the stream, Δ [rows, D] the branch of a sub-layer in the
/// cut model, R its residual and T the stream that the original has where the
/// next sub-layer that is left begins, the map is the ridge solution
///
///     C = argmin ‖Δ C - (T - R)‖² + λ ‖C - 1‖²,  λ = 0.01 tr(Δᵀ Δ) / D,
///
/// in f64, one sub-layer after the other, each on what those before it make
/// now. It is folded into the last linear of the branch: W' = W C, b' = b C.
/// This is the substitute for the training of FuseGPT (arXiv 2411.14507), with
/// a map behind the weight in place of a new weight: it needs the streams only,
/// not what goes on inside a sub-layer. A quarter of the items is held out: of
/// 1 + a (C - 1), a = 1, 1/2, 1/4 and 0, the one is taken with which the output
/// on them comes nearest to the original's. A stream can come nearer to the
/// original's without that.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_COMPRESS_SKIP_REFIT_H
#define LATHE_LIB_COMPRESS_SKIP_REFIT_H

#include "lathe/Calibrate/Calibration.h"
#include "lathe/Calibrate/OutputDistance.h"

namespace lathe {

/// Prefix of the arrays of the profile for the first `steps` steps of ranking
/// `key`: `PREFIX/SITE` is C [D, D] in f32, `PREFIX.error/SITE` the distance
/// of the output on the held-out items before and after, f64 [2].
std::string refitPrefix(llvm::StringRef key, size_t steps);

/// Fits the maps for the model without `sites`, by `distance` of the output,
/// and writes them to the profile.
llvm::Error fitMaps(CalibrationContext &context,
                    llvm::ArrayRef<std::string> sites, DistanceKind distance,
                    const std::string &prefix);

/// Folds the maps `prefix` of `profile` into the weights of `model`, which has
/// lost the sub-layers that they were fitted for, and reports it under the name
/// of `pass`. Fails with a diagnostic when the profile has none.
mlir::LogicalResult applyMaps(mlir::ModuleOp model, const Profile &profile,
                              llvm::StringRef path, const std::string &prefix,
                              llvm::StringRef pass);

} // namespace lathe

#endif // LATHE_LIB_COMPRESS_SKIP_REFIT_H
