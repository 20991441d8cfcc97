//===- EmitAttention.cpp - the attention kernel ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The query rows of all heads that share a kv head form one list of S * group
// rows, row r being query i = r / group of the group's head r % group. A unit
// of work is a block of that list for one (batch, kv head). It walks the keys
// in blocks with an online softmax: scores of a block into stack scratch,
// softmax row by row, then the block's values into running sums.
//
// Many rows ("packed"): keys stand transposed and values in column panels in
// scratch, written once by a loop of their own, and both products are register
// tiles. Few rows (decode): both products stream the operands as they stand,
// and a long cache is split, each part giving a partial softmax that a last
// loop combines.
//
// Scratch, in f32: [batch][keys padded] key mask, if any; then either
// [batch*kv_heads][keys padded * head_dim] transposed keys and
// [batch*kv_heads][keys * value width] values, or the partial results.
//
//===----------------------------------------------------------------------===//

#include "LaneShuffles.h"
#include "RegisterTile.h"
#include "lathe/Codegen/CPU/Attention.h"
#include "lathe/Codegen/CPU/StridedView.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <cmath>
#include <limits>

using namespace mlir;
using namespace lathe;

/// Rows of a unit of work: whole register tiles.
static constexpr int64_t kRowBlock = 24;
/// Keys whose scores are held at a time.
static constexpr int64_t kKeyBlock = 256;
/// Score rows lie apart by a little more, so that the rows of a tile do not
/// meet in the same cache sets.
static constexpr int64_t kScoreStride = kKeyBlock + 16;
/// Keys of a unit of work when nothing is packed.
static constexpr int64_t kSplit = 256;
/// From this many rows per kv head on, packing pays.
static constexpr int64_t kPackedRows = 18;
/// Keys that one call packs.
static constexpr int64_t kPackChunk = 64;
/// Keys that every row of a unit reads while they stay in the first cache, when
/// nothing is packed.
static constexpr int64_t kStreamChunk = 32;

/// Rows whose softmax is computed at a time when scores come from tiles.
static constexpr int64_t kSoftmaxRows = 3;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
static constexpr double kLog2E = 1.4426950408889634;

namespace {
/// Widths that follow from the spec and the target.
struct Geometry {
  Geometry(const AttentionSpec &spec, const CpuTarget &target)
      : tile(target), lanes(target.lanes), group(spec.heads / spec.kvHeads),
        queryStride(llvm::alignTo(spec.headDim, lanes)),
        fullPanels(spec.valueDim / tile.columns()),
        tailWidth(llvm::alignTo(spec.valueDim % tile.columns(), lanes)),
        valueStride(fullPanels * tile.columns() + tailWidth),
        alwaysPacked(!spec.unitKey || !spec.unitValue),
        hasKeyMask(spec.keyPredicate &&
                   !(isSoft(spec) && (spec.range || spec.predicate))) {
    // A power of two goes into the query without rounding it.
    int exponent;
    double fraction = std::frexp(spec.scale, &exponent);
    scoreFactor = 2.0 * fraction;
    queryFactor = std::ldexp(1.0, exponent - 1);
  }

  static bool isSoft(const AttentionSpec &spec) {
    return spec.emptyRows == AttentionRows::Soft;
  }

  RegisterTile tile;
  int64_t lanes;
  /// Query heads per kv head.
  int64_t group;
  /// head_dim in whole vectors.
  int64_t queryStride;
  /// value_dim as panels of a tile's width, the last one in whole vectors.
  int64_t fullPanels, tailWidth, valueStride;
  bool alwaysPacked;
  /// Padding is a row of scratch; otherwise, when a soft mask must be added
  /// once for several reasons, it is a predicate like the others.
  bool hasKeyMask;
  /// Their product is the scale.
  double queryFactor, scoreFactor;
};

/// Sizes and offsets of scratch, in elements.
struct ScratchLayout {
  Value keysPadded;
  /// Parts of a cache when nothing is packed.
  Value splits;
  Value keys, values, partials;
  Value total;
};
} // namespace

static ScratchLayout layOutScratch(OpBuilder &builder, Location loc,
                                   const AttentionSpec &spec,
                                   const Geometry &geometry, Value batch,
                                   Value rows, Value keys) {
  ImplicitLocOpBuilder b(loc, builder);
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  auto add = [&](Value x, Value y) {
    return b.createOrFold<arith::AddIOp>(x, y);
  };
  auto mul = [&](Value x, Value y) {
    return b.createOrFold<arith::MulIOp>(x, y);
  };
  auto ceilDiv = [&](Value x, int64_t y) -> Value {
    Value sum = add(x, constant(y - 1));
    return b.createOrFold<arith::DivUIOp>(sum, constant(y));
  };

  ScratchLayout layout;
  int64_t columns = geometry.tile.columns();
  layout.keysPadded = mul(ceilDiv(keys, columns), constant(columns));
  layout.splits = ceilDiv(keys, kSplit);
  Value base =
      geometry.hasKeyMask ? mul(batch, layout.keysPadded) : constant(0);
  layout.keys = layout.partials = base;

  Value kvHeads = mul(batch, constant(spec.kvHeads));
  Value keyPart = mul(mul(kvHeads, layout.keysPadded), constant(spec.headDim));
  layout.values = add(base, keyPart);
  Value packed =
      add(keyPart, mul(mul(kvHeads, keys), constant(geometry.valueStride)));
  if (geometry.alwaysPacked) {
    layout.total = add(base, packed);
    return layout;
  }

  // The size must not shrink where more rows change to the other way.
  Value groupRows = mul(rows, constant(geometry.group));
  Value fewRows =
      b.createOrFold<arith::MinUIOp>(groupRows, constant(kPackedRows - 1));
  Value partials = mul(mul(mul(kvHeads, fewRows), layout.splits),
                       constant(geometry.valueStride + geometry.lanes));
  Value isPacked = arith::CmpIOp::create(b, arith::CmpIPredicate::uge,
                                         groupRows, constant(kPackedRows));
  packed = arith::SelectOp::create(b, isPacked, packed, constant(0));
  layout.total = add(base, b.createOrFold<arith::MaxUIOp>(partials, packed));
  return layout;
}

Value lathe::emitAttentionScratchSize(OpBuilder &builder, Location loc,
                                      const AttentionSpec &spec,
                                      const CpuTarget &target, Value batch,
                                      Value rows, Value keys) {
  return layOutScratch(builder, loc, spec, Geometry(spec, target), batch, rows,
                       keys)
      .total;
}

namespace {
class AttentionEmitter {
public:
  AttentionEmitter(func::FuncOp function, const AttentionSpec &spec,
                   const CpuTarget &target)
      : b(function, target), spec(spec), geometry(spec, target),
        tile(geometry.tile), lanes(geometry.lanes) {
    takeArguments(function.getArguments());
  }

  void emit();

private:
  /// A unit of work: rows [firstRow, firstRow + count) of (batch, kvHead)
  /// against keys [keyBegin, keyEnd).
  struct Unit {
    Value batch, kvHead, head0;
    /// batch * kv_heads + kvHead.
    Value pair;
    Value firstRow, count, tiles;
    Value split, keyBegin, keyEnd;
    /// Stack: scaled query rows, scores of a key block, running sums of
    /// values, and per row the running maximum and sum of probabilities.
    Value queries, scores, sums, maxima, totals;
    /// Stack, only with a scale per head: the factor of each row's scores.
    Value factors;
    /// Stack, only with a range: first and last key per row and per tile.
    Value rowBegin, rowEnd, tileBegin, tileEnd;
  };
  /// Keys [begin, end) of a unit, at most kKeyBlock; begin is a multiple of a
  /// tile's width.
  struct KeyBlock {
    Value begin, end, size;
  };
  struct Span {
    Value begin, end;
  };

