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

/// The parts of a value that a closure stores.
using Fields = SmallVector<Value>;

/// Moves the body of one loop into a function of its own.
class Outliner {
public:
  Outliner(func::FuncOp host, Value ctx, Operation *op, int64_t number);

  LogicalResult outline();

private:
  void countUnits();
  llvm::SetVector<Value> collectReads();
  LogicalResult passReads();
  void emitRange();
  void emitCall();
  FailureOr<Fields> split(Value value);
  Value join(Type type, ValueRange fields);
  Value getField(OpBuilder &b, Value base, int32_t number);

  func::FuncOp host;
  Value ctx;
  ParallelLoop loop;
  Location loc;
  Type ptr, i64;
  OpBuilder outer; // before the loop
  OpBuilder inner; // in the body's function
  func::FuncOp body;
  SmallVector<Value> trips; // of each dim
  Value units;              // their product, as i64
  LLVM::LLVMStructType closureType;
  Value closure;
  IRMapping mapping; // from values outside to values inside
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
  scf::LoopNest nest = scf::buildLoopNest(
      builder, loc, values(loop.lower), values(loop.upper), values(loop.step));
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

Outliner::Outliner(func::FuncOp host, Value ctx, Operation *op, int64_t number)
    : host(host), ctx(ctx), loop(ParallelLoop::get(op)), loc(op->getLoc()),
      ptr(LLVM::LLVMPointerType::get(op->getContext())),
      i64(IntegerType::get(op->getContext(), 64)), outer(op),
      inner(op->getContext()) {
  inner.setInsertionPointAfter(host);
  body = func::FuncOp::create(inner, loc,
                              (host.getName() + "_body" + Twine(number)).str(),
                              inner.getFunctionType({ptr, i64, i64}, {}));
  body.setPrivate();
  body->setAttr("llvm.linkage", LLVM::LinkageAttr::get(
                                    op->getContext(), LLVM::Linkage::Internal));
  inner.setInsertionPointToStart(body.addEntryBlock());
}

LogicalResult Outliner::outline() {
  if (loop.op->getNumResults() != 0)
    return loop.op->emitOpError("must be bufferized before its body can move");
  countUnits();
  if (failed(passReads()))
    return failure();
  emitRange();
  emitCall();
  loop.op->erase();
  return success();
}

void Outliner::countUnits() {
  for (auto [lower, upper, step] :
       llvm::zip_equal(loop.lower, loop.upper, loop.step))
    trips.push_back(getTripCount(outer, loc, lower, upper, step));
  Value product = trips.front();
  for (Value trip : ArrayRef(trips).drop_front())
    product = outer.createOrFold<arith::MulIOp>(loc, product, trip);
  units = arith::IndexCastOp::create(outer, loc, i64, product);
}

/// What the body reads from outside, and what the range around it will read.
llvm::SetVector<Value> Outliner::collectReads() {
  llvm::SetVector<Value> reads;
  getUsedValuesDefinedAbove(loop.op->getRegion(0), reads);
  reads.insert_range(ArrayRef(trips).drop_front());
  for (ArrayRef<OpFoldResult> bounds : {loop.lower, loop.step})
    for (OpFoldResult bound : bounds)
      if (auto value = dyn_cast<Value>(bound))
        reads.insert(value);
  return reads;
}

/// The fields that `value` travels in.
FailureOr<Fields> Outliner::split(Value value) {
  Type type = value.getType();
  auto toI64 = [&](Value index) -> Value {
    return arith::IndexCastOp::create(outer, loc, i64, index);
  };
  if (type.isIndex())
    return Fields{toI64(value)};
  if (LLVM::isCompatibleType(type))
    return Fields{value};

  auto memref = dyn_cast<MemRefType>(type);
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!memref || failed(memref.getStridesAndOffset(strides, offset)))
    return loop.op->emitOpError("reads a value of type ")
           << type << ", which a closure cannot hold";

  Value address =
      toI64(memref::ExtractAlignedPointerAsIndexOp::create(outer, loc, value));
  Fields fields = {LLVM::IntToPtrOp::create(outer, loc, ptr, address)};
  if (memref.hasStaticShape() && countDynamic(strides) == 0 &&
      !ShapedType::isDynamic(offset))
    return fields;

  auto metadata = memref::ExtractStridedMetadataOp::create(outer, loc, value);
  if (ShapedType::isDynamic(offset))
    fields.push_back(toI64(metadata.getOffset()));
  for (auto [size, runtime] :
       llvm::zip_equal(memref.getShape(), metadata.getSizes()))
    if (ShapedType::isDynamic(size))
      fields.push_back(toI64(runtime));
  // The strides of an identity layout follow from the sizes.
  if (memref.getLayout().isIdentity())
    return fields;
  for (auto [stride, runtime] : llvm::zip_equal(strides, metadata.getStrides()))
    if (ShapedType::isDynamic(stride))
      fields.push_back(toI64(runtime));
  return fields;
}

