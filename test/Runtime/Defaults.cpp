//===- Defaults.cpp - tests of inputs that are left out -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Defaults.h"
#include "Check.h"
#include "lathe/Runtime/Runner.h"

using namespace lathe::rt;

using Notes = std::vector<std::string>;

static Expr sum(const char *a, const char *b) {
  return Expr::op(Expr::Kind::Add, {Expr::dim(a), Expr::dim(b)});
}

static ValueDecl input(const char *name, DType dtype, std::vector<Expr> shape) {
  ValueDecl decl;
  decl.name = name;
  decl.dtype = dtype;
  decl.shape = std::move(shape);
  return decl;
}

/// A decoder with everything that has a default.
static Entry decoderEntry() {
  Entry entry;
  entry.name = "plain";
  entry.dims = {"b", "p", "s"};
  entry.roles = {"b", "s", "p", "", ""};
  entry.aliases = {{"total", sum("p", "s")}};
  Expr b = Expr::dim("b"), p = Expr::dim("p"), s = Expr::dim("s");
  entry.inputs = {input("attention_mask", DType::I64, {b, sum("p", "s")}),
                  input("position_ids", DType::I32, {b, s}),
                  input("token_type_ids", DType::I64, {b, s}),
                  input("past.0.key", DType::F32, {b, 2, p, 4}),
                  input("past.0.value", DType::F32, {b, 2, p, 4}),
                  input("input_ids", DType::I64, {b, s})};
  return entry;
}

static Tensor zeros(DType dtype, std::vector<int64_t> shape) {
  return take(Tensor::zeros(dtype, std::move(shape)));
}

static void testAll() {
  Entry entry = decoderEntry();
  TensorMap inputs;
  Notes notes;
  inputs.tensors["in.input_ids"] = zeros(DType::I64, {2, 3});
  checkOk(completeInputs(entry, {}, inputs, notes));
  CHECK(notes == Notes({"left out: past.0.key, past.0.value: empty",
                        "input 'attention_mask' left out: ones [2, 3]",
                        "input 'position_ids' left out: counted from 0",
                        "input 'token_type_ids' left out: zeros [2, 3]"}));
  const Tensor *positions = inputs.find("position_ids");
  CHECK(positions->dtype() == DType::I32);
  for (int i = 0; i < 6; ++i) {
    CHECK(positions->as<int32_t>()[i] == i % 3);
    CHECK(inputs.find("attention_mask")->as<int64_t>()[i] == 1);
    CHECK(inputs.find("token_type_ids")->as<int64_t>()[i] == 0);
  }
  CHECK(inputs.find("past.0.key")->shape() ==
        std::vector<int64_t>({2, 2, 0, 4}));
}

/// A past that is given moves positions on.
static void testPast() {
  Entry entry = decoderEntry();
  TensorMap inputs;
  Notes notes;
  inputs.tensors["input_ids"] = zeros(DType::I64, {1, 2});
  inputs.tensors["past.0.key"] = zeros(DType::F32, {1, 2, 5, 4});
  TensorMap half = inputs;
  checkFails(completeInputs(entry, {}, half, notes),
             "input is missing: past.0.value");
  inputs.tensors["past.0.value"] = zeros(DType::F32, {1, 2, 5, 4});
  checkOk(completeInputs(entry, {}, inputs, notes));
  CHECK(inputs.find("position_ids")->as<int32_t>()[1] == 6);
  CHECK(inputs.find("attention_mask")->shape()[1] == 7);

  // A mask that says there is a past, but none is given.
  TensorMap lying;
  lying.tensors["input_ids"] = zeros(DType::I64, {1, 2});
  lying.tensors["attention_mask"] = zeros(DType::I64, {1, 6});
  checkFails(completeInputs(entry, {}, lying, notes),
             "input 'past.0.key' is missing, and the other inputs or dims "
             "leave 4 earlier positions for it");
  lying.tensors["attention_mask"] = zeros(DType::I64, {1, 1});
  checkFails(completeInputs(entry, {}, lying, notes),
             "input 'attention_mask': axis 1 is 1, but the model has p + s");
}

