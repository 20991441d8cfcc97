"""Writes one of the small models of the import tests: models.py NAME PATH."""

import sys

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper


def value(name, shape, kind=T.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def node(op, inputs, outputs, name="", **attributes):
    return helper.make_node(op, inputs, outputs, name=name, **attributes)


def model(nodes, inputs, outputs, initializers=(), opset=17, domains=(), functions=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, 1) for domain in domains]
    return helper.make_model(
        graph, opset_imports=imports, ir_version=10, functions=list(functions)
    )


def nodes():
    """A carrier op of each form: attributes, left-out operands, contrib."""
    return model(
        [
            node("Gather", ["table", "ids"], ["rows"], "gather", axis=0),
            node("Clip", ["rows", "", "one"], ["clipped"], "clip"),
            node("Split", ["clipped"], ["left", "right"], "split", axis=-1),
            node("FastGelu", ["left"], ["act"], "gelu", domain="com.microsoft"),
            node("Transpose", ["right"], ["turned"], "turn", perm=[0, 2, 1]),
            node("MatMul", ["act", "turned"], ["scores"]),
        ],
        [value("ids", ["batch", "seq"], T.INT64)],
        [value("scores", ["batch", "seq", "seq"])],
        [
            tensor("table", np.arange(512, dtype=np.float32).reshape(32, 16)),
            tensor("one", np.float32(1)),
            tensor("unused", np.zeros(4, np.float32)),
        ],
        domains=["com.microsoft"],
    )


def dims():
    """Names of dims: plain, polynomials, odd, missing, fixed."""
    return model(
        [
            node("Identity", ["a"], ["a2"]),
            node("Identity", ["b"], ["b2"]),
            node("Identity", ["c"], ["c2"]),
        ],
        [
            value("a", ["batch", "seq", "past"]),
            value("b", ["batch", "past + seq", "2*seq + 1"]),
            value("c", [None, "other + seq", "unk 3", "i0", 7]),
        ],
        [value("a2", ["batch", "q", 4]), value("b2", None), value("c2", [None] * 5)],
    )


def types():
    """One small initialiser per element type, and empty ones."""
    kinds = [T.FLOAT, T.FLOAT16, T.BFLOAT16, T.DOUBLE, T.INT8, T.INT16, T.INT32,
             T.INT64, T.UINT8, T.UINT16, T.UINT32, T.UINT64, T.BOOL, T.INT4, T.UINT4,
             T.FLOAT8E4M3FN, T.FLOAT8E5M2, T.INT2, T.UINT2, T.FLOAT4E2M1]  # fmt: skip
    names = [f"w_{T.DataType.Name(kind).lower()}" for kind in kinds]
    weights = [helper.make_tensor(n, k, [3], [0, 1, 1]) for n, k in zip(names, kinds)]
    weights[4] = helper.make_tensor(names[4], T.INT8, [3], [-1, 0, 127])
    weights[13] = helper.make_tensor(names[13], T.INT4, [3], [-8, 1, 7])
    outputs = [helper.make_tensor_value_info(n, k, [3]) for n, k in zip(names, kinds)]
    for name, kind in [("e_float", T.FLOAT), ("e_bool", T.BOOL), ("e_int4", T.INT4)]:
        weights.append(helper.make_tensor(name, kind, [0, 2], []))
        outputs.append(helper.make_tensor_value_info(name, kind, [0, 2]))
    return model([], [], outputs, weights, opset=25)


def constants():
    """Constant nodes, constants with typed data, an attribute tensor."""
    shape = helper.make_tensor("v", T.INT64, [1], [7])
    typed = helper.make_tensor("typed", T.FLOAT, [300], [0.5] * 300)
    return model(
        [
            node("Constant", [], ["c_int"], "ci", value_int=3),
            node("Constant", [], ["c_floats"], "cf", value_floats=[1.5, 2.5]),
            node("Constant", [], ["c_big"], "cb",
                 value=tensor("t", np.arange(300, dtype=np.float32))),
            node("ConstantOfShape", ["s"], ["sevens"], "fill", value=shape),
            node("Add", ["c_big", "typed"], ["sum"], "add"),
        ],  # fmt: skip
        [value("s", [2], T.INT64)],
        [value("c_int", [], T.INT64), value("c_floats", [2]), value("sum", [300]),
         value("sevens", ["n", "m"], T.INT64)],
        [typed],
    )  # fmt: skip


def functions():
    """A function in a function, with a referenced attribute and a default."""
    softmax = node("Softmax", ["a"], ["s"], "softmax")
    softmax.attribute.add(name="axis", ref_attr_name="ax", type=onnx.AttributeProto.INT)
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
    inner = helper.make_function(
        "local", "inner", ["a", "w"], ["b"],
        [softmax, node("Add", ["s", "w"], ["b"], "add")], imports, ["ax"],
    )  # fmt: skip
    outer = helper.make_function(
        "local", "outer", ["a", "w"], ["b"],
        [node("inner", ["a", "w"], ["t"], "first", domain="local", ax=0),
         node("inner", ["t", "w"], ["b"], "second", domain="local")],
        imports,
    )  # fmt: skip
    return model(
        [
            node("outer", ["x", "x"], ["h"], "one", domain="local"),
            node("outer", ["h", "x"], ["y"], "two", domain="local"),
        ],
        [value("x", ["n", 4])],
        [value("y", ["n", 4])],
        domains=["local"],
        functions=[inner, outer],
    )


def sequence():
    return model(
        [
            node("SplitToSequence", ["x", "one"], ["list"], "split", axis=0, keepdims=0),
            node("SequenceAt", ["list", "zero"], ["y"], "at"),
        ],
        [value("x", [2, "n"])],
        [value("y", None)],
        [tensor("one", np.int64(1)), tensor("zero", np.int64(0))],
    )


def external(path):
    weights = tensor("w", np.arange(600, dtype=np.float32))
    made = model([node("Add", ["x", "w"], ["y"])], [value("x", [600])],
                 [value("y", [600])], [weights])  # fmt: skip
    onnx.save(made, path, save_as_external_data=True, location="weights.bin",
              size_threshold=0)  # fmt: skip


def main():
    name, path = sys.argv[1:]
    if name == "external":
        external(path)
        return
    made = globals()[name]()
    with open(path, "wb") as file:
        file.write(made.SerializeToString())


if __name__ == "__main__":
    main()
