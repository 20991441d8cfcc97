//===- WriteFolder.cpp - the compiled folder ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Driver.h"
#include "lathe/Runtime/File.h"
#include "lathe/Runtime/ModelHeader.h"
#include "lathe/Runtime/StageSupport.h"
#include "lathe/Runtime/Weights.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
namespace fs = llvm::sys::fs;
namespace path = llvm::sys::path;

static llvm::Error pathError(llvm::StringRef path, const llvm::Twine &reason) {
  return llvm::createStringError(path + ": " + reason);
}

static llvm::Error toError(rt::Status status) {
  return status.failed() ? llvm::createStringError(status.message())
                         : llvm::Error::success();
}

static llvm::Error writeBytes(llvm::StringRef path, llvm::StringRef bytes) {
  return toError(rt::writeFile(path.str(), bytes.str()));
}

/// Links `objects` to the shared library `file` in `folder` with the packaged
/// linker. No library is linked, and an undefined symbol is an error.
static llvm::Error link(llvm::ArrayRef<std::string> objects,
                        llvm::StringRef file, llvm::StringRef folder) {
  llvm::ErrorOr<std::string> linker = llvm::sys::findProgramByName("ld.lld-22");
  if (!linker)
    linker = llvm::sys::findProgramByName("ld.lld");
  if (!linker)
    return llvm::createStringError(
        "ld.lld-22 was not found; install Debian's package lld-22");

  llvm::SmallString<128> output(folder);
  path::append(output, file);
  llvm::SmallVector<llvm::StringRef> args{*linker,
                                          "-shared",
                                          "-nostdlib",
                                          "-z",
                                          "defs",
                                          "-z",
                                          "noexecstack",
                                          "--gc-sections",
                                          "--build-id=none",
                                          "-soname",
                                          file,
                                          "-o",
                                          output};
  for (const std::string &object : objects)
    args.push_back(object);
  llvm::SmallString<128> log(folder);
  path::append(log, "link.log");
  auto removeLog = llvm::scope_exit([&] { fs::remove(log); });
  std::string message;
  int code = llvm::sys::ExecuteAndWait(
      *linker, args, std::nullopt, {llvm::StringRef(), log.str(), log.str()},
      /*SecondsToWait=*/0, /*MemoryLimit=*/0, &message);
  if (code == 0)
    return llvm::Error::success();
  auto text = llvm::MemoryBuffer::getFile(log);
  return llvm::createStringError("ld.lld failed: " + message +
                                 (text ? (*text)->getBuffer().str() : ""));
}

/// Links the stages of one level to `folder`/`file`.
static llvm::Error writeLibrary(const CompiledModel::Library &library,
                                llvm::StringRef file, llvm::StringRef folder) {
  std::vector<std::string> objects;
  auto removeObjects = llvm::scope_exit([&] {
    for (const std::string &object : objects)
      fs::remove(object);
  });
  auto addObject = [&](llvm::StringRef bytes) {
    llvm::SmallString<128> name(folder);
    path::append(name, "stage" + llvm::Twine(objects.size()) + ".o");
    objects.push_back(name.str().str());
    return writeBytes(name, bytes);
  };
  for (auto &object : library.objects)
    if (llvm::Error error = addObject(object->getBuffer()))
      return error;
  rt::StageSupportObject support = rt::stageSupportObject();
  if (llvm::Error error = addObject(llvm::StringRef(
          reinterpret_cast<const char *>(support.data), support.bytes)))
    return error;
  return link(objects, file, folder);
}

/// Writes a library per level and lists them in the manifest, best level first.
static llvm::Error writeLibraries(CompiledModel &model,
                                  llvm::StringRef folder) {
  for (const CompiledModel::Library &library : model.libraries) {
    bool isBest = model.manifest.libraries.empty();
    std::string file = isBest ? "model.so" : "model." + library.level + ".so";
    if (llvm::Error error = writeLibrary(library, file, folder))
      return error;
    model.manifest.libraries.push_back({file, library.level});
  }
  return llvm::Error::success();
}

