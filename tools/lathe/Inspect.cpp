//===- Inspect.cpp - lathe inspect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Inspect.h"
#include "Command.h"
#include "lathe/Driver/Kernels.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;
using namespace lathe::cli;
namespace cl = llvm::cl;
namespace json = llvm::json;

static cl::opt<bool>
    kernelsOption("kernels",
                  cl::desc("Also the distinct kernels of every entry, with "
                           "their sizes at the dims of --dim"),
                  cl::sub(subCommand("inspect")));

static json::Array toJson(const std::vector<std::string> &texts) {
  json::Array array;
  for (const std::string &text : texts)
    array.push_back(text);
  return array;
}

static json::Array toJson(const std::vector<TensorSummary> &tensors) {
  json::Array array;
  for (const TensorSummary &tensor : tensors)
    array.push_back(json::Object{{"name", tensor.name},
                                 {"dtype", tensor.type},
                                 {"shape", toJson(tensor.dims)}});
  return array;
}

static json::Object toJson(const ModelSummary &summary) {
  json::Array entries, sublayers, unraised, unsupported;
  for (const EntrySummary &entry : summary.entries)
    entries.push_back(json::Object{{"name", entry.name},
                                   {"dims", toJson(entry.dims)},
                                   {"inputs", toJson(entry.inputs)},
                                   {"outputs", toJson(entry.outputs)},
                                   {"kv_slots", entry.caches}});
  for (const SublayerSummary &sublayer : summary.sublayers)
    sublayers.push_back(
        json::Object{{"site", sublayer.site},
                     {"kind", sublayer.kind},
                     {"norm", sublayer.postNorm ? "post" : "pre"},
                     {"params", sublayer.params},
                     {"macs", sublayer.macs},
                     {"bytes", sublayer.bytes}});
  for (const UnraisedSummary &entry : summary.unraised)
    unraised.push_back(json::Object{
        {"node", entry.node}, {"op", entry.op}, {"reason", entry.reason}});
  for (const UnsupportedSummary &entry : summary.unsupported)
    unsupported.push_back(json::Object{{"op", entry.op},
                                       {"domain", entry.domain},
                                       {"opset", entry.opset},
                                       {"count", entry.count},
                                       {"first_node", entry.firstNode}});
  json::Object object{{"params", summary.params},
                      {"bytes", summary.bytes},
                      {"macs", summary.macs},
                      {"open_dims", toJson(summary.openDims)},
                      {"entries", std::move(entries)},
                      {"sublayers", std::move(sublayers)},
                      {"unraised", std::move(unraised)},
                      {"unsupported", std::move(unsupported)}};
  if (!summary.entries.empty()) {
    object["inputs"] = toJson(summary.entries[0].inputs);
    object["outputs"] = toJson(summary.entries[0].outputs);
  }
  return object;
}

static json::Array toJson(const std::vector<KernelSummary> &kernels) {
  json::Array array;
  for (const KernelSummary &kernel : kernels) {
    json::Object object{
        {"entry", kernel.entry},     {"op", kernel.op},
        {"variant", kernel.variant}, {"epilogue", toJson(kernel.epilogue)},
        {"mask", kernel.mask},       {"count", kernel.count}};
    for (auto &[name, value] : kernel.sizes)
      object[name] = value;
    array.push_back(std::move(object));
  }
  return array;
}

static void print(const std::vector<KernelSummary> &kernels) {
  llvm::outs() << "\nkernels\n";
  for (const KernelSummary &kernel : kernels) {
    llvm::outs() << llvm::formatv("  {0,-8} {1,4} x {2}", kernel.entry,
                                  kernel.count, kernel.op);
    if (!kernel.variant.empty())
      llvm::outs() << " " << kernel.variant;
    for (auto &[name, value] : kernel.sizes)
      llvm::outs() << " " << name << "=" << value;
    for (const std::string &step : kernel.epilogue)
      llvm::outs() << " then " << step;
    if (!kernel.mask.empty())
      llvm::outs() << " mask " << kernel.mask;
    llvm::outs() << "\n";
  }
}

