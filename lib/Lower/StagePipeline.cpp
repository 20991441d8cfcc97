//===- StagePipeline.cpp - lowered stages to objects ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/StagePipeline.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Lower/BufferizeKernel.h"
#include "lathe/Lower/IndexExprCodegen.h"
#include "lathe/Lower/LinalgToParallelLoops.h"
#include "lathe/Lower/PlanMemory.h"
#include "mlir/Dialect/Arith/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Linalg/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/IR/TensorInferTypeOpInterfaceImpl.h"
#include "mlir/Dialect/Tensor/Transforms/BufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace lathe;

void lathe::registerLoweringDialects(DialectRegistry &registry) {
  registerCpuCodegenDialects(registry);
  registry.insert<LatheDialect, bufferization::BufferizationDialect,
                  linalg::LinalgDialect, tensor::TensorDialect>();
  arith::registerBufferizableOpInterfaceExternalModels(registry);
  linalg::registerBufferizableOpInterfaceExternalModels(registry);
  scf::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerBufferizableOpInterfaceExternalModels(registry);
  tensor::registerInferTypeOpInterfaceExternalModels(registry);
  registerKernelBufferization(registry);
}

//===----------------------------------------------------------------------===//
// Tensor arguments and results as buffers
//===----------------------------------------------------------------------===//

static MemRefType bufferType(RankedTensorType type) {
  return MemRefType::get(type.getShape(), type.getElementType());
}

/// Tensor arguments become buffers; results are written into further buffer
/// arguments, numbered behind the others.
static LogicalResult passBuffers(func::FuncOp stage) {
  Block &block = stage.front();
  OpBuilder builder(&block, block.begin());
  int64_t numbered = 0;
  for (BlockArgument arg : block.getArguments()) {
    numbered += bool(stage.getArgAttr(arg.getArgNumber(), kArgAttr));
    auto tensor = dyn_cast<RankedTensorType>(arg.getType());
    if (!tensor)
      continue;
    arg.setType(bufferType(tensor));
    auto value = bufferization::ToTensorOp::create(
        builder, arg.getLoc(), tensor, arg, /*restrict=*/true,
        /*writable=*/false);
    arg.replaceAllUsesExcept(value.getResult(), value);
  }

  Operation *end = block.getTerminator();
  builder.setInsertionPoint(end);
  SmallVector<Value> results(end->getOperands());
  for (auto [n, result] : llvm::enumerate(results)) {
    auto type = bufferType(cast<RankedTensorType>(result.getType()));
    unsigned number = block.getNumArguments();
    SmallVector<NamedAttribute> attrs{
        builder.getNamedAttr(kArgAttr, builder.getI64IntegerAttr(numbered++))};
    if (Attribute dims = stage.getResultAttr(n, LatheDialect::kDimsAttr))
      attrs.push_back(builder.getNamedAttr(LatheDialect::kDimsAttr, dims));
    if (failed(stage.insertArgument(
            number, type, builder.getDictionaryAttr(attrs), end->getLoc())))
      return failure();
    bufferization::MaterializeInDestinationOp::create(
        builder, end->getLoc(), /*result=*/Type(), result,
        block.getArgument(number), /*restrict=*/true, /*writable=*/true);
  }
  end->setOperands({});
  if (failed(stage.eraseResults(
          llvm::BitVector(stage.getNumResults(), /*t=*/true))))
    return failure();
  stage.setFunctionType(builder.getFunctionType(block.getArgumentTypes(), {}));
  return success();
}

//===----------------------------------------------------------------------===//
// Extents from dims
//===----------------------------------------------------------------------===//

/// Builds `poly`, the text of an extent, from the values of the dims.
static Value emitExtent(OpBuilder &builder, Location loc, StringRef poly,
                        ArrayRef<StringRef> names, ValueRange values) {
  IndexExprContext context;
  llvm::Expected<Poly> parsed = parsePoly(context, poly);
  if (!parsed) {
    llvm::consumeError(parsed.takeError());
    return {};
  }
  ImplicitLocOpBuilder implicit(loc, builder);
  implicit.setInsertionPoint(builder.getInsertionBlock(),
                             builder.getInsertionPoint());
  IndexExprCodegen codegen(implicit, [&](StringRef name) -> Value {
    for (auto [known, value] : llvm::zip(names, values))
      if (known == name)
        return value;
    return {};
  });
  Value extent = codegen.emitIndex(*parsed);
  builder.restoreInsertionPoint(implicit.saveInsertionPoint());
  return extent;
}

