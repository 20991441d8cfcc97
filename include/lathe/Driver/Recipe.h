//===- Recipe.h - recipes as pass pipelines ----------------*- C++ -*- ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_RECIPE_H
#define LATHE_DRIVER_RECIPE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <string>

namespace lathe {

/// Reads a recipe file and returns it as pass-pipeline text,
/// `PASS{options},PASS`. A recipe is YAML:
///
/// ```yaml
/// passes:
///   - lathe-raise-norm
///   - some-pass: {option: value, other: value}
/// ```
///
/// Errors name the file and the line: unreadable, no YAML, an unknown or
/// repeated key, a pass that is no name or no map of one name.
llvm::Expected<std::string> readRecipe(llvm::StringRef path);

} // namespace lathe

#endif // LATHE_DRIVER_RECIPE_H
