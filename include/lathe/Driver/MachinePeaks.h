//===- MachinePeaks.h - what this machine can do at most -----------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Measures the two ceilings that kernels are compared with.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_MACHINEPEAKS_H
#define LATHE_DRIVER_MACHINEPEAKS_H

namespace lathe {

struct MachinePeaks {
  double gflops = 0; ///< f32 FMA from registers, all threads together
  double gigabytesPerSecond = 0; ///< reading memory larger than the caches
};

/// Runs register-only FMA loops and a read stream over 512 MB on `threads`
/// threads, about 0.3 s in all, and returns the best of several samples.
MachinePeaks measurePeaks(unsigned threads);

} // namespace lathe

#endif // LATHE_DRIVER_MACHINEPEAKS_H
