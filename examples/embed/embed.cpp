//===- embed.cpp - Lathe's passes in another compiler ---------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A compiler that has a module of its own, here `x * sigmoid(x)` as it might
/// come from an importer, and lets Lathe's passes see what it is.
///
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

/// An ONNX node of the default domain at opset 17.
static Value buildNode(OpBuilder &builder, Location loc, StringRef type,
                       ValueRange inputs, Type result) {
  OperationState state(loc, lathe::OnnxOp::getOperationName());
  state.addOperands(inputs);
  state.addTypes(result);
  state.addAttribute("op_type", builder.getStringAttr(type));
  state.addAttribute("opset", builder.getI64IntegerAttr(17));
  return builder.create(state)->getResult(0);
}

/// `func @ffn(x) { return x * sigmoid(x) }` over rows of 64 numbers.
static OwningOpRef<ModuleOp> buildModule(MLIRContext *context) {
  OpBuilder builder(context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder, loc);
  builder.setInsertionPointToEnd(module->getBody());

  Type rows =
      RankedTensorType::get({ShapedType::kDynamic, 64}, builder.getF32Type());
  auto function = func::FuncOp::create(builder, loc, "ffn",
                                       builder.getFunctionType({rows}, {rows}));
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  Value x = body->getArgument(0);
  Value gate = buildNode(builder, loc, "Sigmoid", x, rows);
  Value y = buildNode(builder, loc, "Mul", {x, gate}, rows);
  func::ReturnOp::create(builder, loc, y);
  return module;
}

int main() {
  DialectRegistry registry;
  registry.insert<lathe::LatheDialect, func::FuncDialect>();
  MLIRContext context(registry);
  context.loadAllAvailableDialects();

  OwningOpRef<ModuleOp> module = buildModule(&context);
  PassManager passes(&context);
  passes.addPass(lathe::createRaiseActivation());
  if (failed(verify(*module)) || failed(passes.run(*module)))
    return 1;
  module->print(llvm::outs());
  return 0;
}
