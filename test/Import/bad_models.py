# Makes models that are wrong in one way each and reads them with
# lathe-translate. Each must end with exit code 1 and one error block that names
# the file and what is wrong, in bounded time and memory. Models marked `good`
# look wrong and are not.
#
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s --tool lathe-translate --folder %t
#
# REQUIRES: onnxruntime

import argparse
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

# Sanitizers multiply the time (LATHE_TIME_FACTOR, set by lit.cfg.py).
MAX_SECONDS = 60 * float(os.environ.get("LATHE_TIME_FACTOR", 1))
MAX_MIB = 3072
CASES = []


def case(text="", good=False, options=()):
    """Registers a function that writes a model and returns its path; `text` is
    a regular expression that the error block must contain."""

    def register(function):
        CASES.append((function.__name__, function, text, good, options))
        return function

    return register


# ---------------------------------------------------------------------------
# Building blocks
# ---------------------------------------------------------------------------


def value(name, shape=(2, 3), kind=T.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def untyped(name):
    return onnx.ValueInfoProto(name=name)


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def node(op, inputs, outputs, name=None, **attributes):
    return helper.make_node(
        op, inputs, outputs, name=f"n_{op}" if name is None else name, **attributes
    )


def graph(nodes, inputs=None, outputs=None, initializers=(), sparse=()):
    return helper.make_graph(
        nodes,
        "g",
        [value("x")] if inputs is None else inputs,
        [untyped("y")] if outputs is None else outputs,
        list(initializers),
        sparse_initializer=list(sparse),
    )


def model(nodes, inputs=None, outputs=None, initializers=(), opset=17, **more):
    ir = more.pop("ir_version", 8)
    imports = more.pop("opset_imports", None)
    if imports is None:
        imports = [helper.make_opsetid("", opset)]
    return helper.make_model(
        graph(nodes, inputs, outputs, initializers, more.pop("sparse", ())),
        opset_imports=imports,
        ir_version=ir,
        **more,
    )


def relu_model(**more):
    return model([node("Relu", ["x"], ["y"])], **more)


def save(folder, content, name="model.onnx"):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.SerializeToString())
    return path


def weight_model(weight, op="Add"):
    """x op w, where w is the tensor at hand."""
    return model([node(op, ["x", weight.name], ["y"])], initializers=[weight])


def raw_tensor(dims, kind=T.FLOAT, raw=b"", name="w"):
    result = T(name=name, data_type=kind, raw_data=raw)
    result.dims.extend(dims)
    return result


def external(dims=(2, 3), kind=T.FLOAT, **entries):
    result = T(name="w", data_type=kind, data_location=T.EXTERNAL)
    result.dims.extend(dims)
    for key, text in entries.items():
        result.external_data.add(key=key, value=text)
    return result


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


# ---------------------------------------------------------------------------
# 1-15: the file
# ---------------------------------------------------------------------------


@case("is empty")
def empty_file(folder):
    return save(folder, b"")


@case("not an ONNX model")
def one_byte(folder):
    return save(folder, b"\x08")


@case("not an ONNX model|has no graph")
def random_kib(folder):
    return save(folder, random.Random(1).randbytes(1 << 10))


@case("not an ONNX model|has no graph")
def random_mib(folder):
    return save(folder, random.Random(2).randbytes(1 << 20))


