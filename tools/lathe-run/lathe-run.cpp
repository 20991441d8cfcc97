//===- lathe-run.cpp - runs compiled folders ------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Runs what `lathe compile` made, on machines without LLVM: this program links
// the runtime library only.
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Generate.h"
#include "lathe/Runtime/Npz.h"
#include "lathe/Runtime/Runner.h"

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

using namespace lathe::rt;
using Json = nlohmann::ordered_json;

static const char help[] =
    R"(usage: lathe-run DIR [--inputs F] [--outputs G.npz] [options]
       lathe-run DIR --generate --tokens 1,2,3 [-n N] [options]

Runs a folder made by `lathe compile MODEL -o DIR/`.

  --inputs F          .npz with an array per input, or a folder of ONNX test
                      files (input_0.pb, ...)
  --outputs G.npz     where to write an array per output
  --entry NAME        entry to run: plain (default), prefill, decode
  --dim a=1,b=2       dims that the inputs do not decide
  --iters N           run N times after one warm-up, and print times
  --generate          greedy generation from --tokens
  --tokens 1,2,3      the prompt
  -n N                new tokens to generate (64)
  --max-context N     positions of the KV cache
  --threads N         threads (default: all processors)
  --mcpu LEVEL        code to run, of those that the folder has: avx512bf16,
                      avx512, avx2, scalar; native (default) is the best that
                      this machine runs
  --verify-weights    test the whole weights file against its hash
  --json              one JSON object on stdout
  --help              this text

Inputs that may be left out: past* (empty), attention_mask (ones),
position_ids (counted on from past), token_type_ids (zeros); an unset batch
is 1.

Example:
  lathe compile minilm.onnx -o minilm/
  lathe-run minilm/ --inputs sentences.npz --outputs vectors.npz --threads 4
)";

namespace {
struct Arguments {
  std::string dir, inputs, outputs, level;
  RunOptions run;
  std::vector<int64_t> tokens;
  int64_t count = 64, threads = 0;
  bool generate = false, json = false, verifyWeights = false, help = false;
  bool timed = false, haveTokens = false;
};

/// Walks argv; options are `--name value` or `--name=value`.
class ArgumentParser {
public:
  ArgumentParser(int argc, char **argv) : argc(argc), argv(argv) {}
  Status parse(Arguments &arguments);

private:
  Status parseOption(const std::string &name, Arguments &arguments);
  Status checkTogether(const Arguments &arguments) const;

  /// The value of the option in hand.
  Status value(const std::string &name, std::string &result);
  Status number(const std::string &name, int64_t least, int64_t most,
                int64_t &result);

  int argc;
  char **argv;
  int at = 1;
  std::string attached;
  bool hasAttached = false;
};
} // namespace

Status ArgumentParser::value(const std::string &name, std::string &result) {
  if (hasAttached) {
    result = attached;
    hasAttached = false;
    return Status::ok();
  }
  if (at == argc)
    return Status::error("option " + name + " needs a value");
  result = argv[at++];
  return Status::ok();
}

Status ArgumentParser::number(const std::string &name, int64_t least,
                              int64_t most, int64_t &result) {
  std::string text;
  if (Status status = value(name, text); status.failed())
    return status;
  Result<int64_t> parsed = parseInteger(text, least, most, name);
  if (parsed.failed())
    return parsed.takeStatus();
  result = *parsed;
  return Status::ok();
}

Status ArgumentParser::parseOption(const std::string &name,
                                   Arguments &arguments) {
  std::string text;
  if (name == "--inputs")
    return value(name, arguments.inputs);
  if (name == "--outputs")
    return value(name, arguments.outputs);
  if (name == "--entry")
    return value(name, arguments.run.entry);
  if (name == "--mcpu")
    return value(name, arguments.level);
  if (name == "--dim") {
    if (Status status = value(name, text); status.failed())
      return status;
    Result<DimValues> dims = parseDims(text);
    if (dims.failed())
      return dims.takeStatus();
    arguments.run.dims.insert(arguments.run.dims.end(), dims->begin(),
                              dims->end());
    return Status::ok();
  }
  if (name == "--tokens") {
    if (Status status = value(name, text); status.failed())
      return status;
    Result<std::vector<int64_t>> tokens = parseTokens(text);
    if (tokens.failed())
      return tokens.takeStatus();
    arguments.tokens = std::move(*tokens);
    arguments.haveTokens = true;
    return Status::ok();
  }
  constexpr int64_t many = int64_t(1) << 40;
  if (name == "--iters") {
    arguments.timed = true;
    return number(name, 1, many, arguments.run.iterations);
  }
  if (name == "-n")
    return number(name, 0, many, arguments.count);
  if (name == "--max-context")
    return number(name, 1, many, arguments.run.maxContext);
  if (name == "--threads")
    return number(name, 1, ThreadPool::maxThreads, arguments.threads);
  bool *flag = name == "--generate"         ? &arguments.generate
               : name == "--json"           ? &arguments.json
               : name == "--verify-weights" ? &arguments.verifyWeights
               : name == "--help"           ? &arguments.help
                                            : nullptr;
  if (!flag)
    return Status::error("unknown option " + name + "; --help lists them");
  if (hasAttached)
    return Status::error("option " + name + " takes no value");
  *flag = true;
  return Status::ok();
}

Status ArgumentParser::checkTogether(const Arguments &arguments) const {
  if (arguments.help)
    return Status::ok();
  if (arguments.dir.empty())
    return Status::error("no compiled folder is named; --help shows how");
  if (arguments.generate && !arguments.haveTokens)
    return Status::error("--generate needs --tokens");
  if (!arguments.generate && arguments.haveTokens)
    return Status::error("--tokens needs --generate");
  if (arguments.generate &&
      (!arguments.inputs.empty() || !arguments.outputs.empty()))
    return Status::error("--generate takes no --inputs or --outputs");
  return Status::ok();
}

