"""check_chains.py LATHE LATHE_OPT FOLDER

Attentions, and rotary embeddings, that read one another without anything in
between: all are raised, and the result is that of onnx.reference.
"""

import os
import subprocess
import sys
from pathlib import Path

os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

LENGTH = 4
FLOAT = onnx.TensorProto.FLOAT


def make(op, opset, inputs, dims, arguments, attributes):
    """LENGTH nodes `op`, each of which reads the one before as its first input."""
    names = ["x"] + [f"y{n}" for n in range(LENGTH)]
    nodes = [helper.make_node(op, [names[n], *arguments(names[n])], [names[n + 1]], **attributes)
             for n in range(LENGTH)]  # fmt: skip
    value = lambda name, shape: helper.make_tensor_value_info(name, FLOAT, shape)  # noqa: E731
    given = [value(name, dims if name == "x" else array.shape) for name, array in inputs.items()]
    graph = helper.make_graph(nodes, "chain", given, [value(names[-1], dims)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def check(lathe, lathe_opt, folder, name, raised, model, inputs):
    path, given, result = (str(folder / f"{name}.{end}") for end in ("onnx", "in.npz", "out.npz"))
    onnx.save(model, path)
    np.savez(given, **inputs)
    text = subprocess.run([lathe_opt, path], stdout=subprocess.PIPE, check=True, text=True).stdout
    op = model.graph.node[0].op_type
    assert f'"{op}"' not in text and text.count(raised) == LENGTH, text
    subprocess.run([lathe, "run", path, "--inputs", given, "--outputs", result], check=True)
    (wanted,) = ReferenceEvaluator(model).run(None, inputs)
    np.testing.assert_allclose(next(iter(np.load(result).values())), wanted, rtol=1e-4, atol=1e-5)
    print(f"{name}: {LENGTH} nodes are raised and right")


def main():
    lathe, lathe_opt, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    array = lambda *shape: random.standard_normal(shape).astype(np.float32)  # noqa: E731
    for opset in (23, 24):
        for name, dims, shape, heads in (
            ("columns", ["batch", "seq", 8], (2, 5, 8), dict(q_num_heads=2, kv_num_heads=2)),
            ("heads", ["batch", 2, "seq", 4], (2, 2, 5, 4), {}),
        ):
            inputs = {"x": array(*shape)}
            model = make("Attention", opset, inputs, dims, lambda x: [x, x], heads)
            check(lathe, lathe_opt, folder, f"attention-{opset}-{name}", "lathe.attention q(",
                  model, inputs)  # fmt: skip
        inputs = {"x": array(2, 5, 8), "cos": array(2, 5, 2), "sin": array(2, 5, 2)}
        model = make("RotaryEmbedding", opset, inputs, [2, 5, 8],
                     lambda x: ["cos", "sin"], dict(num_heads=2))  # fmt: skip
        check(lathe, lathe_opt, folder, f"rope-{opset}", "lathe.rope half", model, inputs)


main()
