//===- Heads.cpp - batch and head of a coordinate -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Heads.h"

using namespace lathe;
using llvm::ArrayRef;
using llvm::SmallVector;

/// The integer factor of a product of dims, 1 if there is none.
static int64_t getContent(Poly extent) {
  if (extent.terms().size() != 1)
    return 1;
  Number factor = extent.terms()[0].coef;
  return factor.isInteger() && factor.asInteger() > 0 ? factor.asInteger() : 1;
}

/// One dim that counts batch and heads together.
static std::optional<HeadSplit> splitMerged(IndexExprContext &context,
                                            Poly extent) {
  int64_t heads = getContent(extent);
  Poly divisor = context.constant(heads);
  HeadSplit split;
  split.heads = heads;
  split.batch = context.exactDiv(extent, divisor);
  if (!split.batch)
    return std::nullopt;
  Poly batch = split.batch.isConstant(1) ? context.zero() : context.coord(0);
  Poly head = heads == 1 ? context.zero() : context.coord(1);
  split.leading.push_back(batch * heads + head);
  Poly own = extent.isConstant(1) ? context.zero() : context.coord(0);
  Poly extents[] = {extent};
  split.batchIndex = context.fdiv(own, divisor, ArrayRef<Poly>(extents));
  split.headIndex = context.mod(own, divisor, ArrayRef<Poly>(extents));
  return split;
}

std::optional<HeadSplit> lathe::splitHeads(IndexExprContext &context,
                                           ArrayRef<Poly> leading) {
  if (leading.empty()) {
    HeadSplit split;
    split.batch = context.one();
    split.heads = 1;
    split.batchIndex = split.headIndex = context.zero();
    return split;
  }
  if (leading.size() == 1)
    return splitMerged(context, leading[0]);

  std::optional<int64_t> heads = leading.back().getConstantInt();
  if (!heads || *heads <= 0)
    return std::nullopt;
  auto coordOf = [&](unsigned k) {
    return leading[k].isConstant(1) ? context.zero() : context.coord(k);
  };
  HeadSplit split;
  split.heads = *heads;
  split.headIndex = coordOf(leading.size() - 1);
  ArrayRef<Poly> outer = leading.drop_back();
  split.batch = context.product(outer);
  split.batchIndex = context.zero();
  Poly extents[] = {split.batch, context.constant(*heads)};
  Poly batch = split.batch.isConstant(1) ? context.zero() : context.coord(0);
  // Row-major: the last of them runs fastest.
  split.leading.resize(leading.size());
  Poly stride = context.one();
  for (unsigned k = outer.size(); k-- > 0;) {
    Poly own = context.fdiv(batch, stride, ArrayRef<Poly>(extents));
    if (k > 0)
      own = context.mod(own, outer[k], ArrayRef<Poly>(extents));
    split.leading[k] = own;
    split.batchIndex = split.batchIndex + coordOf(k) * stride;
    stride = stride * outer[k];
  }
  split.leading.back() = *heads == 1 ? context.zero() : context.coord(1);
  return split;
}
