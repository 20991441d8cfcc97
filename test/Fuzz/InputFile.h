//===- InputFile.h - a fuzzer's bytes as a file -----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_FUZZ_INPUTFILE_H
#define LATHE_TEST_FUZZ_INPUTFILE_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

/// The bytes as a file in memory, for readers that want a path.
class InputFile {
public:
  InputFile(const uint8_t *data, size_t size)
      : descriptor(memfd_create("input", 0)) {
    if (descriptor < 0 ||
        write(descriptor, data, size) != static_cast<ssize_t>(size))
      std::abort();
  }
  ~InputFile() { close(descriptor); }
  InputFile(const InputFile &) = delete;
  InputFile &operator=(const InputFile &) = delete;

  std::string path() const {
    return "/proc/self/fd/" + std::to_string(descriptor);
  }

private:
  int descriptor;
};

#endif // LATHE_TEST_FUZZ_INPUTFILE_H
