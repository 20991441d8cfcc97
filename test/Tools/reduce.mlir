// Reduces to the one operation that a check script looks for.
// RUN: printf '#!/bin/sh\ngrep -q "lathe.activation silu" "$1" && exit 1\nexit 0\n' > %t.sh
// RUN: chmod +x %t.sh
// RUN: lathe-reduce %s -reduction-tree='traversal-mode=0 test=%t.sh' | FileCheck %s

// CHECK-NOT: gelu
// CHECK: func @keep
// CHECK-NEXT: lathe.activation silu
// CHECK-NOT: func @drop

func.func @drop(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = lathe.activation gelu %x : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
func.func @keep(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %y = lathe.activation silu %x : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
