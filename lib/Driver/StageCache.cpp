//===- StageCache.cpp - compiled stages on disk ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/StageCache.h"
#include "LoadedCode.h"
#include "lathe/Dialect/CacheFolder.h"
#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/File.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CachePruning.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/HashBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <chrono>
#include <cstring>

using namespace lathe;
namespace fs = llvm::sys::fs;

using Hasher = llvm::HashBuilder<llvm::BLAKE3, llvm::endianness::native>;

static constexpr uint64_t kMostBytes = uint64_t(1) << 30;
static constexpr uint64_t kMagic = 0x677473656874616c; // "lathestg"
static constexpr uint64_t kVersion = 1;

namespace {

/// What a file begins with; the layouts, a byte each, and the object follow.
struct Header {
  uint64_t magic = kMagic, version = kVersion;
  uint64_t layouts = 0;
  uint64_t objectBytes = 0;
  llvm::BLAKE3Result<> checksum = {};
};

} // namespace

StageCache::StageCache(std::string folder) : folder(std::move(folder)) {
  if (this->folder.empty())
    return;
  compiler = loadedCodeIdentity();
  if (compiler.empty())
    this->folder.clear();
}

std::string StageCache::defaultFolder() {
  llvm::SmallString<128> folder(cacheFolder());
  if (!folder.empty())
    llvm::sys::path::append(folder, "stages");
  return folder.str().str();
}

StageCache::Hash StageCache::keyOf(const StageFunction &function,
                                   const CpuTarget &target) const {
  Hasher hasher;
  hasher.add(llvm::StringRef(compiler))
      .add(llvm::StringRef(LATHE_VERSION))
      .add(LATHE_ABI_VERSION)
      .add(target.name())
      .add(target.lanes)
      .add(target.registers)
      .add(target.hasFma)
      .add(target.hasHalf)
      .add(llvm::StringRef(target.triple))
      .add(llvm::StringRef(target.cpu))
      .add(llvm::StringRef(target.features))
      .add(llvm::StringRef(function.content));
  return hasher.final();
}

/// The prefix is that of LLVM's caches: pruneCache removes no other files.
std::string StageCache::pathOf(const Hash &key) const {
  llvm::SmallString<128> path(folder);
  llvm::sys::path::append(path,
                          "llvmcache-" + llvm::toHex(key, /*LowerCase=*/true));
  return path.str().str();
}

/// Of the key, too: a file under another's name is not what was asked for.
static llvm::BLAKE3Result<> checksumOf(llvm::ArrayRef<uint8_t> key,
                                       llvm::StringRef layouts,
                                       llvm::StringRef object) {
  Hasher hasher;
  hasher.add(key).add(layouts).add(object);
  return hasher.final();
}

/// The bytes of a regular file, which is marked as used now; null if it cannot
/// be read.
static std::unique_ptr<llvm::MemoryBuffer> readAndTouch(llvm::StringRef path) {
  // Looked at before it is opened: opening a pipe would wait for its writer.
  fs::file_status status;
  if (fs::status(path, status) || status.type() != fs::file_type::regular_file)
    return nullptr;
  auto file = fs::openNativeFileForRead(path);
  if (!file) {
    llvm::consumeError(file.takeError());
    return nullptr;
  }
  auto close = llvm::scope_exit([&] { fs::closeFile(*file); });
  // Pruning goes by the time of access, which many systems do not keep. That it
  // cannot be set does not matter.
  (void)fs::setLastAccessAndModificationTime(*file,
                                             std::chrono::system_clock::now(),
                                             status.getLastModificationTime());
  auto bytes = llvm::MemoryBuffer::getOpenFile(*file, path, status.getSize(),
                                               /*RequiresNullTerminator=*/false,
                                               /*IsVolatile=*/true);
  return bytes ? std::move(*bytes) : nullptr;
}

std::optional<CompiledStage> StageCache::find(const StageFunction &function,
                                              const CpuTarget &target) const {
  if (folder.empty())
    return std::nullopt;
  Hash key = keyOf(function, target);
  auto file = readAndTouch(pathOf(key));
  if (!file || file->getBufferSize() < sizeof(Header))
    return std::nullopt;
  Header header;
  memcpy(&header, file->getBufferStart(), sizeof(Header));
  llvm::StringRef rest = file->getBuffer().drop_front(sizeof(Header));
  if (header.magic != kMagic || header.version != kVersion ||
      header.layouts > rest.size() ||
      header.objectBytes != rest.size() - header.layouts)
    return std::nullopt;
  llvm::StringRef layouts = rest.take_front(header.layouts);
  llvm::StringRef object = rest.drop_front(header.layouts);
  if (checksumOf(key, layouts, object) != header.checksum)
    return std::nullopt;
  CompiledStage stage;
  stage.functionName = function.name;
  for (char layout : layouts)
    stage.layouts.push_back(static_cast<PartLayout>(layout));
  stage.object = llvm::MemoryBuffer::getMemBufferCopy(object, "lathe.o");
  return stage;
}

void StageCache::add(const StageFunction &function, const CpuTarget &target,
                     const CompiledStage &stage) const {
  if (folder.empty() || fs::create_directories(folder))
    return;
  std::string layouts;
  for (PartLayout layout : stage.layouts)
    layouts.push_back(static_cast<char>(layout));
  llvm::StringRef object = stage.object->getBuffer();
  Hash key = keyOf(function, target);
  Header header;
  header.layouts = layouts.size();
  header.objectBytes = object.size();
  header.checksum = checksumOf(key, layouts, object);
  std::string bytes(reinterpret_cast<const char *>(&header), sizeof(Header));
  bytes += layouts;
  bytes += object;
  // Readers see all of a file or nothing. One that cannot be written is not
  // kept.
  (void)rt::writeFile(pathOf(key), bytes).failed();
}

void StageCache::prune() const {
  if (folder.empty())
    return;
  llvm::CachePruningPolicy policy;
  policy.Expiration = std::chrono::seconds(0);
  policy.MaxSizeBytes = kMostBytes;
  llvm::pruneCache(folder, policy);
}
