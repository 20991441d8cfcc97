//===- StageLowering.h - a function of operations as linalg -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_STAGELOWERING_H
#define LATHE_LIB_LOWER_STAGELOWERING_H

#include "TensorBuilder.h"
#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Lower/WeightPacking.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {

/// The buffers behind a KV handle.
struct CacheBuffers {
  mlir::Value keys, values;
  /// Rows that they hold for whoever reads this handle.
  Poly rows;
};

/// Lowers the operations of one function, in order, at the builder's place.
/// Values are lowered when an operation needs them: a value with a closed form
/// costs nothing until then.
class StageLowering {
public:
  /// `kernels` is where kernel functions go; null: operations are written in
  /// linalg alone.
  StageLowering(mlir::OpBuilder &builder, mlir::func::FuncOp source,
                SymbolicShapes &shapes, mlir::ModuleOp kernels,
                const CpuTarget &target);

  /// Lowers everything but the terminator. Reports each operation that has no
  /// lowering, then fails.
  mlir::LogicalResult run();

  // Bindings of arguments and of what has been lowered.
  void bind(mlir::Value source, Tensor tensor) {
    tensors[source] = std::move(tensor);
  }
  void bindCache(mlir::Value handle, CacheBuffers buffers) {
    caches[handle] = buffers;
  }
  /// A part as kernels read it: a memref in its layout; or, in linalg alone, a
  /// tensor in the logical shape.
  void bindPart(mlir::Value source, mlir::Value packed) {
    parts[source] = packed;
  }

  /// What stands for a value of the source function.
  Tensor get(mlir::Value source);
  CacheBuffers getCache(mlir::Value handle) { return caches.lookup(handle); }
  mlir::Value getPart(mlir::Value source) { return parts.lookup(source); }
  /// A part in linalg alone.
  Tensor partTensor(mlir::Value part);
  /// The shape that the analysis found; null if it is not known.
  std::optional<SymbolicShape> shapeOf(mlir::Value source);

  SymbolicShapes &getShapes() { return shapes; }
  const CpuTarget &getTarget() const { return target; }
  bool usesKernels() const { return bool(kernels); }

  /// The name of the kernel that `key` describes; `emit` adds it to the module
  /// under that name the first time.
  std::string getKernel(
      llvm::StringRef key,
      llvm::function_ref<mlir::LogicalResult(mlir::ModuleOp, llvm::StringRef)>
          emit);
  /// Calls a kernel that makes one tensor.
  Tensor callKernel(llvm::StringRef name, mlir::ValueRange inputs,
                    llvm::ArrayRef<Poly> shape, mlir::Type element);

  /// Builds the body of a kernel: its context, then its arguments; tensors
  /// among them are buffers.
  using KernelFn =
      llvm::function_ref<void(Scalars &, mlir::Value ctx, mlir::ValueRange)>;
  /// Calls a kernel of its own that `fn` builds, with the arguments `inputs`
  /// and then `outputs`; gives what stands for the outputs afterwards. With
  /// `updates` the kernel changes elements of the outputs and keeps others.
  llvm::SmallVector<mlir::Value> callOwnKernel(llvm::StringRef family,
                                               mlir::ValueRange inputs,
                                               mlir::ValueRange outputs,
                                               bool updates, KernelFn fn);
  /// The same with one new tensor as output.
  Tensor loopKernel(llvm::StringRef family, mlir::ValueRange inputs,
                    llvm::ArrayRef<Poly> shape, mlir::Type element,
                    llvm::function_ref<void(Scalars &, mlir::ValueRange)> fn);
  /// The same with a changed copy of `start` as output.
  Tensor updateKernel(llvm::StringRef family, mlir::ValueRange inputs,
                      const Tensor &start,
                      llvm::function_ref<void(Scalars &, mlir::ValueRange)> fn);

  /// The mean over `axes` (ascending), which stay as extents of 1.
  Tensor mean(const Tensor &x, llvm::ArrayRef<int64_t> axes);
  Tensor softmax(const Tensor &x, int64_t axis);
  Tensor logSoftmax(const Tensor &x, int64_t axis);

