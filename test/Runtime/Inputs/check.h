//===- check.h - conditions of tests in C ----------------------*- C -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_RUNTIME_CHECK_H
#define LATHE_TEST_RUNTIME_CHECK_H

#include "lathe/Runtime/lathe.h"
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      fprintf(stderr, "%d: false: %s (last error: %s)\n", __LINE__,            \
              #condition, lathe_last_error());                                 \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

#endif // LATHE_TEST_RUNTIME_CHECK_H
