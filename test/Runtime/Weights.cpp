//===- Weights.cpp - tests of the weights file ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-weights-test DIR TABLE   writes DIR/model.weights with the parts
//                                     "table" (the file TABLE) and "scale"
//                                     (0.5), tests it, and prints as JSON what
//                                     a manifest says of it
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Weights.h"
#include "Check.h"
#include "lathe/Runtime/Abi.h"

#include <cinttypes>
#include <cstring>

using namespace lathe::rt;

static void testHash() {
  // Vectors of the specification.
  CHECK(hash64("", 0) == 0xEF46DB3751D8E999);
  CHECK(hash64("a", 1) == 0xD24EC4F1A98C6E5B);
  CHECK(hash64("abc", 3) == 0x44BC2CF5AD770999);
  std::string text(1000, '\0');
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = i * 7;
  for (size_t step : {1, 3, 31, 32, 33, 500}) {
    Hash64 hash;
    for (size_t at = 0; at < text.size(); at += step)
      hash.update(&text[at], std::min(step, text.size() - at));
    CHECK(hash.digest() == hash64(text.data(), text.size()));
  }
}

/// Opens a copy of the file after a change to one of its bytes, or cut off.
static void testDamage(const std::string &path, const WeightsInfo &info) {
  std::string bytes = take(readFile(path, 1 << 20));
  std::string other = path + ".damaged";
  auto damaged = [&](size_t at, size_t keep, bool full) {
    std::string copy = bytes.substr(0, keep);
    if (at < copy.size())
      copy[at] ^= 1;
    checkOk(writeFile(other, copy));
    return openWeights(other, info, full);
  };
  size_t all = bytes.size();
  checkFails(damaged(all, 10, false), "only 10 bytes");
  checkFails(damaged(all, 0, false), "only 0 bytes");
  checkFails(damaged(all, all - 1, false), "incomplete copy");
  checkFails(damaged(0, all, false), "is not a weights file");
  checkFails(damaged(8, all, false), "version 0");
  checkFails(damaged(16, all, false), "header is damaged");
  checkFails(damaged(24, all, false), "header is damaged");
  CHECK(!damaged(100, all, false).failed());
  checkFails(damaged(100, all, true), "content is damaged");
  WeightsInfo stale = info;
  stale.hash ^= 1;
  checkFails(openWeights(path, stale, false), "another build");
  checkFails(openWeights(path + ".none", info, false), "No such file");
  checkFails(openWeights("/dev/zero", info, false), "not a regular file");
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  testHash();
  std::string path = std::string(argv[1]) + "/model.weights";
  std::string table = take(readFile(argv[2], 1 << 20));
  std::unique_ptr<WeightsWriter> writer = take(WeightsWriter::create(path));
  float scale = 0.5;
  Part parts[] = {take(writer->add("scale", &scale, 4)),
                  take(writer->add("table", table.data(), table.size()))};
  WeightsInfo info = take(writer->finish());
  CHECK(info.file == "model.weights");

  auto file = take(openWeights(path, info, true));
  CHECK(parts[1].offset % LATHE_ALIGNMENT == 0);
  CHECK(std::memcmp(file->data() + parts[1].offset, table.data(),
                    table.size()) == 0);
  testDamage(path, info);

  std::printf("{\"weights\": {\"file\": \"%s\", \"bytes\": %" PRIu64
              ", \"hash\": \"%016" PRIx64 "\"}, \"parts\": [",
              info.file.c_str(), info.bytes, info.hash);
  for (const Part &part : parts)
    std::printf(
        "%s{\"name\": \"%s\", \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64 "}",
        &part == parts ? "" : ", ", part.name.c_str(), part.offset, part.bytes);
  std::printf("]}\n");
  return 0;
}
