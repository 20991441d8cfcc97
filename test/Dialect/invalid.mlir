// RUN: lathe-opt %s --split-input-file --verify-diagnostics

// One failing case for every numbered constraint of the dialect, in the order
// of the TableGen files.

// Dialect (C1)
// expected-error @below {{'lathe.source' must be a string}}
module attributes {lathe.source = 3 : i64} {}

// -----

// Dialect (C1)
// expected-error @below {{'lathe.level' must be a string}}
module attributes {lathe.level = 3 : i64} {}

// -----

// The record of a module
// expected-error @below {{'lathe.source_hash' must be a string}}
module attributes {lathe.source_hash = 3 : i64} {}

// -----

// The record of a module
// expected-error @below {{'lathe.passes' must be a list of strings}}
module attributes {lathe.passes = "lathe-finercut"} {}

// -----

// The record of a module
// expected-error @below {{'lathe.removed' must be a list of sites}}
module attributes {lathe.removed = ["blocks.0.attn"]} {}

// -----

// Dialect (C2)
// expected-error @below {{'lathe.opset' must be an integer}}
module attributes {lathe.opset = "17"} {}

// -----

// Dialect (C3)
// expected-error @below {{'lathe.dims' must be a list of strings}}
func.func private @dims(tensor<?xf32> {lathe.dims = [1]})

// -----

// Dialect (C3)
// expected-error @below {{'lathe.dims' must have one entry per dim of 'tensor<?xf32>'}}
func.func private @dims(tensor<?xf32> {lathe.dims = ["batch", "seq"]})

// -----

// Dialect (C3), on a result
// expected-error @below {{'lathe.dims' must have one entry per dim of 'f32'}}
func.func private @dims() -> (f32 {lathe.dims = ["batch"]})

// -----

// Dialect (C4)
// expected-error @below {{the extent 'i0' must be a number over named dims}}
func.func private @dims(tensor<?xf32> {lathe.dims = ["i0"]})

// -----

// Dialect (C4)
// expected-error @below {{the extent '3' is 4 in the type}}
func.func private @dims(tensor<4xf32> {lathe.dims = ["3"]})

// -----

// Dialect (C4)
// expected-error @below {{the extent 'past +': column 7: expected a term}}
func.func private @dims(tensor<?xf32> {lathe.dims = ["past +"]})

// -----

// Dialect (C5)
// expected-error @below {{'lathe.checks' must be a list of [left, relation, right, where]}}
func.func private @checks() attributes {lathe.checks = [["seq", "<=", "512"]]}

// -----

// Dialect (C5)
// expected-error @below {{'lathe.checks' has the unknown relation '<'}}
func.func private @checks() attributes {lathe.checks = [["seq", "<", "512", "node (Slice)"]]}

// -----

// Dialect (C5)
// expected-error @below {{the extent 'i0' must be a number over named dims}}
func.func private @checks() attributes {lathe.checks = [["seq", "<=", "i0", "node (Slice)"]]}

// -----