/// The inverse of `split`, inside.
Value Outliner::join(Type type, ValueRange fields) {
  auto toIndex = [&](Value field) -> Value {
    return arith::IndexCastOp::create(inner, loc, inner.getIndexType(), field);
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
  return buildMemRef(inner, loc, fields[0], memref, rest.take_front(sizes),
                     rest.drop_front(sizes), offset);
}

Value Outliner::getField(OpBuilder &b, Value base, int32_t number) {
  return LLVM::GEPOp::create(b, loc, ptr, closureType, base,
                             ArrayRef<LLVM::GEPArg>{0, number},
                             LLVM::GEPNoWrapFlags::inbounds);
}

/// Makes the closure: filled outside, read inside.
LogicalResult Outliner::passReads() {
  SmallVector<std::pair<Value, Fields>> passed;
  SmallVector<Type> types;
  for (Value value : collectReads()) {
    if (isRepeatable(value.getDefiningOp())) {
      mapping.map(value, inner.clone(*value.getDefiningOp())->getResult(0));
      continue;
    }
    FailureOr<Fields> fields = split(value);
    if (failed(fields))
      return failure();
    llvm::append_range(types, ValueRange(*fields).getTypes());
    passed.emplace_back(value, std::move(*fields));
  }
  closureType = LLVM::LLVMStructType::getLiteral(host.getContext(), types);
  auto entry = OpBuilder::atBlockBegin(&host.getBody().front());
  Value one =
      LLVM::ConstantOp::create(entry, loc, i64, entry.getI64IntegerAttr(1));
  closure = LLVM::AllocaOp::create(entry, loc, ptr, closureType, one);

  int32_t number = 0;
  for (auto &[value, fields] : passed) {
    SmallVector<Value> loaded;
    for (Value field : fields) {
      LLVM::StoreOp::create(outer, loc, field,
                            getField(outer, closure, number));
      loaded.push_back(
          LLVM::LoadOp::create(inner, loc, field.getType(),
                               getField(inner, body.getArgument(0), number)));
      ++number;
    }
    mapping.map(value, join(value.getType(), loaded));
  }
  return success();
}

/// The loop over the units of one chunk around the moved body; the number of
/// each unit is taken apart into the induction variables.
void Outliner::emitRange() {
  auto toIndex = [&](Value value) -> Value {
    return arith::IndexCastOp::create(inner, loc, inner.getIndexType(), value);
  };
  Value begin = toIndex(body.getArgument(1));
  Value end = toIndex(body.getArgument(2));
  Value one = arith::ConstantIndexOp::create(inner, loc, 1);
  auto range = scf::ForOp::create(inner, loc, begin, end, one);
  func::ReturnOp::create(inner, loc);
  inner.setInsertionPointToStart(range.getBody());

  auto getBound = [&](OpFoldResult bound) -> Value {
    if (auto value = dyn_cast<Value>(bound))
      return mapping.lookup(value);
    return arith::ConstantIndexOp::create(inner, loc,
                                          *getConstantIntValue(bound));
  };
  Value rest = range.getInductionVar();
  Block &block = loop.getBody();
  for (size_t dim = trips.size(); dim-- > 0;) {
    Value iv = rest;
    if (dim > 0) {
      Value trip = mapping.lookup(trips[dim]);
      iv = arith::RemUIOp::create(inner, loc, rest, trip);
      rest = arith::DivUIOp::create(inner, loc, rest, trip);
    }
    if (!isConstantIntValue(loop.step[dim], 1))
      iv = arith::MulIOp::create(inner, loc, iv, getBound(loop.step[dim]));
    if (!isConstantIntValue(loop.lower[dim], 0))
      iv = arith::AddIOp::create(inner, loc, iv, getBound(loop.lower[dim]));
    block.getArgument(dim).replaceAllUsesWith(iv);
  }

  block.getTerminator()->erase();
  Block *target = range.getBody();
  target->getOperations().splice(std::prev(target->end()),
                                 block.getOperations());
  for (auto [from, to] : mapping.getValueMap())
    from.replaceUsesWithIf(to, [&](OpOperand &use) {
      return range->isProperAncestor(use.getOwner());
    });
}

void Outliner::emitCall() {
  Value address = func::ConstantOp::create(outer, loc, body.getFunctionType(),
                                           SymbolRefAttr::get(body));
  address =
      UnrealizedConversionCastOp::create(outer, loc, ptr, address).getResult(0);
  Value pool = LLVM::LoadOp::create(outer, loc, ptr, ctx);
  Value grain = LLVM::ConstantOp::create(
      outer, loc, i64, outer.getI64IntegerAttr(loop.getGrain()));
  auto poolType = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(host.getContext()), {ptr, ptr, ptr, i64, i64});
  LLVM::CallOp::create(outer, loc, poolType,
                       ValueRange{pool, ctx, address, closure, units, grain});
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
    for (auto [number, op] : llvm::enumerate(outer))
      if (failed(Outliner(func, ctx, op, number).outline()))
        return failure();
    return success();
  }
};
} // namespace
