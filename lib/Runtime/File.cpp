//===- File.cpp - reading, mapping and replacing files -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/File.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lathe::rt;

static Status systemError(const std::string &path) {
  return Status::error(path + ": " + std::strerror(errno));
}

namespace {
/// Closes a descriptor at the end of a scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0)
      close(number);
  }
};
} // namespace

/// Opens a regular file for reading. O_NONBLOCK so that a FIFO without a writer
/// is refused instead of waited for.
static Status openRegular(const std::string &path, Descriptor &file,
                          uint64_t &size) {
  file.number = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.number < 0)
    return systemError(path);
  struct stat info;
  if (fstat(file.number, &info) != 0)
    return systemError(path);
  if (!S_ISREG(info.st_mode))
    return Status::error(path + (S_ISDIR(info.st_mode)
                                     ? ": is a folder, not a file"
                                     : ": is not a regular file"));
  size = info.st_size;
  return Status::ok();
}

Result<std::shared_ptr<const MappedFile>>
MappedFile::open(const std::string &path) {
  Descriptor file{-1};
  uint64_t size;
  if (Status status = openRegular(path, file, size); status.failed())
    return status;
  if (size == 0)
    return std::shared_ptr<const MappedFile>(new MappedFile(nullptr, 0));
  void *data = mmap(nullptr, size, PROT_READ, MAP_SHARED, file.number, 0);
  if (data == MAP_FAILED)
    return systemError(path);
  return std::shared_ptr<const MappedFile>(
      new MappedFile(static_cast<const uint8_t *>(data), size));
}

MappedFile::~MappedFile() {
  if (bytes)
    munmap(const_cast<uint8_t *>(bytes), length);
}

void MappedFile::prefetch() const {
  if (bytes)
    madvise(const_cast<uint8_t *>(bytes), length, MADV_WILLNEED);
}

/// Creates an unused file beside `path`; O_EXCL never follows a link.
static int createBeside(const std::string &path, std::string &name) {
  for (unsigned attempt = 0; attempt < 100; ++attempt) {
    name = path + ".tmp" + std::to_string(getpid()) + "." +
           std::to_string(attempt);
    int descriptor =
        ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0 || errno != EEXIST)
      return descriptor;
  }
  return -1;
}

Result<std::unique_ptr<AtomicFile>>
AtomicFile::create(const std::string &path) {
  struct stat info;
  bool exists = stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode))
    return Status::error(path + ": is a folder, not a file");
  std::string temporary;
  int descriptor;
  if (exists && !S_ISREG(info.st_mode))
    descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  else
    descriptor = createBeside(path, temporary);
  if (descriptor < 0)
    return systemError(path);
  return std::unique_ptr<AtomicFile>(
      new AtomicFile(path, std::move(temporary), descriptor));
}

AtomicFile::~AtomicFile() {
  if (descriptor >= 0) {
    close(descriptor);
    if (!temporary.empty())
      unlink(temporary.c_str());
  }
}

Status AtomicFile::write(const void *data, uint64_t bytes) {
  const char *from = static_cast<const char *>(data);
  while (bytes > 0) {
    ssize_t count = ::write(descriptor, from, bytes);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return systemError(path);
    from += count;
    bytes -= count;
    written += count;
  }
  return Status::ok();
}

Status AtomicFile::writeAt(uint64_t offset, const void *data, uint64_t bytes) {
  const char *from = static_cast<const char *>(data);
  while (bytes > 0) {
    ssize_t count = pwrite(descriptor, from, bytes, offset);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return systemError(path);
    from += count;
    offset += count;
    bytes -= count;
  }
  return Status::ok();
}

Status AtomicFile::commit() {
  // Some file systems report a full disk only here.
  bool closed = close(std::exchange(descriptor, -1)) == 0;
  if (temporary.empty())
    return closed ? Status::ok() : systemError(path);
  if (closed && rename(temporary.c_str(), path.c_str()) == 0)
    return Status::ok();
  Status status = systemError(path);
  unlink(temporary.c_str());
  return status;
}

Status lathe::rt::writeFile(const std::string &path, const std::string &text) {
  Result<std::unique_ptr<AtomicFile>> file = AtomicFile::create(path);
  if (file.failed())
    return file.takeStatus();
  if (Status status = (*file)->write(text.data(), text.size()); status.failed())
    return status;
  return (*file)->commit();
}

Result<std::string> lathe::rt::readFile(const std::string &path,
                                        uint64_t limit) {
  Descriptor file{-1};
  uint64_t size;
  if (Status status = openRegular(path, file, size); status.failed())
    return status;
  if (size > limit)
    return Status::error(path + ": is larger than " + std::to_string(limit) +
                         " bytes");
  std::string text(size, '\0');
  uint64_t have = 0;
  while (have < size) {
    ssize_t count = read(file.number, &text[have], size - have);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return systemError(path);
    if (count == 0)
      break;
    have += count;
  }
  text.resize(have);
  return text;
}

bool lathe::rt::isFolder(const std::string &path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}
