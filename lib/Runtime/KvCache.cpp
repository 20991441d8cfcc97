//===- KvCache.cpp - keys and values of earlier positions -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/KvCache.h"

#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/Checked.h"

#include <cassert>
#include <cstring>

using namespace lathe::rt;

/// Reserves [batch, heads, capacity, dim] elements at the end of `total`.
static bool reserve(const KvSlot &slot, int64_t dim, int64_t batch,
                    int64_t capacity, int64_t &total, int64_t &at) {
  int64_t bytes = dtypeBytes(slot.dtype);
  at = total;
  return checkedMul(bytes, batch, bytes) &&
         checkedMul(bytes, slot.heads, bytes) &&
         checkedMul(bytes, capacity, bytes) && checkedMul(bytes, dim, bytes) &&
         checkedAlign(bytes, LATHE_ALIGNMENT, bytes) &&
         checkedAdd(total, bytes, total);
}

Result<std::unique_ptr<KvCache>>
KvCache::create(const Entry &entry, int64_t batch, int64_t capacity) {
  if (batch < 1 || capacity < 1)
    return Status::error("a KV cache needs a positive batch and context, not " +
                         std::to_string(batch) + " and " +
                         std::to_string(capacity));
  std::unique_ptr<KvCache> cache(new KvCache);
  cache->kv = entry.kv;
  cache->batchSize = batch;
  cache->positions = capacity;
  int64_t total = 0;
  for (const KvSlot &slot : entry.kv) {
    int64_t keyAt, valueAt;
    if (!reserve(slot, slot.headDim, batch, capacity, total, keyAt) ||
        !reserve(slot, slot.valueDim, batch, capacity, total, valueAt))
      return Status::error("a KV cache for " + std::to_string(capacity) +
                           " positions is too large");
    cache->keyAt.push_back(keyAt);
    cache->valueAt.push_back(valueAt);
  }
  Result<Pages> pages = Pages::allocate(total);
  if (pages.failed())
    return Status::error("KV cache for " + std::to_string(capacity) +
                         " positions: " + pages.message());
  cache->pages = std::move(*pages);
  return cache;
}

void KvCache::truncate(int64_t length) {
  assert(length >= 0 && length <= used);
  used = length;
}

Status KvCache::checkRoom(int64_t rows) const {
  if (rows <= positions - used)
    return Status::ok();
  return Status::error("the context is full: " + std::to_string(used) +
                       " positions are used and " + std::to_string(rows) +
                       " more do not fit into the " +
                       std::to_string(positions) +
                       " of the KV cache; raise --max-context");
}

Status KvCache::append(int64_t rows) {
  if (Status status = checkRoom(rows); status.failed())
    return status;
  used += rows;
  return Status::ok();
}

int64_t KvCache::bytesPerPosition() const {
  int64_t bytes = 0;
  for (const KvSlot &slot : kv)
    bytes +=
        slot.heads * (slot.headDim + slot.valueDim) * dtypeBytes(slot.dtype);
  return bytes;
}

namespace {
/// How a source tensor maps to a cache buffer: its strides in bytes by the
/// letters of its layout.
struct TensorStrides {
  int64_t batch = 0, head = 0, position = 0, element = 0;
  int64_t size[4] = {}; ///< extents by b, h, s, d

  TensorStrides(const std::string &layout, const int64_t *shape,
                int64_t elementBytes) {
    int64_t stride = elementBytes;
    for (int axis = 3; axis >= 0; --axis) {
      int64_t *strides[] = {&batch, &head, &position, &element};
      size_t letter = std::string("bhsd").find(layout[axis]);
      *strides[letter] = stride;
      size[letter] = shape[axis];
      stride *= shape[axis];
    }
  }
};
} // namespace

/// Copies positions [0, length) between a cache buffer [b, h, capacity, d] and
/// a tensor.
static void copyPositions(uint8_t *cache, int64_t capacity, uint8_t *tensor,
                          const TensorStrides &strides, int64_t elementBytes,
                          bool toCache) {
  int64_t dim = strides.size[3], rowBytes = dim * elementBytes;
  for (int64_t b = 0; b < strides.size[0]; ++b)
    for (int64_t h = 0; h < strides.size[1]; ++h)
      for (int64_t s = 0; s < strides.size[2]; ++s) {
        uint8_t *row =
            cache + ((b * strides.size[1] + h) * capacity + s) * rowBytes;
        uint8_t *other = tensor + b * strides.batch + h * strides.head +
                         s * strides.position;
        int64_t step = strides.element;
        // A contiguous row is one piece.
        int64_t piece = step == elementBytes ? rowBytes : elementBytes;
        for (int64_t at = 0; at < rowBytes; at += piece) {
          uint8_t *there = other + at / elementBytes * step;
          std::memcpy(toCache ? row + at : there, toCache ? there : row + at,
                      piece);
        }
      }
}

