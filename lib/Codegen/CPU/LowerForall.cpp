//===- LowerForall.cpp - parallel loops through the thread pool -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "lathe/Codegen/CPU/Passes.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Transforms/RegionUtils.h"

namespace lathe {
#define GEN_PASS_DEF_LOWERFORALL
#include "lathe/Codegen/CPU/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

/// What `scf.forall` and `scf.parallel` have in common.
struct ParallelLoop {
  Operation *op;
  SmallVector<OpFoldResult> lower, upper, step;

  Block &getBody() const { return op->getRegion(0).front(); }

  int64_t getGrain() const {
    auto grain = op->getAttrOfType<IntegerAttr>(kGrainAttr);
    return grain ? grain.getInt() : 1;
  }

  static ParallelLoop get(Operation *op) {
    if (auto forall = dyn_cast<scf::ForallOp>(op))
      return {op, forall.getMixedLowerBound(), forall.getMixedUpperBound(),
              forall.getMixedStep()};
    auto parallel = cast<scf::ParallelOp>(op);
    return {op, getAsOpFoldResult(parallel.getLowerBound()),
            getAsOpFoldResult(parallel.getUpperBound()),
            getAsOpFoldResult(parallel.getStep())};
  }
};

/// A value of the closure: the fields it is stored in.
using Fields = SmallVector<Value>;

class Outliner {
public:
  Outliner(func::FuncOp host, Value ctx) : host(host), ctx(ctx) {}

  LogicalResult outline(Operation *op);

private:
  FailureOr<Fields> split(OpBuilder &builder, Location loc, Value value);
  Value join(OpBuilder &builder, Location loc, Type type, ValueRange fields);

  func::FuncOp host;
  Value ctx;
  int64_t bodies = 0;
};

} // namespace

static bool isParallel(Operation *op) {
  return isa<scf::ForallOp, scf::ParallelOp>(op);
}

static bool isNested(Operation *op) {
  for (Operation *parent = op->getParentOp(); !isa<func::FuncOp>(parent);
       parent = parent->getParentOp())
    if (isParallel(parent))
      return true;
  return false;
}

/// The number of iterations of one dim; never negative.
static Value getTripCount(OpBuilder &builder, Location loc, OpFoldResult lower,
                          OpFoldResult upper, OpFoldResult step) {
  auto value = [&](OpFoldResult bound) {
    return getValueOrCreateConstantIndexOp(builder, loc, bound);
  };
  Value span = isConstantIntValue(lower, 0)
                   ? value(upper)
                   : builder.createOrFold<arith::SubIOp>(loc, value(upper),
                                                         value(lower));
  if (!isConstantIntValue(step, 1))
    span = builder.createOrFold<arith::CeilDivSIOp>(loc, span, value(step));
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  return builder.createOrFold<arith::MaxSIOp>(loc, span, zero);
}

/// Moves the body of `loop` into a nest of `scf.for` over its bounds.
static void makeSequential(const ParallelLoop &loop) {
  OpBuilder builder(loop.op);
  Location loc = loop.op->getLoc();
  auto values = [&](ArrayRef<OpFoldResult> bounds) {
    return getValueOrCreateConstantIndexOp(builder, loc, bounds);
  };
  scf::LoopNest nest =
      scf::buildLoopNest(builder, loc, values(loop.lower), values(loop.upper),
                         values(loop.step));
  SmallVector<Value> ivs;
  for (scf::ForOp level : nest.loops)
    ivs.push_back(level.getInductionVar());
  Block *inner = nest.loops.back().getBody();
  Block &body = loop.getBody();
  body.getTerminator()->erase();
  for (auto [argument, iv] : llvm::zip_equal(body.getArguments(), ivs))
    argument.replaceAllUsesWith(iv);
  inner->getOperations().splice(inner->begin(), body.getOperations());
  loop.op->erase();
}

