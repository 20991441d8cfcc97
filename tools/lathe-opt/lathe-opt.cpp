//===- lathe-opt.cpp - mlir-opt on model files ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/Passes.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/Pipelines.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  lathe::registerLatheCodegenCPUPasses();
  lathe::registerCpuPipelines();
  lathe::registerLatheRaisePasses();
  lathe::registerRaisePipelines();
  registry.insert<lathe::LatheDialect>();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "Lathe optimizer\n", registry));
}