  void takeArguments(ValueRange arguments);

  // Loops over the whole problem.
  void emitKeyMask();
  void emitPacking();
  void emitUnits();
  void emitCombine();

  void packKeys(Value batch, Value kvHead, Value pair, Value first);
  void packKeyGroup(Value head, Value first, Value target);
  void packValues(Value batch, Value kvHead, Value pair, Value first,
                  Value last);

  // Parts of a unit.
  void emitUnit(Unit &unit);
  void allocate(Unit &unit);
  Span initRows(const Unit &unit);
  Span initRow(const Unit &unit, Value row);
  void initTileRanges(const Unit &unit);
  void loadQuery(const Unit &unit, Value row, const AttentionPoint &point);
  void emitKeyBlock(const Unit &unit, const KeyBlock &block);
  void emitTileScores(const Unit &unit, const KeyBlock &block);
  void emitTileScores(const Unit &unit, const KeyBlock &block, Value key,
                      Value tileNumber);
  void emitStreamedScores(const Unit &unit, const KeyBlock &block);
  SmallVector<Value> emitDots(const Unit &unit, Value row, Value head,
                              Value first);
  void storeScores(const Unit &unit, Value row, Value key,
                   llvm::ArrayRef<Value> sums);
  void prepareScores(const Unit &unit, const KeyBlock &block);
  void prepareScores(const Unit &unit, const KeyBlock &block, Value row);
  void emitSoftmax(const Unit &unit, const KeyBlock &block, Value firstRow,
                   int64_t count);
  void emitTileValues(const Unit &unit, const KeyBlock &block);
  void emitTileValues(const Unit &unit, const KeyBlock &block, Value tileNumber,
                      Value panelBase, Value column, int64_t vectors);
  void emitStreamedValues(const Unit &unit, const KeyBlock &block);
  void emitStreamedValues(const Unit &unit, const KeyBlock &block, Value row,
                          Span keys);
  void addToSums(const Unit &unit, llvm::ArrayRef<Value> place, Value sum);
  void finishRow(const Unit &unit, Value row);
  void writeRow(const AttentionPoint &point, Value kvHead, Value sums,
                Value sumRow, Value total);
  void writeMeanRow(Value batch, Value kvHead, Value output);
  void writeColumns(Value output, llvm::function_ref<Value(Value)> column);

  // Parts of the softmax of one row.
  Span rowSpan(const Unit &unit, const KeyBlock &block, Value row);
  Span tileSpan(const Unit &unit, const KeyBlock &block, Value tileNumber);
  void applySoftcap(const Unit &unit, Value row, Span span);
  void applyElementwise(const Unit &unit, const KeyBlock &block, Value row,
                        Span span);
  Value getPredicate(const Unit &unit, Value row, const AttentionPoint &point);
  Span softmaxSpan(const Unit &unit, const KeyBlock &block, Value row);
  SmallVector<Value> maskAndFindMax(const Unit &unit, const KeyBlock &block,
                                    llvm::ArrayRef<Value> rowNumbers,
                                    Span span);
  SmallVector<Value> exponentiate(const Unit &unit,
                                  llvm::ArrayRef<Value> rowNumbers, Span span,
                                  llvm::ArrayRef<Value> negatedMax);
  SmallVector<Value>
  reduceRows(llvm::ArrayRef<Value> rowNumbers, Span span, double init,
             llvm::function_ref<void(Value, llvm::MutableArrayRef<Value>)> step,
             llvm::function_ref<Value(Value, Value)> join,
             llvm::function_ref<Value(Value)> reduce);
  void rescale(const Unit &unit, Value row, Value factor);

  /// exp(s - m) for s <= m, given s and -m * log2(e) as vectors; exactly 0
  /// from 2^-127 on, NaN if s is NaN.
  Value expOfDifference(Value score, Value negatedMax);
  Value negateForExp(Value max);
  Value finiteMax(Value max);
  /// Every vector of a row of `geometry.valueStride`.
  void forColumns(llvm::function_ref<void(Value)> body);

  AttentionPoint pointOf(const Unit &unit, Value row);
  AttentionPoint basePoint();
  /// Keys whose dot products are computed together.
  int64_t getDotGroup() const { return std::min<int64_t>(lanes, 8); }
  bool isSoft() const { return Geometry::isSoft(spec); }
  /// Whether the range bounds loops; a soft mask drops no key.
  bool rangeBounds() const { return spec.range && !isSoft(); }
  bool hasElementwise() const {
    return spec.bias || spec.predicate || (isSoft() && spec.range) ||
           (spec.keyPredicate && !geometry.hasKeyMask);
  }

  // Index helpers beside KernelBuilder's.
  Value maxSigned(Value lhs, Value rhs) {
    return arith::MaxSIOp::create(b, lhs, rhs);
  }
  Value minSigned(Value lhs, Value rhs) {
    return arith::MinSIOp::create(b, lhs, rhs);
  }
  Value clamp(Value value, Value low, Value high) {
    return minSigned(maxSigned(value, low), high);
  }
  Value compare(arith::CmpIPredicate predicate, Value lhs, Value rhs) {
    return arith::CmpIOp::create(b, predicate, lhs, rhs);
  }
  Value alignDown(Value value, int64_t step) {
    return b.mul(b.divFloor(value, step), step);
  }
  Value alignUp(Value value, int64_t step) {
    return b.mul(b.divCeil(value, step), step);
  }
  /// `packed` and `streamed` under the run-time choice between them.
  void chooseWay(llvm::function_ref<void()> packed,
                 llvm::function_ref<void()> streamed);
  Value stackIndices(int64_t count) {
    return memref::AllocaOp::create(b,
                                    MemRefType::get({count}, b.getIndexType()));
  }

  KernelBuilder b;
  const AttentionSpec &spec;
  Geometry geometry;
  RegisterTile tile;
  int64_t lanes;

  StridedView query, key, value;
  Value output, outputOffset, scratch;
  Value batches, rows, keys;
  ValueRange maskArguments;

  ScratchLayout layout;
  /// rows * group; whether keys and values are packed; parts of the keys.
  Value groupRows, packed, splits, splitKeys;
};
} // namespace

//===----------------------------------------------------------------------===//
// The whole problem
//===----------------------------------------------------------------------===//

static SmallVector<Type> getArgumentTypes(MLIRContext *context,
                                          const AttentionSpec &spec) {
  Type f32 = Float32Type::get(context);
  Type index = IndexType::get(context);
  auto buffer = MemRefType::get({ShapedType::kDynamic}, f32);
  SmallVector<Type> types;
  for (Type element : {spec.queryType, spec.keyType, spec.valueType})
    appendViewTypes(types, element ? element : f32, 4);
  llvm::append_values(types, buffer, index, buffer, index, index, index);
  llvm::append_range(types, spec.maskTypes);
  return types;
}

func::FuncOp lathe::emitAttentionKernel(ModuleOp module, StringRef name,
                                        const AttentionSpec &spec,
                                        const CpuTarget &target) {
  assert(spec.heads % spec.kvHeads == 0 && spec.headDim > 0 &&
         spec.valueDim > 0);
  auto function =
      createKernel(module, name, getArgumentTypes(module.getContext(), spec),
                   module.getLoc());
  AttentionEmitter(function, spec, target).emit();
  return function;
}

