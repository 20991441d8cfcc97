//===- Command.h - what the commands of lathe share -------------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Options and steps that several commands share: which model, which dims,
/// which target, loading and compiling it, and the one error block.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_LATHE_COMMAND_H
#define LATHE_TOOLS_LATHE_COMMAND_H

#include "lathe/Driver/Driver.h"
#include "lathe/Runtime/Session.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/JSON.h"
#include <deque>
#include <functional>

namespace lathe::cli {

/// One subcommand: its name, its help with a working example, and its main.
struct Command {
  const char *name;
  const char *help;
  llvm::Error (*run)();
};

/// Registered by each command's file; main dispatches.
llvm::cl::SubCommand &subCommand(const char *name);

/// \name Options shared by commands
/// @{
struct ModelOptions {
  std::string model;
  std::vector<std::string> dims;   ///< name=value
  std::vector<std::string> shapes; ///< input=AxBxC
  std::string externalDataRoot, pipeline, recipe;
  std::string precision = "f32";
  std::string cpu = "native", target = "cpu";
  unsigned threads = 0;
  bool noCache = false;
  bool json = false;
};
extern ModelOptions options;
/// @}

/// Dims of `--dim` and what `--shape` says, checked against `entry`.
llvm::Expected<rt::DimValues> dimValues(const rt::Entry &entry);

/// `--dim` alone, for commands that do not run anything.
llvm::Expected<rt::DimValues> namedDims();

/// A model at hand: a module, or a compiled folder (then `module` is null).
struct Model {
  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::string folder;
};
llvm::Expected<Model> loadModel();

/// The one level of `--mcpu`, for code that runs here: an error if this machine
/// does not run it.
llvm::Expected<CpuTarget> runnableTarget();

/// What the options say of compiling for `targets`.
CompileOptions compileOptions(std::vector<CpuTarget> targets);

/// A program ready to run, and what making it took.
struct LoadedProgram {
  std::shared_ptr<const rt::Program> program;
  double compileSeconds = 0, loadSeconds = 0;
  Model model;
};

/// Compiles the entries (those that the model has, when empty) or loads the
/// compiled folder.
llvm::Expected<LoadedProgram> loadProgram(std::vector<std::string> entries);

/// Compiles the entries of a module at hand.
llvm::Expected<LoadedProgram> compileProgram(Model model,
                                             std::vector<std::string> entries);

/// Turns a failure of the runtime into an error.
llvm::Error toError(rt::Status status);
template <typename T>
llvm::Expected<T> toExpected(rt::Result<T> result) {
  if (result.failed())
    return llvm::createStringError(result.message());
  return std::move(*result);
}

/// Prints `object` to stdout, indented.
void printJson(llvm::json::Object object);

/// A note on stderr.
void note(const llvm::Twine &text);

/// The mains of the commands.
llvm::Error runInspect();
llvm::Error runRun();
llvm::Error runCompare();
llvm::Error runEval();
llvm::Error runGenerate();
llvm::Error runBench();
llvm::Error runCompile();
llvm::Error runCompress();
llvm::Error runCalibrate();
llvm::Error runProfile();
llvm::Error runReport();
llvm::Error runDoctor();

} // namespace lathe::cli

#endif // LATHE_TOOLS_LATHE_COMMAND_H
