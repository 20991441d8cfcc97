//===- IndexExpr.h - closed forms over coordinates and dims ------*- C++
//-*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Terms that describe the element of a tensor at coordinates i0..iN-1:
//
//   Poly   sum of coefficient * product of atoms
//   Atom   a named dim, a coordinate, a read of another value, fdiv, mod, min,
//          max, abs, a selection, a bounded sum, a function
//   Pred   true, false, p >= 0, p == 0, and, or, not
//
// Terms are uniqued in an IndexExprContext: equal terms are the same pointer.
// The constructors simplify, using what is known about the extents of the
// coordinates (`Extents`).
//
// "No closed form" is the null term. A constructor that is given a null term,
// or whose result would overflow, be undefined (inf * 0) or be larger than the
// limits, returns null; callers check once at the end.
//
// A context may be used by one thread at a time; there is no global state.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_INDEXEXPR_INDEXEXPR_H
#define LATHE_INDEXEXPR_INDEXEXPR_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseMapInfo.h"
#include "llvm/ADT/PointerUnion.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <memory>
#include <optional>

namespace lathe {

class IndexExprContext;
class Poly;
class Pred;
class Atom;
namespace detail {
struct PolyStorage;
struct PredStorage;
struct AtomStorage;
} // namespace detail

//===----------------------------------------------------------------------===//
// Number
//===----------------------------------------------------------------------===//

/// A coefficient: an integer, or a real that is not a small integer. A real
/// with an integer value of magnitude <= 2^53 is always held as an integer, so
/// that 2.0 and 2 are one number.
class Number {
public:
  Number() : integer(0), real(0), isReal(false) {}
  Number(int64_t value) : integer(value), real(0), isReal(false) {}
  static Number fromDouble(double value);

  bool isInteger() const { return !isReal; }
  int64_t asInteger() const { return integer; }
  double asDouble() const {
    return isReal ? real : static_cast<double>(integer);
  }
  bool isZero() const { return !isReal && integer == 0; }
  bool isOne() const { return !isReal && integer == 1; }
  bool isNegative() const { return isReal ? real < 0 : integer < 0; }
  bool isInfinite() const;
  bool isNaN() const { return isReal && real != real; }

  /// Bitwise identity (a NaN equals itself).
  bool operator==(const Number &other) const;
  bool operator!=(const Number &other) const { return !(*this == other); }
  /// Numeric order; false if either side is NaN.
  bool operator<(const Number &other) const;

  /// std::nullopt on integer overflow and for undefined results (inf - inf,
  /// inf * 0).
  static std::optional<Number> add(Number a, Number b);
  static std::optional<Number> mul(Number a, Number b);

private:
  int64_t integer;
  double real;
  bool isReal;
};

//===----------------------------------------------------------------------===//
// Handles
//===----------------------------------------------------------------------===//

/// One summand of a Poly. `atoms` may repeat an atom (a power) and is empty for
/// the constant term.
struct Term {
  llvm::ArrayRef<Atom> atoms;
  Number coef;
};

/// A polynomial over atoms. A value type: copy freely, compare by pointer.
class Poly {
public:
  Poly() = default;
  explicit Poly(const detail::PolyStorage *impl) : impl(impl) {}
  explicit operator bool() const { return impl; }
  bool operator==(Poly other) const { return impl == other.impl; }
  bool operator!=(Poly other) const { return impl != other.impl; }
  const void *getAsOpaquePointer() const { return impl; }
  static Poly getFromOpaquePointer(const void *pointer) {
    return Poly(static_cast<const detail::PolyStorage *>(pointer));
  }

