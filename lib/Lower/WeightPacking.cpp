//===- WeightPacking.cpp - weights as kernels read them ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/WeightPacking.h"
#include "lathe/Dialect/NarrowFloat.h"
#include "llvm/Support/MathExtras.h"
#include <cstring>

using namespace mlir;
using namespace lathe;

/// The encoding when it is dense and row-major in the logical shape.
static DenseAttr plainDense(WeightType type) {
  auto dense = dyn_cast<DenseAttr>(type.getEncoding());
  return dense && !dense.getTransposed() ? dense : DenseAttr();
}

Type lathe::rowsElementType(WeightType type) {
  DenseAttr dense = plainDense(type);
  if (dense && !dense.getElementType().isF64())
    return dense.getElementType();
  return Float32Type::get(type.getContext());
}

static bool isGated(PartLayout layout) {
  return layout == PartLayout::GatedPanels ||
         layout == PartLayout::GatedPairPanels;
}

int64_t lathe::panelCount(WeightType type, PartLayout layout) {
  // A gated panel has half as many columns of each half of the weight.
  int64_t columns = type.getDim(1);
  return isGated(layout) ? llvm::divideCeil(columns / 2, kPanelColumns / 2)
                         : llvm::divideCeil(columns, kPanelColumns);
}

int64_t lathe::packedBytes(Type type, PartLayout layout) {
  if (layout == PartLayout::Raw) {
    auto tensor = cast<RankedTensorType>(type);
    // The verifier of `lathe.constant` has found a size.
    return *payloadBytes(tensor.getElementType(), tensor.getNumElements());
  }
  auto weight = cast<WeightType>(type);
  switch (layout) {
  case PartLayout::Panels:
  case PartLayout::GatedPanels:
    return panelCount(weight, layout) * kPanelColumns * weight.getDim(0) *
           sizeof(float);
  case PartLayout::PairPanels:
  case PartLayout::GatedPairPanels:
    return panelCount(weight, layout) * kPanelColumns *
           llvm::divideCeil(weight.getDim(0), 2) * sizeof(uint32_t);
  case PartLayout::Vector:
    return llvm::alignTo(weight.getNumElements(), kPanelColumns) *
           sizeof(float);
  case PartLayout::Rows:
    return weight.getNumElements() *
           rowsElementType(weight).getIntOrFloatBitWidth() / 8;
  case PartLayout::Raw:
    break;
  }
  llvm_unreachable("handled above");
}

namespace {

/// A weight `[K, N]` as floats, row-major or transposed.
struct Matrix {
  const float *values;
  int64_t rows, columns;
  bool transposed;

  /// The distances from a row and a column to the next.
  int64_t rowStep() const { return transposed ? 1 : columns; }
  int64_t columnStep() const { return transposed ? rows : 1; }
};

/// Neighbouring columns of the weight on their way to columns `at`... of a
/// panel.
struct Strip {
  int64_t from, width, at;
};

} // namespace

/// The strips that make panel `number`. Columns of it that none fills are zero.
static SmallVector<Strip, 2> stripsOf(const Matrix &weight, bool gated,
                                      int64_t number) {
  int64_t parts = gated ? 2 : 1, most = kPanelColumns / parts;
  int64_t columns = weight.columns / parts, first = number * most;
  SmallVector<Strip, 2> strips;
  for (int64_t part = 0; part < parts; ++part)
    strips.push_back(
        {part * columns + first, std::min(most, columns - first), part * most});
  return strips;
}

/// Rows that are copied at once: a transposed source stays in the cache.
static constexpr int64_t packedRows = 64;

/// One panel, `[K][64]`, zeroed before.
static void packPanel(const Matrix &weight, ArrayRef<Strip> strips,
                      float *out) {
  for (int64_t r0 = 0; r0 < weight.rows; r0 += packedRows) {
    int64_t end = std::min(weight.rows, r0 + packedRows);
    for (const Strip &strip : strips) {
      const float *from = weight.values + strip.from * weight.columnStep();
      float *to = out + strip.at;
      if (!weight.transposed) {
        for (int64_t r = r0; r < end; ++r)
          std::memcpy(to + r * kPanelColumns, from + r * weight.columns,
                      strip.width * sizeof(float));
        continue;
      }
      for (int64_t c = 0; c < strip.width; ++c)
        for (int64_t r = r0; r < end; ++r)
          to[r * kPanelColumns + c] = from[c * weight.rows + r];
    }
  }
}

