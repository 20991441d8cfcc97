//===- CommandDriver.h - main of test drivers that read commands -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_UTILS_COMMANDDRIVER_H
#define LATHE_TEST_UTILS_COMMANDDRIVER_H

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/LineIterator.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

/// Gives each line of the file that the command line names (default: stdin),
/// but comments and blank ones, to `session.run`. The exit code.
template <typename Session>
int runCommands(int argc, char **argv, llvm::StringRef overview,
                Session &session) {
  llvm::cl::opt<std::string> input(
      llvm::cl::Positional, llvm::cl::desc("<commands>"), llvm::cl::init("-"));
  llvm::cl::ParseCommandLineOptions(argc, argv, overview);
  auto buffer = llvm::MemoryBuffer::getFileOrSTDIN(input);
  if (!buffer) {
    llvm::errs() << "error: " << input << ": " << buffer.getError().message()
                 << "\n";
    return 1;
  }
  for (llvm::line_iterator it(**buffer, /*SkipBlanks=*/true, '/');
       !it.is_at_end(); ++it)
    session.run(it->trim());
  return 0;
}

#endif // LATHE_TEST_UTILS_COMMANDDRIVER_H
