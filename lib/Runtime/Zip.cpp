//===- Zip.cpp - zip archives -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Zip.h"

#include <algorithm>
#include <climits>
#include <cstring>

using namespace lathe::rt;

static constexpr uint32_t localMagic = 0x04034b50, centralMagic = 0x02014b50,
                          endMagic = 0x06054b50, end64Magic = 0x06064b50,
                          locator64Magic = 0x07064b50;
static constexpr uint32_t max32 = 0xffffffff;
static constexpr uint16_t max16 = 0xffff;
static constexpr uint16_t zip64Tag = 1;

//===----------------------------------------------------------------------===//
// Directory
//===----------------------------------------------------------------------===//

template <typename T>
static T load(const uint8_t *from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

namespace {
/// Where the central directory lies.
struct Directory {
  uint64_t offset, bytes, members;
};
} // namespace

/// True if [offset, offset + bytes) lies inside a file of `size` bytes.
static bool inside(uint64_t offset, uint64_t bytes, uint64_t size) {
  return offset <= size && bytes <= size - offset;
}

/// Looks for the end record from the back; a comment may follow it.
static bool findEnd(const uint8_t *data, uint64_t size, uint64_t &at) {
  constexpr uint64_t recordBytes = 22;
  if (size < recordBytes)
    return false;
  uint64_t last = size - recordBytes;
  uint64_t first = last > max16 ? last - max16 : 0;
  for (at = last + 1; at-- > first;)
    if (load<uint32_t>(data + at) == endMagic)
      return true;
  return false;
}

static Status findDirectory(const uint8_t *data, uint64_t size,
                            Directory &directory) {
  uint64_t end;
  if (!findEnd(data, size, end))
    return Status::error("is not a zip file, or is cut off");
  directory.members = load<uint16_t>(data + end + 10);
  directory.bytes = load<uint32_t>(data + end + 12);
  directory.offset = load<uint32_t>(data + end + 16);
  bool wide = directory.members == max16 || directory.bytes == max32 ||
              directory.offset == max32;
  if (wide && end >= 20 && load<uint32_t>(data + end - 20) == locator64Magic) {
    uint64_t at = load<uint64_t>(data + end - 12);
    if (!inside(at, 56, size) || load<uint32_t>(data + at) != end64Magic)
      return Status::error("its zip64 directory is damaged");
    directory.members = load<uint64_t>(data + at + 32);
    directory.bytes = load<uint64_t>(data + at + 40);
    directory.offset = load<uint64_t>(data + at + 48);
  }
  if (!inside(directory.offset, directory.bytes, size) ||
      directory.members > directory.bytes / 46)
    return Status::error("its directory lies outside the file: cut off?");
  return Status::ok();
}

/// Replaces the sizes that say "see the zip64 field" by those in it.
static bool applyZip64(const uint8_t *extra, uint64_t extraBytes,
                       ZipMember &member, uint64_t &localOffset) {
  uint64_t *fields[] = {&member.bytes, &member.compressedBytes, &localOffset};
  if (std::none_of(fields, fields + 3, [](uint64_t *f) { return *f == max32; }))
    return true;
  while (extraBytes >= 4) {
    uint16_t tag = load<uint16_t>(extra), bytes = load<uint16_t>(extra + 2);
    extra += 4;
    extraBytes -= 4;
    if (bytes > extraBytes)
      return false;
    if (tag == zip64Tag) {
      for (uint64_t *field : fields) {
        if (*field != max32)
          continue;
        if (bytes < 8)
          return false;
        *field = load<uint64_t>(extra);
        extra += 8;
        bytes -= 8;
      }
      return true;
    }
    extra += bytes;
    extraBytes -= bytes;
  }
  return true;
}

/// Tests the member against its local header and finds its bytes.
static Status locate(const uint8_t *data, uint64_t size, uint64_t localOffset,
                     ZipMember &member) {
  if (!inside(localOffset, 30, size) ||
      load<uint32_t>(data + localOffset) != localMagic)
    return Status::error("its header is damaged");
  uint64_t start = localOffset + 30 + load<uint16_t>(data + localOffset + 26) +
                   load<uint16_t>(data + localOffset + 28);
  if (!inside(start, member.compressedBytes, size))
    return Status::error("its bytes lie outside the file: cut off?");
  member.data = data + start;
  // Deflate expands at most 1032 times; what claims more would only make us
  // take memory for nothing.
  constexpr uint64_t mostExpansion = 1032;
  bool possible = member.deflated
                      ? member.bytes / mostExpansion <= member.compressedBytes
                      : member.bytes == member.compressedBytes;
  return possible ? Status::ok()
                  : Status::error("its size does not match its bytes");
}

Result<std::vector<ZipMember>>
lathe::rt::readZipDirectory(const MappedFile &file) {
  const uint8_t *data = file.data();
  uint64_t size = file.size();
  Directory directory;
  if (Status status = findDirectory(data, size, directory); status.failed())
    return status;
  std::vector<ZipMember> members;
  const uint8_t *at = data + directory.offset;
  uint64_t left = directory.bytes;
  for (uint64_t i = 0; i < directory.members; ++i) {
    if (left < 46 || load<uint32_t>(at) != centralMagic)
      return Status::error("its directory is damaged");
    uint16_t flags = load<uint16_t>(at + 8), method = load<uint16_t>(at + 10);
    uint64_t nameBytes = load<uint16_t>(at + 28),
             extraBytes = load<uint16_t>(at + 30),
             length = 46 + nameBytes + extraBytes + load<uint16_t>(at + 32);
    if (length > left)
      return Status::error("its directory is damaged");
    ZipMember member;
    member.name.assign(reinterpret_cast<const char *>(at + 46), nameBytes);
    member.crc = load<uint32_t>(at + 16);
    member.compressedBytes = load<uint32_t>(at + 20);
    member.bytes = load<uint32_t>(at + 24);
    member.deflated = method == 8;
    uint64_t localOffset = load<uint32_t>(at + 42);
    std::string where = "member '" + member.name + "': ";
    if (flags & 1)
      return Status::error(where + "is encrypted");
    if (method != 0 && method != 8)
      return Status::error(where + "compression method " +
                           std::to_string(method) +
                           "; stored and deflated members can be read");
    if (!applyZip64(at + 46 + nameBytes, extraBytes, member, localOffset))
      return Status::error(where + "its zip64 field is damaged");
    if (Status status = locate(data, size, localOffset, member);
        status.failed())
      return std::move(status).prefixed(where);
    members.push_back(std::move(member));
    at += length;
    left -= length;
  }
  return members;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

ZipStream::ZipStream(const ZipMember &member)
    : member(member), crc(crc32(0, nullptr, 0)) {
  // Negative: raw deflate without a zlib header.
  if (member.deflated)
    streamReady = inflateInit2(&stream, -MAX_WBITS) == Z_OK;
}

ZipStream::~ZipStream() {
  if (streamReady)
    inflateEnd(&stream);
}

Status ZipStream::read(void *out, uint64_t count) {
  if (count > member.bytes - position)
    return Status::error("ends too early");
  if (!member.deflated) {
    if (count > 0)
      std::memcpy(out, member.data + position, count);
  } else {
    if (!streamReady)
      return Status::error("no memory to inflate it");
    auto *to = static_cast<uint8_t *>(out);
    for (uint64_t left = count; left > 0;) {
      // zlib counts in 32 bits.
      uInt room = std::min<uint64_t>(left, UINT_MAX);
      uInt given =
          std::min<uint64_t>(member.compressedBytes - inputTaken, UINT_MAX);
      stream.next_in = const_cast<uint8_t *>(member.data + inputTaken);
      stream.avail_in = given;
      stream.next_out = to;
      stream.avail_out = room;
      int code = inflate(&stream, Z_NO_FLUSH);
      uInt made = room - stream.avail_out;
      inputTaken += given - stream.avail_in;
      to += made;
      left -= made;
      bool stuck = made == 0 && given == stream.avail_in;
      if ((code != Z_OK && code != Z_STREAM_END) || (left > 0 && stuck) ||
          (left > 0 && code == Z_STREAM_END))
        return Status::error("its deflated bytes are damaged");
    }
  }
  crc = crc32_z(crc, static_cast<const Bytef *>(out), count);
  position += count;
  return Status::ok();
}

Status ZipStream::finish() {
  if (position != member.bytes || crc != member.crc)
    return Status::error("its bytes are damaged (checksum)");
  return Status::ok();
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

template <typename T>
static void put(std::string &bytes, T value) {
  bytes.append(reinterpret_cast<const char *>(&value), sizeof(T));
}

/// Version, flags, method, a fixed date (1980-01-01), checksum: the fields that
/// local and central headers share. Version 4.5 reads zip64.
static void putCommon(std::string &bytes, uint32_t crc) {
  put<uint16_t>(bytes, 45);
  put<uint16_t>(bytes, 0);
  put<uint16_t>(bytes, 0);
  put<uint16_t>(bytes, 0);
  put<uint16_t>(bytes, 0x21);
  put<uint32_t>(bytes, crc);
}

Result<std::unique_ptr<ZipWriter>> ZipWriter::create(const std::string &path) {
  Result<std::unique_ptr<AtomicFile>> file = AtomicFile::create(path);
  if (file.failed())
    return file.takeStatus();
  return std::unique_ptr<ZipWriter>(new ZipWriter(std::move(*file)));
}

Status ZipWriter::add(const std::string &name, const std::string &head,
                      const void *data, uint64_t bytes) {
  if (name.size() >= max16)
    return Status::error("the name of an array is too long");
  Entry entry{name, file->size(), head.size() + bytes, 0};
  uLong crc =
      crc32_z(0, reinterpret_cast<const Bytef *>(head.data()), head.size());
  if (bytes > 0)
    crc = crc32_z(crc, static_cast<const Bytef *>(data), bytes);
  entry.crc = crc;

  // Always with the zip64 field, as numpy does: one form for all sizes.
  std::string local;
  put<uint32_t>(local, localMagic);
  putCommon(local, entry.crc);
  put<uint32_t>(local, max32);
  put<uint32_t>(local, max32);
  put<uint16_t>(local, name.size());
  put<uint16_t>(local, 20);
  local += name;
  put<uint16_t>(local, zip64Tag);
  put<uint16_t>(local, 16);
  put<uint64_t>(local, entry.bytes);
  put<uint64_t>(local, entry.bytes);
  local += head;
  if (Status status = file->write(local.data(), local.size()); status.failed())
    return status;
  entries.push_back(std::move(entry));
  return file->write(data, bytes);
}

Status ZipWriter::finish() {
  uint64_t start = file->size();
  std::string bytes;
  for (const Entry &entry : entries) {
    put<uint32_t>(bytes, centralMagic);
    put<uint16_t>(bytes, 45);
    putCommon(bytes, entry.crc);
    put<uint32_t>(bytes, max32);
    put<uint32_t>(bytes, max32);
    put<uint16_t>(bytes, entry.name.size());
    put<uint16_t>(bytes, 28);
    put<uint16_t>(bytes, 0); // comment
    put<uint16_t>(bytes, 0); // disk
    put<uint16_t>(bytes, 0); // internal attributes
    put<uint32_t>(bytes, 0); // external attributes
    put<uint32_t>(bytes, max32);
    bytes += entry.name;
    put<uint16_t>(bytes, zip64Tag);
    put<uint16_t>(bytes, 24);
    put<uint64_t>(bytes, entry.bytes);
    put<uint64_t>(bytes, entry.bytes);
    put<uint64_t>(bytes, entry.offset);
  }
  uint64_t directoryBytes = bytes.size();
  put<uint32_t>(bytes, end64Magic);
  put<uint64_t>(bytes, 44); // of the rest of this record
  put<uint16_t>(bytes, 45);
  put<uint16_t>(bytes, 45);
  put<uint32_t>(bytes, 0);
  put<uint32_t>(bytes, 0);
  put<uint64_t>(bytes, entries.size());
  put<uint64_t>(bytes, entries.size());
  put<uint64_t>(bytes, directoryBytes);
  put<uint64_t>(bytes, start);
  put<uint32_t>(bytes, locator64Magic);
  put<uint32_t>(bytes, 0);
  put<uint64_t>(bytes, start + directoryBytes);
  put<uint32_t>(bytes, 1);
  put<uint32_t>(bytes, endMagic);
  put<uint16_t>(bytes, 0);
  put<uint16_t>(bytes, 0);
  put<uint16_t>(bytes, max16);
  put<uint16_t>(bytes, max16);
  put<uint32_t>(bytes, max32);
  put<uint32_t>(bytes, max32);
  put<uint16_t>(bytes, 0);
  if (Status status = file->write(bytes.data(), bytes.size()); status.failed())
    return status;
  return file->commit();
}
