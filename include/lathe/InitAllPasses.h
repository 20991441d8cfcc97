//===- InitAllPasses.h - passes and pipelines of Lathe ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Registers Lathe's passes and pipelines, and for tools that stand alone the
/// upstream ones beside them.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_INITALLPASSES_H
#define LATHE_INITALLPASSES_H

#include "lathe/Codegen/CPU/Passes.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/Passes.h"
#include "lathe/Lower/Passes.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/Pipelines.h"
#include "mlir/InitAllPasses.h"

namespace lathe {

/// Registers the passes and pipelines of Lathe only.
inline void registerPasses() {
  registerLatheDialectPasses();
  registerLatheCodegenCPUPasses();
  registerCpuPipelines();
  registerLatheRaisePasses();
  registerRaisePipelines();
  registerLatheCompressPasses();
  registerCompressCalibration();
  registerLatheLowerPasses();
}

/// Registers the passes of Lathe and all of upstream.
inline void registerAllPasses() {
  mlir::registerAllPasses();
  registerPasses();
}

} // namespace lathe

#endif // LATHE_INITALLPASSES_H
