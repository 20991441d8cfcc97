//===- OnnxImporter.cpp - ONNX to the imported level ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/OnnxImporter.h"
#include "DimNames.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Import/Onnx.pb.h"
#include "lathe/Import/OnnxModel.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/Threading.h"
#include "llvm/ADT/StringSet.h"

using namespace lathe;
using namespace mlir;

Type lathe::toMlirType(ElementType type, MLIRContext *context) {
  auto unsignedInt = [&](unsigned width) {
    return IntegerType::get(context, width, IntegerType::Unsigned);
  };
  auto signlessInt = [&](unsigned width) {
    return IntegerType::get(context, width);
  };
  switch (type) {
  case ElementType::F32:
    return Float32Type::get(context);
  case ElementType::F16:
    return Float16Type::get(context);
  case ElementType::BF16:
    return BFloat16Type::get(context);
  case ElementType::F64:
    return Float64Type::get(context);
  case ElementType::F8E4M3FN:
    return Float8E4M3FNType::get(context);
  case ElementType::F8E4M3FNUZ:
    return Float8E4M3FNUZType::get(context);
  case ElementType::F8E5M2:
    return Float8E5M2Type::get(context);
  case ElementType::F8E5M2FNUZ:
    return Float8E5M2FNUZType::get(context);
  case ElementType::F8E8M0:
    return Float8E8M0FNUType::get(context);
  case ElementType::F4E2M1:
    return Float4E2M1FNType::get(context);
  case ElementType::Bool:
    return signlessInt(1);
  case ElementType::I2:
    return signlessInt(2);
  case ElementType::I4:
    return signlessInt(4);
  case ElementType::I8:
    return signlessInt(8);
  case ElementType::I16:
    return signlessInt(16);
  case ElementType::I32:
    return signlessInt(32);
  case ElementType::I64:
    return signlessInt(64);
  case ElementType::U2:
    return unsignedInt(2);
  case ElementType::U4:
    return unsignedInt(4);
  case ElementType::U8:
    return unsignedInt(8);
  case ElementType::U16:
    return unsignedInt(16);
  case ElementType::U32:
    return unsignedInt(32);
  case ElementType::U64:
    return unsignedInt(64);
  case ElementType::Undefined:
  case ElementType::String:
  case ElementType::Complex64:
  case ElementType::Complex128:
  case ElementType::F6E2M3:
  case ElementType::F6E3M2:
    break;
  }
  llvm_unreachable("the checked model has supported types only");
}

namespace {

/// Builds the module of a checked model.
class Importer {
public:
  Importer(const OnnxModel &model, MLIRContext *context, Problems &problems)
      : model(model), builder(context), problems(problems) {}

  OwningOpRef<ModuleOp> run();

private:
  void hashConstants();
  func::FuncOp createFunction(ModuleOp module);
  void importInitializers();
  void importNode(const OnnxNode &node);
  void importConstant(const OnnxNode &node);
  void finishFunction(func::FuncOp function);

  Type typeOf(const ValueType &type);
  Value valueOf(StringRef name);
  Value createConstant(const TensorData &tensor, Location loc, StringRef name,
                       ArrayRef<NamedAttribute> provenance);
  DenseElementsAttr inlineElements(const TensorData &tensor);
  PayloadAttr payloadOf(const TensorData &tensor);
  Attribute attributeOf(const onnx::AttributeProto &attribute);
  Location locationOf(const OnnxNode &node);
  NamedAttribute provenanceOf(const OnnxNode &node);
  NamedAttribute provenanceOf(StringRef initializer);
  ArrayAttr stringsAttr(ArrayRef<std::string> texts);

  const OnnxModel &model;
  OpBuilder builder;
  Problems &problems;
  llvm::StringMap<Value> values;
  Value none;
  /// Names that a node or the graph's outputs read.
  llvm::StringSet<> usedNames;
  /// Hashes of the constants that stay in a file.
  llvm::DenseMap<const TensorData *, std::string> hashes;
};

} // namespace

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

