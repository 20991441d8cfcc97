//===- lathe-mask-form-test.cpp - test driver -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Reads commands from a file, one a line:
//
//   mask [p, ...] e        splits what is added to scores of extents p; i0..i3
//                          are batch, head, row and key
//   keep [p, ...] e        classifies a predicate in the same way
//   branches p             the reads of a tree of selections
//   rope K D x ; r         the layout if r is x with its columns i_K rotated
//
// Values below 100 are arguments of the entry.
//
//===----------------------------------------------------------------------===//

#include "../utils/CommandDriver.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/MaskForm.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using llvm::SmallVector;
using llvm::StringRef;

namespace {
class Session {
public:
  void run(StringRef line);

private:
  IndexExpr parse(StringRef text, Extents extents = {});
  SmallVector<Poly> takeList(StringRef &rest);
  void printConjuncts(Pred keep, llvm::ArrayRef<Poly> extents);
  void runMask(StringRef rest);
  void runKeep(StringRef rest);
  void runBranches(StringRef rest);
  void runRope(StringRef rest);

  IndexExprContext context;
};
} // namespace

IndexExpr Session::parse(StringRef text, Extents extents) {
  ParseOptions options;
  options.extents = extents;
  auto result = parseIndexExpr(context, text, options);
  if (result)
    return *result;
  llvm::outs() << "error: " << llvm::toString(result.takeError()) << "\n";
  return context.zero();
}

/// Takes "[p, ...]" off the front; the texts hold no brackets of their own.
SmallVector<Poly> Session::takeList(StringRef &rest) {
  auto [list, tail] = rest.split("] ");
  rest = tail;
  SmallVector<StringRef> texts;
  list.drop_front().split(texts, ',');
  SmallVector<Poly> polys;
  for (StringRef text : texts)
    polys.push_back(parse(text).poly());
  return polys;
}

void Session::printConjuncts(Pred keep, llvm::ArrayRef<Poly> extents) {
  ScoreCoords coords;
  coords.rows = extents[2];
  coords.keys = extents[3];
  auto isArgument = [](unsigned id) { return id < 100; };
  for (const MaskConjunct &conjunct : classifyMask(keep, coords, isArgument)) {
    llvm::outs() << "  " << toString(conjunct.kind) << ": "
                 << toString(conjunct.pred);
    if (conjunct.offset && conjunct.kind != ConjunctKind::Causal)
      llvm::outs() << ", offset " << toString(conjunct.offset);
    llvm::outs() << "\n";
  }
}

void Session::runMask(StringRef rest) {
  SmallVector<Poly> extents = takeList(rest);
  MaskSplit split = splitMask(parse(rest, extents).poly(), extents);
  llvm::outs() << "bias " << (split.isDense() ? "dense" : toString(split.bias))
               << ", rows "
               << stringifyMaskedRows(maskedRows(split.maskValues, false))
               << " or, guarded, "
               << stringifyMaskedRows(maskedRows(split.maskValues, true))
               << "\n";
  printConjuncts(split.keep, extents);
}

void Session::runKeep(StringRef rest) {
  SmallVector<Poly> extents = takeList(rest);
  llvm::outs() << "keep\n";
  printConjuncts(parse(rest, extents).pred(), extents);
}

void Session::runBranches(StringRef rest) {
  auto branches = readBranches(parse(rest).poly());
  if (!branches) {
    llvm::outs() << "no branches\n";
    return;
  }
  llvm::outs() << "branches\n";
  for (const ReadBranch &branch : *branches)
    llvm::outs() << "  " << toString(context.constant(branch.coef)) << " * "
                 << branch.id << toString(llvm::ArrayRef<Poly>(branch.index))
                 << " if " << toString(branch.cond) << "\n";
}

void Session::runRope(StringRef rest) {
  auto [column, tail] = rest.split(' ');
  auto [extent, forms] = tail.split(' ');
  auto [x, rotated] = forms.split(';');
  unsigned k = 0;
  int64_t d = 0;
  if (column.getAsInteger(10, k) || extent.getAsInteger(10, d)) {
    llvm::outs() << "error: expected two numbers\n";
    return;
  }
  auto permutation =
      signedPermutation(parse(x).poly(), parse(rotated).poly(), k, d);
  std::optional<RopeLayout> layout;
  if (permutation)
    layout = ropeLayout(*permutation);
  llvm::outs() << (layout        ? stringifyRopeLayout(*layout)
                   : permutation ? "another permutation"
                                 : "no permutation")
               << "\n";
}

void Session::run(StringRef line) {
  auto [command, rest] = line.split(' ');
  if (command == "mask")
    return runMask(rest);
  if (command == "keep")
    return runKeep(rest);
  if (command == "branches")
    return runBranches(rest);
  if (command == "rope")
    return runRope(rest);
  llvm::outs() << "error: unknown command '" << command << "'\n";
}

int main(int argc, char **argv) {
  Session session;
  return runCommands(argc, argv, "test driver of MaskForm\n", session);
}
