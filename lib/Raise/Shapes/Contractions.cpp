//===- Contractions.cpp - matrix products and their kin -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// The outer product of indexy values: the angle of rotary positions,
/// `inv_freq[d, 1] x position[1, S]`. Null otherwise.
static Poly outerProduct(Node &n, const SymbolicShape &shape) {
  const ValueInfo &a = n.in(0), &b = n.in(1);
  unsigned rank = shape.size();
  if (a.rank() != b.rank() || a.rank() != rank || rank < 2 ||
      !a.shape->back().isConstant(1) || !n.engine.isIndexy(a) ||
      !n.engine.isIndexy(b))
    return {};
  SmallVector<Poly> left = n.engine.identityIndex(*a.shape);
  SmallVector<Poly> right = n.engine.identityIndex(*b.shape);
  return n.context.substitute(n.engine.formOf(a), left, shape).poly() *
         n.context.substitute(n.engine.formOf(b), right, shape).poly();
}

/// The product of `a` and `b` as in numpy's matmul; nothing for scalars.
static OptionalShape matMulShape(Node &n, SymbolicShape a, SymbolicShape b) {
  if (a.empty() || b.empty())
    return std::nullopt;
  bool rowVector = a.size() == 1, columnVector = b.size() == 1;
  if (rowVector)
    a.insert(a.begin(), n.context.one());
  if (columnVector)
    b.push_back(n.context.one());
  n.engine.equate(a.back(), b[b.size() - 2], n.op);
  SymbolicShape shape = n.engine.broadcast(
      ArrayRef<Poly>(a).drop_back(2), ArrayRef<Poly>(b).drop_back(2), n.op);
  if (!rowVector)
    shape.push_back(a[a.size() - 2]);
  if (!columnVector)
    shape.push_back(b.back());
  return shape;
}

static void transferMatMul(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  OptionalShape shape = matMulShape(n, n.shape(0), n.shape(1));
  if (!shape)
    return;
  if (Poly form = outerProduct(n, *shape))
    return n.setForm(*shape, form);
  n.setLeaf(shape);
}

static void transferMatMulShape(Node &n) {
  if (n.ranked(0) && n.ranked(1))
    n.setLeaf(matMulShape(n, n.shape(0), n.shape(1)));
}

/// a, its scale and zero point, then b.
static void transferQLinearMatMul(Node &n) {
  if (n.ranked(0) && n.ranked(3))
    n.setLeaf(matMulShape(n, n.shape(0), n.shape(3)));
}

static void transferFusedMatMul(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  SymbolicShape a = n.shape(0), b = n.shape(1);
  // The first dim goes behind the other leading ones.
  auto moveBatch = [](SymbolicShape &shape) {
    if (shape.size() > 2)
      std::rotate(shape.begin(), shape.begin() + 1, shape.end() - 1);
  };
  if (n.op.getInt("transBatchA", 0))
    moveBatch(a);
  if (n.op.getInt("transBatchB", 0))
    moveBatch(b);
  auto transpose = [](SymbolicShape &shape) {
    if (shape.size() >= 2)
      std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
  };
  if (n.op.getInt("transA", 0))
    transpose(a);
  if (n.op.getInt("transB", 0))
    transpose(b);
  n.setLeaf(matMulShape(n, std::move(a), std::move(b)));
}

static void transferGemm(Node &n) {
  if (!n.ranked(0) || !n.ranked(1) || n.in(0).rank() != 2 ||
      n.in(1).rank() != 2)
    return;
  SymbolicShape a = n.shape(0), b = n.shape(1);
  if (n.op.getInt("transA", 0))
    std::swap(a[0], a[1]);
  if (n.op.getInt("transB", 0))
    std::swap(b[0], b[1]);
  n.engine.equate(a[1], b[0], n.op);
  n.setLeaf(SymbolicShape{a[0], b[1]});
}

