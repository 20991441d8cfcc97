//===- Calibration.cpp - what passes want measured ------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/Calibration.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace lathe;

static llvm::StringMap<MakeRequest> &requests() {
  static llvm::StringMap<MakeRequest> map;
  return map;
}

void lathe::registerCalibration(llvm::StringRef passArgument,
                                MakeRequest make) {
  requests()[passArgument] = std::move(make);
}

/// Arguments of the passes that want something measured, for messages.
static std::string knownPasses() {
  std::vector<std::string> names;
  for (const auto &entry : requests())
    names.push_back(entry.getKey().str());
  llvm::sort(names);
  return llvm::join(names, ", ");
}

llvm::Expected<std::vector<std::unique_ptr<CalibrationRequest>>>
lathe::parseCalibration(llvm::StringRef pipeline, mlir::MLIRContext *context,
                        std::vector<std::string> &names) {
  mlir::PassManager manager(context, mlir::ModuleOp::getOperationName());
  std::string problem;
  llvm::raw_string_ostream errors(problem);
  if (failed(mlir::parsePassPipeline(pipeline, manager, errors)))
    return llvm::createStringError("--for: " + problem);
  std::vector<std::unique_ptr<CalibrationRequest>> result;
  for (mlir::Pass &pass : manager.getPasses()) {
    auto make = requests().find(pass.getArgument());
    if (make == requests().end())
      return llvm::createStringError("--for: '" + pass.getArgument() +
                                     "' wants nothing measured; " +
                                     knownPasses() + " do");
    auto request = make->second(pass);
    if (!request)
      return llvm::createStringError("--for: " + pass.getArgument() + ": " +
                                     llvm::toString(request.takeError()));
    result.push_back(std::move(*request));
    names.push_back(pass.getArgument().str());
  }
  if (result.empty())
    return llvm::createStringError("--for names no pass");
  return std::move(result);
}