  IndexExprContext &getContext() const;
  /// The summands, none for 0, at most one without atoms.
  llvm::ArrayRef<Term> terms() const;
  /// The value, if the polynomial has no atoms.
  std::optional<Number> getConstant() const;
  std::optional<int64_t> getConstantInt() const;
  bool isConstant() const { return getConstant().has_value(); }
  bool isConstant(int64_t value) const { return getConstantInt() == value; }
  /// The coefficient of the term without atoms.
  Number getConstantTerm() const;
  /// The atom, if the polynomial is one atom with coefficient 1.
  Atom getAtom() const;
  /// True if every value that it can take is an integer (integer coefficients
  /// over integral atoms).
  bool isIntegral() const;
  /// True if every atom is a named dim.
  bool isShape() const;
  /// Number of atoms, counted as a tree.
  unsigned size() const;
  /// Bit k is set if coordinate k occurs (bit 63: 63 and above).
  uint64_t coordMask() const;
  bool usesCoord(unsigned k) const;
  bool usesReads() const;
  /// The polynomial c with `p = c * i_k + rest`, where neither c nor rest use
  /// i_k, and rest in `rest` if asked for. Null if i_k occurs in any other way;
  /// 0 if it does not occur.
  Poly coefficientOf(unsigned k, Poly *rest = nullptr) const;

private:
  const detail::PolyStorage *impl = nullptr;
};

enum class PredKind : uint8_t { True, False, NonNeg, Zero, And, Or, Not };

/// A predicate. `Not` wraps only `p == 0`, or `p >= 0` over non-integral p.
class Pred {
public:
  Pred() = default;
  explicit Pred(const detail::PredStorage *impl) : impl(impl) {}
  explicit operator bool() const { return impl; }
  bool operator==(Pred other) const { return impl == other.impl; }
  bool operator!=(Pred other) const { return impl != other.impl; }
  const void *getAsOpaquePointer() const { return impl; }
  static Pred getFromOpaquePointer(const void *pointer) {
    return Pred(static_cast<const detail::PredStorage *>(pointer));
  }

  IndexExprContext &getContext() const;
  PredKind kind() const;
  bool isTrue() const { return kind() == PredKind::True; }
  bool isFalse() const { return kind() == PredKind::False; }
  /// The polynomial of NonNeg (p >= 0) and Zero (p == 0).
  Poly poly() const;
  /// The operands of And, Or (two or more) and Not (one).
  llvm::ArrayRef<Pred> operands() const;
  unsigned size() const;
  uint64_t coordMask() const;
  bool usesCoord(unsigned k) const;
  bool usesReads() const;

private:
  const detail::PredStorage *impl = nullptr;
};

enum class AtomKind : uint8_t {
  Symbol,   // name: a named dim, >= 0
  Coord,    // index: coordinate of the value
  BoundVar, // index: variable of an enclosing Sum
  Read,     // index: read id; operands: the position, where a negative index
            // counts from the end as in ONNX
  FloorDiv, // operands p, q with p >= 0, q >= 1
  Mod,      // operands p, q with q >= 1: p - q * floor(p / q)
  Min,      // two or more operands
  Max,      // two or more operands
  Abs,      // one operand
  Select,   // cond, operands a, b: cond ? a : b; the untaken arm may read out
            // of range
  Sum,      // index: bound variable; operands body, upper (inclusive, from 0)
  Function  // func, operands
};

/// Trunc, Floor and Ceil round their operand to f32 first: files compute in
/// f32, where 8 * log(2) / log(16) is 2 and not a little less.
enum class Func : uint8_t {
  Log,
  Cos,
  Sin,
  Exp,
  Sqrt,
  Tanh,
  Sigmoid,
  Pow,      // (x, y): real power
  Div,      // (x, y): real division
  Trunc,    // toward zero, to an integer
  TruncDiv, // (p, q): integer division toward zero
  Floor,
  Ceil,
  Recip
};

class Atom {
public:
  Atom() = default;
  explicit Atom(const detail::AtomStorage *impl) : impl(impl) {}
  explicit operator bool() const { return impl; }
  bool operator==(Atom other) const { return impl == other.impl; }
  bool operator!=(Atom other) const { return impl != other.impl; }
  const void *getAsOpaquePointer() const { return impl; }
  static Atom getFromOpaquePointer(const void *pointer) {
    return Atom(static_cast<const detail::AtomStorage *>(pointer));
  }

  AtomKind kind() const;
  llvm::StringRef name() const;
  unsigned index() const;
  Func func() const;
  llvm::ArrayRef<Poly> operands() const;
  Pred cond() const;
  bool isIntegral() const;
  unsigned size() const;
  uint64_t coordMask() const;
  bool usesReads() const;
  /// Creation order within the context: a total order for sorting.
  unsigned id() const;

private:
  const detail::AtomStorage *impl = nullptr;
};

/// A Poly or a Pred: the form of a numeric or of a boolean value.
class IndexExpr {
public:
  IndexExpr() = default;
  IndexExpr(Poly poly) : numeric(poly) {}
  IndexExpr(Pred pred) : boolean(pred) {}
  explicit operator bool() const { return numeric || boolean; }
  bool operator==(const IndexExpr &other) const {
    return numeric == other.numeric && boolean == other.boolean;
  }
  bool operator!=(const IndexExpr &other) const { return !(*this == other); }

