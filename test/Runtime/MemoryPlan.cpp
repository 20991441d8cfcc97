//===- MemoryPlan.cpp - random stage tables share an arena ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs made-up programs whose stages fill what they write, and their scratch,
// with a mark of their own and test that what they read still has the mark of
// its writer: a plan that lets two live tensors overlap cannot pass.
//
//===----------------------------------------------------------------------===//

#include "Check.h"
#include "lathe/Runtime/Session.h"

#include <random>

using namespace lathe::rt;

namespace {
/// Weight part of a stage: what it is to find and to write.
struct alignas(64) Plan {
  unsigned args = 0, outs = 0;
  int64_t widths[16] = {}; ///< of args, then outs: times dims[0] is the size
  uint8_t marks[16] = {};
  int64_t *broken = nullptr; ///< counts marks that were not found
};
} // namespace

// Every stage of the test wants 96 * dims[0] bytes of scratch.
static constexpr int64_t scratchWidth = 96;

static void runStage(lathe_ctx *ctx, const void *const *parts, void *arena,
                     const int64_t *dims) {
  const Plan &plan = *static_cast<const Plan *>(parts[0]);
  auto tensor = [&](unsigned index) {
    return static_cast<uint8_t *>(arena) + dims[1 + index];
  };
  for (unsigned i = 0; i < plan.args; ++i)
    for (int64_t k = 0; k < plan.widths[i] * dims[0]; ++k)
      *plan.broken += tensor(i)[k] != plan.marks[i];
  std::fill_n(tensor(plan.args + plan.outs), scratchWidth * dims[0], 255);
  for (unsigned i = plan.args; i < plan.args + plan.outs; ++i)
    std::fill_n(tensor(i), plan.widths[i] * dims[0], plan.marks[i]);
}

static int64_t runStageScratch(const int64_t *dims) {
  return scratchWidth * dims[0];
}

/// A program of random stages over the dim n.
struct RandomProgram {
  std::vector<std::unique_ptr<Plan>> plans;
  std::shared_ptr<const Program> program;
  int64_t broken = 0, total = 0;
  uint8_t outputMark = 0;

  explicit RandomProgram(unsigned seed) {
    std::mt19937 random(seed);
    auto below = [&](unsigned limit) { return random() % limit; };
    Manifest manifest;
    manifest.abi = LATHE_ABI_VERSION;
    Entry entry;
    entry.name = "plain";
    entry.dims = {"n"};
    auto declare = [&](const std::string &name, int64_t width) {
      OutputDecl decl;
      decl.name = name;
      decl.dtype = DType::UI8;
      decl.shape = {Expr::dim("n"), width};
      return decl;
    };
    std::vector<int64_t> widths;
    std::vector<uint8_t> marks;
    unsigned stages = 2 + below(30);
    for (unsigned i = 0; i < stages; ++i) {
      auto plan = std::make_unique<Plan>();
      plan->broken = &broken;
      Stage stage;
      stage.site = "stage" + std::to_string(i);
      stage.function = "run";
      stage.parts = {i};
      // Mostly recent values, sometimes old ones.
      for (unsigned k = below(4); k > 0 && !widths.empty(); --k) {
        unsigned reach =
            below(4) == 0 ? widths.size() : std::min<size_t>(3, widths.size());
        uint32_t value = widths.size() - 1 - below(reach);
        stage.args.push_back({Ref::Kind::Value, value});
        plan->widths[plan->args] = widths[value];
        plan->marks[plan->args++] = marks[value];
      }
      for (unsigned k = 1 + below(2); k > 0; --k) {
        uint8_t mark = 1 + below(250);
        uint32_t value = widths.size();
        // In place now and then.
        if (!stage.args.empty() && below(4) == 0) {
          value = stage.args[0].index;
          marks[value] = mark;
        } else {
          int64_t width = below(8) == 0 ? 0 : 1 + below(3000);
          widths.push_back(width);
          marks.push_back(mark);
          total += (width * 7 + 63) / 64 * 64;
          entry.values.push_back(declare("v" + std::to_string(value), width));
        }
        stage.outs.push_back({Ref::Kind::Value, value});
        plan->widths[plan->args + plan->outs] = widths[value];
        plan->marks[plan->args + plan->outs++] = mark;
      }
      plans.push_back(std::move(plan));
      manifest.parts.push_back({stage.site, 64 * i, sizeof(Plan), false});
      entry.stages.push_back(std::move(stage));
    }
    // An output that is a copy of an early value and one that a stage writes.
    uint32_t copied = below(widths.size());
    outputMark = marks[copied];
    entry.outputs.push_back(declare("copy", widths[copied]));
    entry.outputs[0].copyOf = Ref{Ref::Kind::Value, copied};
    entry.outputs.push_back(declare("written", 500));
    unsigned writer = below(stages);
    Plan &plan = *plans[writer];
    entry.stages[writer].outs.push_back({Ref::Kind::Output, 1});
    plan.widths[plan.args + plan.outs] = 500;
    plan.marks[plan.args + plan.outs++] = 251;
    ValueDecl input;
    input.name = "x";
    input.shape = {Expr::dim("n")};
    entry.inputs.push_back(input);
    manifest.entries.push_back(std::move(entry));

    std::vector<const void *> parts;
    for (const auto &each : plans)
      parts.push_back(each.get());
    program = take(Program::create(
        std::move(manifest),
        [](const std::string &name) {
          return name == "run" ? reinterpret_cast<void *>(runStage)
                               : reinterpret_cast<void *>(runStageScratch);
        },
        std::move(parts), nullptr));
  }
};

static void check(RandomProgram &made, ThreadPool &pool, bool keepValues) {
  auto session =
      take(Session::create(made.program, "plain", pool, {keepValues}));
  std::vector<float> data(100);
  for (int64_t n : {7, 3, 7, 0, 50}) {
    checkOk(session->bind({{DType::F32, &n, 1, data.data()}}));
    checkOk(session->run());
    CHECK(made.broken == 0);
    for (auto [index, mark] : {std::pair<unsigned, int>(0, made.outputMark),
                               std::pair<unsigned, int>(1, 251)}) {
      TensorView output = session->output(index);
      for (int64_t i = 0; i < output.elements(); ++i)
        CHECK(static_cast<uint8_t *>(output.data)[i] == mark);
    }
  }
}

int main() {
  std::unique_ptr<ThreadPool> pool = take(ThreadPool::create(2));
  for (unsigned seed = 0; seed < 300; ++seed) {
    RandomProgram made(seed);
    check(made, *pool, false);
    check(made, *pool, true);
  }
  return 0;
}