// Payload (C1)
// expected-error @below {{a blob needs the path of its file}}
module attributes {a = #lathe.blob<"", 0, 4, "0f1e2d3c4b5a6978">} {}

// -----

// Payload (C2)
// expected-error @below {{offset and size of a blob must not be negative}}
module attributes {a = #lathe.blob<"m", -1, 4, "0f1e2d3c4b5a6978">} {}

// -----

// Payload (C3)
// expected-error @below {{the hash of a blob is 16 hexadecimal digits}}
module attributes {a = #lathe.blob<"m", 0, 4, "0f1e2d3c4b5a697g">} {}

// -----

// Dense (C1)
// expected-error @below {{a dense encoding holds f64, f32, f16 or bf16, not 'i8'}}
module attributes {a = #lathe.dense<i8>} {}

// -----

// Dense (C2)
// expected-error @below {{only a weight of rank 2 can be transposed}}
module attributes {a = !lathe.weight<8xf32, #lathe.dense<f32, transposed>>} {}

// -----

// Concat (C1)
// expected-error @below {{a concat has one size per encoding}}
module attributes {a = #lathe.concat<0, [#lathe.dense<f32>], [1, 2]>} {}

// -----

// Concat (C2)
// expected-error @below {{a concat is made of encodings}}
module attributes {a = #lathe.concat<0, ["dense"], [1]>} {}

// -----

// Concat (C3)
// expected-error @below {{the sizes of a concat must be positive}}
module attributes {a = #lathe.concat<0, [#lathe.dense<f32>], [0]>} {}

// -----

// Concat (C3)
// expected-error @below {{must add up to the extent of its axis}}
module attributes {a = !lathe.weight<8xf32, #lathe.concat<0, [#lathe.dense<f32>], [7]>>} {}

// -----

// Concat (C3)
// expected-error @below {{the axis of a concat must not be negative}}
module attributes {a = #lathe.concat<-1, [#lathe.dense<f32>], [1]>} {}

// -----

// Site (C1)
// expected-error @below {{'blocks.0.a b' is not a dotted path of names}}
module attributes {a = #lathe.site<"blocks.0.a b">} {}

// -----

// Site (C2)
// expected-error @below {{'blocks.ffn' needs the block's index}}
module attributes {a = #lathe.site<"blocks.ffn">} {}

// -----

// Form (C1)
// expected-error @below {{column 5: expected a term}}
module attributes {a = #lathe.form<"i0 +">} {}

// -----

// Weight type (C1)
// expected-error @below {{the extents of a weight must be positive}}
module attributes {a = !lathe.weight<0x4xf32, #lathe.dense<f32>>} {}

// -----

// Weight type (C2)
// expected-error @below {{the element type of a weight must be a float, not 'i32'}}
module attributes {a = !lathe.weight<4xi32, #lathe.dense<f32>>} {}

// -----

// Weight type (C3)
// expected-error @below {{"dense" is not an encoding}}
module attributes {a = !lathe.weight<4xf32, "dense">} {}

// -----

// Kv type (C1)
// expected-error @below {{heads and dims of a cache must be positive}}
module attributes {a = !lathe.kv<0, 32, 32, f32>} {}

// -----

// Kv type (C2)
// expected-error @below {{the element type of a cache must be a float}}
module attributes {a = !lathe.kv<3, 32, 32, i8>} {}

// -----

// Onnx (C1)
func.func @onnx(%x: tensor<f32>) {
  // expected-error @below {{needs the name of an ONNX operator}}
  %y = lathe.onnx ""(%x) {opset = 17 : i64} : (tensor<f32>) -> tensor<f32>
  return
}

// -----

// Onnx (C2)
func.func @onnx(%x: tensor<f32>) {
  // expected-error @below {{needs an opset of at least 1}}
  %y = lathe.onnx "Abs"(%x) {opset = 0 : i64} : (tensor<f32>) -> tensor<f32>
  return
}

// -----

// Onnx (C3)
func.func @onnx(%x: f32) {
  // expected-error @below {{operands must be tensors or left out, not 'f32'}}
  %y = lathe.onnx "Abs"(%x) {opset = 17 : i64} : (f32) -> tensor<f32>
  return
}

// -----

// Onnx (C3)
func.func @onnx(%x: none) {
  // expected-error @below {{operands must be tensors or left out, not 'none'}}
  %y = lathe.onnx "Abs"(%x) {opset = 17 : i64} : (none) -> tensor<f32>
  return
}

// -----

// Onnx (C3)
func.func @onnx(%x: tensor<f32>) {
  // expected-error @below {{results must be tensors}}
  %y = lathe.onnx "Abs"(%x) {opset = 17 : i64} : (tensor<f32>) -> f32
  return
}

// -----

// Constant (C1)
func.func @constant() {
  // expected-error @below {{needs a static shape}}
  %c = lathe.constant <"m", 0, 4, "0f1e2d3c4b5a6978"> : tensor<?xf32>
  return
}

// -----

// Constant (C2)
func.func @constant() {
  // expected-error @below {{holds 4 bytes, 'tensor<2xf32>' has 8}}
  %c = lathe.constant <"m", 0, 4, "0f1e2d3c4b5a6978"> : tensor<2xf32>
  return
}

// -----

// Constant (C2): booleans take a byte
func.func @constant() {
  // expected-error @below {{holds 1 bytes, 'tensor<8xi1>' has 8}}
  %c = lathe.constant <"m", 0, 1, "0f1e2d3c4b5a6978"> : tensor<8xi1>
  return
}

// -----

// Constant (C2)
func.func @constant() {
  // expected-error @below {{has a type without a size: 'tensor<9223372036854775807xf32>'}}
  %c = lathe.constant <"m", 0, 1, "0f1e2d3c4b5a6978"> : tensor<9223372036854775807xf32>
  return
}

// -----

// Weight (C1)
// expected-error @below {{a dense weight has the one payload part 'data'}}
lathe.weight @w {} : !lathe.weight<4xf32, #lathe.dense<f32>>

// -----

// Weight (C1)
// expected-error @below {{needs the payload part 'data'}}
lathe.weight @w {scale = #lathe.blob<"m", 0, 16, "0f1e2d3c4b5a6978">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>

// -----

// Weight (C1)
// expected-error @below {{part 'data' has 16 bytes, its shape and encoding want 8}}
lathe.weight @w {data = #lathe.blob<"m", 0, 16, "0f1e2d3c4b5a6978">}
    : !lathe.weight<4xf32, #lathe.dense<f16>>

// -----

// Weight (C1)
// expected-error @below {{has payload parts that no operand of the concat names}}
lathe.weight @w {"0.data" = #lathe.blob<"m", 0, 16, "0f1e2d3c4b5a6978">,
                 "1.data" = #lathe.blob<"m", 0, 16, "0f1e2d3c4b5a6978">}
    : !lathe.weight<4xf32, #lathe.concat<0, [#lathe.dense<f32>], [4]>>

// -----

// UseWeight (C1)
func.func @use_weight() {
  // expected-error @below {{refers to the unknown weight @w}}
  %w = lathe.use_weight @w : !lathe.weight<4xf32, #lathe.dense<f32>>
  return
}

// -----

// UseWeight (C1)
lathe.weight @w {data = #lathe.blob<"m", 0, 16, "0f1e2d3c4b5a6978">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
func.func @use_weight() {
  // expected-error @below {{has another type than the weight, '!lathe.weight<4xf32, #lathe.dense<f32>>'}}
  %w = lathe.use_weight @w : !lathe.weight<8xf32, #lathe.dense<f16>>
  return
}

// -----

// Sublayer (C1)
func.func @sublayer(%x: tensor<?x4xf32>) {
  // expected-error @below {{the first result must have the residual's type 'tensor<?x4xf32>'}}
  %y = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
  ^bb0(%s: tensor<?x4xf32>):
    lathe.yield %s : tensor<?x4xf32>
  } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Sublayer (C2)
func.func @sublayer(%x: tensor<?x4xf32>) {
  // expected-error @below {{the body's arguments must be the source and the args}}
  %y = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) args(%x) {
  ^bb0(%s: tensor<?x4xf32>):
    lathe.yield %s : tensor<?x4xf32>
  } : (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

// Sublayer (C3)
func.func @sublayer(%x: tensor<?x4xf32>, %z: tensor<?x8xf32>) {
  // expected-error @below {{the body must yield the branch, of the residual's type, then the further results}}
  %y = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%z) {
  ^bb0(%s: tensor<?x8xf32>):
    lathe.yield %s : tensor<?x8xf32>
  } : (tensor<?x4xf32>, tensor<?x8xf32>) -> tensor<?x4xf32>
  return
}

// -----

// Sublayer (C4)
func.func @sublayer(%x: tensor<?x4xf32>) {
  // expected-error @below {{'post' must take and yield one value of the residual's type}}
  %y = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
  ^bb0(%s: tensor<?x4xf32>):
    lathe.yield %s : tensor<?x4xf32>
  } post {
  ^bb0(%a: tensor<?x4xf32>, %b: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

// Block (C1)
func.func @block(%x: tensor<?x4xf32>) {
  // expected-error @below {{must yield the result types}}
  %y = lathe.block <"blocks.0"> {
    lathe.yield %x : tensor<?x4xf32>
  } : tensor<?x8xf32>
  return
}

// -----

// Streams (C1)
func.func @streams(%x: tensor<?x4xf32>) {
  // expected-error @below {{the branches' arguments must be the operands}}
  %y = lathe.streams <"blocks.0"> (%x) left {
  ^bb0(%a: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } right {
  ^bb0(%a: tensor<?x8xf32>):
    lathe.yield %a : tensor<?x8xf32>
  } combine {
  ^bb0(%l: tensor<?x4xf32>, %r: tensor<?x8xf32>):
    lathe.yield %l : tensor<?x4xf32>
  } : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

// Streams (C2)
func.func @streams(%x: tensor<?x4xf32>) {
  // expected-error @below {{the arguments of 'combine' must be what the branches yield}}
  %y = lathe.streams <"blocks.0"> (%x) left {
  ^bb0(%a: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } right {
  ^bb0(%a: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } combine {
  ^bb0(%l: tensor<?x4xf32>):
    lathe.yield %l : tensor<?x4xf32>
  } : (tensor<?x4xf32>) -> tensor<?x4xf32>
  return
}

// -----

// Streams (C3)
func.func @streams(%x: tensor<?x4xf32>) {
  // expected-error @below {{'combine' must yield the result types}}
  %y = lathe.streams <"blocks.0"> (%x) left {
  ^bb0(%a: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } right {
  ^bb0(%a: tensor<?x4xf32>):
    lathe.yield %a : tensor<?x4xf32>
  } combine {
  ^bb0(%l: tensor<?x4xf32>, %r: tensor<?x4xf32>):
    lathe.yield %l : tensor<?x4xf32>
  } : (tensor<?x4xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C1)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the weight must have rank 2}}
  %y = lathe.linear %x, %w
      : (tensor<?x4xf32>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C1)
func.func @linear(%x: tensor<?x5xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the last dim of x must be 4: 'tensor<?x5xf32>'}}
  %y = lathe.linear %x, %w
      : (tensor<?x5xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C2)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>,
                  %b: !lathe.weight<4xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the bias must have 8 elements}}
  %y = lathe.linear %x, %w bias(%b)
      : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C3)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the result must have the leading dims of x and 8 columns, not 'tensor<?x4xf32>'}}
  %y = lathe.linear %x, %w
      : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
  return
}

// -----

// Linear (C4)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>,
                  %r: tensor<?x4xf32>) {
  // expected-error @below {{an epilogue operand must have the result's shape or its columns, not 'tensor<?x4xf32>'}}
  %y = lathe.linear %x, %w epilogue(%r) {
  ^bb0(%sum: f32, %e: f32):
    lathe.yield %sum : f32
  } : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>, tensor<?x4xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C6)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{acts must be bf16, not 'f16'}}
  %y = lathe.linear %x, %w {acts = f16}
      : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C5)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>,
                  %r: tensor<?x8xf32>) {
  // expected-error @below {{the epilogue must take the sum and one scalar per operand, and yield one 'f32'}}
  %y = lathe.linear %x, %w epilogue(%r) {
  ^bb0(%sum: f32):
    lathe.yield %sum : f32
  } : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C5), gated
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the epilogue must take two sums and one scalar per operand, and yield one 'f32'}}
  %y = lathe.linear %x, %w epilogue() {
  ^bb0(%sum: f32):
    lathe.yield %sum : f32
  } {gated} : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
  return
}

// -----

// Linear (C3), gated
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the result must have the leading dims of x and 4 columns, not 'tensor<?x8xf32>'}}
  %y = lathe.linear %x, %w epilogue() {
  ^bb0(%left: f32, %right: f32):
    lathe.yield %left : f32
  } {gated} : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Linear (C7)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x7xf32, #lathe.dense<f32>>) {
  // expected-error @below {{a gated linear must have an epilogue and an even number of columns}}
  %y = lathe.linear %x, %w epilogue() {
  ^bb0(%left: f32, %right: f32):
    lathe.yield %left : f32
  } {gated} : (tensor<?x4xf32>, !lathe.weight<4x7xf32, #lathe.dense<f32>>) -> tensor<?x3xf32>
  return
}

// -----

// Linear (C7)
func.func @linear(%x: tensor<?x4xf32>, %w: !lathe.weight<4x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{a gated linear must have an epilogue and an even number of columns}}
  %y = lathe.linear %x, %w {gated} : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
  return
}

// -----

// Embedding (C1)
func.func @embedding(%i: tensor<?xi64>, %t: !lathe.weight<8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the table must have rank 2}}
  %y = lathe.embedding %i, %t : (tensor<?xi64>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Embedding (C2)
func.func @embedding(%i: tensor<?xi64>, %t: !lathe.weight<9x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the result must have the shape of ids and the table's columns, not 'tensor<?x9xf32>'}}
  %y = lathe.embedding %i, %t : (tensor<?xi64>, !lathe.weight<9x8xf32, #lathe.dense<f32>>) -> tensor<?x9xf32>
  return
}

// -----

// Embedding (C2)
func.func @embedding(%i: tensor<?xi64>, %t: !lathe.weight<9x8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{the result must have the shape of ids and the table's columns, not 'tensor<?x8xf32>'}}
  %y = lathe.embedding %i, %t transposed : (tensor<?xi64>, !lathe.weight<9x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Norm (C1)
func.func @norm(%x: tensor<?x?xf32>) {
  // expected-error @below {{x and the result must have one type with a static last dim}}
  %y = lathe.norm layer %x {epsilon = 0.0 : f32} : (tensor<?x?xf32>) -> tensor<?x?xf32>
  return
}

// -----

// Norm (C2)
func.func @norm(%x: tensor<?x8xf32>, %g: !lathe.weight<4xf32, #lathe.dense<f32>>) {
  // expected-error @below {{gamma and beta must have 8 elements}}
  %y = lathe.norm layer %x gamma(%g) {epsilon = 0.0 : f32}
      : (tensor<?x8xf32>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Norm (C3)
func.func @norm(%x: tensor<?x8xf32>) {
  // expected-error @below {{epsilon must be finite and not negative}}
  %y = lathe.norm layer %x {epsilon = -1.0 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Norm (C3)
func.func @norm(%x: tensor<?x8xf32>) {
  // expected-error @below {{epsilon must be finite and not negative}}
  %y = lathe.norm layer %x {epsilon = 0x7F800000 : f32} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return
}

// -----

// Norm (C4)
func.func @norm(%x: tensor<?x8xf32>, %g: !lathe.weight<8xf32, #lathe.dense<f32>>) {
  // expected-error @below {{beta needs gamma and a layer norm}}
  %y = lathe.norm rms %x gamma(%g) beta(%g) {epsilon = 0.0 : f32}
      : (tensor<?x8xf32>, !lathe.weight<8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return
}

// -----

// Rope (C1)
func.func @rope(%x: tensor<1x?x32xf32>, %c: tensor<1x?x4xf32>) {
  // expected-error @below {{needs a positive number of heads and an even rotary dim within the head}}
  %y = lathe.rope half %x <"[i0, i2, 8*i1 + i3]"> cos(%c) sin(%c) heads 4 x 8 rotary 7
      : (tensor<1x?x32xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x32xf32>
  return
}

// -----

// Rope (C2)
func.func @rope(%x: tensor<1x?x32xf32>, %c: tensor<1x?x4xf32>) {
  // expected-error @below {{'x_map' must list one index per dim of 'tensor<1x?x32xf32>'}}
  %y = lathe.rope half %x <"[i0, i2]"> cos(%c) sin(%c) heads 4 x 8 rotary 8
      : (tensor<1x?x32xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x32xf32>
  return
}

// -----

// Rope (C2)
func.func @rope(%x: tensor<1x?x32xf32>, %c: tensor<1x?x4xf32>) {
  // expected-error @below {{'x_map' uses i4; there are 4 coordinates}}
  %y = lathe.rope half %x <"[i0, i2, i4]"> cos(%c) sin(%c) heads 4 x 8 rotary 8
      : (tensor<1x?x32xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x32xf32>
  return
}

// -----

// Rope (C3)
func.func @rope(%x: tensor<1x?x32xf32>, %c: tensor<1x?x4xf32>) {
  // expected-error @below {{the result must be [B, S, 32], not 'tensor<1x?x16xf32>'}}
  %y = lathe.rope half %x <"[i0, i2, 8*i1 + i3]"> cos(%c) sin(%c) heads 4 x 8 rotary 8
      : (tensor<1x?x32xf32>, tensor<1x?x4xf32>, tensor<1x?x4xf32>) -> tensor<1x?x16xf32>
  return
}

// -----

// Rope (C4)
func.func @rope(%x: tensor<1x?x32xf32>, %c: tensor<1x?x8xf32>) {
  // expected-error @below {{cos and sin must be [1 or B, S, 4]}}
  %y = lathe.rope half %x <"[i0, i2, 8*i1 + i3]"> cos(%c) sin(%c) heads 4 x 8 rotary 8
      : (tensor<1x?x32xf32>, tensor<1x?x8xf32>, tensor<1x?x8xf32>) -> tensor<1x?x32xf32>
  return
}

// -----

// Attention (C1)
func.func @attention(%q: tensor<?x?x32xf32>) {
  // expected-error @below {{heads must be a positive multiple of kv_heads, and the head's dims positive}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i2, 8*i1 + i3]">)
      v(%q <"[i0, i2, 8*i1 + i3]">) heads 4 over 3 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C2)
func.func @attention(%q: tensor<?x?x32xf32>) {
  // expected-error @below {{needs k and v with their maps, or a cache}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i2, 8*i1 + i3]">)
      heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C2)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>) {
  // expected-error @below {{needs k and v with their maps, or a cache}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i2, 8*i1 + i3]">)
      v(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C3)
func.func @attention(%q: tensor<?x?x32xf32>) {
  // expected-error @below {{'k_map' must list one index per dim of 'tensor<?x?x32xf32>'}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i1, i2, i3]">)
      v(%q <"[i0, i2, 8*i1 + i3]">) heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C3)
func.func @attention(%q: tensor<?x?x32xf32>) {
  // expected-error @below {{'v_map' must list numbers without reads}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i2, 8*i1 + i3]">)
      v(%q <"[i0, i2, read(0, [i0])]">) heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C4)
func.func @attention(%q: tensor<?x?x32xf32>) {
  // expected-error @below {{the result must be [B, S, 32], not 'tensor<?x?x8xf32>'}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) k(%q <"[i0, i2, 8*i1 + i3]">)
      v(%q <"[i0, i2, 8*i1 + i3]">) heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> tensor<?x?x8xf32>
  return
}

// -----

// Attention (C5)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<2, 8, 8, f32>) {
  // expected-error @below {{the cache '!lathe.kv<2, 8, 8, f32>' has other heads or dims}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      : (tensor<?x?x32xf32>, !lathe.kv<2, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C6)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>) {
  // expected-error @below {{softcap must be positive}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      softcap 0.0 : (tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C7)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>) {
  // expected-error @below {{'mask_value' belongs to rows = soft}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      rows soft : (tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C8)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>) {
  // expected-error @below {{'mask' must be a predicate}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      mask <"i3"> : (tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C8)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>) {
  // expected-error @below {{'bias' must be a number}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      bias <"i3 <= i2"> : (tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>) -> tensor<?x?x32xf32>
  return
}

// -----

// Attention (C8)
func.func @attention(%q: tensor<?x?x32xf32>, %kv: !lathe.kv<4, 8, 8, f32>, %m: tensor<?x?xi64>) {
  // expected-error @below {{'mask' reads value 0 at 1 indices; it is 'tensor<?x?xi64>'}}
  %y = lathe.attention q(%q <"[i0, i2, 8*i1 + i3]">) cache(%kv) heads 4 over 4 dims 8, 8 scale 1.0
      mask <"read(0, [i3]) != 0"> reads(%m)
      : (tensor<?x?x32xf32>, !lathe.kv<4, 8, 8, f32>, tensor<?x?xi64>) -> tensor<?x?x32xf32>
  return
}

// -----

// KvAppend (C1)
func.func @kv_append(%kv: !lathe.kv<4, 8, 8, f32>, %k: tensor<?x?x32xf32>) {
  // expected-error @below {{the result must have the type of the cache}}
  %y = lathe.kv_append %kv, k(%k <"[i0, i2, 8*i1 + i3]">) v(%k <"[i0, i2, 8*i1 + i3]">)
      : (!lathe.kv<4, 8, 8, f32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> !lathe.kv<2, 8, 8, f32>
  return
}

// -----

// KvAppend (C2)
func.func @kv_append(%kv: !lathe.kv<4, 8, 8, f32>, %k: tensor<?x?x32xf32>) {
  // expected-error @below {{'v_map' must list one index per dim of 'tensor<?x?x32xf32>'}}
  %y = lathe.kv_append %kv, k(%k <"[i0, i2, 8*i1 + i3]">) v(%k <"[i0]">)
      : (!lathe.kv<4, 8, 8, f32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>) -> !lathe.kv<4, 8, 8, f32>
  return
}

// -----

// IndexExpr (C1)
func.func @index_expr() {
  // expected-error @below {{'shape' must have one entry per dim of 'tensor<?xi64>'}}
  %y = lathe.index_expr <"i0"> () shape [] : () -> tensor<?xi64>
  return
}

// -----

// IndexExpr (C1)
func.func @index_expr() {
  // expected-error @below {{the extent '3' is 4 in the type}}
  %y = lathe.index_expr <"i0"> () shape ["3"] : () -> tensor<4xi64>
  return
}

// -----

// IndexExpr (C1)
func.func @index_expr() {
  // expected-error @below {{the extent 'i0 + 1' must be a number over named dims}}
  %y = lathe.index_expr <"i0"> () shape ["i0 + 1"] : () -> tensor<?xi64>
  return
}

// -----

// IndexExpr (C2)
func.func @index_expr() {
  // expected-error @below {{'form' must be a predicate}}
  %y = lathe.index_expr <"i0"> () shape ["seq"] : () -> tensor<?xi1>
  return
}

// -----

// IndexExpr (C2)
func.func @index_expr() {
  // expected-error @below {{'form' must be a number}}
  %y = lathe.index_expr <"i0 == 2"> () shape ["seq"] : () -> tensor<?xi64>
  return
}

// -----

// IndexExpr (C2)
func.func @index_expr() {
  // expected-error @below {{'form' uses i1; there are 1 coordinates}}
  %y = lathe.index_expr <"i0 + i1"> () shape ["seq"] : () -> tensor<?xi64>
  return
}

// -----

// IndexExpr (C3)
func.func @index_expr() {
  // expected-error @below {{'form': column}}
  %y = lathe.index_expr <"read(0, [i0])"> () shape ["seq"] : () -> tensor<?xi64>
  return
}

// -----

// IndexExpr (C3)
func.func @index_expr(%x: tensor<?x?xi64>) {
  // expected-error @below {{'form' reads value 0 at 1 indices; it is 'tensor<?x?xi64>'}}
  %y = lathe.index_expr <"read(0, [i0])"> (%x) shape ["seq"] : (tensor<?x?xi64>) -> tensor<?xi64>
  return
}

// -----

// Kernel (C1)
func.func private @k(!llvm.ptr, memref<4xf32>)
func.func @kernel(%x: tensor<4xf32>) {
  // expected-error @below {{expected type of operand #0 ('tensor<4xf32>') to match type of corresponding result ('tensor<5xf32>')}}
  %y = lathe.kernel @k outs(%x : tensor<4xf32>) -> tensor<5xf32>
  return
}


// -----

// Skip (C1)
// expected-error @below {{the threshold of a skip must be above 0}}
func.func private @f() attributes {skip = #lathe.skip<cosine, threshold = 0.0 : f64, count = 1, warmup = 0, seed = 0>}

// -----

// Skip (C2)
// expected-error @below {{a skip has a count of at least 1}}
func.func private @f() attributes {skip = #lathe.skip<random, threshold = 0.5 : f64, count = 0, warmup = 0, seed = 0>}

// -----

// Sublayer (C5)
func.func @prefill(%x: tensor<4x8xf32>) {
  // expected-error @below {{'skip' is only for an ffn without 'post' and further results in the function 'decode'}}
  %0 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
  ^bb0(%s: tensor<4x8xf32>):
    lathe.yield %s : tensor<4x8xf32>
  } {skip = #lathe.skip<cosine, threshold = 0.95 : f64, count = 1, warmup = 0, seed = 0>} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
  return
}