/// [..., K] times a block-quantised [N, K].
static void transferMatMulNBits(Node &n) {
  int64_t columns = n.op.getInt("N", -1), depth = n.op.getInt("K", -1);
  if (!n.ranked(0) || n.in(0).rank() == 0 || columns < 0)
    return;
  SymbolicShape shape = n.shape(0);
  if (depth >= 0)
    n.engine.equate(shape.back(), n.engine.dim(depth), n.op);
  shape.back() = n.engine.dim(columns);
  n.setLeaf(shape);
}

static void transferDet(Node &n) {
  if (n.ranked(0) && n.in(0).rank() >= 2)
    n.setLeaf(SymbolicShape(ArrayRef<Poly>(n.shape(0)).drop_back(2)));
}

//===----------------------------------------------------------------------===//
// Einsum
//===----------------------------------------------------------------------===//

namespace {
/// The extents behind the letters of an equation; an ellipsis is kept apart.
struct EinsumLabels {
  llvm::DenseMap<char, Poly> extents;
  llvm::DenseMap<char, unsigned> counts;
  SymbolicShape ellipsis;
};
} // namespace

/// Binds the letters of one input's term; false if it does not fit the rank.
static bool bindLabels(Node &n, StringRef term, const SymbolicShape &shape,
                       EinsumLabels &labels) {
  size_t dots = term.find("...");
  bool hasDots = dots != StringRef::npos;
  size_t letters = term.size() - (hasDots ? 3 : 0);
  if (letters > shape.size() || (!hasDots && letters != shape.size()))
    return false;
  size_t covered = shape.size() - letters, place = 0;
  for (size_t k = 0; k != term.size(); ++k) {
    if (hasDots && k == dots) {
      labels.ellipsis = n.engine.broadcast(
          labels.ellipsis, ArrayRef<Poly>(shape).slice(place, covered), n.op);
      place += covered;
      k += 2;
      continue;
    }
    if (!llvm::isAlpha(term[k]))
      return false;
    Poly &extent = labels.extents[term[k]];
    extent = extent ? n.engine.broadcastDim(extent, shape[place], n.op)
                    : shape[place];
    ++labels.counts[term[k]];
    ++place;
  }
  return true;
}

static void transferEinsum(Node &n) {
  std::string equation;
  for (char c : n.op.getString("equation", ""))
    if (c != ' ')
      equation += c;
  auto [left, right] = StringRef(equation).split("->");
  bool isExplicit = StringRef(equation).contains("->");
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  if (terms.size() != n.numInputs())
    return;
  EinsumLabels labels;
  for (auto [k, term] : llvm::enumerate(terms))
    if (!n.ranked(k) || !bindLabels(n, term, n.shape(k), labels))
      return;
  std::string output = right.str();
  if (!isExplicit) {
    // Without an output the letters that occur once remain, in order.
    output = left.contains("...") ? "..." : "";
    for (char c = 'A'; c <= 'z'; ++c)
      if (labels.counts.lookup(c) == 1)
        output += c;
  }
  SymbolicShape shape;
  for (size_t k = 0; k < output.size(); ++k) {
    if (StringRef(output).substr(k).starts_with("...")) {
      llvm::append_range(shape, labels.ellipsis);
      k += 2;
      continue;
    }
    Poly extent = labels.extents.lookup(output[k]);
    if (!extent)
      return;
    shape.push_back(extent);
  }
  n.setLeaf(shape);
}

void shapes::registerContractions(TransferTable &table) {
  table.add("MatMul", transferMatMul);
  table.add({"MatMulInteger", "com.microsoft.MatMulInteger16"},
            transferMatMulShape);
  table.add("QLinearMatMul", transferQLinearMatMul);
  table.add({"com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul"},
            transferFusedMatMul);
  table.add({"com.microsoft.DynamicQuantizeMatMul",
             "com.microsoft.MatMulIntegerToFloat"},
            transferMatMulShape);
  table.add({"Gemm", "com.microsoft.FusedGemm"}, transferGemm);
  table.add({"com.microsoft.MatMulNBits", "com.microsoft.MatMulBnb4",
             "com.microsoft.MatMulFpQ4"},
            transferMatMulNBits);
  table.add("Det", transferDet);
  table.add("Einsum", transferEinsum);
}
