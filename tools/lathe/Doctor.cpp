//===- Doctor.cpp - lathe doctor ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "lathe/Driver/MachinePeaks.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

using namespace lathe;
using namespace lathe::cli;
namespace json = llvm::json;

namespace {

/// A program that Lathe calls, and how to get it.
struct Helper {
  const char *name, *use, *package;
};

} // namespace

static const Helper helpers[] = {
    {"ld.lld-22", "links compiled folders", "lld-22"},
    {"ptxas", "assembles PTX to cubins; optional", "nvidia-cuda-toolkit"},
};

/// The CUDA driver, which the GPU path opens at run time.
static bool hasGpuDriver() { return llvm::sys::fs::exists("/dev/nvidia0"); }

llvm::Error cli::runDoctor() {
  unsigned cores = llvm::hardware_concurrency().compute_thread_count();
  MachinePeaks one = measurePeaks(1), all = measurePeaks(cores);
  std::vector<std::string> levels = rt::cpuLevels();
  json::Array found, missing;
  for (const Helper &helper : helpers) {
    llvm::ErrorOr<std::string> path = llvm::sys::findProgramByName(helper.name);
    if (path)
      found.push_back(json::Object{{"name", helper.name}, {"path", *path}});
    else
      missing.push_back(json::Object{
          {"name", helper.name},
          {"use", helper.use},
          {"get", std::string("apt-get install ") + helper.package}});
  }
  std::string cpu = llvm::sys::getHostCPUName().str();
  if (options.json) {
    json::Array levelArray;
    for (const std::string &level : levels)
      levelArray.push_back(level);
    printJson(llvm::json::Object{{"lathe", LATHE_VERSION},
                                 {"llvm", LLVM_VERSION_STRING},
                                 {"cpu", cpu},
                                 {"cores", cores},
                                 {"levels", std::move(levelArray)},
                                 {"peak_gflops_1", one.gflops},
                                 {"peak_gflops", all.gflops},
                                 {"read_gbs_1", one.gigabytesPerSecond},
                                 {"read_gbs", all.gigabytesPerSecond},
                                 {"gpu", hasGpuDriver()},
                                 {"found", std::move(found)},
                                 {"missing", std::move(missing)}});
    return llvm::Error::success();
  }
  llvm::raw_ostream &out = llvm::outs();
  out << "Lathe " LATHE_VERSION ", LLVM " LLVM_VERSION_STRING "\n"
      << "CPU " << cpu << ", " << cores << " cores, levels "
      << llvm::join(levels, ", ") << "\n"
      << llvm::formatv("f32 FMA peak    {0,8:f1} GFLOP/s on one thread, "
                       "{1,8:f1} on {2}\n",
                       one.gflops, all.gflops, cores)
      << llvm::formatv("memory read     {0,8:f1} GB/s on one thread,    "
                       "{1,8:f1} on {2}\n",
                       one.gigabytesPerSecond, all.gigabytesPerSecond, cores)
      << "GPU             " << (hasGpuDriver() ? "found" : "none") << "\n";
  for (const json::Value &entry : found)
    out << llvm::formatv("{0,-15} {1}\n",
                         *entry.getAsObject()->getString("name"),
                         *entry.getAsObject()->getString("path"));
  for (const json::Value &entry : missing)
    out << llvm::formatv("{0,-15} missing ({1}): {2}\n",
                         *entry.getAsObject()->getString("name"),
                         *entry.getAsObject()->getString("use"),
                         *entry.getAsObject()->getString("get"));
  return llvm::Error::success();
}
