//===- Memory.h - aligned zero pages -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_MEMORY_H
#define LATHE_RUNTIME_MEMORY_H

#include "lathe/Runtime/Status.h"

#include <cstdint>

namespace lathe::rt {

/// A block of zeroed anonymous pages, given back when it dies. Pages cost
/// memory only once touched.
class Pages {
public:
  Pages() = default;
  static Result<Pages> allocate(int64_t bytes);
  ~Pages();
  Pages(Pages &&other);
  Pages &operator=(Pages &&other);

  uint8_t *data() const { return bytes; }
  int64_t size() const { return length; }

private:
  uint8_t *bytes = nullptr;
  int64_t length = 0;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_MEMORY_H
