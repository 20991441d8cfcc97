//===- LatheDialect.cpp - dialect, types and attributes ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Forms.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/IndexExpr/Text.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace lathe;

#include "lathe/Dialect/LatheAttrInterfaces.cpp.inc"
#include "lathe/Dialect/LatheDialect.cpp.inc"
#include "lathe/Dialect/LatheEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "lathe/Dialect/LatheAttrs.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "lathe/Dialect/LatheTypes.cpp.inc"

void LatheDialect::initialize() {
  payloads = std::make_shared<PayloadStore>();
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "lathe/Dialect/LatheOps.cpp.inc"
      >();
}

void LatheDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "lathe/Dialect/LatheTypes.cpp.inc"
      >();
}

void LatheDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "lathe/Dialect/LatheAttrs.cpp.inc"
      >();
}

PayloadStore &lathe::getPayloads(Operation *op) {
  return op->getContext()->getOrLoadDialect<LatheDialect>()->getPayloads();
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

FailureOr<int64_t> lathe::checkedNumElements(ArrayRef<int64_t> shape) {
  int64_t product = 1;
  for (int64_t extent : shape)
    if (extent < 0 || llvm::MulOverflow(product, extent, product))
      return failure();
  return product;
}

FailureOr<int64_t> lathe::payloadBytes(Type type, int64_t elements) {
  if (!type.isIntOrFloat())
    return failure();
  int64_t bits = type.isInteger(1) ? 8 : type.getIntOrFloatBitWidth();
  int64_t total;
  if (elements < 0 || llvm::MulOverflow(elements, bits, total) ||
      llvm::AddOverflow(total, int64_t(7), total))
    return failure();
  return total / 8;
}

//===----------------------------------------------------------------------===//
// Attributes of entries and modules
//===----------------------------------------------------------------------===//

/// `lathe.checks` has rows of left side, relation, right side and origin.
static LogicalResult verifyChecks(Operation *op, Attribute value) {
  auto list = dyn_cast<ArrayAttr>(value);
  auto isRow = [](Attribute attr) {
    auto row = dyn_cast<ArrayAttr>(attr);
    return row && row.size() == 4 &&
           llvm::all_of(row, llvm::IsaPred<StringAttr>);
  };
  if (!list || !llvm::all_of(list, isRow))
    return op->emitOpError("'lathe.checks' must be a list of "
                           "[left, relation, right, where]");
  for (auto row : list.getAsRange<ArrayAttr>()) {
    auto text = [&](unsigned k) { return cast<StringAttr>(row[k]).getValue(); };
    StringRef relation = text(1);
    if (relation != "==" && relation != "<=" && relation != "divides")
      return op->emitOpError("'lathe.checks' has the unknown relation '")
             << relation << "'";
    for (unsigned side : {0, 2})
      if (failed(verifyExtent([&] { return op->emitOpError(); }, text(side),
                              ShapedType::kDynamic)))
        return failure();
  }
  return success();
}

LogicalResult LatheDialect::verifyOperationAttribute(Operation *op,
                                                     NamedAttribute attr) {
  StringRef name = attr.getName();
  if (name == kSourceAttr || name == kLevelAttr) {
    if (!isa<StringAttr>(attr.getValue()))
      return op->emitOpError() << "'" << name << "' must be a string";
  } else if (name == kOpsetAttr) {
    if (!isa<IntegerAttr>(attr.getValue()))
      return op->emitOpError() << "'" << name << "' must be an integer";
  } else if (name == kSourceHashAttr) {
    if (!isa<StringAttr>(attr.getValue()))
      return op->emitOpError() << "'" << name << "' must be a string";
  } else if (name == kPassesAttr) {
    auto list = dyn_cast<ArrayAttr>(attr.getValue());
    if (!list || !llvm::all_of(list, llvm::IsaPred<StringAttr>))
      return op->emitOpError() << "'" << name << "' must be a list of strings";
  } else if (name == kRemovedAttr) {
    auto list = dyn_cast<ArrayAttr>(attr.getValue());
    if (!list || !llvm::all_of(list, llvm::IsaPred<SiteAttr>))
      return op->emitOpError() << "'" << name << "' must be a list of sites";
  } else if (name == kChecksAttr) {
    return verifyChecks(op, attr.getValue());
  }
  return success();
}

/// `lathe.dims` has one text per dim of `type`; a static dim is its number.
static LogicalResult verifyDims(Operation *op, Type type, Attribute value) {
  auto dims = dyn_cast<ArrayAttr>(value);
  if (!dims || !llvm::all_of(dims, llvm::IsaPred<StringAttr>))
    return op->emitOpError("'lathe.dims' must be a list of strings");
  auto shaped = dyn_cast<ShapedType>(type);
  if (!shaped || !shaped.hasRank() ||
      shaped.getRank() != static_cast<int64_t>(dims.size()))
    return op->emitOpError("'lathe.dims' must have one entry per dim of ")
           << type;
  for (auto [dim, extent] : llvm::zip(dims, shaped.getShape()))
    if (failed(verifyExtent([&] { return op->emitOpError(); },
                            cast<StringAttr>(dim).getValue(), extent)))
      return failure();
  return success();
}

LogicalResult LatheDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                     unsigned argIndex,
                                                     NamedAttribute attr) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (function && attr.getName() == kDimsAttr)
    return verifyDims(op, function.getArgumentTypes()[argIndex],
                      attr.getValue());
  return success();
}

