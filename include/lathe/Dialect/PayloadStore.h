//===- PayloadStore.h - the bytes behind weights ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Declares the content-addressed store that resolves `#lathe.blob`
/// (PayloadAttr).
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_PAYLOADSTORE_H
#define LATHE_DIALECT_PAYLOADSTORE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace mlir {
class MLIRContext;
} // namespace mlir

namespace lathe {
class PayloadAttr;

/// Maps payload files for reading and spills what passes make to files of its
/// own. Thread-safe. A mapping stays until the store dies, so the arrays it
/// hands out do too.
class PayloadStore {
public:
  PayloadStore();
  ~PayloadStore();

  PayloadStore(const PayloadStore &) = delete;
  PayloadStore &operator=(const PayloadStore &) = delete;

  /// The bytes of `blob`. A file that is not where the blob says is looked for
  /// by its name in the search folders. Error: it is missing or unreadable, or
  /// the slice lies outside it.
  llvm::Expected<llvm::ArrayRef<char>> read(PayloadAttr blob);

  /// Makes `bytes` a payload: returns the blob of an equal one that this store
  /// made, or writes a file to the spill folder and maps it. The file is
  /// removed when the store dies, unless spills are kept.
  llvm::Expected<PayloadAttr> add(mlir::MLIRContext *context,
                                  llvm::ArrayRef<char> bytes);

  /// Keeps what is spilled: printed IR may name it. Called before the first
  /// payload is made, files are named by their content alone, so that equal
  /// input prints equal IR and equal payloads of several runs are one file.
  void keepSpills() { keep = true; }

  /// Folder in which files that have moved are looked for: the one of the IR
  /// that names them.
  void addSearchFolder(llvm::StringRef folder);

  /// True for a file in the spill folder.
  static bool isSpill(llvm::StringRef path);

  /// Folder of spilled payloads: `$LATHE_CACHE_DIR`, else the user's cache
  /// folder, with `/payloads` behind it.
  static std::string spillFolder();

  /// xxh3-64 of `bytes` as 16 hexadecimal digits.
  static std::string hash(llvm::ArrayRef<char> bytes);

private:
  struct Mapping;
  llvm::Expected<llvm::ArrayRef<char>> map(llvm::StringRef path);
  /// `path`, or the file of that name in a search folder.
  std::string locate(llvm::StringRef path);
  /// Writes a spill file for `key`; the path of the file.
  llvm::Expected<std::string> spill(llvm::StringRef key,
                                    llvm::ArrayRef<char> bytes);

  std::mutex mutex;
  llvm::StringMap<std::unique_ptr<Mapping>> mappings;
  std::vector<std::string> searchFolders;
  /// hash -> path of files that this store wrote.
  llvm::StringMap<std::string> spilled;
  std::mutex spillMutex;
  bool keep = false;
};

} // namespace lathe

#endif // LATHE_DIALECT_PAYLOADSTORE_H
