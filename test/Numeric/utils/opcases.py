"""Models of one node, with inputs, for the numeric tests of operators.

A table (module of `tables`) calls `case` once per model. Arrays are inputs of
the graph; `const(array)` makes an initializer, `None` leaves an input out.
"""

import dataclasses

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BF16, F16, F32, F64 = ml_dtypes.bfloat16, np.float16, np.float32, np.float64
I8, I16, I32, I64 = np.int8, np.int16, np.int32, np.int64
U8, U16, U32, U64 = np.uint8, np.uint16, np.uint32, np.uint64
BOOL = np.bool_
INTS = (I8, I16, I32, I64, U8, U16, U32, U64)
# Element types that numpy lacks lie in an .npz as bits.
BITS = {
    TensorProto.BFLOAT16: 16, TensorProto.FLOAT8E4M3FN: 8,
    TensorProto.FLOAT8E4M3FNUZ: 8, TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8, TensorProto.FLOAT8E8M0: 8,
    TensorProto.FLOAT4E2M1: 4, TensorProto.INT4: 4, TensorProto.UINT4: 4,
    TensorProto.INT2: 2, TensorProto.UINT2: 2,
}  # fmt: skip


@dataclasses.dataclass
class Const:
    """An input that is an initializer."""

    array: np.ndarray


@dataclasses.dataclass
class Case:
    """One model: a node, its inputs and what its outputs are compared with."""

    op: str
    domain: str
    opset: int
    inputs: list
    attributes: dict
    outputs: list  # numpy types; None: by inference
    dynamic: bool  # dims of inputs are names, equal extents the same one
    refused: str  # part of the error with which the model must be refused
    reference: object  # function of the input arrays, or None
    rtol: float  # relative to an element, and a tenth of it to the largest
    wide: bool  # the reference is computed in f32 for 16-bit floats
    fixed: tuple  # extents that stay numbers where dims are names
    then: tuple  # a second node on the first output: operator, further input
    name: str = ""

    def arrays(self):
        """Values of all inputs, None for one that is left out."""
        return [x.array if isinstance(x, Const) else x for x in self.inputs]

    def feeds(self):
        """Graph inputs by name."""
        return {
            f"x{i}": x
            for i, x in enumerate(self.inputs)
            if x is not None and not isinstance(x, Const)
        }

    def output_names(self):
        return [f"y{i}" for i, t in enumerate(self.outputs) if t is not False]

    def model(self, widen=False):
        """The ONNX model; `widen` replaces 16-bit floats by f32."""
        cast = widened if widen else lambda x: x
        names, values, initializers = [], [], []
        for i, x in enumerate(self.inputs):
            names.append("" if x is None else f"x{i}")
            if isinstance(x, Const):
                initializers.append(numpy_helper.from_array(cast(x.array), f"x{i}"))
            elif x is not None:
                values.append(self.value(f"x{i}", cast(x)))
        while names and not names[-1]:
            names.pop()
        outputs = [
            "" if t is False else f"y{i}" for i, t in enumerate(self.outputs)
        ]
        attributes = {
            key: numpy_helper.from_array(cast(v)) if isinstance(v, np.ndarray) else v
            for key, v in self.attributes.items()
        }
        node = helper.make_node(
            self.op, names, outputs, name="it", domain=self.domain, **attributes
        )
        results = [
            onnx.ValueInfoProto(name=f"y{i}")
            if t is None
            else helper.make_tensor_value_info(
                f"y{i}", helper.np_dtype_to_tensor_dtype(cast(np.zeros(0, t)).dtype), None
            )
            for i, t in enumerate(self.outputs)
            if t is not False
        ]
        nodes = [node]
        if self.then:
            node.output[0] = "between"
            op, operand = self.then
            initializers.append(numpy_helper.from_array(operand, "operand"))
            nodes.append(helper.make_node(op, ["between", "operand"], ["y0"], name="then"))
        graph = helper.make_graph(nodes, "g", values, results, initializers)
        imports = [helper.make_opsetid("", self.opset)]
        if self.domain:
            imports.append(helper.make_opsetid(self.domain, 1))
        model = helper.make_model(graph, opset_imports=imports)
        model.ir_version = min(helper.find_min_ir_version_for(imports[:1], True), 13)
        model.ir_version = max(model.ir_version, 7)
        if any(not y.type.WhichOneof("value") for y in model.graph.output):
            model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
            for y in model.graph.output:
                y.type.tensor_type.ClearField("shape")
        return model

    def value(self, name, array):
        shape = list(array.shape)
        if self.dynamic:
            shape = [n if n < 2 or n in self.fixed else f"d{n}" for n in shape]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, shape)


