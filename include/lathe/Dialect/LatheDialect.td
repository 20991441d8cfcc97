//===- LatheDialect.td - the lathe dialect ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_TD
#define LATHE_DIALECT_TD

include "mlir/IR/DialectBase.td"

def Lathe_Dialect : Dialect {
  let name = "lathe";
  let cppNamespace = "::lathe";
  let summary = "Trained transformers as a compiler sees and compresses them";
  let description = [{
    The dialect has four groups of operations. The *carrier* operation
    `lathe.onnx` holds any ONNX node, so that nothing in a model is ever lost.
    *Structure* operations (`sublayer`, `block`, `streams`) say what may be
    removed. *Transformer* operations (`linear`, `norm`, `attention`, ...) are
    what compression and fast kernels must see. *Weights* live at module level
    (`weight`), written in an encoding, as references to slices of files.

    A model is a `builtin.module` with the attributes `lathe.source` (path of
    the ONNX file), `lathe.opset` (of the default domain) and `lathe.level`
    (`imported`, `raised` or `structure`), and one function per entry:
    `plain` has the ONNX signature; `prefill` and `decode` thread a KV cache.
    Arguments and results of an entry carry `lathe.name` and `lathe.dims`, one
    polynomial text per dim.

    What was done to a model is recorded in further attributes of the module,
    by which profiles know whose they are and compiled folders what is gone:
    * `lathe.source_hash`: 16 hexadecimal digits that say which model it was
      before the first pass, from the types and content hashes of its weights
      and constants, the signature of `plain` and its sub-layers.
    * `lathe.passes`: texts `PASS{options}` of the compression passes that were
      applied, in order.
    * `lathe.removed`: sites of the sub-layers that are gone, in the order in
      which they went.
    * `lathe.report`: rows of passes by site, see Report.md.

    Constraints:
    * (C1) `lathe.source` and `lathe.level` are strings.
    * (C2) `lathe.opset` is an integer.
    * (C3) `lathe.dims` is a list of strings, one per dim of a ranked tensor.
    * (C4) every entry of `lathe.dims` is a number over named dims, and the
      static extent where both are constant.
    * (C5) `lathe.checks` of a function, what must hold when it is called, is a
      list of `[left, relation, right, where]`: two numbers over named dims,
      `==`, `<=` or `divides`, and the node that needs it.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect"];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let hasRegionResultAttrVerify = 1;
  let extraClassDeclaration = [{
    /// Bytes behind every `#lathe.blob` of this context.
    PayloadStore &getPayloads() { return *payloads; }

    static constexpr ::llvm::StringLiteral kNameAttr = "lathe.name";
    static constexpr ::llvm::StringLiteral kDimsAttr = "lathe.dims";
    static constexpr ::llvm::StringLiteral kChecksAttr = "lathe.checks";
    static constexpr ::llvm::StringLiteral kSourceAttr = "lathe.source";
    static constexpr ::llvm::StringLiteral kOpsetAttr = "lathe.opset";
    static constexpr ::llvm::StringLiteral kLevelAttr = "lathe.level";
    /// Provenance of an operation made from ONNX nodes.
    static constexpr ::llvm::StringLiteral kFromAttr = "onnx.from";

  private:
    void registerTypes();
    void registerAttributes();
    std::shared_ptr<PayloadStore> payloads;

  public:
  }];
}

#endif // LATHE_DIALECT_TD
