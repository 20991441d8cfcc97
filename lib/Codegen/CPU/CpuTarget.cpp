//===- CpuTarget.cpp - what a CPU level offers ----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include <set>

using namespace lathe;

static const char *const avx2Features[] = {"avx2", "fma", "f16c", "bmi2"};
static const char *const avx512Features[] = {"avx512f", "avx512bw", "avx512cd",
                                             "avx512dq", "avx512vl"};
static const char *const bf16Features[] = {"avx512vnni", "avx512bf16"};

llvm::StringRef CpuTarget::name() const {
  switch (level) {
  case CpuLevel::Scalar:
    return "scalar";
  case CpuLevel::Avx2:
    return "avx2";
  case CpuLevel::Avx512:
    return "avx512";
  case CpuLevel::Avx512Bf16:
    return "avx512bf16";
  }
  llvm_unreachable("unknown CPU level");
}

/// Outside x86 the scalar level is the host's generic processor; every 64-bit
/// one that LLVM knows has vectors of four f32.
static CpuTarget getScalar(const llvm::Triple &triple) {
  CpuTarget target;
  if (triple.isX86()) {
    // v2 and not the baseline: SSE4.1 has the rounding instructions, without
    // which `floor` is a call of libm.
    target.cpu = "x86-64-v2";
    return target;
  }
  target.cpu = "generic";
  target.registers = 32;
  target.hasFma = target.hasHalf = triple.isAArch64();
  return target;
}

static CpuTarget makeTarget(CpuLevel level, const llvm::Triple &triple) {
  CpuTarget target;
  switch (level) {
  case CpuLevel::Scalar:
    return getScalar(triple);
  case CpuLevel::Avx2:
    target.lanes = 8;
    target.cpu = "x86-64-v3";
    break;
  case CpuLevel::Avx512:
    target.lanes = 16;
    target.registers = 32;
    target.cpu = "x86-64-v4";
    break;
  case CpuLevel::Avx512Bf16:
    target.lanes = 16;
    target.registers = 32;
    target.cpu = "x86-64-v4";
    target.features = "+avx512vnni,+avx512bf16";
    break;
  }
  target.hasFma = target.hasHalf = true;
  return target;
}

CpuTarget CpuTarget::get(CpuLevel level) {
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  CpuTarget target = makeTarget(level, triple);
  target.level = level;
  target.triple = triple.str();
  return target;
}

CpuTarget CpuTarget::host() {
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  auto has = [&](llvm::ArrayRef<const char *> names) {
    return llvm::all_of(
        names, [&](const char *name) { return features.lookup(name); });
  };
  if (!has(avx2Features))
    return get(CpuLevel::Scalar);
  if (!has(avx512Features))
    return get(CpuLevel::Avx2);
  return get(has(bf16Features) ? CpuLevel::Avx512Bf16 : CpuLevel::Avx512);
}

llvm::Expected<CpuTarget> CpuTarget::parse(llvm::StringRef text) {
  if (text == "native")
    return host();
  std::string known = "native";
  for (CpuTarget &target : all()) {
    if (target.name() == text)
      return std::move(target);
    known += (", " + target.name()).str();
  }
  return llvm::createStringError("unknown CPU level '" + text +
                                 "'; known: " + known);
}

std::vector<CpuTarget> CpuTarget::all() {
  llvm::Triple triple(llvm::sys::getDefaultTargetTriple());
  if (!triple.isX86())
    return {get(CpuLevel::Scalar)};
  return {get(CpuLevel::Avx512Bf16), get(CpuLevel::Avx512), get(CpuLevel::Avx2),
          get(CpuLevel::Scalar)};
}

llvm::Expected<std::vector<CpuTarget>>
CpuTarget::parseList(llvm::StringRef text) {
  std::set<CpuLevel> wanted;
  std::vector<CpuTarget> levels = all();
  for (llvm::StringRef item : llvm::split(text, ',')) {
    if (item == "all") {
      for (const CpuTarget &target : levels)
        wanted.insert(target.level);
      continue;
    }
    llvm::Expected<CpuTarget> target = parse(item);
    if (!target)
      return target.takeError();
    wanted.insert(target->level);
  }
  llvm::erase_if(levels, [&](const CpuTarget &target) {
    return !wanted.count(target.level);
  });
  return std::move(levels);
}
