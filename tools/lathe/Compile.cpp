//===- Compile.cpp - lathe compile ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>

using namespace lathe;
using namespace lathe::cli;

static llvm::cl::opt<std::string>
    folderOption("o", llvm::cl::Required, llvm::cl::value_desc("DIR"),
                 llvm::cl::desc("Folder to write"),
                 llvm::cl::sub(subCommand("compile")));

llvm::Error cli::runCompile() {
  auto start = std::chrono::steady_clock::now();
  auto targets = CpuTarget::parseList(options.cpu);
  if (!targets)
    return targets.takeError();
  auto model = cli::loadModel();
  if (!model)
    return model.takeError();
  if (!model->module)
    return llvm::createStringError(options.model + ": is compiled already");
  CompileOptions compile = compileOptions(std::move(*targets));
  bool showsProgress = llvm::errs().is_displayed() && !options.json;
  if (showsProgress)
    compile.progress = [](unsigned done, unsigned all) {
      llvm::errs() << "\rcompiled " << done << " of " << all << " functions";
    };
  auto compiled = compileModel(*model->module, compile);
  if (showsProgress)
    llvm::errs() << "\n";
  if (!compiled)
    return llvm::createStringError(options.model + ": " +
                                   llvm::toString(compiled.takeError()));
  std::vector<std::string> levels;
  for (const CompiledModel::Library &library : compiled->libraries)
    levels.push_back(library.level);
  unsigned functions = compiled->libraries.front().objects.size(), stages = 0;
  unsigned cached = compiled->cached;
  for (const rt::Entry &entry : compiled->manifest.entries)
    stages += entry.stages.size();
  auto bytes = writeFolder(std::move(*compiled), getPayloads(*model->module),
                           folderOption);
  if (!bytes)
    return bytes.takeError();
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (options.json) {
    printJson(llvm::json::Object{{"compile_s", seconds},
                                 {"bytes", int64_t(*bytes)},
                                 {"stages", stages},
                                 {"functions", functions},
                                 {"cached", cached},
                                 {"levels", llvm::json::Array(levels)}});
    return llvm::Error::success();
  }
  llvm::outs() << llvm::formatv(
      "{0}: {1} stages of {2} distinct functions for {3}, {4:f1} MB, {5:f1} s",
      folderOption, stages, functions, llvm::join(levels, ", "), *bytes / 1e6,
      seconds);
  if (cached > 0)
    llvm::outs() << ", " << cached << " of " << functions * levels.size()
                 << " functions from the cache";
  llvm::outs() << "\n";
  return llvm::Error::success();
}
