//===- lathe-import-fuzzer.cpp - Random bytes as ONNX models --------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A libFuzzer target: bytes are read as a model by the checked reader, which
/// must end in a model or in an error block. Built with -DLATHE_FUZZ=ON.
//===----------------------------------------------------------------------===//

#include "lathe/Import/OnnxModel.h"
#include "llvm/Support/raw_ostream.h"

#include <sys/mman.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int fd = ::memfd_create("model", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size))
    return 0;
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  lathe::Problems problems("model");
  lathe::OnnxModel::load(path, {}, problems);
  std::string text;
  llvm::raw_string_ostream os(text);
  problems.print(os);
  ::close(fd);
  return 0;
}
