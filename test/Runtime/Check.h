//===- Check.h - assertions of the runtime's tests -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_RUNTIME_CHECK_H
#define LATHE_TEST_RUNTIME_CHECK_H

#include "lathe/Runtime/Status.h"

#include <cstdio>
#include <cstdlib>

/// Ends the test with the place and the text of a condition that is false.
#define CHECK(...)                                                             \
  do {                                                                         \
    if (!(__VA_ARGS__)) {                                                      \
      std::fprintf(stderr, "%s:%d: false: %s\n", __FILE__, __LINE__,           \
                   #__VA_ARGS__);                                              \
      std::exit(1);                                                            \
    }                                                                          \
  } while (false)

/// Ends the test with the message of a failure.
inline void checkOk(const lathe::rt::Status &status) {
  if (!status.failed())
    return;
  std::fprintf(stderr, "unexpected failure: %s\n", status.message().c_str());
  std::exit(1);
}

/// The value of a result, or the end of the test.
template <typename T>
T take(lathe::rt::Result<T> result) {
  if (result.failed())
    checkOk(result.takeStatus());
  return std::move(*result);
}

/// Tests that something fails with a message that has `part` in it.
template <typename T>
void checkFails(const T &result, const std::string &part) {
  CHECK(result.failed());
  if (result.message().find(part) != std::string::npos)
    return;
  std::fprintf(stderr, "'%s' lacks '%s'\n", result.message().c_str(),
               part.c_str());
  std::exit(1);
}

#endif // LATHE_TEST_RUNTIME_CHECK_H