static llvm::Error writeWeights(CompiledModel &model, PayloadStore &payloads,
                                llvm::StringRef folder) {
  llvm::SmallString<128> file(folder);
  path::append(file, "model.weights");
  auto writer = rt::WeightsWriter::create(file.str().str());
  if (writer.failed())
    return llvm::createStringError(writer.message());
  std::vector<char> buffer;
  for (auto [part, decl] : llvm::zip(model.parts, model.manifest.parts)) {
    buffer.resize(packedBytes(part.source.type, part.layout));
    if (llvm::Error error =
            packPart(payloads, part.source, part.layout, buffer))
      return error;
    auto place = (*writer)->add(decl.name, buffer.data(), buffer.size());
    if (place.failed())
      return llvm::createStringError(place.message());
    decl.offset = place->offset;
    decl.bytes = place->bytes;
  }
  auto info = (*writer)->finish();
  if (info.failed())
    return llvm::createStringError(info.message());
  model.manifest.weights = *info;
  return llvm::Error::success();
}

/// Puts the finished `temporary` in the place of `folder`.
static llvm::Error publish(llvm::StringRef temporary, llvm::StringRef folder) {
  if (!fs::exists(folder)) {
    if (std::error_code error = fs::rename(temporary, folder))
      return pathError(folder, error.message());
    return llvm::Error::success();
  }
  llvm::SmallString<128> old(temporary);
  old += ".old";
  if (std::error_code error = fs::rename(folder, old))
    return pathError(folder, error.message());
  if (std::error_code error = fs::rename(temporary, folder)) {
    (void)fs::rename(old, folder);
    return pathError(folder, error.message());
  }
  fs::remove_directories(old);
  return llvm::Error::success();
}

/// Only a folder that a compilation wrote, or an empty one, may be replaced.
static llvm::Error checkReplaceable(llvm::StringRef folder) {
  if (!fs::exists(folder))
    return llvm::Error::success();
  if (!fs::is_directory(folder))
    return pathError(folder, "exists and is no folder");
  llvm::SmallString<128> manifest(folder);
  path::append(manifest, "model.json");
  std::error_code error;
  bool empty =
      fs::directory_iterator(folder, error) == fs::directory_iterator();
  if (empty || fs::exists(manifest))
    return llvm::Error::success();
  return pathError(folder, "exists and holds no compiled model; not replaced");
}

/// Bytes of the files in `folder`.
static uint64_t folderBytes(llvm::StringRef folder) {
  uint64_t total = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; it != end && !error;
       it.increment(error))
    if (auto status = it->status())
      total += status->getSize();
  return total;
}

llvm::Expected<uint64_t> lathe::writeFolder(CompiledModel model,
                                            PayloadStore &payloads,
                                            llvm::StringRef folder) {
  folder = folder.rtrim('/');
  if (llvm::Error error = checkReplaceable(folder))
    return std::move(error);
  llvm::SmallString<128> temporary;
  fs::createUniquePath(folder + ".%%%%%%%%.tmp", temporary,
                       /*MakeAbsolute=*/false);
  if (std::error_code error = fs::create_directories(temporary))
    return pathError(temporary, error.message());
  auto cleanUp = llvm::scope_exit([&] { fs::remove_directories(temporary); });

  if (llvm::Error error = writeLibraries(model, temporary))
    return std::move(error);
  if (llvm::Error error = writeWeights(model, payloads, temporary))
    return std::move(error);
  auto fileIn = [&](llvm::StringRef name) {
    llvm::SmallString<128> file(temporary);
    path::append(file, name);
    return file;
  };
  if (llvm::Error error =
          writeBytes(fileIn("model.h"), rt::writeModelHeader(model.manifest)))
    return std::move(error);
  if (llvm::Error error =
          writeBytes(fileIn("model.json"), rt::manifestToJson(model.manifest)))
    return std::move(error);
  uint64_t bytes = folderBytes(temporary);
  if (llvm::Error error = publish(temporary, folder))
    return std::move(error);
  return bytes;
}
