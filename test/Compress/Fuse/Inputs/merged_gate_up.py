"""merged_gate_up.py MODEL.onnx DATA.npz

Writes a model of gated FFNs whose weights of gate and up are one, as exporters
and optimizers leave them: gate or up first, split or sliced, with and without
biases, and columns that do not fill panels; and inputs for it.
"""

import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH, COLUMNS = 24, 72
random = np.random.default_rng(7)
nodes, initializers = [], []


def weight(name, *shape):
    values = random.standard_normal(shape) / np.sqrt(shape[0])
    initializers.append(numpy_helper.from_array(values.astype(np.float32), name))
    return name


def integers(name, *values):
    initializers.append(numpy_helper.from_array(np.array(values, np.int64), name))
    return name


def node(op, inputs, name, **attributes):
    outputs = name if isinstance(name, list) else [name]
    nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], **attributes))
    return name


def linear(x, name, inputs, outputs, bias):
    y = node("MatMul", [x, weight(f"{name}.weight", inputs, outputs)], f"{name}.y")
    return node("Add", [weight(f"{name}.bias", outputs), y], f"{name}.z") if bias else y


def halves(x, block, sliced):
    names = [f"{block}.left", f"{block}.right"]
    if not sliced:
        return node("Split", [x], names, axis=-1, num_outputs=2)
    bounds = [integers(f"{block}.{n}", n * COLUMNS) for n in range(3)]
    axis = integers(f"{block}.axis", -1)
    return [node("Slice", [x, bounds[n], bounds[n + 1], axis], names[n]) for n in range(2)]


def silu(x, block):
    return node("Mul", [x, node("Sigmoid", [x], f"{block}.sigmoid")], f"{block}.silu")


def gelu(x, block):
    return node("Gelu", [x], f"{block}.gelu")


def ffn(x, block, activation, up_first, sliced, bias):
    scale = weight(f"{block}.scale", WIDTH)
    normal = node("LayerNormalization", [x, scale], f"{block}.norm", epsilon=1e-5)
    both = linear(normal, f"{block}.gate_up", WIDTH, 2 * COLUMNS, bias)
    gate, up = halves(both, block, sliced)[:: -1 if up_first else 1]
    product = node("Mul", [activation(gate, block), up], f"{block}.product")
    down = linear(product, f"{block}.down", COLUMNS, WIDTH, bias)
    return node("Add", [x, down], f"{block}.sum")


def main():
    path, data = sys.argv[1:]
    x = "x"
    for n, options in enumerate(
        [(silu, False, False, False), (gelu, True, False, True),
         (silu, True, True, False), (gelu, False, True, True)]
    ):  # fmt: skip
        x = ffn(x, f"block{n}", *options)
    shape = ["batch", "seq", WIDTH]
    value = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(nodes, "gated", [value("x")], [value(x)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    np.savez(data, **{"in.x": random.standard_normal((2, 7, WIDTH)).astype(np.float32)})


main()
