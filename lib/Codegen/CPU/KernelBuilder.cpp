//===- KernelBuilder.cpp - short forms for kernel emitters ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace lathe;

func::FuncOp lathe::createKernel(ModuleOp module, StringRef name,
                                 TypeRange arguments, Location loc) {
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto ptr = LLVM::LLVMPointerType::get(builder.getContext());
  SmallVector<Type> types = {ptr};
  llvm::append_range(types, arguments);
  auto func = func::FuncOp::create(builder, loc, name,
                                   builder.getFunctionType(types, {}));
  func.setPrivate();
  func->setAttr(
      "llvm.linkage",
      LLVM::LinkageAttr::get(builder.getContext(), LLVM::Linkage::Internal));
  func.setArgAttr(0, kCtxAttr, builder.getUnitAttr());
  func.addEntryBlock();
  return func;
}

Value lathe::buildMemRef(OpBuilder &builder, Location loc, Value ptr,
                         MemRefType type, ValueRange sizes, ValueRange strides,
                         Value offset) {
  int64_t rank = type.getRank();
  auto [staticStrides, staticOffset] = type.getStridesAndOffset();

  auto i64 = builder.getI64Type();
  auto constant = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(builder, loc, i64,
                                    builder.getI64IntegerAttr(value));
  };
  auto pick = [&](int64_t fixed, ValueRange &dynamic) -> Value {
    if (!ShapedType::isDynamic(fixed))
      return constant(fixed);
    Value value = dynamic.front();
    dynamic = dynamic.drop_front();
    return arith::IndexCastOp::create(builder, loc, i64, value);
  };
  ValueRange offsets = offset ? ValueRange(offset) : ValueRange();

  SmallVector<Type> fields = {ptr.getType(), ptr.getType(), i64};
  if (rank > 0)
    fields.append(2, LLVM::LLVMArrayType::get(i64, rank));
  auto descriptorType =
      LLVM::LLVMStructType::getLiteral(builder.getContext(), fields);
  Value descriptor = LLVM::PoisonOp::create(builder, loc, descriptorType);
  auto insert = [&](Value value, ArrayRef<int64_t> position) {
    descriptor =
        LLVM::InsertValueOp::create(builder, loc, descriptor, value, position);
  };
  insert(ptr, {0});
  insert(ptr, {1});
  insert(pick(staticOffset, offsets), {2});
  for (int64_t i = 0; i < rank; ++i)
    insert(pick(type.getDimSize(i), sizes), {3, i});

  // The strides of an identity layout follow from sizes that may be dynamic.
  if (type.getLayout().isIdentity()) {
    Value stride = constant(1);
    for (int64_t i = rank - 1; i >= 0; --i) {
      insert(stride, {4, i});
      Value size =
          LLVM::ExtractValueOp::create(builder, loc, descriptor, {3, i});
      stride = LLVM::MulOp::create(builder, loc, stride, size);
    }
  } else {
    for (int64_t i = 0; i < rank; ++i)
      insert(pick(staticStrides[i], strides), {4, i});
  }
  return UnrealizedConversionCastOp::create(builder, loc, type, descriptor)
      .getResult(0);
}

Value lathe::getPointer(OpBuilder &builder, Location loc, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  Value address =
      memref::ExtractAlignedPointerAsIndexOp::create(builder, loc, memref);
  auto [strides, offset] = type.getStridesAndOffset();
  if (offset != 0) {
    auto metadata =
        memref::ExtractStridedMetadataOp::create(builder, loc, memref);
    Value bytes = arith::ConstantIndexOp::create(
        builder, loc, type.getElementTypeBitWidth() / 8);
    Value skipped =
        arith::MulIOp::create(builder, loc, metadata.getOffset(), bytes);
    address = arith::AddIOp::create(builder, loc, address, skipped);
  }
  address =
      arith::IndexCastOp::create(builder, loc, builder.getI64Type(), address);
  return LLVM::IntToPtrOp::create(
      builder, loc, LLVM::LLVMPointerType::get(builder.getContext()), address);
}

KernelBuilder::KernelBuilder(func::FuncOp function, const CpuTarget &target)
    : ImplicitLocOpBuilder(function.getLoc(), function.getContext()),
      function(function), target(target) {
  setInsertionPointToEnd(&function.getBody().front());
}