/// Names of the dims, in the order of the index arguments.
static SmallVector<StringRef> dimNames(func::FuncOp stage) {
  SmallVector<StringRef> names;
  for (unsigned n = 0; n < stage.getNumArguments(); ++n)
    if (auto name = stage.getArgAttrOfType<StringAttr>(n, kDimAttr))
      names.push_back(name);
  return names;
}

/// Text of extent `dim` of argument `number`; empty when it has none.
static StringRef extentText(func::FuncOp stage, unsigned number, int64_t dim) {
  auto dims =
      stage.getArgAttrOfType<ArrayAttr>(number, LatheDialect::kDimsAttr);
  if (!dims || dim >= static_cast<int64_t>(dims.size()))
    return "";
  return cast<StringAttr>(dims[dim]).getValue();
}

//===----------------------------------------------------------------------===//
// The ABI
//===----------------------------------------------------------------------===//

namespace {

/// Writes the exported function around the stage's body.
class AbiBuilder {
public:
  AbiBuilder(func::FuncOp body, StringRef name)
      : body(body), builder(body), loc(body.getLoc()), name(name),
        names(dimNames(body)) {}

  LogicalResult build(func::FuncOp size);

private:
  Type pointer() { return LLVM::LLVMPointerType::get(builder.getContext()); }
  Value loadInteger(Value array, int64_t at);
  Value loadPointer(Value array, int64_t at);
  Value toIndex(Value value) {
    return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                      value);
  }
  Value toInteger(Value value) {
    return arith::IndexCastOp::create(builder, loc, builder.getI64Type(),
                                      value);
  }
  Value offsetPointer(Value base, Value bytes);
  FailureOr<Value> buffer(unsigned number, MemRefType type, Value base,
                          ValueRange dims);
  void buildSize(func::FuncOp size);

  func::FuncOp body;
  OpBuilder builder;
  Location loc;
  StringRef name;
  SmallVector<StringRef> names;
};

} // namespace

static Value elementPointer(OpBuilder &builder, Location loc, Value array,
                            Type element, int64_t at) {
  return LLVM::GEPOp::create(
      builder, loc, LLVM::LLVMPointerType::get(builder.getContext()), element,
      array, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(at)});
}

Value AbiBuilder::loadInteger(Value array, int64_t at) {
  Type type = builder.getI64Type();
  return LLVM::LoadOp::create(builder, loc, type,
                              elementPointer(builder, loc, array, type, at));
}

Value AbiBuilder::loadPointer(Value array, int64_t at) {
  return LLVM::LoadOp::create(
      builder, loc, pointer(),
      elementPointer(builder, loc, array, pointer(), at));
}

/// `base + bytes` without a claim that both lie in one object: users' buffers
/// are reached from the arena this way.
Value AbiBuilder::offsetPointer(Value base, Value bytes) {
  Value number =
      LLVM::PtrToIntOp::create(builder, loc, builder.getI64Type(), base);
  Value sum = LLVM::AddOp::create(builder, loc, number, bytes);
  return LLVM::IntToPtrOp::create(builder, loc, pointer(), sum);
}

/// A contiguous buffer of `type` at `base`, as a memref.
FailureOr<Value> AbiBuilder::buffer(unsigned number, MemRefType type,
                                    Value base, ValueRange dims) {
  SmallVector<Value> sizes, strides(type.getRank());
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    Value size;
    if (!type.isDynamicDim(dim))
      size = arith::ConstantIndexOp::create(builder, loc, type.getDimSize(dim));
    else
      size =
          emitExtent(builder, loc, extentText(body, number, dim), names, dims);
    if (!size)
      return body.emitError("argument ")
             << number << " has the extent '" << extentText(body, number, dim)
             << "', which no dim gives";
    sizes.push_back(size);
  }
  Value stride = arith::ConstantIndexOp::create(builder, loc, 1);
  for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride = arith::MulIOp::create(builder, loc, stride, sizes[dim]);
  }

  Type i64 = builder.getI64Type();
  SmallVector<Type> fields{pointer(), pointer(), i64};
  if (type.getRank() > 0) {
    Type array = LLVM::LLVMArrayType::get(i64, type.getRank());
    fields.append({array, array});
  }
  Type structType =
      LLVM::LLVMStructType::getLiteral(builder.getContext(), fields);
  Value descriptor = LLVM::PoisonOp::create(builder, loc, structType);
  auto insert = [&](Value value, ArrayRef<int64_t> position) {
    descriptor =
        LLVM::InsertValueOp::create(builder, loc, descriptor, value, position);
  };
  insert(base, {0});
  insert(base, {1});
  insert(
      LLVM::ConstantOp::create(builder, loc, i64, builder.getI64IntegerAttr(0)),
      {2});
  for (int64_t dim = 0; dim < type.getRank(); ++dim) {
    insert(toInteger(sizes[dim]), {3, dim});
    insert(toInteger(strides[dim]), {4, dim});
  }
  return UnrealizedConversionCastOp::create(builder, loc, TypeRange(type),
                                            ValueRange(descriptor))
      .getResult(0);
}

