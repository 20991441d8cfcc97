//===- Zip.h - zip archives -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// As much of the zip format as .npz files use: stored and deflated members,
// zip64. Private to the library.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RUNTIME_ZIP_H
#define LATHE_LIB_RUNTIME_ZIP_H

#include "lathe/Runtime/File.h"

#include <string>
#include <vector>
#include <zlib.h>

namespace lathe::rt {

/// A member of an archive; its compressed bytes are inside the mapped file.
struct ZipMember {
  std::string name;
  const uint8_t *data = nullptr;
  uint64_t compressedBytes = 0, bytes = 0;
  uint32_t crc = 0;
  bool deflated = false;
};

/// The members of an archive in the order of its directory, every one tested
/// to lie inside the file and to claim a size that its bytes can give.
Result<std::vector<ZipMember>> readZipDirectory(const MappedFile &file);

/// Reads one member from its start.
class ZipStream {
public:
  explicit ZipStream(const ZipMember &member);
  ~ZipStream();
  ZipStream(const ZipStream &) = delete;
  ZipStream &operator=(const ZipStream &) = delete;

  /// Fills `out` with the next `count` bytes.
  Status read(void *out, uint64_t count);

  /// At the end of the member: tests its checksum.
  Status finish();

private:
  const ZipMember &member;
  uint64_t position = 0;   ///< of the content
  uint64_t inputTaken = 0; ///< of the compressed bytes
  uLong crc;
  z_stream stream = {};
  bool streamReady = false;
};

/// Writes an archive of stored members.
class ZipWriter {
public:
  static Result<std::unique_ptr<ZipWriter>> create(const std::string &path);

  /// Adds a member whose content is `head` and then `bytes` bytes of `data`.
  Status add(const std::string &name, const std::string &head, const void *data,
             uint64_t bytes);

  /// Writes the directory and makes the file appear.
  Status finish();

private:
  struct Entry {
    std::string name;
    uint64_t offset, bytes;
    uint32_t crc;
  };
  explicit ZipWriter(std::unique_ptr<AtomicFile> file)
      : file(std::move(file)) {}

  std::unique_ptr<AtomicFile> file;
  std::vector<Entry> entries;
};

} // namespace lathe::rt

#endif // LATHE_LIB_RUNTIME_ZIP_H
