//===- SpatialWindow.cpp - windows over spatial dims ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SpatialWindow.h"

using namespace mlir;
using namespace lathe;

/// Attribute `name` of `rank` numbers, or `rank` times `otherwise`.
static FailureOr<SmallVector<int64_t>> listOf(NodeLowering &n, StringRef name,
                                              unsigned rank,
                                              int64_t otherwise) {
  auto written = n.op.getInts(name);
  if (!written)
    return SmallVector<int64_t>(rank, otherwise);
  if (written->size() != rank)
    return n.refuse("'" + name + "' has " + Twine(written->size()) +
                    " numbers, the input has " + Twine(rank) +
                    " spatial dims");
  return SmallVector<int64_t>(*written);
}

FailureOr<SpatialWindow> SpatialWindow::get(NodeLowering &n, ArrayRef<Poly> x,
                                            ArrayRef<Poly> out,
                                            ArrayRef<int64_t> kernel) {
  unsigned rank = x.size() - 2;
  SpatialWindow window;
  auto written = listOf(n, "kernel_shape", rank, 1);
  if (failed(written))
    return failure();
  window.kernel = kernel.empty() ? *written : SmallVector<int64_t>(kernel);
  auto strides = listOf(n, "strides", rank, 1);
  auto dilations = listOf(n, "dilations", rank, 1);
  if (failed(strides) || failed(dilations))
    return failure();
  window.strides = *strides;
  window.dilations = *dilations;
  for (unsigned k = 0; k < rank; ++k)
    if (window.kernel[k] < 1 || window.strides[k] < 1 ||
        window.dilations[k] < 1)
      return n.refuse("kernel, strides and dilations must be positive");

  StringRef automatic = n.op.getString("auto_pad", "NOTSET");
  auto pads = n.op.getInts("pads");
  if (pads && pads->size() != 2 * rank)
    return n.refuse("'pads' must have two numbers per spatial dim");
  IndexExprContext &terms = n.t.getTerms();
  for (unsigned k = 0; k < rank; ++k) {
    if (!automatic.starts_with("SAME")) {
      window.padBefore.push_back(
          n.t.poly(pads && automatic == "NOTSET" ? (*pads)[k] : 0));
      continue;
    }
    // What the last window reaches beyond the input, half of it in front.
    Poly reach = (out[2 + k] - 1) * window.strides[k] +
                 ((window.kernel[k] - 1) * window.dilations[k] + 1);
    Poly total = terms.max(reach - x[2 + k], n.t.poly(0));
    Poly half = terms.fdiv(total, n.t.poly(2));
    window.padBefore.push_back(automatic == "SAME_UPPER" ? half : total - half);
  }
  return window;
}

SmallVector<Value> SpatialWindow::loop(
    Scalars &s, NodeLowering &n, ArrayRef<Poly> extents, ValueRange out,
    ValueRange inits,
    llvm::function_ref<SmallVector<Value>(ValueRange, ValueRange, ValueRange)>
        body) const {
  SmallVector<Value> input, tap;
  std::function<SmallVector<Value>(unsigned, ValueRange)> nest =
      [&](unsigned k, ValueRange carried) -> SmallVector<Value> {
    if (k == rank())
      return body(input, tap, carried);
    // Taps inside the input are one range: no test per tap is needed.
    Value start = s.sub(s.mul(out[k], s.index(strides[k])),
                        n.t.dim(padBefore[k]));
    Value dilation = s.index(dilations[k]);
    auto ceilDiv = [&](Value x) {
      return s.div(s.add(x, s.index(dilations[k] - 1)), dilation);
    };
    Value zero = s.index(0), size = s.index(kernel[k]);
    Value first = s.min(size, ceilDiv(s.max(zero, s.sub(zero, start))));
    Value left = s.max(zero, s.sub(n.t.dim(extents[k]), start));
    Value last = s.max(first, s.min(size, ceilDiv(left)));
    return s.loop(first, last, carried,
                  [&](Value i, ValueRange values) -> SmallVector<Value> {
                    input.push_back(s.add(start, s.mul(i, dilation)));
                    tap.push_back(i);
                    SmallVector<Value> next = nest(k + 1, values);
                    input.pop_back();
                    tap.pop_back();
                    return next;
                  });
  };
  return nest(0, inits);
}
