//===- lathe-plugin.cpp - Lathe in somebody else's mlir-opt ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Implements LathePlugin.so, which brings Lathe's dialect and passes to a tool
/// that stands on the same LLVM major:
///
///   mlir-opt --load-dialect-plugin=LathePlugin.so \
///     --load-pass-plugin=LathePlugin.so --pass-pipeline='builtin.module(...)'
///
/// A bare `--lathe-...` option is unknown there, since options are parsed
/// before the plugin registers its passes.
///
//===----------------------------------------------------------------------===//

#include "lathe/InitAllDialects.h"
#include "lathe/InitAllPasses.h"
#include "mlir/Tools/Plugins/DialectPlugin.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

static constexpr const char *kName = "Lathe";
static constexpr const char *kVersion = LATHE_VERSION;

extern "C" LLVM_ATTRIBUTE_WEAK mlir::DialectPluginLibraryInfo
mlirGetDialectPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, kName, kVersion,
          [](mlir::DialectRegistry *registry) {
            lathe::registerDialects(*registry);
          }};
}

extern "C" LLVM_ATTRIBUTE_WEAK mlir::PassPluginLibraryInfo
mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, kName, kVersion,
          [] { lathe::registerPasses(); }};
}
