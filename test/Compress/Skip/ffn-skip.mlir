// RUN: lathe-opt %s --lathe-ffn-skip="tau=0.95 k=2 front=1 tail=1" | FileCheck %s
// RUN: lathe-opt %s --lathe-ffn-skip="rule=random ratio=0.2 seed=3 front=1 tail=1 warmup=0" | FileCheck %s --check-prefix=RANDOM
// RUN: not lathe-opt %s --lathe-ffn-skip 2>&1 | FileCheck %s --check-prefix=TAU
// RUN: not lathe-opt %s --lathe-ffn-skip="tau=0.9 k=-1" 2>&1 | FileCheck %s --check-prefix=K
// RUN: not lathe-opt %s --lathe-ffn-skip="tau=0.9 front=2 tail=1" 2>&1 | FileCheck %s --check-prefix=REGION
// RUN: not lathe-opt %s --lathe-ffn-skip="rule=random ratio=0.9 front=1 tail=1" 2>&1 | FileCheck %s --check-prefix=RATIO
// RUN: not lathe-opt %s --lathe-ffn-skip="rule=random ratio=1.5" 2>&1 | FileCheck %s --check-prefix=SHARE
// RUN: not lathe-opt %s --lathe-ffn-skip="profile=p ratio=1.5" 2>&1 | FileCheck %s --check-prefix=RANGE
// RUN: not lathe-opt %s --lathe-ffn-skip="profile=p tau=0.9 ratio=0.2" 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: not lathe-opt %s --lathe-ffn-skip="profile=p rule=random ratio=0.2" 2>&1 | FileCheck %s --check-prefix=CHANCE
// RUN: not lathe-opt %s --lathe-ffn-skip="profile=%t.none ratio=0.2" 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: not lathe-opt %s --lathe-ffn-skip="rule=layer tau=1" 2>&1 | FileCheck %s --check-prefix=RULE
// RUN: not lathe-opt %s --lathe-ffn-skip="tau=0.9 front=1 tail=1" --lathe-ffn-skip="tau=0.8 front=1 tail=1" 2>&1 | FileCheck %s --check-prefix=TWICE

// Only the middle of the decode entry is gated.

// CHECK: lathe.passes = ["lathe-ffn-skip{tau=0.95 k=2 front=1 tail=1 warmup=10}"]
// CHECK-SAME: {action = "kept", pass = "lathe-ffn-skip", reason = "cold start", site = #lathe.site<"blocks.0.ffn">}
// CHECK-SAME: {action = "gated", pass = "lathe-ffn-skip", site = #lathe.site<"blocks.1.ffn">}
// CHECK-SAME: {action = "kept", pass = "lathe-ffn-skip", reason = "tail", site = #lathe.site<"blocks.2.ffn">}
// CHECK: func @plain
// CHECK-NOT: lathe.skip
// CHECK: func @decode
// CHECK: <"blocks.1.ffn">
// CHECK: skip = #lathe.skip<cosine, threshold = 0.9{{[0-9]*}} : f64, count = 2, warmup = 10, seed = 0>
// CHECK-NOT: lathe.skip

// RANDOM: skip = #lathe.skip<random, threshold = 0.6{{[0-9]*}} : f64, count = 1, warmup = 0, seed = 3>

// TAU: error: lathe-ffn-skip: needs tau=
// K: error: lathe-ffn-skip: k=, front=, tail=, warmup= and seed= are not negative
// REGION: error: lathe-ffn-skip: front=2 and tail=1 leave none of 3 FFNs
// RATIO: error: lathe-ffn-skip: 1 of 3 FFNs have a gate, which cannot skip 90.0 % of all
// SHARE: error: lathe-ffn-skip: rule=random needs ratio= between 0 and 1
// RANGE: error: lathe-ffn-skip: profile= needs ratio= between 0 and 1
// BOTH: error: lathe-ffn-skip: tau= and profile= exclude each other
// CHANCE: error: lathe-ffn-skip: rule=random takes no profile=
// FILE: error: lathe-ffn-skip: {{.*}}.none
// RULE: error: lathe-ffn-skip: rule 'layer' is not cosine or random
// TWICE: error: lathe-ffn-skip: sub-layer 'blocks.1.ffn' has a gate already

module {
  func.func @plain(%x: tensor<?x1x8xf32> {lathe.dims = ["batch", "1", "8"], lathe.name = "x"}) -> (tensor<?x1x8xf32> {lathe.dims = ["batch", "1", "8"], lathe.name = "y"}) {
    %0 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
    ^bb0(%s: tensor<?x1x8xf32>):
      %a = lathe.activation relu %s : tensor<?x1x8xf32>
      lathe.yield %a : tensor<?x1x8xf32>
    } : (tensor<?x1x8xf32>, tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    return %0 : tensor<?x1x8xf32>
  }
  func.func @decode(%x: tensor<?x1x8xf32> {lathe.dims = ["batch", "1", "8"], lathe.name = "x"}) -> (tensor<?x1x8xf32> {lathe.dims = ["batch", "1", "8"], lathe.name = "y"}) {
    %0 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
    ^bb0(%s: tensor<?x1x8xf32>):
      %a = lathe.activation relu %s : tensor<?x1x8xf32>
      lathe.yield %a : tensor<?x1x8xf32>
    } : (tensor<?x1x8xf32>, tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    %1 = lathe.sublayer ffn <"blocks.1.ffn"> residual(%0) source(%0) {
    ^bb0(%s: tensor<?x1x8xf32>):
      %a = lathe.activation relu %s : tensor<?x1x8xf32>
      lathe.yield %a : tensor<?x1x8xf32>
    } : (tensor<?x1x8xf32>, tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    %2 = lathe.sublayer ffn <"blocks.2.ffn"> residual(%1) source(%1) {
    ^bb0(%s: tensor<?x1x8xf32>):
      %a = lathe.activation relu %s : tensor<?x1x8xf32>
      lathe.yield %a : tensor<?x1x8xf32>
    } : (tensor<?x1x8xf32>, tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    return %2 : tensor<?x1x8xf32>
  }
}
