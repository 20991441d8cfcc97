//===- Generate.cpp - lathe generate ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Generate.h"
#include "Command.h"
#include "Run.h"
#include "lathe/Driver/MachinePeaks.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;

#define GENERATE cl::sub(subCommand("generate"))
static cl::list<int64_t> tokensOption("tokens", cl::CommaSeparated,
                                      cl::Required, cl::value_desc("1,2,3"),
                                      cl::desc("Prompt"), GENERATE);
static cl::opt<int64_t> countOption("n", cl::init(64), cl::value_desc("N"),
                                    cl::desc("Tokens to generate"), GENERATE);
static cl::opt<int64_t> contextOption("max-context", cl::init(0),
                                      cl::value_desc("N"),
                                      cl::desc("Capacity of the KV cache"),
                                      GENERATE);

llvm::Error cli::runGenerate() {
  auto loaded = loadProgram({"prefill", "decode"});
  if (!loaded)
    return loaded.takeError();
  auto pool = makePool();
  if (!pool)
    return pool.takeError();
  rt::GenerateOptions generate;
  generate.count = countOption;
  generate.maxContext = contextOption;
  bool streams = !options.json;
  bool first = true;
  if (streams)
    generate.onToken = [&](int64_t token) {
      llvm::outs() << (first ? "" : ",") << token;
      llvm::outs().flush();
      first = false;
      return true;
    };
  std::vector<int64_t> prompt(tokensOption.begin(), tokensOption.end());
  auto result =
      toExpected(rt::generate(loaded->program, **pool, prompt, generate));
  if (!result)
    return result.takeError();
  double decode = result->medianDecodeMs();
  double read = measureReadBandwidth((*pool)->threads());
  double percent =
      decode > 0 ? 100 * result->bytesPerToken / (decode * 1e6) / read : 0;
  if (options.json) {
    llvm::json::Array tokens;
    for (int64_t token : result->tokens)
      tokens.push_back(token);
    printJson(
        llvm::json::Object{{"tokens", std::move(tokens)},
                           {"prefill_ms", result->prefillMs},
                           {"decode_ms", decode},
                           {"decode_mean_ms", result->meanDecodeMs()},
                           {"bytes_per_token", int64_t(result->bytesPerToken)},
                           {"bandwidth_percent", percent},
                           {"skip_ratio", result->skips.ratio()}});
    return llvm::Error::success();
  }
  llvm::outs() << "\n";
  llvm::errs() << llvm::formatv(
      "prefill {0:f1} ms, decode {1:f2} ms per token ({2:f1} MB, {3:f0} % of "
      "{4:f1} GB/s)\n",
      result->prefillMs, decode, result->bytesPerToken / 1e6, percent, read);
  if (result->skips.total > 0)
    llvm::errs() << llvm::formatv("{0:f1} % of FFNs skipped\n",
                                  100 * result->skips.ratio());
  return llvm::Error::success();
}