def truncated(part):
    def write(folder):
        whole = model(
            [node("Add", ["x", "w"], ["h"]), node("Relu", ["h"], ["y"])],
            initializers=[tensor("w", np.ones((200, 2, 3), np.float32))],
        ).SerializeToString()
        return save(folder, whole[: len(whole) * part // 16])

    write.__name__ = f"truncated_{part}_16"
    return write


for sixteenth in range(1, 16):
    case()(truncated(sixteenth))


@case("not an ONNX model")
def text_file(folder):
    return save(folder, b"# not a model\nbut text\n")


@case("not an ONNX model")
def png_file(folder):
    return save(folder, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1")


@case("is a directory")
def directory(folder):
    return folder


@case("is a FIFO")
def fifo(folder):
    path = os.path.join(folder, "fifo")
    os.mkfifo(path)
    return path


@case("is a device")
def device(folder):
    return "/dev/zero"


@case("cannot be opened|not a regular file")
def unix_socket(folder):
    path = os.path.relpath(os.path.join(folder, "socket"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
    return path


@case("cannot be opened: No such file")
def missing_file(folder):
    return os.path.join(folder, "nothing.onnx")


@case("cannot be opened: Permission denied|.")
def unreadable_file(folder):
    path = save(folder, b"")
    os.chmod(path, 0)
    return path


@case("not an ONNX model|has no graph")
def other_schema(folder):
    info = helper.make_tensor_type_proto(T.FLOAT, (1, 2))
    return save(folder, info.SerializeToString())


def with_ir(version, text):
    def write(folder):
        made = relu_model()
        made.ir_version = version
        return save(folder, made)

    write.__name__ = f"ir_version_{version}"
    case(text)(write)


with_ir(0, "ir_version 0")
with_ir(-1, "ir_version -1")
with_ir(2**31 - 1, "ir_version 2147483647")


@case("has no ir_version")
def ir_version_missing(folder):
    made = relu_model()
    made.ClearField("ir_version")
    return save(folder, made)


@case("has no graph")
def no_graph(folder):
    made = relu_model()
    made.ClearField("graph")
    return save(folder, made)


@case("imports no opset")
def no_opset(folder):
    return save(folder, relu_model(opset_imports=[]))


@case("imports the default domain twice")
def opset_twice(folder):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx", 17)]
    return save(folder, relu_model(opset_imports=imports))


@case("imports version 0 of the default domain")
def opset_zero(folder):
    return save(folder, relu_model(opset=0))


@case("imports opset 10000.*newest")
def opset_huge(folder):
    return save(folder, relu_model(opset=10000))


@case("n_Relu.*domain 'org.nobody' is unknown")
def unknown_domain(folder):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("org.nobody", 1)]
    made = model(
        [helper.make_node("Relu", ["x"], ["y"], "n_Relu", domain="org.nobody")],
        opset_imports=imports,
    )
    return save(folder, made)


@case("imports no version of domain 'com.microsoft'")
def domain_not_imported(folder):
    made = model(
        [helper.make_node("Gelu", ["x"], ["y"], "n", domain="com.microsoft")]
    )
    return save(folder, made)


@case("bad varint")
def varint_overflow(folder):
    return save(folder, b"\x08" + b"\xff" * 9 + b"\x7f")


@case("bad length|beyond the end")
def length_too_long(folder):
    return save(folder, b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + b"x" * 20)


@case("beyond the end")
def string_of_two_gib(folder):
    return save(folder, b"\x08\x08" + b"\x12" + varint(2**31) + b"x" * 20)


@case("nested deeper than 64 levels")
def nested_10000_graphs(folder):
    body = b""
    for _ in range(10000):
        # graph.node.attribute.g, each inside the next
        body = field(1, field(5, field(6, body)))
    return save(folder, b"\x08\x08" + field(7, body))


@case("control flow is not supported")
def nested_60_graphs(folder):
    # By hand: the Python classes do not nest this deep.
    body = graph([], [], [value("y", None)]).SerializeToString()
    for _ in range(60):
        branch = field(1, b"then_branch") + field(6, body) + varint(20 << 3) + b"\5"
        body = field(1, field(2, b"y") + field(4, b"If") + field(5, branch))
    made = relu_model()
    made.ClearField("graph")
    return save(folder, made.SerializeToString() + field(7, body))


@case("broken|wire type")
def group_wire_type(folder):
    return save(folder, b"\x08\x08" + b"\x1b\x1b\x1c\x1c")


@case(good=True)
def unknown_fields(folder):
    made = relu_model().SerializeToString()
    return save(folder, made + field(9999, b"future") + field(7, field(8888, b"")))


def with_data_type(code, text):
    def write(folder):
        weight = raw_tensor((2, 3), T.FLOAT, bytes(24))
        weight.data_type = code
        return save(folder, weight_model(weight))

    write.__name__ = f"data_type_{code}"
    case(text)(write)


with_data_type(0, "initializer 'w': has the unknown element type 0")
with_data_type(99, "initializer 'w': has the unknown element type 99")
with_data_type(2**30, "unknown element type 1073741824")


@case("reserved in TensorProto")
def forged_payload_fields(folder):
    made = weight_model(raw_tensor((2, 3), raw=bytes(24)))
    weight = made.graph.initializer[0].SerializeToString()
    weight += varint(50001 << 3) + varint(0) + varint(50002 << 3) + varint(24)
    made.graph.ClearField("initializer")
    whole = made.SerializeToString() + field(7, field(5, weight))
    return save(folder, whole)


def with_node_name(label, name, text):
    def write(folder):
        # By hand: the Python classes take UTF-8 only.
        body = field(1, b"nowhere") + field(2, b"y") + field(3, name) + field(4, b"Relu")
        rest = graph([]).SerializeToString()
        head = relu_model()
        head.ClearField("graph")
        return save(folder, head.SerializeToString() + field(7, field(1, body) + rest))

    write.__name__ = f"name_{label}"
    case(text)(write)


with_node_name("invalid_utf8", b"a\xff\xfeb", r"node 'a\\xFF\\xFEb' \(Relu")
with_node_name("nul", b"a\0b", r"node 'a\\x00b' \(Relu")
with_node_name("newline", b"a\nerror: x", r"node 'a\\nerror: x' \(Relu")
with_node_name("escape", b"\x1b[31mred", r"node '\\x1B\[31mred' \(Relu")
with_node_name("c1_escape", b"\xc2\x9b31mred", r"node '\\xC2\\x9B31mred' \(Relu")
with_node_name("bidi", "a\u202eb".encode(), r"node 'a\\xE2\\x80\\xAEb' \(Relu")
with_node_name("mib", b"n" * (1 << 20), r"n\.\.\. \(1048576 bytes\)' \(Relu")


# ---------------------------------------------------------------------------
# 16-30: the graph
# ---------------------------------------------------------------------------


@case(r"form a cycle: node 'a'.* <- node 'b'.* <- node 'a'|cycle: node 'b'")
def cycle_of_two(folder):
    return save(
        folder,
        model([node("Add", ["x", "q"], ["p"], "a"), node("Relu", ["p"], ["q"], "b"),
               node("Relu", ["q"], ["y"], "c")]),  # fmt: skip
    )


@case("form a cycle: node 'a'")
def self_loop(folder):
    return save(folder, model([node("Add", ["x", "y"], ["y"], "a")]))


@case(r"form a cycle: .* <- \.\.\. <- ")
def cycle_of_many(folder):
    nodes = [node("Relu", [f"v{(i + 1) % 100}"], [f"v{i}"], f"n{i}") for i in range(100)]
    return save(folder, model(nodes + [node("Relu", ["v0"], ["y"])]))


@case(r"node 'n_Add' \(Add, opset 17\): input 1 'nowhere' is produced by nothing")
def unknown_input(folder):
    return save(folder, model([node("Add", ["x", "nowhere"], ["y"])]))


@case("output 'y' is produced by node 'a'.* as well")
def two_producers(folder):
    return save(
        folder, model([node("Relu", ["x"], ["y"], "a"), node("Neg", ["x"], ["y"], "b")])
    )


@case("output 'w' is an initializer as well")
def producer_and_initializer(folder):
    made = weight_model(tensor("w", np.ones((2, 3), np.float32)))
    made.graph.node.append(node("Relu", ["x"], ["w"]))
    return save(folder, made)


@case(good=True)
def input_and_initializer(folder):
    made = weight_model(tensor("w", np.ones((2, 3), np.float32)))
    made.graph.input.append(value("w"))
    return save(folder, made)


@case("initializer 'w': the name is an initializer already")
def initializer_twice(folder):
    made = weight_model(tensor("w", np.ones((2, 3), np.float32)))
    made.graph.initializer.append(made.graph.initializer[0])
    return save(folder, made)


@case("input 'x': is declared twice")
def input_twice(folder):
    return save(folder, relu_model(inputs=[value("x"), value("x")]))


@case("output 'nowhere': is produced by nothing")
def unknown_output(folder):
    return save(folder, relu_model(outputs=[value("nowhere")]))


@case("output 'y': is declared twice")
def output_twice(folder):
    return save(folder, relu_model(outputs=[value("y"), value("y")]))


@case("graph: has no outputs")
def no_outputs(folder):
    return save(folder, relu_model(outputs=[]))


@case("output 'y': is declared as i64 and computed as f32")
def output_of_other_type(folder):
    return save(folder, relu_model(outputs=[value("y", (2, 3), T.INT64)]))


@case("reads 'h' before node 'a'.*\n.*hint: .*topological")
def not_sorted(folder):
    return save(
        folder, model([node("Relu", ["h"], ["y"], "b"), node("Relu", ["x"], ["h"], "a")])
    )


@case(r"node 'n_' \(\?, opset 17\): has no op_type")
def empty_op_type(folder):
    return save(folder, model([node("", ["x"], ["y"])]))


@case("Frobnicate.*not supported(.*\n)+hint: docs/SupportedOps.md")
def unknown_operator(folder):
    return save(folder, model([node("Frobnicate", ["x"], ["y"])]))


@case("3 problems\n.*Foo.*and 1 more like it.*\n.*Bar")
def unknown_operators_listed_together(folder):
    return save(
        folder,
        model([node("Foo", ["x"], ["a"]), node("Foo", ["a"], ["b"]),
               node("Bar", ["b"], ["y"])]),  # fmt: skip
    )


@case("com.microsoft.Relu.*not supported")
def operator_of_other_domain(folder):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = model(
        [helper.make_node("Relu", ["x"], ["y"], "n", domain="com.microsoft")],
        opset_imports=imports,
    )
    return save(folder, made)


@case("has 0 inputs, takes 2")
def no_inputs(folder):
    return save(folder, model([node("Add", [], ["y"])]))


@case("has 3 inputs, takes 2")
def too_many_inputs(folder):
    return save(folder, model([node("Add", ["x", "x", "x"], ["y"])]))


@case("has 2 outputs, gives 1")
def too_many_outputs(folder):
    return save(folder, model([node("Add", ["x", "x"], ["y", "z"])]))


@case("input 0 'A' is required and left out")
def required_input_left_out(folder):
    return save(folder, model([node("Add", ["", "x"], ["y"])]))


@case("attribute 'axis' is of type float, wanted is int")
def attribute_of_wrong_type(folder):
    return save(folder, model([node("Softmax", ["x"], ["y"], axis=1.5)]))


@case("attribute 'axis' is given twice")
def attribute_twice(folder):
    made = model([node("Softmax", ["x"], ["y"], axis=1)])
    made.graph.node[0].attribute.append(made.graph.node[0].attribute[0])
    return save(folder, made)


@case("attribute 'to' is missing")
def attribute_missing(folder):
    return save(folder, model([node("Cast", ["x"], ["y"])]))


@case("attribute 'colour' is unknown")
def attribute_unknown(folder):
    return save(folder, model([node("Relu", ["x"], ["y"], colour="red")]))


@case("attribute 'axis' has no value")
def attribute_without_value(folder):
    made = model([node("Softmax", ["x"], ["y"], axis=1)])
    made.graph.node[0].attribute[0].ClearField("i")
    return save(folder, made)


@case("attribute 'axis' refers to an attribute of a function")
def reference_outside_function(folder):
    made = model([node("Softmax", ["x"], ["y"])])
    made.graph.node[0].attribute.add(
        name="axis", ref_attr_name="axis", type=onnx.AttributeProto.INT
    )
    return save(folder, made)


def control(name, then_nodes, else_nodes, text):
    def write(folder):
        branches = [
            graph(nodes, [], [value("b", None)]) for nodes in (then_nodes, else_nodes)
        ]
        made = model(
            [node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])],
            inputs=[value("x"), value("c", (), T.BOOL)],
        )
        return save(folder, made)

    write.__name__ = name
    case(text)(write)


control(
    "name_of_sibling_branch",
    [node("Relu", ["x"], ["s"]), node("Relu", ["s"], ["b"])],
    [node("Relu", ["s"], ["b"])],
    "n_If.*control flow is not supported",
)


@case("n_Loop.*control flow is not supported")
def loop_of_huge_count(folder):
    body = graph(
        [node("Identity", ["c"], ["c2"])],
        [value("i", (), T.INT64), value("c", (), T.BOOL)],
        [value("c2", (), T.BOOL)],
    )
    made = model(
        [node("Loop", ["m", ""], ["y"], body=body)],
        initializers=[tensor("m", np.int64(2**63 - 1))],
    )
    return save(folder, made)


def function(name, nodes, inputs=("a",), outputs=("b",), **more):
    return helper.make_function(
        "local", name, list(inputs), list(outputs), nodes,
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)], **more
    )  # fmt: skip


