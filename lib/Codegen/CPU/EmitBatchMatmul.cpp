//===- EmitBatchMatmul.cpp - products of two activations ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The right operand is packed into column panels
// [batch][panel][depth][tile columns], zero padded; then every block of rows is
// a unit of work that walks the panels with register tiles.
//
//===----------------------------------------------------------------------===//

#include "RegisterTile.h"
#include "lathe/Codegen/CPU/BatchMatmul.h"
#include "lathe/Codegen/CPU/StridedView.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

/// Rows of a unit of work: whole register tiles.
static constexpr int64_t kRowBlock = 24;
/// Depth that one unit packs.
static constexpr int64_t kPackDepth = 64;

namespace {
class BatchMatmulEmitter {
public:
  BatchMatmulEmitter(func::FuncOp function, const BatchMatmulSpec &spec,
                     const CpuTarget &target)
      : b(function, target), tile(target) {
    ValueRange arguments = function.getArguments().drop_front();
    left = takeView(arguments, 4, spec.unitLeft);
    right = takeView(arguments, 4, spec.unitRight);
    output = takeView(arguments, 3, true);
    output.strides.push_back(b.index(1));
    scratch = takeArgument(arguments);
    outer = takeArgument(arguments);
    inner = takeArgument(arguments);
    rows = takeArgument(arguments);
    columns = takeArgument(arguments);
    depth = takeArgument(arguments);
  }

  void emit();

private:
  void emitPacking();
  void packRow(Value source, Value firstColumn, Value target);
  void emitBlocks();
  void emitRows(Value x, Value y, Value panelBase, Value firstColumn,
                Value firstRow, int64_t count);
  /// `width` columns or, at the right edge, as many as there are; 0 in the
  /// other lanes.
  Value loadEdge(Value source, Value column, Value left);

  Value mul(Value lhs, Value rhs) { return arith::MulIOp::create(b, lhs, rhs); }

  KernelBuilder b;
  RegisterTile tile;
  StridedView left, right, output;
  Value scratch, outer, inner, rows, columns, depth;
  Value panels, batches;
};
} // namespace

func::FuncOp lathe::emitBatchMatmulKernel(ModuleOp module, StringRef name,
                                          const BatchMatmulSpec &spec,
                                          const CpuTarget &target) {
  Type f32 = Float32Type::get(module.getContext());
  Type index = IndexType::get(module.getContext());
  SmallVector<Type> types;
  appendViewTypes(types, spec.leftType ? spec.leftType : f32, 4);
  appendViewTypes(types, spec.rightType ? spec.rightType : f32, 4);
  appendViewTypes(types, f32, 3);
  types.push_back(MemRefType::get({ShapedType::kDynamic}, f32));
  types.append(5, index);
  auto function = createKernel(module, name, types, module.getLoc());
  BatchMatmulEmitter(function, spec, target).emit();
  return function;
}

Value lathe::emitBatchMatmulScratchSize(OpBuilder &builder, Location loc,
                                        const CpuTarget &target, Value batches,
                                        Value columns, Value depth) {
  ImplicitLocOpBuilder b(loc, builder);
  Value width =
      arith::ConstantIndexOp::create(b, RegisterTile(target).columns());
  Value panels = arith::CeilDivUIOp::create(b, columns, width);
  Value padded = arith::MulIOp::create(b, panels, width);
  Value elements = arith::MulIOp::create(b, padded, depth);
  return arith::MulIOp::create(b, elements, batches);
}

void BatchMatmulEmitter::emit() {
  panels = b.divCeil(columns, tile.columns());
  batches = mul(outer, inner);
  emitPacking();
  emitBlocks();
  b.finish();
}

void BatchMatmulEmitter::emitPacking() {
  Value chunks = b.divCeil(depth, kPackDepth);
  b.forall({batches, panels, chunks}, 1, [&](ValueRange ids) {
    Value x = arith::DivUIOp::create(b, ids[0], inner);
    Value y = arith::RemUIOp::create(b, ids[0], inner);
    Value panel = b.add(mul(ids[0], panels), ids[1]);
    Value column = b.mul(ids[1], tile.columns());
    Value first = b.mul(ids[2], kPackDepth);
    Value last = b.minIndex(b.add(first, kPackDepth), depth);
    b.forRange(first, last, 1, [&](Value k) {
      Value target = b.mul(b.add(mul(panel, depth), k), tile.columns());
      packRow(right.row(b, {x, y, k}), column, target);
    });
  });
}

