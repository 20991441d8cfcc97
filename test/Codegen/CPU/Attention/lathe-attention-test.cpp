//===- lathe-attention-test.cpp - kernels that move whole heads -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiles attention, rope, cache, embedding and batched matmul kernels in
// memory and compares them with plain loops in f64, on buffers that end at
// unreadable pages, with one and two threads.
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::test;

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::cl::list<std::string> modes(
      llvm::cl::Positional, llvm::cl::OneOrMore,
      llvm::cl::desc("attention | moves | matmul | bench …"));
  llvm::cl::opt<std::string> level("target", llvm::cl::init("native"),
                                   llvm::cl::desc("CPU level"));
  llvm::cl::opt<int> lanes(
      "lanes", llvm::cl::init(0),
      llvm::cl::desc("emit for wider vectors than the machine has; 16 has the "
                     "shapes of AVX-512"));
  llvm::cl::opt<bool> full("full", llvm::cl::desc("every combination"));
  llvm::cl::opt<std::string> filter(
      "filter", llvm::cl::desc("part of the names of what bench times"));
  llvm::cl::opt<std::string> dump("dump", llvm::cl::desc("file prefix for IR"));
  llvm::cl::ParseCommandLineOptions(argc, argv);
  CompiledKernel::dumpPrefix = dump;

  llvm::Expected<CpuTarget> target = CpuTarget::parse(level);
  if (!target) {
    llvm::errs() << "error: " << llvm::toString(target.takeError()) << "\n";
    return 1;
  }
  if (lanes != 0) {
    target->lanes = lanes;
    target->registers = lanes == 16 ? 32 : 16;
  }
  bool ok = true;
  for (const std::string &mode : modes) {
    if (mode == "attention")
      ok &= testAttention(*target, full);
    else if (mode == "moves")
      ok &= testMoves(*target);
    else if (mode == "matmul")
      ok &= testMatmul(*target);
    else if (mode == "bench")
      benchAttention(*target, filter);
    else {
      llvm::errs() << "error: unknown mode '" << mode << "'\n";
      return 1;
    }
  }
  return ok ? 0 : 1;
}