  /// Null if it is of the other kind.
  Poly poly() const { return numeric; }
  Pred pred() const { return boolean; }
  bool isPoly() const { return bool(numeric); }
  bool isPred() const { return bool(boolean); }
  unsigned size() const {
    return numeric ? numeric.size() : boolean ? boolean.size() : 0;
  }
  uint64_t coordMask() const {
    return numeric ? numeric.coordMask() : boolean ? boolean.coordMask() : 0;
  }
  bool usesReads() const {
    return numeric ? numeric.usesReads() : boolean && boolean.usesReads();
  }

private:
  Poly numeric;
  Pred boolean;
};

//===----------------------------------------------------------------------===//
// Extents
//===----------------------------------------------------------------------===//

/// What is known about coordinates while a term is built: i_k runs over
/// [0, extent_k - 1]; a null extent, or one past the end, is unknown. A view:
/// the array must outlive it. Proofs under `Extents` hold wherever the value
/// has an element at all, so a dim that divides an extent is >= 1; any other
/// dim is only >= 0.
class Extents {
public:
  Extents() = default;
  Extents(llvm::ArrayRef<Poly> extents) : extents(extents) {}
  Extents(const llvm::SmallVectorImpl<Poly> &extents) : extents(extents) {}
  Poly operator[](unsigned k) const {
    return k < extents.size() ? extents[k] : Poly();
  }
  /// True if the named dim divides one of the extents.
  bool isPositive(Atom symbol) const;

private:
  llvm::ArrayRef<Poly> extents;
};

//===----------------------------------------------------------------------===//
// Context
//===----------------------------------------------------------------------===//

/// Owns and uniques terms, and builds them. Terms live as long as the context.
class IndexExprContext {
public:
  /// Terms of more atoms than this (counted as a tree) are null.
  static constexpr unsigned kMaxSize = 256;
  /// Products whose factors have more terms than this, multiplied, are null.
  static constexpr unsigned kMaxProductTerms = 64;

  IndexExprContext();
  ~IndexExprContext();
  IndexExprContext(const IndexExprContext &) = delete;
  IndexExprContext &operator=(const IndexExprContext &) = delete;

  /// \name Leaves
  /// @{
  Poly zero() { return constant(0); }
  Poly one() { return constant(1); }
  Poly constant(Number value);
  Poly constant(int64_t value) { return constant(Number(value)); }
  Poly constant(int value) { return constant(Number(value)); }
  Poly constant(double value) { return constant(Number::fromDouble(value)); }
  Poly symbol(llvm::StringRef name);
  Poly coord(unsigned k);
  Poly boundVar(unsigned n);
  /// The element of value `id` at `position` (one index per dim). Reads are
  /// integral unless the id was declared real before.
  Poly read(unsigned id, llvm::ArrayRef<Poly> position);
  /// Says that value `id` has real elements. Must precede its first read.
  void declareReal(unsigned id);
  Pred getTrue() const { return truePred; }
  Pred getFalse() const { return falsePred; }
  Pred boolean(bool value) const { return value ? truePred : falsePred; }
  /// @}