void BatchMatmulEmitter::packRow(Value source, Value firstColumn,
                                 Value target) {
  for (int64_t n = 0; n < tile.vectors; ++n) {
    Value column = b.add(firstColumn, n * tile.lanes);
    // Not below zero: a mask counts lanes.
    Value left = b.sub(columns, b.minIndex(column, columns));
    Value isWhole = arith::CmpIOp::create(b, arith::CmpIPredicate::uge, left,
                                          b.index(tile.lanes));
    auto branch = scf::IfOp::create(b, b.getVectorType(), isWhole,
                                    /*withElseRegion=*/true);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(branch.thenBlock());
      Value whole = right.load(b, source, column, tile.lanes);
      scf::YieldOp::create(b, whole);
      b.setInsertionPointToStart(branch.elseBlock());
      Value edge = loadEdge(source, column, left);
      scf::YieldOp::create(b, edge);
    }
    b.store(branch.getResult(0), scratch, b.add(target, n * tile.lanes));
  }
}

Value BatchMatmulEmitter::loadEdge(Value source, Value column, Value left) {
  auto type = cast<MemRefType>(right.memory.getType());
  if (right.unitColumns && type.getElementType().isF32())
    return b.load(right.memory, right.column(b, source, column),
                  b.firstLanes(left));
  auto sums = b.forRange(
      b.index(0), left, 1, {b.splat(0.0)}, [&](Value lane, ValueRange args) {
        Value scalar = right.loadScalar(b, source, b.add(column, lane));
        Value vector =
            vector::InsertOp::create(b, scalar, args[0], OpFoldResult(lane));
        return SmallVector<Value>{vector};
      });
  return sums[0];
}

void BatchMatmulEmitter::emitBlocks() {
  Value blocks = b.divCeil(rows, kRowBlock);
  b.forall({batches, blocks}, 1, [&](ValueRange ids) {
    Value x = arith::DivUIOp::create(b, ids[0], inner);
    Value y = arith::RemUIOp::create(b, ids[0], inner);
    Value begin = b.mul(ids[1], kRowBlock);
    Value count = b.minIndex(b.sub(rows, begin), b.index(kRowBlock));
    Value whole = b.mul(b.divFloor(count, tile.rows), tile.rows);
    Value rest = b.sub(count, whole);
    b.forRange(b.index(0), panels, 1, [&](Value number) {
      Value base =
          mul(b.mul(b.add(mul(ids[0], panels), number), tile.columns()), depth);
      Value column = b.mul(number, tile.columns());
      b.forRange(b.index(0), whole, tile.rows, [&](Value r) {
        emitRows(x, y, base, column, b.add(begin, r), tile.rows);
      });
      Value first = b.add(begin, whole);
      // The default of a switch serves the last case, so no rows are asked for
      // outside.
      Value isSome =
          arith::CmpIOp::create(b, arith::CmpIPredicate::ne, rest, b.index(0));
      b.ifThen(isSome, [&] {
        b.switchOf(rest, 1, tile.rows - 1,
                   [&](int64_t n) { emitRows(x, y, base, column, first, n); });
      });
    });
  });
}

void BatchMatmulEmitter::emitRows(Value x, Value y, Value panelBase,
                                  Value firstColumn, Value firstRow,
                                  int64_t count) {
  SmallVector<Value> source, target;
  for (int64_t r = 0; r < count; ++r) {
    source.push_back(left.row(b, {x, y, b.add(firstRow, r)}));
    target.push_back(output.row(b, {x, y, b.add(firstRow, r)}));
  }
  SmallVector<Value> sums(count * tile.vectors, b.splat(0.0));
  sums = emitTile(
      b, count, tile.vectors, b.index(0), depth, 1, sums,
      [&](int64_t r, Value k) { return left.loadScalar(b, source[r], k); },
      [&](int64_t n, Value k) {
        return b.load(scratch, b.add(b.add(panelBase, b.mul(k, tile.columns())),
                                     n * tile.lanes));
      });
  for (int64_t n = 0; n < tile.vectors; ++n) {
    Value column = b.add(firstColumn, n * tile.lanes);
    Value left = b.sub(columns, b.minIndex(column, columns));
    Value isWhole = arith::CmpIOp::create(b, arith::CmpIPredicate::uge, left,
                                          b.index(tile.lanes));
    auto storeAll = [&](Value mask) {
      for (int64_t r = 0; r < count; ++r)
        b.store(sums[r * tile.vectors + n], output.memory,
                b.add(target[r], column), mask);
    };
    auto branch = scf::IfOp::create(b, isWhole, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    storeAll({});
    b.setInsertionPointToStart(branch.elseBlock());
    storeAll(b.firstLanes(left));
  }
}
