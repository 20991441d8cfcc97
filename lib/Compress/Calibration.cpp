//===- Calibration.cpp - what compression passes want measured ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Calibration.h"

void lathe::registerCompressCalibration() {
  registerCalibration("lathe-ffn-skip", makeFfnSkipRequest);
  registerCalibration("lathe-finercut", makeFinerCutRequest);
  registerCalibration("lathe-fuse-gpt", makeFuseGptRequest);
  registerCalibration("lathe-observe", makeObserveRequest);
  registerCalibration("lathe-shortgpt", makeShortGptRequest);
}