static void printTensors(llvm::StringRef title,
                         const std::vector<TensorSummary> &tensors) {
  llvm::raw_ostream &out = llvm::outs();
  // A model with a cache has many alike; the first few tell.
  constexpr size_t shown = 8;
  for (const TensorSummary &tensor : llvm::ArrayRef(tensors).take_front(shown))
    out << llvm::formatv("  {0,-8} {1,-28} {2,-5} [{3}]\n", title, tensor.name,
                         tensor.type, llvm::join(tensor.dims, ", "));
  if (tensors.size() > shown)
    out << llvm::formatv("  {0,-8} ... {1} more\n", title,
                         tensors.size() - shown);
}

static void print(const ModelSummary &summary) {
  llvm::raw_ostream &out = llvm::outs();
  out << llvm::formatv("{0}: {1} parameters, {2}B of weights\n", options.model,
                       roundedCount(summary.params),
                       roundedCount(summary.bytes));
  for (const EntrySummary &entry : summary.entries) {
    out << "entry " << entry.name << " (" << llvm::join(entry.dims, ", ")
        << ")";
    if (entry.caches)
      out << ", " << entry.caches << " KV slots";
    out << "\n";
    printTensors("input", entry.inputs);
    printTensors("output", entry.outputs);
  }
  out << llvm::formatv("\n{0} sub-layers, {1} multiply-adds in all\n",
                       summary.sublayers.size(), roundedCount(summary.macs));
  if (!summary.openDims.empty())
    out << "(counted with " << llvm::join(summary.openDims, " = ")
        << " = 1; --dim sets them)\n";
  if (!summary.sublayers.empty())
    out << llvm::formatv("  {0,-20} {1,-5} {2,-5} {3,10} {4,10} {5,10}\n",
                         "site", "kind", "norm", "params", "bytes", "MACs");
  for (const SublayerSummary &sublayer : summary.sublayers)
    out << llvm::formatv(
        "  {0,-20} {1,-5} {2,-5} {3,10} {4,10} {5,10}\n", sublayer.site,
        sublayer.kind, sublayer.postNorm ? "post" : "pre",
        roundedCount(sublayer.params), roundedCount(sublayer.bytes),
        roundedCount(sublayer.macs));
  if (!summary.unraised.empty())
    out << "\nnot raised:\n";
  for (const UnraisedSummary &entry : summary.unraised)
    out << "  node '" << entry.node << "' (" << entry.op
        << "): " << entry.reason << "\n";
}

/// The error that lists every operation without a lowering.
static llvm::Error unsupportedError(const ModelSummary &summary) {
  std::string text = options.model + ": " +
                     std::to_string(summary.unsupported.size()) +
                     " kinds of operations are not supported";
  for (const UnsupportedSummary &entry : summary.unsupported) {
    text += "\n  node '" + entry.firstNode + "' (" + entry.op;
    if (!entry.domain.empty())
      text += ", domain " + entry.domain;
    text += ", opset " + std::to_string(entry.opset) +
            "): " + std::to_string(entry.count) + " nodes, no lowering";
  }
  return llvm::createStringError(text);
}

llvm::Error cli::runInspect() {
  auto model = cli::loadModel();
  if (!model)
    return model.takeError();
  if (!model->module)
    return llvm::createStringError(
        options.model + ": inspect wants a model file; a compiled folder's "
                        "model.json tells what it holds");
  auto named = namedDims();
  if (!named)
    return named.takeError();
  llvm::StringMap<int64_t> dims;
  for (auto &[name, value] : *named)
    dims[name] = value;
  ModelSummary summary = inspectModel(*model->module, dims);
  std::vector<KernelSummary> kernels;
  if (kernelsOption)
    kernels = listKernels(*model->module, dims);
  if (options.json) {
    json::Object object = toJson(summary);
    if (kernelsOption)
      object["kernels"] = toJson(kernels);
    printJson(std::move(object));
  } else {
    print(summary);
    if (kernelsOption)
      print(kernels);
  }
  return summary.unsupported.empty() ? llvm::Error::success()
                                     : unsupportedError(summary);
}
