//===- Forms.cpp - checks of index expressions in operations --------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Forms.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/Sequence.h"

using namespace mlir;
using namespace lathe;

/// Coordinates of attention and rotary operands: batch, head, row, column.
static constexpr unsigned kMapCoords = 4;

/// The first coordinate at or past `coords` that `expr` uses.
static std::optional<unsigned> strayCoord(IndexExpr expr, unsigned coords) {
  std::optional<unsigned> stray;
  walkAtoms(expr, [&](Atom atom) {
    if (atom.kind() == AtomKind::Coord && atom.index() >= coords && !stray)
      stray = atom.index();
  });
  return stray;
}

/// A context whose value n has the element kind of `reads[n]`.
static void declareReads(IndexExprContext &context, ValueRange reads) {
  for (auto [n, value] : llvm::enumerate(reads))
    if (isa<FloatType>(cast<ShapedType>(value.getType()).getElementType()))
      context.declareReal(n);
}

LogicalResult lathe::verifyForm(Operation *op, StringRef name, FormAttr form,
                                bool predicate, unsigned coords,
                                ValueRange reads) {
  IndexExprContext context;
  declareReads(context, reads);
  auto ids = llvm::to_vector(llvm::seq<unsigned>(0, reads.size()));
  ParseOptions options;
  options.readIds = ids;
  llvm::Expected<IndexExpr> expr =
      parseIndexExpr(context, form.getText(), options);
  if (!expr)
    return op->emitOpError("'")
           << name << "': " << llvm::toString(expr.takeError());
  if (expr->isPred() != predicate)
    return op->emitOpError("'")
           << name << "' must be a " << (predicate ? "predicate" : "number");
  if (std::optional<unsigned> stray = strayCoord(*expr, coords))
    return op->emitOpError("'") << name << "' uses i" << *stray
                                << "; there are " << coords << " coordinates";

  LogicalResult result = success();
  walkAtoms(*expr, [&](Atom atom) {
    if (failed(result) || atom.kind() != AtomKind::Read)
      return;
    auto type = cast<ShapedType>(reads[atom.index()].getType());
    if (!type.hasRank() ||
        type.getRank() != static_cast<int64_t>(atom.operands().size()))
      result = op->emitOpError("'")
               << name << "' reads value " << atom.index() << " at "
               << atom.operands().size() << " indices; it is " << type;
  });
  return result;
}

LogicalResult lathe::verifyMap(Operation *op, StringRef name, FormAttr map,
                               Value value) {
  auto type = cast<ShapedType>(value.getType());
  IndexExprContext context;
  auto list = parseIndexExprList(context, map.getText());
  if (!list)
    return op->emitOpError("'")
           << name << "': " << llvm::toString(list.takeError());
  if (!type.hasRank() || type.getRank() != static_cast<int64_t>(list->size()))
    return op->emitOpError("'")
           << name << "' must list one index per dim of " << type;
  for (IndexExpr index : *list) {
    if (!index.isPoly() || index.usesReads())
      return op->emitOpError("'")
             << name << "' must list numbers without reads";
    if (std::optional<unsigned> stray = strayCoord(index, kMapCoords))
      return op->emitOpError("'")
             << name << "' uses i" << *stray << "; there are 4 coordinates";
  }
  return success();
}

LogicalResult lathe::verifyExtent(function_ref<InFlightDiagnostic()> emitError,
                                  StringRef text, int64_t extent) {
  IndexExprContext context;
  llvm::Expected<Poly> poly = parsePoly(context, text);
  if (!poly)
    return emitError() << "the extent '" << text
                       << "': " << llvm::toString(poly.takeError());
  if (poly->coordMask() || poly->usesReads())
    return emitError() << "the extent '" << text
                       << "' must be a number over named dims";
  std::optional<int64_t> number = poly->getConstantInt();
  if (number && !ShapedType::isDynamic(extent) && *number != extent)
    return emitError() << "the extent '" << text << "' is " << extent
                       << " in the type";
  return success();
}
