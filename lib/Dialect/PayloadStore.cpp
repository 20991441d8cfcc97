//===- PayloadStore.cpp - the bytes behind weights ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

using namespace lathe;
namespace fs = llvm::sys::fs;

struct PayloadStore::Mapping {
  fs::mapped_file_region region;
};

static llvm::Error fileError(llvm::StringRef path, const llvm::Twine &reason) {
  return llvm::createStringError("payload file '" + path + "': " + reason);
}

std::string PayloadStore::hash(llvm::ArrayRef<char> bytes) {
  llvm::ArrayRef<uint8_t> raw(reinterpret_cast<const uint8_t *>(bytes.data()),
                              bytes.size());
  return llvm::utohexstr(llvm::xxh3_64bits(raw), /*LowerCase=*/true, 16);
}

std::string PayloadStore::spillFolder() {
  llvm::SmallString<128> folder;
  if (auto set = llvm::sys::Process::GetEnv("LATHE_CACHE_DIR"))
    folder = *set;
  else if (llvm::sys::path::cache_directory(folder))
    llvm::sys::path::append(folder, "lathe");
  else
    llvm::sys::path::system_temp_directory(/*erasedOnReboot=*/true, folder);
  llvm::sys::path::append(folder, "payloads");
  return folder.str().str();
}

PayloadStore::PayloadStore() = default;

PayloadStore::~PayloadStore() {
  if (keep)
    return;
  for (auto &entry : spilled)
    fs::remove(entry.second);
}

llvm::Expected<llvm::ArrayRef<char>> PayloadStore::map(llvm::StringRef path) {
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Mapping> &slot = mappings[path];
  if (!slot) {
    auto file = fs::openNativeFileForRead(path);
    if (!file) {
      mappings.erase(path);
      return fileError(path, llvm::toString(file.takeError()));
    }
    auto close = [&] { fs::closeFile(*file); };
    fs::file_status status;
    if (std::error_code error = fs::status(*file, status)) {
      close();
      mappings.erase(path);
      return fileError(path, error.message());
    }
    if (status.type() != fs::file_type::regular_file) {
      close();
      mappings.erase(path);
      return fileError(path, "not a regular file");
    }
    auto mapping = std::make_unique<Mapping>();
    std::error_code error;
    if (uint64_t size = status.getSize())
      mapping->region = fs::mapped_file_region(
          *file, fs::mapped_file_region::readonly, size, 0, error);
    close();
    if (error) {
      mappings.erase(path);
      return fileError(path, error.message());
    }
    slot = std::move(mapping);
  }
  if (!slot->region)
    return llvm::ArrayRef<char>();
  return llvm::ArrayRef<char>(slot->region.const_data(), slot->region.size());
}

llvm::Expected<llvm::ArrayRef<char>> PayloadStore::read(PayloadAttr blob) {
  auto file = map(blob.getFile());
  if (!file)
    return file.takeError();
  uint64_t offset = blob.getOffset(), bytes = blob.getBytes();
  if (offset > file->size() || bytes > file->size() - offset)
    return fileError(blob.getFile(), "the slice of " + llvm::Twine(bytes) +
                                         " bytes at " + llvm::Twine(offset) +
                                         " lies outside its " +
                                         llvm::Twine(file->size()) + " bytes");
  return file->slice(offset, bytes);
}

llvm::Expected<PayloadAttr> PayloadStore::add(mlir::MLIRContext *context,
                                              llvm::ArrayRef<char> bytes) {
  std::string key = hash(bytes);
  llvm::SmallString<128> path(spillFolder());
  llvm::sys::path::append(path, key + ".bin");
  auto blob = [&] {
    return PayloadAttr::get(context, path.str(), 0, bytes.size(), key);
  };

  uint64_t size = 0;
  if (!fs::file_size(path, size) && size == bytes.size())
    return blob();

  // Written beside its final name, then renamed: readers see all or nothing.
  if (std::error_code error =
          fs::create_directories(llvm::sys::path::parent_path(path)))
    return fileError(path, error.message());
  int descriptor = -1;
  llvm::SmallString<128> temporary;
  if (std::error_code error =
          fs::createUniqueFile(path + ".%%%%%%%%.tmp", descriptor, temporary))
    return fileError(path, error.message());
  llvm::raw_fd_ostream out(descriptor, /*shouldClose=*/true);
  out.write(bytes.data(), bytes.size());
  out.close();
  if (out.has_error()) {
    std::string reason = out.error().message();
    out.clear_error();
    fs::remove(temporary);
    return fileError(path, reason);
  }
  if (std::error_code error = fs::rename(temporary, path)) {
    fs::remove(temporary);
    return fileError(path, error.message());
  }
  std::lock_guard<std::mutex> lock(mutex);
  spilled[key] = path.str().str();
  return blob();
}
