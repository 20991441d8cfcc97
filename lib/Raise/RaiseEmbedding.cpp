//===- RaiseEmbedding.cpp - rows of a table -------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "WeightTable.h"
#include "lathe/Raise/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_RAISEEMBEDDING
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseEmbedding : lathe::impl::RaiseEmbeddingBase<RaiseEmbedding> {
  void runOnOperation() override;
};

} // namespace

static void visitGather(OnnxOp op, Raiser &raiser, WeightTable &weights) {
  Value ids = op.getInputs()[1];
  std::optional<WeightSource> table = WeightTable::find(op.getInputs()[0]);
  auto type = dyn_cast<RankedTensorType>(ids.getType());
  if (!table || table->shape.size() != 2 || !type || isConstant(ids) ||
      !type.getElementType().isSignlessInteger() ||
      normalizeAxis(op.getInt("axis", 0), 2) != 0)
    return;
  OpBuilder &builder = raiser;
  builder.setInsertionPoint(op);
  // A tied head has made the matrix known, transposed.
  Value weight = weights.useTransposed(builder, op.getLoc(), *table);
  bool isTied = bool(weight);
  if (!isTied)
    weight = weights.use(builder, op.getLoc(), *table);
  if (!weight)
    return;
  SmallVector<int64_t> shape(type.getShape());
  shape.push_back(table->shape[1]);
  auto embedding = EmbeddingOp::create(
      builder, op.getLoc(), RankedTensorType::get(shape, table->element), ids,
      weight, isTied, SiteAttr());
  copyProvenance(op, embedding);
  raiser.replace(op.getOutputs()[0], embedding);
}

void RaiseEmbedding::runOnOperation() {
  Raiser raiser(getOperation());
  WeightTable weights(getOperation());
  for (func::FuncOp entry : getEntries(getOperation())) {
    SmallVector<OnnxOp> candidates(entry.getBody().getOps<OnnxOp>());
    for (OnnxOp op : candidates)
      if (!raiser.isErased(op) && op.is("Gather"))
        visitGather(op, raiser, weights);
    eraseDeadOps(entry);
  }
}
