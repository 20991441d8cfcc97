//===- LoadedCode.cpp - which code is running -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LoadedCode.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Alignment.h"
#include "llvm/Support/BLAKE3.h"
#include "llvm/Support/MemoryBuffer.h"
#include <cstring>
#include <link.h>
#include <sys/auxv.h>
#include <vector>

using namespace lathe;

using Segment = ElfW(Phdr);
using NoteHeader = ElfW(Nhdr);

static llvm::ArrayRef<Segment> segmentsOf(const dl_phdr_info &file) {
  return {file.dlpi_phdr, file.dlpi_phnum};
}

/// The vDSO is the kernel's; no compiler uses its code.
static bool isVdso(const dl_phdr_info &file) {
  uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
  return llvm::any_of(segmentsOf(file), [&](const Segment &segment) {
    return segment.p_type == PT_LOAD &&
           vdso - (file.dlpi_addr + segment.p_vaddr) < segment.p_memsz;
  });
}

/// The build ID among `notes`; empty without one.
static llvm::StringRef buildIdIn(llvm::StringRef notes, uint64_t alignment) {
  llvm::Align align(alignment == 8 ? 8 : 4);
  while (notes.size() >= sizeof(NoteHeader)) {
    NoteHeader header;
    memcpy(&header, notes.data(), sizeof(header));
    uint64_t begin = llvm::alignTo(sizeof(header) + header.n_namesz, align);
    llvm::StringRef owner = notes.substr(sizeof(header), header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID &&
        owner == llvm::StringRef("GNU\0", 4))
      return notes.substr(begin, header.n_descsz);
    notes = notes.substr(llvm::alignTo(begin + header.n_descsz, align));
  }
  return {};
}

/// Read from memory: the file may have been replaced since.
static llvm::StringRef buildIdOf(const dl_phdr_info &file) {
  for (const Segment &segment : segmentsOf(file)) {
    if (segment.p_type != PT_NOTE)
      continue;
    auto *notes =
        reinterpret_cast<const char *>(file.dlpi_addr + segment.p_vaddr);
    llvm::StringRef id =
        buildIdIn(llvm::StringRef(notes, segment.p_memsz), segment.p_align);
    if (!id.empty())
      return id;
  }
  return {};
}

/// A hash of the file; empty if it cannot be read.
static std::string contentOf(const dl_phdr_info &file) {
  llvm::StringRef path = file.dlpi_name;
  // The program itself comes without a name.
  auto bytes =
      llvm::MemoryBuffer::getFile(path.empty() ? "/proc/self/exe" : path);
  if (!bytes)
    return {};
  llvm::BLAKE3 hasher;
  hasher.update((*bytes)->getBuffer());
  auto hash = hasher.final();
  return std::string(hash.begin(), hash.end());
}

static int addIdentity(dl_phdr_info *file, size_t, void *identities) {
  if (isVdso(*file))
    return 0;
  std::string identity = buildIdOf(*file).str();
  if (identity.empty())
    identity = contentOf(*file);
  static_cast<std::vector<std::string> *>(identities)->push_back(identity);
  return 0;
}

std::string lathe::loadedCodeIdentity() {
  std::vector<std::string> identities;
  dl_iterate_phdr(addIdentity, &identities);
  llvm::sort(identities);
  std::string all;
  for (const std::string &identity : identities) {
    if (identity.empty())
      return {};
    all += identity;
  }
  return all;
}
