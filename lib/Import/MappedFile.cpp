//===- MappedFile.cpp - Read-only mapped files ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/MappedFile.h"
#include "lathe/Import/Problems.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace lathe;
using llvm::StringRef;
using llvm::Twine;
namespace fs = llvm::sys::fs;

static llvm::Error failed(const Twine &what) {
  return llvm::createStringError(what);
}

static const char *kindOf(mode_t mode) {
  if (S_ISDIR(mode))
    return "is a directory";
  if (S_ISFIFO(mode))
    return "is a FIFO";
  if (S_ISCHR(mode) || S_ISBLK(mode))
    return "is a device";
  return "is not a regular file";
}

llvm::Expected<std::unique_ptr<MappedFile>> MappedFile::open(StringRef path) {
  std::string zeroTerminated = path.str();
  // O_NONBLOCK: opening a FIFO for reading must not wait for a writer.
  int fd = ::open(zeroTerminated.c_str(),
                  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return failed(Twine("cannot be opened: ") + std::strerror(errno));
  llvm::scope_exit closeFile([&] { ::close(fd); });

  struct stat status;
  if (::fstat(fd, &status) != 0)
    return failed(Twine("cannot be examined: ") + std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    return failed(kindOf(status.st_mode));

  std::unique_ptr<MappedFile> file(new MappedFile());
  file->path = zeroTerminated;
  file->size = status.st_size;
  file->linkCount = status.st_nlink;

  // The path of the descriptor, not of the name: a link that is exchanged after
  // the file was opened changes nothing.
  llvm::SmallString<256> canonical;
  std::string self = "/proc/self/fd/" + std::to_string(fd);
  if (std::error_code error = fs::real_path(self, canonical))
    return failed("has no canonical path: " + error.message());
  file->canonicalPath = canonical.str().str();

  if (file->size != 0) {
    std::error_code error;
    file->region = fs::mapped_file_region(fs::convertFDToNativeFile(fd),
                                          fs::mapped_file_region::readonly,
                                          file->size, /*offset=*/0, error);
    if (error)
      return failed("cannot be mapped: " + error.message());
  }
  return std::move(file);
}

void MappedFile::release(llvm::ArrayRef<uint8_t> bytes) {
  auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  uintptr_t end = begin + bytes.size();
  uintptr_t page = llvm::sys::Process::getPageSizeEstimate();
  begin = (begin + page - 1) / page * page;
  end = end / page * page;
  if (begin < end)
    ::madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
}

/// True if the canonical path `file` lies in the canonical folder `folder`.
static bool isUnder(StringRef file, StringRef folder) {
  if (!file.consume_front(folder))
    return false;
  return folder.ends_with("/") || file.starts_with("/");
}

static std::string canonicalFolder(StringRef path) {
  llvm::SmallString<256> canonical;
  if (fs::real_path(path, canonical))
    return "";
  return canonical.str().str();
}

ExternalFiles::ExternalFiles(const MappedFile &model,
                             llvm::ArrayRef<std::string> extraRoots) {
  folder = llvm::sys::path::parent_path(model.getPath()).str();
  std::string given = canonicalFolder(folder.empty() ? "." : folder);
  if (!given.empty())
    ownFolders.push_back(given);
  ownFolders.push_back(
      llvm::sys::path::parent_path(model.getCanonicalPath()).str());
  for (const std::string &root : extraRoots) {
    std::string canonical = canonicalFolder(root);
    if (canonical.empty())
      continue;
    roots.push_back(root);
    canonicalRoots.push_back(canonical);
  }
}

/// Says why `location` cannot be a relative path inside the model's folder, or
/// nullptr. Containment itself is decided on the opened file.
static const char *whyNotRelative(StringRef location) {
  if (location.empty())
    return "is empty";
  if (location.contains('\0'))
    return "contains a NUL character";
  if (location.starts_with("/"))
    return "is an absolute path";
  if (location.contains('\\'))
    return "contains a backslash";
  if (location.size() >= 2 && location[1] == ':' && llvm::isAlpha(location[0]))
    return "names a drive";
  if (location.contains("://"))
    return "is a URL";
  if (location.size() >= 4096)
    return "is longer than a path may be";
  return nullptr;
}

llvm::Error ExternalFiles::checkPlace(const MappedFile &file) const {
  StringRef canonical = file.getCanonicalPath();
  for (const std::string &root : canonicalRoots)
    if (isUnder(canonical, root))
      return llvm::Error::success();
  for (const std::string &own : ownFolders) {
    if (!isUnder(canonical, own))
      continue;
    if (file.getLinkCount() > 1)
      return failed("has " + Twine(file.getLinkCount()) +
                    " names (hard links), so that it may lie outside the "
                    "model's folder as well");
    return llvm::Error::success();
  }
  return failed("lies outside the model's folder");
}

llvm::Expected<std::unique_ptr<MappedFile>>
ExternalFiles::openUncached(StringRef location) {
  if (const char *why = whyNotRelative(location))
    return failed(why);
  std::vector<std::string> folders = {folder};
  folders.insert(folders.end(), roots.begin(), roots.end());
  for (size_t i = 0; i < folders.size(); ++i) {
    llvm::SmallString<256> path(folders[i]);
    llvm::sys::path::append(path, location);
    auto file = MappedFile::open(path);
    if (!file) {
      // The next root is tried only for a file that is not in this one.
      bool isMissing = !fs::exists(path);
      if (isMissing && i + 1 < folders.size()) {
        llvm::consumeError(file.takeError());
        continue;
      }
      return file.takeError();
    }
    if (llvm::Error error = checkPlace(**file))
      return std::move(error);
    return file;
  }
  llvm_unreachable("the last folder returns");
}

llvm::Expected<const MappedFile *> ExternalFiles::open(StringRef location) {
  auto it = files.find(location);
  if (it != files.end())
    return it->second.get();
  auto file = openUncached(location);
  if (!file)
    return failed("external data file " + quoteName(location) + " " +
                  llvm::toString(file.takeError()));
  return (files[location] = std::move(*file)).get();
}
