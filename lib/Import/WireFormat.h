//===- WireFormat.h - Scanner of ONNX's wire format -------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Walks the bytes of a serialized ModelProto without recursion and without
/// touching tensor payloads, and writes a *skeleton*: the same message in which
/// every TensorProto's `raw_data` is replaced by two numbers that say where the
/// bytes lie in the file. Only the skeleton is parsed by protobuf, so that a
/// model costs memory for its graph and not for its weights.
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_WIREFORMAT_H
#define LATHE_LIB_IMPORT_WIREFORMAT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace lathe {

/// Deepest nesting of graphs inside attributes of nodes that is read.
constexpr unsigned kMaxGraphNesting = 64;

/// Returns the skeleton of the ModelProto in `bytes`. Fails on anything that is
/// not well-formed wire format, on graphs nested deeper than kMaxGraphNesting
/// and on a skeleton of 2 GiB or more; the message says at which byte.
llvm::Expected<std::string> makeModelSkeleton(llvm::ArrayRef<uint8_t> bytes);

} // namespace lathe

#endif // LATHE_LIB_IMPORT_WIREFORMAT_H