/// `NAME_scratch(dims) -> i64`.
void AbiBuilder::buildSize(func::FuncOp size) {
  auto function = func::FuncOp::create(
      builder, loc, (name + "_scratch").str(),
      builder.getFunctionType(pointer(), builder.getI64Type()));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToEnd(function.addEntryBlock());
  SmallVector<Value> dims;
  for (unsigned n = 0; n < names.size(); ++n)
    dims.push_back(toIndex(loadInteger(function.getArgument(0), n)));
  Value bytes = func::CallOp::create(builder, loc, size, dims).getResult(0);
  func::ReturnOp::create(builder, loc, toInteger(bytes));
}

LogicalResult AbiBuilder::build(func::FuncOp size) {
  buildSize(size);
  auto function = func::FuncOp::create(
      builder, loc, name,
      builder.getFunctionType(SmallVector<Type>(4, pointer()), {}));
  builder.setInsertionPointToEnd(function.addEntryBlock());
  Value context = function.getArgument(0), parts = function.getArgument(1),
        arena = function.getArgument(2), table = function.getArgument(3);
  SmallVector<Value> dims;
  for (unsigned n = 0; n < names.size(); ++n)
    dims.push_back(toIndex(loadInteger(table, n)));

  int64_t activations = 0;
  for (unsigned n = 0; n < body.getNumArguments(); ++n)
    activations += bool(body.getArgAttr(n, kArgAttr));
  SmallVector<Value> args;
  unsigned nextDim = 0;
  for (unsigned n = 0; n < body.getNumArguments(); ++n) {
    Type type = body.getArgumentTypes()[n];
    if (body.getArgAttr(n, kCtxAttr)) {
      args.push_back(context);
      continue;
    }
    if (body.getArgAttr(n, kDimAttr)) {
      args.push_back(dims[nextDim++]);
      continue;
    }
    Value base;
    if (auto part = body.getArgAttrOfType<IntegerAttr>(n, kPartAttr))
      base = loadPointer(parts, part.getInt());
    else if (auto arg = body.getArgAttrOfType<IntegerAttr>(n, kArgAttr))
      base =
          offsetPointer(arena, loadInteger(table, names.size() + arg.getInt()));
    else // The scratch, behind all activations.
      base =
          offsetPointer(arena, loadInteger(table, names.size() + activations));
    auto memref = cast<MemRefType>(type);
    if (body.getArgAttr(n, kPartAttr) || body.getArgAttr(n, kArgAttr)) {
      FailureOr<Value> value = buffer(n, memref, base, dims);
      if (failed(value))
        return failure();
      args.push_back(*value);
      continue;
    }
    // Views of the scratch do not look at its size.
    body.setArgAttr(n, LatheDialect::kDimsAttr, builder.getStrArrayAttr({"0"}));
    FailureOr<Value> value = buffer(n, memref, base, dims);
    if (failed(value))
      return failure();
    args.push_back(*value);
  }
  func::CallOp::create(builder, loc, body, args);
  func::ReturnOp::create(builder, loc);
  return success();
}

//===----------------------------------------------------------------------===//
// The way
//===----------------------------------------------------------------------===//

/// Runs passes on `module`.
static LogicalResult runPasses(ModuleOp module,
                               llvm::function_ref<void(OpPassManager &)> add) {
  PassManager manager(module.getContext(), ModuleOp::getOperationName());
  add(manager);
  return manager.run(module);
}

