"""ONNX graphs that hold nothing but copies of one kernel.

Copies are as many as it takes to make the call of the program a small part of
the time, and the weights more than the caches hold. Linears add up, as residual
branches do, so that every linear but the first has an addition of a tensor in its
epilogue; of norms, each takes what the one before gives; the others run side by
side on data of their own."""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 23
ACTIVATIONS = {"gelu": ("Gelu", {}), "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
               "silu": ("Swish", {}), "relu": ("Relu", {}), "tanh": ("Tanh", {}),
               "sigmoid": ("Sigmoid", {})}
# Activations of gates by the function that they call.
GATES = {"exp": "silu", "erf": "gelu", "tanh": "gelu_tanh"}


class Graph:
    """Nodes, inputs with their data, and weights, as they come."""

    def __init__(self, seed=0):
        self.random = np.random.default_rng(seed)
        self.nodes, self.inputs, self.weights, self.data = [], [], [], {}

    def input(self, name, array, dims):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        self.data[name] = array
        return name

    def floats(self, *shape):
        return self.random.standard_normal(shape, np.float32)

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op, *operands, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, operands, [name], name=name,
                                           **attributes))
        return name

    def model(self, outputs):
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                  for name in outputs]
        graph = helper.make_graph(self.nodes, "kernel", self.inputs, values,
                                  self.weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset_of(self.nodes))],
            ir_version=10)


def opset_of(nodes):
    """Swish came last."""
    return 24 if any(n.op_type == "Swish" for n in nodes) else OPSET


def build_linear(graph, kernel, copies):
    """sum of f(x W_i + b_i): the additions are epilogues."""
    x = graph.input("x", graph.floats(kernel.rows, kernel.inputs),
                    ["rows", kernel.inputs])
    total = None
    for _ in range(copies):
        value = product(graph, kernel, x)
        if kernel.gated:
            gate = value
            if kernel.variant:
                gate = activate(graph, GATES[kernel.variant], gate)
            value = graph.node("Mul", gate, product(graph, kernel, x))
        for step in kernel.epilogue:
            if step in ACTIVATIONS:
                value = activate(graph, step, value)
        total = graph.node("Add", total, value) if total else value
    return [total]


def product(graph, kernel, x):
    """x W + b with weights of its own."""
    weight = graph.floats(kernel.inputs, kernel.outputs)
    weight *= np.float32(1 / math.sqrt(kernel.inputs))
    value = graph.node("MatMul", x, graph.constant(weight))
    if not kernel.bias:
        return value
    return graph.node("Add", value, graph.constant(graph.floats(kernel.outputs)))


def activate(graph, kind, value):
    op, attributes = ACTIVATIONS[kind]
    return graph.node(op, value, **attributes)


def build_attention(graph, kernel, copies):
    """Copies of one row have keys and values of their own, as every layer has;
    the others share them."""
    if kernel.head_dim != kernel.value_dim:
        raise ValueError(f"{kernel.name}: keys and values differ in width")
    attributes = {"is_causal": int(kernel.causal and kernel.rows == kernel.keys)}
    if not kernel.cached:
        attributes.update(q_num_heads=kernel.heads, kv_num_heads=kernel.kv_heads)
    queries = [head_input(graph, kernel, f"q{n}", kernel.heads, kernel.rows, "seq")
               for n in range(copies)]
    keys = "seq" if kernel.rows == kernel.keys else "keys"
    caches = [[head_input(graph, kernel, f"{name}{n}", kernel.kv_heads,
                          kernel.keys, keys) for name in "kv"]
              for n in range(copies if kernel.is_vector else 1)]
    mask = [padding_mask(graph, kernel, queries[0], keys)] if kernel.padded else []
    return [graph.node("Attention", query, *caches[n % len(caches)], *mask,
                       **attributes) for n, query in enumerate(queries)]


def head_input(graph, kernel, name, heads, rows, dim):
    """Queries, keys or values as the model has them: with a cache [batch, heads,
    rows, columns], else columns of a product."""
    batch, width = kernel.batch, kernel.head_dim
    if kernel.cached:
        return graph.input(name, graph.floats(batch, heads, rows, width),
                           ["batch", heads, dim, width])
    return graph.input(name, graph.floats(batch, rows, heads * width),
                       ["batch", dim, heads * width])


