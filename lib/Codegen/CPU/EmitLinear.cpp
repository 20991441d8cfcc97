//===- EmitLinear.cpp - matrix products with their epilogue ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A unit of parallel work is one panel of 64 columns times one block of rows.
// Inside, tiles of a few rows keep their sums in registers while k runs; a
// machine with narrower registers takes a tile in several passes over
// sub-panels. LinearPlan has the sizes. Finished tiles go to a small buffer on
// the stack, from which the epilogue reads, so its code exists once and not
// once per tile height.
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/EmitLinear.h"
#include "lathe/Codegen/CPU/LinearPlan.h"
#include "lathe/Codegen/CPU/VectorizeRegion.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

namespace {

/// Steps of k in one turn of the inner loop.
constexpr int64_t kUnroll = 2;

/// Bytes of a cache line, and of one step of k of a panel.
constexpr int64_t kLine = 64, kStepBytes = kPanelColumns * 4;

/// Weights that a tile asks the memory for while it runs. The hardware looks
/// ahead by a few lines and never into the next page, so the first tile of a
/// unit, and one row, would wait for theirs.
struct Ahead {
  enum Kind {
    None,
    /// What the tile reads itself a little later.
    Near,
    /// What comes after the unit, `tiles` of which bring all of it.
    Next
  } kind = None;
  int64_t tiles = 0;
};

/// How far Ahead::Near looks.
constexpr int64_t kNearBytes = 4096;

class LinearEmitter {
public:
  LinearEmitter(func::FuncOp func, const LinearSpec &spec,
                const CpuTarget &target);
  LogicalResult emit();

private:
  void emitUnit(Value panel, Value block);
  void emitTile(int64_t rows);
  void emitTile(int64_t rows, Ahead ahead);
  void emitPass(int64_t rows, int64_t columns, Value column, Ahead ahead);
  Value nextBlock();
  void askAhead(int64_t columns, Value column, Value k, Ahead ahead);
  /// How the elements of one step are multiplied.
  enum class Step { Floats, PairDots, LowHalves, HighHalves };
  SmallVector<Value> emitStep(int64_t rows, int64_t vectors, Value column,
                              Value k, ValueRange sums);
  SmallVector<Value> emitStep(Step kind, int64_t rows, int64_t vectors,
                              Value column, Value k, ValueRange sums);
  Value loadWeights(Step kind, Value column, Value k);
  Value loadElement(Step kind, int64_t row, Value k);
  Value fromPairs(Step kind, Value pairs);
  Value multiplyAdd(Step kind, Value a, Value b, Value sum);
  void emitEpilogue();
  void emitEpilogueRow(Value row, int64_t outputs);
  Value biasOffset(Value column, int64_t vector);
  Value loadExtra(size_t number, Value row, Value column, Value mask);

  const LinearSpec &spec;
  LinearPlan plan;
  KernelBuilder b;
  int64_t lanes;

  // The function's arguments.
  Value x, w, bias, y;
  SmallVector<Value> extras;

  // Where the emitter stands.
  Value panel;            // number of the panel
  Value column0;          // its first column of y
  Value rowBegin, rowEnd; // of the block
  Value row0, rows;       // of the tile
  Value tileRow;          // first row of the tile in `partial`
  Value kBegin, kEnd;     // the block of k
  Value firstBlock;       // i1; null if there is only one block
  Value partial;          // sums on their way to the epilogue
  LogicalResult status = success();
};

} // namespace

LinearEmitter::LinearEmitter(func::FuncOp func, const LinearSpec &spec,
                             const CpuTarget &target)
    : spec(spec), plan(planLinear(spec, target)), b(func, target),
      lanes(target.lanes) {
  auto arguments = ArrayRef<BlockArgument>(func.getArguments()).drop_front();
  auto next = [&] {
    Value value = arguments.front();
    arguments = arguments.drop_front();
    return value;
  };
  x = next();
  w = next();
  if (spec.bias)
    bias = next();
  for (size_t i = 0; i < spec.extras.size(); ++i)
    extras.push_back(next());
  y = next();
}

