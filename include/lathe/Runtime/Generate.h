//===- Generate.h - decoding with the KV cache -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_GENERATE_H
#define LATHE_RUNTIME_GENERATE_H

#include "lathe/Runtime/Session.h"

#include <functional>
#include <memory>
#include <vector>

namespace lathe::rt {

/// Feeds tokens through the entries `prefill` and `decode` with one KV cache,
/// making masks and positions as needed. Nothing is allocated after the first
/// step of each entry.
class Decoder {
public:
  /// Fails if the program lacks the entries, or they have dims or inputs that
  /// cannot be made from tokens alone.
  static Result<std::unique_ptr<Decoder>>
  create(std::shared_ptr<const Program> program, ThreadPool &pool,
         int64_t batch, int64_t maxContext);
  ~Decoder();

  /// Runs `prefill` on tokens [batch, count]. `valid`, if not null, is
  /// [batch, count] and 0 where a token is padding. `logitsRows` is how many
  /// rows of logits are computed, counted from the last token; an entry that
  /// always computes all of them ignores it. Fails when the context is full.
  Status prefill(const int64_t *tokens, int64_t count,
                 const int64_t *valid = nullptr, int64_t logitsRows = 1);

  /// Runs `decode` on one token per sequence.
  Status step(const int64_t *tokens, const int64_t *valid = nullptr);

  /// Forgets all tokens, with a cache of `maxContext` positions. One of another
  /// size is made anew; with the same size nothing is allocated.
  Status restart(int64_t maxContext);

  /// Logits of the last run, [batch, rows, vocabulary]: the last `rows`
  /// positions that were fed. Valid until the next run of the same entry.
  TensorView logits() const;

  KvCache &cache() { return *kvCache; }

  /// The two entries' sessions, for hooks and skips.
  Session &prefillSession();
  Session &decodeSession();

private:
  struct Feeder;
  Decoder();
  Status makeCache(int64_t maxContext);

  int64_t batch = 0;
  std::unique_ptr<KvCache> kvCache;
  std::unique_ptr<Feeder> prefillFeeder, decodeFeeder;
  const Feeder *last = nullptr;
  std::vector<uint8_t> validity; ///< [batch, capacity]
};

struct GenerateOptions {
  int64_t count = 64;
  /// Positions of the KV cache; 0: just enough for the prompt and `count`.
  int64_t maxContext = 0;
  /// Called with each new token; returning false ends the generation.
  std::function<bool(int64_t token)> onToken;
};

struct Generation {
  std::vector<int64_t> tokens;  ///< the new ones
  double prefillMs = 0;         ///< to the first new token
  std::vector<double> decodeMs; ///< for each further token
  /// Bytes that one decode step reads: weights, and the cache as it was in the
  /// middle of the generation.
  uint64_t bytesPerToken = 0;
  SkipCounts skips; ///< of the decode steps

  double medianDecodeMs() const;
  /// What counts when steps differ, as with skipping.
  double meanDecodeMs() const;
};

/// Greedy decoding of one sequence: prefill on the prompt, then decode steps on
/// the token with the largest logit (the lowest token on ties). Sessions, cache
/// and result stay for the next run: with a prompt and a count no larger than
/// before and the same `maxContext`, it allocates nothing.
class Generator {
public:
  Generator(std::shared_ptr<const Program> program, ThreadPool &pool)
      : program(std::move(program)), pool(pool) {}

  /// Generates from tokens [count]; runs share nothing but memory. The result
  /// is valid until the next run. Fails without tokens to start from, when the
  /// context is full, and where Decoder::create does.
  Result<const Generation *> run(const int64_t *prompt, int64_t count,
                                 const GenerateOptions &options);

private:
  Status start(int64_t context);
  Status decode(const int64_t *prompt, int64_t count,
                const GenerateOptions &options);

  std::shared_ptr<const Program> program;
  ThreadPool &pool;
  std::unique_ptr<Decoder> decoder;
  uint64_t streamedBytes = 0; ///< weights that a step reads if none is skipped
  Generation result;
};

/// One run of a Generator.
Result<Generation> generate(std::shared_ptr<const Program> program,
                            ThreadPool &pool,
                            const std::vector<int64_t> &prompt,
                            const GenerateOptions &options);

/// Index of the largest of `count` floats at row `row`; the first on ties, NaN
/// never.
int64_t argmaxRow(const TensorView &logits, int64_t row);

/// The output with the logits: that of the name, or the first of floats; -1 if
/// there is none.
int logitsOutput(const Entry &entry);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_GENERATE_H