def call(name, inputs=("x",), outputs=("y",), label=None, **attributes):
    return helper.make_node(
        name, list(inputs), list(outputs), label or f"call_{name}", domain="local",
        **attributes
    )  # fmt: skip


def function_model(nodes, functions):
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return model(nodes, opset_imports=imports, functions=functions)


@case("function 'f': calls itself")
def function_recursion(folder):
    return save(folder, function_model([call("f")], [function("f", [call("f", "a", "b")])]))


@case("function 'f': calls itself")
def function_mutual_recursion(folder):
    functions = [function("f", [call("g", "a", "b")]), function("g", [call("f", "a", "b")])]
    return save(folder, function_model([call("f")], functions))


@case("has 10001 functions, at most 10000")
def too_many_functions(folder):
    functions = [function(f"f{i}", [node("Relu", ["a"], ["b"])]) for i in range(10001)]
    return save(folder, function_model([call("f0")], functions))


@case("function 'f': is defined twice")
def function_twice(folder):
    functions = [function("f", [node("Relu", ["a"], ["b"])])] * 2
    return save(folder, function_model([call("f")], functions))


@case("depth of more than 100")
def function_too_deep(folder):
    functions = [function("f0", [node("Relu", ["a"], ["b"])])]
    functions += [function(f"f{i}", [call(f"f{i - 1}", "a", "b")]) for i in range(1, 150)]
    return save(folder, function_model([call("f149")], functions))


@case("expand to more than 1000000 nodes")
def function_doubling(folder):
    functions = [function("f0", [node("Relu", ["a"], ["b"], "r")])]
    for i in range(1, 60):
        body = [
            call(f"f{i - 1}", ["a"], ["t"], "c"),
            call(f"f{i - 1}", ["t"], ["b"], "d"),
        ]
        functions.append(function(f"f{i}", body))
    return save(folder, function_model([call("f59", label="c")], functions))


@case(good=True)
def functions_that_work(folder):
    body = [node("Softmax", ["a"], ["s"], "s"), node("Add", ["s", "a"], ["b"], "a")]
    body[0].attribute.add(name="axis", ref_attr_name="ax", type=onnx.AttributeProto.INT)
    inner = function("f", body, attributes=["ax"])
    outer = function(
        "g",
        [call("f", ["a"], ["t"], "first", ax=0), call("f", ["t"], ["b"], "second")],
        outputs=("b", "a"),
    )
    nodes = [
        call("g", ["x"], ["h", "same"]),
        call("g", ["h"], ["k"], "again"),
        node("Add", ["k", "same"], ["y"]),
    ]
    return save(folder, function_model(nodes, [inner, outer]))


@case(good=True)
def million_nodes(folder):
    count = 1_000_000
    # Written by hand: the Python classes take a minute for this.
    nodes = b"".join(
        field(1, field(1, b"v%d" % i) + field(2, b"v%d" % (i + 1)) + field(4, b"Relu"))
        for i in range(count)
    )
    rest = graph([], [value("v0")], [value(f"v{count}", None)]).SerializeToString()
    head = relu_model()
    head.ClearField("graph")
    return save(folder, head.SerializeToString() + field(7, nodes + rest))


