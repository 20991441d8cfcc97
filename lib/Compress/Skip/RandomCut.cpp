//===- RandomCut.cpp - cuts by chance, to compare methods with ------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CutBudget.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"

namespace lathe {
#define GEN_PASS_DEF_RANDOMCUT
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

/// The next number of SplitMix64 (Steele, Lea, Flood 2014), which every
/// platform makes alike.
static uint64_t next(uint64_t &state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

namespace {
struct RandomCut : lathe::impl::RandomCutBase<RandomCut> {
  using RandomCutBase::RandomCutBase;

  void runOnOperation() override {
    auto fail = [&](const Twine &reason) {
      getOperation().emitError() << getArgument() << ": " << reason;
      signalPassFailure();
    };
    auto amount = CutBudget::parse(cut, ratio, "");
    if (!amount)
      return fail(llvm::toString(amount.takeError()));
    if (amount->kind == CutBudget::Kind::None)
      return fail("needs one of cut=N and ratio=SHARE");
    std::vector<SiteGroup> groups = sublayerGroups(getOperation(), blocks);
    double needed = neededCost(*amount, groups.size());
    if (!includeFirst && !groups.empty())
      groups.erase(groups.begin());
    if (needed > double(groups.size()))
      return fail("only " + Twine(groups.size()) + " can be cut");
    uint64_t state = seed;
    std::vector<std::string> sites;
    for (size_t i = 0; i < size_t(needed); ++i) {
      std::swap(groups[i], groups[i + next(state) % (groups.size() - i)]);
      llvm::append_range(sites, groups[i]);
    }
    if (failed(cutSublayers(getOperation(), sites, getArgument())))
      signalPassFailure();
  }
};
} // namespace