void AttentionEmitter::takeArguments(ValueRange arguments) {
  arguments = arguments.drop_front();
  query = takeView(arguments, 4, spec.unitQuery);
  key = takeView(arguments, 4, spec.unitKey);
  value = takeView(arguments, 4, spec.unitValue);
  output = takeArgument(arguments);
  outputOffset = takeArgument(arguments);
  scratch = takeArgument(arguments);
  batches = takeArgument(arguments);
  rows = takeArgument(arguments);
  keys = takeArgument(arguments);
  maskArguments = arguments;
}

void AttentionEmitter::chooseWay(function_ref<void()> packedWay,
                                 function_ref<void()> streamedWay) {
  if (geometry.alwaysPacked)
    return packedWay();
  auto branch = scf::IfOp::create(b, packed, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  packedWay();
  b.setInsertionPointToStart(branch.elseBlock());
  streamedWay();
}

void AttentionEmitter::emit() {
  layout = layOutScratch(b, b.getLoc(), spec, geometry, batches, rows, keys);
  groupRows = b.mul(rows, geometry.group);
  splits = b.index(1);
  splitKeys = keys;
  if (!geometry.alwaysPacked) {
    packed =
        compare(arith::CmpIPredicate::uge, groupRows, b.index(kPackedRows));
    Value parts = maxSigned(layout.splits, b.index(1));
    splits = arith::SelectOp::create(b, packed, splits, parts);
    splitKeys = arith::SelectOp::create(b, packed, keys, b.index(kSplit));
  }

  if (geometry.hasKeyMask)
    emitKeyMask();
  chooseWay([&] { emitPacking(); }, [] {});
  emitUnits();
  if (!geometry.alwaysPacked)
    b.ifThen(compare(arith::CmpIPredicate::ugt, splits, b.index(1)),
             [&] { emitCombine(); });
  b.finish();
}

/// Keys that padding excludes get -inf, the others +inf, and scores are limited
/// by them: unlike a sum this holds for a score that is inf or NaN. A soft mask
/// is a sum by definition.
void AttentionEmitter::emitKeyMask() {
  constexpr int64_t chunk = 1024;
  Value chunks = b.divCeil(layout.keysPadded, chunk);
  Value included = b.scalar(isSoft() ? 0.0 : kInfinity);
  Value excluded = b.scalar(isSoft() ? spec.negative : -kInfinity);
  b.forall({b.mul(batches, chunks)}, 1, [&](ValueRange ids) {
    Value batch = arith::DivUIOp::create(b, ids[0], chunks);
    Value first = b.mul(arith::RemUIOp::create(b, ids[0], chunks), chunk);
    Value last = b.minIndex(b.add(first, chunk), layout.keysPadded);
    Value base = b.mul(batch, layout.keysPadded);
    b.forRange(first, b.minIndex(last, keys), 1, [&](Value j) {
      AttentionPoint point = basePoint();
      point.batch = batch;
      point.key = j;
      Value keep = spec.keyPredicate(b, b.getLoc(), point);
      Value limit = arith::SelectOp::create(b, keep, included, excluded);
      b.storeScalar(limit, scratch, b.add(base, j));
    });
    b.forRange(maxSigned(first, keys), last, 1, [&](Value j) {
      b.storeScalar(excluded, scratch, b.add(base, j));
    });
  });
}

void AttentionEmitter::emitPacking() {
  int64_t chunk = llvm::alignTo(kPackChunk, tile.columns());
  Value chunks = b.divCeil(keys, chunk);
  Value pairs = b.mul(batches, spec.kvHeads);
  b.forall({arith::MulIOp::create(b, pairs, chunks)}, 1, [&](ValueRange ids) {
    Value pair = arith::DivUIOp::create(b, ids[0], chunks);
    Value begin = b.mul(arith::RemUIOp::create(b, ids[0], chunks), chunk);
    Value end = b.minIndex(b.add(begin, chunk), keys);
    Value batch = b.divFloor(pair, spec.kvHeads);
    Value kvHead = b.rem(pair, spec.kvHeads);
    b.forRange(begin, end, tile.columns(),
               [&](Value first) { packKeys(batch, kvHead, pair, first); });
    packValues(batch, kvHead, pair, begin, end);
  });
}

/// One panel: [head_dim][tile columns] of the keys from `first` on. Keys behind
/// the last one repeat it; their scores are masked.
void AttentionEmitter::packKeys(Value batch, Value kvHead, Value pair,
                                Value first) {
  Value head = key.row(b, {batch, kvHead, b.index(0)});
  Value panel =
      b.add(layout.keys,
            b.mul(b.add(b.mul(pair, layout.keysPadded), first), spec.headDim));
  for (int64_t n = 0; n < tile.vectors; ++n)
    packKeyGroup(head, b.add(first, n * lanes), b.add(panel, n * lanes));
}

void AttentionEmitter::packKeyGroup(Value head, Value first, Value target) {
  Value last = b.add(keys, -1);
  SmallVector<Value> row;
  for (int64_t u = 0; u < lanes; ++u) {
    Value number = b.minIndex(b.add(first, u), last);
    row.push_back(b.add(head, b.mul(number, key.strides[2])));
  }
  auto store = [&](Value column, Value vector) {
    b.store(vector, scratch, b.add(target, b.mul(column, tile.columns())));
  };
  int64_t inFours = key.unitColumns ? spec.headDim / 4 * 4 : 0;
  b.forRange(b.index(0), b.index(inFours), 4, [&](Value c) {
    auto columns = transposeFourColumns(
        b, [&](int64_t u) { return key.load(b, row[u], c, 4); });
    for (int64_t n = 0; n < 4; ++n)
      store(b.add(c, n), columns[n]);
  });
  b.forRange(b.index(inFours), b.index(spec.headDim), 1, [&](Value c) {
    SmallVector<Value> scalars;
    for (int64_t u = 0; u < lanes; ++u)
      scalars.push_back(key.loadScalar(b, row[u], c));
    store(c, vector::FromElementsOp::create(b, b.getVectorType(), scalars));
  });
}

/// [panel][keys][panel width]: rows of one cache line or few, so that a tile
/// reads one stream, whatever the distance of rows in the source.
void AttentionEmitter::packValues(Value batch, Value kvHead, Value pair,
                                  Value first, Value last) {
  Value head = value.row(b, {batch, kvHead, b.index(0)});
  Value base =
      b.add(layout.values, b.mul(b.mul(pair, keys), geometry.valueStride));
  b.forRange(first, last, 1, [&](Value j) {
    Value row = b.add(head, b.mul(j, value.strides[2]));
    auto copy = [&](Value panel, Value column, int64_t width, int64_t used) {
      Value target =
          b.add(b.add(base, b.mul(b.mul(panel, keys), tile.columns())),
                b.mul(j, width));
      for (int64_t c = 0; c < width; c += lanes)
        b.store(value.loadPadded(b, row, b.add(column, c), used - c), scratch,
                b.add(target, c));
    };
    b.forRange(b.index(0), b.index(geometry.fullPanels), 1, [&](Value panel) {
      copy(panel, b.mul(panel, tile.columns()), tile.columns(), tile.columns());
    });
    if (geometry.tailWidth)
      copy(b.index(geometry.fullPanels),
           b.index(geometry.fullPanels * tile.columns()), geometry.tailWidth,
           spec.valueDim % tile.columns());
  });
}

void AttentionEmitter::emitUnits() {
  Value blocks = b.divCeil(groupRows, kRowBlock);
  Value pairs = b.mul(batches, spec.kvHeads);
  Value count =
      arith::MulIOp::create(b, arith::MulIOp::create(b, pairs, blocks), splits);
  b.forall({count}, 1, [&](ValueRange ids) {
    Unit unit;
    unit.split = arith::RemUIOp::create(b, ids[0], splits);
    Value number = arith::DivUIOp::create(b, ids[0], splits);
    unit.pair = arith::DivUIOp::create(b, number, blocks);
    unit.firstRow = b.mul(arith::RemUIOp::create(b, number, blocks), kRowBlock);
    unit.batch = b.divFloor(unit.pair, spec.kvHeads);
    unit.kvHead = b.rem(unit.pair, spec.kvHeads);
    unit.head0 = b.mul(unit.kvHead, geometry.group);
    unit.count =
        b.minIndex(b.sub(groupRows, unit.firstRow), b.index(kRowBlock));
    unit.tiles = b.divCeil(unit.count, tile.rows);
    unit.keyBegin = b.mul(unit.split, splitKeys);
    unit.keyEnd = b.minIndex(b.add(unit.keyBegin, splitKeys), keys);
    emitUnit(unit);
  });
}

/// The partial softmax of every part, brought to a common maximum.
void AttentionEmitter::emitCombine() {
  Value pairs = b.mul(batches, spec.kvHeads);
  int64_t stride = geometry.valueStride + lanes;
  b.forall(
      {arith::MulIOp::create(b, pairs, groupRows)}, 1, [&](ValueRange ids) {
        Value base =
            b.add(layout.partials,
                  b.mul(arith::MulIOp::create(b, ids[0], splits), stride));
        auto partOf = [&](Value part) {
          return b.add(base, b.mul(part, stride));
        };
        auto maxOf = [&](Value part) {
          return b.loadScalar(scratch, b.add(part, geometry.valueStride));
        };
        Value max = b.forRange(b.index(0), splits, 1, {b.scalar(-kInfinity)},
                               [&](Value s, ValueRange args) {
                                 Value m = maxOf(partOf(s));
                                 return SmallVector<Value>{b.max(m, args[0])};
                               })[0];
        Value reference = finiteMax(max);
        Value negated = b.broadcast(negateForExp(reference));
        Value sums = b.stack({1, geometry.valueStride});
        Value zero = b.index(0);
        forColumns([&](Value c) { b.store(b.splat(0.0), sums, {zero, c}); });
        Value total = b.forRange(
            zero, splits, 1, {b.scalar(0.0)}, [&](Value s, ValueRange args) {
              Value part = partOf(s);
              Value factor = expOfDifference(b.broadcast(maxOf(part)), negated);
              forColumns([&](Value c) {
                Value sum = b.fma(factor, b.load(scratch, b.add(part, c)),
                                  b.load(sums, {zero, c}));
                b.store(sum, sums, {zero, c});
              });
              Value first = vector::ExtractOp::create(b, factor, 0);
              Value partTotal =
                  b.loadScalar(scratch, b.add(part, geometry.valueStride + 1));
              return SmallVector<Value>{b.fma(first, partTotal, args[0])};
            })[0];

        Value pair = arith::DivUIOp::create(b, ids[0], groupRows);
        Value row = arith::RemUIOp::create(b, ids[0], groupRows);
        Value kvHead = b.rem(pair, spec.kvHeads);
        AttentionPoint point = basePoint();
        point.batch = b.divFloor(pair, spec.kvHeads);
        point.row = b.divFloor(row, geometry.group);
        point.head =
            b.add(b.mul(kvHead, geometry.group), b.rem(row, geometry.group));
        writeRow(point, kvHead, sums, zero, total);
      });
}

//===----------------------------------------------------------------------===//
// A unit of work
//===----------------------------------------------------------------------===//

void AttentionEmitter::allocate(Unit &unit) {
  unit.queries = b.stack({kRowBlock, geometry.queryStride});
  unit.scores = b.stack({kRowBlock, kScoreStride});
  unit.sums = b.stack({kRowBlock, geometry.valueStride});
  unit.maxima = b.stack({kRowBlock});
  unit.totals = b.stack({kRowBlock});
  if (spec.headScale)
    unit.factors = b.stack({kRowBlock});
  if (!rangeBounds())
    return;
  unit.rowBegin = stackIndices(kRowBlock);
  unit.rowEnd = stackIndices(kRowBlock);
  unit.tileBegin = stackIndices(kRowBlock / tile.rows);
  unit.tileEnd = stackIndices(kRowBlock / tile.rows);
}

void AttentionEmitter::emitUnit(Unit &unit) {
  allocate(unit);
  Span span = initRows(unit);
  if (rangeBounds())
    initTileRanges(unit);
  Value begin = alignDown(span.begin, tile.columns());
  b.forRange(begin, span.end, kKeyBlock, [&](Value first) {
    KeyBlock block;
    block.begin = first;
    block.end = b.minIndex(b.add(first, kKeyBlock), span.end);
    block.size = b.sub(block.end, first);
    emitKeyBlock(unit, block);
  });
  b.forRange(b.index(0), unit.count, 1,
             [&](Value row) { finishRow(unit, row); });
}

/// Fills the stack buffers for every row and returns the keys that the unit
/// needs. Rows behind the last one, up to a whole tile, are zero and need none.
AttentionEmitter::Span AttentionEmitter::initRows(const Unit &unit) {
  Value zero = b.index(0);
  auto clearRow = [&](Value row) {
    forColumns([&](Value c) { b.store(b.splat(0.0), unit.sums, {row, c}); });
    b.storeScalar(b.scalar(-kInfinity), unit.maxima, row);
    b.storeScalar(b.scalar(0.0), unit.totals, row);
  };
  auto results =
      b.forRange(zero, unit.count, 1, {unit.keyEnd, unit.keyBegin},
                 [&](Value row, ValueRange args) {
                   clearRow(row);
                   Span span = initRow(unit, row);
                   return SmallVector<Value>{minSigned(args[0], span.begin),
                                             maxSigned(args[1], span.end)};
                 });
  b.forRange(unit.count, b.mul(unit.tiles, tile.rows), 1, [&](Value row) {
    clearRow(row);
    for (int64_t c = 0; c < geometry.queryStride; c += lanes)
      b.store(b.splat(0.0), unit.queries, {row, b.index(c)});
    if (spec.headScale)
      b.storeScalar(b.scalar(0.0), unit.factors, row);
    if (!rangeBounds())
      return;
    b.storeScalar(unit.keyEnd, unit.rowBegin, row);
    b.storeScalar(unit.keyBegin, unit.rowEnd, row);
  });
  if (!rangeBounds())
    return {unit.keyBegin, unit.keyEnd};
  return {results[0], results[1]};
}

AttentionEmitter::Span AttentionEmitter::initRow(const Unit &unit, Value row) {
  AttentionPoint point = pointOf(unit, row);
  loadQuery(unit, row, point);
  if (spec.headScale) {
    Value factor = spec.headScale(b, b.getLoc(), point);
    Value scale = b.scalar(geometry.scoreFactor);
    b.storeScalar(arith::MulFOp::create(b, factor, scale), unit.factors, row);
  }
  if (!rangeBounds())
    return {unit.keyBegin, unit.keyEnd};
  auto [first, last] = spec.range(b, b.getLoc(), point);
  Value begin = clamp(first, unit.keyBegin, unit.keyEnd);
  Value end = clamp(last, begin, unit.keyEnd);
  b.storeScalar(begin, unit.rowBegin, row);
  b.storeScalar(end, unit.rowEnd, row);
  // A row without keys must not widen the unit's span.
  Value isEmpty = compare(arith::CmpIPredicate::eq, begin, end);
  return {arith::SelectOp::create(b, isEmpty, unit.keyEnd, begin),
          arith::SelectOp::create(b, isEmpty, unit.keyBegin, end)};
}

void AttentionEmitter::loadQuery(const Unit &unit, Value row,
                                 const AttentionPoint &point) {
  Value source = query.row(b, {point.batch, point.head, point.row});
  Value factor = b.splat(geometry.queryFactor);
  auto copy = [&](Value column, int64_t count) {
    Value q = query.loadPadded(b, source, column, count);
    b.store(arith::MulFOp::create(b, q, factor), unit.queries, {row, column});
  };
  int64_t whole = spec.headDim / lanes * lanes;
  b.forRange(b.index(0), b.index(whole), lanes,
             [&](Value c) { copy(c, lanes); });
  if (whole < spec.headDim)
    copy(b.index(whole), spec.headDim - whole);
}

void AttentionEmitter::initTileRanges(const Unit &unit) {
  b.forRange(b.index(0), unit.tiles, 1, [&](Value number) {
    Value begin = unit.keyEnd, end = unit.keyBegin;
    for (int64_t r = 0; r < tile.rows; ++r) {
      Value row = b.add(b.mul(number, tile.rows), r);
      Value first = b.loadScalar(unit.rowBegin, row);
      Value last = b.loadScalar(unit.rowEnd, row);
      Value isEmpty = compare(arith::CmpIPredicate::sge, first, last);
      begin = minSigned(
          begin, arith::SelectOp::create(b, isEmpty, unit.keyEnd, first));
      end = maxSigned(end,
                      arith::SelectOp::create(b, isEmpty, unit.keyBegin, last));
    }
    b.storeScalar(begin, unit.tileBegin, number);
    b.storeScalar(end, unit.tileEnd, number);
  });
}

void AttentionEmitter::emitKeyBlock(const Unit &unit, const KeyBlock &block) {
  chooseWay([&] { emitTileScores(unit, block); },
            [&] { emitStreamedScores(unit, block); });
  prepareScores(unit, block);
  chooseWay(
      [&] {
        b.forRange(
            b.index(0), b.mul(unit.tiles, tile.rows), kSoftmaxRows,
            [&](Value row) { emitSoftmax(unit, block, row, kSoftmaxRows); });
        emitTileValues(unit, block);
      },
      [&] {
        b.forRange(b.index(0), unit.count, 1,
                   [&](Value row) { emitSoftmax(unit, block, row, 1); });
        emitStreamedValues(unit, block);
      });
}

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

void AttentionEmitter::emitTileScores(const Unit &unit, const KeyBlock &block) {
  Value end = alignUp(block.size, tile.columns());
  b.forRange(b.index(0), end, tile.columns(), [&](Value key) {
    b.forRange(b.index(0), unit.tiles, 1, [&](Value number) {
      if (!rangeBounds())
        return emitTileScores(unit, block, key, number);
      Value first = b.add(block.begin, key);
      Value reaches = compare(arith::CmpIPredicate::slt, first,
                              b.loadScalar(unit.tileEnd, number));
      Value starts =
          compare(arith::CmpIPredicate::sgt, b.add(first, tile.columns()),
                  b.loadScalar(unit.tileBegin, number));
      b.ifThen(arith::AndIOp::create(b, reaches, starts),
               [&] { emitTileScores(unit, block, key, number); });
    });
  });
}

/// How many products one running sum takes: short sums round less than a long
/// one. Heads without a fitting divisor are taken whole.
static int64_t getPartOfHead(int64_t headDim) {
  if (headDim <= 64)
    return headDim;
  for (int64_t part = 64; part >= 16; part -= 2)
    if (headDim % part == 0)
      return part;
  return headDim;
}

void AttentionEmitter::emitTileScores(const Unit &unit, const KeyBlock &block,
                                      Value key, Value number) {
  Value panel = b.add(
      layout.keys,
      b.mul(b.add(b.mul(unit.pair, layout.keysPadded), b.add(block.begin, key)),
            spec.headDim));
  Value row = b.mul(number, tile.rows);
  SmallVector<Value> zeros(tile.rows * tile.vectors, b.splat(0.0));
  auto multiply = [&](Value first, Value last) {
    return emitTile(
        b, tile.rows, tile.vectors, first, last, spec.headDim % 2 == 0 ? 2 : 1,
        zeros,
        [&](int64_t r, Value c) {
          return b.loadScalar(unit.queries, {b.add(row, r), c});
        },
        [&](int64_t n, Value c) {
          return b.load(scratch, b.add(b.add(panel, b.mul(c, tile.columns())),
                                       n * lanes));
        });
  };
  int64_t part = getPartOfHead(spec.headDim);
  SmallVector<Value> sums;
  if (part == spec.headDim)
    sums = multiply(b.index(0), b.index(part));
  else
    sums = b.forRange(b.index(0), b.index(spec.headDim), part, zeros,
                      [&](Value first, ValueRange args) {
                        auto next = multiply(first, b.add(first, part));
                        for (auto [sum, before] : llvm::zip(next, args))
                          sum = arith::AddFOp::create(b, sum, before);
                        return next;
                      });
  for (int64_t r = 0; r < tile.rows; ++r)
    storeScores(unit, b.add(row, r), key,
                ArrayRef(sums).slice(r * tile.vectors, tile.vectors));
}

/// What is left of the scale is applied here: a query that it has rounded would
/// err in the same direction for all keys.
void AttentionEmitter::storeScores(const Unit &unit, Value row, Value key,
                                   ArrayRef<Value> sums) {
  auto type = cast<VectorType>(sums.front().getType());
  Value factor;
  if (spec.headScale)
    factor = b.loadScalar(unit.factors, row);
  else if (geometry.scoreFactor != 1.0)
    factor = b.scalar(geometry.scoreFactor);
  if (factor)
    factor = vector::BroadcastOp::create(b, type, factor);
  for (auto [n, sum] : llvm::enumerate(sums)) {
    Value score = factor ? arith::MulFOp::create(b, sum, factor) : sum;
    b.store(score, unit.scores, {row, b.add(key, n * type.getNumElements())});
  }
}

/// Row after row over keys that stay in the first cache.
void AttentionEmitter::emitStreamedScores(const Unit &unit,
                                          const KeyBlock &block) {
  Value head = key.row(b, {unit.batch, unit.kvHead, b.index(0)});
  b.forRange(b.index(0), block.size, kStreamChunk, [&](Value first) {
    Value last = b.minIndex(b.add(first, kStreamChunk), block.size);
    b.forRange(b.index(0), unit.count, 1, [&](Value row) {
      b.forRange(first, last, getDotGroup(), [&](Value number) {
        auto sums = emitDots(unit, row, head, b.add(block.begin, number));
        storeScores(unit, row, number, sumLanesOfEach(b, sums));
      });
    });
  });
}

/// Several keys at a time, each a dot product along the head, not yet summed
/// over the lanes.
SmallVector<Value> AttentionEmitter::emitDots(const Unit &unit, Value row,
                                              Value head, Value first) {
  int64_t count = getDotGroup();
  Value last = b.add(keys, -1);
  SmallVector<Value> source;
  for (int64_t u = 0; u < count; ++u)
    source.push_back(
        b.add(head, b.mul(b.minIndex(b.add(first, u), last), key.strides[2])));
  auto multiply = [&](Value column, int64_t width, ValueRange sums) {
    Value q = b.load(unit.queries, {row, column});
    SmallVector<Value> next;
    for (int64_t u = 0; u < count; ++u)
      next.push_back(
          b.fma(key.loadPadded(b, source[u], column, width), q, sums[u]));
    return next;
  };
  int64_t whole = spec.headDim / lanes * lanes;
  SmallVector<Value> sums(count, b.splat(0.0));
  sums = b.forRange(
      b.index(0), b.index(whole), lanes, sums,
      [&](Value c, ValueRange args) { return multiply(c, lanes, args); });
  if (whole < spec.headDim)
    sums = multiply(b.index(whole), spec.headDim - whole, sums);
  return sums;
}

//===----------------------------------------------------------------------===//
// Softmax of one row's block
//===----------------------------------------------------------------------===//

AttentionPoint AttentionEmitter::basePoint() {
  AttentionPoint point;
  point.arguments = maskArguments;
  point.rows = rows;
  point.keys = keys;
  return point;
}

AttentionPoint AttentionEmitter::pointOf(const Unit &unit, Value row) {
  Value number = b.add(unit.firstRow, row);
  AttentionPoint point = basePoint();
  point.batch = unit.batch;
  point.row = b.divFloor(number, geometry.group);
  point.head = unit.head0;
  if (geometry.group > 1)
    point.head = b.add(unit.head0, b.rem(number, geometry.group));
  return point;
}

/// The row's keys, counted from the block's first.
AttentionEmitter::Span
AttentionEmitter::rowSpan(const Unit &unit, const KeyBlock &block, Value row) {
  if (!rangeBounds())
    return {b.index(0), block.size};
  auto relative = [&](Value bound) {
    return clamp(b.sub(b.loadScalar(bound, row), block.begin), b.index(0),
                 block.size);
  };
  return {relative(unit.rowBegin), relative(unit.rowEnd)};
}

AttentionEmitter::Span AttentionEmitter::tileSpan(const Unit &unit,
                                                  const KeyBlock &block,
                                                  Value number) {
  if (!rangeBounds())
    return {b.index(0), block.size};
  auto relative = [&](Value bound) {
    return clamp(b.sub(b.loadScalar(bound, number), block.begin), b.index(0),
                 block.size);
  };
  return {relative(unit.tileBegin), relative(unit.tileEnd)};
}

/// Scores of row `row` that the softmax reads: the keys of the row's tile, in
/// whole pairs of vectors.
AttentionEmitter::Span AttentionEmitter::softmaxSpan(const Unit &unit,
                                                     const KeyBlock &block,
                                                     Value row) {
  Span tileKeys = tileSpan(unit, block, b.divFloor(row, tile.rows));
  return {alignDown(tileKeys.begin, 2 * lanes),
          alignUp(tileKeys.end, 2 * lanes)};
}

/// Everything that needs a row's coordinates; where there is nothing of the
/// kind, only the end of the keys is left to cut off.
void AttentionEmitter::prepareScores(const Unit &unit, const KeyBlock &block) {
  auto prepareAll = [&] {
    b.forRange(b.index(0), unit.count, 1,
               [&](Value row) { prepareScores(unit, block, row); });
  };
  if (spec.softcap != 0.0 || hasElementwise() || rangeBounds())
    return prepareAll();
  Value rest = b.rem(block.size, 2 * lanes);
  b.ifThen(compare(arith::CmpIPredicate::ne, rest, b.index(0)), prepareAll);
}

void AttentionEmitter::prepareScores(const Unit &unit, const KeyBlock &block,
                                     Value row) {
  Span span = softmaxSpan(unit, block, row);
  Span own = rowSpan(unit, block, row);
  own.begin = clamp(own.begin, span.begin, span.end);
  own.end = clamp(own.end, own.begin, span.end);

  if (spec.softcap != 0.0)
    applySoftcap(unit, row, span);
  if (hasElementwise())
    applyElementwise(unit, block, row, own);
  Value nothing = b.scalar(-kInfinity);
  auto drop = [&](Value begin, Value end) {
    b.forRange(begin, end, 1,
               [&](Value j) { b.storeScalar(nothing, unit.scores, {row, j}); });
  };
  if (rangeBounds())
    drop(span.begin, own.begin);
  drop(own.end, span.end);
}

/// `count` rows of one tile at a time, which hide each other's latencies.
void AttentionEmitter::emitSoftmax(const Unit &unit, const KeyBlock &block,
                                   Value firstRow, int64_t count) {
  Span span = softmaxSpan(unit, block, firstRow);
  SmallVector<Value> rowNumbers, before, negated;
  for (int64_t r = 0; r < count; ++r)
    rowNumbers.push_back(b.add(firstRow, r));
  SmallVector<Value> max = maskAndFindMax(unit, block, rowNumbers, span);
  for (int64_t r = 0; r < count; ++r) {
    before.push_back(b.loadScalar(unit.maxima, rowNumbers[r]));
    max[r] = b.max(max[r], before[r]);
    b.storeScalar(max[r], unit.maxima, rowNumbers[r]);
    negated.push_back(b.broadcast(negateForExp(finiteMax(max[r]))));
  }
  SmallVector<Value> sums = exponentiate(unit, rowNumbers, span, negated);
  for (int64_t r = 0; r < count; ++r) {
    Value factor = expOfDifference(b.broadcast(before[r]), negated[r]);
    Value total = b.fma(b.loadScalar(unit.totals, rowNumbers[r]),
                        vector::ExtractOp::create(b, factor, 0), sums[r]);
    b.storeScalar(total, unit.totals, rowNumbers[r]);
    // Before the first key all sums are zero.
    Value isLater = arith::CmpFOp::create(b, arith::CmpFPredicate::ONE,
                                          before[r], b.scalar(-kInfinity));
    Value grew =
        arith::CmpFOp::create(b, arith::CmpFPredicate::ONE, before[r], max[r]);
    b.ifThen(arith::AndIOp::create(b, isLater, grew),
             [&] { rescale(unit, rowNumbers[r], factor); });
  }
}

void AttentionEmitter::applySoftcap(const Unit &unit, Value row, Span span) {
  Value inverse = b.splat(1.0 / spec.softcap);
  Value cap = b.splat(spec.softcap);
  b.forRange(span.begin, span.end, lanes, [&](Value j) {
    Value score = b.load(unit.scores, {row, j});
    Value angle = arith::MulFOp::create(b, score, inverse);
    Value capped =
        arith::MulFOp::create(b, math::TanhOp::create(b, angle), cap);
    b.store(capped, unit.scores, {row, j});
  });
}

/// One scalar loop over the row's keys: whatever the callbacks build, LLVM
/// vectorises it if it can be.
void AttentionEmitter::applyElementwise(const Unit &unit, const KeyBlock &block,
                                        Value row, Span span) {
  AttentionPoint point = pointOf(unit, row);
  b.forRange(span.begin, span.end, 1, [&](Value j) {
    point.key = b.add(block.begin, j);
    Value score = b.loadScalar(unit.scores, {row, j});
    if (spec.bias)
      score = arith::AddFOp::create(b, score, spec.bias(b, b.getLoc(), point));
    if (Value keep = getPredicate(unit, row, point)) {
      if (isSoft()) {
        Value addend = arith::SelectOp::create(b, keep, b.scalar(0.0),
                                               b.scalar(spec.negative));
        score = arith::AddFOp::create(b, score, addend);
      } else {
        score = arith::SelectOp::create(b, keep, score, b.scalar(-kInfinity));
      }
    }
    b.storeScalar(score, unit.scores, {row, j});
  });
}

/// Whether the key stays, as far as loop bounds and the key mask do not say;
/// null if they say it all.
Value AttentionEmitter::getPredicate(const Unit &unit, Value row,
                                     const AttentionPoint &point) {
  Value keep;
  auto also = [&](Value condition) {
    keep = keep ? arith::AndIOp::create(b, keep, condition) : condition;
  };
  if (isSoft() && spec.range) {
    auto [first, last] = spec.range(b, b.getLoc(), point);
    also(compare(arith::CmpIPredicate::sge, point.key, first));
    also(compare(arith::CmpIPredicate::slt, point.key, last));
  }
  if (spec.predicate)
    also(spec.predicate(b, b.getLoc(), point));
  if (spec.keyPredicate && !geometry.hasKeyMask)
    also(spec.keyPredicate(b, b.getLoc(), point));
  return keep;
}

SmallVector<Value> AttentionEmitter::maskAndFindMax(const Unit &unit,
                                                    const KeyBlock &block,
                                                    ArrayRef<Value> rowNumbers,
                                                    Span span) {
  Value mask = b.add(b.mul(unit.batch, layout.keysPadded), block.begin);
  auto loadScore = [&](Value row, Value column, Value limit) {
    Value score = b.load(unit.scores, {row, column});
    if (!limit)
      return score;
    score = isSoft() ? arith::AddFOp::create(b, score, limit).getResult()
                     : b.min(score, limit);
    b.store(score, unit.scores, {row, column});
    return score;
  };
  return reduceRows(
      rowNumbers, span, -kInfinity,
      [&](Value column, MutableArrayRef<Value> max) {
        Value limit;
        if (geometry.hasKeyMask)
          limit = b.load(scratch, b.add(mask, column));
        for (auto [row, rowMax] : llvm::zip(rowNumbers, max))
          rowMax = b.max(loadScore(row, column, limit), rowMax);
      },
      [&](Value x, Value y) { return b.max(x, y); },
      [&](Value vector) { return b.reduceMax(vector); });
}

/// Scores become probabilities in place; returns their sums.
SmallVector<Value> AttentionEmitter::exponentiate(const Unit &unit,
                                                  ArrayRef<Value> rowNumbers,
                                                  Span span,
                                                  ArrayRef<Value> negatedMax) {
  return reduceRows(
      rowNumbers, span, 0.0,
      [&](Value column, MutableArrayRef<Value> sums) {
        for (auto [row, max, sum] : llvm::zip(rowNumbers, negatedMax, sums)) {
          Value p = expOfDifference(b.load(unit.scores, {row, column}), max);
          b.store(p, unit.scores, {row, column});
          sum = arith::AddFOp::create(b, sum, p);
        }
      },
      [&](Value x, Value y) -> Value { return arith::AddFOp::create(b, x, y); },
      [&](Value vector) { return b.reduceAdd(vector); });
}

/// A loop over the vectors of `span`, two at a time, with an accumulator per
/// row and vector; `step` takes a column and one accumulator per row.
SmallVector<Value> AttentionEmitter::reduceRows(
    ArrayRef<Value> rowNumbers, Span span, double init,
    function_ref<void(Value, MutableArrayRef<Value>)> step,
    function_ref<Value(Value, Value)> join, function_ref<Value(Value)> reduce) {
  size_t count = rowNumbers.size();
  // One row alone needs a second chain to keep the units busy.
  size_t chains = count == 1 ? 2 : 1;
  SmallVector<Value> inits(chains * count, b.splat(init));
  SmallVector<Value> sums =
      b.forRange(span.begin, span.end, chains * lanes, inits,
                 [&](Value j, ValueRange args) {
                   SmallVector<Value> next(args.begin(), args.end());
                   for (size_t n = 0; n < chains; ++n)
                     step(b.add(j, n * lanes),
                          MutableArrayRef(next).slice(n * count, count));
                   return next;
                 });
  SmallVector<Value> results;
  for (size_t r = 0; r < count; ++r)
    results.push_back(
        reduce(chains == 1 ? sums[r] : join(sums[r], sums[count + r])));
  return results;
}

void AttentionEmitter::rescale(const Unit &unit, Value row, Value factor) {
  forColumns([&](Value c) {
    Value sum = b.load(unit.sums, {row, c});
    b.store(arith::MulFOp::create(b, sum, factor), unit.sums, {row, c});
  });
}

/// A row that has seen no key has the maximum -inf; the difference to it must
/// be -inf, not NaN.
Value AttentionEmitter::finiteMax(Value max) {
  Value isNothing = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, max,
                                          b.scalar(-kInfinity));
  return arith::SelectOp::create(b, isNothing, b.scalar(0.0), max);
}

