//===- MappedFile.h - Read-only mapped files --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Files that a model consists of, mapped for reading, and the rules by which
/// a model may name further files (ONNX's external data).
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_MAPPEDFILE_H
#define LATHE_IMPORT_MAPPEDFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include <memory>
#include <string>
#include <vector>

namespace lathe {

/// A regular file, mapped read-only. A file that another process cuts off while
/// it is mapped ends the process by a bus error, as with every mapping.
class MappedFile {
public:
  /// Opens first and asks the descriptor afterwards, so that nothing can be
  /// exchanged in between; never blocks on a FIFO. The error says what is wrong
  /// without the file's name.
  static llvm::Expected<std::unique_ptr<MappedFile>> open(llvm::StringRef path);

  llvm::ArrayRef<uint8_t> getBytes() const {
    return {reinterpret_cast<const uint8_t *>(region.const_data()), size};
  }
  /// The path as it was given to `open`.
  llvm::StringRef getPath() const { return path; }
  /// Where the open file really lies: no links, no dots.
  llvm::StringRef getCanonicalPath() const { return canonicalPath; }
  /// Number of names that the file has in its file system.
  unsigned getLinkCount() const { return linkCount; }

  /// Tells the system that `bytes` of this file are not needed in memory any
  /// more (they are read again from the file on the next access).
  static void release(llvm::ArrayRef<uint8_t> bytes);

private:
  MappedFile() = default;

  std::string path;
  std::string canonicalPath;
  size_t size = 0;
  unsigned linkCount = 1;
  llvm::sys::fs::mapped_file_region region;
};

/// Opens the files that a model names in `external_data.location`.
///
/// A location is resolved against the folder of the model's path as given. The
/// file that was really opened must lie under that folder, or under the folder
/// of the model's own canonical path (caches of models are folders of links),
/// or under one of the extra roots; it must be a regular file and, unless an
/// extra root vouches for it, must not have a second name (hard link).
class ExternalFiles {
public:
  ExternalFiles(const MappedFile &model, llvm::ArrayRef<std::string> roots);

  /// The mapped file of `location`; opened once.
  llvm::Expected<const MappedFile *> open(llvm::StringRef location);

private:
  llvm::Expected<std::unique_ptr<MappedFile>> openUncached(llvm::StringRef);
  llvm::Error checkPlace(const MappedFile &file) const;

  /// The folder against which locations are resolved.
  std::string folder;
  /// Canonical folders in which files without a second name are allowed.
  std::vector<std::string> ownFolders;
  /// The extra roots: as given, and canonical.
  std::vector<std::string> roots;
  std::vector<std::string> canonicalRoots;
  llvm::StringMap<std::unique_ptr<MappedFile>> files;
};

} // namespace lathe

#endif // LATHE_IMPORT_MAPPEDFILE_H
