//===- ErrorCollector.h - errors of a scope as text --------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_ERRORCOLLECTOR_H
#define LATHE_DRIVER_ERRORCOLLECTOR_H

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace lathe {

/// Collects the errors that a context emits while it lives, instead of
/// printing them. Each line says where: `node 'name': ` for operations made
/// from ONNX nodes, `file:line:column: ` for text. Warnings are kept for
/// whoever prints them, other diagnostics dropped.
class ErrorCollector {
public:
  explicit ErrorCollector(mlir::MLIRContext &context);

  llvm::ArrayRef<std::string> getLines() const { return lines; }

  /// The warnings, a line each.
  void printWarnings(llvm::raw_ostream &out) const;

  /// One error block: `prefix` and the only line, or their number and at most
  /// 20 of them.
  llvm::Error take(llvm::StringRef prefix) const;

private:
  std::vector<std::string> lines, warnings;
  mlir::ScopedDiagnosticHandler handler;
};

/// One error of `lines`: the only one behind `prefix`, or "N problems" and at
/// most 20 of them, a line each.
llvm::Error problemBlock(llvm::StringRef prefix,
                         llvm::ArrayRef<std::string> lines);

} // namespace lathe

#endif // LATHE_DRIVER_ERRORCOLLECTOR_H