/// A pure operation without operands is cheaper to repeat than to pass.
static bool isRepeatable(Operation *op) {
  return op && op->getNumOperands() == 0 && op->getNumRegions() == 0 &&
         op->getNumResults() == 1 && isPure(op);
}

/// Number of dynamic entries.
static int64_t countDynamic(ArrayRef<int64_t> values) {
  return llvm::count_if(values, ShapedType::isDynamic);
}

FailureOr<Fields> Outliner::split(OpBuilder &builder, Location loc,
                                  Value value) {
  Type type = value.getType();
  auto i64 = builder.getI64Type();
  auto toI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(builder, loc, i64, index);
  };
  if (type.isIndex())
    return Fields{toI64(value)};
  if (LLVM::isCompatibleType(type))
    return Fields{value};

  auto memref = dyn_cast<MemRefType>(type);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!memref || failed(memref.getStridesAndOffset(strides, offset)))
    return host.emitError("a parallel loop reads a value of type ")
           << type << ", which a closure cannot hold";

  Value address = toI64(
      memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, value));
  Fields fields = {LLVM::IntToPtrOp::create(
      builder, loc, LLVM::LLVMPointerType::get(type.getContext()), address)};
  if (memref.hasStaticShape() && countDynamic(strides) == 0 &&
      !ShapedType::isDynamic(offset))
    return fields;

  auto metadata = memref::ExtractStridedMetadataOp::create(builder, loc, value);
  if (ShapedType::isDynamic(offset))
    fields.push_back(toI64(metadata.getOffset()));
  for (auto [size, runtime] :
       llvm::zip_equal(memref.getShape(), metadata.getSizes()))
    if (ShapedType::isDynamic(size))
      fields.push_back(toI64(runtime));
  // The strides of an identity layout follow from the sizes.
  if (memref.getLayout().isIdentity())
    return fields;
  for (auto [stride, runtime] :
       llvm::zip_equal(strides, metadata.getStrides()))
    if (ShapedType::isDynamic(stride))
      fields.push_back(toI64(runtime));
  return fields;
}

/// The inverse of `split`.
Value Outliner::join(OpBuilder &builder, Location loc, Type type,
                     ValueRange fields) {
  auto toIndex = [&](Value field) -> Value {
    return arith::IndexCastOp::create(builder, loc, builder.getIndexType(),
                                      field);
  };
  if (type.isIndex())
    return toIndex(fields[0]);
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref)
    return fields[0];
  auto [strides, fixedOffset] = memref.getStridesAndOffset();
  SmallVector<Value> indices =
      llvm::map_to_vector(fields.drop_front(), toIndex);
  ValueRange rest(indices);
  Value offset;
  if (ShapedType::isDynamic(fixedOffset)) {
    offset = rest.front();
    rest = rest.drop_front();
  }
  int64_t sizes = memref.getNumDynamicDims();
  return buildMemRef(builder, loc, fields[0], memref, rest.take_front(sizes),
                     rest.drop_front(sizes), offset);
}

