//===- KernelHarness.cpp - compile, load and call kernels -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "lathe/Codegen/CPU/Pipeline.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassManager.h"
#include <atomic>
#include <chrono>
#include <immintrin.h>
#include <sys/mman.h>
#include <thread>

using namespace mlir;
using namespace lathe;
using namespace lathe::test;

//===----------------------------------------------------------------------===//
// Compiling
//===----------------------------------------------------------------------===//

void lathe::test::addEntry(func::FuncOp kernel) {
  auto module = kernel->getParentOfType<ModuleOp>();
  MLIRContext *context = module.getContext();
  Location loc = kernel.getLoc();
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto ptr = LLVM::LLVMPointerType::get(context);
  auto entry = func::FuncOp::create(
      builder, loc, "entry", builder.getFunctionType({ptr, ptr, ptr}, {}));
  entry.setArgAttr(0, kCtxAttr, builder.getUnitAttr());
  builder.setInsertionPointToStart(entry.addEntryBlock());

  auto load = [&](Value base, int32_t number, Type type) -> Value {
    Value address = LLVM::GEPOp::create(builder, loc, ptr, type, base,
                                        ArrayRef<LLVM::GEPArg>{number});
    return LLVM::LoadOp::create(builder, loc, type, address);
  };
  int32_t dims = 0;
  auto nextDims = [&](int64_t count) {
    SmallVector<Value> values;
    for (int64_t i = 0; i < count; ++i)
      values.push_back(arith::IndexCastOp::create(
          builder, loc, builder.getIndexType(),
          load(entry.getArgument(2), dims++, builder.getI64Type())));
    return values;
  };

  SmallVector<Value> operands = {entry.getArgument(0)};
  for (auto [number, type] :
       llvm::enumerate(kernel.getArgumentTypes().drop_front())) {
    Value data = load(entry.getArgument(1), number, ptr);
    auto memref = dyn_cast<MemRefType>(type);
    if (type.isIndex()) {
      Value integer =
          LLVM::LoadOp::create(builder, loc, builder.getI64Type(), data);
      operands.push_back(
          arith::IndexCastOp::create(builder, loc, type, integer));
      continue;
    }
    if (!memref) {
      operands.push_back(LLVM::LoadOp::create(builder, loc, type, data));
      continue;
    }
    auto sizes = nextDims(memref.getNumDynamicDims());
    SmallVector<Value> strides;
    if (!memref.getLayout().isIdentity())
      strides = nextDims(llvm::count_if(memref.getStridesAndOffset().first,
                                        ShapedType::isDynamic));
    operands.push_back(buildMemRef(builder, loc, data, memref, sizes, strides));
  }
  func::CallOp::create(builder, loc, kernel, operands);
  func::ReturnOp::create(builder, loc);
}

llvm::Expected<LoadedModule> LoadedModule::load(ModuleOp module,
                                                const CpuTarget &target) {
  PassManager pm(module.getContext());
  buildCpuToLLVMPipeline(pm, target);
  if (failed(pm.run(module)))
    return llvm::createStringError("the pipeline failed");
  auto object = compileToObject(module, target);
  if (!object)
    return object.takeError();

  LoadedModule loaded;
  loaded.objectBytes = (*object)->getBufferSize();
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      (*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  if (llvm::Error error = (*jit)->addObjectFile(std::move(*object)))
    return error;
  auto symbol = (*jit)->lookup("entry");
  if (!symbol)
    return symbol.takeError();
  loaded.entry = symbol->toPtr<EntryFn>();
  loaded.jit = std::move(*jit);
  return loaded;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

static void parallelFor(lathe_ctx *ctx, lathe_body body, void *closure,
                        int64_t n, int64_t grain) {
  // `ctx` is the first field of Pool.
  int threads = reinterpret_cast<Pool *>(ctx)->threads;
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t begin; (begin = next.fetch_add(grain)) < n;)
      body(closure, begin, std::min(n, begin + grain));
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i)
    helpers.emplace_back(work);
  work();
  for (std::thread &helper : helpers)
    helper.join();
}

static void fail(lathe_ctx *ctx, int64_t code, int64_t) {
  reinterpret_cast<Pool *>(ctx)->failure = code;
}

Pool::Pool(int threads) : ctx(), threads(threads) {
  ctx.parallel_for = parallelFor;
  ctx.fail = fail;
}