  // Building blocks that have a kernel; each also exists in linalg.
  Tensor layerNorm(const Tensor &x, mlir::Value gamma, mlir::Value beta,
                   double epsilon, bool isRms);
  Tensor activation(ActivationKind kind, const Tensor &x);
  /// The first `count` elements of a part of rank 1, which is padded.
  Tensor vectorOf(mlir::Value part, Poly count);
  /// x [..., K] times packed panels, of f32 or of bf16 pairs.
  Tensor linear(const Tensor &x, mlir::Value panels, int64_t inputs,
                int64_t outputs, mlir::Value bias,
                llvm::ArrayRef<Tensor> extras, mlir::Region *epilogue,
                bool gated);
  /// [..., M, K] x [..., K, N] with broadcast leading dims.
  /// `transA` and `transB`: the operand's last two dims are swapped.
  Tensor matmul(const Tensor &a, const Tensor &b, bool transA = false,
                bool transB = false);

  TensorBuilder t;

private:
  /// An operand that a kernel reads through an affine map.
  struct StridedOperand {
    mlir::Value value;                           // tensor or buffer
    llvm::SmallVector<mlir::Value, 5> placement; // offset, strides
    bool unitColumns = true;
    mlir::Type element;
  };
  StridedOperand matmulOperand(const Tensor &x, unsigned leading,
                               bool transposed);
  std::optional<StridedOperand> tryStrided(const Tensor &x,
                                           llvm::ArrayRef<Poly> map);
  mlir::FailureOr<StridedOperand> strided(mlir::Operation *op,
                                          mlir::Value source, FormAttr map,
                                          llvm::ArrayRef<Poly> extents);
  mlir::LogicalResult appendRows(mlir::Operation *op, mlir::Value source,
                                 FormAttr map, mlir::Value cache, int64_t heads,
                                 int64_t columns, Poly past, Poly batch,
                                 Poly rows);
  mlir::LogicalResult lower(mlir::Operation *op);
  mlir::LogicalResult lowerNode(OnnxOp op);
  mlir::LogicalResult lowerTyped(mlir::Operation *op);
  mlir::LogicalResult lowerLinear(LinearOp op);
  mlir::Value roundToPairs(const Tensor &rows);
  llvm::SmallVector<Tensor> splitColumns(const Tensor &x, int64_t columns);
  Tensor linearInLinalg(LinearOp op);
  mlir::LogicalResult lowerEmbedding(EmbeddingOp op);
  mlir::LogicalResult lowerNorm(NormOp op);
  mlir::LogicalResult lowerRope(RopeOp op);
  mlir::LogicalResult lowerAttention(AttentionOp op);
  mlir::LogicalResult lowerKvAppend(KvAppendOp op);
  mlir::LogicalResult embedInLinalg(EmbeddingOp op);
  mlir::LogicalResult rotateInLinalg(RopeOp op);
  mlir::LogicalResult attendInLinalg(AttentionOp op);
  mlir::FailureOr<Tensor> readThrough(mlir::Operation *op, mlir::Value source,
                                      FormAttr map,
                                      llvm::ArrayRef<Poly> extents);

  mlir::func::FuncOp source;
  mlir::Block *entry; // of the function that is built
  SymbolicShapes &shapes;
  mlir::ModuleOp kernels;
  CpuTarget target;
  llvm::DenseMap<mlir::Value, Tensor> tensors;
  llvm::DenseMap<mlir::Value, CacheBuffers> caches;
  llvm::DenseMap<mlir::Value, mlir::Value> parts;
  llvm::StringMap<std::string> kernelNames;
  /// What roundToPairs has made of a tensor: linears share their input.
  llvm::DenseMap<mlir::Value, mlir::Value> rounded;
};

/// The rows that `append` adds to its cache; null where they are not known.
Poly appendedRows(SymbolicShapes &shapes, KvAppendOp append);

/// A buffer as `memref<?xT>`, as kernels take it.
mlir::Value flattenBuffer(Scalars &s, mlir::Value buffer);
/// A type as it prints, for keys of kernels.
std::string typeText(mlir::Type type);

} // namespace lathe

#endif // LATHE_LIB_LOWER_STAGELOWERING_H
