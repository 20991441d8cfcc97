//===- Parser.cpp - parser of index expressions -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuncNames.h"
#include "lathe/IndexExpr/Text.h"
#include <cmath>
#include <cstdlib>

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::Expected;
using llvm::SmallVector;
using llvm::StringRef;
using llvm::Twine;

namespace {
/// Recursive descent. An expression of either kind is parsed first and its kind
/// checked where it is used, so that '(' needs no look-ahead. After the first
/// error every function returns at once.
class Parser {
public:
  Parser(IndexExprContext &context, StringRef text, const ParseOptions &options)
      : context(context), text(text), options(options) {}

  IndexExpr parseWhole();
  SmallVector<IndexExpr> parseWholeList();
  bool failed() const { return !message.empty(); }
  llvm::Error takeError() const {
    return llvm::createStringError("column " + Twine(errorColumn + 1) + ": " +
                                   message);
  }
  void fail(const Twine &what);

private:
  /// Deeper nesting cannot be a term within the size limit.
  static constexpr unsigned kMaxDepth = 512;

  IndexExpr parseAny();
  IndexExpr parseJunction();
  IndexExpr parseRelation();
  IndexExpr parseSum();
  IndexExpr parseProduct();
  IndexExpr parseFactor();
  IndexExpr parseWord(StringRef word);
  Poly parseCall(StringRef word);
  Poly parseReadCall();
  Poly parseSumCall();
  Poly parseExtremum(bool isMin);
  Poly parseNumber();
  Poly parseQuoted();
  Poly parsePolyArgument();
  Pred parsePredArgument();
  Poly asPoly(IndexExpr e);
  Pred asPred(IndexExpr e);
  unsigned parseUnsigned();

  void skipSpace();
  bool consume(StringRef token);
  bool consumeWord(StringRef word);
  void expect(StringRef token);
  StringRef peekWord();

  IndexExprContext &context;
  StringRef text;
  const ParseOptions &options;
  size_t position = 0;
  unsigned depth = 0;
  std::string message;
  size_t errorColumn = 0;
};
} // namespace

void Parser::fail(const Twine &what) {
  if (failed())
    return;
  message = what.str();
  errorColumn = position;
}

void Parser::skipSpace() {
  while (position < text.size() && llvm::isSpace(text[position]))
    ++position;
}

bool Parser::consume(StringRef token) {
  skipSpace();
  if (!text.substr(position).starts_with(token))
    return false;
  position += token.size();
  return true;
}

StringRef Parser::peekWord() {
  skipSpace();
  if (position == text.size() || !isWordStart(text[position]))
    return "";
  return text.substr(position).take_while(isWordChar);
}

bool Parser::consumeWord(StringRef word) {
  if (peekWord() != word)
    return false;
  position += word.size();
  return true;
}

void Parser::expect(StringRef token) {
  if (!failed() && !consume(token))
    fail("expected '" + token + "'");
}

Poly Parser::asPoly(IndexExpr e) {
  if (!failed() && !e)
    fail("the term is too large or has no value");
  if (!failed() && !e.isPoly())
    fail("expected a number, not a condition");
  return e.poly();
}

Pred Parser::asPred(IndexExpr e) {
  if (!failed() && !e)
    fail("the term is too large or has no value");
  if (!failed() && !e.isPred())
    fail("expected a condition");
  return e.pred();
}

Poly Parser::parsePolyArgument() { return asPoly(parseAny()); }
Pred Parser::parsePredArgument() { return asPred(parseAny()); }

IndexExpr Parser::parseWhole() {
  IndexExpr result = parseAny();
  skipSpace();
  if (!failed() && position != text.size())
    fail("expected the end of the text");
  if (!failed() && !result)
    fail("the term is too large");
  return result;
}

SmallVector<IndexExpr> Parser::parseWholeList() {
  SmallVector<IndexExpr> list;
  expect("[");
  if (!failed() && !consume("]")) {
    do
      list.push_back(parseAny());
    while (!failed() && consume(","));
    expect("]");
  }
  skipSpace();
  if (!failed() && position != text.size())
    fail("expected the end of the text");
  return list;
}

IndexExpr Parser::parseAny() {
  if (failed())
    return {};
  if (++depth > kMaxDepth)
    fail("nested too deeply");
  IndexExpr result = parseJunction();
  --depth;
  if (!failed() && !result)
    fail("the term is too large or has no value");
  return result;
}

