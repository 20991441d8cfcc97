//===- SetLevel.cpp - notes the level of a module -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Raise/Passes.h"
#include "lathe/Raise/Pipelines.h"

namespace lathe {
#define GEN_PASS_DEF_SETLEVEL
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
struct SetLevel : lathe::impl::SetLevelBase<SetLevel> {
  using SetLevelBase::SetLevelBase;

  void runOnOperation() override {
    if (!parseModelLevel(level)) {
      getOperation().emitError() << "'" << level << "' is no level of a model";
      return signalPassFailure();
    }
    getOperation()->setAttr(LatheDialect::kLevelAttr,
                            StringAttr::get(&getContext(), level));
  }
};
} // namespace
