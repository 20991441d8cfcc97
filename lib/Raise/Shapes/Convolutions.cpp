//===- Convolutions.cpp - convolutions and pools --------------------------===//
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
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

namespace {
/// Window attributes, one entry per spatial dim.
struct Window {
  SmallVector<Poly> kernel;
  SmallVector<int64_t> strides, dilations, begins, ends;
  StringRef autoPad;
};
} // namespace

static SmallVector<int64_t> intsOr(Node &n, StringRef name, unsigned count,
                                   int64_t otherwise) {
  auto ints = n.op.getInts(name);
  if (ints && ints->size() == count)
    return SmallVector<int64_t>(*ints);
  return SmallVector<int64_t>(count, otherwise);
}

/// Attributes common to convolutions and pools.
static std::optional<Window> windowOf(Node &n, ArrayRef<Poly> kernel) {
  Window window;
  unsigned count = kernel.size();
  window.kernel.assign(kernel.begin(), kernel.end());
  window.strides = intsOr(n, "strides", count, 1);
  window.dilations = intsOr(n, "dilations", count, 1);
  SmallVector<int64_t> pads = intsOr(n, "pads", 2 * count, 0);
  window.begins.assign(pads.begin(), pads.begin() + count);
  window.ends.assign(pads.begin() + count, pads.end());
  window.autoPad = n.op.getString("auto_pad", "NOTSET");
  if (llvm::any_of(window.strides, [](int64_t s) { return s <= 0; }))
    return std::nullopt;
  return window;
}

/// floor or ceil of (in + pads - dilation * (kernel - 1) - 1) / stride, plus 1.
static Poly windowCount(Node &n, Poly extent, const Window &window, unsigned k,
                        bool ceil) {
  Poly stride = n.engine.dim(window.strides[k]);
  if (window.autoPad.starts_with("SAME"))
    return n.context.fdiv(extent + (window.strides[k] - 1), stride);
  Poly reach = (window.kernel[k] - 1) * window.dilations[k] + 1;
  Poly room = extent - reach;
  if (window.autoPad != "VALID")
    room = room + (window.begins[k] + window.ends[k]);
  if (!ceil)
    return n.context.fdiv(room, stride) + 1;
  Poly count = n.context.fdiv(room + (window.strides[k] - 1), stride) + 1;
  // A last window that would start in the padding at the end is left out.
  std::optional<int64_t> value = count.getConstantInt();
  std::optional<int64_t> size = extent.getConstantInt();
  if (value && size &&
      (*value - 1) * window.strides[k] >= *size + window.begins[k])
    return count - 1;
  return count;
}

static void convolve(Node &n, unsigned x, unsigned w) {
  if (!n.ranked(x) || !n.ranked(w))
    return;
  const SymbolicShape &in = n.shape(x), &weight = n.shape(w);
  if (in.size() < 3 || weight.size() != in.size())
    return;
  auto window = windowOf(n, ArrayRef<Poly>(weight).drop_front(2));
  if (!window)
    return;
  n.engine.equate(in[1], weight[1] * n.op.getInt("group", 1), n.op);
  SymbolicShape shape = {in[0], weight[0]};
  for (unsigned k = 0; k + 2 != in.size(); ++k)
    shape.push_back(windowCount(n, in[k + 2], *window, k, /*ceil=*/false));
  n.setLeaf(shape);
}

static void transferConv(Node &n) { convolve(n, 0, 1); }

/// x, its scale and zero point, then w.
static void transferQLinearConv(Node &n) { convolve(n, 0, 3); }

static void transferConvTranspose(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  const SymbolicShape &in = n.shape(0), &weight = n.shape(1);
  if (in.size() < 3 || weight.size() != in.size())
    return;
  unsigned count = in.size() - 2;
  auto window = windowOf(n, ArrayRef<Poly>(weight).drop_front(2));
  if (!window)
    return;
  SymbolicShape shape = {in[0], weight[1] * n.op.getInt("group", 1)};
  if (auto sizes = n.op.getInts("output_shape")) {
    // Some exporters write the batch and channels, too.
    for (int64_t size : sizes->take_back(count))
      shape.push_back(n.engine.dim(size));
    return n.setLeaf(shape);
  }
  SmallVector<int64_t> extra = intsOr(n, "output_padding", count, 0);
  for (unsigned k = 0; k != count; ++k) {
    Poly extent = in[k + 2] * window->strides[k];
    if (!window->autoPad.starts_with("SAME")) {
      Poly reach = (window->kernel[k] - 1) * window->dilations[k] + 1;
      extent = (in[k + 2] - 1) * window->strides[k] + reach + extra[k];
      if (window->autoPad != "VALID")
        extent = extent - (window->begins[k] + window->ends[k]);
    }
    shape.push_back(extent);
  }
  n.setLeaf(shape);
}

static void transferPool(Node &n) {
  auto sizes = n.op.getInts("kernel_shape");
  if (!n.ranked(0) || n.in(0).rank() < 3 || !sizes ||
      sizes->size() + 2 != n.in(0).rank())
    return;
  SmallVector<Poly> kernel;
  for (int64_t size : *sizes)
    kernel.push_back(n.engine.dim(size));
  auto window = windowOf(n, kernel);
  if (!window)
    return;
  const SymbolicShape &in = n.shape(0);
  SymbolicShape shape = {in[0], in[1]};
  bool ceil = n.op.getInt("ceil_mode", 0) != 0;
  for (unsigned k = 0; k != kernel.size(); ++k)
    shape.push_back(windowCount(n, in[k + 2], *window, k, ceil));
  n.setLeaf(shape, 0);
  n.setLeaf(shape, 1);
}

static void transferGlobalPool(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() < 2)
    return;
  SymbolicShape shape = n.shape(0);
  for (unsigned k = 2; k != shape.size(); ++k)
    shape[k] = n.context.one();
  n.setLeaf(shape);
}

void shapes::registerConvolutions(TransferTable &table) {
  table.add({"Conv", "ConvInteger", "DeformConv", "com.microsoft.FusedConv"},
            transferConv);
  table.add("QLinearConv", transferQLinearConv);
  table.add("ConvTranspose", transferConvTranspose);
  table.add({"AveragePool", "LpPool", "MaxPool"}, transferPool);
  table.add({"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"},
            transferGlobalPool);
}