LogicalResult LinearEmitter::emit() {
  Value blocks = b.divCeil(b.dim(y, 0), plan.blockRows);
  b.forall({b.index(spec.getPanels()), blocks}, plan.grain,
           [&](ValueRange unit) { emitUnit(unit[0], unit[1]); });
  b.finish();
  return status;
}

void LinearEmitter::emitUnit(Value panelNumber, Value block) {
  panel = panelNumber;
  column0 = b.mul(panel, spec.getPanelOutputs());
  rowBegin = b.mul(block, plan.blockRows);
  rowEnd = b.minIndex(b.add(rowBegin, plan.blockRows), b.dim(y, 0));

  int64_t steps = spec.getSteps();
  int64_t blocks = plan.getBlocks(steps), tileRows = plan.getTileRows();
  partial = b.stack({blocks > 1 ? plan.blockRows : tileRows, kPanelColumns});
  auto tiles = [&](Value last) {
    b.forRange(rowBegin, rowEnd, tileRows, [&](Value row) {
      row0 = row;
      rows = b.minIndex(b.sub(rowEnd, row), b.index(tileRows));
      tileRow = blocks > 1 ? b.sub(row, rowBegin) : b.index(0);
      b.switchOf(rows, 1, tileRows, [&](int64_t count) { emitTile(count); });
      auto epilogue = [&] { emitEpilogue(); };
      if (last)
        b.ifThen(last, epilogue);
      else
        epilogue();
    });
  };
  if (blocks == 1) {
    kBegin = b.index(0);
    kEnd = b.index(steps);
    tiles({});
    return;
  }
  b.forRange(b.index(0), b.index(steps), plan.blockSteps, [&](Value k) {
    kBegin = k;
    kEnd = b.minIndex(b.add(k, plan.blockSteps), b.index(steps));
    auto is = [&](Value value, int64_t number) {
      return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, value,
                                   b.index(number));
    };
    firstBlock = is(k, 0);
    tiles(is(kEnd, steps));
  });
}

/// One tile of `count` rows.
void LinearEmitter::emitTile(int64_t count) {
  int64_t full = plan.getTileRows();
  if (count < full || full == 1)
    return emitTile(count, {Ahead::Near});
  // The more tiles a unit has, the less each of them asks for.
  Value unitRows = b.sub(rowEnd, rowBegin);
  auto ifTiles = [&](int64_t tiles, function_ref<void()> otherwise) {
    Value has = arith::CmpIOp::create(b, arith::CmpIPredicate::sge, unitRows,
                                      b.index(tiles * full));
    b.ifElse(has, [&] { emitTile(count, {Ahead::Next, tiles}); }, otherwise);
  };
  auto ask = [&] {
    ifTiles(8, [&] { ifTiles(2, [&] { emitTile(count, {Ahead::Near}); }); });
  };
  if (plan.getBlocks(spec.getSteps()) > 1)
    return ask();
  // The panel stays in the cache for the other blocks of rows, and what the
  // first one brought does, too.
  Value isFirst =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, rowBegin, b.index(0));
  b.ifElse(isFirst, ask, [&] { emitTile(count, {Ahead::None}); });
}

/// The same, pass by pass over its columns.
void LinearEmitter::emitTile(int64_t count, Ahead ahead) {
  int64_t columns = plan.tileColumns[count - 1];
  if (columns == kPanelColumns)
    return emitPass(count, columns, b.index(0), ahead);
  Value end = b.index(kPanelColumns);
  if (!spec.gated && spec.outputs % kPanelColumns != 0)
    end = b.minIndex(end, b.sub(b.index(spec.outputs), column0));
  b.forRange(b.index(0), end, columns,
             [&](Value column) { emitPass(count, columns, column, ahead); });
}

/// The byte of w where the next block of k begins, or, after the last one, the
/// next unit. Rows that are left of the panel come before the next panel.
/// Behind the last panel mostly lie the weights of the next stage.
Value LinearEmitter::nextBlock() {
  int64_t steps = spec.getSteps();
  Value here = b.mul(panel, steps);
  if (plan.getBlocks(steps) == 1)
    return b.mul(b.add(here, steps), kStepBytes);
  Value isRest =
      arith::CmpIOp::create(b, arith::CmpIPredicate::slt, rowEnd, b.dim(y, 0));
  Value isLast =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, kEnd, b.index(steps));
  Value again = arith::AndIOp::create(b, isRest, isLast);
  Value step = arith::SelectOp::create(b, again, b.index(0), kEnd);
  return b.mul(b.add(here, step), kStepBytes);
}

