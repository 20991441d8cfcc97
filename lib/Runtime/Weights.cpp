//===- Weights.cpp - the file of packed weights -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Weights.h"

#include "lathe/Runtime/Abi.h"

#include <algorithm>
#include <cstring>

using namespace lathe::rt;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "files are little endian and are mapped as they are");

//===----------------------------------------------------------------------===//
// XXH64, after its published specification
//===----------------------------------------------------------------------===//

static constexpr uint64_t prime1 = 0x9E3779B185EBCA87,
                          prime2 = 0xC2B2AE3D27D4EB4F,
                          prime3 = 0x165667B19E3779F9,
                          prime4 = 0x85EBCA77C2B2AE63,
                          prime5 = 0x27D4EB2F165667C5;

static uint64_t rotate(uint64_t value, unsigned by) {
  return value << by | value >> (64 - by);
}

template <typename T>
static T load(const uint8_t *from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

static uint64_t mix(uint64_t lane, uint64_t input) {
  return rotate(lane + input * prime2, 31) * prime1;
}

Hash64::Hash64() : lanes{prime1 + prime2, prime2, 0, 0 - prime1} {}

void Hash64::update(const void *data, uint64_t bytes) {
  const uint8_t *from = static_cast<const uint8_t *>(data);
  auto block = [this](const uint8_t *at) {
    for (unsigned i = 0; i < 4; ++i)
      lanes[i] = mix(lanes[i], load<uint64_t>(at + 8 * i));
  };
  uint64_t held = total % 32;
  total += bytes;
  if (held > 0) {
    uint64_t count = std::min<uint64_t>(bytes, 32 - held);
    std::memcpy(pending + held, from, count);
    from += count;
    bytes -= count;
    if (held + count < 32)
      return;
    block(pending);
  }
  for (; bytes >= 32; bytes -= 32, from += 32)
    block(from);
  if (bytes > 0)
    std::memcpy(pending, from, bytes);
}

uint64_t Hash64::digest() const {
  uint64_t hash = prime5;
  if (total >= 32) {
    hash = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) +
           rotate(lanes[3], 18);
    for (uint64_t lane : lanes)
      hash = (hash ^ mix(0, lane)) * prime1 + prime4;
  }
  hash += total;
  const uint8_t *at = pending, *end = pending + total % 32;
  for (; end - at >= 8; at += 8)
    hash = rotate(hash ^ mix(0, load<uint64_t>(at)), 27) * prime1 + prime4;
  for (; end - at >= 4; at += 4)
    hash = rotate(hash ^ load<uint32_t>(at) * prime1, 23) * prime2 + prime3;
  for (; at < end; ++at)
    hash = rotate(hash ^ *at * prime5, 11) * prime1;
  hash = (hash ^ hash >> 33) * prime2;
  hash = (hash ^ hash >> 29) * prime3;
  return hash ^ hash >> 32;
}

uint64_t lathe::rt::hash64(const void *data, uint64_t bytes) {
  Hash64 hash;
  hash.update(data, bytes);
  return hash.digest();
}

//===----------------------------------------------------------------------===//
// The file
//===----------------------------------------------------------------------===//

namespace {
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t headerBytes;
  uint64_t fileBytes;
  uint64_t payloadHash;
  uint64_t headerHash;
  uint8_t zeros[24];
};
} // namespace
static_assert(sizeof(Header) == 64);

static constexpr char weightsMagic[8] = {'L', 'A', 'T', 'H',
                                         'E', 'W', 'T', 'S'};

Result<std::shared_ptr<const MappedFile>>
lathe::rt::openWeights(const std::string &path, const WeightsInfo &info,
                       bool full) {
  Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (file.failed())
    return file;
  const uint8_t *data = (*file)->data();
  uint64_t size = (*file)->size();
  auto bad = [&](const std::string &reason) {
    return Status::error(path + ": " + reason);
  };
  Header header;
  if (size < sizeof(Header))
    return bad("is not a weights file: only " + std::to_string(size) +
               " bytes");
  std::memcpy(&header, data, sizeof(Header));
  if (std::memcmp(header.magic, weightsMagic, 8) != 0)
    return bad("is not a weights file");
  if (header.version != 1 || header.headerBytes != sizeof(Header))
    return bad("weights file of version " + std::to_string(header.version) +
               ", this runtime reads version 1");
  if (header.headerHash != hash64(&header, 32))
    return bad("the header is damaged");
  if (header.fileBytes != size)
    return bad("has " + std::to_string(size) + " bytes where its header says " +
               std::to_string(header.fileBytes) + ": incomplete copy?");
  if (size != info.bytes || header.payloadHash != info.hash)
    return bad("belongs to another build than model.json; compile again or "
               "copy both files");
  if (full && hash64(data + sizeof(Header), size - sizeof(Header)) !=
                  header.payloadHash)
    return bad("the content is damaged (its hash differs)");
  return file;
}

Result<std::unique_ptr<WeightsWriter>>
WeightsWriter::create(const std::string &path) {
  Result<std::unique_ptr<AtomicFile>> file = AtomicFile::create(path);
  if (file.failed())
    return file.takeStatus();
  Header header = {};
  if (Status status = (*file)->write(&header, sizeof(header)); status.failed())
    return status;
  return std::unique_ptr<WeightsWriter>(
      new WeightsWriter(path, std::move(*file)));
}

Result<Part> WeightsWriter::add(const std::string &name, const void *data,
                                uint64_t bytes) {
  static const uint8_t zeros[LATHE_ALIGNMENT] = {};
  uint64_t padding = -file->size() % LATHE_ALIGNMENT;
  hash.update(zeros, padding);
  if (Status status = file->write(zeros, padding); status.failed())
    return status;
  Part part;
  part.name = name;
  part.offset = file->size();
  part.bytes = bytes;
  hash.update(data, bytes);
  if (Status status = file->write(data, bytes); status.failed())
    return status;
  return part;
}

Result<WeightsInfo> WeightsWriter::finish() {
  Header header = {};
  std::memcpy(header.magic, weightsMagic, 8);
  header.version = 1;
  header.headerBytes = sizeof(Header);
  header.fileBytes = file->size();
  header.payloadHash = hash.digest();
  header.headerHash = hash64(&header, 32);
  if (Status status = file->writeAt(0, &header, sizeof(header));
      status.failed())
    return status;
  if (Status status = file->commit(); status.failed())
    return status;
  WeightsInfo info;
  info.file = path.substr(path.rfind('/') + 1);
  info.bytes = header.fileBytes;
  info.hash = header.payloadHash;
  return info;
}
