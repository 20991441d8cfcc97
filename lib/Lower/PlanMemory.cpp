//===- PlanMemory.cpp - one arena for all buffers of a stage ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/PlanMemory.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace lathe;

static constexpr int64_t kAlignment = 64;

namespace {

/// A buffer, the top-level operations between which it is used, and its place.
struct Buffer {
  memref::AllocOp alloc;
  int64_t first = 0, last = -1;
  unsigned slot = 0;
};

/// Bytes of the arena that buffers with disjoint lives share.
struct Slot {
  int64_t last;
  SmallVector<memref::AllocOp> members;
};

class Planner {
public:
  Planner(func::FuncOp function, BlockArgument scratch,
          const MemoryPlanOptions &options)
      : function(function), scratch(scratch), options(options) {}

  LogicalResult plan(StringRef sizeName);

private:
  LogicalResult collect();
  void findLife(Buffer &buffer);
  void assignSlots();
  LogicalResult emitOffsets(OpBuilder &builder, IRMapping &map,
                            ValueRange indices, SmallVector<Value> &offsets);
  FailureOr<Value> emitBytes(OpBuilder &builder, IRMapping &map,
                             ValueRange indices, memref::AllocOp alloc);
  LogicalResult cloneSize(OpBuilder &builder, IRMapping &map,
                          ValueRange indices, Value size);
  SmallVector<Value> indexArguments(Block &block);

  func::FuncOp function;
  BlockArgument scratch;
  const MemoryPlanOptions &options;
  llvm::DenseMap<Operation *, int64_t> position;
  std::vector<Buffer> buffers;
  std::vector<Slot> slots;
};

} // namespace

SmallVector<Value> Planner::indexArguments(Block &block) {
  SmallVector<Value> indices;
  for (BlockArgument arg : block.getArguments())
    if (arg.getType().isIndex())
      indices.push_back(arg);
  return indices;
}

