//===- Manifest.h - the content of model.json -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a compiled model is: its parts of weights and, for each entry, the stage
// table with everything that is needed to run it. docs/Manifest.md specifies
// the JSON; the compiler fills the same structs in memory.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_MANIFEST_H
#define LATHE_RUNTIME_MANIFEST_H

#include "lathe/Runtime/DType.h"
#include "lathe/Runtime/Expr.h"
#include "lathe/Runtime/Status.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lathe::rt {

/// One packed weight part: bytes [offset, offset + bytes) of the weights file.
struct Part {
  std::string name;
  uint64_t offset = 0; ///< a multiple of LATHE_ALIGNMENT
  uint64_t bytes = 0;
  /// Only the rows that an index names are read (an embedding table), so a run
  /// does not stream the whole part.
  bool rowsOnly = false;
};

/// One shared library of stages; all have the same functions and read the same
/// packed weights. `lathe compile` lists them best level first.
struct Library {
  std::string file;
  /// CPU level that it needs: "scalar", "avx2", "avx512", "avx512bf16".
  std::string level = "scalar";
};

/// The file that holds the parts.
struct WeightsInfo {
  std::string file;
  uint64_t bytes = 0; ///< of the whole file
  uint64_t hash = 0;  ///< of its payload, as in the file's header
};

/// A tensor of an entry: an intermediate value, an input or an output.
struct ValueDecl {
  std::string name;
  DType dtype = DType::F32;
  std::vector<Expr> shape;
};

/// An activation argument of a stage.
struct Ref {
  enum class Kind : uint8_t {
    Input,     ///< entry input, read only
    Output,    ///< entry output
    Value,     ///< intermediate tensor in the arena
    CacheKey,  ///< K buffer [batch, heads, capacity, head_dim] of a KV slot
    CacheValue ///< V buffer [batch, heads, capacity, value_dim] of a KV slot
  };
  Kind kind = Kind::Value;
  uint32_t index = 0; ///< into inputs, outputs, values or kv of the entry

  bool operator==(const Ref &other) const {
    return kind == other.kind && index == other.index;
  }
};

struct OutputDecl : ValueDecl {
  /// Set when no stage writes this output because it equals another tensor
  /// (a graph that returns an input, or one value twice); the runtime copies.
  std::optional<Ref> copyOf;
};

/// One layer's place in the KV cache.
struct KvSlot {
  std::string name; ///< "3", unique in the entry
  int64_t heads = 0;
  int64_t headDim = 0;  ///< of K
  int64_t valueDim = 0; ///< of V
  DType dtype = DType::F32;
  /// Names of the source model's tensors, for import and export; may be empty.
  std::string pastKey, pastValue, presentKey, presentValue;
  /// Axes of those tensors, outermost first: b(atch) h(ead) s(equence) d(im).
  std::string keyLayout = "bhsd", valueLayout = "bhsd";
};

/// When a row of the residual stream skips a stage at run time; see
/// `lathe/Runtime/SkipGate.h`.
struct SkipRule {
  enum class Kind : uint8_t {
    /// After a gated stage that left the row's direction as it was (cosine of
    /// at least `threshold`), the row skips the next `count` gated stages.
    Cosine,
    /// The row skips with probability `threshold`: the baseline.
    Random
  };
  Kind kind = Kind::Cosine;
  double threshold = 1;
  int64_t count = 1;
  int64_t warmup = 0; ///< tokens after the prompt that skip nothing
  uint64_t seed = 0;  ///< of Random
};

/// One row of the stage table.
struct Stage {
  std::string site;            ///< "blocks.3.attn"
  std::string function;        ///< symbol of a lathe_stage_fn
  std::vector<uint32_t> parts; ///< into Manifest::parts
  std::vector<Ref> args;       ///< read
  std::vector<Ref> outs;       ///< written; may name an arg: in place
  /// Index into `args` of the residual: the stage may be skipped, and its only
  /// output is then a copy of that argument, which has the same type and shape.
  std::optional<uint32_t> residual;
  /// Multiply-adds of the stage, for reports.
  std::optional<Expr> macs;
  /// "attn", "ffn" or "other" for a sub-layer, else empty.
  std::string kind;
  /// Set where rows may skip the stage; it has a residual then.
  std::optional<SkipRule> skip;
};

/// A condition on the dims, tested before every run at new dims.
struct Check {
  enum class Op : uint8_t { Equal, AtMost };
  Op op = Op::Equal;
  Expr left, right;
  std::string message; ///< what is wrong when it does not hold
};

/// What the dims mean, as far as the runtime must know; names of `dims`, or
/// empty where the entry has no such dim.
struct DimRoles {
  std::string batch, sequence, past, capacity;
  /// Rows of logits that are computed, counted from the end of the new rows;
  /// 1 unless it is set.
  std::string logits;
};

/// One way to run the model.
struct Entry {
  std::string name;              ///< "plain", "prefill", "decode"
  std::vector<std::string> dims; ///< free symbols, in the order of `dims[]`
  DimRoles roles;
  /// Other names that a user may set: `total` = past + seq, or a name that was
  /// proven equal to a dim.
  std::vector<std::pair<std::string, Expr>> aliases;
  std::vector<ValueDecl> inputs;
  std::vector<OutputDecl> outputs;
  std::vector<ValueDecl> values;
  std::vector<KvSlot> kv;
  /// Rows that one run appends to each KV slot.
  Expr appends = 0;
  std::vector<Stage> stages;
  std::vector<Check> checks;
  std::vector<std::string> assumptions;
};

struct Manifest {
  std::string lathe;  ///< version of the compiler that wrote it
  uint32_t abi = 0;   ///< LATHE_ABI_VERSION of the stages
  std::string target; ///< "cpu", …
  std::string source; ///< name of the model file it was compiled from
  /// Sites of the sub-layers that compression removed, in the order in which
  /// they went. KV slots are dense all the same.
  std::vector<std::string> removed;
  std::vector<Library> libraries; ///< empty for a program in memory
  WeightsInfo weights;
  std::vector<Part> parts;
  std::vector<Entry> entries;

  /// The entry of that name, or null.
  const Entry *find(const std::string &entry) const;
};

/// Tests everything that can be tested without files: names unique and known,
/// references in range, every value written before it is read, every output
/// written, residuals of equal type, KV slots equal in all entries that have
/// them. One failure lists up to 20 problems, a line each.
Status verifyManifest(const Manifest &manifest);

/// Parses and verifies model.json. `where` names it in messages.
Result<Manifest> parseManifest(const std::string &text,
                               const std::string &where);

/// The JSON text; parseManifest of it gives an equal manifest.
std::string manifestToJson(const Manifest &manifest);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_MANIFEST_H