static void testDims() {
  Entry entry = decoderEntry();
  TensorMap none;
  Notes notes;
  checkFails(completeInputs(entry, {}, none, notes),
             "input is missing: input_ids");
  InputOptions sample;
  sample.sample = true;
  checkFails(completeInputs(entry, sample, none, notes),
             "nothing decides the dims s; set them, as in --dim s=8");
  // The derived name decides s, since the past is empty.
  sample.dims = {{"total", 8}};
  notes.clear();
  checkOk(completeInputs(entry, sample, none, notes));
  CHECK(notes[0] == "dim 'b' is not set: 1");
  CHECK(none.find("input_ids")->shape() == std::vector<int64_t>({1, 8}));
  CHECK(none.find("input_ids")->as<int64_t>()[7] == 1);

  // Made-up pasts for timing.
  sample.dims = {{"p", 3}, {"s", 1}, {"b", 2}};
  TensorMap made;
  checkOk(completeInputs(entry, sample, made, notes));
  const Tensor *key = made.find("past.0.key");
  CHECK(key->shape() == std::vector<int64_t>({2, 2, 3, 4}));
  for (int64_t i = 0; i < key->elements(); ++i)
    CHECK(key->as<float>()[i] >= -1 && key->as<float>()[i] <= 1 &&
          key->as<float>()[i] != 0);
  CHECK(made.find("position_ids")->as<int32_t>()[0] == 3);

  // Shapes by input.
  InputOptions shapes;
  shapes.sample = true;
  shapes.shapes = {{"input_ids", {4, 6}}};
  TensorMap shaped;
  checkOk(completeInputs(entry, shapes, shaped, notes));
  CHECK(shaped.find("attention_mask")->shape() == std::vector<int64_t>({4, 6}));
  shapes.shapes = {{"ids", {4, 6}}};
  checkFails(completeInputs(entry, shapes, shaped, notes),
             "there is no input 'ids'");
}

/// Without roles: what only past inputs have is the past.
static void testNoRoles() {
  Entry entry = decoderEntry();
  entry.roles = {};
  TensorMap inputs;
  Notes notes;
  inputs.tensors["input_ids"] = zeros(DType::I64, {2, 3});
  checkOk(completeInputs(entry, {}, inputs, notes));
  CHECK(inputs.find("past.0.key")->shape()[2] == 0);
}

/// The same memory serves the next call, whatever the last one was.
static void testAgain() {
  Entry entry = decoderEntry();
  InputCompleter completer = take(InputCompleter::create(entry));
  int64_t ids[6] = {}, shape[] = {2, 3};
  std::vector<std::optional<TensorView>> given(entry.inputs.size());
  checkFails(completer.complete(given, {}), "input is missing: input_ids");
  given[5] = TensorView{DType::I64, shape, 2, ids};
  checkOk(completer.complete(given, {}));
  const std::vector<TensorView> first = completer.views();
  CHECK(first[5].data == ids && first[0].shape[1] == 3);

  shape[1] = 2;
  checkOk(completer.complete(given, {}));
  const std::vector<TensorView> &second = completer.views();
  const auto *positions = static_cast<const int32_t *>(second[1].data);
  CHECK(second[0].shape[1] == 2 && second[1].elements() == 4);
  for (int i = 0; i < 4; ++i) {
    CHECK(positions[i] == i % 2);
    CHECK(static_cast<const int64_t *>(second[0].data)[i] == 1);
  }
  for (unsigned i = 0; i < 5; ++i)
    CHECK(second[i].data == first[i].data);
}

static void testTestFiles() {
  Entry entry = decoderEntry();
  TensorMap inputs;
  inputs.tensors["input_5"] = zeros(DType::I64, {1, 2});
  inputs.tensors["input_0"] = zeros(DType::I64, {1, 9});
  inputs.tensors["in.attention_mask"] = zeros(DType::I64, {1, 2});
  nameTestInputs(entry, inputs);
  CHECK(inputs.find("input_ids")->shape()[1] == 2);
  CHECK(inputs.find("attention_mask")->shape()[1] == 2);
}

static void testArguments() {
  CHECK(take(parseDims("batch=1,a.b=20")) ==
        DimValues({{"batch", 1}, {"a.b", 20}}));
  for (const char *bad : {"", "a", "=1", "a=", "a=1,", "a=-1", "a=1x", "a= 1",
                          "a=99999999999999999999"})
    CHECK(parseDims(bad).failed());
  auto shapes = take(parseShapes("image=1x3x64,mask=7"));
  CHECK(shapes.size() == 2 && shapes[0].second[2] == 64 &&
        shapes[1].second == std::vector<int64_t>({7}));
  CHECK(parseShapes("image=1x").failed() && parseShapes("1x2").failed());
  CHECK(take(parseTokens("1,22")) == std::vector<int64_t>({1, 22}));
  CHECK(parseTokens("1,,2").failed() && parseTokens("-1").failed());
  CHECK(take(parseInteger("-9223372036854775808", INT64_MIN, 0, "x")) ==
        INT64_MIN);
  CHECK(parseInteger("9223372036854775808", 0, INT64_MAX, "x").failed());
  CHECK(percentile({3, 1, 2}, 50) == 2 && percentile({3, 1, 2}, 10) == 1 &&
        percentile({3, 1, 2}, 90) == 3 && percentile({}, 50) == 0);
}

int main() {
  testAll();
  testPast();
  testDims();
  testNoRoles();
  testAgain();
  testTestFiles();
  testArguments();
  return 0;
}