Value AttentionEmitter::negateForExp(Value max) {
  return arith::MulFOp::create(b, max, b.scalar(-kLog2E));
}

/// 2^t by splitting t into an integer, which is added to the exponent field,
/// and a fraction in [-1/2, 1/2], whose power of two is a polynomial of degree
/// 5 (relative error 9e-8 before rounding). Its constant term is 1 exactly, so
/// that the smallest t, -127, gives the bits of +0.
Value AttentionEmitter::expOfDifference(Value score, Value negatedMax) {
  static const double coefficients[] = {
      0.0013264727197128297, 0.009671512639645302, 0.05550733743252026,
      0.24022242085375173,   0.6931469775991632,   1.0};
  Value t = b.fma(score, b.splat(kLog2E), negatedMax);
  t = b.max(b.splat(-127.0), t);
  Value integer = math::RoundEvenOp::create(b, t);
  Value fraction = arith::SubFOp::create(b, t, integer);
  Value power = b.splat(coefficients[0]);
  for (double coefficient : llvm::drop_begin(coefficients))
    power = b.fma(power, fraction, b.splat(coefficient));

  auto bits = VectorType::get({lanes}, b.getI32Type());
  Value shift = arith::ConstantOp::create(b, DenseElementsAttr::get(bits, 23));
  Value exponent = arith::ShLIOp::create(
      b, arith::FPToSIOp::create(b, bits, integer), shift);
  Value sum = arith::AddIOp::create(b, arith::BitcastOp::create(b, bits, power),
                                    exponent);
  return arith::BitcastOp::create(b, b.getVectorType(), sum);
}

