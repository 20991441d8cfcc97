//===- PrintKernelPlan.cpp - shows how kernels are cut --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/LinearPlan.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Lower/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {
#define GEN_PASS_DEF_PRINTKERNELPLAN
#include "lathe/Lower/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
class PrintKernelPlan
    : public lathe::impl::PrintKernelPlanBase<PrintKernelPlan> {
public:
  using Base::Base;
  void runOnOperation() override;
};
} // namespace

/// The part of the spec that decides the plan.
static LinearSpec specOf(LinearOp linear) {
  WeightType weight = linear.getWeight().getType();
  LinearSpec spec;
  spec.inputs = weight.getDim(0);
  spec.outputs = linear.getColumns();
  spec.pairs = linear.getActs().has_value();
  spec.gated = linear.getGated();
  return spec;
}

static void printPlan(LinearOp linear, const CpuTarget &target) {
  LinearSpec spec = specOf(linear);
  LinearPlan plan = planLinear(spec, target);
  raw_ostream &os = llvm::outs();
  os << "  ";
  if (SiteAttr site = linear.getSiteAttr())
    os << site.getPath();
  else
    os << "(no site)";
  os << ": " << spec.inputs << "x" << spec.outputs
     << (spec.pairs ? " bf16" : " f32") << (spec.gated ? " gated" : "")
     << ": tile " << plan.getTileRows() << "x" << plan.tileColumns.back()
     << ", fewer rows";
  for (auto [index, columns] :
       llvm::enumerate(ArrayRef<int64_t>(plan.tileColumns).drop_back()))
    os << " " << index + 1 << "x" << columns;
  int64_t blocks = plan.getBlocks(spec.getSteps());
  int64_t terms = plan.blockSteps * (spec.pairs ? 2 : 1);
  os << "; k " << std::min(terms, spec.inputs) << " in " << blocks
     << (blocks == 1 ? " block" : " blocks") << "; unit " << plan.blockRows
     << "x" << kPanelColumns << " of " << spec.getPanels()
     << (spec.getPanels() == 1 ? " panel, " : " panels, ") << plan.grain
     << " at once\n";
}

void PrintKernelPlan::runOnOperation() {
  llvm::Expected<CpuTarget> target = CpuTarget::parse(cpu);
  if (!target) {
    getOperation().emitError(llvm::toString(target.takeError()));
    return signalPassFailure();
  }
  for (func::FuncOp func : getOperation().getOps<func::FuncOp>()) {
    llvm::outs() << "function " << func.getName() << ", " << target->name()
                 << "\n";
    func.walk([&](LinearOp linear) { printPlan(linear, *target); });
  }
  markAllAnalysesPreserved();
}
