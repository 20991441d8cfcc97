//===- FfnSkipRequest.h - what skipping FFNs costs --------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Decodes the calibration data under many rules of FFN-SkipLLM and notes what
/// each costs. Nothing is compiled anew: gates are set on the running session.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_COMPRESS_SKIP_FFNSKIPREQUEST_H
#define LATHE_LIB_COMPRESS_SKIP_FFNSKIPREQUEST_H

#include "lathe/Calibrate/Calibration.h"
#include "lathe/Compress/Skip/SkipPoints.h"
#include "lathe/Dialect/Lathe.h"

namespace lathe {

/// The FFNs of the entry `decode` in program order. Fails without that entry,
/// without FFNs, and on one that cannot be skipped.
llvm::Expected<std::vector<SublayerOp>> skippableFfns(mlir::ModuleOp model);

/// FFNs at the start, or at the end, that have no gate unless it is said.
int64_t defaultUngated(int64_t ffns);

class FfnSkipRequest : public CalibrationRequest {
public:
  struct Options {
    int64_t warmup = 10;
    double ratio = 0;  ///< wanted; 0: a range of them
    SkipFilter filter; ///< rules to try
  };
  explicit FfnSkipRequest(Options options) : options(std::move(options)) {}

  llvm::Error run(CalibrationContext &context) override;

private:
  Options options;
};

} // namespace lathe

#endif // LATHE_LIB_COMPRESS_SKIP_FFNSKIPREQUEST_H