/// What one turn of the inner loop asks for.
void LinearEmitter::askAhead(int64_t columns, Value column, Value k,
                             Ahead ahead) {
  if (ahead.kind == Ahead::None)
    return;
  Value pointer = getPointer(b, b.getLoc(), w);
  auto askFor = [&](Value at, int64_t bytes, int locality) {
    for (int64_t line = 0; line < bytes; line += kLine)
      b.prefetch(pointer, b.add(at, line), /*write=*/false, locality);
  };
  if (ahead.kind == Ahead::Near) {
    Value step = b.add(b.mul(panel, spec.getSteps()), k);
    Value at = b.add(b.mul(step, kStepBytes),
                     b.mul(column, kStepBytes / kPanelColumns));
    for (int64_t n = 0; n < kUnroll; ++n)
      askFor(b.add(at, n * kStepBytes + kNearBytes),
             columns * kStepBytes / kPanelColumns, 3);
    return;
  }
  int64_t stepBytes = kStepBytes / ahead.tiles;
  Value tile =
      b.rem(b.divFloor(b.sub(row0, rowBegin), plan.getTileRows()), ahead.tiles);
  Value done = b.add(b.mul(tile, b.sub(kEnd, kBegin)), b.sub(k, kBegin));
  Value at = b.add(nextBlock(), b.mul(done, stepBytes));
  // Passes share what their tile asks for, down to a line.
  int64_t turnBytes = kUnroll * stepBytes * columns / kPanelColumns;
  if (turnBytes >= kLine)
    at = b.add(at, b.mul(column, kUnroll * stepBytes / kPanelColumns));
  askFor(at, std::max(turnBytes, kLine), 2);
}

/// Where the bias of vector `vector` of the sub-panel at `column` lies. The
/// halves of a gated panel are N elements apart.
Value LinearEmitter::biasOffset(Value column, int64_t vector) {
  Value inPanel = b.add(column, vector * lanes);
  if (!spec.gated)
    return b.add(column0, inPanel);
  int64_t half = kPanelColumns / 2;
  Value inHalf = b.rem(inPanel, half);
  Value start = b.mul(b.divFloor(inPanel, half), spec.outputs);
  return b.add(column0, b.add(start, inHalf));
}

void LinearEmitter::emitPass(int64_t count, int64_t columns, Value column,
                             Ahead ahead) {
  int64_t vectors = columns / lanes;
  SmallVector<Value> sums;
  auto start = [&]() {
    SmallVector<Value> values;
    for (int64_t n = 0; n < vectors; ++n)
      values.push_back(bias ? b.load(bias, {biasOffset(column, n)})
                            : b.splat(0.0));
    SmallVector<Value> all;
    for (int64_t r = 0; r < count; ++r)
      llvm::append_range(all, values);
    return all;
  };
  auto at = [&](int64_t r, int64_t n) {
    return SmallVector<Value>{b.add(tileRow, r), b.add(column, n * lanes)};
  };
  if (!firstBlock) {
    sums = start();
  } else {
    SmallVector<Type> types(count * vectors, b.getVectorType());
    auto branch = scf::IfOp::create(b, types, firstBlock, true, true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&branch.getThenRegion().front());
    scf::YieldOp::create(b, start());
    b.setInsertionPointToStart(&branch.getElseRegion().front());
    SmallVector<Value> stored;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t n = 0; n < vectors; ++n)
        stored.push_back(b.load(partial, at(r, n)));
    scf::YieldOp::create(b, stored);
    sums = branch.getResults();
  }

  Value evenEnd = kEnd;
  if (spec.getSteps() % kUnroll != 0)
    evenEnd = b.sub(kEnd, b.rem(b.sub(kEnd, kBegin), kUnroll));
  sums = b.forRange(
      kBegin, evenEnd, kUnroll, sums, [&](Value k, ValueRange carried) {
        SmallVector<Value> next(carried);
        askAhead(columns, column, k, ahead);
        for (int64_t step = 0; step < kUnroll; ++step)
          next = emitStep(count, vectors, column, b.add(k, step), next);
        return next;
      });
  if (spec.getSteps() % kUnroll != 0)
    sums = b.forRange(evenEnd, kEnd, 1, sums, [&](Value k, ValueRange carried) {
      return emitStep(count, vectors, column, k, carried);
    });

  for (int64_t r = 0; r < count; ++r)
    for (int64_t n = 0; n < vectors; ++n)
      b.store(sums[r * vectors + n], partial, at(r, n));
}