  /// \name Arithmetic
  /// @{
  Poly add(Poly p, Poly q);
  Poly sub(Poly p, Poly q);
  Poly neg(Poly p);
  Poly scale(Poly p, Number factor);
  Poly mul(Poly p, Poly q);
  /// A summand of a polynomial of this context, alone.
  Poly single(const Term &term) { return uniqueTerms(term); }
  /// 1 for an empty list.
  Poly product(llvm::ArrayRef<Poly> factors);
  /// p / q if q divides p as a polynomial with integer coefficients, else null.
  Poly exactDiv(Poly p, Poly q);
  /// floor(p / q). The caller asserts q >= 1 and, unless the division
  /// vanishes, p >= 0 (bounds rely on it); see `truncDiv` for other dividends.
  Poly fdiv(Poly p, Poly q, Extents extents = {});
  /// p - q * floor(p / q), for q >= 1 and any p.
  Poly mod(Poly p, Poly q, Extents extents = {});
  /// Integer division as ONNX has it: fdiv where p is provably >= 0, else an
  /// opaque tdiv.
  Poly truncDiv(Poly p, Poly q, Extents extents = {});
  Poly min(Poly p, Poly q, Extents extents = {});
  Poly max(Poly p, Poly q, Extents extents = {});
  Poly abs(Poly p, Extents extents = {});
  /// cond ? a : b. Applies the wrap rule: reads whose arms differ by n in one
  /// index become one read at an index mod n.
  Poly select(Pred cond, Poly a, Poly b, Extents extents = {});
  /// Sum of `body` over boundVar(n) in [0, upper]. `n` must be fresh: see
  /// `freshBoundVar`.
  Poly sum(unsigned n, Poly upper, Poly body);
  /// One more than the largest bound variable that occurs in p.
  unsigned freshBoundVar(Poly p);
  /// Folds constants.
  Poly fn(Func func, llvm::ArrayRef<Poly> operands);
  /// Applies `f` to p and q. If one side is a selection with a constant arm
  /// and the other is constant, or both have the same condition, `f` goes into
  /// the arms.
  Poly lift(llvm::function_ref<Poly(Poly, Poly)> f, Poly p, Poly q,
            Extents extents = {});
  /// @}

  /// \name Predicates
  /// @{
  /// p >= 0.
  Pred nonNeg(Poly p, Extents extents = {});
  /// p == 0.
  Pred isZero(Poly p, Extents extents = {});
  Pred le(Poly p, Poly q, Extents extents = {}) {
    return nonNeg(sub(q, p), extents);
  }
  Pred lt(Poly p, Poly q, Extents extents = {}) {
    return negate(nonNeg(sub(p, q), extents), extents);
  }
  Pred equal(Poly p, Poly q, Extents extents = {}) {
    return isZero(sub(p, q), extents);
  }
  Pred conj(llvm::ArrayRef<Pred> preds);
  Pred disj(llvm::ArrayRef<Pred> preds);
  Pred conj(Pred a, Pred b) { return conj({a, b}); }
  Pred disj(Pred a, Pred b) { return disj({a, b}); }
  Pred negate(Pred p, Extents extents = {});
  /// cond ? a : b on predicates.
  Pred choose(Pred cond, Pred a, Pred b);
  /// `sel(p, 1, 0)`.
  Poly toNumber(Pred p) { return select(p, one(), zero()); }
  /// `p != 0`.
  Pred toBoolean(Poly p, Extents extents = {}) {
    return negate(isZero(p, extents), extents);
  }
  /// @}

  /// \name Proofs
  /// Sound, not complete: false and null mean "not known".
  /// @{
  bool isNonNegative(Poly p, Extents extents = {});
  /// A polynomial over named dims that p never goes below (above), or null.
  Poly lowerBound(Poly p, Extents extents = {});
  Poly upperBound(Poly p, Extents extents = {});
  /// @}

  /// \name Substitution
  /// For several terms under one map, use a Substituter.
  /// @{
  Poly substitute(Poly p, llvm::ArrayRef<Poly> coords, Extents extents = {});
  Pred substitute(Pred p, llvm::ArrayRef<Poly> coords, Extents extents = {});
  IndexExpr substitute(IndexExpr e, llvm::ArrayRef<Poly> coords,
                       Extents extents = {});
  Poly substituteSymbols(Poly p, const llvm::StringMap<Poly> &symbols);
  /// @}

private:
  friend class Poly;
  friend class Substituter;
  struct Impl;
  struct SharedFactor {
    Poly factor, high, low, divisor;
  };

