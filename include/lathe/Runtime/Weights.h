//===- Weights.h - the file of packed weights -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// model.weights is a header of 64 bytes and then the parts, each aligned to
// LATHE_ALIGNMENT. All numbers are little endian:
//
//    0  8 bytes  "LATHEWTS"
//    8  u32      version, 1
//   12  u32      bytes of the header, 64
//   16  u64      bytes of the file
//   24  u64      hash64 of the payload, bytes [64, end)
//   32  u64      hash64 of bytes [0, 32)
//   40  zeros
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_WEIGHTS_H
#define LATHE_RUNTIME_WEIGHTS_H

#include "lathe/Runtime/File.h"
#include "lathe/Runtime/Manifest.h"

namespace lathe::rt {

/// XXH64 (seed 0) of a stream of bytes.
class Hash64 {
public:
  Hash64();
  void update(const void *data, uint64_t bytes);
  uint64_t digest() const;

private:
  uint64_t lanes[4];
  uint8_t pending[32];
  uint64_t total = 0;
};

/// XXH64 (seed 0) of one buffer.
uint64_t hash64(const void *data, uint64_t bytes);

/// Maps DIR/model.weights and tests it: magic, version, header hash, file size,
/// and that size and payload hash are those of `info`, so that weights of
/// another build are refused. `full` also hashes the payload.
Result<std::shared_ptr<const MappedFile>>
openWeights(const std::string &path, const WeightsInfo &info, bool full);

/// Writes a weights file part by part.
class WeightsWriter {
public:
  static Result<std::unique_ptr<WeightsWriter>> create(const std::string &path);

  /// Appends one part and returns its place.
  Result<Part> add(const std::string &name, const void *data, uint64_t bytes);

  /// Completes the header and makes the file appear; returns what the manifest
  /// says of it (`file` is the last component of the path).
  Result<WeightsInfo> finish();

private:
  WeightsWriter(std::string path, std::unique_ptr<AtomicFile> file)
      : path(std::move(path)), file(std::move(file)) {}

  std::string path;
  std::unique_ptr<AtomicFile> file;
  Hash64 hash;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_WEIGHTS_H
