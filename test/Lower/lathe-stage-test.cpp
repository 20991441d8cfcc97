//===- lathe-stage-test.cpp - a stage to an object file -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// lathe-stage-test IN.mlir OUT.o [TARGET]: compiles the stage in IN.mlir and
// prints the layout of each part.
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/CompileStage.h"
#include "lathe/Lower/StagePipeline.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace lathe;

int main(int argc, char **argv) {
  if (argc < 3 || argc > 4) {
    llvm::errs() << "usage: lathe-stage-test IN.mlir OUT.o [TARGET]\n";
    return 1;
  }
  auto target = CpuTarget::parse(argc == 4 ? argv[3] : "native");
  if (!target) {
    llvm::errs() << llvm::toString(target.takeError()) << "\n";
    return 1;
  }
  DialectRegistry registry;
  registerLoweringDialects(registry);
  MLIRContext context(registry);
  context.disableMultithreading();
  llvm::SourceMgr sources;
  SourceMgrDiagnosticHandler handler(sources, &context);
  auto module = parseSourceFile<ModuleOp>(argv[1], sources, &context);
  if (!module)
    return 1;
  FailureOr<CompiledStage> stage = compileStage(*module, *target);
  if (failed(stage))
    return 1;
  std::error_code error;
  llvm::raw_fd_ostream out(argv[2], error);
  if (error) {
    llvm::errs() << argv[2] << ": " << error.message() << "\n";
    return 1;
  }
  out << stage->object->getBuffer();
  const char *names[] = {"panels", "pair-panels", "vector", "rows", "raw"};
  for (PartLayout layout : stage->layouts)
    llvm::outs() << names[static_cast<int>(layout)] << "\n";
  return 0;
}
