//===- Program.cpp - a compiled model, ready to run -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Program.h"

#include "lathe/Runtime/Weights.h"

#include <cassert>
#include <dlfcn.h>
#include <set>

using namespace lathe::rt;

/// No model has a manifest near that size; a limit keeps a wrong file from
/// filling memory.
static constexpr uint64_t maxManifestBytes = uint64_t(256) << 20;

std::vector<std::string> lathe::rt::cpuLevels() {
  std::vector<std::string> levels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  // What CpuTarget of the compiler wants of a level.
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512cd") &&
                __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  if (avx512 && __builtin_cpu_supports("avx512bf16") &&
      __builtin_cpu_supports("avx512vnni"))
    levels.push_back("avx512bf16");
  if (avx512)
    levels.push_back("avx512");
  if (avx2)
    levels.push_back("avx2");
#endif
  levels.push_back("scalar");
  return levels;
}

const std::vector<Program::StageCode> &Program::code(const Entry &entry) const {
  return codes[&entry - content.entries.data()];
}

Result<const Entry *> Program::entry(const std::string &name) const {
  if (const Entry *found = content.find(name))
    return found;
  std::string names;
  for (const Entry &entry : content.entries)
    names += (names.empty() ? "" : ", ") + entry.name;
  return Status::error("there is no entry '" + name + "'; the model has " +
                       names);
}

uint64_t Program::streamedBytes(const Entry &entry) const {
  std::set<uint32_t> used;
  for (const Stage &stage : entry.stages)
    used.insert(stage.parts.begin(), stage.parts.end());
  uint64_t bytes = 0;
  for (uint32_t part : used)
    if (!content.parts[part].rowsOnly)
      bytes += content.parts[part].bytes;
  return bytes;
}

Result<std::shared_ptr<const Program>>
Program::create(Manifest manifest, const Resolver &resolver,
                std::vector<const void *> parts, std::shared_ptr<void> owner) {
  if (Status status = verifyManifest(manifest); status.failed())
    return status;
  if (parts.size() != manifest.parts.size())
    return Status::error(
        "the manifest has " + std::to_string(manifest.parts.size()) +
        " parts of weights, not " + std::to_string(parts.size()));
  for (size_t i = 0; i < parts.size(); ++i)
    if (reinterpret_cast<uintptr_t>(parts[i]) % LATHE_ALIGNMENT != 0)
      return Status::error("part '" + manifest.parts[i].name +
                           "' is not aligned");
  std::shared_ptr<Program> program(new Program);
  program->content = std::move(manifest);
  program->parts = std::move(parts);
  program->owner = std::move(owner);
  for (const Entry &entry : program->content.entries) {
    std::vector<StageCode> &codes = program->codes.emplace_back();
    for (const Stage &stage : entry.stages) {
      StageCode code;
      code.run = reinterpret_cast<lathe_stage_fn>(resolver(stage.function));
      code.scratch = reinterpret_cast<lathe_scratch_fn>(
          resolver(stage.function + "_scratch"));
      if (!code.run)
        return Status::error("entry '" + entry.name + "', stage '" +
                             stage.site + "': function '" + stage.function +
                             "' does not exist");
      codes.push_back(code);
    }
  }
  return std::shared_ptr<const Program>(std::move(program));
}

Result<std::shared_ptr<const Program>>
Program::create(Manifest manifest, const Resolver &resolver,
                const void *weights, uint64_t weightsBytes,
                std::shared_ptr<void> owner) {
  std::vector<const void *> parts;
  for (const Part &part : manifest.parts) {
    // verifyManifest only knows the size that the manifest itself gives.
    if (part.offset > weightsBytes || part.bytes > weightsBytes - part.offset)
      return Status::error("part '" + part.name + "' lies outside the " +
                           std::to_string(weightsBytes) + " bytes of weights");
    parts.push_back(static_cast<const uint8_t *>(weights) + part.offset);
  }
  return create(std::move(manifest), resolver, std::move(parts),
                std::move(owner));
}

namespace {
/// The files behind a loaded program.
struct LoadedFiles {
  void *library = nullptr;
  std::shared_ptr<const MappedFile> weights;
  ~LoadedFiles() {
    if (library)
      dlclose(library);
  }
};
} // namespace

/// The library of level `wanted`, or of the best one that `runnable` (best
/// first) and the folder have.
static Result<std::string>
chooseLibrary(const Manifest &manifest, const std::string &wanted,
              const std::vector<std::string> &runnable) {
  bool wantsBest = wanted.empty() || wanted == "native";
  std::string machine, folder;
  for (const std::string &level : runnable) {
    machine += (machine.empty() ? "" : ", ") + level;
    for (const Library &library : manifest.libraries)
      if (library.level == level && (wantsBest || level == wanted))
        return library.file;
  }
  for (const Library &library : manifest.libraries)
    folder += (folder.empty() ? "" : ", ") + library.level;
  std::string what = wantsBest ? "" : " of level '" + wanted + "'";
  return Status::error("no code" + what + " can be run: the folder has " +
                       (folder.empty() ? "none" : folder) +
                       ", this machine runs " + machine);
}

Result<std::shared_ptr<const Program>>
Program::load(const std::string &dir, const LoadOptions &options) {
  std::string base = dir;
  while (base.size() > 1 && base.back() == '/')
    base.pop_back();
  std::string manifestPath = base + "/model.json";
  if (!isFolder(base))
    return Status::error(base + ": is not a compiled folder");
  Result<std::string> text = readFile(manifestPath, maxManifestBytes);
  if (text.failed())
    return text.takeStatus();
  Result<Manifest> manifest = parseManifest(*text, manifestPath);
  if (manifest.failed())
    return manifest.takeStatus();
  Result<std::string> libraryName =
      chooseLibrary(*manifest, options.level, cpuLevels());
  if (libraryName.failed())
    return libraryName.takeStatus().prefixed(manifestPath + ": ");

  auto files = std::make_shared<LoadedFiles>();
  const void *weights = nullptr;
  uint64_t weightsBytes = 0;
  if (!manifest->weights.file.empty()) {
    Result<std::shared_ptr<const MappedFile>> opened =
        openWeights(base + "/" + manifest->weights.file, manifest->weights,
                    options.verifyWeights);
    if (opened.failed())
      return opened.takeStatus();
    files->weights = *opened;
    files->weights->prefetch();
    weights = files->weights->data();
    weightsBytes = files->weights->size();
  }
  std::string libraryPath = base + "/" + *libraryName;
  files->library = dlopen(libraryPath.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!files->library) {
    const char *reason = dlerror();
    return Status::error(libraryPath + ": cannot be loaded: " +
                         (reason ? reason : "unknown reason"));
  }
  void *library = files->library;
  Result<std::shared_ptr<const Program>> program = create(
      std::move(*manifest),
      [library](const std::string &symbol) {
        return dlsym(library, symbol.c_str());
      },
      weights, weightsBytes, std::move(files));
  if (program.failed())
    return program.takeStatus().prefixed(manifestPath + ": ");
  return program;
}