IndexExpr Parser::parseJunction() {
  IndexExpr first = parseRelation();
  for (StringRef word : {"and", "or"}) {
    if (failed() || peekWord() != word)
      continue;
    SmallVector<Pred, 4> operands = {asPred(first)};
    while (!failed() && consumeWord(word))
      operands.push_back(asPred(parseRelation()));
    if (failed())
      return {};
    if (StringRef next = peekWord(); next == "and" || next == "or")
      fail("'and' and 'or' need parentheses between them");
    return word == "and" ? context.conj(operands) : context.disj(operands);
  }
  return first;
}

IndexExpr Parser::parseRelation() {
  IndexExpr left = parseSum();
  if (failed())
    return {};
  for (StringRef op : {"<=", ">=", "==", "!=", "<", ">"}) {
    if (!consume(op))
      continue;
    Poly p = asPoly(left);
    Poly q = asPoly(parseSum());
    if (failed())
      return {};
    Extents extents = options.extents;
    if (op == "<=")
      return context.le(p, q, extents);
    if (op == ">=")
      return context.le(q, p, extents);
    if (op == "<")
      return context.lt(p, q, extents);
    if (op == ">")
      return context.lt(q, p, extents);
    Pred equal = context.equal(p, q, extents);
    return op == "==" ? equal : context.negate(equal, extents);
  }
  return left;
}

IndexExpr Parser::parseSum() {
  bool negative = consume("-");
  IndexExpr first = parseProduct();
  if (failed() || (first.isPred() && !negative))
    return first;
  Poly sum = asPoly(first);
  if (negative)
    sum = context.neg(sum);
  while (!failed()) {
    bool minus = false;
    if (consume("-"))
      minus = true;
    else if (!consume("+"))
      break;
    Poly term = asPoly(parseProduct());
    sum = minus ? context.sub(sum, term) : context.add(sum, term);
  }
  return sum;
}

IndexExpr Parser::parseProduct() {
  IndexExpr first = parseFactor();
  if (failed() || first.isPred())
    return first;
  Poly product = first.poly();
  while (!failed() && consume("*"))
    product = context.mul(product, asPoly(parseFactor()));
  return product;
}

IndexExpr Parser::parseFactor() {
  if (failed())
    return {};
  if (consume("(")) {
    IndexExpr inner = parseAny();
    expect(")");
    return inner;
  }
  if (consume("'"))
    return parseQuoted();
  if (StringRef word = peekWord(); !word.empty()) {
    position += word.size();
    return parseWord(word);
  }
  return parseNumber();
}

Poly Parser::parseQuoted() {
  std::string name;
  while (position < text.size() && text[position] != '\'') {
    if (text[position] == '\\')
      ++position;
    if (position < text.size())
      name += text[position++];
  }
  if (position == text.size()) {
    fail("expected a closing \"'\"");
    return {};
  }
  ++position;
  return context.symbol(name);
}

Poly Parser::parseNumber() {
  skipSpace();
  StringRef rest = text.substr(position);
  size_t length = 0;
  auto digits = [&] {
    size_t start = length;
    while (length < rest.size() && llvm::isDigit(rest[length]))
      ++length;
    return length != start;
  };
  bool hasDigits = digits(), isReal = false;
  if (length < rest.size() && rest[length] == '.') {
    ++length;
    isReal = true;
    hasDigits |= digits();
  }
  if (!hasDigits) {
    fail("expected a term");
    return {};
  }
  if (length < rest.size() && (rest[length] == 'e' || rest[length] == 'E')) {
    ++length;
    if (length < rest.size() && (rest[length] == '-' || rest[length] == '+'))
      ++length;
    isReal = true;
    if (!digits()) {
      fail("malformed number");
      return {};
    }
  }
  std::string token = rest.take_front(length).str();
  position += length;
  if (isReal)
    return context.constant(std::strtod(token.c_str(), nullptr));
  int64_t value;
  if (StringRef(token).getAsInteger(10, value)) {
    fail("integer out of range");
    return {};
  }
  return context.constant(value);
}

unsigned Parser::parseUnsigned() {
  skipSpace();
  StringRef digits = text.substr(position).take_while(llvm::isDigit);
  unsigned value = 0;
  if (digits.empty() || digits.getAsInteger(10, value)) {
    fail("expected a small number");
    return 0;
  }
  position += digits.size();
  return value;
}

