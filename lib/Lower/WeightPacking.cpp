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

int64_t lathe::packedBytes(Type type, PartLayout layout) {
  if (layout == PartLayout::Raw) {
    auto tensor = cast<RankedTensorType>(type);
    // The verifier of `lathe.constant` has found a size.
    return *payloadBytes(tensor.getElementType(), tensor.getNumElements());
  }
  auto weight = cast<WeightType>(type);
  switch (layout) {
  case PartLayout::Panels:
    return llvm::divideCeil(weight.getDim(1), kPanelColumns) * kPanelColumns *
           weight.getDim(0) * sizeof(float);
  case PartLayout::PairPanels:
    return llvm::divideCeil(weight.getDim(1), kPanelColumns) * kPanelColumns *
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

/// Row-major `[rows][columns]` floats to panels.
static void packPanels(const float *values, int64_t rows, int64_t columns,
                       float *out) {
  for (int64_t panel = 0; panel < columns; panel += kPanelColumns) {
    int64_t width = std::min(kPanelColumns, columns - panel);
    for (int64_t row = 0; row < rows; ++row, out += kPanelColumns) {
      std::memcpy(out, values + row * columns + panel, width * sizeof(float));
      std::fill(out + width, out + kPanelColumns, 0.0f);
    }
  }
}

/// The same from `[columns][rows]`, in tiles that stay in cache.
static void packTransposedPanels(const float *values, int64_t rows,
                                 int64_t columns, float *out) {
  constexpr int64_t tile = 64;
  for (int64_t panel = 0; panel < columns; panel += kPanelColumns) {
    int64_t width = std::min(kPanelColumns, columns - panel);
    if (width < kPanelColumns)
      std::fill(out, out + rows * kPanelColumns, 0.0f);
    for (int64_t r0 = 0; r0 < rows; r0 += tile)
      for (int64_t c = 0; c < width; ++c)
        for (int64_t r = r0, end = std::min(rows, r0 + tile); r < end; ++r)
          out[r * kPanelColumns + c] = values[(panel + c) * rows + r];
    out += rows * kPanelColumns;
  }
}

/// `[K][N]` floats, or `[N][K]` when `transposed`, to panels of bf16 pairs.
static void packPairPanels(const float *values, int64_t inputs, int64_t outputs,
                           bool transposed, uint32_t *out) {
  auto half = [&](int64_t k, int64_t n) -> uint32_t {
    if (k >= inputs || n >= outputs)
      return 0;
    return bfloatBits(values[transposed ? n * inputs + k : k * outputs + n]);
  };
  // Blocks of k keep the lines of a transposed source in cache.
  constexpr int64_t block = 32;
  int64_t pairs = llvm::divideCeil(inputs, 2);
  for (int64_t panel = 0; panel < outputs; panel += kPanelColumns) {
    for (int64_t p0 = 0; p0 < pairs; p0 += block)
      for (int64_t n = 0; n < kPanelColumns; ++n)
        for (int64_t p = p0, end = std::min(pairs, p0 + block); p < end; ++p)
          out[p * kPanelColumns + n] =
              half(2 * p, panel + n) | half(2 * p + 1, panel + n) << 16;
    out += pairs * kPanelColumns;
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

  auto *floats = reinterpret_cast<float *>(out.data());
  auto dense = dyn_cast<DenseAttr>(type.getEncoding());
  if (layout == PartLayout::Panels || layout == PartLayout::PairPanels) {
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
    bool transposed = *inPlace && dense.getTransposed();
    if (layout == PartLayout::PairPanels)
      packPairPanels(values, type.getDim(0), type.getDim(1), transposed,
                     reinterpret_cast<uint32_t *>(out.data()));
    else if (transposed)
      packTransposedPanels(values, type.getDim(0), type.getDim(1), floats);
    else
      packPanels(values, type.getDim(0), type.getDim(1), floats);
    return llvm::Error::success();
  }
  int64_t count = type.getNumElements();
  std::memset(out.data(), 0, out.size());
  return type.getEncodingInterface().decode(
      store, type.getShape(), source.weightParts,
      MutableArrayRef<float>(floats, count));
}
