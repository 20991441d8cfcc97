//===- ErrorCollector.cpp - errors of a scope as text ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/ErrorCollector.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Location.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace lathe;

static std::string whereText(Location location) {
  std::string text;
  llvm::raw_string_ostream out(text);
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      if (isa<NameLoc>(part))
        return whereText(part);
  if (auto name = dyn_cast<NameLoc>(location))
    out << "node '" << name.getName().getValue() << "': ";
  else if (auto file = dyn_cast<FileLineColLoc>(location);
           file && file.getLine() > 0)
    out << file.getFilename().getValue() << ":" << file.getLine() << ":"
        << file.getColumn() << ": ";
  return text;
}

ErrorCollector::ErrorCollector(MLIRContext &context)
    : handler(&context, [this](Diagnostic &diagnostic) {
        std::string line = diagnostic.str();
        // Lowerings name the node themselves, with its operator.
        if (!StringRef(line).starts_with("node "))
          line = whereText(diagnostic.getLocation()) + line;
        if (diagnostic.getSeverity() == DiagnosticSeverity::Warning)
          warnings.push_back(std::move(line));
        else if (diagnostic.getSeverity() == DiagnosticSeverity::Error &&
                 !llvm::is_contained(lines, line))
          lines.push_back(std::move(line));
        return success();
      }) {}

llvm::Error lathe::problemBlock(StringRef prefix,
                                llvm::ArrayRef<std::string> lines) {
  std::string text = prefix.str();
  if (lines.size() == 1)
    return llvm::createStringError(text + lines[0]);
  text += std::to_string(lines.size()) + " problems";
  for (const std::string &line : lines.take_front(20))
    text += "\n  " + line;
  if (lines.size() > 20)
    text += "\n  ...";
  return llvm::createStringError(text);
}

void ErrorCollector::printWarnings(llvm::raw_ostream &out) const {
  for (const std::string &line : warnings)
    out << "warning: " << line << "\n";
}

llvm::Error ErrorCollector::take(StringRef prefix) const {
  if (lines.empty())
    return llvm::createStringError(prefix + "failed without a reason");
  return problemBlock(prefix, lines);
}
