//===- Storage.h - uniqued storage of the terms -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_INDEXEXPR_STORAGE_H
#define LATHE_LIB_INDEXEXPR_STORAGE_H

#include "lathe/IndexExpr/IndexExpr.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/FoldingSet.h"
#include "llvm/Support/Allocator.h"

namespace lathe {
namespace detail {

void profile(llvm::FoldingSetNodeID &id, Number number);

/// Facts about a term that are wanted often and cost a walk.
struct Facts {
  uint64_t coordMask = 0;
  unsigned size = 0;
  bool reads = false;
  /// Bound variables occur, free or not.
  bool boundVars = false;

  void include(const Facts &other) {
    coordMask |= other.coordMask;
    size += other.size;
    reads |= other.reads;
    boundVars |= other.boundVars;
  }
};

struct PolyStorage : llvm::FoldingSetNode {
  IndexExprContext *context;
  llvm::ArrayRef<Term> terms;
  unsigned id;
  Facts facts;
  bool integral = true;
  /// Only named dims.
  bool shape = true;
  /// A term holds a mod (an fdiv): what `recombine` looks for.
  bool hasMod = false;
  bool hasFloorDiv = false;

  static void profile(llvm::FoldingSetNodeID &id, llvm::ArrayRef<Term> terms);
  void Profile(llvm::FoldingSetNodeID &id) const { profile(id, terms); }
};

struct AtomStorage : llvm::FoldingSetNode {
  AtomKind kind;
  Func func;
  unsigned index;
  llvm::StringRef name;
  llvm::ArrayRef<Poly> operands;
  Pred cond;
  unsigned id;
  bool integral;
  Facts facts;

  static void profile(llvm::FoldingSetNodeID &id, AtomKind kind, Func func,
                      unsigned index, llvm::StringRef name,
                      llvm::ArrayRef<Poly> operands, Pred cond);
  void Profile(llvm::FoldingSetNodeID &id) const {
    profile(id, kind, func, index, name, operands, cond);
  }
};

struct PredStorage : llvm::FoldingSetNode {
  IndexExprContext *context;
  PredKind kind;
  Poly poly;
  llvm::ArrayRef<Pred> operands;
  unsigned id;
  Facts facts;

  static void profile(llvm::FoldingSetNodeID &id, PredKind kind, Poly poly,
                      llvm::ArrayRef<Pred> operands);
  void Profile(llvm::FoldingSetNodeID &id) const {
    profile(id, kind, poly, operands);
  }
};

inline const PolyStorage *storage(Poly p) {
  return static_cast<const PolyStorage *>(p.getAsOpaquePointer());
}
inline const AtomStorage *storage(Atom a) {
  return static_cast<const AtomStorage *>(a.getAsOpaquePointer());
}
inline const PredStorage *storage(Pred p) {
  return static_cast<const PredStorage *>(p.getAsOpaquePointer());
}

/// Order of the atom lists of terms.
bool precedes(llvm::ArrayRef<Atom> a, llvm::ArrayRef<Atom> b);

/// Takes the atoms of `divisor` out of `atoms`; false if one is missing.
bool divideAtoms(llvm::ArrayRef<Atom> atoms, llvm::ArrayRef<Atom> divisor,
                 llvm::SmallVectorImpl<Atom> &rest);

/// Floor and remainder in [0, b), for b > 0.
int64_t floorDivide(int64_t a, int64_t b);
int64_t floorRemainder(int64_t a, int64_t b);

/// If p is a selection with coefficient 1, that atom.
Atom getSelect(Poly p);

} // namespace detail

struct IndexExprContext::Impl {
  llvm::BumpPtrAllocator allocator;
  llvm::FoldingSet<detail::PolyStorage> polys;
  llvm::FoldingSet<detail::AtomStorage> atoms;
  llvm::FoldingSet<detail::PredStorage> preds;
  llvm::DenseSet<unsigned> realReads;
  unsigned numPreds = 0;

  template <typename T>
  llvm::ArrayRef<T> copy(llvm::ArrayRef<T> list) {
    T *memory = allocator.Allocate<T>(list.size());
    std::uninitialized_copy(list.begin(), list.end(), memory);
    return {memory, list.size()};
  }
};

} // namespace lathe

#endif // LATHE_LIB_INDEXEXPR_STORAGE_H
