//===- Doctor.cpp - lathe doctor ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "Run.h"
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

static llvm::cl::opt<bool>
    peaksOption("peaks", llvm::cl::desc("Measure the peaks of --threads alone"),
                llvm::cl::sub(subCommand("doctor")));

namespace {

/// What so many threads can do at most.
struct Peaks {
  unsigned threads;
  FmaPeaks fma;
  double read; ///< GB/s
};

} // namespace

static Peaks measurePeaks(unsigned threads) {
  return {threads, measureFmaPeaks(threads), measureReadBandwidth(threads)};
}

static json::Object toJson(const Peaks &peaks) {
  return json::Object{{"threads", peaks.threads},
                      {"f32", peaks.fma.f32},
                      {"bf16", peaks.fma.bf16},
                      {"read", peaks.read}};
}

static void print(const Peaks &peaks) {
  std::string who = std::to_string(peaks.threads) +
                    (peaks.threads == 1 ? " thread" : " threads");
  llvm::outs() << llvm::formatv("{0,-15} f32 {1:f1} GFLOP/s, ", who,
                                peaks.fma.f32);
  if (peaks.fma.bf16 > 0)
    llvm::outs() << llvm::formatv("bf16 {0:f1} GFLOP/s, ", peaks.fma.bf16);
  llvm::outs() << llvm::formatv("memory read {0:f1} GB/s\n", peaks.read);
}

/// The CUDA driver, which the GPU path opens at run time.
static bool hasGpuDriver() { return llvm::sys::fs::exists("/dev/nvidia0"); }

llvm::Error cli::runDoctor() {
  auto pool = makePool(); // which says how many threads there are at most
  if (!pool)
    return pool.takeError();
  Peaks all = measurePeaks((*pool)->threads());
  if (peaksOption) {
    if (options.json)
      printJson(toJson(all));
    else
      print(all);
    return llvm::Error::success();
  }
  Peaks one = all.threads == 1 ? all : measurePeaks(1);
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
  unsigned cores = llvm::hardware_concurrency().compute_thread_count();
  if (options.json) {
    json::Array levelArray;
    for (const std::string &level : levels)
      levelArray.push_back(level);
    printJson(llvm::json::Object{{"lathe", LATHE_VERSION},
                                 {"llvm", LLVM_VERSION_STRING},
                                 {"cpu", cpu},
                                 {"cores", cores},
                                 {"levels", std::move(levelArray)},
                                 {"threads", all.threads},
                                 {"peak_gflops_1", one.fma.f32},
                                 {"peak_gflops", all.fma.f32},
                                 {"peak_bf16_gflops_1", one.fma.bf16},
                                 {"peak_bf16_gflops", all.fma.bf16},
                                 {"read_gbs_1", one.read},
                                 {"read_gbs", all.read},
                                 {"gpu", hasGpuDriver()},
                                 {"found", std::move(found)},
                                 {"missing", std::move(missing)}});
    return llvm::Error::success();
  }
  llvm::raw_ostream &out = llvm::outs();
  out << "Lathe " LATHE_VERSION ", LLVM " LLVM_VERSION_STRING "\n"
      << "CPU " << cpu << ", " << cores << " cores, levels "
      << llvm::join(levels, ", ") << "\n";
  print(one);
  if (all.threads > 1)
    print(all);
  out << "GPU             " << (hasGpuDriver() ? "found" : "none") << "\n";
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