static ArrayRef<char> toChars(ArrayRef<uint8_t> bytes) {
  return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

static bool staysInFile(const TensorData &tensor) {
  return tensor.bytes.size() >= kInlineLimit;
}

/// Hashes all constants that stay in their file, on all cores; their pages are
/// given back at once, so that a large model costs no memory.
void Importer::hashConstants() {
  SmallVector<const TensorData *> tensors;
  for (const auto &[name, tensor] : model.getInitializers())
    if (usedNames.contains(name) && staysInFile(*tensor) && tensor->file)
      tensors.push_back(tensor);
  for (const OnnxNode &node : model.getNodes())
    if (node.constant && staysInFile(*node.constant) && node.constant->file)
      tensors.push_back(node.constant);
  SmallVector<std::string> results(tensors.size());
  parallelFor(builder.getContext(), 0, tensors.size(), [&](size_t i) {
    results[i] = PayloadStore::hash(toChars(tensors[i]->bytes));
    MappedFile::release(tensors[i]->bytes);
  });
  for (auto [tensor, hash] : llvm::zip(tensors, results))
    hashes[tensor] = hash;
}

/// MLIR holds one element per byte where ONNX packs several.
static std::vector<char> unpackElements(const TensorData &tensor) {
  unsigned bits = getStorageBits(tensor.element);
  unsigned perByte = 8 / bits, mask = (1u << bits) - 1;
  std::vector<char> unpacked(tensor.numElements);
  for (uint64_t i = 0; i < tensor.numElements; ++i)
    unpacked[i] = (tensor.bytes[i / perByte] >> (i % perByte * bits)) & mask;
  return unpacked;
}

DenseElementsAttr Importer::inlineElements(const TensorData &tensor) {
  auto type = cast<ShapedType>(typeOf(tensor.getType()));
  if (tensor.numElements == 0)
    return DenseElementsAttr::get(type, ArrayRef<Attribute>());
  if (tensor.element == ElementType::Bool) {
    SmallVector<bool> bits(tensor.bytes.begin(), tensor.bytes.end());
    return DenseElementsAttr::get(type, ArrayRef<bool>(bits));
  }
  if (getStorageBits(tensor.element) < 8)
    return DenseElementsAttr::getFromRawBuffer(type, unpackElements(tensor));
  return DenseElementsAttr::getFromRawBuffer(type, toChars(tensor.bytes));
}

PayloadAttr Importer::payloadOf(const TensorData &tensor) {
  MLIRContext *context = builder.getContext();
  if (tensor.file) {
    std::string &hash = hashes[&tensor];
    if (hash.empty())
      hash = PayloadStore::hash(toChars(tensor.bytes));
    return PayloadAttr::get(context, tensor.file->getPath(), tensor.offset,
                            tensor.bytes.size(), hash);
  }
  PayloadStore &store =
      context->getOrLoadDialect<LatheDialect>()->getPayloads();
  llvm::Expected<PayloadAttr> payload =
      store.add(context, toChars(tensor.bytes));
  if (payload)
    return *payload;
  problems.add("", llvm::toString(payload.takeError()),
               "LATHE_CACHE_DIR names the folder for such files");
  return PayloadAttr::get(context, model.getPath(), 0, tensor.bytes.size(),
                          PayloadStore::hash(toChars(tensor.bytes)));
}

Value Importer::createConstant(const TensorData &tensor, Location loc,
                               StringRef name,
                               ArrayRef<NamedAttribute> provenance) {
  Operation *op;
  if (staysInFile(tensor))
    op = ConstantOp::create(builder, loc, typeOf(tensor.getType()),
                            payloadOf(tensor), builder.getStringAttr(name));
  else
    op = arith::ConstantOp::create(builder, loc, inlineElements(tensor));
  for (NamedAttribute attribute : provenance)
    op->setAttr(attribute.getName(), attribute.getValue());
  return op->getResult(0);
}

//===----------------------------------------------------------------------===//
// Types and attributes
//===----------------------------------------------------------------------===//

Type Importer::typeOf(const ValueType &type) {
  Type element = toMlirType(type.element, builder.getContext());
  // A sequence is gone after the symbolic analysis; until then it is a tensor
  // of which nothing but the element type is known.
  if (type.isSequence || !type.hasRank())
    return UnrankedTensorType::get(element);
  SmallVector<int64_t> dims;
  for (int64_t extent : *type.dims)
    dims.push_back(extent == kUnknownDim ? ShapedType::kDynamic : extent);
  return RankedTensorType::get(dims, element);
}

ArrayAttr Importer::stringsAttr(ArrayRef<std::string> texts) {
  SmallVector<Attribute> list;
  for (const std::string &text : texts)
    list.push_back(builder.getStringAttr(text));
  return builder.getArrayAttr(list);
}

Attribute Importer::attributeOf(const onnx::AttributeProto &attribute) {
  switch (attribute.type()) {
  case onnx::AttributeProto::INT:
    return builder.getI64IntegerAttr(attribute.i());
  case onnx::AttributeProto::FLOAT:
    return builder.getF32FloatAttr(attribute.f());
  case onnx::AttributeProto::STRING:
    return builder.getStringAttr(attribute.s());
  case onnx::AttributeProto::INTS:
    return builder.getDenseI64ArrayAttr(
        {attribute.ints().data(), static_cast<size_t>(attribute.ints_size())});
  case onnx::AttributeProto::FLOATS:
    return builder.getDenseF32ArrayAttr(
        {attribute.floats().data(),
         static_cast<size_t>(attribute.floats_size())});
  case onnx::AttributeProto::STRINGS: {
    SmallVector<Attribute> list;
    for (const std::string &text : attribute.strings())
      list.push_back(builder.getStringAttr(text));
    return builder.getArrayAttr(list);
  }
  case onnx::AttributeProto::TENSOR: {
    const TensorData &tensor = *model.getTensor(attribute.t());
    if (staysInFile(tensor))
      return payloadOf(tensor);
    return inlineElements(tensor);
  }
  default:
    llvm_unreachable("the table allows no other attributes");
  }
}

Location Importer::locationOf(const OnnxNode &node) {
  StringRef name = node.proto->name();
  if (name.empty() && node.proto->output_size())
    name = node.proto->output(0);
  if (name.empty())
    return builder.getUnknownLoc();
  return NameLoc::get(builder.getStringAttr(name));
}

NamedAttribute Importer::provenanceOf(const OnnxNode &node) {
  SmallVector<NamedAttribute, 2> entries;
  if (!node.proto->name().empty())
    entries.push_back({"node", builder.getStringAttr(node.proto->name())});
  SmallVector<std::string> outputs(node.proto->output().begin(),
                                   node.proto->output().end());
  entries.push_back(builder.getNamedAttr("outputs", stringsAttr(outputs)));
  return builder.getNamedAttr(LatheDialect::kFromAttr,
                              builder.getDictionaryAttr(entries));
}

NamedAttribute Importer::provenanceOf(StringRef initializer) {
  NamedAttribute outputs =
      builder.getNamedAttr("outputs", stringsAttr({initializer.str()}));
  return builder.getNamedAttr(LatheDialect::kFromAttr,
                              builder.getDictionaryAttr(outputs));
}

//===----------------------------------------------------------------------===//
// The graph
//===----------------------------------------------------------------------===//

func::FuncOp Importer::createFunction(ModuleOp module) {
  DimNames dimNames(model);
  SmallVector<Type> inputs, results;
  for (const OnnxPort &port : model.getInputs())
    inputs.push_back(typeOf(port.type));
  for (const OnnxPort &port : model.getOutputs())
    results.push_back(typeOf(port.type));
  builder.setInsertionPointToEnd(module.getBody());
  auto function =
      func::FuncOp::create(builder, module.getLoc(), "plain",
                           builder.getFunctionType(inputs, results));
  Block *entry = function.addEntryBlock();
  for (auto [i, port] : llvm::enumerate(model.getInputs())) {
    function.setArgAttr(i, LatheDialect::kNameAttr,
                        builder.getStringAttr(port.name));
    function.setArgAttr(i, LatheDialect::kDimsAttr,
                        stringsAttr(dimNames.describeInput(port)));
    values[port.name] = entry->getArgument(i);
  }
  for (auto [i, port] : llvm::enumerate(model.getOutputs())) {
    function.setResultAttr(i, LatheDialect::kNameAttr,
                           builder.getStringAttr(port.name));
    if (port.type.hasRank())
      function.setResultAttr(i, LatheDialect::kDimsAttr,
                             stringsAttr(dimNames.describeOutput(port)));
  }
  builder.setInsertionPointToStart(entry);
  return function;
}

void Importer::importInitializers() {
  for (const auto &[name, tensor] : model.getInitializers()) {
    if (!usedNames.contains(name))
      continue;
    Location loc = NameLoc::get(builder.getStringAttr(name));
    SmallVector<NamedAttribute, 1> provenance;
    // The name of a constant in a file says it already.
    if (!staysInFile(*tensor))
      provenance.push_back(provenanceOf(name));
    values[name] = createConstant(*tensor, loc, name, provenance);
  }
}

Value Importer::valueOf(StringRef name) {
  if (!name.empty())
    return values.lookup(name);
  if (!none) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(builder.getBlock());
    none =
        NoneOp::create(builder, builder.getUnknownLoc(), builder.getNoneType());
  }
  return none;
}

