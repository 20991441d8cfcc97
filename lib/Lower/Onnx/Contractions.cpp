//===- Contractions.cpp - matrix products and Einsum ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

/// MatMul of operands of any rank: vectors become matrices of one row or
/// column.
static Tensor matmulOfAnyRank(Node &n, Tensor a, Tensor b,
                              ArrayRef<Poly> shape) {
  if (a.rank() == 1)
    a = n.t.expandAxes(a, 0);
  if (b.rank() == 1)
    b = n.t.expandAxes(b, 1);
  return n.t.reshape(n.stage.matmul(a, b), shape);
}

static LogicalResult lowerMatMul(Node &n) {
  Tensor product = matmulOfAnyRank(n, n.in(0), n.in(1), n.shape());
  n.set(n.t.convert(product, n.element()));
  return success();
}

/// `x` as 32-bit integers without its zero point, which is one number, or one
/// per row (of the left side) or column (of the right).
static Tensor withoutZeroPoint(Node &n, unsigned operand, unsigned zeroPoint,
                               bool perRow) {
  Type i32 = n.t.getBuilder().getI32Type();
  Tensor x = n.t.convert(n.in(operand), i32);
  if (!n.has(zeroPoint))
    return x;
  Tensor zero = n.t.convert(n.in(zeroPoint), i32);
  if (perRow && zero.rank() == 1)
    zero = n.t.expandAxes(zero, 1);
  return n.t.mapTo(x.shape, {x, zero}, i32,
                   [](Scalars &s, Values v) { return s.sub(v[0], v[1]); });
}

static LogicalResult lowerMatMulInteger(Node &n) {
  n.set(matmulOfAnyRank(n, withoutZeroPoint(n, 0, 2, /*perRow=*/true),
                        withoutZeroPoint(n, 1, 3, /*perRow=*/false),
                        n.shape()));
  return success();
}

/// alpha * A' * B' + beta * C.
static LogicalResult lowerGemm(Node &n) {
  Tensor a = n.in(0), b = n.in(1);
  Tensor product = n.stage.matmul(a, b, n.op.getInt("transA", 0) != 0,
                                  n.op.getInt("transB", 0) != 0);
  double alpha = n.op.getFloat("alpha", 1.0), beta = n.op.getFloat("beta", 1.0);
  SmallVector<Tensor> operands = {product};
  if (n.has(2))
    operands.push_back(n.in(2));
  n.set(n.t.mapTo(n.shape(), operands, n.element(), [&](Scalars &s, Values x) {
    Value sum = x[0];
    if (alpha != 1.0)
      sum = s.mul(sum, s.like(sum, alpha));
    if (x.size() == 1)
      return sum;
    Value c = x[1];
    if (beta != 1.0)
      c = s.mul(c, s.like(c, beta));
    return s.add(sum, c);
  }));
  return success();
}