@case("form a cycle")
def million_nodes_in_a_cycle(folder):
    count = 1_000_000
    nodes = b"".join(
        field(1, field(1, b"v%d" % i) + field(2, b"v%d" % ((i + 1) % count))
              + field(4, b"Relu"))
        for i in range(count)
    )  # fmt: skip
    rest = graph([], [value("x")], [value("v1", None)]).SerializeToString()
    head = relu_model()
    head.ClearField("graph")
    return save(folder, head.SerializeToString() + field(7, nodes + rest))


@case(good=True)
def doubling_paths(folder):
    nodes = [node("Add", [f"v{i}", f"v{i}"], [f"v{i + 1}"], "") for i in range(40)]
    return save(folder, model(nodes, [value("v0")], [value("v40", None)]))


@case("impossible extent")
def doubling_extent(folder):
    nodes = [
        node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], f"c{i}", axis=0)
        for i in range(60)
    ]
    return save(folder, model(nodes, [value("v0")], [value("v60", None)]))


# ---------------------------------------------------------------------------
# 31-44: tensors
# ---------------------------------------------------------------------------


def with_tensor(name, made, text, good=False, op="Add"):
    def write(folder):
        return save(folder, weight_model(made, op))

    write.__name__ = name
    case(text, good)(write)


with_tensor("dims_overflow", raw_tensor((2**32, 2**32)), "impossible number of elements")
with_tensor("dims_overflow_bytes", raw_tensor((2**62, 4)), "impossible number")
with_tensor("negative_dim", raw_tensor((-2, 3)), "negative extent -2")
with_tensor("zero_dim_with_data", raw_tensor((0, 3), raw=bytes(24)), "24 bytes.*needs 0")
with_tensor("rank_10000", raw_tensor((1,) * 10000, raw=bytes(4)), "rank 10000")
with_tensor("raw_short", raw_tensor((2, 3), raw=bytes(20)), "20 bytes, 2x3xf32 needs 24")
with_tensor("raw_long", raw_tensor((2, 3), raw=bytes(28)), "28 bytes, 2x3xf32 needs 24")
with_tensor("raw_odd", raw_tensor((2, 3), raw=bytes(23)), "23 bytes, 2x3xf32 needs 24")
NO_DATA = T(name="w", data_type=T.FLOAT, dims=(2, 3))
with_tensor("no_data", NO_DATA, "0 values, 2x3xf32 needs 6")
with_tensor("huge_declared", raw_tensor((10**5, 10**6), raw=bytes(40)), "needs 400000000000")

BOTH = raw_tensor((2, 3), raw=bytes(24))
BOTH.float_data.extend([1.0] * 6)
with_tensor("raw_and_typed", BOTH, "more than one kind of data")

WRONG_FIELD = T(name="w", data_type=T.INT8, dims=(2, 3), float_data=[1.0] * 6)
with_tensor("float_data_for_int8", WRONG_FIELD, "field that is not the one of i8")

TOO_BIG = T(name="w", data_type=T.INT8, dims=(2,), int32_data=[1, 300])
with_tensor("value_beyond_type", TOO_BIG, "value 300 in int32_data, which i8 cannot hold")

SHORT = T(name="w", data_type=T.FLOAT, dims=(2, 3), float_data=[1.0] * 5)
with_tensor("typed_short", SHORT, "5 values, 2x3xf32 needs 6")

SEGMENT = T(name="w", data_type=T.FLOAT, dims=(2, 3), raw_data=bytes(24))
SEGMENT.segment.begin, SEGMENT.segment.end = 0, 6
with_tensor("segment", SEGMENT, "segments")


def int4_model(weight):
    return model(
        [node("DequantizeLinear", ["w", "s"], ["y"])],
        initializers=[weight, tensor("s", np.float32(0.5))],
        opset=21,
        ir_version=10,
    )


def with_int4(name, weight, text, good=False):
    def write(folder):
        return save(folder, int4_model(weight))

    write.__name__ = name
    case(text, good)(write)


with_int4("int4_odd", raw_tensor((3,), T.INT4, b"\x21\x03"), "", good=True)
with_int4("int4_short", raw_tensor((3,), T.INT4, b"\x21"), "1 bytes, 3xi4 needs 2")
with_int4("int4_padding", raw_tensor((3,), T.INT4, b"\x21\xf3"), "padding bits")
with_int4("uint4_typed", T(name="w", data_type=T.UINT4, dims=(3,),
                           int32_data=[0x21, 0x03]), "", good=True)  # fmt: skip


def add_typed(name, array, text, good=False):
    def write(folder):
        weight = tensor("w", array)
        made = model(
            [node("Add", ["x", "w"], ["y"])],
            [value("x", (2, 3), weight.data_type)],
            initializers=[weight],
        )
        return save(folder, made)

    write.__name__ = name
    case(text, good)(write)


add_typed("string_tensor", np.array(["a", "b"], dtype=object), "element type string")
add_typed("complex_tensor", np.ones((2, 3), np.complex64), r"complex<f32>")
add_typed("special_floats", np.float32([np.nan, np.inf, -0.0]), "", good=True)


@case("boolean byte 2")
def bool_byte(folder):
    made = model(
        [node("Where", ["w", "x", "x"], ["y"])],
        initializers=[raw_tensor((2, 3), T.BOOL, b"\0\1\0\1\0\2")],
    )
    return save(folder, made)


@case("initializer 'w': is sparse")
def sparse_initializer(folder):
    values = tensor("w", np.float32([1, 2]))
    indices = tensor("w_i", np.int64([5, 5]))
    sparse = helper.make_sparse_tensor(values, indices, [2, 3])
    return save(folder, model([node("Add", ["x", "w"], ["y"])], sparse=[sparse]))


@case("attribute 'sparse_value' is unknown")
def sparse_constant(folder):
    sparse = helper.make_sparse_tensor(
        tensor("v", np.float32([1])), tensor("i", np.int64([0])), [6]
    )
    return save(folder, model([node("Constant", [], ["y"], sparse_value=sparse)]))


@case("attribute 'value' has 20 bytes, 2x3xf32 needs 24")
def constant_short(folder):
    return save(
        folder, model([node("Constant", [], ["y"], value=raw_tensor((2, 3), raw=bytes(20)))])
    )


@case("has 2 attributes, exactly one holds the value")
def constant_twice(folder):
    return save(folder, model([node("Constant", [], ["y"], value_int=1, value_float=2.0)]))


