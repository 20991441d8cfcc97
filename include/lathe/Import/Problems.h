//===- Problems.h - Collected errors of one file ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What is wrong with a file is collected, all of it, and printed as one block:
///
/// ```
/// error: model.onnx: 2 problems
///   node 'add' (Add, opset 17): input 1 'x' is produced by nothing
///   initializer 'w': raw data has 12 bytes, 3x2xf32 needs 24
/// hint: …
/// ```
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_PROBLEMS_H
#define LATHE_IMPORT_PROBLEMS_H

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace llvm {
class raw_ostream;
} // namespace llvm

namespace lathe {

/// Text from a file as it may stand in a message: control characters, bytes
/// that are not UTF-8 and quotes are escaped, and at most 100 characters stay.
std::string escapeName(llvm::StringRef text);

/// `'text'`, escaped.
std::string quoteName(llvm::StringRef text);

/// The problems found in one file.
class Problems {
public:
  /// At most this many lines are printed.
  static constexpr size_t kMaxLines = 20;

  explicit Problems(llvm::StringRef file) : file(file) {}

  /// Adds one problem. `subject` is "node 'x' (Add, opset 17)",
  /// "initializer 'w'", "graph" or empty (the file as a whole). Problems of one
  /// non-empty `group` share a line: the first is shown, the others counted, so
  /// that one missing operator that is used a hundred times does not hide the
  /// next one.
  void add(const llvm::Twine &subject, const llvm::Twine &reason,
           llvm::StringRef hint = "", llvm::StringRef group = "");

  /// Adds something worth knowing that is not an error.
  void note(const llvm::Twine &text) { notes.push_back(text.str()); }

  bool empty() const { return count == 0; }
  size_t size() const { return count; }

  /// Prints the block (nothing if there are no problems).
  void print(llvm::raw_ostream &os) const;
  /// The block as an error, without its "error: ".
  llvm::Error toError() const;
  /// Prints "note: FILE: …", one line each.
  void printNotes(llvm::raw_ostream &os) const;

  llvm::StringRef getFile() const { return file; }

private:
  struct Line {
    std::string text;
    size_t others = 0;
  };
  std::string file;
  std::vector<Line> lines;
  std::vector<std::string> notes;
  llvm::StringMap<size_t> groups;
  std::string hint;
  size_t count = 0;
  size_t unshown = 0;
};

} // namespace lathe

#endif // LATHE_IMPORT_PROBLEMS_H
