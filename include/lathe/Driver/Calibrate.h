//===- Calibrate.h - a profile of a model on data ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_CALIBRATE_H
#define LATHE_DRIVER_CALIBRATE_H

#include "lathe/Calibrate/Calibration.h"
#include "lathe/Calibrate/Profile.h"
#include "lathe/Calibrate/StageRunner.h"
#include "lathe/Driver/Driver.h"
#include "lathe/Runtime/ThreadPool.h"

namespace lathe {

/// The entry `plain` of `model` as a program whose sub-layers can be left out:
/// without its cache, and with the norms of post-norm sub-layers as stages of
/// their own. With `observers` it also returns what they observe. The module is
/// left as it is.
llvm::Expected<std::shared_ptr<const rt::Program>>
loadForSearch(mlir::ModuleOp model, const CompileOptions &options,
              Observers *observers = nullptr);

struct CalibrateOptions {
  /// Passes that want something measured, `PASS{options},PASS...`.
  std::string passes;
  CompileOptions compile;
  StageRunner::Options run;
  /// File of the profile; what an interrupted run had found is beside it.
  std::string output;
  /// Shows what is being done and the share of it that is done, 0 to 1.
  std::function<void(llvm::StringRef what, double share)> progress;
  std::function<void(const llvm::Twine &)> note;
};

/// A model ready to be searched, and its profile so far.
struct PreparedCalibration {
  std::unique_ptr<rt::ThreadPool> pool;
  std::unique_ptr<StageRunner> runner;
  std::vector<std::unique_ptr<CalibrationRequest>> requests;
  Profile profile;
  std::string partial; ///< file of checkpoints

  /// Compiles, runs the original model and measures its stages.
  static llvm::Expected<std::unique_ptr<PreparedCalibration>>
  create(mlir::ModuleOp model, const rt::TensorMap &data,
         const CalibrateOptions &options);

  /// Runs all requests and writes the profile to `options.output`.
  llvm::Error runRequests(mlir::ModuleOp model,
                          const CalibrateOptions &options);
};

/// Runs the model on `data` and writes the profile. After an interruption,
/// whenever it comes, the same call goes on where the last checkpoint was.
llvm::Expected<Profile> calibrate(mlir::ModuleOp model,
                                  const rt::TensorMap &data,
                                  const CalibrateOptions &options);

} // namespace lathe

#endif // LATHE_DRIVER_CALIBRATE_H