@case("input 'x': has the impossible extent -1")
def negative_input_dim(folder):
    return save(folder, relu_model(inputs=[value("x", (-1, 3))]))


@case("input 'x': has no shape")
def input_without_shape(folder):
    return save(folder, relu_model(inputs=[value("x", None)]))


@case("input 'x': is not a tensor")
def sequence_input(folder):
    info = helper.make_tensor_sequence_value_info("x", T.FLOAT, (2, 3))
    return save(folder, relu_model(inputs=[info]))


@case("input 1 'B' has element type i64, but input 0 has f32")
def unlike_types(folder):
    made = model(
        [node("Add", ["x", "w"], ["y"])], initializers=[tensor("w", np.int64([1]))]
    )
    return save(folder, made)


@case("element type i64, wanted is float")
def type_not_allowed(folder):
    made = model([node("Exp", ["w"], ["y"])], initializers=[tensor("w", np.int64([1]))])
    return save(folder, made)


@case("names element type string")
def cast_to_string(folder):
    return save(folder, model([node("Cast", ["x"], ["y"], to=T.STRING)]))


@case("names element type 77")
def cast_to_unknown(folder):
    return save(folder, model([node("Cast", ["x"], ["y"], to=77)]))


# ---------------------------------------------------------------------------
# 45-54: external data
# ---------------------------------------------------------------------------


def write_data(folder, name="w.bin", size=24):
    with open(os.path.join(folder, name), "wb") as file:
        file.write(bytes(size))


def with_external(name, text, good=False, options=(), **entries):
    def write(folder):
        inner = os.path.join(folder, "inner")
        os.mkdir(inner)
        write_data(folder, "outside.bin")
        write_data(inner)
        return save(inner, weight_model(external(**entries)))

    write.__name__ = name
    case(text, good, options)(write)


with_external("external_good", "", good=True, location="w.bin", offset="0", length="24")
with_external("external_dots_inside", "", good=True, location="../inner/./w.bin")
with_external("external_parent", "outside the model's folder(.*\n)+hint: --external-data-root",
              location="../outside.bin")
with_external("external_nested_parent", "cannot be opened|outside the model's folder",
              location="a/../../outside.bin")
with_external("external_absolute", "is an absolute path", location="/etc/passwd")
with_external("external_drive", "names a drive", location="C:w.bin")
with_external("external_backslash", "contains a backslash", location="..\\outside.bin")
with_external("external_empty", "is empty", location="")
with_external("external_dot", "is a directory", location=".")
with_external("external_url", "is a URL", location="http://example.org/w.bin")
with_external("external_long", "longer than a path", location="a" * 10240)
with_external("external_nul", "contains a NUL", location="w.bin\0.txt")
with_external("external_missing", "cannot be opened: No such file", location="no.bin")
with_external("external_memory_marker", "cannot be opened",
              location="*_ORT_MEM_ADDR_*")
with_external("external_memory_marker_slash", "cannot be opened",
              location="*/_ORT_MEM_ADDR_/*")
with_external("external_without_location", "without a location", offset="0")
for label, offset in {"negative": "-1", "beyond": "100", "huge": str(2**64 - 8),
                      "beyond64": str(2**64), "text": "none", "hex": "0x10",
                      "exponent": "1e1", "space": " 7", "plus": "+1",
                      "blank": ""}.items():  # fmt: skip
    with_external(
        f"external_offset_{label}",
        "not a number of bytes|w.bin', which has 24",
        location="w.bin",
        offset=offset,
    )
for label, length in {"negative": "-24", "zero": "0", "larger": "1000",
                      "unlike": "20", "huge": str(2**64 - 1)}.items():  # fmt: skip
    with_external(
        f"external_length_{label}",
        "not a number of bytes|external data of",
        location="w.bin",
        length=length,
    )
with_external("external_unknown_key", "unknown key '__class__'", location="w.bin",
              __class__="x")


@case("the key 'location' twice")
def external_key_twice(folder):
    write_data(folder)
    weight = external(location="w.bin")
    weight.external_data.add(key="location", value="w.bin")
    return save(folder, weight_model(weight))


@case("needs bytes 0 to 0.400000000000 of external data")
def external_too_small(folder):
    write_data(folder, size=10)
    return save(folder, weight_model(external((10**5, 10**6), location="w.bin")))


@case("more than one kind of data")
def external_and_raw(folder):
    write_data(folder)
    weight = external(location="w.bin")
    weight.raw_data = bytes(24)
    return save(folder, weight_model(weight))


@case("data_location is not EXTERNAL")
def external_not_said(folder):
    write_data(folder)
    weight = external(location="w.bin")
    weight.data_location = T.DEFAULT
    return save(folder, weight_model(weight))


@case("is a directory")
def external_directory(folder):
    os.mkdir(os.path.join(folder, "w.bin"))
    return save(folder, weight_model(external(location="w.bin")))


@case("is a FIFO")
def external_fifo(folder):
    os.mkfifo(os.path.join(folder, "w.bin"))
    return save(folder, weight_model(external(location="w.bin")))


@case("is a device|outside the model's folder")
def external_link_to_device(folder):
    os.symlink("/dev/zero", os.path.join(folder, "w.bin"))
    return save(folder, weight_model(external(location="w.bin")))


def link_folders(folder):
    inner = os.path.join(folder, "inner")
    os.mkdir(inner)
    write_data(folder, "outside.bin")
    return inner


@case("outside the model's folder")
def external_link_outside(folder):
    inner = link_folders(folder)
    os.symlink("../outside.bin", os.path.join(inner, "w.bin"))
    return save(inner, weight_model(external(location="w.bin")))


@case("outside the model's folder")
def external_link_chain(folder):
    inner = link_folders(folder)
    os.symlink("../outside.bin", os.path.join(inner, "b"))
    os.symlink("b", os.path.join(inner, "w.bin"))
    return save(inner, weight_model(external(location="w.bin")))


@case("outside the model's folder")
def external_folder_link_outside(folder):
    inner = link_folders(folder)
    os.symlink("..", os.path.join(inner, "up"))
    return save(inner, weight_model(external(location="up/outside.bin")))


@case("cannot be opened: Too many levels")
def external_link_loop(folder):
    os.symlink("w.bin", os.path.join(folder, "w.bin"))
    return save(folder, weight_model(external(location="w.bin")))


@case(good=True)
def external_link_inside(folder):
    write_data(folder, "data.bin")
    os.symlink("data.bin", os.path.join(folder, "w.bin"))
    return save(folder, weight_model(external(location="w.bin")))


