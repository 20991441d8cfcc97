//===- Compare.cpp - lathe compare ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Command.h"
#include "Run.h"
#include "lathe/Runtime/Npz.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace lathe;
using namespace lathe::cli;
namespace json = llvm::json;
namespace cl = llvm::cl;

#define COMPARE cl::sub(subCommand("compare"))
static cl::opt<std::string>
    inputsOption("inputs", cl::Required, cl::value_desc("F"),
                 cl::desc("Inputs: an .npz or a folder of ONNX test files"),
                 COMPARE);
static cl::opt<std::string>
    referenceOption("reference", cl::value_desc("R.npz"),
                    cl::desc("Reference outputs, by name"), COMPARE);
static cl::opt<bool>
    layersOption("layers",
                 cl::desc("Compare every stage: against --against, else "
                          "against the model without --pipeline, else against "
                          "the scalar build"),
                 COMPARE);
static cl::opt<std::string> againstOption("against", cl::value_desc("MODEL2"),
                                          cl::desc("Model to compare with"),
                                          COMPARE);
static cl::opt<double> rtolOption("rtol", cl::init(1e-4),
                                  cl::desc("Tolerance relative to the largest "
                                           "value of an output"),
                                  COMPARE);
static cl::opt<double> atolOption("atol", cl::init(1e-6),
                                  cl::desc("Absolute tolerance"), COMPARE);

namespace {

struct Difference {
  std::string name;
  double maxAbs = 0, maxRel = 0, cosine = 1;
  bool within = true;
};

} // namespace

static double elementOf(const rt::TensorView &tensor, int64_t i) {
  return rt::isFloat(tensor.dtype)
             ? rt::loadFloat(tensor.dtype, tensor.data, i)
             : rt::loadInteger(tensor.dtype, tensor.data, i);
}

/// NaNs and infinities agree only with themselves.
static llvm::Expected<Difference> differenceOf(const std::string &name,
                                               rt::TensorView actual,
                                               rt::TensorView expected) {
  llvm::ArrayRef<int64_t> shape(actual.shape, actual.rank);
  if (shape != llvm::ArrayRef<int64_t>(expected.shape, expected.rank))
    return llvm::createStringError(
        "'" + name + "' has shape " + rt::shapeText(actual.shape, actual.rank) +
        ", the reference " + rt::shapeText(expected.shape, expected.rank));
  Difference result;
  result.name = name;
  double largest = 0, dot = 0, aa = 0, bb = 0;
  for (int64_t i = 0, e = actual.elements(); i < e; ++i) {
    double a = elementOf(actual, i), b = elementOf(expected, i);
    if (!std::isfinite(a) || !std::isfinite(b)) {
      if (a != b && !(std::isnan(a) && std::isnan(b)))
        result.maxAbs = INFINITY;
      continue;
    }
    result.maxAbs = std::max(result.maxAbs, std::abs(a - b));
    largest = std::max(largest, std::abs(b));
    dot += a * b;
    aa += a * a;
    bb += b * b;
  }
  result.maxRel = result.maxAbs == 0 ? 0 : result.maxAbs / largest;
  if (aa > 0 && bb > 0)
    result.cosine = dot / std::sqrt(aa * bb);
  result.within = result.maxAbs <= atolOption + rtolOption * largest;
  return result;
}

static llvm::Error report(const std::vector<Difference> &differences,
                          const char *key) {
  bool within = true;
  for (const Difference &difference : differences)
    within &= difference.within;
  if (options.json) {
    json::Array rows;
    for (const Difference &difference : differences)
      rows.push_back(json::Object{{"name", difference.name},
                                  {"max_abs", difference.maxAbs},
                                  {"max_rel", difference.maxRel},
                                  {"cosine", difference.cosine},
                                  {"within", difference.within}});
    printJson(llvm::json::Object{{key, std::move(rows)}});
  } else {
    llvm::outs() << llvm::formatv("{0,-32} {1,12} {2,12} {3,12}\n", "name",
                                  "max abs", "max rel", "cosine");
    for (const Difference &difference : differences)
      llvm::outs() << llvm::formatv(
          "{0,-32} {1,12:e2} {2,12:e2} {3,12:f8}{4}\n", difference.name,
          difference.maxAbs, difference.maxRel, difference.cosine,
          difference.within ? "" : "  beyond tolerance");
  }
  if (within)
    return llvm::Error::success();
  return llvm::createStringError(
      options.model + ": differs beyond the tolerance (--rtol " +
      llvm::Twine(std::to_string(rtolOption)) + ", --atol " +
      llvm::Twine(std::to_string(atolOption)) + ")");
}