/// Letters of the equation as loop numbers; the dims of an ellipsis get
/// numbers of their own, aligned at the right.
static LogicalResult lowerEinsum(Node &n) {
  std::string equation;
  for (char c : n.op.getString("equation", ""))
    if (c != ' ')
      equation += c;
  auto [left, right] = StringRef(equation).split("->");
  bool isExplicit = StringRef(equation).contains("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  SmallVector<Tensor> inputs = n.all();
  if (terms.size() != inputs.size())
    return n.refuse("its equation does not match its operands");

  constexpr int64_t ellipsisBase = 1024;
  int64_t ellipsisRank = 0;
  auto letters = [](StringRef term) {
    return llvm::count_if(term, [](char c) { return c != '.'; });
  };
  for (auto [term, input] : llvm::zip_equal(terms, inputs))
    if (term.contains("..."))
      ellipsisRank =
          std::max<int64_t>(ellipsisRank, input.rank() - letters(term));
  auto labelsOf = [&](StringRef term, int64_t rank) {
    SmallVector<int64_t> labels;
    int64_t hidden = rank - letters(term);
    while (!term.empty()) {
      if (term.consume_front("...")) {
        for (int64_t k = ellipsisRank - hidden; k < ellipsisRank; ++k)
          labels.push_back(ellipsisBase + k);
        continue;
      }
      labels.push_back(term.front());
      term = term.drop_front();
    }
    return labels;
  };
  SmallVector<SmallVector<int64_t>> labels;
  for (auto [term, input] : llvm::zip_equal(terms, inputs)) {
    labels.push_back(labelsOf(term, input.rank()));
    if (labels.back().size() != input.rank())
      return n.refuse("its equation does not match the rank of an operand");
    // A repeated letter is a diagonal: read it where both indices agree.
    llvm::SmallSetVector<int64_t, 8> distinct(labels.back().begin(),
                                              labels.back().end());
    if (distinct.size() == labels.back().size())
      continue;
    SymbolicShape shape;
    for (int64_t label : distinct)
      shape.push_back(input.shape[llvm::find(labels.back(), label) -
                                  labels.back().begin()]);
    Tensor whole = n.t.wrap(n.t.valueOf(input), input.element, input.shape);
    SmallVector<int64_t> old = labels.back();
    input =
        n.t.generate(shape, whole.element, [&](Scalars &s, ValueRange coords) {
          SmallVector<Value> position;
          for (int64_t label : old)
            position.push_back(
                coords[llvm::find(distinct, label) - distinct.begin()]);
          return n.t.load(s, whole, position);
        });
    labels.back() = distinct.takeVector();
  }

  SmallVector<int64_t> result;
  if (isExplicit) {
    result = labelsOf(right, letters(right) +
                                 (right.contains("...") ? ellipsisRank : 0));
  } else {
    // The ellipsis, then the letters that occur once, in alphabetical order.
    for (int64_t k = 0; k < ellipsisRank; ++k)
      result.push_back(ellipsisBase + k);
    std::map<char, int> counts;
    for (char c : left)
      if (c != ',' && c != '.')
        ++counts[c];
    for (auto [letter, count] : counts)
      if (count == 1)
        result.push_back(letter);
  }
  Type element = inputs[0].element;
  Type accumulator =
      isa<FloatType>(element) ? getComputeType(element) : element;
  n.set(n.t.convert(n.t.einsum(inputs, labels, result, accumulator),
                    n.element()));
  return success();
}

/// The product of the pivots of a copy that is eliminated row by row; the
/// largest pivot of a column is taken.
static LogicalResult lowerDet(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor x = n.in(0);
  Type f = getComputeType(x.element);
  Poly rows = x.shape.back();
  SymbolicShape flat = {n.t.product(ArrayRef<Poly>(x.shape).drop_back(2)), rows,
                        rows};
  Tensor source = n.t.reshape(n.t.convert(x, f), flat);
  SmallVector<Value> outputs = {n.t.empty({flat[0]}, f), n.t.empty(flat, f)};
  auto body = [&](Scalars &s, Value, ValueRange buffers) {
    Value in = buffers[0], result = buffers[1], work = buffers[2];
    Value count = memref::DimOp::create(s, in, 0);
    Value size = memref::DimOp::create(s, in, 1);
    Value zero = s.index(0), one = s.index(1);
    s.forall(count, [&](ValueRange matrix) {
      auto at = [&](Value i, Value j) -> Value {
        return memref::LoadOp::create(s, work, ValueRange{matrix[0], i, j});
      };
      auto put = [&](Value v, Value i, Value j) {
        memref::StoreOp::create(s, v, work, ValueRange{matrix[0], i, j});
      };
      s.nest({size, size}, [&](ValueRange ij) {
        Value v =
            memref::LoadOp::create(s, in, ValueRange{matrix[0], ij[0], ij[1]});
        put(v, ij[0], ij[1]);
      });
      auto step = [&](Value k, ValueRange state) -> SmallVector<Value> {
        Value best = s.loop(s.add(k, one), size, k,
                            [&](Value i, ValueRange top) -> SmallVector<Value> {
                              Value larger =
                                  s.gt(s.abs(at(i, k)), s.abs(at(top[0], k)));
                              return {s.select(larger, i, top[0])};
                            })[0];
        s.loop(zero, size, {}, [&](Value j, ValueRange) {
          Value a = at(k, j), b = at(best, j);
          put(b, k, j);
          put(a, best, j);
          return SmallVector<Value>();
        });
        Value pivot = at(k, k);
        Value isZero = s.eq(pivot, s.constant(f, 0));
        Value divisor = s.select(isZero, s.constant(f, 1), pivot);
        s.loop(s.add(k, one), size, {}, [&](Value i, ValueRange) {
          Value factor = s.div(at(i, k), divisor);
          s.loop(k, size, {}, [&](Value j, ValueRange) {
            put(s.sub(at(i, j), s.mul(factor, at(k, j))), i, j);
            return SmallVector<Value>();
          });
          return SmallVector<Value>();
        });
        Value sign = s.select(s.eq(best, k), pivot, s.neg(pivot));
        return {s.mul(state[0], sign)};
      };
      Value product = s.loop(zero, size, s.constant(f, 1), step)[0];
      memref::StoreOp::create(s, product, result, matrix[0]);
    });
  };
  SmallVector<Value> results = n.stage.callOwnKernel(
      "det", source.value, outputs, /*updates=*/false, body);
  Tensor products = n.t.wrap(results[0], f, {flat[0]});
  n.set(n.t.convert(n.t.reshape(products, n.shape()), n.element()));
  return success();
}

void lathe::addContractions(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Det", 11, lowerDet},
      {"Einsum", 12, lowerEinsum},
      {"Gemm", 7, lowerGemm},
      {"MatMul", 1, lowerMatMul},
      {"MatMulInteger", 10, lowerMatMulInteger},
  };
  table.add("", rows);
}
