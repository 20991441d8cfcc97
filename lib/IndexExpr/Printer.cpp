//===- Printer.cpp - printer of index expressions -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuncNames.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// The shortest decimal text that reads back as the same double.
static std::string printReal(double value) {
  if (std::isnan(value))
    return "nan";
  if (std::isinf(value))
    return value < 0 ? "-inf" : "inf";
  char buffer[40];
  for (int digits : {6, 9, 12, 15, 17}) {
    std::snprintf(buffer, sizeof(buffer), "%.*g", digits, value);
    if (std::strtod(buffer, nullptr) == value)
      break;
  }
  std::string text = buffer;
  if (text.find_first_of(".e") == std::string::npos)
    text += ".0";
  return text;
}

static std::string printNumber(Number number) {
  return number.isInteger() ? std::to_string(number.asInteger())
                            : printReal(number.asDouble());
}

static std::string printName(StringRef name) {
  bool plain = !name.empty() && isWordStart(name[0]) &&
               llvm::all_of(name, isWordChar) && !isReserved(name);
  if (plain)
    return name.str();
  std::string text = "'";
  for (char c : name) {
    if (c == '\'' || c == '\\')
      text += '\\';
    text += c;
  }
  return text + "'";
}

namespace {
/// A term with its sign taken off, and the key that orders it.
struct PrintedTerm {
  /// Coordinates before names before the rest before constants.
  unsigned rank;
  /// The atoms, the last first: `seq*i0` stands before `i1`.
  std::string key;
  std::string atoms;
  std::string coef;
  bool negative;

  bool operator<(const PrintedTerm &other) const {
    return std::tie(rank, key) < std::tie(other.rank, other.key);
  }
};

/// Everything is ordered by its text, so that the result does not depend on
/// the ids that a context gave.
class Printer {
public:
  explicit Printer(ReadNumberFn readNumber) : readNumber(readNumber) {}

  std::string print(Poly p);
  std::string print(Pred p);
  std::string print(IndexExpr e) {
    return e.isPoly()   ? print(e.poly())
           : e.isPred() ? print(e.pred())
                        : "<none>";
  }
  template <typename T>
  std::string printList(ArrayRef<T> list) {
    std::string text;
    for (const T &element : list) {
      if (!text.empty())
        text += ", ";
      text += print(element);
    }
    return text;
  }

private:
  std::string print(Atom atom);
  PrintedTerm print(const Term &term);
  std::string printSum(ArrayRef<PrintedTerm> terms);
  SmallVector<PrintedTerm, 8> sortedTerms(Poly p);
  std::string printRelation(Poly p, StringRef forward, StringRef mirrored);

  ReadNumberFn readNumber;
};
} // namespace

static unsigned rankOf(Atom atom) {
  switch (atom.kind()) {
  case AtomKind::Symbol:
    return 0;
  case AtomKind::Coord:
    return 1;
  case AtomKind::BoundVar:
    return 2;
  default:
    return 3;
  }
}

PrintedTerm Printer::print(const Term &term) {
  SmallVector<std::pair<unsigned, std::string>, 4> factors;
  for (Atom atom : term.atoms)
    factors.emplace_back(rankOf(atom), print(atom));
  llvm::sort(factors);

  PrintedTerm printed;
  printed.rank = 3;
  if (!factors.empty())
    printed.rank = factors.back().first == 1   ? 0
                   : factors.back().first == 0 ? 1
                                               : 2;
  for (auto &[rank, text] : factors) {
    if (!printed.atoms.empty())
      printed.atoms += '*';
    printed.atoms += text;
    printed.key = text + "*" + printed.key;
  }
  std::string coef = printNumber(term.coef);
  printed.negative = coef[0] == '-';
  printed.coef = printed.negative ? coef.substr(1) : coef;
  return printed;
}

SmallVector<PrintedTerm, 8> Printer::sortedTerms(Poly p) {
  SmallVector<PrintedTerm, 8> terms;
  for (const Term &term : p.terms())
    terms.push_back(print(term));
  llvm::sort(terms);
  return terms;
}

std::string Printer::printSum(ArrayRef<PrintedTerm> terms) {
  if (terms.empty())
    return "0";
  // A sum starts with a positive term if it has one.
  const PrintedTerm *first = llvm::find_if(
      terms, [](const PrintedTerm &term) { return !term.negative; });
  if (first == terms.end())
    first = terms.begin();
  SmallVector<const PrintedTerm *, 8> ordered = {first};
  for (const PrintedTerm &term : terms)
    if (&term != first)
      ordered.push_back(&term);
  std::string text;
  for (const PrintedTerm *pointer : ordered) {
    const PrintedTerm &term = *pointer;
    if (text.empty())
      text += term.negative ? "-" : "";
    else
      text += term.negative ? " - " : " + ";
    if (term.atoms.empty())
      text += term.coef;
    else
      text += term.coef == "1" ? term.atoms : term.coef + "*" + term.atoms;
  }
  return text;
}