LogicalResult Outliner::outline(Operation *op) {
  if (op->getNumResults() != 0)
    return op->emitOpError("must be bufferized before its body can move");
  ParallelLoop loop = ParallelLoop::get(op);
  Location loc = op->getLoc();
  MLIRContext *context = op->getContext();
  OpBuilder builder(op);
  auto i64 = builder.getI64Type();
  auto ptr = LLVM::LLVMPointerType::get(context);
  auto constant = [&](OpBuilder &b, int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(value));
  };

  // The unit count; the trip counts of all dims but the first are read by the
  // body too, where an unit's number is taken apart.
  SmallVector<Value> trips;
  for (auto [lower, upper, step] :
       llvm::zip_equal(loop.lower, loop.upper, loop.step))
    trips.push_back(getTripCount(builder, loc, lower, upper, step));
  Value units = trips.front();
  for (Value trip : ArrayRef(trips).drop_front())
    units = builder.createOrFold<arith::MulIOp>(loc, units, trip);
  units = arith::IndexCastOp::create(builder, loc, i64, units);

  // What the body reads from outside.
  llvm::SetVector<Value> used;
  getUsedValuesDefinedAbove(op->getRegion(0), used);
  used.insert_range(ArrayRef(trips).drop_front());
  for (auto [lower, step] : llvm::zip_equal(loop.lower, loop.step)) {
    if (auto value = dyn_cast<Value>(lower))
      used.insert(value);
    if (auto value = dyn_cast<Value>(step))
      used.insert(value);
  }

  // The body's function.
  OpBuilder moduleBuilder(context);
  moduleBuilder.setInsertionPointAfter(host);
  auto body = func::FuncOp::create(
      moduleBuilder, loc,
      (host.getName() + "_body" + Twine(bodies++)).str(),
      builder.getFunctionType({ptr, i64, i64}, {}));
  body.setPrivate();
  body->setAttr("llvm.linkage",
                LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal));
  Block *entry = body.addEntryBlock();
  auto inner = OpBuilder::atBlockBegin(entry);
  IRMapping mapping;

  // The closure: filled here, read there.
  SmallVector<Value> captured;
  SmallVector<Fields> stored;
  SmallVector<Type> fieldTypes;
  for (Value value : used) {
    if (isRepeatable(value.getDefiningOp())) {
      mapping.map(value,
                  inner.clone(*value.getDefiningOp())->getResult(0));
      continue;
    }
    FailureOr<Fields> fields = split(builder, loc, value);
    if (failed(fields))
      return failure();
    llvm::append_range(fieldTypes, ValueRange(*fields).getTypes());
    captured.push_back(value);
    stored.push_back(std::move(*fields));
  }
  auto closureType = LLVM::LLVMStructType::getLiteral(context, fieldTypes);
  auto hostEntry = OpBuilder::atBlockBegin(&host.getBody().front());
  Value closure = LLVM::AllocaOp::create(hostEntry, loc, ptr, closureType,
                                         constant(hostEntry, 1));
  auto field = [&](OpBuilder &b, Value base, int32_t number) -> Value {
    return LLVM::GEPOp::create(b, loc, ptr, closureType, base,
                               ArrayRef<LLVM::GEPArg>{0, number},
                               LLVM::GEPNoWrapFlags::inbounds);
  };
  int32_t number = 0;
  for (auto [value, fields] : llvm::zip_equal(captured, stored)) {
    SmallVector<Value> loaded;
    for (Value part : fields) {
      LLVM::StoreOp::create(builder, loc, part,
                            field(builder, closure, number));
      loaded.push_back(LLVM::LoadOp::create(
          inner, loc, part.getType(),
          field(inner, entry->getArgument(0), number)));
      ++number;
    }
    mapping.map(value, join(inner, loc, value.getType(), loaded));
  }

  // The range of units, each taken apart into the loop's induction variables.
  auto toIndex = [&](Value value) -> Value {
    return arith::IndexCastOp::create(inner, loc, inner.getIndexType(), value);
  };
  Value begin = toIndex(entry->getArgument(1));
  Value end = toIndex(entry->getArgument(2));
  Value one = arith::ConstantIndexOp::create(inner, loc, 1);
  auto range = scf::ForOp::create(inner, loc, begin, end, one);
  func::ReturnOp::create(inner, loc);
  inner.setInsertionPointToStart(range.getBody());
  Value rest = range.getInductionVar();
  SmallVector<Value> ivs(trips.size());
  for (size_t dim = trips.size(); dim-- > 0;) {
    Value number = rest;
    if (dim > 0) {
      Value trip = mapping.lookup(trips[dim]);
      number = arith::RemUIOp::create(inner, loc, rest, trip);
      rest = arith::DivUIOp::create(inner, loc, rest, trip);
    }
    auto bound = [&](OpFoldResult value) -> Value {
      if (auto attr = dyn_cast<Attribute>(value))
        return arith::ConstantIndexOp::create(inner, loc,
                                              *getConstantIntValue(value));
      return mapping.lookup(cast<Value>(value));
    };
    if (!isConstantIntValue(loop.step[dim], 1))
      number = arith::MulIOp::create(inner, loc, number,
                                     bound(loop.step[dim]));
    if (!isConstantIntValue(loop.lower[dim], 0))
      number = arith::AddIOp::create(inner, loc, number,
                                     bound(loop.lower[dim]));
    ivs[dim] = number;
  }

  // The body itself, moved.
  Block &block = loop.getBody();
  block.getTerminator()->erase();
  for (auto [argument, iv] : llvm::zip_equal(block.getArguments(), ivs))
    argument.replaceAllUsesWith(iv);
  Block *target = range.getBody();
  target->getOperations().splice(std::prev(target->end()),
                                 block.getOperations());
  for (auto [from, to] : mapping.getValueMap())
    from.replaceUsesWithIf(to, [&](OpOperand &use) {
      return range->isProperAncestor(use.getOwner());
    });

  // The call.
  auto bodyType = body.getFunctionType();
  Value address = func::ConstantOp::create(builder, loc, bodyType,
                                           SymbolRefAttr::get(body));
  address = UnrealizedConversionCastOp::create(builder, loc, ptr, address)
                .getResult(0);
  Value pool = LLVM::LoadOp::create(builder, loc, ptr, ctx);
  auto poolType = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(context), {ptr, ptr, ptr, i64, i64});
  LLVM::CallOp::create(builder, loc, poolType,
                       ValueRange{pool, ctx, address, closure, units,
                                  constant(builder, loop.getGrain())});
  op->erase();
  return success();
}