/// Length of a past tensor; fails unless it has the slot's type and sizes.
static Result<int64_t> pastLength(const Tensor *tensor, const std::string &name,
                                  const KvSlot &slot, int64_t dim,
                                  const std::string &layout, int64_t batch) {
  if (!tensor)
    return Status::error("input '" + name + "' is missing");
  if (tensor->rank() != 4 || (tensor->dtype() != slot.dtype &&
                              numpyCarrier(slot.dtype) != tensor->dtype()))
    return Status::error("input '" + name + "' must be a tensor of rank 4 of " +
                         dtypeName(slot.dtype));
  TensorStrides strides(layout, tensor->shape().data(), 1);
  if (strides.size[0] != batch || strides.size[1] != slot.heads ||
      strides.size[3] != dim)
    return Status::error(
        "input '" + name + "' has shape " +
        shapeText(tensor->shape().data(), tensor->rank()) + ", but the cache " +
        "has batch " + std::to_string(batch) + ", " +
        std::to_string(slot.heads) + " heads of " + std::to_string(dim));
  return strides.size[2];
}

Status KvCache::importPast(const TensorMap &tensors) {
  int64_t length = -1;
  auto load = [&](const std::string &name, const KvSlot &slot, int64_t dim,
                  const std::string &layout, void *buffer) -> Status {
    const Tensor *tensor = tensors.find(name);
    Result<int64_t> found =
        pastLength(tensor, name, slot, dim, layout, batchSize);
    if (found.failed())
      return found.takeStatus();
    if (length >= 0 && *found != length)
      return Status::error("input '" + name + "' has " +
                           std::to_string(*found) + " positions, others have " +
                           std::to_string(length));
    if (*found > positions)
      return Status::error("input '" + name + "' has " +
                           std::to_string(*found) +
                           " positions, more than the " +
                           std::to_string(positions) + " of the KV cache");
    length = *found;
    int64_t bytes = dtypeBytes(slot.dtype);
    copyPositions(static_cast<uint8_t *>(buffer), positions,
                  tensor->as<uint8_t>(),
                  TensorStrides(layout, tensor->shape().data(), bytes), bytes,
                  /*toCache=*/true);
    return Status::ok();
  };
  used = 0;
  for (unsigned i = 0; i < kv.size(); ++i) {
    const KvSlot &slot = kv[i];
    if (Status status =
            load(slot.pastKey, slot, slot.headDim, slot.keyLayout, key(i));
        status.failed())
      return status;
    if (Status status = load(slot.pastValue, slot, slot.valueDim,
                             slot.valueLayout, value(i));
        status.failed())
      return status;
  }
  used = length < 0 ? 0 : length;
  return Status::ok();
}

Result<TensorMap> KvCache::exportPresent() const {
  TensorMap result;
  auto store = [&](const std::string &name, const KvSlot &slot, int64_t dim,
                   const std::string &layout, void *buffer) -> Status {
    if (name.empty())
      return Status::ok();
    const int64_t extents[] = {batchSize, slot.heads, used, dim};
    std::vector<int64_t> shape;
    for (char letter : layout)
      shape.push_back(extents[std::string("bhsd").find(letter)]);
    Result<Tensor> tensor = Tensor::zeros(slot.dtype, shape);
    if (tensor.failed())
      return tensor.takeStatus();
    int64_t bytes = dtypeBytes(slot.dtype);
    copyPositions(static_cast<uint8_t *>(buffer), positions,
                  tensor->as<uint8_t>(),
                  TensorStrides(layout, shape.data(), bytes), bytes,
                  /*toCache=*/false);
    result.tensors.emplace(name, std::move(*tensor));
    return Status::ok();
  };
  for (unsigned i = 0; i < kv.size(); ++i) {
    const KvSlot &slot = kv[i];
    if (Status status =
            store(slot.presentKey, slot, slot.headDim, slot.keyLayout, key(i));
        status.failed())
      return status;
    if (Status status = store(slot.presentValue, slot, slot.valueDim,
                              slot.valueLayout, value(i));
        status.failed())
      return status;
  }
  return result;
}
