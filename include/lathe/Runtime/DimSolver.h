//===- DimSolver.h - dims of an entry from its inputs -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_DIMSOLVER_H
#define LATHE_RUNTIME_DIMSOLVER_H

#include "lathe/Runtime/Manifest.h"
#include "lathe/Runtime/Tensor.h"

#include <string>
#include <utility>
#include <vector>

namespace lathe::rt {

/// Values of dims by name or alias, as from --dim.
using DimValues = std::vector<std::pair<std::string, int64_t>>;

/// The shapes of an entry against its dims: finds the dims from the shapes of
/// inputs and back.
class DimSolver {
public:
  DimSolver() = default;
  DimSolver(DimSolver &&) = default;
  DimSolver &operator=(DimSolver &&) = default;

  /// `entry` must outlive the solver.
  static Result<DimSolver> create(const Entry &entry);

  /// Forgets all values.
  void reset();

  /// Sets a dim, an alias or a derived name; derived ones count as equations.
  Status set(const std::string &name, int64_t value);

  /// Adds the equations that input `index` has this type, rank and shape.
  Status addInput(unsigned index, const TensorView &tensor);

  /// Solves what follows from the equations so far. Fails if two disagree, with
  /// a message that names the input and the dim.
  Status solve();

  /// After solve: is this dim decided?
  bool isKnown(unsigned dim) const { return known[dim]; }
  const std::vector<int64_t> &values() const { return dims; }

  /// Sets one dim directly (its index in entry.dims).
  void setDim(unsigned dim, int64_t value);

  /// Index of the dim, or -1.
  int find(const std::string &name) const;

  /// Value of an input's dim; false while a dim it needs is not known.
  bool inputDim(unsigned input, unsigned axis, int64_t &result) const;

  /// The dims that input's axis is made of.
  const std::vector<unsigned> &inputDimUses(unsigned input,
                                            unsigned axis) const;

  /// Sets the rows of logits to 1 where nothing has decided them.
  void setDefaults();

  /// Names of the dims not known, "a, b"; empty if all are.
  std::string unknownNames() const;

  /// Tests every equation, and the entry's checks; all dims must be known.
  Status check() const;

private:
  struct Equation {
    const ExprCode *code;
    int64_t value;
    int input;     ///< -1 for a name that the user set
    unsigned axis; ///< of the input, or index of the alias
  };
  std::string describe(const Equation &equation) const;
  Status solveOne(const Equation &equation, bool &progress);

  const Entry *entry = nullptr;
  std::vector<std::vector<ExprCode>> inputShapes;
  std::vector<ExprCode> aliasCodes;
  std::vector<ExprCode> checkCodes; ///< left and right of each check
  std::vector<Equation> equations;
  std::vector<int64_t> dims;
  std::vector<char> known;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_DIMSOLVER_H