Value LinearEmitter::fromPairs(Step kind, Value pairs) {
  auto type = cast<VectorType>(pairs.getType());
  if (kind == Step::PairDots) {
    auto halves = VectorType::get({2 * type.getNumElements()},
                                  BFloat16Type::get(b.getContext()));
    return vector::BitCastOp::create(b, halves, pairs);
  }
  // A bf16 is the high half of the f32 of the same value.
  auto splat = [&](uint32_t bits) -> Value {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(type, APInt(32, bits)));
  };
  if (kind == Step::LowHalves)
    pairs = arith::ShLIOp::create(b, pairs, splat(16));
  else
    pairs = arith::AndIOp::create(b, pairs, splat(0xffff0000));
  return vector::BitCastOp::create(b, b.getVectorType(), pairs);
}

Value LinearEmitter::loadWeights(Step kind, Value column, Value k) {
  if (kind == Step::Floats)
    return b.load(w, {panel, k, column});
  auto type = VectorType::get({lanes}, b.getI32Type());
  return fromPairs(
      kind, vector::LoadOp::create(b, type, w, ValueRange{panel, k, column}));
}

Value LinearEmitter::loadElement(Step kind, int64_t row, Value k) {
  Value element = b.broadcast(b.loadScalar(x, {b.add(row0, row), k}));
  return kind == Step::Floats ? element : fromPairs(kind, element);
}

Value LinearEmitter::multiplyAdd(Step kind, Value x, Value y, Value sum) {
  if (kind != Step::PairDots)
    return b.fma(x, y, sum);
  return LLVM::CallIntrinsicOp::create(
             b, sum.getType(),
             b.getStringAttr("llvm.x86.avx512bf16.dpbf16ps.512"),
             ValueRange{sum, x, y})
      .getResult(0);
}

/// sums + x[rows, k] * W[k, columns].
SmallVector<Value> LinearEmitter::emitStep(int64_t count, int64_t vectors,
                                           Value column, Value k,
                                           ValueRange sums) {
  if (!spec.pairs)
    return emitStep(Step::Floats, count, vectors, column, k, sums);
  if (b.getTarget().level == CpuLevel::Avx512Bf16)
    return emitStep(Step::PairDots, count, vectors, column, k, sums);
  // Both halves are loaded twice: registers are for the sums.
  SmallVector<Value> low =
      emitStep(Step::LowHalves, count, vectors, column, k, sums);
  return emitStep(Step::HighHalves, count, vectors, column, k, low);
}

SmallVector<Value> LinearEmitter::emitStep(Step kind, int64_t count,
                                           int64_t vectors, Value column,
                                           Value k, ValueRange sums) {
  // The operand with fewer vectors stays in registers, the other comes one by
  // one: three rows by four vectors leave room for no more.
  bool rowsOutside = count >= vectors;
  int64_t outer = rowsOutside ? count : vectors;
  int64_t inner = rowsOutside ? vectors : count;
  auto load = [&](bool isRow, int64_t number) {
    return isRow ? loadElement(kind, number, k)
                 : loadWeights(kind, b.add(column, number * lanes), k);
  };
  SmallVector<Value> kept;
  for (int64_t i = 0; i < inner; ++i)
    kept.push_back(load(!rowsOutside, i));
  SmallVector<Value> next(sums);
  for (int64_t o = 0; o < outer; ++o) {
    Value passing = load(rowsOutside, o);
    for (int64_t i = 0; i < inner; ++i) {
      Value &sum = next[rowsOutside ? o * vectors + i : i * vectors + o];
      sum = rowsOutside ? multiplyAdd(kind, passing, kept[i], sum)
                        : multiplyAdd(kind, kept[i], passing, sum);
    }
  }
  return next;
}