IndexExpr Parser::parseWord(StringRef word) {
  if (word == "true")
    return context.getTrue();
  if (word == "false")
    return context.getFalse();
  if (word == "inf")
    return context.constant(HUGE_VAL);
  if (word == "nan")
    return context.constant(std::nan(""));
  if (isNumbered(word, 'i') || isNumbered(word, 't')) {
    unsigned index;
    if (word.drop_front().getAsInteger(10, index)) {
      fail("coordinate out of range");
      return {};
    }
    return word[0] == 'i' ? context.coord(index) : context.boundVar(index);
  }
  if (!isReserved(word)) {
    if (consume("("))
      fail("'" + word + "' is not a function");
    return context.symbol(word);
  }

  expect("(");
  IndexExpr result;
  if (word == "not")
    result = context.negate(parsePredArgument(), options.extents);
  else
    result = parseCall(word);
  expect(")");
  if (!failed() && !result)
    fail("the term is too large or has no value");
  return result;
}

/// The arguments of `word`, up to the closing parenthesis.
Poly Parser::parseCall(StringRef word) {
  if (word == "read")
    return parseReadCall();
  if (word == "sum")
    return parseSumCall();
  if (word == "min" || word == "max")
    return parseExtremum(word == "min");
  if (word == "abs")
    return context.abs(parsePolyArgument(), options.extents);
  if (word == "sel") {
    Pred cond = parsePredArgument();
    expect(",");
    Poly a = parsePolyArgument();
    expect(",");
    Poly b = parsePolyArgument();
    return context.select(cond, a, b, options.extents);
  }
  if (word == "fdiv" || word == "mod") {
    Poly p = parsePolyArgument();
    expect(",");
    Poly q = parsePolyArgument();
    return word == "fdiv" ? context.fdiv(p, q, options.extents)
                          : context.mod(p, q, options.extents);
  }
  for (const FuncInfo &info : kFuncs) {
    if (word != info.name)
      continue;
    SmallVector<Poly, 2> operands;
    for (unsigned k = 0; k != info.arity; ++k) {
      if (k)
        expect(",");
      operands.push_back(parsePolyArgument());
    }
    return context.fn(info.func, operands);
  }
  // 'and' and 'or' in the place of a term.
  fail("expected a term");
  return {};
}

Poly Parser::parseReadCall() {
  unsigned id = parseUnsigned();
  if (!failed() && options.readIds) {
    if (id >= options.readIds->size()) {
      fail("read(" + Twine(id) + ", ...) but there are only " +
           Twine(options.readIds->size()) + " values to read");
      return {};
    }
    id = (*options.readIds)[id];
  }
  SmallVector<Poly, 4> indices;
  expect(",");
  expect("[");
  if (!failed() && !consume("]")) {
    do
      indices.push_back(parsePolyArgument());
    while (!failed() && consume(","));
    expect("]");
  }
  return failed() ? Poly() : context.read(id, indices);
}

Poly Parser::parseSumCall() {
  StringRef variable = peekWord();
  unsigned n = 0;
  if (!isNumbered(variable, 't') || variable.drop_front().getAsInteger(10, n)) {
    fail("expected a variable 't0', 't1', ...");
    return {};
  }
  position += variable.size();
  expect(",");
  Poly upper = parsePolyArgument();
  expect(",");
  Poly body = parsePolyArgument();
  return failed() ? Poly() : context.sum(n, upper, body);
}

Poly Parser::parseExtremum(bool isMin) {
  Poly result = parsePolyArgument();
  while (!failed() && consume(",")) {
    Poly operand = parsePolyArgument();
    result = isMin ? context.min(result, operand, options.extents)
                   : context.max(result, operand, options.extents);
  }
  return result;
}

Expected<IndexExpr> lathe::parseIndexExpr(IndexExprContext &context,
                                          StringRef text,
                                          const ParseOptions &options) {
  Parser parser(context, text, options);
  IndexExpr result = parser.parseWhole();
  if (parser.failed())
    return parser.takeError();
  return result;
}

Expected<Poly> lathe::parsePoly(IndexExprContext &context, StringRef text,
                                const ParseOptions &options) {
  Parser parser(context, text, options);
  IndexExpr result = parser.parseWhole();
  if (!parser.failed() && !result.isPoly())
    parser.fail("expected a number, not a condition");
  if (parser.failed())
    return parser.takeError();
  return result.poly();
}

Expected<Pred> lathe::parsePred(IndexExprContext &context, StringRef text,
                                const ParseOptions &options) {
  Parser parser(context, text, options);
  IndexExpr result = parser.parseWhole();
  if (!parser.failed() && !result.isPred())
    parser.fail("expected a condition");
  if (parser.failed())
    return parser.takeError();
  return result.pred();
}

Expected<SmallVector<IndexExpr>>
lathe::parseIndexExprList(IndexExprContext &context, StringRef text,
                          const ParseOptions &options) {
  Parser parser(context, text, options);
  SmallVector<IndexExpr> result = parser.parseWholeList();
  if (parser.failed())
    return parser.takeError();
  return result;
}
