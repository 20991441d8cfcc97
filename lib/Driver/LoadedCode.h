//===- LoadedCode.h - which code is running ---------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_DRIVER_LOADEDCODE_H
#define LATHE_LIB_DRIVER_LOADEDCODE_H

#include <string>

namespace lathe {

/// Identity of the program and the libraries that this process has loaded:
/// equal in two processes only if they run the same code. It is made of build
/// IDs, or of the bytes of a file that has none; empty if one cannot be read.
std::string loadedCodeIdentity();

} // namespace lathe

#endif // LATHE_LIB_DRIVER_LOADEDCODE_H