static void addBufferization(OpPassManager &manager) {
  OpPassManager &functions = manager.nest<func::FuncOp>();
  functions.addPass(createLinalgElementwiseOpFusionPass());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(bufferization::createEmptyTensorEliminationPass());
  functions.addPass(bufferization::createEmptyTensorToAllocTensorPass());
  bufferization::OneShotBufferizePassOptions options;
  options.allowReturnAllocsFromLoops = true;
  manager.addPass(bufferization::createOneShotBufferizePass(options));
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

/// Replaces `memref.expand_shape` of contiguous buffers by casts. Upstream's
/// expansion of it computes sizes by division and fails when two extents of a
/// group are only known at run time, although the operation carries them all.
static void expandShapesAsCasts(func::FuncOp function) {
  SmallVector<memref::ExpandShapeOp> ops;
  function.walk([&](memref::ExpandShapeOp op) {
    if (op.getSrcType().getLayout().isIdentity() &&
        op.getResultType().getLayout().isIdentity())
      ops.push_back(op);
  });
  for (memref::ExpandShapeOp op : ops) {
    OpBuilder builder(op);
    SmallVector<OpFoldResult> sizes = op.getMixedOutputShape();
    SmallVector<OpFoldResult> strides(sizes.size());
    OpFoldResult stride = builder.getIndexAttr(1);
    for (int64_t dim = sizes.size() - 1; dim >= 0; --dim) {
      strides[dim] = stride;
      std::optional<int64_t> known = getConstantIntValue(stride),
                             extent = getConstantIntValue(sizes[dim]);
      if (known && extent) {
        stride = builder.getIndexAttr(*known * *extent);
        continue;
      }
      stride =
          arith::MulIOp::create(
              builder, op.getLoc(),
              getValueOrCreateConstantIndexOp(builder, op.getLoc(), stride),
              getValueOrCreateConstantIndexOp(builder, op.getLoc(), sizes[dim]))
              .getResult();
    }
    auto cast = memref::ReinterpretCastOp::create(
        builder, op.getLoc(), op.getResultType(), op.getSrc(),
        /*offset=*/builder.getIndexAttr(0), sizes, strides);
    op.replaceAllUsesWith(cast.getResult());
    op.erase();
  }
}

/// Symbols that nobody outside needs may be inlined and dropped.
static void makeInternal(ModuleOp module, StringRef name) {
  std::string scratch = (name + "_scratch").str();
  for (auto function : module.getOps<func::FuncOp>()) {
    bool exported = function.getName() == name || function.getName() == scratch;
    function.setVisibility(exported ? SymbolTable::Visibility::Public
                                    : SymbolTable::Visibility::Private);
    if (!exported)
      function->setAttr(
          "llvm.linkage",
          LLVM::LinkageAttr::get(module.getContext(), LLVM::Linkage::Internal));
  }
}

FailureOr<std::unique_ptr<llvm::MemoryBuffer>>
lathe::compileLoweredStage(func::FuncOp stage, const CpuTarget &target) {
  auto module = stage->getParentOfType<ModuleOp>();
  std::string name = stage.getName().str();
  stage.setName(name + "_body");
  std::string bodyName = stage.getName().str();
  stage.setPublic();

  if (failed(passBuffers(stage)))
    return failure();
  if (failed(runPasses(module, addBufferization)))
    return failure();
  stage = module.lookupSymbol<func::FuncOp>(bodyName);
  if (failed(linalgToParallelLoops(stage)))
    return failure();

  OpBuilder builder(stage);
  unsigned scratch = stage.getNumArguments();
  auto bytes = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
  if (failed(stage.insertArgument(scratch, bytes, builder.getDictionaryAttr({}),
                                  stage.getLoc())))
    return failure();
  SmallVector<StringRef> names = dimNames(stage);
  MemoryPlanOptions options;
  options.materializeDim = [&](OpBuilder &at, BlockArgument arg, int64_t dim,
                               ValueRange dims) {
    return emitExtent(at, arg.getLoc(),
                      extentText(stage, arg.getArgNumber(), dim), names, dims);
  };
  std::string sizeName = name + "_size";
  if (failed(planMemory(stage, stage.getArgument(scratch), sizeName, options)))
    return failure();
  if (failed(AbiBuilder(stage, name)
                 .build(module.lookupSymbol<func::FuncOp>(sizeName))))
    return failure();
  makeInternal(module, name);
  for (auto function : module.getOps<func::FuncOp>())
    expandShapesAsCasts(function);
  if (failed(runPasses(module, [&](OpPassManager &manager) {
        manager.addPass(memref::createFoldMemRefAliasOpsPass());
        buildCpuToLLVMPipeline(manager, target);
      })))
    return failure();
  auto object = compileToObject(module, target);
  if (!object)
    return module.emitError(llvm::toString(object.takeError()));
  return std::move(*object);
}
