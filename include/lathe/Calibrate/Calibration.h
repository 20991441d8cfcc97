//===- Calibration.h - what passes want measured ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A pass that decides by data declares what it wants measured; `lathe
/// calibrate` runs the requests of all passes on one prepared model.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_CALIBRATION_H
#define LATHE_CALIBRATE_CALIBRATION_H

#include "lathe/Calibrate/Observers.h"
#include "lathe/Calibrate/Profile.h"
#include "lathe/Calibrate/StageRunner.h"
#include "mlir/Pass/Pass.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace lathe {

/// What a request works on.
struct CalibrationContext {
  /// Prepared, with nothing removed.
  StageRunner &runner;
  /// The entry `plain` of this is what runs, but for its cache.
  mlir::ModuleOp model;
  /// Compiles further entries of the model, with nothing taken out of them.
  std::function<llvm::Expected<std::shared_ptr<const rt::Program>>(
      std::vector<std::string> entries)>
      compile;
  /// Where results go; holds those of an interrupted run of the same request.
  Profile &profile;
  /// Writes the profile as it is, so that an interrupted run goes on from here.
  std::function<llvm::Error()> checkpoint;
  /// Shows what is being done and the share of it that is done, 0 to 1.
  std::function<void(llvm::StringRef what, double share)> progress;
};

/// What one pass wants measured.
class CalibrationRequest {
public:
  virtual ~CalibrationRequest() = default;
  /// Declares the statistics that it wants to find in the profile. One run
  /// measures those of all requests before the first of them runs.
  virtual llvm::Error declare(mlir::ModuleOp model, Observers &observers) {
    return llvm::Error::success();
  }
  /// Searches, and writes what it found to the profile.
  virtual llvm::Error run(CalibrationContext &context) {
    return llvm::Error::success();
  }
};

/// Makes the request of a pass from its options. Fails on options that are
/// wrong.
using MakeRequest =
    std::function<llvm::Expected<std::unique_ptr<CalibrationRequest>>(
        mlir::Pass &)>;

/// Says what the pass with this argument wants measured.
void registerCalibration(llvm::StringRef passArgument, MakeRequest make);

/// The request of each pass of `pipeline` (`PASS{options},PASS...`), with the
/// arguments of the passes in `names`. Fails on text that is no pipeline and
/// on passes that want nothing measured.
llvm::Expected<std::vector<std::unique_ptr<CalibrationRequest>>>
parseCalibration(llvm::StringRef pipeline, mlir::MLIRContext *context,
                 std::vector<std::string> &names);

} // namespace lathe

#endif // LATHE_CALIBRATE_CALIBRATION_H