static constexpr size_t pageBytes = 4096;

Buffer::Buffer(size_t count) : count(count) {
  size_t bytes = count * sizeof(float);
  size_t body = (bytes + pageBytes - 1) / pageBytes * pageBytes;
  mapped = body + 2 * pageBytes;
  mapping = static_cast<char *>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(mapping, pageBytes, PROT_NONE);
  mprotect(mapping + pageBytes + body, pageBytes, PROT_NONE);
  values = reinterpret_cast<float *>(mapping + pageBytes + body - bytes);
}

Buffer::Buffer(Buffer &&other)
    : mapping(other.mapping), mapped(other.mapped), values(other.values),
      count(other.count) {
  other.mapping = nullptr;
}

Buffer::~Buffer() {
  if (mapping)
    munmap(mapping, mapped);
}

void Buffer::fill(uint64_t seed, float scale) {
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
  for (float &value : *this) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = (static_cast<int>(state >> 40) / 8388608.0f - 1.0f) * scale;
  }
}

//===----------------------------------------------------------------------===//
// Measuring
//===----------------------------------------------------------------------===//

double lathe::test::seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

#define REPEAT12(X)                                                            \
  X("0")                                                                       \
  X("1") X("2") X("3") X("4") X("5") X("6") X("7") X("8") X("9") X("10") X("1" \
                                                                           "1")
#define REPEAT24(X)                                                            \
  REPEAT12(X)                                                                  \
  X("12")                                                                      \
  X("13")                                                                      \
  X("14") X("15") X("16") X("17") X("18") X("19") X("20") X("21") X("22")      \
      X("23")

static void multiplyAdd128(int64_t turns) {
#define OP(r) "mulps %%xmm14, %%xmm" r "\n addps %%xmm15, %%xmm" r "\n"
  asm volatile("xorps %%xmm14, %%xmm14\n xorps %%xmm15, %%xmm15\n"
               "1:\n" REPEAT12(OP) "dec %0\n jnz 1b\n"
               : "+r"(turns)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
                 "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                 "xmm14", "xmm15");
#undef OP
}

static void multiplyAdd256(int64_t turns) {
#define OP(r) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" r "\n"
  asm volatile("vzeroall\n"
               "1:\n" REPEAT12(OP) "dec %0\n jnz 1b\n"
               : "+r"(turns)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
                 "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                 "xmm12", "xmm13", "xmm14", "xmm15");
#undef OP
}

static void multiplyAdd512(int64_t turns) {
#define OP(r) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" r "\n"
  asm volatile("vzeroall\n vpxord %%zmm30, %%zmm30, %%zmm30\n"
               "vpxord %%zmm31, %%zmm31, %%zmm31\n"
               "1:\n" REPEAT24(OP) "dec %0\n jnz 1b\n"
               : "+r"(turns)::"cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
                 "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                 "xmm12", "xmm13", "xmm14", "xmm15");
#undef OP
}

double lathe::test::measurePeak(const CpuTarget &target) {
  constexpr int64_t turns = 100000;
  int64_t vectors = target.lanes == 16 ? 24 : 12;
  auto *burst = target.lanes == 16  ? multiplyAdd512
                : target.lanes == 8 ? multiplyAdd256
                                    : multiplyAdd128;
  double best = 0;
  for (int i = 0; i < 8; ++i) {
    double start = seconds();
    burst(turns);
    double flops = 2.0 * turns * vectors * target.lanes;
    best = std::max(best, flops / (seconds() - start) * 1e-9);
  }
  return best;
}

__attribute__((target("avx2"))) double
lathe::test::measureStream(const char *data, size_t bytes) {
  double start = seconds();
  __m256i sums[8] = {};
  for (size_t i = 0; i + 256 <= bytes; i += 256)
    for (int j = 0; j < 8; ++j)
      sums[j] = _mm256_xor_si256(
          sums[j], _mm256_loadu_si256(
                       reinterpret_cast<const __m256i *>(data + i + 32 * j)));
  for (int j = 1; j < 8; ++j)
    sums[0] = _mm256_xor_si256(sums[0], sums[j]);
  asm volatile("" ::"x"(sums[0]));
  return bytes / (seconds() - start) * 1e-9;
}
