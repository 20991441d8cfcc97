//===- CacheFolder.h - what is kept between runs ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_CACHEFOLDER_H
#define LATHE_DIALECT_CACHEFOLDER_H

#include <string>

namespace lathe {

/// The folder for what outlives a run: `$LATHE_CACHE_DIR`, else `lathe` in the
/// user's cache folder; empty when there is neither. It need not exist.
std::string cacheFolder();

} // namespace lathe

#endif // LATHE_DIALECT_CACHEFOLDER_H
