//===- lathe.cpp - the driver's command line ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "lathe/InitAllPasses.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/WithColor.h"

using namespace lathe;
using namespace lathe::cli;

namespace {

struct Entry {
  const char *name, *help;
  llvm::Error (*run)();
};

} // namespace

static const Entry commands[] = {
    {"inspect",
     "Inputs, outputs, entries, sub-layers, what was not raised and why, and "
     "all unsupported operations at once.\n"
     "  Example: lathe inspect model.onnx --dim batch=1",
     runInspect},
    {"run",
     "Compiles in memory and runs once.\n"
     "  Example: lathe run model.onnx --inputs in.npz --outputs out.npz",
     runRun},
    {"compare",
     "Differences to a reference, output by output or site by site.\n"
     "  Example: lathe compare model.onnx --inputs in.npz --reference ref.npz",
     runCompare},
    {"eval",
     "Accuracy on data: top1 in percent, or bits per token.\n"
     "  Example: lathe eval model.onnx --data eval.npz --limit 64",
     runEval},
    {"generate",
     "Greedy decoding with the KV cache.\n"
     "  Example: lathe generate model.onnx --tokens 100,101,102 -n 64",
     runGenerate},
    {"bench",
     "Latency, memory and distance to the machine's peak.\n"
     "  Example: lathe bench model.onnx --dim batch=1,seq=128 --threads 1",
     runBench},
    {"calibrate",
     "Runs the model on data and writes what passes decide by. Goes on where "
     "an interrupted run of the same request stopped.\n"
     "  Example: lathe calibrate model.onnx --data calib.npz --limit 10 --seq "
     "256 --for 'lathe-finercut{cut=6}' -o model.profile",
     runCalibrate},
    {"profile",
     "Prints a profile.\n"
     "  Example: lathe profile model.profile",
     runProfile},
    {"compile",
     "Writes model.so, model.weights, model.h and model.json; with several "
     "levels in --mcpu, model.so is the best one's code and model.LEVEL.so "
     "that of each other.\n"
     "  Example: lathe compile model.onnx -o model/ --mcpu all",
     runCompile},
    {"compress",
     "Searches for the best model under a budget.\n"
     "  Example: lathe compress model.onnx --data calib.npz --limit 10 --seq "
     "256 --budget size=0.7 -o out/",
     runCompress},
    {"report",
     "What was done to a model, site by site, beside its source.\n"
     "  Example: lathe report cut.mlir --dim batch=1,seq=128 -o report.html",
     runReport},
    {"doctor",
     "What is installed, CPU levels, measured peaks, and what is missing.\n"
     "  Example: lathe doctor",
     runDoctor},
};

/// All subcommands, made before the options that refer to them.
llvm::cl::SubCommand &cli::subCommand(const char *name) {
  static std::deque<llvm::cl::SubCommand> made;
  static std::map<std::string, llvm::cl::SubCommand *> byName;
  auto &slot = byName[name];
  if (!slot) {
    const char *help = "";
    for (const Entry &command : commands)
      if (!strcmp(command.name, name))
        help = command.help;
    slot = &made.emplace_back(name, help);
  }
  return *slot;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  registerAllPasses();
  for (const Entry &command : commands)
    subCommand(command.name);
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &out) {
    out << "Lathe " LATHE_VERSION ", LLVM " LLVM_VERSION_STRING
           ", ONNX opsets 1 to 28\n";
  });
  llvm::cl::ParseCommandLineOptions(
      argc, argv,
      "Lathe: trained transformers to fast machine code\n\n"
      "  lathe COMMAND MODEL [options]; lathe COMMAND --help for each command\n"
      "  MODEL is an .onnx, .mlir or .mlirbc file, or a compiled folder\n");
  for (const Entry &command : commands) {
    if (!subCommand(command.name))
      continue;
    if (llvm::Error error = command.run()) {
      llvm::errs() << "error: " << llvm::toString(std::move(error)) << "\n";
      return 1;
    }
    return 0;
  }
  llvm::cl::PrintHelpMessage();
  return 1;
}
