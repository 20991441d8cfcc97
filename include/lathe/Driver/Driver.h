//===- Driver.h - from a model file to a program ----------------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What the tools, the C API and Python call: load a model file, rewrite it,
/// compile it, run it in memory or write it to a folder.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_DRIVER_H
#define LATHE_DRIVER_DRIVER_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Driver/StageTable.h"
#include "lathe/Lower/CompileStage.h"
#include "lathe/Raise/Pipelines.h"
#include "lathe/Runtime/Program.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/MemoryBuffer.h"
#include <functional>
#include <memory>

namespace lathe {

struct LoadOptions {
  /// How far an ONNX file is taken.
  ModelLevel level = ModelLevel::Structure;
  /// Folder, beside the model's own, in which external data may lie.
  std::string externalDataRoot;
  /// Passes applied after loading, as `PASS{options},PASS...`.
  std::string pipeline;
};

/// A context with every dialect that models and lowering need.
std::unique_ptr<mlir::MLIRContext> makeContext();

/// Loads a `.onnx`, `.mlir` or `.mlirbc` file and applies the pipeline. The
/// error is the whole error block, without `error: `.
llvm::Expected<mlir::OwningOpRef<mlir::ModuleOp>>
loadModel(mlir::MLIRContext &context, llvm::StringRef path,
          const LoadOptions &options);

struct CompileOptions {
  /// CPU levels to compile for, each once, best first. A program in memory has
  /// one.
  std::vector<CpuTarget> targets = {CpuTarget::host()};
  /// Threads that compile stages; 0 takes all cores.
  unsigned threads = 0;
  /// Entries to compile; all when empty.
  std::vector<std::string> entries;
  /// Where the code of stages is kept and looked for (StageCache.h); empty:
  /// everything is compiled.
  std::string cacheFolder;
  /// Called after each compiled function with the number done and of all, each
  /// level's counted.
  std::function<void(unsigned, unsigned)> progress;
};

/// A compiled model before it is loaded or written.
struct CompiledModel {
  /// Complete but for offsets and sizes of parts, which depend on where the
  /// parts are put.
  rt::Manifest manifest;
  /// The code for one CPU level.
  struct Library {
    std::string level;
    /// One object per distinct function.
    std::vector<std::unique_ptr<llvm::MemoryBuffer>> objects;
  };
  /// One per level, best first. All read the same parts.
  std::vector<Library> libraries;
  /// What manifest.parts[i] is packed from, and how.
  struct PackedPart {
    PartSource source;
    PartLayout layout;
  };
  std::vector<PackedPart> parts;
  /// Objects of all levels that were not compiled, but kept from before.
  unsigned cached = 0;
};

/// Compiles the entries of a model at the structure level. All problems of all
/// stages are in one error.
llvm::Expected<CompiledModel> compileModel(mlir::ModuleOp model,
                                           const CompileOptions &options);

/// Links the objects in this process and packs the weights to memory. The model
/// has one library, of a level that this machine runs.
llvm::Expected<std::shared_ptr<const rt::Program>>
loadInMemory(CompiledModel model, PayloadStore &payloads);

/// Writes the libraries, `model.weights`, `model.h` and `model.json` to
/// `folder`, which appears complete or not at all. The library of the best
/// level is `model.so`, the others are `model.LEVEL.so`. Returns the bytes of
/// all files.
llvm::Expected<uint64_t> writeFolder(CompiledModel model,
                                     PayloadStore &payloads,
                                     llvm::StringRef folder);

} // namespace lathe

#endif // LATHE_DRIVER_DRIVER_H