LogicalResult LatheDialect::verifyRegionResultAttribute(Operation *op, unsigned,
                                                        unsigned resultIndex,
                                                        NamedAttribute attr) {
  auto function = dyn_cast<FunctionOpInterface>(op);
  if (function && attr.getName() == kDimsAttr)
    return verifyDims(op, function.getResultTypes()[resultIndex],
                      attr.getValue());
  return success();
}

//===----------------------------------------------------------------------===//
// PayloadAttr
//===----------------------------------------------------------------------===//

LogicalResult PayloadAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  StringRef file, int64_t offset, int64_t bytes,
                                  StringRef hash) {
  if (file.empty())
    return emitError() << "a blob needs the path of its file";
  if (offset < 0 || bytes < 0)
    return emitError() << "offset and size of a blob must not be negative";
  if (hash.size() != 16 || !llvm::all_of(hash, llvm::isHexDigit))
    return emitError() << "the hash of a blob is 16 hexadecimal digits";
  return success();
}

//===----------------------------------------------------------------------===//
// SiteAttr
//===----------------------------------------------------------------------===//

LogicalResult SiteAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               StringRef path) {
  SmallVector<StringRef> names;
  path.split(names, '.');
  for (StringRef name : names)
    if (name.empty() || !llvm::all_of(name, [](char c) {
          return llvm::isAlnum(c) || c == '_' || c == '-';
        }))
      return emitError() << "'" << path << "' is not a dotted path of names";
  unsigned index;
  if (names[0] == "blocks" &&
      (names.size() < 2 || names[1].getAsInteger(10, index)))
    return emitError() << "'" << path << "' needs the block's index";
  return success();
}

//===----------------------------------------------------------------------===//
// FormAttr
//===----------------------------------------------------------------------===//

LogicalResult FormAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               StringRef text) {
  IndexExprContext context;
  if (text.trim().starts_with("[")) {
    auto list = parseIndexExprList(context, text);
    return list ? success() : emitError() << llvm::toString(list.takeError());
  }
  llvm::Expected<IndexExpr> expr = parseIndexExpr(context, text);
  return expr ? success() : emitError() << llvm::toString(expr.takeError());
}

//===----------------------------------------------------------------------===//
// WeightType
//===----------------------------------------------------------------------===//

Type WeightType::parse(AsmParser &parser) {
  SmallVector<int64_t> shape;
  Type elementType;
  Attribute encoding;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() ||
      parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
      parser.parseType(elementType) || parser.parseComma() ||
      parser.parseAttribute(encoding) || parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(loc); }, parser.getContext(),
                    shape, elementType, encoding);
}

void WeightType::print(AsmPrinter &printer) const {
  printer << "<";
  for (int64_t extent : getShape())
    printer << extent << "x";
  printer << getElementType() << ", " << getEncoding() << ">";
}

LogicalResult WeightType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<int64_t> shape, Type elementType,
                                 Attribute encoding) {
  if (llvm::any_of(shape, [](int64_t extent) { return extent <= 0; }) ||
      failed(checkedNumElements(shape)))
    return emitError() << "the extents of a weight must be positive";
  if (!elementType.isF32() && !elementType.isF16() && !elementType.isBF16() &&
      !elementType.isF64())
    return emitError() << "the element type of a weight must be a float, not "
                       << elementType;
  if (!isa<EncodingAttrInterface>(encoding))
    return emitError() << encoding << " is not an encoding";
  if (auto dense = dyn_cast<DenseAttr>(encoding))
    if (dense.getTransposed() && shape.size() != 2)
      return emitError() << "only a weight of rank 2 can be transposed";
  if (auto concat = dyn_cast<ConcatAttr>(encoding)) {
    int64_t axis = concat.getAxis(), sum = 0;
    for (int64_t size : concat.getSizes())
      sum += size;
    if (axis >= static_cast<int64_t>(shape.size()) || sum != shape[axis])
      return emitError() << "the sizes of " << encoding
                         << " must add up to the extent of its axis";
  }
  return success();
}

int64_t WeightType::getNumElements() const {
  return *checkedNumElements(getShape());
}

EncodingAttrInterface WeightType::getEncodingInterface() const {
  return cast<EncodingAttrInterface>(getEncoding());
}

//===----------------------------------------------------------------------===//
// KvType
//===----------------------------------------------------------------------===//

LogicalResult KvType::verify(function_ref<InFlightDiagnostic()> emitError,
                             int64_t heads, int64_t keyDim, int64_t valueDim,
                             Type elementType) {
  if (heads <= 0 || keyDim <= 0 || valueDim <= 0)
    return emitError() << "heads and dims of a cache must be positive";
  if (!isa<FloatType>(elementType))
    return emitError() << "the element type of a cache must be a float";
  return success();
}
