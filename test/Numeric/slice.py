# Slices of a dim that only run time knows: bounds beyond it end at it, whatever
# its extent; what would make all that follows unknown is refused when it does
# not hold, also where the slice itself is no more when the model is compiled.
#
# RUN: rm -rf %t && mkdir -p %t
# RUN: env LATHE=lathe %python %s %t
#
# REQUIRES: onnxruntime

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WORK = Path(sys.argv[1])


def run(name, nodes, constants, feeds, shapes):
    """Exit code, messages and the output `y`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(c), n) for n, c in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, WORK / f"{name}.onnx")
    np.savez(WORK / f"{name}.npz", **feeds)
    result = WORK / f"{name}-out.npz"
    result.unlink(missing_ok=True)
    process = subprocess.run(
        [os.environ["LATHE"], "run", str(WORK / f"{name}.onnx"), "--threads", "1",
         "--inputs", str(WORK / f"{name}.npz"), "--outputs", str(result)],
        capture_output=True, text=True, check=False)  # fmt: skip
    y = np.load(result)["y"] if result.exists() else None
    return process.returncode, process.stderr, y


def sliced(start, end, step, extent):
    x = np.arange(extent * 3, dtype=np.float32).reshape(extent, 3)
    bounds = {"s": np.int64([start]), "e": np.int64([end]), "a": np.int64([0]),
              "t": np.int64([step])}  # fmt: skip
    node = helper.make_node("Slice", ["x", "s", "e", "a", "t"], ["y"], name="cut")
    code, text, y = run("slice", [node], bounds, {"x": x}, {"x": ["n", 3]})
    return code, text, y, x[start:end:step]


for start, end, step in [(0, 4, 1), (-4, 2**63 - 1, 1), (2, -2, 1), (-5, 3, 2), (3, 9, 3)]:
    for extent in (0, 1, 2, 4, 6, 11):
        code, text, y, want = sliced(start, end, step, extent)
        assert code == 0, text
        assert y.shape == want.shape and np.array_equal(y, want), (start, end, step, extent, y)

# The last element of nothing.
code, text, y, _ = sliced(-1, 2**63 - 1, 1, 0)
assert code == 1 and y is None, text
assert "node 'cut' (Slice) needs 1 <= n (" in text and "n = 0" in text, text

# A table of eight rows, of which as many are taken as there are of x. The slice
# becomes a part of the sum.
nodes = [
    helper.make_node("Shape", ["x"], ["n"], end=1),
    helper.make_node("Slice", ["table", "zero", "n", "zero"], ["rows"], name="positions"),
    helper.make_node("Add", ["x", "rows"], ["y"], name="sum"),
]
table = np.arange(24, dtype=np.float32).reshape(8, 3)
constants = {"table": table, "zero": np.int64([0])}
for extent in (1, 8, 9):
    x = np.ones((extent, 3), np.float32)
    code, text, y = run("table", nodes, constants, {"x": x}, {"x": ["n", 3]})
    if extent <= 8:
        assert code == 0 and np.array_equal(y, x + table[:extent]), text
        continue
    assert code == 1 and y is None, text
    assert "node 'positions' (Slice) needs n <= 8 (" in text and "n = 9" in text, text
