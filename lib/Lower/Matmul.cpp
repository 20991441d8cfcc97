//===- Matmul.cpp - products of two activations ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StageLowering.h"
#include "lathe/Codegen/CPU/BatchMatmul.h"

using namespace mlir;
using namespace lathe;

/// The ONNX type in which products of `element` are summed.
static Type accumulatorOf(Type element) {
  return isa<FloatType>(element) ? getComputeType(element) : element;
}

static bool isKernelElement(Type element) {
  return element.isF32() || element.isF16() || element.isBF16();
}

/// Whether extents of 1 beside others are all that is broadcast.
static bool broadcastsPlainly(ArrayRef<Poly> shape, ArrayRef<Poly> result) {
  return llvm::all_of(llvm::zip(llvm::reverse(shape), llvm::reverse(result)),
                      [](auto pair) {
                        auto [extent, merged] = pair;
                        return extent == merged || extent.isConstant(1);
                      });
}

/// The operand as (outer, inner, row, column) of a product with `leading`
/// leading dims, which are at most two.
StageLowering::StridedOperand StageLowering::matmulOperand(const Tensor &x,
                                                           unsigned leading,
                                                           bool transposed) {
  IndexExprContext &terms = t.getTerms();
  // The kernel's coordinate of each dim.
  SmallVector<Poly> coords;
  unsigned own = x.rank() - 2;
  for (unsigned k = 0; k < own; ++k)
    coords.push_back(x.shape[k].isConstant(1) ? terms.zero()
                                              : terms.coord(2 - own + k));
  coords.push_back(terms.coord(transposed ? 3 : 2));
  coords.push_back(terms.coord(transposed ? 2 : 3));

  // A view of another tensor is read where it lies.
  if (!x.value)
    if (Atom read = getMovement(x.form)) {
      Tensor base = t.readTensor(read.index());
      SmallVector<Poly> position;
      for (Poly p : read.operands())
        position.push_back(terms.substitute(p, coords));
      if (base.value && isKernelElement(base.element) &&
          llvm::all_of(position, [](Poly p) { return bool(p); }))
        if (auto operand = tryStrided(base, position))
          return *operand;
    }
  Tensor value = t.wrap(t.valueOf(x), x.element, x.shape);
  return *tryStrided(value, coords);
}

Tensor StageLowering::matmul(const Tensor &a, const Tensor &b, bool transA,
                             bool transB) {
  ArrayRef<Poly> left = a.shape, right = b.shape;
  unsigned leading = std::max(a.rank(), b.rank()) - 2;
  SymbolicShape batches = t.broadcast(
      {SymbolicShape(left.drop_back(2)), SymbolicShape(right.drop_back(2))});
  Poly rows = left[a.rank() - (transA ? 1 : 2)];
  Poly depth = left[a.rank() - (transA ? 2 : 1)];
  Poly columns = right[b.rank() - (transB ? 2 : 1)];
  SymbolicShape shape = batches;
  shape.append({rows, columns});

  bool kernel = usesKernels() && isKernelElement(a.element) &&
                isKernelElement(b.element) &&
                broadcastsPlainly(left.drop_back(2), batches) &&
                broadcastsPlainly(right.drop_back(2), batches);
  if (kernel && leading > 2) {
    // Equal leading dims are one.
    if (left.drop_back(2) != right.drop_back(2))
      kernel = false;
    else {
      auto merged = [&](const Tensor &x) {
        return t.reshape(
            x, {t.product(batches), x.shape[leading], x.shape[leading + 1]});
      };
      return t.reshape(matmul(merged(a), merged(b), transA, transB), shape);
    }
  }
  if (!kernel) {
    // Loops: leading dims aligned at the right, then M, N, K.
    int64_t m = leading, n = leading + 1, k = leading + 2;
    auto labels = [&](unsigned rank, int64_t row, int64_t column, bool swap) {
      SmallVector<int64_t> list;
      for (unsigned i = 0; i + 2 < rank; ++i)
        list.push_back(leading - (rank - 2) + i);
      list.push_back(swap ? column : row);
      list.push_back(swap ? row : column);
      return list;
    };
    return t.einsum(
        {a, b},
        {labels(a.rank(), m, k, transA), labels(b.rank(), k, n, transB)},
        llvm::to_vector(llvm::seq<int64_t>(0, leading + 2)),
        accumulatorOf(a.element));
  }

  StridedOperand x = matmulOperand(a, leading, transA);
  StridedOperand y = matmulOperand(b, leading, transB);
  BatchMatmulSpec spec;
  spec.leftType = x.element;
  spec.rightType = y.element;
  spec.unitLeft = x.unitColumns;
  spec.unitRight = y.unitColumns;
  std::string key = "matmul " + typeText(x.element) + typeText(y.element) +
                    (x.unitColumns ? "u" : "s") + (y.unitColumns ? "u" : "s");
  std::string name = getKernel(key, [&](ModuleOp module, StringRef name) {
    return success(bool(emitBatchMatmulKernel(module, name, spec, target)));
  });

  Type f32 = Float32Type::get(source.getContext());
  Poly inner = leading > 0 ? batches.back() : t.poly(1);
  Poly outer = leading > 1 ? batches.front() : t.poly(1);
  Poly area = rows * columns;
  Value scratchSize = emitBatchMatmulScratchSize(
      t.getBuilder(), t.getBuilder().getLoc(), target, t.dim(outer * inner),
      t.dim(columns), t.dim(depth));
  Value scratch = tensor::EmptyOp::create(
      t.getBuilder(), SmallVector<OpFoldResult>{scratchSize}, f32);
  SmallVector<Value> inputs;
  for (const StridedOperand *operand : {&x, &y}) {
    inputs.push_back(operand->value);
    llvm::append_range(inputs, operand->placement);
  }
  for (Poly p : {inner * area, area, columns, outer, inner, rows, depth})
    inputs.push_back(t.dim(p));
  SmallVector<Value> outputs = {t.empty(shape, f32), scratch};
  Value result =
      callOwnKernel("multiply", inputs, outputs, false,
                    [&](Scalars &s, Value ctx, ValueRange in) {
                      SmallVector<Value> arguments = {ctx};
                      for (unsigned operand : {0, 6}) {
                        arguments.push_back(flattenBuffer(s, in[operand]));
                        llvm::append_range(arguments, in.slice(operand + 1, 5));
                      }
                      arguments.append({flattenBuffer(s, in[19]), s.index(0),
                                        in[12], in[13], in[14], in[20], in[15],
                                        in[16], in[17], in[14], in[18]});
                      func::CallOp::create(
                          s, kernels.lookupSymbol<func::FuncOp>(name),
                          arguments);
                    })
          .front();
  return t.wrap(result, f32, shape);
}
