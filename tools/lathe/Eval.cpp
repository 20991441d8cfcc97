//===- Eval.cpp - lathe eval ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "Run.h"
#include "lathe/Runtime/Evaluate.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;

#define EVAL cl::sub(subCommand("eval"))
static cl::opt<std::string> dataOption("data", cl::Required,
                                       cl::value_desc("D.npz"),
                                       cl::desc("Inputs by name, and y"), EVAL);
static cl::opt<int64_t> limitOption("limit", cl::init(0), cl::value_desc("N"),
                                    cl::desc("Items at most"), EVAL);
static cl::opt<std::string>
    viaOption("via", cl::init("plain"), cl::value_desc("plain|prefill|decode"),
              cl::desc("Entry; decode feeds token by token"), EVAL);
static cl::opt<int64_t> batchOption("batch", cl::init(0), cl::value_desc("N"),
                                    cl::desc("Items at once"), EVAL);
static cl::opt<std::string>
    againstOption("against", cl::value_desc("MODEL2"),
                  cl::desc("Also report how often both have one argmax"), EVAL);

/// Entries that `via` runs.
static std::vector<std::string> entriesOf(rt::Via via) {
  switch (via) {
  case rt::Via::Plain:
    return {"plain"};
  case rt::Via::Prefill:
    return {"prefill", "decode"};
  case rt::Via::Decode:
    return {"prefill", "decode"};
  }
  return {};
}

static llvm::Expected<rt::Evaluation>
evaluateModel(const rt::TensorMap &data, rt::EvaluateOptions evaluate) {
  auto loaded = loadProgram(entriesOf(evaluate.via));
  if (!loaded)
    return loaded.takeError();
  auto pool = makePool();
  if (!pool)
    return pool.takeError();
  bool shown = llvm::errs().is_displayed() && !options.json;
  if (shown)
    evaluate.progress = [](int64_t done, int64_t items) {
      llvm::errs() << "\r" << done << " of " << items << " items";
    };
  auto result =
      toExpected(rt::evaluate(loaded->program, **pool, data, evaluate));
  if (shown)
    llvm::errs() << "\n";
  if (!result)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(result.takeError()));
  for (const std::string &text : result->notes)
    note(text);
  return result;
}

llvm::Error cli::runEval() {
  auto via = toExpected(rt::parseVia(viaOption));
  if (!via)
    return via.takeError();
  auto data = toExpected(rt::readTensors(dataOption));
  if (!data)
    return data.takeError();
  rt::EvaluateOptions evaluate;
  evaluate.via = *via;
  evaluate.batch = batchOption;
  evaluate.limit = limitOption;
  auto result = evaluateModel(*data, evaluate);
  if (!result)
    return result.takeError();
  llvm::json::Object object{{"items", result->items},
                            {"seconds", result->seconds}};
  if (result->tokens)
    object["bits"] = result->score.meanBits();
  else
    object["top1"] = result->score.top1();
  if (result->skips.total > 0)
    object["skip_ratio"] = result->skips.ratio();
  if (!againstOption.empty()) {
    ModelOptions own = options;
    options.model = againstOption;
    options.pipeline.clear();
    auto other = evaluateModel(*data, evaluate);
    options = own;
    if (!other)
      return other.takeError();
    auto percent = toExpected(rt::agreement(result->score, other->score));
    if (!percent)
      return percent.takeError();
    object["agreement"] = *percent;
  }
  if (options.json) {
    printJson(std::move(object));
    return llvm::Error::success();
  }
  if (result->tokens)
    llvm::outs() << llvm::formatv("{0:f4} bits per token",
                                  result->score.meanBits());
  else
    llvm::outs() << llvm::formatv("top1 {0:f2} %", result->score.top1());
  llvm::outs() << llvm::formatv(" on {0} items in {1:f2} s", result->items,
                                result->seconds);
  if (auto ratio = object.getNumber("skip_ratio"))
    llvm::outs() << llvm::formatv(", {0:f1} % of FFNs skipped", 100 * *ratio);
  if (auto percent = object.getNumber("agreement"))
    llvm::outs() << llvm::formatv(", {0:f2} % equal argmax with {1}", *percent,
                                  againstOption);
  llvm::outs() << "\n";
  return llvm::Error::success();
}
