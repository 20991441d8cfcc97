//===- ModelHeader.cpp - prints the C header of a manifest ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   lathe-rt-modelheader-test model.json   prints model.h
//   lathe-rt-modelheader-test --odd        prints that of a manifest whose
//                                          names are no C identifiers
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/ModelHeader.h"
#include "Check.h"
#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/File.h"

using namespace lathe::rt;

static Manifest oddManifest() {
  Manifest manifest;
  manifest.abi = LATHE_ABI_VERSION;
  manifest.source = "9 */ \"x\"?\?/\n.onnx";
  Entry entry;
  entry.name = "int";
  entry.dims = {"int", "a-b", "a_b"};
  Expr size =
      Expr::op(Expr::Kind::Max,
               {1,
                Expr::op(Expr::Kind::FloorDiv,
                         {Expr::op(Expr::Kind::Mul, {4, Expr::dim("a-b")}), 3}),
                Expr::op(Expr::Kind::Mod, {Expr::dim("a_b"), -2}),
                Expr::op(Expr::Kind::Min, {Expr::dim("int"), INT64_MAX})});
  ValueDecl scalar;
  scalar.name = "/model/*for*/";
  entry.inputs.push_back(scalar);
  ValueDecl other = scalar;
  other.name = "_model__for__";
  other.dtype = DType::BF16;
  other.shape = {size, 2};
  entry.inputs.push_back(other);
  manifest.entries.push_back(entry);
  return manifest;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  std::string path = argv[1];
  Manifest manifest =
      path == "--odd"
          ? oddManifest()
          : take(parseManifest(take(readFile(path, 1 << 20)), path));
  checkOk(verifyManifest(manifest));
  std::fputs(writeModelHeader(manifest).c_str(), stdout);
  return 0;
}