@case(good=True)
def external_cache_of_links(folder):
    # As in a hub's cache: a folder of links into a flat folder of blobs.
    blobs, snapshot = os.path.join(folder, "blobs"), os.path.join(folder, "snapshot")
    os.mkdir(blobs)
    os.mkdir(snapshot)
    write_data(blobs, "abc")
    save(blobs, weight_model(external(location="w.bin")), "def")
    os.symlink("../blobs/abc", os.path.join(snapshot, "w.bin"))
    os.symlink("../blobs/def", os.path.join(snapshot, "model.onnx"))
    return os.path.join(snapshot, "model.onnx")


@case("has 2 names")
def external_hard_link(folder):
    inner = link_folders(folder)
    os.link(os.path.join(folder, "outside.bin"), os.path.join(inner, "w.bin"))
    return save(inner, weight_model(external(location="w.bin")))


@case(good=True, options=["--external-data-root={folder}/roots"])
def external_extra_root(folder):
    os.mkdir(os.path.join(folder, "roots"))
    write_data(os.path.join(folder, "roots"))
    os.mkdir(os.path.join(folder, "inner"))
    return save(
        os.path.join(folder, "inner"), weight_model(external(location="w.bin"))
    )


@case(good=True)
def external_overlap(folder):
    write_data(folder, size=28)
    first, second = external(location="w.bin"), external(location="w.bin", offset="4")
    second.name = "v"
    made = model(
        [node("Add", ["x", "w"], ["h"]), node("Add", ["h", "v"], ["y"])],
        initializers=[first, second],
    )
    return save(folder, made)


# ---------------------------------------------------------------------------
# 55-77, as far as a look at the graph shows them
# ---------------------------------------------------------------------------


def with_constant(name, op, constants, text, opset=17, inputs=None, good=False, **attributes):
    """op(x, constants...)"""

    def write(folder):
        names = [f"c{i}" if c is not None else "" for i, c in enumerate(constants)]
        weights = [tensor(n, c) for n, c in zip(names, constants) if n]
        made = model(
            [node(op, ["x", *names], ["y"], **attributes)],
            inputs,
            initializers=weights,
            opset=opset,
            ir_version=13 if opset > 17 else 8,
        )
        return save(folder, made)

    write.__name__ = name
    case(text, good)(write)


I64 = np.int64
with_constant("reshape_two_inferred", "Reshape", [I64([-1, -1])], "more than one -1")
with_constant("reshape_impossible", "Reshape", [I64([4, 2])], "6 elements do not fill")
with_constant("reshape_indivisible", "Reshape", [I64([-1, 4])], "6 elements do not fill")
with_constant("reshape_negative", "Reshape", [I64([-2, 3])], "an extent -2")
with_constant("reshape_zero_and_inferred", "Reshape", [I64([-1, 0])], "both -1 and",
              allowzero=1)
with_constant("reshape_huge", "Reshape", [I64([2**40, 2**40])], "more than 2.64")
with_constant("transpose_repeats", "Transpose", [], "not a permutation", perm=[0, 0])
with_constant("transpose_length", "Transpose", [], "3 entries for rank 2", perm=[0, 1, 2])
with_constant("transpose_negative", "Transpose", [], "not a permutation", perm=[-1, 0])
with_constant("concat_axis", "Concat", [np.ones((2, 3), np.float32)],
              "axis 2 is outside", axis=2)
with_constant("concat_axis_least", "Concat", [np.ones((2, 3), np.float32)],
              "axis -9223372036854775808 is outside", axis=-(2**63))
with_constant("concat_extents", "Concat", [np.ones((2, 4), np.float32)],
              "extents 3 and 4 in dim 1", axis=0)
with_constant("concat_ranks", "Concat", [np.ones(2, np.float32)], "rank 1", axis=0)
with_constant("slice_step_zero", "Slice", [I64([0]), I64([1]), I64([0]), I64([0])],
              "step is 0")
with_constant("slice_axis", "Slice", [I64([0]), I64([1]), I64([5])], "axis 5 is outside")
with_constant("slice_least_bounds", "Slice", [I64([-(2**63)]), I64([2**63 - 1])], "",
              good=True)
with_constant("gather_index", "Gather", [I64([2])], r"index 2 is outside \[-2, 2\)")
with_constant("gather_index_negative", "Gather", [I64([-3])], "index -3 is outside")
with_constant("split_sum", "Split", [I64([1, 1])], "2 sizes for 1 outputs")
with_constant("split_sum_wrong", "Split", [I64([5])], "add up to 5, the extent is 2")
with_constant("split_negative", "Split", [I64([-1])], "impossible size -1")
with_constant("unsqueeze_twice", "Unsqueeze", [I64([0, 0])], "axis 0 is given twice")
with_constant("squeeze_extent", "Squeeze", [I64([0])], "extent 2, not 1")
with_constant("expand_negative", "Expand", [I64([-1, 3])], "negative extent -1")
with_constant("matmul_inner", "MatMul", [np.ones((4, 2), np.float32)],
              "inner extents 3 and 4 differ")
with_constant("add_extents", "Add", [np.ones((2, 4), np.float32)],
              "extents 3 and 4 do not broadcast")
with_constant("layer_norm_axis", "LayerNormalization", [np.ones(3, np.float32)],
              "axis 7 is outside", axis=7)
with_constant("layer_norm_epsilon", "LayerNormalization", [np.ones(3, np.float32)],
              "epsilon is negative", epsilon=-1.0)
with_constant("layer_norm_epsilon_nan", "LayerNormalization", [np.ones(3, np.float32)],
              "not a number", epsilon=float("nan"))
with_constant("top_k", "TopK", [I64([9])], "2 problems|k is 9, the axis has 3|outputs")
with_constant("one_hot_depth", "OneHot", [I64(-2), np.float32([0, 1])], "depth -2")
with_constant("reduce_axis", "ReduceMean", [], "axis 5 is outside", axes=[5])

with_constant("tile_negative", "Tile", [I64([-1, 1])], "repeats has the impossible entry -1")
with_constant("tile_length", "Tile", [I64([2])], "repeats has 1 entries for rank 2")
with_constant("pad_negative_extent", "Pad", [I64([-5, 0, 0, 0])],
              "pads leave a negative extent in dim 0")
with_constant("pad_length", "Pad", [I64([1, 0, 0])], "pads has 3 entries for 2 axes")
with_constant("pad_huge", "Pad", [I64([2**63 - 1, 0, 2**63 - 1, 0])],
              "pads has the impossible entry")
with_constant("pad_mode", "Pad", [I64([1, 0, 0, 0])], "unknown mode 'mirror'", mode="mirror")
for name, scale in (("zero", 0), ("negative", -1), ("nan", np.nan), ("infinite", np.inf)):
    with_constant(f"resize_{name}", "Resize", [None, np.float32([scale, 1])],
                  "a scale is not a positive number")