void Importer::importConstant(const OnnxNode &node) {
  StringRef name = node.proto->output(0);
  values[name] = createConstant(*node.constant, locationOf(node), name,
                                provenanceOf(node));
}

void Importer::importNode(const OnnxNode &node) {
  const onnx::NodeProto &proto = *node.proto;
  if (node.constant) {
    importConstant(node);
    return;
  }
  SmallVector<Value> operands;
  for (const std::string &input : proto.input())
    operands.push_back(valueOf(input));
  while (!operands.empty() && operands.back() == none)
    operands.pop_back();
  SmallVector<Type> results;
  for (auto [i, type] : llvm::enumerate(node.results))
    if (type.element != ElementType::Undefined)
      results.push_back(typeOf(type));
  StringAttr domain;
  if (!node.getDomain().empty())
    domain = builder.getStringAttr(node.getDomain());
  auto op = OnnxOp::create(builder, locationOf(node), results, operands,
                           builder.getStringAttr(proto.op_type()),
                           builder.getI64IntegerAttr(node.opset), domain);
  for (const onnx::AttributeProto &attribute : proto.attribute())
    op->setAttr(attribute.name(), attributeOf(attribute));
  NamedAttribute provenance = provenanceOf(node);
  op->setAttr(provenance.getName(), provenance.getValue());
  for (auto [i, result] : llvm::enumerate(op->getResults()))
    if (!proto.output(i).empty())
      values[proto.output(i)] = result;
}

