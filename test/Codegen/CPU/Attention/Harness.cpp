//===- Harness.cpp - compiles and calls single kernels --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <cmath>
#include <sys/mman.h>
#include <unistd.h>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

GuardedBuffer::GuardedBuffer(size_t bytes, bool atStart, size_t alignment)
    : bytes(bytes) {
  size_t page = sysconf(_SC_PAGESIZE);
  size_t inner = llvm::alignTo(std::max<size_t>(bytes, 1), page);
  mapped = inner + 2 * page;
  pages = static_cast<char *>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(pages, page, PROT_NONE);
  mprotect(pages + page + inner, page, PROT_NONE);
  size_t slack = atStart ? 0 : (inner - bytes) / alignment * alignment;
  data = pages + page + slack;
  poison();
}

GuardedBuffer::~GuardedBuffer() { munmap(pages, mapped); }

//===----------------------------------------------------------------------===//
// Compiled kernels
//===----------------------------------------------------------------------===//

std::string CompiledKernel::dumpPrefix;

static void dump(const std::string &suffix,
                 llvm::function_ref<void(llvm::raw_ostream &)> write) {
  if (CompiledKernel::dumpPrefix.empty())
    return;
  std::error_code error;
  llvm::raw_fd_ostream stream(CompiledKernel::dumpPrefix + suffix, error);
  if (!error)
    write(stream);
}

static LoadedModule compile(const CpuTarget &target,
                            CompiledKernel::Emit emit) {
  DialectRegistry registry;
  registerCpuCodegenDialects(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.loadAllAvailableDialects();
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  func::FuncOp kernel = emit(*module);
  std::string name = "." + kernel.getName().str();
  addEntry(kernel);
  dump(name + ".mlir", [&](llvm::raw_ostream &stream) { stream << *module; });
  auto loaded = LoadedModule::load(*module, target);
  dump(name + ".llvm.mlir",
       [&](llvm::raw_ostream &stream) { stream << *module; });
  if (!loaded) {
    llvm::errs() << "error: " << llvm::toString(loaded.takeError()) << "\n";
    exit(1);
  }
  return std::move(*loaded);
}

CompiledKernel::CompiledKernel(const CpuTarget &target, Emit emit)
    : module(compile(target, emit)) {}

void CompiledKernel::call(Pool &pool, ArrayRef<Argument> arguments) const {
  SmallVector<void *> slots;
  SmallVector<int64_t> dims;
  for (const Argument &argument : arguments) {
    if (!argument.isBuffer) {
      slots.push_back(const_cast<int64_t *>(&argument.first));
      continue;
    }
    slots.push_back(reinterpret_cast<void *>(argument.first));
    dims.push_back(argument.elements);
  }
  module.entry(&pool.ctx, slots.data(), dims.data());
}

static func::FuncOp emitSize(ModuleOp module, ScratchSize::Emit emit) {
  auto index = IndexType::get(module.getContext());
  auto i64 = IntegerType::get(module.getContext(), 64);
  auto buffer = MemRefType::get({1}, i64);
  auto function = createKernel(module, "size", {index, index, index, buffer},
                               module.getLoc());
  auto builder = OpBuilder::atBlockEnd(&function.getBody().front());
  Location loc = module.getLoc();
  Value size = emit(builder, loc, function.getArguments().slice(1, 3));
  Value zero = arith::ConstantIndexOp::create(builder, loc, 0);
  memref::StoreOp::create(builder, loc,
                          arith::IndexCastOp::create(builder, loc, i64, size),
                          function.getArgument(4), zero);
  func::ReturnOp::create(builder, loc);
  return function;
}

ScratchSize::ScratchSize(const CpuTarget &target, Emit emit)
    : kernel(target, [&](ModuleOp module) { return emitSize(module, emit); }) {}

int64_t ScratchSize::get(int64_t x, int64_t y, int64_t z) const {
  Pool pool(1);
  int64_t size = 0;
  Argument result(&size, 0);
  SmallVector<Argument> arguments = {x, y, z, result};
  kernel.call(pool, arguments);
  return size;
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

void Report::compare(const std::string &what, const float *actual,
                     const double *expected, size_t count, double tolerance) {
  ++checks;
  double largest = 1e-30, error = 0.0;
  size_t where = 0;
  for (size_t i = 0; i < count; ++i)
    if (std::isfinite(expected[i]))
      largest = std::max(largest, std::fabs(expected[i]));
  for (size_t i = 0; i < count; ++i) {
    bool sameKind = std::isnan(actual[i]) == std::isnan(expected[i]);
    double difference = std::isnan(expected[i])
                            ? 0.0
                            : std::fabs(actual[i] - expected[i]) / largest;
    if (!sameKind)
      difference = 1e30;
    if (difference > error) {
      error = difference;
      where = i;
    }
  }
  if (error <= tolerance) {
    // Looser checks say nothing about rounding.
    if (tolerance < 1e-5)
      worst = std::max(worst, error);
    return;
  }
  if (++failures <= 20)
    llvm::errs() << "FAIL " << what << ": error " << error << " at element "
                 << where << " (" << actual[where] << ", expected "
                 << expected[where] << ")\n";
}

void Report::check(const std::string &what, bool holds) {
  ++checks;
  if (holds)
    return;
  if (++failures <= 20)
    llvm::errs() << "FAIL " << what << "\n";
}

bool Report::finish(const char *title) const {
  llvm::outs() << title << ": " << checks << " checks, " << failures
               << " failed, worst error " << llvm::formatv("{0:e2}", worst)
               << "\n";
  llvm::outs().flush();
  return failures == 0;
}
