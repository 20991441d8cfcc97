//===- RaiseConv.cpp - convolutions as linears over patches ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Forms.h"
#include "WeightTable.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {
#define GEN_PASS_DEF_RAISECONV
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseConv : lathe::impl::RaiseConvBase<RaiseConv> {
  void runOnOperation() override;
};

/// A window that slides over the spatial dims.
struct Window {
  SmallVector<int64_t, 3> kernel, strides, dilations, pads;
};

class ConvRaiser {
public:
  ConvRaiser(func::FuncOp entry, const SymbolicShapes &shapes,
             WeightTable &weights)
      : block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes),
        weights(weights) {}

  void visit(OnnxOp op);

private:
  std::optional<Window> getWindow(OnnxOp op, ArrayRef<int64_t> kernel);
  Poly getPatches(Value x, const Window &window, ArrayRef<Poly> extents);

  Block &block;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  Raiser raiser;
  FormBuilder forms;
  WeightTable &weights;
};

} // namespace

std::optional<Window> ConvRaiser::getWindow(OnnxOp op,
                                            ArrayRef<int64_t> kernel) {
  StringRef autoPad = op.getString("auto_pad", "NOTSET");
  if (autoPad != "NOTSET" && autoPad != "VALID")
    return std::nullopt;
  Window window;
  window.kernel.assign(kernel.begin(), kernel.end());
  size_t rank = kernel.size();
  auto read = [&](StringRef name, size_t count, int64_t otherwise,
                  SmallVectorImpl<int64_t> &into) {
    std::optional<ArrayRef<int64_t>> values = op.getInts(name);
    if (values && values->size() != count)
      return false;
    if (values)
      into.assign(values->begin(), values->end());
    else
      into.assign(count, otherwise);
    return true;
  };
  if (!read("strides", rank, 1, window.strides) ||
      !read("dilations", rank, 1, window.dilations) ||
      !read("pads", 2 * rank, 0, window.pads))
    return std::nullopt;
  if (autoPad == "VALID")
    window.pads.assign(2 * rank, 0);
  if (llvm::any_of(window.pads, [](int64_t pad) { return pad < 0; }))
    return std::nullopt;
  return window;
}

/// The element of `x` [B, C, spatial...] that the patch at (b, spatial...) has
/// at its last coordinate, which runs over channels, then the window. Null if
/// it is too large.
Poly ConvRaiser::getPatches(Value x, const Window &window,
                            ArrayRef<Poly> extents) {
  ArrayRef<Poly> shape = *shapes.shapeOf(x);
  unsigned rank = window.kernel.size(), last = rank + 1;
  auto coordOf = [&](unsigned k) {
    return extents[k].isConstant(1) ? context.zero() : context.coord(k);
  };
  Poly place = coordOf(last);
  SmallVector<Poly, 5> index(rank + 2);
  index[0] = coordOf(0);
  Pred inside = context.getTrue();
  Poly stride = context.one();
  for (unsigned d = rank; d-- > 0;) {
    Poly size = context.constant(window.kernel[d]);
    Poly offset =
        context.mod(context.fdiv(place, stride, extents), size, extents);
    if (d == 0 && shape[1].isConstant(1))
      offset = context.fdiv(place, stride, extents);
    Poly at = coordOf(d + 1) * window.strides[d] +
              offset * window.dilations[d] - window.pads[d];
    if (window.pads[d] != 0)
      inside = context.conj(inside, context.nonNeg(at, extents));
    if (window.pads[rank + d] != 0)
      inside = context.conj(inside, context.le(at, shape[d + 2] - 1, extents));
    index[d + 2] = at;
    stride = stride * size;
  }
  index[1] = shape[1].isConstant(1) ? context.zero()
                                    : context.fdiv(place, stride, extents);
  Poly element = shapes.formAt(x, index, extents).poly();
  if (!element || !inside)
    return {};
  return context.select(inside, element, context.zero(), extents);
}

void ConvRaiser::visit(OnnxOp op) {
  Value x = op.getInputs()[0];
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(x);
  std::optional<ArrayRef<Poly>> out = shapes.shapeOf(op.getOutputs()[0]);
  std::optional<WeightSource> weight = WeightTable::find(op.getInputs()[1]);
  if (!shape || !out || !weight || weight->transposed ||
      op.getInt("group", 1) != 1 || weight->shape.size() != shape->size() ||
      out->size() != shape->size() || shape->size() < 3 ||
      getElement(x) != weight->element ||
      !(*shape)[1].isConstant(weight->shape[1]))
    return;
  ArrayRef<int64_t> kernel = ArrayRef<int64_t>(weight->shape).drop_front(2);
  std::optional<Window> window = getWindow(op, kernel);
  if (!window)
    return;

  int64_t columns = weight->shape[0];
  int64_t size = weight->getNumElements() / columns;
  unsigned rank = kernel.size();
  SmallVector<Poly, 5> extents{(*out)[0]};
  extents.append(out->begin() + 2, out->end());
  extents.push_back(context.constant(size));
  Poly patches = getPatches(x, *window, extents);
  if (!patches)
    return;
  Location loc = op.getLoc();
  raiser->setInsertionPoint(op);
  Value biasWeight;
  if (Value bias = op.getOptionalInput(2)) {
    biasWeight = weights.useVector(raiser, loc, bias, columns);
    if (!biasWeight)
      return;
  }
  // The bytes are [O, C, window...]: the transposition of [K, N].
  WeightSource matrix = *weight;
  matrix.shape = {size, columns};
  matrix.transposed = true;
  Value weightValue = weights.use(raiser, loc, matrix);
  if (!weightValue)
    return;
  Value rows = forms.get(loc, patches, extents, weight->element);
  raiser->setInsertionPoint(op);
  SmallVector<Poly, 5> resultShape(extents);
  resultShape.back() = context.constant(columns);
  auto linear =
      LinearOp::create(raiser, loc, getTensorType(resultShape, weight->element),
                       rows, weightValue, biasWeight, SiteAttr());
  copyProvenance(op, linear);
  View view{linear, {}};
  view.index.push_back((*out)[0].isConstant(1) ? context.zero()
                                               : context.coord(0));
  for (unsigned d = 0; d < rank; ++d)
    view.index.push_back((*out)[d + 2].isConstant(1) ? context.zero()
                                                     : context.coord(d + 2));
  view.index.push_back(columns == 1 ? context.zero() : context.coord(1));
  raiser.replaceUses(op.getOutputs()[0], forms.getView(loc, view, *out));
}

void RaiseConv::runOnOperation() {
  WeightTable weights(getOperation());
  for (func::FuncOp entry : getEntries(getOperation())) {
    auto &shapes = getChildAnalysis<SymbolicShapes>(entry);
    ConvRaiser raiser(entry, shapes, weights);
    SmallVector<OnnxOp> convolutions;
    for (auto op : entry.getBody().getOps<OnnxOp>())
      if (op.is("Conv"))
        convolutions.push_back(op);
    for (OnnxOp op : convolutions)
      raiser.visit(op);
    eraseDeadOps(entry);
  }
}