void Importer::finishFunction(func::FuncOp function) {
  SmallVector<Value> results;
  for (const OnnxPort &port : model.getOutputs())
    results.push_back(values.lookup(port.name));
  func::ReturnOp::create(builder, function.getLoc(), results);
}

OwningOpRef<ModuleOp> Importer::run() {
  for (const OnnxNode &node : model.getNodes())
    for (const std::string &input : node.proto->input())
      usedNames.insert(input);
  for (const OnnxPort &port : model.getOutputs())
    usedNames.insert(port.name);
  hashConstants();

  Location loc = FileLineColLoc::get(builder.getStringAttr(model.getPath()),
                                     /*line=*/0, /*column=*/0);
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder, loc);
  (*module)->setAttr(LatheDialect::kSourceAttr,
                     builder.getStringAttr(model.getPath()));
  (*module)->setAttr(LatheDialect::kLevelAttr,
                     builder.getStringAttr("imported"));
  (*module)->setAttr(LatheDialect::kOpsetAttr,
                     builder.getI64IntegerAttr(model.getOpset()));
  func::FuncOp function = createFunction(*module);
  importInitializers();
  for (const OnnxNode &node : model.getNodes())
    importNode(node);
  finishFunction(function);
  return module;
}

OwningOpRef<ModuleOp> lathe::importOnnx(StringRef path, MLIRContext *context,
                                        const ImportOptions &options,
                                        Problems &problems) {
  OnnxModelOptions modelOptions = {options.externalDataRoots};
  std::unique_ptr<OnnxModel> model =
      OnnxModel::load(path, modelOptions, problems);
  if (!model)
    return {};
  return importOnnx(*model, context, problems);
}

OwningOpRef<ModuleOp> lathe::importOnnx(const OnnxModel &model,
                                        MLIRContext *context,
                                        Problems &problems) {
  context->loadDialect<LatheDialect, arith::ArithDialect, func::FuncDialect>();
  OwningOpRef<ModuleOp> module = Importer(model, context, problems).run();
  if (!problems.empty())
    return {};
  return module;
}

OwningOpRef<ModuleOp> lathe::importOnnx(StringRef path, MLIRContext *context,
                                        const ImportOptions &options,
                                        llvm::raw_ostream &errors) {
  Problems problems(path);
  OwningOpRef<ModuleOp> module = importOnnx(path, context, options, problems);
  problems.printNotes(errors);
  problems.print(errors);
  return module;
}
