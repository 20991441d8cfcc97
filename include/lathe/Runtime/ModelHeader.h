//===- ModelHeader.h - model.h of a compiled folder -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_MODELHEADER_H
#define LATHE_RUNTIME_MODELHEADER_H

#include "lathe/Runtime/Manifest.h"

#include <string>

namespace lathe::rt {

/// The text of model.h: a C header over lathe.h with the names, element types
/// and shapes of every entry and, for each entry of up to 24 tensors, a typed
/// function
///
///   static inline int model_plain(lathe_model *model, int64_t dim_batch, …,
///                                 const int64_t *in_input_ids, …,
///                                 float *out_logits, …);
///
/// that describes the tensors and runs them. Valid C99 and C++.
std::string writeModelHeader(const Manifest &manifest);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_MODELHEADER_H
