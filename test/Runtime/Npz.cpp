//===- Npz.cpp - tests of tensor files ------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-npz-test copy IN OUT.npz     reads an archive or folder, writes
//                                         all that it has
//   lathe-rt-npz-test damage IN.npz TMP   cuts and changes an archive at every
//                                         place; cut ones must be refused
//   lathe-rt-npz-test fails IN...         prints the error of reading each
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Npz.h"
#include "Check.h"
#include "lathe/Runtime/File.h"

#include <cstring>

using namespace lathe::rt;

static void copy(const std::string &from, const std::string &to) {
  TensorMap map = take(readTensors(from));
  std::vector<std::pair<std::string, TensorView>> arrays;
  for (const auto &[name, tensor] : map.tensors) {
    CHECK(reinterpret_cast<uintptr_t>(tensor.data()) % 64 == 0);
    arrays.emplace_back(name, tensor.view());
  }
  checkOk(writeNpz(to, arrays));
  for (const auto &[name, reason] : map.unusable)
    std::printf("unusable %s: %s\n", name.c_str(), reason.c_str());
}

static void damage(const std::string &from, const std::string &scratch) {
  std::string bytes = take(readFile(from, 1 << 20));
  for (size_t keep = 0; keep < bytes.size(); keep += 1 + bytes.size() / 500) {
    checkOk(writeFile(scratch, bytes.substr(0, keep)));
    CHECK(readNpz(scratch).failed());
  }
  TensorMap whole = take(readNpz(from));
  unsigned refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string copy = bytes;
    copy[at] ^= 0xff;
    checkOk(writeFile(scratch, copy));
    Result<TensorMap> changed = readNpz(scratch);
    refused += changed.failed();
    if (changed.failed())
      continue;
    // Dates, attributes and names may change; the arrays never do.
    for (const auto &[name, tensor] : changed->tensors) {
      const Tensor *original = whole.find(name);
      CHECK(!original || (original->dtype() == tensor.dtype() &&
                          original->shape() == tensor.shape() &&
                          std::memcmp(original->data(), tensor.data(),
                                      tensor.bytes()) == 0));
    }
  }
  CHECK(refused > bytes.size() / 3);
}

static void testLookup() {
  TensorMap map;
  map.tensors["in.a"] = take(Tensor::zeros(DType::F32, {1}));
  map.tensors["out.a"] = take(Tensor::zeros(DType::F32, {2}));
  map.tensors["out.b"] = take(Tensor::zeros(DType::F32, {3}));
  CHECK(map.find("a")->shape()[0] == 1);
  CHECK(map.find("b")->shape()[0] == 3);
  CHECK(!map.find("c"));
}

static void testTypes() {
  CHECK(halfToFloat(0x3c00) == 1 && halfToFloat(0xc000) == -2);
  CHECK(halfToFloat(0x0001) == 0x1p-24f && halfToFloat(0x7bff) == 65504);
  CHECK(halfToFloat(0x7c00) > 1e30f &&
        halfToFloat(0x7e01) != halfToFloat(0x7e01));
  CHECK(bfloat16ToFloat(0x3f80) == 1);
  for (DType type : {DType::F32, DType::F64, DType::F16, DType::BF16})
    for (int64_t value : {0, 1, -3, 8}) {
      uint64_t slot[2] = {};
      storeNumber(type, slot, 1, value);
      CHECK(loadFloat(type, slot, 1) == value);
    }
  for (DType type : {DType::I8, DType::I16, DType::I32, DType::I64}) {
    uint64_t slot[2] = {};
    storeNumber(type, slot, 1, -5);
    CHECK(loadInteger(type, slot, 1) == -5);
  }
  for (unsigned i = 0; i < numDTypes; ++i)
    CHECK(parseDType(dtypeName(DType(i))) == DType(i));
  CHECK(parseDType("i1") == DType::Bool && !parseDType("float"));
  int64_t big[] = {int64_t(1) << 32, int64_t(1) << 32}, none[] = {0, -1},
          hidden[] = {0, int64_t(1) << 62, 4};
  checkFails(tensorBytes(DType::F32, big, 2), "too large");
  checkFails(tensorBytes(DType::F32, none, 2), "negative dim");
  checkFails(tensorBytes(DType::F32, hidden, 3), "too large");
}

int main(int argc, char **argv) {
  testLookup();
  testTypes();
  CHECK(argc >= 3);
  std::string mode = argv[1];
  if (mode == "copy")
    copy(argv[2], argv[3]);
  else if (mode == "damage")
    damage(argv[2], argv[3]);
  else
    for (int i = 2; i < argc; ++i)
      std::printf("%s\n", readTensors(argv[i]).message().c_str());
  return 0;
}