with_constant("resize_sizes", "Resize", [None, None, I64([-1, 2])],
              "sizes has the impossible entry -1")
with_constant("resize_mode", "Resize", [None, np.float32([2, 2])], "unknown mode 'area'",
              mode="area")
with_constant("upsample_zero", "Upsample", [np.float32([0, 1])],
              "a scale is not a positive number", opset=9)
with_constant("split_outputs", "Split", [], "num_outputs is 3, the node has 1 outputs",
              opset=18, num_outputs=3)
with_constant("split_none", "Split", [], "num_outputs is 0", opset=18, num_outputs=0)
with_constant("trilu_rank", "Trilu", [], "rank 1, wanted is 2 or more", inputs=[value("x", (3,))])
with_constant("eye_rank", "EyeLike", [], "rank 1, wanted is 2", inputs=[value("x", (3,))])
with_constant("one_hot_values", "OneHot", [I64(3), np.float32([0, 1, 2])],
              "values are not two numbers", inputs=[value("x", (2,), T.INT64)])
with_constant("shift_direction", "BitShift", [np.uint32([1])], "direction is 'UP'",
              inputs=[value("x", (2,), T.UINT32)], direction="UP")
with_constant("prelu_slope", "PRelu", [np.ones(2, np.float32)],
              "input 1 has extent 2 where operand 0 has 3")
with_constant("layer_norm_scale", "LayerNormalization", [np.ones(2, np.float32)],
              "input 1 has extent 2 where operand 0 has 3")
with_constant("reverse_axes", "ReverseSequence", [I64([1, 1])], "batch_axis and time_axis",
              batch_axis=0, time_axis=0)

IMAGE = [value("x", (1, 4, 8, 8))]
for op, extent in (("DepthToSpace", "4 is no multiple of 9"),
                   ("SpaceToDepth", "8 is no multiple of 3")):  # fmt: skip
    with_constant(f"{op}_extent", op, [], extent, inputs=IMAGE, blocksize=3)
    with_constant(f"{op}_zero", op, [], "blocksize is not positive", inputs=IMAGE, blocksize=0)
    with_constant(f"{op}_huge", op, [], "is impossible", inputs=IMAGE, blocksize=2**62)
with_constant("lrn_size", "LRN", [], "size is not positive", inputs=IMAGE, size=0)
with_constant("batch_norm_channels", "BatchNormalization", [np.ones(2, np.float32)] * 4,
              "input 1 has 2 entries for 4 channels", inputs=IMAGE)
with_constant("instance_norm_channels", "InstanceNormalization", [np.ones(4, np.float32)] * 2,
              "wanted is 3 or more", inputs=[value("x", (2, 4))])
with_constant("group_norm_scale", "GroupNormalization", [np.ones(4, np.float32)] * 2,
              "input 1 wants 2 entries", inputs=IMAGE, opset=18, num_groups=2)
with_constant("group_norm_channels", "GroupNormalization", [np.ones(2, np.float32)] * 2,
              "input 1 has 2 entries for 4 channels", inputs=IMAGE, opset=21, num_groups=2)
with_constant("grid_places", "GridSample", [np.zeros((1, 2, 2, 3), np.float32)],
              "places of 3 numbers, wanted are 2", inputs=IMAGE)
KERNEL = np.ones((4, 4, 3, 3), np.float32)
with_constant("conv_strides_length", "Conv", [KERNEL], "strides has 3 entries for 2",
              inputs=IMAGE, strides=[1, 1, 1])
with_constant("conv_dilations_length", "Conv", [KERNEL], "dilations has 1 entries for 2",
              inputs=IMAGE, dilations=[1])
with_constant("conv_kernel_length", "Conv", [KERNEL], "kernel_shape has 1 entries",
              inputs=IMAGE, kernel_shape=[3])
with_constant("conv_stride_zero", "Conv", [KERNEL], "strides has the impossible entry 0",
              inputs=IMAGE, strides=[0, 1])
with_constant("conv_group_zero", "Conv", [KERNEL], "group is not positive",
              inputs=IMAGE, group=0)
with_constant("conv_channels", "Conv", [KERNEL], "channels in 3 groups",
              inputs=IMAGE, group=3)
with_constant("conv_pad_negative", "Conv", [KERNEL], "pads has the impossible entry -1",
              inputs=IMAGE, pads=[0, 0, -1, 0])
with_constant("conv_pad_huge", "Conv", [KERNEL], "pads has the impossible entry",
              inputs=IMAGE, pads=[0, 0, 2**62, 0])
with_constant("pool_kernel", "MaxPool", [], "kernel_shape has the impossible entry 0",
              inputs=IMAGE, kernel_shape=[0, 2])


@case("more than 2.40 elements")
def constant_of_shape_huge(folder):
    made = model(
        [node("ConstantOfShape", ["s"], ["y"])],
        initializers=[tensor("s", I64([10**8, 10**7]))],
    )
    return save(folder, made)


@case("delta is 0")
def range_delta_zero(folder):
    weights = [tensor(n, I64(v)) for n, v in (("a", 0), ("b", 5), ("d", 0))]
    return save(folder, model([node("Range", ["a", "b", "d"], ["y"])], initializers=weights))


def quantize(name, scale, zero, text, opset=21, **attributes):
    def write(folder):
        weights = [tensor("s", scale)] + ([] if zero is None else [tensor("z", zero)])
        made = model(
            [node("QuantizeLinear", ["x"] + [w.name for w in weights], ["y"], **attributes)],
            initializers=weights,
            opset=opset,
            ir_version=10,
        )
        return save(folder, made)

    write.__name__ = name
    case(text)(write)


F32 = np.float32
quantize("scale_length", F32([1] * 4), None, "scale has 4 entries, axis 1 has 3", axis=1)
quantize("scale_zero", F32(0), None, "a scale is 0 or not a number")
quantize("scale_nan", F32(np.nan), None, "a scale is 0 or not a number")
quantize("scale_infinite", F32([1, np.inf, 1]), None, "a scale is 0 or not a number", axis=1)
quantize("scale_empty", F32([]), None, "scale has 0 entries", axis=1)
quantize("scale_axis", F32([1] * 3), None, "axis 9 is outside", axis=9)
quantize("scale_rank", np.ones((1, 3), F32), None, "rank 2, without blocks", axis=1)
quantize("block_negative", np.ones((2, 1), F32), None, "block_size is negative",
         axis=1, block_size=-1)
quantize("block_count", np.ones((2, 2), F32), None, "2 scales for blocks of 8",
         axis=1, block_size=8)
