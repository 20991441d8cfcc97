//===- lathe-report-test.cpp - test driver of the report sink -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// With a file: prints the rows of its module as JSON lines, or the error.
// Without: prints a module to which two rows were added.
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "lathe/Report/Report.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;

static void printSample(mlir::MLIRContext &context) {
  mlir::OwningOpRef<mlir::ModuleOp> module =
      mlir::ModuleOp::create(mlir::UnknownLoc::get(&context));
  ReportRow cut;
  cut.site = "blocks.5.attn";
  cut.pass = "lathe-finercut";
  cut.action = ReportAction::Removed;
  cut.step = 1;
  cut.error = 0.0625;
  cut.measure = "js";
  cut.msBefore = 0.5;
  cut.msPredicted = 0;
  cut.values["skip_rate"] = 0.25;
  addReportRow(*module, cut);
  ReportRow refused;
  refused.site = "blocks.0.ffn";
  refused.pass = "lathe-finercut";
  refused.action = ReportAction::Refused;
  refused.reason = "the first sub-layer is excluded";
  addReportRow(*module, refused);
  module->print(llvm::outs());
  llvm::outs() << "\n";
}

int main(int argc, char **argv) {
  mlir::MLIRContext context;
  context.loadDialect<LatheDialect>();
  if (argc < 2) {
    printSample(context);
    return 0;
  }
  auto module = mlir::parseSourceFile<mlir::ModuleOp>(argv[1], &context);
  if (!module)
    return 1;
  auto rows = getReportRows(*module);
  if (!rows) {
    llvm::errs() << "error: " << llvm::toString(rows.takeError()) << "\n";
    return 1;
  }
  for (const ReportRow &row : *rows)
    llvm::outs() << llvm::json::Value(toJson(row)) << "\n";
  return 0;
}