LogicalResult Planner::collect() {
  for (auto [n, op] : llvm::enumerate(function.front()))
    position[&op] = n;
  WalkResult result = function.walk([&](memref::AllocOp alloc) {
    if (alloc->getParentOfType<scf::ForallOp>() ||
        alloc->getParentOfType<scf::ParallelOp>()) {
      alloc.emitError("a buffer cannot be made inside a parallel loop");
      return WalkResult::interrupt();
    }
    buffers.push_back({alloc});
    findLife(buffers.back());
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// True for values through which memory can be reached.
static bool isAddress(Type type) {
  return isa<BaseMemRefType, LLVM::LLVMPointerType, LLVM::LLVMStructType>(type);
}

/// From the first to the last top-level operation that uses the buffer or
/// anything derived from it. Whatever takes an address and yields one may
/// yield the same.
void Planner::findLife(Buffer &buffer) {
  SmallVector<Value> worklist{buffer.alloc.getResult()};
  llvm::DenseSet<Value> seen{worklist[0]};
  buffer.first = position.size();
  auto add = [&](ValueRange values) {
    for (Value value : values)
      if (isAddress(value.getType()) && seen.insert(value).second)
        worklist.push_back(value);
  };
  while (!worklist.empty()) {
    Value value = worklist.pop_back_val();
    for (Operation *user : value.getUsers()) {
      Operation *top = function.front().findAncestorOpInBlock(*user);
      buffer.first = std::min(buffer.first, position[top]);
      buffer.last = std::max(buffer.last, position[top]);
      add(user->getResults());
      for (Region &region : user->getRegions())
        for (Block &block : region)
          add(block.getArguments());
      // A yield hands the address to the operation around it.
      if (user->hasTrait<OpTrait::IsTerminator>() &&
          user->getParentOp() != function)
        add(user->getParentOp()->getResults());
    }
  }
}

/// Buffers of one size in bytes as far as one can see without computing it.
static bool sameSize(memref::AllocOp a, memref::AllocOp b) {
  return a.getType().getShape() == b.getType().getShape() &&
         a.getType().getElementType() == b.getType().getElementType() &&
         a.getDynamicSizes() == b.getDynamicSizes();
}

void Planner::assignSlots() {
  std::vector<Buffer *> order;
  for (Buffer &buffer : buffers)
    order.push_back(&buffer);
  llvm::sort(order, [](const Buffer *a, const Buffer *b) {
    return std::make_pair(a->first, a) < std::make_pair(b->first, b);
  });
  for (Buffer *buffer : order) {
    // A free slot of the same size costs nothing; any other free one costs
    // the difference at most.
    int64_t chosen = -1;
    for (auto [n, slot] : llvm::enumerate(slots)) {
      if (slot.last >= buffer->first)
        continue;
      chosen = n;
      if (llvm::any_of(slot.members, [&](memref::AllocOp member) {
            return sameSize(member, buffer->alloc);
          }))
        break;
    }
    if (chosen < 0) {
      chosen = slots.size();
      slots.push_back({});
    }
    slots[chosen].last = buffer->last;
    slots[chosen].members.push_back(buffer->alloc);
    buffer->slot = chosen;
  }
}

LogicalResult Planner::cloneSize(OpBuilder &builder, IRMapping &map,
                                 ValueRange indices, Value size) {
  if (map.contains(size))
    return success();
  llvm::SetVector<Operation *> slice;
  BackwardSliceOptions sliceOptions;
  sliceOptions.inclusive = true;
  sliceOptions.omitBlockArguments = true;
  // An extent of an argument is built, not cloned.
  sliceOptions.filter = [](Operation *op) {
    auto dim = dyn_cast<memref::DimOp>(op);
    return !dim || !isa<BlockArgument>(dim.getSource());
  };
  if (failed(getBackwardSlice(size, &slice, sliceOptions)))
    return failure();
  if (auto dim = size.getDefiningOp<memref::DimOp>())
    slice.insert(dim);

  auto mapDim = [&](memref::DimOp dim) -> LogicalResult {
    auto source = dyn_cast<BlockArgument>(dim.getSource());
    std::optional<int64_t> index = dim.getConstantIndex();
    Value extent;
    if (source && index && options.materializeDim)
      extent = options.materializeDim(builder, source, *index, indices);
    if (!extent)
      return dim.emitError("the size of a buffer must depend on dims alone");
    map.map(dim.getResult(), extent);
    return success();
  };
  for (Operation *op : slice) {
    for (Value operand : op->getOperands()) {
      if (map.contains(operand))
        continue;
      auto dim = operand.getDefiningOp<memref::DimOp>();
      if (dim && succeeded(mapDim(dim)))
        continue;
      return op->emitError("the size of a buffer must depend on dims alone");
    }
    if (auto dim = dyn_cast<memref::DimOp>(op)) {
      if (!map.contains(dim.getResult()) && failed(mapDim(dim)))
        return failure();
      continue;
    }
    if (!map.contains(op->getResult(0)))
      builder.clone(*op, map);
  }
  if (!map.contains(size))
    return function.emitError("the size of a buffer must depend on dims alone");
  return success();
}

/// Bytes of `alloc`, rounded up to the alignment.
FailureOr<Value> Planner::emitBytes(OpBuilder &builder, IRMapping &map,
                                    ValueRange indices, memref::AllocOp alloc) {
  Location loc = alloc.getLoc();
  MemRefType type = alloc.getType();
  Type element = type.getElementType();
  int64_t known =
      element.isIndex() ? 8 : (element.getIntOrFloatBitWidth() + 7) / 8;
  for (int64_t extent : type.getShape())
    if (!ShapedType::isDynamic(extent))
      known *= extent;
  if (type.hasStaticShape())
    return arith::ConstantIndexOp::create(builder, loc,
                                          llvm::alignTo(known, kAlignment))
        .getResult();
  Value bytes = arith::ConstantIndexOp::create(builder, loc, known);
  for (Value size : alloc.getDynamicSizes()) {
    if (failed(cloneSize(builder, map, indices, size)))
      return failure();
    bytes = arith::MulIOp::create(builder, loc, bytes, map.lookup(size));
  }
  Value mask = arith::ConstantIndexOp::create(builder, loc, -kAlignment);
  Value slack = arith::ConstantIndexOp::create(builder, loc, kAlignment - 1);
  Value padded = arith::AddIOp::create(builder, loc, bytes, slack);
  return arith::AndIOp::create(builder, loc, padded, mask).getResult();
}

/// Offsets of the slots, and behind them the bytes of all.
LogicalResult Planner::emitOffsets(OpBuilder &builder, IRMapping &map,
                                   ValueRange indices,
                                   SmallVector<Value> &offsets) {
  Location loc = function.getLoc();
  Value offset = arith::ConstantIndexOp::create(builder, loc, 0);
  for (Slot &slot : slots) {
    offsets.push_back(offset);
    Value bytes;
    SmallVector<memref::AllocOp> seen;
    for (memref::AllocOp member : slot.members) {
      if (llvm::any_of(seen, [&](memref::AllocOp other) {
            return sameSize(other, member);
          }))
        continue;
      seen.push_back(member);
      FailureOr<Value> own = emitBytes(builder, map, indices, member);
      if (failed(own))
        return failure();
      bytes =
          bytes ? arith::MaxSIOp::create(builder, loc, bytes, *own).getResult()
                : *own;
    }
    offset = arith::AddIOp::create(builder, loc, offset, bytes);
  }
  offsets.push_back(offset);
  return success();
}

/// Replaces extents that are read off an expanded buffer by the operands of the
/// expansion: a size must not depend on a buffer.
static void resolveExpandedDims(func::FuncOp function) {
  SmallVector<memref::DimOp> dims;
  function.walk([&](memref::DimOp dim) { dims.push_back(dim); });
  for (memref::DimOp dim : dims) {
    auto expand = dim.getSource().getDefiningOp<memref::ExpandShapeOp>();
    std::optional<int64_t> index = dim.getConstantIndex();
    if (!expand || !index)
      continue;
    OpBuilder builder(dim);
    dim.replaceAllUsesWith(getValueOrCreateConstantIndexOp(
        builder, dim.getLoc(), expand.getMixedOutputShape()[*index]));
    dim.erase();
  }
}

LogicalResult Planner::plan(StringRef sizeName) {
  resolveExpandedDims(function);
  if (failed(collect()))
    return failure();
  assignSlots();

  // The size function first: it needs the allocations as they are.
  OpBuilder builder(function);
  SmallVector<Value> indices = indexArguments(function.front());
  auto size = func::FuncOp::create(
      builder, function.getLoc(), sizeName,
      builder.getFunctionType(
          SmallVector<Type>(indices.size(), builder.getIndexType()),
          builder.getIndexType()));
  Block *sizeBlock = size.addEntryBlock();
  builder.setInsertionPointToEnd(sizeBlock);
  IRMapping sizeMap;
  sizeMap.map(ValueRange(indices), sizeBlock->getArguments());
  SmallVector<Value> sizeOffsets;
  if (failed(emitOffsets(builder, sizeMap, sizeBlock->getArguments(),
                         sizeOffsets)))
    return failure();
  func::ReturnOp::create(builder, function.getLoc(), sizeOffsets.back());

  builder.setInsertionPointToStart(&function.front());
  IRMapping map;
  map.map(indices, indices);
  SmallVector<Value> offsets;
  if (failed(emitOffsets(builder, map, indices, offsets)))
    return failure();
  SmallVector<memref::DeallocOp> deallocs;
  function.walk(
      [&](memref::DeallocOp dealloc) { deallocs.push_back(dealloc); });
  for (memref::DeallocOp dealloc : deallocs)
    dealloc.erase();
  for (Buffer &buffer : buffers) {
    SmallVector<Value> sizes;
    for (Value dynamic : buffer.alloc.getDynamicSizes())
      sizes.push_back(map.lookup(dynamic));
    Value view = memref::ViewOp::create(builder, buffer.alloc.getLoc(),
                                        buffer.alloc.getType(), scratch,
                                        offsets[buffer.slot], sizes);
    buffer.alloc.replaceAllUsesWith(view);
  }
  // Only now: the builder may stand before one of them.
  for (Buffer &buffer : buffers)
    buffer.alloc.erase();
  return success();
}

LogicalResult lathe::planMemory(func::FuncOp function, BlockArgument scratch,
                                StringRef sizeName,
                                const MemoryPlanOptions &options) {
  return Planner(function, scratch, options).plan(sizeName);
}
