//===- MachinePeaks.h - what this machine can do at most -----------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Measures the ceilings that kernels are compared with.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_MACHINEPEAKS_H
#define LATHE_DRIVER_MACHINEPEAKS_H

namespace lathe {

/// Multiply-adds from registers, in GFLOP/s of all threads together; 0 where
/// there is no instruction for it that is known here.
struct FmaPeaks {
  double f32 = 0;
  double bf16 = 0; ///< dot products of pairs, summed in f32
};

/// The best of 15 runs of a few milliseconds each.
FmaPeaks measureFmaPeaks(unsigned threads);

/// GB/s at which `threads` threads together read 512 MiB, each its share: the
/// best of 8 runs.
double measureReadBandwidth(unsigned threads);

} // namespace lathe

#endif // LATHE_DRIVER_MACHINEPEAKS_H
