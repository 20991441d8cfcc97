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

  /// The bytes of `blob`. Error: the file is missing or unreadable, or the
  /// slice lies outside it.
  llvm::Expected<llvm::ArrayRef<char>> read(PayloadAttr blob);

  /// Makes `bytes` a payload: returns the blob of an equal one that is known,
  /// or writes a file `<spill folder>/<hash>` and maps it.
  llvm::Expected<PayloadAttr> add(mlir::MLIRContext *context,
                                  llvm::ArrayRef<char> bytes);

  /// Keeps spilled files when the store dies: printed IR may name them.
  void keepSpills() { keep = true; }

  /// Folder of spilled payloads: `$LATHE_CACHE_DIR`, else the user's cache
  /// folder, with `/payloads` behind it.
  static std::string spillFolder();

  /// xxh3-64 of `bytes` as 16 hexadecimal digits.
  static std::string hash(llvm::ArrayRef<char> bytes);

private:
  struct Mapping;
  llvm::Expected<llvm::ArrayRef<char>> map(llvm::StringRef path);

  std::mutex mutex;
  llvm::StringMap<std::unique_ptr<Mapping>> mappings;
  /// hash -> path of files that this store wrote.
  llvm::StringMap<std::string> spilled;
  bool keep = false;
};

} // namespace lathe

#endif // LATHE_DIALECT_PAYLOADSTORE_H
