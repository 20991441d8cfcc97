//===- Calibration.h - what compression passes want measured ----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_CALIBRATION_H
#define LATHE_COMPRESS_CALIBRATION_H

#include "lathe/Calibrate/Calibration.h"

namespace lathe {

/// \name The requests of the passes; see registerCalibration
/// @{
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeFfnSkipRequest(mlir::Pass &pass);
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeFinerCutRequest(mlir::Pass &pass);
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeFuseGptRequest(mlir::Pass &pass);
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeObserveRequest(mlir::Pass &pass);
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeShortGptRequest(mlir::Pass &pass);
/// @}

/// Registers the requests of all compression passes.
void registerCompressCalibration();

} // namespace lathe

#endif // LATHE_COMPRESS_CALIBRATION_H