/// An alloca inside a loop would take new stack at every turn. One whose buffer
/// does not outlive its block can be made once.
static void hoistAllocas(func::FuncOp func) {
  Block *entry = &func.getBody().front();
  func.walk([&](memref::AllocaOp alloca) {
    if (alloca->getBlock() == entry || alloca->getNumOperands() != 0)
      return;
    for (Operation *user : alloca->getUsers())
      if (user->hasTrait<OpTrait::IsTerminator>())
        return;
    alloca->moveBefore(entry, entry->begin());
  });
}

static Value findCtx(func::FuncOp func) {
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    if (func.getArgAttr(i, kCtxAttr))
      return func.getArgument(i);
  return {};
}

namespace {
class LowerForall : public lathe::impl::LowerForallBase<LowerForall> {
public:
  void runOnOperation() override {
    auto funcs = llvm::to_vector(getOperation().getOps<func::FuncOp>());
    for (func::FuncOp func : funcs)
      if (!func.isExternal() && failed(lower(func)))
        return signalPassFailure();
    for (func::FuncOp func : getOperation().getOps<func::FuncOp>())
      if (!func.isExternal())
        hoistAllocas(func);
  }

private:
  LogicalResult lower(func::FuncOp func) {
    Value ctx = findCtx(func);
    SmallVector<Operation *> outer, sequential;
    func.walk([&](Operation *op) {
      if (!isParallel(op))
        return;
      auto parallel = dyn_cast<scf::ParallelOp>(op);
      // A reduction keeps its order; the lowering of scf has a loop for it.
      if (parallel && parallel.getNumReductions() != 0)
        return;
      (ctx && !isNested(op) ? outer : sequential).push_back(op);
    });
    for (Operation *op : sequential) {
      if (op->getNumResults() != 0)
        return op->emitOpError("must be bufferized before it becomes a loop");
      makeSequential(ParallelLoop::get(op));
    }
    Outliner outliner(func, ctx);
    for (Operation *op : outer)
      if (failed(outliner.outline(op)))
        return failure();
    return success();
  }
};
} // namespace
