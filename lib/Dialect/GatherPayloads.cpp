//===- GatherPayloads.cpp - payloads that passes made into one file -------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/Passes.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {
#define GEN_PASS_DEF_GATHERPAYLOADS
#include "lathe/Dialect/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;
namespace fs = llvm::sys::fs;

static constexpr uint64_t kAlignment = 64;

namespace {
struct GatherPayloads : lathe::impl::GatherPayloadsBase<GatherPayloads> {
  using GatherPayloadsBase::GatherPayloadsBase;
  void runOnOperation() override;

private:
  /// The spilled blobs that the operation names, each with the one that is to
  /// replace it.
  llvm::MapVector<PayloadAttr, PayloadAttr> collect();
  llvm::Error write(const llvm::MapVector<PayloadAttr, PayloadAttr> &blobs);
};
} // namespace

llvm::MapVector<PayloadAttr, PayloadAttr> GatherPayloads::collect() {
  llvm::MapVector<PayloadAttr, PayloadAttr> blobs;
  AttrTypeWalker walker;
  walker.addWalk([&](PayloadAttr blob) {
    if (PayloadStore::isSpill(blob.getFile()))
      blobs.insert({blob, blob});
  });
  getOperation()->walk<WalkOrder::PreOrder>(
      [&](Operation *op) { walker.walk(op->getAttrDictionary()); });
  if (file.empty())
    return blobs; // The caller reports it.

  llvm::StringMap<int64_t> offsets;
  uint64_t end = 0;
  for (auto &[blob, gathered] : blobs) {
    auto [entry, isNew] = offsets.try_emplace(blob.getHash(), end);
    if (isNew)
      end = llvm::alignTo(end + blob.getBytes(), kAlignment);
    gathered = PayloadAttr::get(&getContext(), file, entry->second,
                                blob.getBytes(), blob.getHash());
  }
  return blobs;
}

llvm::Error
GatherPayloads::write(const llvm::MapVector<PayloadAttr, PayloadAttr> &blobs) {
  // Complete or not at all: the final name appears when all bytes are there.
  auto out = fs::TempFile::create(file + ".%%%%%%%%.tmp");
  if (!out)
    return out.takeError();
  llvm::scope_exit discard([&] { llvm::consumeError(out->discard()); });
  PayloadStore &store = getPayloads(getOperation());
  llvm::raw_fd_ostream os(out->FD, /*shouldClose=*/false);
  for (const auto &[blob, gathered] : blobs) {
    uint64_t offset = gathered.getOffset();
    if (os.tell() > offset)
      continue;
    os.write_zeros(offset - os.tell());
    llvm::Expected<ArrayRef<char>> bytes = store.read(blob);
    if (!bytes)
      return bytes.takeError();
    os.write(bytes->data(), bytes->size());
  }
  os.flush();
  if (os.has_error()) {
    std::error_code error = os.error();
    os.clear_error();
    return llvm::errorCodeToError(error);
  }
  discard.release();
  return out->keep(file);
}

void GatherPayloads::runOnOperation() {
  llvm::MapVector<PayloadAttr, PayloadAttr> blobs = collect();
  if (blobs.empty())
    return;
  auto fail = [&](const Twine &reason) {
    getOperation()->emitError() << "lathe-gather-payloads: " << reason;
    signalPassFailure();
  };
  if (file.empty())
    return fail("'file' must name the file to write");
  if (llvm::Error error = write(blobs))
    return fail(file + ": " + llvm::toString(std::move(error)));

  AttrTypeReplacer replacer;
  replacer.addReplacement([&](PayloadAttr blob) -> std::optional<Attribute> {
    auto entry = blobs.find(blob);
    if (entry == blobs.end())
      return std::nullopt;
    return entry->second;
  });
  replacer.recursivelyReplaceElementsIn(getOperation());
}