//===----------------------------------------------------------------------===//
// Probabilities times values
//===----------------------------------------------------------------------===//

void AttentionEmitter::emitTileValues(const Unit &unit, const KeyBlock &block) {
  Value base =
      b.add(layout.values, b.mul(b.mul(unit.pair, keys), geometry.valueStride));
  auto forTiles = [&](Value panel, Value column, int64_t vectors) {
    Value start = b.add(b.add(base, b.mul(b.mul(panel, keys), tile.columns())),
                        b.mul(block.begin, vectors * lanes));
    b.forRange(b.index(0), unit.tiles, 1, [&](Value number) {
      emitTileValues(unit, block, number, start, column, vectors);
    });
  };
  b.forRange(b.index(0), b.index(geometry.fullPanels), 1, [&](Value panel) {
    forTiles(panel, b.mul(panel, tile.columns()), tile.vectors);
  });
  if (geometry.tailWidth)
    forTiles(b.index(geometry.fullPanels),
             b.index(geometry.fullPanels * tile.columns()),
             geometry.tailWidth / lanes);
}

void AttentionEmitter::emitTileValues(const Unit &unit, const KeyBlock &block,
                                      Value number, Value start, Value column,
                                      int64_t vectors) {
  Span span = tileSpan(unit, block, number);
  Value row = b.mul(number, tile.rows);
  auto place = [&](int64_t r, int64_t n) {
    return SmallVector<Value>{b.add(row, r), b.add(column, n * lanes)};
  };
  // The block's own sum first: short sums round less than one long one.
  SmallVector<Value> sums(tile.rows * vectors, b.splat(0.0));
  sums = emitTile(
      b, tile.rows, vectors, span.begin, span.end, 1, sums,
      [&](int64_t r, Value j) {
        return b.loadScalar(unit.scores, {b.add(row, r), j});
      },
      [&](int64_t n, Value j) {
        return b.load(
            scratch, b.add(b.add(start, b.mul(j, vectors * lanes)), n * lanes));
      });
  for (int64_t r = 0; r < tile.rows; ++r)
    for (int64_t n = 0; n < vectors; ++n)
      addToSums(unit, place(r, n), sums[r * vectors + n]);
}

