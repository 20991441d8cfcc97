//===- LoadInMemory.cpp - objects linked in this process ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Driver.h"
#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/Memory.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/TargetSelect.h"
#include <mutex>

using namespace lathe;

namespace {

/// Keeps code and packed weights of a program in memory alive.
struct InMemory {
  std::unique_ptr<llvm::orc::LLJIT> jit;
  rt::Pages weights;
};

} // namespace

llvm::Expected<std::shared_ptr<const rt::Program>>
lathe::loadInMemory(CompiledModel model, PayloadStore &payloads) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  assert(model.libraries.size() == 1 && "one level runs");
  auto memory = std::make_shared<InMemory>();
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  memory->jit = std::move(*jit);
  for (auto &object : model.libraries.front().objects)
    if (llvm::Error error = memory->jit->addObjectFile(std::move(object)))
      return std::move(error);

  // Places of the parts.
  uint64_t total = 0;
  for (auto [part, decl] : llvm::zip(model.parts, model.manifest.parts)) {
    decl.offset = total;
    decl.bytes = packedBytes(part.source.type, part.layout);
    total = llvm::alignTo(total + decl.bytes, LATHE_ALIGNMENT);
  }
  model.manifest.weights.bytes = total;
  auto pages = rt::Pages::allocate(total);
  if (pages.failed())
    return llvm::createStringError(pages.message());
  memory->weights = std::move(*pages);
  char *base = reinterpret_cast<char *>(memory->weights.data());
  for (auto [part, decl] : llvm::zip(model.parts, model.manifest.parts))
    if (llvm::Error error =
            packPart(payloads, part.source, part.layout,
                     llvm::MutableArrayRef(base + decl.offset, decl.bytes)))
      return std::move(error);

  auto resolver = [jit =
                       memory->jit.get()](const std::string &symbol) -> void * {
    auto address = jit->lookup(symbol);
    if (!address) {
      llvm::consumeError(address.takeError());
      return nullptr;
    }
    return address->toPtr<void *>();
  };
  auto program = rt::Program::create(std::move(model.manifest), resolver, base,
                                     total, memory);
  if (program.failed())
    return llvm::createStringError(program.message());
  return *program;
}