static llvm::Error compareOutputs() {
  auto loaded = loadProgram({"plain"});
  if (!loaded)
    return loaded.takeError();
  auto reference = toExpected(rt::readTensors(referenceOption));
  if (!reference)
    return reference.takeError();
  auto run = Runner::create(*loaded, "plain");
  if (!run)
    return run.takeError();
  auto inputs = toExpected(rt::readTensors(inputsOption));
  if (!inputs)
    return inputs.takeError();
  if (llvm::Error error = (*run)->run(*inputs))
    return error;

  std::vector<Difference> differences;
  rt::Session &session = (*run)->session();
  for (auto [index, decl] : llvm::enumerate(session.entry().outputs)) {
    const rt::Tensor *expected = reference->find("out." + decl.name);
    if (!expected)
      expected = reference->find(decl.name);
    if (!expected && session.entry().outputs.size() == 1 &&
        reference->tensors.size() == 1)
      expected = &reference->tensors.begin()->second;
    if (!expected)
      continue;
    auto difference =
        differenceOf(decl.name, session.output(index), expected->view());
    if (!difference)
      return difference.takeError();
    differences.push_back(*difference);
  }
  if (differences.empty())
    return llvm::createStringError(referenceOption +
                                   ": holds no output of the model");
  return report(differences, "outputs");
}

/// The program that --layers compares with.
static llvm::Expected<LoadedProgram> loadReference() {
  ModelOptions own = options;
  if (!againstOption.empty()) {
    options.model = againstOption;
    options.pipeline.clear();
  } else if (!options.pipeline.empty()) {
    options.pipeline.clear();
  } else {
    options.cpu = "scalar";
  }
  auto loaded = loadProgram({"plain"});
  options = own;
  return loaded;
}

static llvm::Error compareLayers() {
  auto loaded = loadProgram({"plain"});
  if (!loaded)
    return loaded.takeError();
  auto other = loadReference();
  if (!other)
    return other.takeError();
  auto inputs = toExpected(rt::readTensors(inputsOption));
  if (!inputs)
    return inputs.takeError();
  rt::Session::Options keep;
  keep.keepValues = true;
  auto run = Runner::create(*loaded, "plain", keep);
  if (!run)
    return run.takeError();
  auto otherRun = Runner::create(*other, "plain", keep);
  if (!otherRun)
    return otherRun.takeError();
  if (llvm::Error error = (*run)->run(*inputs))
    return error;
  if (llvm::Error error = (*otherRun)->run(*inputs))
    return error;

  std::vector<Difference> differences;
  rt::Session &session = (*run)->session(), &reference = (*otherRun)->session();
  for (const rt::Stage &stage : session.entry().stages) {
    auto match =
        llvm::find_if(reference.entry().stages, [&](const rt::Stage &row) {
          return row.site == stage.site;
        });
    if (match == reference.entry().stages.end())
      continue;
    unsigned outs = std::min(stage.outs.size(), match->outs.size());
    for (unsigned n = 0; n < outs; ++n) {
      std::string name = stage.site + (n ? "#" + std::to_string(n) : "");
      auto difference = differenceOf(name, session.view(stage.outs[n]),
                                     reference.view(match->outs[n]));
      if (!difference)
        return difference.takeError();
      differences.push_back(*difference);
    }
  }
  return report(differences, "layers");
}

llvm::Error cli::runCompare() {
  if (layersOption)
    return compareLayers();
  if (referenceOption.empty())
    return llvm::createStringError("compare wants --reference or --layers");
  return compareOutputs();
}