std::string Printer::print(Poly p) {
  if (!p)
    return "<none>";
  return printSum(sortedTerms(p));
}

std::string Printer::print(Atom atom) {
  std::string operands = printList(atom.operands());
  switch (atom.kind()) {
  case AtomKind::Symbol:
    return printName(atom.name());
  case AtomKind::Coord:
    return "i" + std::to_string(atom.index());
  case AtomKind::BoundVar:
    return "t" + std::to_string(atom.index());
  case AtomKind::Read: {
    unsigned id = readNumber ? readNumber(atom.index()) : atom.index();
    return "read(" + std::to_string(id) + ", [" + operands + "])";
  }
  case AtomKind::FloorDiv:
    return "fdiv(" + operands + ")";
  case AtomKind::Mod:
    return "mod(" + operands + ")";
  case AtomKind::Min:
  case AtomKind::Max: {
    SmallVector<std::string, 4> sorted;
    for (Poly operand : atom.operands())
      sorted.push_back(print(operand));
    llvm::sort(sorted);
    return (atom.kind() == AtomKind::Min ? "min(" : "max(") +
           llvm::join(sorted, ", ") + ")";
  }
  case AtomKind::Abs:
    return "abs(" + operands + ")";
  case AtomKind::Select:
    return "sel(" + print(atom.cond()) + ", " + operands + ")";
  case AtomKind::Sum:
    return "sum(t" + std::to_string(atom.index()) + ", " +
           print(atom.operands()[1]) + ", " + print(atom.operands()[0]) + ")";
  case AtomKind::Function:
    for (const FuncInfo &info : kFuncs)
      if (info.func == atom.func())
        return info.name.str() + "(" + operands + ")";
    break;
  }
  llvm_unreachable("all atom kinds are covered");
}

/// `p forward 0` with the negative terms moved to the other side, as in
/// `i3 <= i2 + past - 1`: the number on the right, and on the left the side
/// with a coordinate, with fewer terms, or that sorts last.
std::string Printer::printRelation(Poly p, StringRef forward,
                                   StringRef mirrored) {
  SmallVector<PrintedTerm, 8> positive, negative;
  SmallVector<PrintedTerm, 1> number;
  for (PrintedTerm &term : sortedTerms(p)) {
    if (term.atoms.empty()) {
      number.push_back(term);
      continue;
    }
    bool isNegative = term.negative;
    term.negative = false;
    (isNegative ? negative : positive).push_back(term);
  }
  auto key = [](ArrayRef<PrintedTerm> terms) {
    return std::make_tuple(terms.empty(), !terms.empty() && terms[0].rank != 0,
                           terms.size());
  };
  bool swap = key(negative) < key(positive) ||
              (key(negative) == key(positive) &&
               printSum(negative) > printSum(positive));
  SmallVector<PrintedTerm, 8> &left = swap ? negative : positive;
  SmallVector<PrintedTerm, 8> &right = swap ? positive : negative;
  for (PrintedTerm &term : number) {
    // The number changes sides with the terms that stay positive.
    if (!swap)
      term.negative = !term.negative;
    right.push_back(term);
  }
  StringRef relation = swap ? mirrored : forward;
  return printSum(left) + " " + relation.str() + " " + printSum(right);
}

std::string Printer::print(Pred p) {
  if (!p)
    return "<none>";
  switch (p.kind()) {
  case PredKind::True:
    return "true";
  case PredKind::False:
    return "false";
  case PredKind::NonNeg:
    return printRelation(p.poly(), ">=", "<=");
  case PredKind::Zero:
    return printRelation(p.poly(), "==", "==");
  case PredKind::Not:
    if (p.operands()[0].kind() == PredKind::Zero)
      return printRelation(p.operands()[0].poly(), "!=", "!=");
    return "not(" + print(p.operands()[0]) + ")";
  case PredKind::And:
  case PredKind::Or: {
    SmallVector<std::string, 4> sorted;
    for (Pred operand : p.operands())
      sorted.push_back(print(operand));
    llvm::sort(sorted);
    StringRef word = p.kind() == PredKind::And ? " and " : " or ";
    return "(" + llvm::join(sorted, word) + ")";
  }
  }
  llvm_unreachable("all predicate kinds are covered");
}

std::string lathe::toString(Poly p, ReadNumberFn readNumber) {
  return Printer(readNumber).print(p);
}

std::string lathe::toString(Pred p, ReadNumberFn readNumber) {
  return Printer(readNumber).print(p);
}

std::string lathe::toString(IndexExpr e, ReadNumberFn readNumber) {
  return Printer(readNumber).print(e);
}

std::string lathe::toString(ArrayRef<IndexExpr> list, ReadNumberFn readNumber) {
  return "[" + Printer(readNumber).printList(list) + "]";
}

std::string lathe::toString(ArrayRef<Poly> list, ReadNumberFn readNumber) {
  return "[" + Printer(readNumber).printList(list) + "]";
}
