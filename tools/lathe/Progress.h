//===- Progress.h - what is being done, on the terminal ---------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_LATHE_PROGRESS_H
#define LATHE_TOOLS_LATHE_PROGRESS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <chrono>

namespace lathe::cli {

/// A line on the terminal with what is done and the time that is left.
class ProgressLine {
public:
  explicit ProgressLine(bool shown) : shown(shown) {}
  ~ProgressLine() {
    if (started)
      llvm::errs() << "\n";
  }

  void show(llvm::StringRef what, double share) {
    if (!shown)
      return;
    auto now = std::chrono::steady_clock::now();
    if (what != task) {
      task = what.str();
      start = now;
      first = share;
    } else if (now - last < std::chrono::milliseconds(200)) {
      return;
    }
    last = now;
    started = true;
    double seconds = std::chrono::duration<double>(now - start).count();
    llvm::errs() << llvm::formatv("\r{0}: {1,3} %", what,
                                  int(std::min(1.0, share) * 100));
    if (share > first)
      llvm::errs() << llvm::formatv(", {0:f0} s left   ",
                                    seconds * (1 - share) / (share - first));
  }

private:
  bool shown, started = false;
  std::string task;
  double first = 0;
  std::chrono::steady_clock::time_point start, last;
};

} // namespace lathe::cli

#endif // LATHE_TOOLS_LATHE_PROGRESS_H
