//===- Memory.cpp - aligned zero pages -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Memory.h"

#include "lathe/Runtime/Checked.h"

#include <cstring>
#include <sys/mman.h>
#include <utility>

using namespace lathe::rt;

static constexpr int64_t pageBytes = 4096;
static constexpr int64_t hugePageBytes = int64_t(1) << 21;

Result<Pages> Pages::allocate(int64_t bytes) {
  int64_t length;
  if (bytes < 0 || !checkedAlign(bytes > 0 ? bytes : 1, pageBytes, length))
    return Status::error("impossible size of memory: " + std::to_string(bytes));
  void *data = mmap(nullptr, length, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED)
    return Status::error("no memory for " + std::to_string(bytes) + " bytes");
  if (length >= hugePageBytes)
    madvise(data, length, MADV_HUGEPAGE);
  Pages pages;
  pages.bytes = static_cast<uint8_t *>(data);
  pages.length = length;
  return pages;
}

Pages::~Pages() {
  if (bytes)
    munmap(bytes, length);
}

Pages::Pages(Pages &&other)
    : bytes(std::exchange(other.bytes, nullptr)),
      length(std::exchange(other.length, 0)) {}

Pages &Pages::operator=(Pages &&other) {
  std::swap(bytes, other.bytes);
  std::swap(length, other.length);
  return *this;
}