Value LinearEmitter::loadExtra(size_t number, Value row, Value column,
                               Value mask) {
  switch (spec.extras[number]) {
  case ExtraKind::Tensor:
    return b.load(extras[number], {row, column}, mask);
  case ExtraKind::Row:
    return b.load(extras[number], {column}, mask);
  case ExtraKind::Scalar:
    return b.broadcast(extras[number]);
  }
  llvm_unreachable("unknown extra");
}

/// Takes `outputs` columns of row `r` of the tile from `partial` to y.
void LinearEmitter::emitEpilogueRow(Value r, int64_t outputs) {
  Value yRow = b.add(row0, r), sumRow = b.add(tileRow, r);
  for (int64_t n = 0; n < outputs; n += lanes) {
    Value column = b.add(column0, n);
    Value mask = n + lanes > outputs ? b.firstLanes(outputs - n) : Value();
    SmallVector<Value> values = {b.load(partial, {sumRow, b.index(n)})};
    if (spec.gated)
      values.push_back(
          b.load(partial, {sumRow, b.index(n + spec.getPanelOutputs())}));
    for (size_t i = 0; i < extras.size(); ++i)
      values.push_back(loadExtra(i, yRow, column, mask));
    Value result = values.front();
    if (spec.epilogue) {
      FailureOr<Value> made = spec.epilogue(b, values);
      if (failed(made)) {
        status = failure();
        return;
      }
      result = *made;
    }
    b.store(result, y, {yRow, column}, mask);
  }
}

/// Takes the tile from `partial` to y, row by row.
void LinearEmitter::emitEpilogue() {
  int64_t full = spec.getPanelOutputs(), tail = spec.outputs % full;
  b.forRange(b.index(0), rows, 1, [&](Value r) {
    if (tail == 0)
      return emitEpilogueRow(r, full);
    Value isTail = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, panel,
                                         b.index(spec.getPanels() - 1));
    b.ifElse(
        isTail, [&] { emitEpilogueRow(r, tail); },
        [&] { emitEpilogueRow(r, full); });
  });
}

EpilogueFn lathe::getRegionEpilogue(Region &region) {
  return [&region](KernelBuilder &b,
                   ValueRange sumsAndExtras) -> FailureOr<Value> {
    auto results =
        vectorizeScalarRegion(b, region, sumsAndExtras, b.getLanes());
    if (failed(results))
      return failure();
    return results->front();
  };
}

FailureOr<func::FuncOp> lathe::emitLinearKernel(ModuleOp module, StringRef name,
                                                const LinearSpec &spec,
                                                const CpuTarget &target) {
  MLIRContext *context = module.getContext();
  auto f32 = Float32Type::get(context);
  int64_t steps = spec.getSteps();
  Type element = spec.pairs ? Type(IntegerType::get(context, 32)) : f32;
  int64_t stride = spec.xStride ? spec.xStride : steps;
  MemRefLayoutAttrInterface layout;
  if (stride != steps)
    layout = StridedLayoutAttr::get(context, 0, {stride, 1});
  auto rowsOf = [&](int64_t columns) {
    return MemRefType::get({ShapedType::kDynamic, columns}, f32);
  };

  SmallVector<Type> types = {
      MemRefType::get({ShapedType::kDynamic, steps}, element, layout),
      MemRefType::get({spec.getPanels(), steps, kPanelColumns}, element)};
  if (spec.bias)
    types.push_back(MemRefType::get(
        {int64_t(llvm::alignTo(spec.gated ? 2 * spec.outputs : spec.outputs,
                               kPanelColumns))},
        f32));
  for (ExtraKind kind : spec.extras) {
    switch (kind) {
    case ExtraKind::Tensor:
      types.push_back(rowsOf(spec.outputs));
      break;
    case ExtraKind::Row:
      types.push_back(MemRefType::get({spec.outputs}, f32));
      break;
    case ExtraKind::Scalar:
      types.push_back(f32);
      break;
    }
  }
  types.push_back(rowsOf(spec.outputs));
  func::FuncOp func = createKernel(module, name, types, module.getLoc());
  if (failed(LinearEmitter(func, spec, target).emit()))
    return failure();
  return func;
}
