//===- StageSupport.cpp - tests of the support object ---------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-stagesupport-test write F.o   writes the object
//   lathe-rt-stagesupport-test run F.so    tests a library that was linked with
//                                          it from Inputs/support.c
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/StageSupport.h"
#include "Check.h"
#include "lathe/Runtime/DType.h"
#include "lathe/Runtime/File.h"

#include <cfenv>
#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <vector>

using namespace lathe::rt;

static void *library = nullptr;

template <typename F>
static F *symbol(const char *name) {
  void *address = dlsym(library, name);
  if (!address)
    std::fprintf(stderr, "no symbol %s\n", name);
  CHECK(address);
  return reinterpret_cast<F *>(address);
}

static void testMemory() {
  auto *copy = symbol<void(void *, const void *, size_t)>("probe_memcpy");
  auto *move = symbol<void(void *, const void *, size_t)>("probe_memmove");
  auto *set = symbol<void(void *, int, size_t)>("probe_memset");
  auto *compare =
      symbol<int(const void *, const void *, size_t)>("probe_memcmp");
  std::vector<uint8_t> from(400), to(400), want(400);
  for (size_t i = 0; i < from.size(); ++i)
    from[i] = i * 37;
  for (size_t count = 0; count < 150; ++count)
    for (size_t at : {0, 1, 7, 16, 33}) {
      std::memset(to.data(), 1, to.size());
      want = to;
      copy(&to[at], &from[3], count);
      std::memcpy(&want[at], &from[3], count);
      CHECK(to == want);
      CHECK(compare(&to[at], &from[3], count) == 0);
      set(&to[at], 77, count);
      std::memset(&want[at], 77, count);
      CHECK(to == want);
      for (size_t other : {0, 1, 5, 15, 16, 17, 40}) {
        to = want = from;
        move(&to[at], &to[other], count);
        std::memmove(&want[at], &want[other], count);
        CHECK(to == want);
      }
    }
  CHECK(compare("abc", "abd", 3) < 0 && compare("b", "a", 1) > 0);
}

template <typename T>
static bool same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

/// Values near all that is special, and their negatives.
template <typename T>
static std::vector<T> values() {
  std::vector<T> result;
  for (double base : {0.0,
                      0.5,
                      1.0,
                      1.5,
                      2.0,
                      2.5,
                      3.5,
                      65504.0,
                      65520.0,
                      1e-7,
                      6e-8,
                      6.1e-5,
                      1e-40,
                      5e-324,
                      1e30,
                      3.4e38,
                      1e308,
                      8388608.0,
                      4503599627370496.0,
                      0x1p31,
                      0x1p63,
                      123.456,
                      0.1,
                      double(INFINITY),
                      double(NAN)})
    for (T value : {T(base), std::nextafter(T(base), T(INFINITY)),
                    std::nextafter(T(base), T(0))}) {
      result.push_back(value);
      result.push_back(-value);
    }
  return result;
}

static void testRounding() {
#define TEST(name)                                                             \
  for (double value : values<double>())                                        \
    CHECK(same(symbol<double(double)>("probe_" #name)(value), name(value)));   \
  for (float value : values<float>())                                          \
    CHECK(same(symbol<float(float)>("probe_" #name "f")(value),                \
               name##f(value)));
  TEST(trunc)
  TEST(floor)
  TEST(ceil)
  TEST(round)
  TEST(rint)
  TEST(nearbyint)
#undef TEST
  // The default mode rounds ties to even.
  for (double value : values<double>())
    CHECK(same(symbol<double(double)>("probe_roundeven")(value),
               std::nearbyint(value)));
  for (double x : values<double>())
    for (double y : values<double>())
      CHECK(same(symbol<double(double, double)>("probe_fmod")(x, y),
                 std::fmod(x, y)));
  for (float x : values<float>())
    for (float y : values<float>()) {
      CHECK(same(symbol<float(float, float)>("probe_fmodf")(x, y),
                 std::fmod(x, y)));
      for (float z : values<float>())
        CHECK(same(symbol<float(float, float, float)>("probe_fmaf")(x, y, z),
                   fmaf(x, y, z)));
    }
}

static void testHalf() {
  auto *narrow = symbol<uint16_t(float)>("probe_truncsfhf2");
  auto *narrowDouble = symbol<uint16_t(double)>("probe_truncdfhf2");
  auto *widen = symbol<float(uint16_t)>("probe_extendhfsf2");
  auto *brain = symbol<uint16_t(float)>("probe_truncsfbf2");
  auto *brainDouble = symbol<uint16_t(double)>("probe_truncdfbf2");
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    float value = halfToFloat(bits);
    CHECK(same(widen(bits), value));
    if (value != value)
      continue;
    CHECK(narrow(value) == bits && narrowDouble(value) == bits);
    // Between this half and the next away from zero: the nearer one, and the
    // even one in the middle.
    if ((bits & 0x7fff) < 0x7bff) {
      float next = halfToFloat(bits + 1), middle = (value + next) / 2;
      CHECK(narrow(middle) == bits + (bits & 1));
      CHECK(narrow(std::nextafterf(middle, value)) == bits);
      CHECK(narrow(std::nextafterf(middle, next)) == bits + 1);
      CHECK(narrowDouble(std::nextafter(double(middle), value)) == bits);
      CHECK(narrowDouble(std::nextafter(double(middle), next)) == bits + 1);
    }
    float wide = bfloat16ToFloat(bits);
    if (wide != wide)
      continue;
    CHECK(brain(wide) == bits && brainDouble(wide) == bits);
    if ((bits & 0x7fff) < 0x7f7f) {
      double next = bfloat16ToFloat(bits + 1), middle = (wide + next) / 2;
      CHECK(brain(middle) == bits + (bits & 1));
      CHECK(brainDouble(middle) == bits + (bits & 1));
      CHECK(brainDouble(std::nextafter(middle, wide)) == bits);
      CHECK(brainDouble(std::nextafter(middle, next)) == bits + 1);
    }
  }
  CHECK(narrow(1e9f) == 0x7c00 && narrow(-65520) == 0xfc00);
  CHECK(narrow(65519) == 0x7bff);
  CHECK((narrow(NAN) & 0x7fff) > 0x7c00 && (brain(NAN) & 0x7fff) > 0x7f80);
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  if (std::string(argv[1]) == "write") {
    StageSupportObject object = stageSupportObject();
    auto file = take(AtomicFile::create(argv[2]));
    checkOk(file->write(object.data, object.bytes));
    checkOk(file->commit());
    return 0;
  }
  library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  CHECK(library);
  // Hidden: the process's own stay what they are.
  CHECK(!dlsym(library, "memcpy") ||
        dlsym(library, "memcpy") == dlsym(RTLD_DEFAULT, "memcpy"));
  testMemory();
  testRounding();
  testHalf();
  return 0;
}