def widened(array):
    return array.astype(F32) if array.dtype in (F16, BF16) else array


CASES = []


def case(op, opset, *inputs, out=1, domain="", dynamic=None, refused="",
         reference=None, rtol=None, wide=True, fixed=(), then=None, **attributes):
    """Adds a model. `out`: number of outputs, or their numpy types (None: by
    inference; False: left out). `dynamic`: None adds the model with fixed and,
    where it is the first of its form, also with named dims, `fixed` extents
    excepted.
    """  # fmt: skip
    if domain == "com.microsoft" and isinstance(out, int):
        out = [next(x for x in inputs if x is not None)] * out
        out = [(x.array if isinstance(x, Const) else x).dtype.type for x in out]
    outputs = [None] * out if isinstance(out, int) else list(out)
    key = (domain, op, opset, tuple(
        None if x is None else (x.array if isinstance(x, Const) else x).dtype
        for x in inputs
    ), tuple(attributes))  # fmt: skip
    first = key not in SEEN
    SEEN.add(key)
    kinds = [dynamic] if dynamic is not None else [False, True] if first else [False]
    for kind in kinds:
        CASES.append(Case(op, domain, opset, list(inputs), attributes, outputs,
                          kind, refused, reference, rtol, wide, tuple(fixed), then))  # fmt: skip


SEEN = set()


def take_cases():
    """All cases added so far, with names of their own."""
    counts = {}
    for it in CASES:
        key = f"{it.domain + '.' if it.domain else ''}{it.op}-{it.opset}"
        counts[key] = counts.get(key, 0) + 1
        it.name = f"{key}-{counts[key]}{'-dynamic' if it.dynamic else ''}"
    return list(CASES)


const = Const
RNG = np.random.default_rng(0)


def data(dtype, *shape, low=-2.0, high=2.0):
    """Random numbers; integers over [low, high] of their type, both included."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return RNG.integers(0, 2, shape).astype(bool).reshape(shape)
    if dtype.kind in "iu":
        low = max(int(low), np.iinfo(dtype).min)
        return RNG.integers(low, int(high) + 1, shape).astype(dtype).reshape(shape)
    return np.asarray(RNG.uniform(low, high, shape)).astype(dtype).reshape(shape)


def f32(*shape, **how):
    return data(F32, *shape, **how)


def weights(*shape):
    """Signed 8-bit weights of 7 bits: on a machine without VNNI, onnxruntime adds
    pairs of their products with 8-bit activations with saturation."""
    return data(I8, *shape, low=-63, high=63)


def array(dtype, values):
    return np.array(values, dtype)


def i64(*values):
    """A list of integers."""
    return np.array(values, I64)


def scalar(dtype, value):
    return np.array(value, dtype)


def to_bits(x):
    """The array as it lies in an .npz."""
    x = np.asarray(x, order="C")
    bits = BITS.get(helper.np_dtype_to_tensor_dtype(x.dtype))
    if not bits:
        return x
    if bits == 16:
        return x.view(np.uint16)
    return x.view(np.uint8) & np.uint8((1 << bits) - 1)


def from_bits(x, dtype):
    """Inverse of to_bits."""
    dtype = np.dtype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    if kind not in BITS:
        return x
    if kind in (TensorProto.INT4, TensorProto.INT2):
        sign = 1 << BITS[kind] - 1
        return ((x.astype(np.int8) ^ sign) - sign).astype(dtype)
    return x.view(dtype)
