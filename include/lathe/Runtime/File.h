//===- File.h - reading, mapping and replacing files -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_FILE_H
#define LATHE_RUNTIME_FILE_H

#include "lathe/Runtime/Status.h"

#include <cstdint>
#include <memory>
#include <string>

namespace lathe::rt {

/// A regular file mapped read-only (MAP_SHARED: all processes that use a model
/// share one copy of its weights). A file that shrinks while it is mapped ends
/// the process with SIGBUS, as for every mmap; writers must replace files, not
/// truncate them, which is what AtomicFile does.
class MappedFile {
public:
  /// Messages read "PATH: reason".
  static Result<std::shared_ptr<const MappedFile>>
  open(const std::string &path);
  ~MappedFile();
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;

  const uint8_t *data() const { return bytes; }
  uint64_t size() const { return length; }

  /// Asks the system to read the file ahead, without waiting for it.
  void prefetch() const;

private:
  MappedFile(const uint8_t *bytes, uint64_t length)
      : bytes(bytes), length(length) {}
  const uint8_t *bytes;
  uint64_t length;
};

/// Writes a file such that PATH never shows a half-written state: the bytes go
/// to a temporary file beside it, `commit` renames. A PATH that exists and is
/// neither a file nor a folder (a pipe, /dev/null) is written directly.
class AtomicFile {
public:
  static Result<std::unique_ptr<AtomicFile>> create(const std::string &path);

  /// Discards the temporary file unless committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile &) = delete;
  AtomicFile &operator=(const AtomicFile &) = delete;

  Status write(const void *data, uint64_t bytes);

  /// Overwrites earlier bytes; for headers that are known last.
  Status writeAt(uint64_t offset, const void *data, uint64_t bytes);

  /// Bytes written so far by `write`.
  uint64_t size() const { return written; }

  /// Makes PATH the new file.
  Status commit();

private:
  AtomicFile(std::string path, std::string temporary, int descriptor)
      : path(std::move(path)), temporary(std::move(temporary)),
        descriptor(descriptor) {}

  std::string path;
  std::string temporary; ///< empty if PATH is written directly
  int descriptor;
  uint64_t written = 0;
};

/// Replaces PATH by `text` through an AtomicFile.
Status writeFile(const std::string &path, const std::string &text);

/// The text of a regular file of at most `limit` bytes.
Result<std::string> readFile(const std::string &path, uint64_t limit);

/// True if PATH exists and is a folder.
bool isFolder(const std::string &path);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_FILE_H