  Poly uniqueTerms(llvm::ArrayRef<Term> sortedTerms);
  Poly uniqueAtom(AtomKind kind, Func func, unsigned index,
                  llvm::StringRef name, llvm::ArrayRef<Poly> operands,
                  Pred cond);
  Poly atomPoly(Atom atom);
  Pred uniquePred(PredKind kind, Poly poly, llvm::ArrayRef<Pred> operands);
  Pred junction(PredKind kind, llvm::ArrayRef<Pred> preds);
  Poly addTerms(Poly p, Poly q);
  Poly recombine(Poly p);
  bool divide(Poly p, Poly q, Extents extents, Poly &quotient, Poly &remainder);
  bool shareFactor(Poly p, Poly q, Extents extents, SharedFactor &shared);
  Poly boundOf(const Term &term, Extents extents, bool upper);
  Poly boundOf(Atom atom, Extents extents, bool upper);
  Poly extremeBound(llvm::ArrayRef<Poly> operands, Extents extents, bool upper,
                    bool largest);
  Pred openSelect(Poly p, llvm::function_ref<Pred(Poly)> fn);
  Poly extremum(AtomKind kind, Poly p, Poly q, Extents extents);
  Poly foldWrap(Pred cond, Poly a, Poly b, Extents extents);

  std::unique_ptr<Impl> impl;
  Pred truePred, falsePred;
};

/// Replaces coordinates, named dims and reads, memoised over all terms given to
/// one object. The result is simplified under `extents`, the extents of the
/// value whose coordinates the replacements are written in.
class Substituter {
public:
  using ReadFn = llvm::function_ref<Poly(unsigned id, llvm::ArrayRef<Poly>)>;

  /// i_k becomes coords[k]; a null entry, or one past the end, stays i_k.
  Substituter(IndexExprContext &context, llvm::ArrayRef<Poly> coords,
              Extents extents = {})
      : context(context), coords(coords.begin(), coords.end()),
        extents(extents) {}
  /// Named dims found in `symbols` are replaced. The map must outlive this.
  Substituter &setSymbols(const llvm::StringMap<Poly> *map) {
    symbols = map;
    return *this;
  }
  /// A read (its position already substituted) becomes what `fn` returns. The
  /// callee must outlive this.
  Substituter &setReads(ReadFn fn) {
    reads = fn;
    return *this;
  }

  Poly operator()(Poly p);
  Pred operator()(Pred p);
  IndexExpr operator()(IndexExpr e);

private:
  Poly apply(Atom atom);

  IndexExprContext &context;
  llvm::SmallVector<Poly, 6> coords;
  Extents extents;
  const llvm::StringMap<Poly> *symbols = nullptr;
  ReadFn reads;
  llvm::DenseMap<const void *, IndexExpr> memo;
};

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

/// Calls `fn` once for every distinct atom, outer atoms first.
void walkAtoms(Poly p, llvm::function_ref<void(Atom)> fn);
void walkAtoms(Pred p, llvm::function_ref<void(Atom)> fn);
void walkAtoms(IndexExpr e, llvm::function_ref<void(Atom)> fn);

/// Ids of the values read, without duplicates, in order of first appearance.
llvm::SmallVector<unsigned> collectReads(IndexExpr e);
/// Named dims, without duplicates, in order of first appearance.
llvm::SmallVector<llvm::StringRef> collectSymbols(IndexExpr e);

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

/// Null if either side is null.
Poly operator+(Poly p, Poly q);
Poly operator-(Poly p, Poly q);
Poly operator*(Poly p, Poly q);
Poly operator+(Poly p, int64_t q);
Poly operator-(Poly p, int64_t q);
Poly operator*(Poly p, int64_t q);
Poly operator-(Poly p);

} // namespace lathe

namespace llvm {
template <typename Handle>
struct IndexExprHandleInfo {
  static Handle getEmptyKey() {
    return make(DenseMapInfo<void *>::getEmptyKey());
  }
  static Handle getTombstoneKey() {
    return make(DenseMapInfo<void *>::getTombstoneKey());
  }
  static unsigned getHashValue(Handle handle) {
    return DenseMapInfo<const void *>::getHashValue(
        handle.getAsOpaquePointer());
  }
  static bool isEqual(Handle a, Handle b) { return a == b; }

private:
  static Handle make(const void *pointer) {
    return Handle::getFromOpaquePointer(pointer);
  }
};
template <>
struct DenseMapInfo<lathe::Poly> : IndexExprHandleInfo<lathe::Poly> {};
template <>
struct DenseMapInfo<lathe::Pred> : IndexExprHandleInfo<lathe::Pred> {};
template <>
struct DenseMapInfo<lathe::Atom> : IndexExprHandleInfo<lathe::Atom> {};
} // namespace llvm

#endif // LATHE_INDEXEXPR_INDEXEXPR_H
