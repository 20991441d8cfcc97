//===- lathe-import-fuzzer.cpp - any bytes as an ONNX model ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A file is either refused with a message or gives a module that verifies.
///
//===----------------------------------------------------------------------===//

#include "InputFile.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Import/OnnxImporter.h"
#include "mlir/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  InputFile file(data, size);
  MLIRContext context(MLIRContext::Threading::DISABLED);
  std::string messages;
  llvm::raw_string_ostream os(messages);
  OwningOpRef<ModuleOp> module =
      lathe::importOnnx(file.path(), &context, lathe::ImportOptions(), os);
  if (module ? failed(verify(*module)) : messages.empty())
    std::abort();
  return 0;
}