quantize("zero_point_rank", F32(1), np.uint8([0, 0]), "unlike ranks")


@case("input 2 'x_zero_point' has element type ui8, but input 0 has i8")
def zero_point_type(folder):
    made = model(
        [node("DequantizeLinear", ["w", "s", "z"], ["y"])],
        initializers=[tensor("w", np.int8([1])), tensor("s", F32(1)),
                      tensor("z", np.uint8(0))],
    )  # fmt: skip
    return save(folder, made)


def contrib(name, op, inputs, outputs, initializers, text, **attributes):
    def write(folder):
        made = model(
            [helper.make_node(op, inputs, outputs, f"n_{op}", domain="com.microsoft",
                              **attributes)],
            [value("x", (1, 2, 64))],
            initializers=initializers,
            opset_imports=[helper.make_opsetid("", 17),
                           helper.make_opsetid("com.microsoft", 1)],
        )  # fmt: skip
        return save(folder, made)

    write.__name__ = name
    case(text)(write)


def nbits(name, text, packed=(8, 2, 16), **attributes):
    weights = [tensor("b", np.zeros(packed, np.uint8)), tensor("s", np.ones((8, 2), F32))]
    defaults = {"K": 64, "N": 8, "bits": 4, "block_size": 32}
    contrib(name, "MatMulNBits", ["x", "b", "s"], ["y"], weights, text,
            **{**defaults, **attributes})  # fmt: skip


nbits("nbits_bits", "bits is 3", bits=3)
nbits("nbits_block", "block_size 24", block_size=24)
nbits("nbits_block_zero", "block_size 0", block_size=0)
nbits("nbits_buffer", "256 bytes.*want 512", packed=(8, 2, 16), N=16)
nbits("nbits_k", "rows of 64, K is 32", K=32)
contrib("gqa_heads", "GroupQueryAttention", ["x", "x", "x", "", "", "i", "i"], ["y"],
        [tensor("i", np.int32([1]))], "num_heads 5 is no multiple of kv_num_heads 2",
        num_heads=5, kv_num_heads=2)  # fmt: skip
contrib("gqa_kv_zero", "GroupQueryAttention", ["x", "x", "x", "", "", "i", "i"], ["y"],
        [tensor("i", np.int32([1]))], "kv_num_heads is not positive",
        num_heads=4, kv_num_heads=0)  # fmt: skip
contrib("gqa_seqlens", "GroupQueryAttention", ["x", "x", "x", "", "", "", "i"], ["y"],
        [tensor("i", np.int32([1]))], "input 5 'seqlens_k' is required",
        num_heads=4, kv_num_heads=2)  # fmt: skip


@case("imports opset 28|note: .*opset 28 is newer than the newest that is tested", good=True)
def newest_opset(folder):
    return save(folder, relu_model(opset=28, ir_version=13))


# ---------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------


def race(tool, folder):
    """Exchanges a link under the reader's hands; whatever wins, no byte of the
    file outside may get in."""
    inner = link_folders(folder)
    write_data(inner, "inside.bin")
    with open(os.path.join(folder, "outside.bin"), "wb") as file:
        file.write(b"\x7f" * 24)
    path = save(inner, weight_model(external(location="w.bin")))
    link, stop = os.path.join(inner, "w.bin"), threading.Event()

    def swap():
        targets = ["inside.bin", "../outside.bin"]
        for i in range(10**9):
            if stop.is_set():
                return
            os.symlink(targets[i % 2], link + ".new")
            os.replace(link + ".new", link)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(20):
            done = subprocess.run([tool, "--import-onnx", path], capture_output=True)
            if done.returncode not in (0, 1):
                return f"exit code {done.returncode}"
            if b"3.3961" in done.stdout or b"7F7F7F" in done.stdout:
                return "read the file outside"
    finally:
        stop.set()
        thread.join()
    return ""


def run(command):
    """Exit code, stdout, stderr, seconds of CPU time and peak memory in MiB."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        # Time on the wall says little on a machine that is busy.
        timer = threading.Timer(10 * MAX_SECONDS, child.kill)
        timer.start()
        # Not child.wait(): only this tells the memory of this one process.
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        errors = err.read().decode(errors="replace")
        seconds = usage.ru_utime + usage.ru_stime
        return child.returncode, out.read(), errors, seconds, usage.ru_maxrss / 1024


def judge(returncode, stdout, errors, path, text, good, seconds, mib):
    """What is wrong with how the tool took the model."""
    if seconds > MAX_SECONDS:
        yield f"took {seconds:.0f} s"
    if mib > MAX_MIB:
        yield f"took {mib:.0f} MiB"
    if re.search("[\x00-\x08\x0b-\x1f\x7f]", errors):
        yield "control characters in the message"
    if not re.search(text, errors):
        yield f"message lacks /{text}/"
    if good:
        if returncode != 0:
            yield f"exit code {returncode}"
        return
    if returncode != 1:
        yield f"exit code {returncode}"
    if len(re.findall("^error: ", errors, re.MULTILINE)) != 1:
        yield "not one error block"
    head = re.match(r"(note: .*\n)*error: (.*): (\d+) problems?\n", errors)
    if not head or os.path.basename(path) not in head.group(2):
        yield "the block does not begin with the file"
    if len(errors.splitlines()) > 24:
        yield "more than 20 lines"
    if stdout:
        yield "something on stdout"


def run_case(tool, folder, entry):
    name, write, text, good, options = entry
    place = os.path.join(folder, name)
    os.mkdir(place)
    path = write(place)
    options = [option.format(folder=place) for option in options]
    command = [tool, "--import-onnx", path, "-o", os.devnull, *options]
    if not good:
        command.remove("-o")
        command.remove(os.devnull)
    returncode, stdout, errors, seconds, mib = run(command)
    problems = list(judge(returncode, stdout, errors, path, text, good, seconds, mib))
    if path.startswith(place):
        shutil.rmtree(place, ignore_errors=True)
    return problems, errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--only", help="run cases whose name contains this")
    arguments = parser.parse_args()
    failures = 0
    for entry in CASES:
        if arguments.only and arguments.only not in entry[0]:
            continue
        if entry[0] == "unreadable_file" and os.geteuid() == 0:
            continue
        problems, errors = run_case(arguments.tool, arguments.folder, entry)
        if problems:
            failures += 1
            print(f"FAIL {entry[0]}: {'; '.join(problems)}\n{errors[:2000]}")
    if not arguments.only:
        place = os.path.join(arguments.folder, "race")
        os.mkdir(place)
        if problem := race(arguments.tool, place):
            failures += 1
            print(f"FAIL race: {problem}")
    print(f"{len(CASES)} models, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