Status ArgumentParser::parse(Arguments &arguments) {
  while (at < argc) {
    std::string argument = argv[at++];
    if (argument.size() < 2 || argument[0] != '-') {
      if (!arguments.dir.empty())
        return Status::error("'" + argument + "' is one folder too many");
      arguments.dir = argument;
      continue;
    }
    size_t sign = argument.find('=');
    hasAttached =
        argument.compare(0, 2, "--") == 0 && sign != std::string::npos;
    if (hasAttached) {
      attached = argument.substr(sign + 1);
      argument.resize(sign);
    }
    if (Status status = parseOption(argument, arguments); status.failed())
      return status;
  }
  return checkTogether(arguments);
}

static void printJson(const Json &json) {
  std::printf(
      "%s\n",
      json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

static void printNotes(const std::vector<std::string> &notes) {
  for (const std::string &note : notes)
    std::fprintf(stderr, "note: %s\n", note.c_str());
}

static void printRun(const Arguments &arguments, const RunOutcome &outcome) {
  double median = percentile(outcome.milliseconds, 50),
         p10 = percentile(outcome.milliseconds, 10),
         p90 = percentile(outcome.milliseconds, 90);
  if (arguments.json) {
    Json outputs = Json::array();
    for (const auto &[name, tensor] : outcome.outputs)
      outputs.push_back({{"name", name},
                         {"dtype", dtypeName(tensor.dtype())},
                         {"shape", tensor.shape()}});
    printJson({{"entry", arguments.run.entry},
               {"outputs", std::move(outputs)},
               {"median_ms", median},
               {"p10_ms", p10},
               {"p90_ms", p90},
               {"iterations", outcome.milliseconds.size()},
               {"arena_mb", outcome.arenaBytes / 1e6}});
    return;
  }
  for (const auto &[name, tensor] : outcome.outputs)
    std::printf("%s: %s %s\n", name.c_str(), dtypeName(tensor.dtype()),
                shapeText(tensor.shape().data(), tensor.rank()).c_str());
  if (arguments.timed)
    std::printf("median %.3f ms, p10 %.3f ms, p90 %.3f ms of %zu runs\n",
                median, p10, p90, outcome.milliseconds.size());
}

static Status runOnce(const Arguments &arguments,
                      std::shared_ptr<const Program> program,
                      ThreadPool &pool) {
  TensorMap inputs;
  if (!arguments.inputs.empty()) {
    Result<TensorMap> read = readTensors(arguments.inputs);
    if (read.failed())
      return read.takeStatus();
    inputs = std::move(*read);
  }
  Result<const Entry *> entry = program->entry(arguments.run.entry);
  if (entry.failed())
    return entry.takeStatus().prefixed(arguments.dir + ": ");
  nameTestInputs(**entry, inputs);
  Result<RunOutcome> outcome =
      runEntry(std::move(program), pool, std::move(inputs), arguments.run);
  if (outcome.failed())
    return outcome.takeStatus().prefixed(arguments.dir + ": ");
  printNotes(outcome->notes);
  if (!arguments.outputs.empty()) {
    std::vector<std::pair<std::string, TensorView>> arrays;
    for (const auto &[name, tensor] : outcome->outputs)
      arrays.emplace_back(name, tensor.view());
    if (Status status = writeNpz(arguments.outputs, arrays); status.failed())
      return status;
  }
  printRun(arguments, *outcome);
  return Status::ok();
}

static Status runGeneration(const Arguments &arguments,
                            std::shared_ptr<const Program> program,
                            ThreadPool &pool) {
  GenerateOptions options;
  options.count = arguments.count;
  options.maxContext = arguments.run.maxContext;
  bool first = true;
  if (!arguments.json)
    options.onToken = [&](int64_t token) {
      std::printf("%s%lld", first ? "" : ",", static_cast<long long>(token));
      std::fflush(stdout);
      first = false;
      return true;
    };
  Result<Generation> result =
      generate(std::move(program), pool, arguments.tokens, options);
  if (!first)
    std::puts("");
  std::fflush(stdout);
  if (result.failed())
    return result.takeStatus().prefixed(arguments.dir + ": ");
  if (arguments.json)
    printJson({{"tokens", result->tokens},
               {"prefill_ms", result->prefillMs},
               {"decode_ms", result->medianDecodeMs()},
               {"bytes_per_token", result->bytesPerToken}});
  else
    std::fprintf(stderr, "prefill %.3f ms, decode %.3f ms per token\n",
                 result->prefillMs, result->medianDecodeMs());
  return Status::ok();
}

static Status run(int argc, char **argv) {
  Arguments arguments;
  if (Status status = ArgumentParser(argc, argv).parse(arguments);
      status.failed())
    return std::move(status).prefixed("lathe-run: ");
  if (arguments.help) {
    std::fputs(help, stdout);
    return Status::ok();
  }
  Program::LoadOptions options;
  options.verifyWeights = arguments.verifyWeights;
  options.level = arguments.level;
  Result<std::shared_ptr<const Program>> program =
      Program::load(arguments.dir, options);
  if (program.failed())
    return program.takeStatus();
  Result<std::unique_ptr<ThreadPool>> pool =
      ThreadPool::create(arguments.threads);
  if (pool.failed())
    return pool.takeStatus();
  return arguments.generate ? runGeneration(arguments, *program, **pool)
                            : runOnce(arguments, *program, **pool);
}

int main(int argc, char **argv) {
  Status status = run(argc, argv);
  if (!status.failed())
    return 0;
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return 1;
}