void AttentionEmitter::addToSums(const Unit &unit, ArrayRef<Value> place,
                                 Value sum) {
  Value before = b.load(unit.sums, place);
  b.store(arith::AddFOp::create(b, before, sum), unit.sums, place);
}

void AttentionEmitter::emitStreamedValues(const Unit &unit,
                                          const KeyBlock &block) {
  b.forRange(b.index(0), block.size, kStreamChunk, [&](Value first) {
    Value last = b.minIndex(b.add(first, kStreamChunk), block.size);
    b.forRange(b.index(0), unit.count, 1, [&](Value row) {
      if (!rangeBounds())
        return emitStreamedValues(unit, block, row, {first, last});
      Span own = rowSpan(unit, block, row);
      emitStreamedValues(
          unit, block, row,
          {maxSigned(own.begin, first), minSigned(own.end, last)});
    });
  });
}

/// As many columns at a time as half the registers hold.
void AttentionEmitter::emitStreamedValues(const Unit &unit,
                                          const KeyBlock &block, Value row,
                                          Span span) {
  Value head = value.row(b, {unit.batch, unit.kvHead, block.begin});
  int64_t width = b.getTarget().registers / 2 * lanes;
  for (int64_t first = 0; first < spec.valueDim; first += width) {
    int64_t last = std::min(first + width, spec.valueDim);
    SmallVector<Value> sums(llvm::divideCeil(last - first, lanes),
                            b.splat(0.0));
    sums = b.forRange(
        span.begin, span.end, 1, sums, [&](Value j, ValueRange args) {
          Value source = b.add(head, b.mul(j, value.strides[2]));
          Value p = b.broadcast(b.loadScalar(unit.scores, {row, j}));
          SmallVector<Value> next;
          for (int64_t c = first; c < last; c += lanes)
            next.push_back(
                b.fma(p, value.loadPadded(b, source, b.index(c), last - c),
                      args[next.size()]));
          return next;
        });
    for (int64_t c = first; c < last; c += lanes)
      addToSums(unit, {row, b.index(c)}, sums[(c - first) / lanes]);
  }
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

void AttentionEmitter::forColumns(function_ref<void(Value)> body) {
  b.forRange(b.index(0), b.index(geometry.valueStride), lanes, body);
}

void AttentionEmitter::finishRow(const Unit &unit, Value row) {
  Value total = b.loadScalar(unit.totals, row);
  auto write = [&] {
    writeRow(pointOf(unit, row), unit.kvHead, unit.sums, row, total);
  };
  if (geometry.alwaysPacked)
    return write();
  auto branch = scf::IfOp::create(
      b, compare(arith::CmpIPredicate::ule, splits, b.index(1)),
      /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  write();
  b.setInsertionPointToStart(branch.elseBlock());
  Value number = b.add(arith::MulIOp::create(b, unit.pair, groupRows),
                       b.add(unit.firstRow, row));
  number = b.add(arith::MulIOp::create(b, number, splits), unit.split);
  Value part =
      b.add(layout.partials, b.mul(number, geometry.valueStride + lanes));
  forColumns([&](Value c) {
    b.store(b.load(unit.sums, {row, c}), scratch, b.add(part, c));
  });
  b.storeScalar(b.loadScalar(unit.maxima, row), scratch,
                b.add(part, geometry.valueStride));
  b.storeScalar(total, scratch, b.add(part, geometry.valueStride + 1));
}

/// A total of zero means that the row has seen no key: otherwise the largest
/// probability, 1, is in it.
void AttentionEmitter::writeRow(const AttentionPoint &point, Value kvHead,
                                Value sums, Value sumRow, Value total) {
  Value number = b.add(arith::MulIOp::create(b, point.batch, rows), point.row);
  Value target =
      b.add(outputOffset,
            b.mul(b.add(b.mul(number, spec.heads), point.head), spec.valueDim));
  Value isEmpty =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, total, b.scalar(0.0));
  // For the mode NaN this is 0 * inf.
  Value inverse = arith::DivFOp::create(b, b.scalar(1.0), total);
  if (spec.emptyRows == AttentionRows::Zero)
    inverse = arith::SelectOp::create(b, isEmpty, b.scalar(0.0), inverse);
  Value factor = b.broadcast(inverse);
  writeColumns(target, [&](Value c) -> Value {
    return arith::MulFOp::create(b, b.load(sums, {sumRow, c}), factor);
  });
  if (spec.emptyRows == AttentionRows::Mean)
    b.ifThen(isEmpty, [&] { writeMeanRow(point.batch, kvHead, target); });
}

void AttentionEmitter::writeColumns(Value target,
                                    function_ref<Value(Value)> column) {
  int64_t whole = spec.valueDim / lanes * lanes;
  b.forRange(b.index(0), b.index(whole), lanes,
             [&](Value c) { b.store(column(c), output, b.add(target, c)); });
  if (whole < spec.valueDim)
    b.store(column(b.index(whole)), output, b.add(target, whole),
            b.firstLanes(spec.valueDim - whole));
}

void AttentionEmitter::writeMeanRow(Value batch, Value kvHead, Value target) {
  Value head = value.row(b, {batch, kvHead, b.index(0)});
  Value count = arith::SIToFPOp::create(
      b, b.getF32Type(), arith::IndexCastOp::create(b, b.getI64Type(), keys));
  Value inverse = b.broadcast(arith::DivFOp::create(b, b.scalar(1.0), count));
  auto mean = [&](Value column, int64_t width) -> Value {
    Value sum = b.forRange(
        b.index(0), keys, 1, {b.splat(0.0)}, [&](Value j, ValueRange args) {
          Value row = b.add(head, b.mul(j, value.strides[2]));
          Value v = value.loadPadded(b, row, column, width);
          return SmallVector<Value>{arith::AddFOp::create(b, args[0], v)};
        })[0];
    return arith::MulFOp::create(b, sum, inverse);
  };
  int64_t whole = spec.valueDim / lanes * lanes;
  b.forRange(b.index(0), b.index(whole), lanes, [&](Value c) {
    b.store(mean(c, lanes), output, b.add(target, c));
  });
  if (whole < spec.valueDim)
    b.store(mean(b.index(whole), spec.valueDim - whole), output,
            b.add(target, whole), b.firstLanes(spec.valueDim - whole));
}