VectorType KernelBuilder::getVectorType() const {
  return VectorType::get({target.lanes}, Float32Type::get(getContext()));
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value KernelBuilder::constant(TypedAttr value) {
  Value &known = constants[value];
  if (!known) {
    OpBuilder::InsertionGuard guard(*this);
    setInsertionPointToStart(&function.getBody().front());
    known = arith::ConstantOp::create(*this, value);
  }
  return known;
}

Value KernelBuilder::index(int64_t value) {
  return constant(getIndexAttr(value));
}

Value KernelBuilder::scalar(double value) {
  return constant(getF32FloatAttr(static_cast<float>(value)));
}

Value KernelBuilder::splat(double value) {
  return constant(
      DenseElementsAttr::get(getVectorType(), static_cast<float>(value)));
}

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Value KernelBuilder::add(Value lhs, Value rhs) {
  if (matchPattern(lhs, m_Zero()))
    return rhs;
  if (matchPattern(rhs, m_Zero()))
    return lhs;
  return arith::AddIOp::create(*this, lhs, rhs);
}

Value KernelBuilder::add(Value lhs, int64_t rhs) {
  return rhs == 0 ? lhs : add(lhs, index(rhs));
}

Value KernelBuilder::sub(Value lhs, Value rhs) {
  return arith::SubIOp::create(*this, lhs, rhs);
}

Value KernelBuilder::mul(Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs : mul(lhs, index(rhs));
}

Value KernelBuilder::mul(Value lhs, Value rhs) {
  return arith::MulIOp::create(*this, lhs, rhs);
}

Value KernelBuilder::divFloor(Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs : arith::DivUIOp::create(*this, lhs, index(rhs));
}

Value KernelBuilder::divCeil(Value lhs, int64_t rhs) {
  return divFloor(add(lhs, rhs - 1), rhs);
}

Value KernelBuilder::rem(Value lhs, int64_t rhs) {
  return arith::RemUIOp::create(*this, lhs, index(rhs));
}

Value KernelBuilder::minIndex(Value lhs, Value rhs) {
  return arith::MinUIOp::create(*this, lhs, rhs);
}

Value KernelBuilder::dim(Value memref, int64_t axis) {
  auto type = cast<MemRefType>(memref.getType());
  if (!type.isDynamicDim(axis))
    return index(type.getDimSize(axis));
  return memref::DimOp::create(*this, memref, index(axis));
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

Value KernelBuilder::broadcast(Value scalar) {
  auto type = VectorType::get({target.lanes}, scalar.getType());
  return vector::BroadcastOp::create(*this, type, scalar);
}

Value KernelBuilder::fma(Value a, Value b, Value c) {
  if (target.hasFma)
    return math::FmaOp::create(*this, a, b, c);
  return arith::AddFOp::create(*this, arith::MulFOp::create(*this, a, b), c);
}

// arith.maximumf and maxnumf promise more about NaN than maxps does, and cost
// two more instructions for it.
Value KernelBuilder::max(Value lhs, Value rhs) {
  Value greater =
      arith::CmpFOp::create(*this, arith::CmpFPredicate::OGT, lhs, rhs);
  return arith::SelectOp::create(*this, greater, lhs, rhs);
}

Value KernelBuilder::min(Value lhs, Value rhs) {
  Value less =
      arith::CmpFOp::create(*this, arith::CmpFPredicate::OLT, lhs, rhs);
  return arith::SelectOp::create(*this, less, lhs, rhs);
}

Value KernelBuilder::reduceAdd(Value vector) {
  return vector::ReductionOp::create(*this, vector::CombiningKind::ADD, vector,
                                     arith::FastMathFlags::reassoc);
}

Value KernelBuilder::reduceMax(Value vector) {
  return vector::ReductionOp::create(*this, vector::CombiningKind::MAXNUMF,
                                     vector, arith::FastMathFlags::nnan);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value KernelBuilder::load(Value memref, ValueRange indices) {
  return vector::LoadOp::create(*this, getVectorType(), memref, indices);
}

void KernelBuilder::store(Value vector, Value memref, ValueRange indices) {
  vector::StoreOp::create(*this, vector, memref, indices);
}

Value KernelBuilder::load(Value memref, ValueRange indices, Value mask,
                          Value padding) {
  if (!mask)
    return load(memref, indices);
  if (!padding)
    padding = splat(0.0);
  return vector::MaskedLoadOp::create(*this, getVectorType(), memref, indices,
                                      mask, padding);
}

void KernelBuilder::store(Value vector, Value memref, ValueRange indices,
                          Value mask) {
  if (!mask)
    return store(vector, memref, indices);
  vector::MaskedStoreOp::create(*this, memref, indices, mask, vector);
}

Value KernelBuilder::loadScalar(Value memref, ValueRange indices) {
  return memref::LoadOp::create(*this, memref, indices);
}

void KernelBuilder::storeScalar(Value value, Value memref, ValueRange indices) {
  memref::StoreOp::create(*this, value, memref, indices);
}

Value KernelBuilder::firstLanes(int64_t count) {
  auto type = VectorType::get({target.lanes}, getI1Type());
  SmallVector<bool> lanes(target.lanes);
  std::fill_n(lanes.begin(), std::min(count, target.lanes), true);
  return constant(DenseElementsAttr::get(type, lanes));
}

Value KernelBuilder::firstLanes(Value count) {
  auto type = VectorType::get({target.lanes}, getI1Type());
  return vector::CreateMaskOp::create(*this, type, ValueRange{count});
}

Value KernelBuilder::stack(ArrayRef<int64_t> shape) {
  return memref::AllocaOp::create(*this, MemRefType::get(shape, getF32Type()),
                                  getI64IntegerAttr(64));
}

void KernelBuilder::prefetch(Value ptr, Value bytes, bool write, int locality) {
  // Not memref.prefetch: its address is computed like a load's, which says
  // that it is inside the buffer.
  Value offset = arith::IndexCastOp::create(*this, getI64Type(), bytes);
  Value address = LLVM::GEPOp::create(*this, ptr.getType(), getI8Type(), ptr,
                                      ArrayRef<LLVM::GEPArg>{offset});
  LLVM::Prefetch::create(*this, address, write ? 1 : 0, locality, 1);
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void KernelBuilder::forRange(Value lower, Value upper, int64_t step,
                             Body body) {
  auto loop = scf::ForOp::create(*this, lower, upper, index(step));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

SmallVector<Value> KernelBuilder::forRange(Value lower, Value upper,
                                           int64_t step, ValueRange inits,
                                           ReduceBody body) {
  auto loop = scf::ForOp::create(*this, lower, upper, index(step), inits);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  auto results = body(loop.getInductionVar(), loop.getRegionIterArgs());
  // With inits the builder of scf.for leaves the terminator to its caller.
  if (!inits.empty())
    scf::YieldOp::create(*this, results);
  return llvm::to_vector_of<Value>(loop.getResults());
}

void KernelBuilder::forall(ArrayRef<Value> counts, int64_t grain,
                           function_ref<void(ValueRange)> body) {
  SmallVector<OpFoldResult> bounds(counts.begin(), counts.end());
  auto loop = scf::ForallOp::create(*this, bounds, ValueRange(), std::nullopt);
  if (grain > 1)
    loop->setAttr(kGrainAttr, getI64IntegerAttr(grain));
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVars());
}

void KernelBuilder::ifThen(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&branch.getThenRegion().front());
  body();
}

void KernelBuilder::ifElse(Value condition, function_ref<void()> body,
                           function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(*this, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&branch.getThenRegion().front());
  body();
  setInsertionPointToStart(&branch.getElseRegion().front());
  otherwise();
}

void KernelBuilder::switchOf(Value value, int64_t first, int64_t last,
                             function_ref<void(int64_t)> body) {
  auto cases = llvm::to_vector(llvm::seq<int64_t>(first, last));
  auto op = scf::IndexSwitchOp::create(*this, TypeRange(), value, cases,
                                       cases.size());
  OpBuilder::InsertionGuard guard(*this);
  auto fill = [&](Region &region, int64_t number) {
    setInsertionPointToStart(&region.emplaceBlock());
    body(number);
    scf::YieldOp::create(*this);
  };
  for (auto [region, number] : llvm::zip_equal(op.getCaseRegions(), cases))
    fill(region, number);
  fill(op.getDefaultRegion(), last);
}

void KernelBuilder::finish() { func::ReturnOp::create(*this); }
