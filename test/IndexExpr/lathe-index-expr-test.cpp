//===- lathe-index-expr-test.cpp - test driver --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Reads commands from a file, one a line, and prints one line for each:
//
//   extents [p, ...]       extents of i0, i1, ... from here on
//   real N                 read(N, ...) has real elements
//   print e                the simplified term
//   subst [p, ...] e       e with i0, i1, ... replaced
//   coef K p               "c rest r" with p = c * iK + r
//   bounds p               "lower .. upper"
//   eval dim=N ... [c, ...] e   the value at coordinates c; read(n, [a, ...])
//                          is n + 10 a + 100 b + ...
//
// Every printed term is also parsed again, here and in a new context.
//
//===----------------------------------------------------------------------===//

#include "../utils/CommandDriver.h"
#include "lathe/IndexExpr/Evaluate.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using llvm::Expected;
using llvm::SmallVector;
using llvm::StringRef;

namespace {
class Session {
public:
  void run(StringRef line);

private:
  void runCommand(StringRef command, StringRef rest);
  void runEval(StringRef rest);
  void show(IndexExpr e);
  SmallVector<Poly> parseList(StringRef &rest);
  IndexExpr parse(StringRef text);
  void report(llvm::Error error) {
    llvm::outs() << "error: " << llvm::toString(std::move(error)) << "\n";
    failed = true;
  }

  IndexExprContext context;
  SmallVector<unsigned> realReads;
  SmallVector<Poly> extents;
  bool failed = false;
};
} // namespace

IndexExpr Session::parse(StringRef text) {
  ParseOptions options;
  options.extents = extents;
  Expected<IndexExpr> result = parseIndexExpr(context, text, options);
  if (result)
    return *result;
  report(result.takeError());
  return {};
}

/// Takes "[...]" off the front of `rest`.
SmallVector<Poly> Session::parseList(StringRef &rest) {
  size_t depth = 0, end = 0;
  for (; end != rest.size(); ++end) {
    if (rest[end] == '[')
      ++depth;
    if (rest[end] == ']' && --depth == 0)
      break;
  }
  StringRef text = rest.take_front(end + 1);
  rest = rest.drop_front(std::min(end + 1, rest.size())).trim();
  SmallVector<Poly> result;
  Expected<SmallVector<IndexExpr>> list = parseIndexExprList(context, text);
  if (!list) {
    report(list.takeError());
    return result;
  }
  for (const IndexExpr &e : *list)
    result.push_back(e.poly());
  return result;
}

void Session::show(IndexExpr e) {
  if (failed)
    return;
  std::string text = toString(e);
  llvm::outs() << text << "\n";
  if (!e)
    return;
  if (parse(text) != e)
    llvm::outs() << "error: parsed again it is " << toString(parse(text))
                 << "\n";
  IndexExprContext other;
  for (unsigned id : realReads)
    other.declareReal(id);
  Expected<IndexExpr> again = parseIndexExpr(other, text);
  if (!again)
    return report(again.takeError());
  if (toString(*again) != text)
    llvm::outs() << "error: in a new context it is " << toString(*again)
                 << "\n";
}

void Session::runEval(StringRef rest) {
  llvm::StringMap<int64_t> dims;
  while (!rest.starts_with("[")) {
    auto [binding, tail] = rest.split(' ');
    auto [name, value] = binding.split('=');
    if (value.getAsInteger(10, dims[name]) || tail.empty())
      return report(llvm::createStringError("expected dim=N ... [...] e"));
    rest = tail.ltrim();
  }
  SmallVector<int64_t> coords;
  for (Poly p : parseList(rest))
    coords.push_back(p.getConstantInt().value_or(0));
  IndexExpr e = parse(rest);
  if (failed)
    return;
  auto dimFn = [&](StringRef name) -> std::optional<int64_t> {
    auto it = dims.find(name);
    return it == dims.end() ? std::nullopt : std::optional(it->second);
  };
  auto readFn = [](unsigned id,
                   llvm::ArrayRef<int64_t> position) -> std::optional<Number> {
    int64_t value = id, place = 10;
    for (int64_t index : position) {
      if (index < 0)
        return std::nullopt;
      value += place * index;
      place *= 10;
    }
    return value;
  };
  Evaluator evaluator(dimFn, coords, readFn);
  if (e.isPred()) {
    std::optional<bool> value = evaluator(e.pred());
    llvm::outs() << (value ? *value ? "true" : "false" : "no value") << "\n";
    return;
  }
  std::optional<Number> value = evaluator(e.poly());
  llvm::outs() << (value ? toString(context.constant(*value)) : "no value")
               << "\n";
}

void Session::runCommand(StringRef command, StringRef rest) {
  if (command == "extents") {
    extents = parseList(rest);
    return;
  }
  if (command == "real") {
    unsigned id;
    if (rest.getAsInteger(10, id))
      return report(llvm::createStringError("expected a number"));
    realReads.push_back(id);
    return context.declareReal(id);
  }
  if (command == "print")
    return show(parse(rest));
  if (command == "subst") {
    SmallVector<Poly> coords = parseList(rest);
    return show(context.substitute(parse(rest), coords, extents));
  }
  if (command == "coef") {
    auto [number, text] = rest.split(' ');
    unsigned k = 0;
    number.getAsInteger(10, k);
    Poly p = parse(text).poly(), remainder;
    Poly coef = p ? p.coefficientOf(k, &remainder) : Poly();
    llvm::outs() << toString(coef) << " rest " << toString(remainder) << "\n";
    return;
  }
  if (command == "bounds") {
    Poly p = parse(rest).poly();
    llvm::outs() << toString(context.lowerBound(p, extents)) << " .. "
                 << toString(context.upperBound(p, extents)) << "\n";
    return;
  }
  if (command == "eval")
    return runEval(rest);
  report(llvm::createStringError("unknown command '" + command + "'"));
}

void Session::run(StringRef line) {
  failed = false;
  auto [command, rest] = line.split(' ');
  runCommand(command, rest.trim());
}

int main(int argc, char **argv) {
  Session session;
  return runCommands(argc, argv, "test driver of IndexExpr\n", session);
}
