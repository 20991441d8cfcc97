//===- KvCache.h - keys and values of earlier positions -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_KVCACHE_H
#define LATHE_RUNTIME_KVCACHE_H

#include "lathe/Runtime/Manifest.h"
#include "lathe/Runtime/Memory.h"
#include "lathe/Runtime/Tensor.h"

#include <memory>
#include <vector>

namespace lathe::rt {

/// The KV cache of one batch of sequences: for each slot K and V as
/// [batch, heads, capacity, dim], of which the first `length()` positions hold
/// something. All entries of a program that have a cache have the same slots,
/// so prefill fills it and decode goes on with it.
class KvCache {
public:
  /// `capacity` is --max-context. Fails on sizes below 1 and without memory.
  static Result<std::unique_ptr<KvCache>>
  create(const Entry &entry, int64_t batch, int64_t capacity);

  int64_t batch() const { return batchSize; }
  int64_t capacity() const { return positions; }
  int64_t length() const { return used; }
  const std::vector<KvSlot> &slots() const { return kv; }

  /// Forgets all positions from `length` on (which must not exceed length()).
  void truncate(int64_t length);

  /// Counts `rows` more positions as filled; the stages have written them.
  /// Fails when that exceeds the capacity.
  Status append(int64_t rows);

  /// Fails when `rows` more positions do not fit.
  Status checkRoom(int64_t rows) const;

  void *key(unsigned slot) const { return pages.data() + keyAt[slot]; }
  void *value(unsigned slot) const { return pages.data() + valueAt[slot]; }

  /// Bytes of K and V of one position of one sequence, over all slots.
  int64_t bytesPerPosition() const;
  int64_t bytes() const { return pages.size(); }

  /// Replaces the content by the past tensors that the slots name, all of one
  /// length.
  Status importPast(const TensorMap &tensors);

  /// The content as present tensors under the names of the slots.
  Result<TensorMap> exportPresent() const;

private:
  KvCache() = default;

  std::vector<KvSlot> kv;
  std::vector<int64_t> keyAt, valueAt; ///< offsets into `pages`
  Pages pages;
  int64_t batchSize = 0, positions = 0, used = 0;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_KVCACHE_H
