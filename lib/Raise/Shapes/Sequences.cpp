//===- Sequences.cpp - sequences that are taken apart at once -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::SmallVector;

/// A sequence longer than this is not followed.
static constexpr int64_t kMaxSequence = 1024;

static void setSequence(Node &n, std::vector<ValueInfo> elements) {
  ValueInfo info;
  info.kind = ValueInfo::FormKind::Sequence;
  info.sequence = std::make_shared<std::vector<ValueInfo>>(std::move(elements));
  n.setInfo(std::move(info));
}

/// The lengths of the parts; `keepDim` is false if each part is one row that
/// loses its dim.
static std::optional<SmallVector<int64_t>> partLengths(Node &n, unsigned axis,
                                                       bool &keepDim) {
  std::optional<int64_t> total = n.shape(0)[axis].getConstantInt();
  if (!total || *total < 0 || *total > kMaxSequence)
    return std::nullopt;
  keepDim = true;
  if (!n.has(1)) {
    keepDim = n.op.getInt("keepdims", 1) != 0;
    return SmallVector<int64_t>(*total, 1);
  }
  auto split = n.engine.intsOf(n.in(1));
  if (!split)
    return std::nullopt;
  if (n.in(1).rank() == 1)
    return split;
  int64_t part = split->size() == 1 ? (*split)[0] : 0;
  if (part <= 0)
    return std::nullopt;
  SmallVector<int64_t> lengths;
  for (int64_t at = 0; at < *total; at += part)
    lengths.push_back(std::min(part, *total - at));
  return lengths;
}

static void transferSplitToSequence(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  std::optional<unsigned> axis = n.axis("axis", 0, x.rank());
  bool keepDim;
  auto lengths = axis ? partLengths(n, *axis, keepDim) : std::nullopt;
  if (!lengths)
    return;
  IndexExprContext &context = n.context;
  std::vector<ValueInfo> elements;
  int64_t offset = 0;
  for (int64_t length : *lengths) {
    ValueInfo element;
    element.elementClass = x.elementClass;
    SymbolicShape shape;
    SmallVector<Poly> index;
    for (auto [k, extent] : llvm::enumerate(*x.shape)) {
      if (k != *axis) {
        index.push_back(context.coord(shape.size()));
        shape.push_back(extent);
        continue;
      }
      Poly at = n.engine.dim(offset);
      if (keepDim) {
        at = at + context.coord(shape.size());
        shape.push_back(n.engine.dim(length));
      }
      index.push_back(at);
    }
    offset += length;
    element.form = n.engine.moved(x, index, shape);
    if (!element.form)
      return;
    element.kind = element.form.isPred() ? ValueInfo::FormKind::Pred
                                         : ValueInfo::FormKind::Poly;
    element.shape = std::move(shape);
    elements.push_back(std::move(element));
  }
  setSequence(n, std::move(elements));
}

static void transferSequenceConstruct(Node &n) {
  std::vector<ValueInfo> elements;
  for (unsigned k = 0; k != n.numInputs(); ++k) {
    if (!n.ranked(k))
      return;
    elements.push_back(n.in(k));
  }
  setSequence(n, std::move(elements));
}

static void transferSequenceAt(Node &n) {
  if (!n.has(0) || !n.in(0).sequence || !n.has(1))
    return;
  const std::vector<ValueInfo> &elements = *n.in(0).sequence;
  auto at = n.engine.intsOf(n.in(1));
  if (!at || at->size() != 1)
    return;
  if (auto k = wrapAxis((*at)[0], elements.size()))
    n.setCopy(elements[*k]);
}

static void transferSequenceLength(Node &n) {
  if (n.has(0) && n.in(0).sequence)
    n.setList({}, IndexExpr(n.engine.dim(n.in(0).sequence->size())));
}

void shapes::registerSequences(TransferTable &table) {
  table.add("SplitToSequence", transferSplitToSequence);
  table.add("SequenceConstruct", transferSequenceConstruct);
  table.add("SequenceAt", transferSequenceAt);
  table.add("SequenceLength", transferSequenceLength);
}
