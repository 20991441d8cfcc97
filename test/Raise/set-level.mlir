// RUN: lathe-opt %s --lathe-set-level=level=structure | FileCheck %s
// RUN: not lathe-opt %s --lathe-set-level=level=nowhere 2>&1 | FileCheck %s --check-prefix=BAD

// CHECK: module attributes {lathe.level = "structure"}
// BAD: error: 'nowhere' is no level of a model
module attributes {lathe.level = "raised"} {
}
