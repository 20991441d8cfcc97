//===- DimNames.cpp - Names of dims as polynomial texts -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DimNames.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/StringExtras.h"

using namespace lathe;
using llvm::StringRef;

/// Longer names are not taken for polynomials.
constexpr size_t kMaxPolynomial = 200;

static bool isWord(StringRef name) {
  return !name.empty() && !llvm::isDigit(name[0]) &&
         llvm::all_of(name,
                      [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

DimNames::DimNames(const OnnxModel &model) {
  for (const OnnxPort &port : model.getInputs())
    for (const std::string &name : port.dimNames) {
      usedNames.insert(name);
      if (isWord(name))
        plainNames.insert(name);
    }
  for (const OnnxPort &port : model.getOutputs())
    usedNames.insert(port.dimNames.begin(), port.dimNames.end());
}

std::string DimNames::describe(int64_t extent, StringRef name) {
  if (extent != kUnknownDim)
    return std::to_string(extent);
  if (name.empty()) {
    std::string fresh;
    do {
      fresh = "d" + std::to_string(nextFresh++);
    } while (!usedNames.insert(fresh).second);
    return fresh;
  }
  Poly named = context.symbol(name);
  if (isWord(name) || name.size() > kMaxPolynomial)
    return toString(named);
  llvm::Expected<Poly> parsed = parsePoly(context, name);
  if (!parsed) {
    llvm::consumeError(parsed.takeError());
    return toString(named);
  }
  Poly poly = *parsed;
  bool isOfDims = poly && poly.isShape() && !poly.isConstant() &&
                  llvm::all_of(collectSymbols(poly), [&](StringRef symbol) {
                    return plainNames.contains(symbol);
                  });
  return toString(isOfDims ? poly : named);
}

std::vector<std::string> DimNames::describeInput(const OnnxPort &port) {
  std::vector<std::string> texts;
  for (auto [extent, name] : llvm::zip(*port.type.dims, port.dimNames))
    texts.push_back(describe(extent, name));
  return texts;
}

std::vector<std::string> DimNames::describeOutput(const OnnxPort &port) {
  std::vector<std::string> texts;
  bool isDeclared =
      port.declaredDims && port.declaredDims->size() == port.type.dims->size();
  for (auto [i, known] : llvm::enumerate(*port.type.dims)) {
    int64_t extent = known;
    if (extent == kUnknownDim && isDeclared)
      extent = (*port.declaredDims)[i];
    texts.push_back(
        describe(extent, isDeclared ? StringRef(port.dimNames[i]) : ""));
  }
  return texts;
}
