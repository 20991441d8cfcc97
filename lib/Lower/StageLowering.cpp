//===- StageLowering.cpp - a function of operations as linalg -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StageLowering.h"
#include "Onnx/NodeLowering.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace lathe;

StageLowering::StageLowering(OpBuilder &builder, func::FuncOp source,
                             SymbolicShapes &shapes, ModuleOp kernels,
                             const CpuTarget &target)
    : t(builder, source.getLoc(), shapes.getContext(),
        [this](unsigned id) { return get(this->shapes.valueOfRead(id)); }),
      source(source), entry(builder.getBlock()), shapes(shapes),
      kernels(kernels), target(target) {
  if (!kernels)
    t.setForUpstream();
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

std::optional<SymbolicShape> StageLowering::shapeOf(Value source) {
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(source);
  if (!shape)
    return std::nullopt;
  return SymbolicShape(*shape);
}

Tensor StageLowering::get(Value source) {
  auto known = tensors.find(source);
  if (known != tensors.end())
    return known->second;

  Tensor tensor;
  DenseElementsAttr constant;
  if (matchPattern(source, m_Constant(&constant))) {
    // At entry: it may be asked for while the body of a loop is built, and used
    // behind it.
    OpBuilder::InsertionGuard guard(t.getBuilder());
    t.getBuilder().setInsertionPointToStart(entry);
    tensor = t.constant(constant);
  } else {
    const ValueInfo *info = shapes.lookup(source);
    std::optional<SymbolicShape> shape = shapeOf(source);
    if (!info || !shape || info->isLeaf())
      return {};
    tensor.form = shapes.formOf(source);
    tensor.element = getElementTypeOrSelf(source.getType());
    tensor.shape = *shape;
  }
  tensors[source] = tensor;
  return tensor;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

std::string StageLowering::getKernel(
    StringRef key, function_ref<LogicalResult(ModuleOp, StringRef)> emit) {
  std::string &name = kernelNames[key];
  if (!name.empty())
    return name;
  StringRef family = key.take_until([](char c) { return c == ' '; });
  name = (family + "_" + Twine(kernelNames.size())).str();
  // A kernel that cannot be emitted has reported why.
  (void)emit(kernels, name);
  return name;
}

Tensor StageLowering::callKernel(StringRef name, ValueRange inputs,
                                 ArrayRef<Poly> shape, Type element) {
  Value init = t.empty(shape, element);
  auto call = KernelOp::create(t.getBuilder(), TypeRange{init.getType()}, name,
                               inputs, ValueRange{init},
                               /*updates=*/false);
  return t.wrap(call.getResult(0), element, SymbolicShape(shape));
}

/// The buffer type of a tensor; other types pass as they are.
static Type bufferType(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor
             ? Type(MemRefType::get(tensor.getShape(), tensor.getElementType()))
             : type;
}

Value lathe::flattenBuffer(Scalars &s, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  auto flat = MemRefType::get({ShapedType::kDynamic}, type.getElementType());
  if (type.getRank() == 0)
    buffer = memref::ExpandShapeOp::create(
        s, MemRefType::get(1, type.getElementType()), buffer,
        ArrayRef<ReassociationIndices>{},
        ArrayRef<OpFoldResult>{s.getIndexAttr(1)});
  if (type.getRank() > 1) {
    ReassociationIndices all =
        llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
    buffer = memref::CollapseShapeOp::create(
        s, buffer, ArrayRef<ReassociationIndices>{all});
  }
  if (buffer.getType() == flat)
    return buffer;
  return memref::CastOp::create(s, flat, buffer);
}

std::string lathe::typeText(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

SmallVector<Value> StageLowering::callOwnKernel(StringRef family,
                                                ValueRange inputs,
                                                ValueRange outputs,
                                                bool updates, KernelFn fn) {
  SmallVector<Value> operands(inputs);
  llvm::append_range(operands, outputs);
  SmallVector<Type> types = llvm::map_to_vector(
      operands, [](Value operand) { return bufferType(operand.getType()); });
  // Bodies are not compared: each call has a kernel of its own.
  std::string key = family.str() + " own " + std::to_string(kernelNames.size());
  std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
    Location loc = t.getBuilder().getLoc();
    func::FuncOp kernel = createKernel(module, name, types, loc);
    Block &entry = kernel.front();
    Scalars s(loc, OpBuilder::atBlockEnd(&entry));
    // Bad data is reported through the kernel's own context.
    Value outer = t.getContext();
    t.setContext(entry.getArgument(0));
    fn(s, entry.getArgument(0), entry.getArguments().drop_front());
    t.setContext(outer);
    func::ReturnOp::create(s);
    return success();
  });
  SmallVector<Type> resultTypes;
  for (Value output : outputs)
    if (isa<TensorType>(output.getType()))
      resultTypes.push_back(output.getType());
  auto call = KernelOp::create(t.getBuilder(), resultTypes, name, inputs,
                               outputs, updates);
  return llvm::to_vector_of<Value>(call.getResults());
}

Tensor StageLowering::loopKernel(StringRef family, ValueRange inputs,
                                 ArrayRef<Poly> shape, Type element,
                                 function_ref<void(Scalars &, ValueRange)> fn) {
  Value result = callOwnKernel(family, inputs, t.empty(shape, element),
                               /*updates=*/false,
                               [&](Scalars &s, Value, ValueRange arguments) {
                                 fn(s, arguments);
                               })
                     .front();
  return t.wrap(result, element, SymbolicShape(shape));
}

Tensor
StageLowering::updateKernel(StringRef family, ValueRange inputs,
                            const Tensor &start,
                            function_ref<void(Scalars &, ValueRange)> fn) {
  // The kernel makes the copy: one of the tensor would have a size that is
  // read off a buffer.
  SmallVector<Value> operands(inputs);
  operands.push_back(t.valueOf(start));
  return loopKernel(family, operands, start.shape, start.element,
                    [&](Scalars &s, ValueRange arguments) {
                      Value from = arguments[arguments.size() - 2];
                      Value to = arguments.back();
                      SmallVector<Value> sizes;
                      for (unsigned k = 0; k < start.rank(); ++k)
                        sizes.push_back(memref::DimOp::create(s, to, k));
                      s.forall(sizes, [&](ValueRange at) {
                        Value x = memref::LoadOp::create(s, from, at);
                        memref::StoreOp::create(s, x, to, at);
                      });
                      SmallVector<Value> rest(arguments.drop_back(2));
                      rest.push_back(to);
                      fn(s, rest);
                    });
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

LogicalResult StageLowering::run() {
  bool failed = false;
  for (Operation &op : source.getBody().front().without_terminator()) {
    t.getBuilder().setLoc(op.getLoc());
    failed |= mlir::failed(lower(&op));
  }
  if (!t.getMissing().empty())
    return source.emitError("an extent depends on '")
           << t.getMissing() << "', which is no dim of the entry";
  return failure(failed);
}

LogicalResult StageLowering::lower(Operation *op) {
  if (op->use_empty() && isPure(op))
    return success();
  // Weights and constants are bound before.
  if (isa<NoneOp, IndexExprOp, UseWeightOp, lathe::ConstantOp>(op) ||
      op->hasTrait<OpTrait::ConstantLike>())
    return success();
  if (auto node = dyn_cast<OnnxOp>(op))
    return lowerNode(node);
  return lowerTyped(op);
}

LogicalResult StageLowering::lowerNode(OnnxOp op) {
  NodeLowering node(*this, op);
  bool needed = false;
  for (OpResult result : op->getResults()) {
    if (result.use_empty())
      continue;
    const ValueInfo *info = shapes.lookup(result);
    if (!info || !info->shape || llvm::any_of(*info->shape, isUnknownExtent))
      return node.refuse("the shape of its result depends on data");
    needed |= info->isLeaf();
  }
  if (!needed)
    return success();

  const NodeFn *fn = LoweringTable::get().lookup(op.getDomainOrDefault(),
                                                 op.getOpType(), op.getOpset());
  if (!fn)
    return node.refuse("there is no lowering for this operator");
  for (unsigned i = 0; i < node.numInputs(); ++i)
    // The operand's own node has been reported.
    if (node.has(i) && !node.in(i))
      return failure();
  return (*fn)(node);
}
