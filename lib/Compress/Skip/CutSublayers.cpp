//===- CutSublayers.cpp - removes sub-layers by site ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Passes.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"

namespace lathe {
#define GEN_PASS_DEF_CUTSUBLAYERS
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
struct CutSublayers : lathe::impl::CutSublayersBase<CutSublayers> {
  using CutSublayersBase::CutSublayersBase;

  void runOnOperation() override {
    if (failed(cutSublayers(getOperation(), sites, getArgument())))
      signalPassFailure();
  }
};
} // namespace
