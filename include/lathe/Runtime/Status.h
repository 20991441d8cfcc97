//===- Status.h - errors without exceptions -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The runtime reports errors as values: `Status` for functions that only act,
// `Result<T>` for functions that make something. Messages name the file, input,
// stage or dim at fault and carry no "error: " prefix; tools add it.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_STATUS_H
#define LATHE_RUNTIME_STATUS_H

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace lathe::rt {

/// Success, or a message that says what is wrong.
class [[nodiscard]] Status {
public:
  static Status ok() { return Status(); }
  static Status error(std::string message) {
    Status status;
    status.text = std::move(message);
    return status;
  }

  bool failed() const { return text.has_value(); }

  /// The message of a failure; must not be called on success.
  const std::string &message() const {
    assert(failed());
    return *text;
  }

  /// The same failure with `prefix` put before its message; success stays.
  Status prefixed(const std::string &prefix) && {
    if (text)
      text->insert(0, prefix);
    return std::move(*this);
  }

private:
  std::optional<std::string> text;
};

/// A value of type T, or a message that says why there is none.
template <typename T>
class [[nodiscard]] Result {
public:
  Result(T value) : value(std::move(value)) {}
  Result(Status failure) : status(std::move(failure)) {
    assert(status.failed() && "a success needs a value");
  }

  bool failed() const { return status.failed(); }
  const std::string &message() const { return status.message(); }

  /// The failure, to hand it on.
  Status takeStatus() { return std::move(status); }

  T &operator*() {
    assert(value);
    return *value;
  }
  const T &operator*() const {
    assert(value);
    return *value;
  }
  T *operator->() { return &**this; }
  const T *operator->() const { return &**this; }

private:
  std::optional<T> value;
  Status status;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_STATUS_H
