//===- BufferizeKernel.cpp - lathe.kernel on buffers ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// After bufferization a kernel is a call that gets its buffers as arguments.
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/BufferizeKernel.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Lower/StagePipeline.h"
#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace lathe;
using namespace mlir::bufferization;

/// The context argument of the function around `op`; null without one.
static Value contextOf(Operation *op) {
  auto function = op->getParentOfType<func::FuncOp>();
  for (BlockArgument arg : function.getArguments())
    if (function.getArgAttr(arg.getArgNumber(), kCtxAttr))
      return arg;
  return {};
}

/// `buffer` as the type that the kernel takes: a cast where the types say the
/// same, else a contiguous copy.
static FailureOr<Value> toArgument(RewriterBase &rewriter, Operation *op,
                                   Value buffer, Type wanted) {
  auto type = dyn_cast<MemRefType>(buffer.getType());
  auto target = dyn_cast<MemRefType>(wanted);
  if (!type || !target || type == target)
    return buffer;
  if (memref::CastOp::areCastCompatible(type, target))
    return memref::CastOp::create(rewriter, op->getLoc(), target, buffer)
        .getResult();
  return op->emitError("has a buffer of type ")
         << type << " where the kernel takes " << target;
}

namespace {

struct KernelModel
    : DstBufferizableOpInterfaceExternalModel<KernelModel, KernelOp> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    auto kernel = cast<KernelOp>(op);
    // An output is written whole unless the kernel updates it.
    return !kernel.isDpsInit(&operand) || kernel.getUpdates();
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    auto kernel = cast<KernelOp>(op);
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        op, kernel.getCalleeAttr());
    if (!callee)
      return op->emitError("calls the unknown kernel ") << kernel.getCallee();
    Value context = contextOf(op);
    if (!context)
      return op->emitError("needs a context argument in its function");
    if (callee.getNumArguments() != op->getNumOperands() + 1)
      return op->emitError("passes ")
             << op->getNumOperands() << " operands to a kernel that takes "
             << callee.getNumArguments() - 1;

    rewriter.setInsertionPoint(op);
    SmallVector<Value> args{context};
    SmallVector<Value> outputs;
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      bool isOutputTensor =
          kernel.isDpsInit(&operand) && isa<TensorType>(value.getType());
      if (isa<TensorType>(value.getType())) {
        FailureOr<Value> buffer = getBuffer(rewriter, value, options, state);
        if (failed(buffer))
          return failure();
        value = *buffer;
      }
      if (isOutputTensor)
        outputs.push_back(value);
      FailureOr<Value> argument = toArgument(
          rewriter, op, value, callee.getArgumentTypes()[args.size()]);
      if (failed(argument))
        return failure();
      args.push_back(*argument);
    }
    func::CallOp::create(rewriter, op->getLoc(), callee, args);
    replaceOpWithBufferizedValues(rewriter, op, outputs);
    return success();
  }
};

} // namespace

void lathe::registerKernelBufferization(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, LatheDialect *) {
    KernelOp::attachInterface<KernelModel>(*context);
  });
}
