//===- CacheFolder.cpp - what is kept between runs ------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/CacheFolder.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"

std::string lathe::cacheFolder() {
  if (auto set = llvm::sys::Process::GetEnv("LATHE_CACHE_DIR"))
    return *set;
  llvm::SmallString<128> folder;
  if (!llvm::sys::path::cache_directory(folder))
    return {};
  llvm::sys::path::append(folder, "lathe");
  return folder.str().str();
}