/// One panel of bf16 pairs, `[ceil(K/2)][64]`, zeroed before.
static void packPairPanel(const Matrix &weight, ArrayRef<Strip> strips,
                          uint32_t *out) {
  int64_t pairs = llvm::divideCeil(weight.rows, 2);
  for (int64_t p0 = 0; p0 < pairs; p0 += packedRows / 2)
    for (const Strip &strip : strips)
      for (int64_t c = 0; c < strip.width; ++c) {
        const float *from =
            weight.values + (strip.from + c) * weight.columnStep();
        for (int64_t p = p0, end = std::min(pairs, p0 + packedRows / 2);
             p < end; ++p) {
          uint32_t low = bfloatBits(from[2 * p * weight.rowStep()]);
          uint32_t high = 2 * p + 1 < weight.rows
                              ? bfloatBits(from[(2 * p + 1) * weight.rowStep()])
                              : 0;
          out[p * kPanelColumns + strip.at + c] = low | high << 16;
        }
      }
}

static void packPanels(const Matrix &weight, WeightType type, PartLayout layout,
                       MutableArrayRef<char> out) {
  int64_t panels = panelCount(type, layout);
  int64_t panelBytes = out.size() / panels;
  bool isPairs =
      layout == PartLayout::PairPanels || layout == PartLayout::GatedPairPanels;
  for (int64_t n = 0; n < panels; ++n) {
    char *panel = out.data() + n * panelBytes;
    auto strips = stripsOf(weight, isGated(layout), n);
    std::memset(panel, 0, panelBytes);
    if (isPairs)
      packPairPanel(weight, strips, reinterpret_cast<uint32_t *>(panel));
    else
      packPanel(weight, strips, reinterpret_cast<float *>(panel));
  }
}

/// The payload as floats without a copy, when it is stored as f32 and its
/// place in the file is aligned.
static llvm::Expected<const float *>
floatsInPlace(PayloadStore &store, const PartSource &source, DenseAttr dense) {
  if (!dense || !dense.getElementType().isF32())
    return nullptr;
  auto bytes = store.read(source.weightParts.getAs<PayloadAttr>("data"));
  if (!bytes)
    return bytes.takeError();
  if (reinterpret_cast<uintptr_t>(bytes->data()) % alignof(float))
    return nullptr;
  return reinterpret_cast<const float *>(bytes->data());
}

static llvm::Error copyPayload(PayloadStore &store, PayloadAttr payload,
                               MutableArrayRef<char> out) {
  auto bytes = store.read(payload);
  if (!bytes)
    return bytes.takeError();
  std::memcpy(out.data(), bytes->data(), std::min(bytes->size(), out.size()));
  return llvm::Error::success();
}

llvm::Error lathe::packPart(PayloadStore &store, const PartSource &source,
                            PartLayout layout, MutableArrayRef<char> out) {
  if (layout == PartLayout::Raw)
    return copyPayload(store, source.constant, out);
  auto type = cast<WeightType>(source.type);
  if (layout == PartLayout::Rows && plainDense(type) &&
      !plainDense(type).getElementType().isF64())
    return copyPayload(store, source.weightParts.getAs<PayloadAttr>("data"),
                       out);

  auto dense = dyn_cast<DenseAttr>(type.getEncoding());
  if (layout != PartLayout::Vector && layout != PartLayout::Rows) {
    auto inPlace = floatsInPlace(store, source, dense);
    if (!inPlace)
      return inPlace.takeError();
    std::vector<float> decoded;
    const float *values = *inPlace;
    if (!values) {
      decoded.resize(type.getNumElements());
      if (llvm::Error error = type.getEncodingInterface().decode(
              store, type.getShape(), source.weightParts, decoded))
        return error;
      values = decoded.data();
    }
    Matrix weight = {values, type.getDim(0), type.getDim(1),
                     *inPlace && dense.getTransposed()};
    packPanels(weight, type, layout, out);
    return llvm::Error::success();
  }
  std::memset(out.data(), 0, out.size());
  auto *floats = reinterpret_cast<float *>(out.data());
  return type.getEncodingInterface().decode(
      store, type.getShape(), source.weightParts,
      MutableArrayRef<float>(floats, type.getNumElements()));
}