def padding_mask(graph, kernel, query, dim):
    """[batch, 1, rows, keys] of the tokens that are there: all."""
    present = np.ones((kernel.batch, kernel.keys), np.int64)
    mask = graph.input("mask", present, ["batch", dim])
    mask = graph.node("Cast", mask, to=TensorProto.BOOL)
    mask = graph.node("Unsqueeze", mask, graph.constant(np.array([1, 2])))
    axis = 2 if kernel.cached else 1
    rows = graph.node("Shape", query, start=axis, end=axis + 1)
    ones = graph.constant(np.array([1]))
    shape = graph.node("Concat", ones, ones, rows, ones, axis=0)
    return graph.node("Expand", mask, shape)


def build_norm(graph, kernel, copies):
    value = graph.input("x", graph.floats(kernel.rows, kernel.width),
                        ["rows", kernel.width])
    op = "LayerNormalization" if kernel.variant == "layer" else "RMSNormalization"
    for _ in range(copies):
        weights = [graph.constant(graph.floats(kernel.width))
                   for _ in range(1 + kernel.beta)]
        value = graph.node(op, value, *weights, axis=-1)
    return [value]


def build_rope(graph, kernel, copies):
    width, half = kernel.heads * kernel.head_dim, kernel.rotary_dim // 2
    inputs = [graph.input(f"x{n}", graph.floats(1, kernel.rows, width),
                          [1, "rows", width]) for n in range(copies)]
    angles = graph.random.uniform(0, 6, (1, kernel.rows, half))
    tables = [graph.input(name, function(angles).astype(np.float32),
                          [1, "rows", half])
              for name, function in (("cos", np.cos), ("sin", np.sin))]
    return [graph.node("RotaryEmbedding", value, *tables, num_heads=kernel.heads,
                       rotary_embedding_dim=kernel.rotary_dim,
                       interleaved=int(kernel.variant == "interleaved"))
            for value in inputs]


def build_embedding(graph, kernel, copies):
    """A tied table is laid out for the head that multiplies by it, so the graph
    has that too: what it takes is measured without copies."""
    table = graph.constant(graph.floats(kernel.vocabulary, kernel.width))
    outputs = []
    if kernel.tied:
        x = graph.input("x", graph.floats(1, kernel.width), ["one", kernel.width])
        outputs.append(graph.node("Gemm", x, table, transB=1))
    for n in range(copies):
        rows = graph.random.integers(0, kernel.vocabulary, kernel.rows)
        ids = graph.input(f"ids{n}", rows, ["rows"])
        outputs.append(graph.node("Gather", table, ids, axis=0))
    return outputs


def build_softmax(graph, kernel, copies):
    value = graph.input("x", graph.floats(kernel.rows, kernel.width),
                        ["rows", kernel.width])
    for _ in range(copies):
        value = graph.node("Softmax", value, axis=-1)
    return [value]


def build_pointwise(graph, kernel, copies):
    """Side by side: a chain would become one loop."""
    inputs = [graph.input(f"x{n}", graph.floats(kernel.elements), ["elements"])
              for n in range(copies + 1)]
    if kernel.op == "activation":
        return [activate(graph, kernel.variant, name) for name in inputs[1:]]
    if kernel.variant not in ("Add", "Sub", "Mul", "Div"):
        raise ValueError(f"{kernel.name}: no graph is known for it")
    return [graph.node(kernel.variant, *pair) for pair in zip(inputs, inputs[1:])]


BUILDERS = {"linear": build_linear, "attention": build_attention,
            "norm": build_norm, "rope": build_rope,
            "embedding": build_embedding, "softmax": build_softmax,
            "activation": build_pointwise, "elementwise": build_pointwise}


def build(kernel, copies, seed=0):
    """(model, {input: data}, names of outputs) of `copies` of a kernel, with
    weights and data from the seed. ValueError: no graph is known for it."""
    graph = Graph(seed)
    outputs = BUILDERS[kernel.op](graph, kernel, copies)
    return graph.model(outputs), graph.data, outputs


def build_exponentials(elements, steps):
    """x -> exp(-x) again and again: what an exponential costs. It stays near the
    fixed point, 0.567."""
    graph = Graph()
    value = graph.input("x", np.abs(graph.floats(elements)), ["elements"])
    for _ in range(steps):
        value = graph.node("Exp", graph.node("Neg", value))
    return graph.model([value]), graph.data, [value]
