//===- PayloadStore.cpp - the bytes behind weights ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/CacheFolder.h"
#include "lathe/Dialect/Lathe.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
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
  llvm::SmallString<128> folder(cacheFolder());
  if (folder.empty())
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

std::string PayloadStore::locate(llvm::StringRef path) {
  if (fs::exists(path))
    return path.str();
  for (const std::string &folder : searchFolders) {
    llvm::SmallString<128> beside(folder);
    llvm::sys::path::append(beside, llvm::sys::path::filename(path));
    if (fs::exists(beside))
      return beside.str().str();
  }
  return path.str();
}

/// Maps the regular file at `path` whole. Errors name it `name`.
static llvm::Expected<fs::mapped_file_region> mapFile(llvm::StringRef path,
                                                      llvm::StringRef name) {
  // Looked at before it is opened: opening a pipe would wait for its writer.
  fs::file_status status;
  if (std::error_code error = fs::status(path, status))
    return fileError(name, error.message());
  if (status.type() != fs::file_type::regular_file)
    return fileError(name, "not a regular file");
  auto file = fs::openNativeFileForRead(path);
  if (!file)
    return fileError(name, llvm::toString(file.takeError()));
  fs::mapped_file_region region;
  std::error_code error = fs::status(*file, status);
  if (!error && status.getSize() != 0)
    region = fs::mapped_file_region(*file, fs::mapped_file_region::readonly,
                                    status.getSize(), 0, error);
  fs::closeFile(*file);
  if (error)
    return fileError(name, error.message());
  return region;
}

llvm::Expected<llvm::ArrayRef<char>> PayloadStore::map(llvm::StringRef path) {
  std::lock_guard<std::mutex> lock(mutex);
  auto known = mappings.find(path);
  if (known == mappings.end()) {
    auto region = mapFile(locate(path), path);
    if (!region)
      return region.takeError();
    auto mapping = std::make_unique<Mapping>();
    mapping->region = std::move(*region);
    known = mappings.try_emplace(path, std::move(mapping)).first;
  }
  const fs::mapped_file_region &region = known->second->region;
  if (!region)
    return llvm::ArrayRef<char>();
  return llvm::ArrayRef<char>(region.const_data(), region.size());
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

void PayloadStore::addSearchFolder(llvm::StringRef folder) {
  std::lock_guard<std::mutex> lock(mutex);
  searchFolders.push_back(folder.str());
}

bool PayloadStore::isSpill(llvm::StringRef path) {
  return llvm::sys::path::parent_path(path) == spillFolder();
}

/// Writes `bytes` to the open file `descriptor` at `path`, and removes it when
/// that fails.
static llvm::Error writeAndClose(int descriptor, llvm::StringRef path,
                                 llvm::ArrayRef<char> bytes) {
  llvm::raw_fd_ostream out(descriptor, /*shouldClose=*/true);
  out.write(bytes.data(), bytes.size());
  out.close();
  if (!out.has_error())
    return llvm::Error::success();
  std::string reason = out.error().message();
  out.clear_error();
  fs::remove(path);
  return fileError(path, reason);
}

llvm::Expected<std::string> PayloadStore::spill(llvm::StringRef key,
                                                llvm::ArrayRef<char> bytes) {
  llvm::SmallString<128> folder(spillFolder());
  if (std::error_code error = fs::create_directories(folder))
    return fileError(folder, error.message());
  llvm::SmallString<128> shared(folder);
  llvm::sys::path::append(shared, key + ".bin");
  uint64_t size = 0;
  if (keep && !fs::file_size(shared, size) && size == bytes.size())
    return shared.str().str();

  llvm::SmallString<128> model(folder), path;
  llvm::sys::path::append(model, key + "-%%%%%%%%.bin");
  int descriptor = -1;
  if (std::error_code error = fs::createUniqueFile(model, descriptor, path))
    return fileError(model, error.message());
  if (llvm::Error error = writeAndClose(descriptor, path, bytes))
    return std::move(error);
  if (!keep)
    return path.str().str();
  // Renamed when complete: readers of the shared name see all or nothing.
  if (std::error_code error = fs::rename(path, shared)) {
    fs::remove(path);
    return fileError(shared, error.message());
  }
  return shared.str().str();
}

llvm::Expected<PayloadAttr> PayloadStore::add(mlir::MLIRContext *context,
                                              llvm::ArrayRef<char> bytes) {
  std::string key = hash(bytes);
  // The lock is held while writing, so that equal payloads are written once.
  std::lock_guard<std::mutex> lock(spillMutex);
  std::string &path = spilled[key];
  if (path.empty()) {
    llvm::Expected<std::string> written = spill(key, bytes);
    if (!written) {
      spilled.erase(key);
      return written.takeError();
    }
    path = *written;
  }
  return PayloadAttr::get(context, path, 0, bytes.size(), key);
}
