//===- Window.cpp - sliding windows over spatial dims ---------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Window.h"

using namespace mlir;
using namespace lathe;

static SmallVector<int64_t> listOr(NodeLowering &n, StringRef name,
                                   unsigned rank, int64_t otherwise) {
  if (auto written = n.op.getInts(name))
    return llvm::to_vector(*written);
  return SmallVector<int64_t>(rank, otherwise);
}

FailureOr<Window> lathe::getWindow(NodeLowering &n, const Tensor &x,
                                   ArrayRef<int64_t> kernel,
                                   ArrayRef<Poly> result) {
  unsigned rank = kernel.size();
  IndexExprContext &terms = n.t.getTerms();
  Window window;
  window.kernel = llvm::to_vector(kernel);
  window.strides = listOr(n, "strides", rank, 1);
  window.dilations = listOr(n, "dilations", rank, 1);
  SmallVector<int64_t> pads = listOr(n, "pads", 2 * rank, 0);
  if (x.rank() != rank + 2 || result.size() != rank + 2 ||
      window.strides.size() != rank || window.dilations.size() != rank ||
      pads.size() != 2 * rank)
    return n.refuse("its attributes do not match its rank");
  StringRef automatic = n.op.getString("auto_pad", "NOTSET");
  for (unsigned k = 0; k < rank; ++k) {
    if (automatic == "NOTSET" || automatic == "VALID") {
      bool none = automatic == "VALID";
      window.before.push_back(terms.constant(none ? 0 : pads[k]));
      window.after.push_back(terms.constant(none ? 0 : pads[k + rank]));
      continue;
    }
    // The result has ceil(extent / stride) windows; what they need beyond the
    // input is split, the odd one behind (UPPER) or in front (LOWER).
    Poly span = (result[k + 2] - 1) * window.strides[k] +
                ((kernel[k] - 1) * window.dilations[k] + 1);
    Poly total = terms.max(span - x.shape[k + 2], terms.zero());
    bool lower = automatic == "SAME_LOWER";
    Poly before = terms.fdiv(lower ? total + 1 : total, terms.constant(2));
    if (!before)
      return n.refuse("auto_pad needs extents that are not known");
    window.before.push_back(before);
    window.after.push_back(total - before);
  }
  return window;
}

Value lathe::floorDiv(Scalars &s, Value a, int64_t b) {
  if (b == 1)
    return a;
  // arith.floordivsi is expanded to the same, later.
  Value divisor = s.index(b);
  Value quotient = arith::DivSIOp::create(s, a, divisor);
  Value rest = arith::RemSIOp::create(s, a, divisor);
  return s.select(s.lt(rest, s.index(0)), s.sub(quotient, s.index(1)),
                  quotient);
}

Value lathe::ceilDiv(Scalars &s, Value a, int64_t b) {
  return b == 1 ? a : floorDiv(s, s.add(a, s.index(b - 1)), b);
}

WindowRange lathe::clipWindow(Scalars &s, Value start, int64_t kernel,
                              int64_t dilation, Value extent) {
  Value zero = s.index(0);
  Value first = s.max(ceilDiv(s, s.sub(zero, start), dilation), zero);
  Value end =
      s.min(ceilDiv(s, s.sub(extent, start), dilation), s.index(kernel));
  return {first, end};
}
