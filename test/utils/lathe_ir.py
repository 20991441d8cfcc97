# ===- lathe_ir.py - reads and computes the structure level -----------------=== #
#
# Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Reads Lathe's IR and computes it with numpy: the yardstick of the tests.

A parser of MLIR's generic form, an evaluator of index expressions and one
function per operation. Carrier operations are run by ONNX Runtime, one node at
a time. Nothing here is fast, and nothing is shared with the compiler.
"""

import math
import re
import struct

import numpy as np

# --------------------------------------------------------------------------
# Parsing
# --------------------------------------------------------------------------


class Op:
    def __init__(self, name, results, operands, attrs, regions, types):
        self.name = name
        self.results = results
        self.operands = operands
        self.attrs = attrs
        self.regions = regions
        self.operand_types, self.result_types = types


class Block:
    def __init__(self, args, ops):
        self.args = args
        self.ops = ops


class Parser:
    def __init__(self, text):
        self.s = text
        self.i = 0

    def skip(self):
        s = self.s
        while self.i < len(s):
            c = s[self.i]
            if c in " \t\n\r":
                self.i += 1
            elif s.startswith("//", self.i):
                self.i = s.find("\n", self.i)
                if self.i < 0:
                    self.i = len(s)
            else:
                return

    def peek(self, token):
        self.skip()
        return self.s.startswith(token, self.i)

    def take(self, token):
        if self.peek(token):
            self.i += len(token)
            return True
        return False

    def expect(self, token):
        if not self.take(token):
            raise ValueError(f"expected {token!r} at {self.s[self.i:self.i + 60]!r}")

    def regex(self, pattern):
        self.skip()
        m = re.compile(pattern).match(self.s, self.i)
        if not m:
            raise ValueError(f"expected /{pattern}/ at {self.s[self.i:self.i + 60]!r}")
        self.i = m.end()
        return m.group(0)

    def string(self):
        raw = self.regex(r'"(?:[^"\\]|\\.)*"')[1:-1]
        return re.sub(
            r"\\([0-9A-Fa-f]{2}|.)",
            lambda m: chr(int(m.group(1), 16)) if len(m.group(1)) == 2 else m.group(1),
            raw,
        )

    def balanced(self, stops):
        """Text up to one of `stops` outside of all brackets and strings."""
        self.skip()
        start, depth, s = self.i, 0, self.s
        while self.i < len(s):
            c = s[self.i]
            if c == '"':
                self.string()
                continue
            if s.startswith("->", self.i):
                if depth == 0 and "->" in stops:
                    break
                self.i += 2
                continue
            if depth == 0 and c in stops:
                break
            if c in "<([{":
                depth += 1
            elif c in ">)]}":
                depth -= 1
                if depth < 0:
                    break
            self.i += 1
        return s[start : self.i].strip()

    def types(self):
        """`(a, b)` or one type."""
        if not self.take("("):
            return [self.balanced(",)}\n ")]
        types = []
        while not self.take(")"):
            types.append(self.balanced(","))
            self.take(",")
        return types

    def attr(self):
        self.skip()
        c = self.s[self.i]
        if c == '"':
            text = self.string()
            if self.take(":"):
                self.balanced(",}]>")
            return text
        if c == "[":
            self.take("[")
            items = []
            while not self.take("]"):
                items.append(self.attr())
                self.take(",")
            return items
        if c == "{":
            return self.dictionary("{", "}")
        if self.take("array<"):
            body = self.balanced(">")
            self.expect(">")
            kind, _, values = body.partition(":")
            items = [v.strip() for v in values.split(",") if v.strip()]
            return [float(v) if kind.strip()[0] == "f" else int(v) for v in items]
        if self.take("dense<"):
            body = self.balanced(">")
            self.expect(">")
            self.expect(":")
            return dense(body, self.balanced(",}]"))
        number = re.compile(r"-?(0x[0-9A-Fa-f]+|\d+(\.\d*)?([eE][-+]?\d+)?)").match(
            self.s, self.i
        )
        if number:
            self.i = number.end()
            kind = self.balanced(",}]>") if self.take(":") else "i64"
            return scalar(number.group(0), kind)
        if self.take("true"):
            return True
        if self.take("false"):
            return False
        return self.balanced(",}])")

    def dictionary(self, opening, closing):
        self.expect(opening)
        result = {}
        while not self.take(closing):
            self.skip()
            name = self.string() if self.peek('"') else self.regex(r"[\w.$:-]+")
            result[name] = self.attr() if self.take("=") else True
            self.take(",")
        return result

    def value(self):
        return self.regex(r"%[\w$.-]+(#\d+)?")

    def region(self):
        self.expect("{")
        blocks, block = [], Block([], [])
        blocks.append(block)
        while not self.take("}"):
            if self.peek("^"):
                self.regex(r"\^\w+")
                args = []
                if self.take("("):
                    while not self.take(")"):
                        args.append(self.value())
                        self.expect(":")
                        self.balanced(",)")
                        self.take(",")
                self.expect(":")
                block = Block(args, [])
                if not blocks[-1].ops:
                    blocks[-1] = block
                else:
                    blocks.append(block)
                continue
            block.ops.append(self.op())
        return blocks[0]

    def op(self):
        results = []
        if self.peek("%"):
            while True:
                name = self.value()
                if self.take(":"):
                    count = int(self.regex(r"\d+"))
                    results += [f"{name}#{k}" for k in range(count)]
                else:
                    results.append(name)
                if not self.take(","):
                    break
            self.expect("=")
        name = self.string()
        self.expect("(")
        operands = []
        while not self.take(")"):
            operands.append(self.value())
            self.take(",")
        attrs = {}
        if self.take("<{"):
            self.i -= 1
            attrs.update(self.dictionary("{", "}"))
            self.expect(">")
        regions = []
        if self.peek("({"):
            self.expect("(")
            while not self.take(")"):
                # An empty region is `{}`.
                regions.append(self.region())
                self.take(",")
        if self.peek("{"):
            attrs.update(self.dictionary("{", "}"))
        self.expect(":")
        inputs = self.types()
        self.expect("->")
        return Op(name, results, operands, attrs, regions, (inputs, self.types()))


DTYPES = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "i64": np.int64,
    "i32": np.int32,
    "i16": np.int16,
    "i8": np.int8,
    "ui8": np.uint8,
    "ui16": np.uint16,
    "ui32": np.uint32,
    "ui64": np.uint64,
    "i1": np.bool_,
}


def tensor_type(text):
    """(shape with None for ?, dtype) of a ranked tensor type."""
    body = re.fullmatch(r"tensor<(.*)>", text.strip()).group(1)
    parts = body.split("x")
    shape = [None if p == "?" else int(p) for p in parts[:-1]]
    return shape, DTYPES[parts[-1]]


def scalar(text, kind):
    kind = kind.strip()
    if kind in ("f32", "f64", "f16", "bf16"):
        if text.startswith("0x"):
            return struct.unpack("<f", struct.pack("<I", int(text, 16)))[0]
        return float(text)
    return int(text, 0)


def dense(body, kind):
    shape, dtype = tensor_type(kind)
    if body.startswith('"0x'):
        data = np.frombuffer(bytes.fromhex(body[3:-1]), dtype=dtype)
        return np.broadcast_to(data, shape).copy() if data.size == 1 else data.reshape(shape)
    if not body:
        return np.zeros(shape, dtype)
    values = []
    for token in re.findall(r"true|false|-?0x[0-9A-Fa-f]+|-?[\d.]+(?:[eE][-+]?\d+)?", body):
        if token in ("true", "false"):
            values.append(token == "true")
        elif "0x" in token and np.issubdtype(dtype, np.floating):
            width = np.dtype(dtype).itemsize
            raw = int(token, 16).to_bytes(width, "little")
            values.append(np.frombuffer(raw, dtype)[0])
        else:
            values.append(float(token) if np.issubdtype(dtype, np.floating) else int(token, 0))
    array = np.array(values).astype(dtype)
    if not body.startswith("["):
        return np.broadcast_to(array.reshape(()), shape).copy()
    return array.reshape(shape)


def parse_module(text):
    op = Parser(text).op()
    assert op.name == "builtin.module", op.name
    return op


# --------------------------------------------------------------------------
# Index expressions
# --------------------------------------------------------------------------


class FormParser:
    """Turns the text of a form into a Python expression over F (functions),
    S (dims) and coordinates."""

    TOKEN = re.compile(
        r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?)|([A-Za-z_][\w.]*)|('[^']*')|(<=|>=|==|!=|[-+*<>(),\[\]]))"
    )

    def __init__(self, text):
        self.tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            m = self.TOKEN.match(text, at)
            if not m:
                raise ValueError(f"cannot read {text!r} at {at}")
            self.tokens.append(m.group(0).strip())
            at = m.end()
        self.tokens.append("")
        self.i = 0

    def take(self, token):
        if self.tokens[self.i] == token:
            self.i += 1
            return True
        return False

    def expect(self, token):
        if not self.take(token):
            raise ValueError(f"expected {token!r} in {self.tokens[self.i:]}")

    def parse(self):
        if self.take("["):
            result = f"[{', '.join(self.items(']'))}]"
        else:
            result = self.form()
        self.expect("")
        return result

    def items(self, closing):
        result = []
        while not self.take(closing):
            result.append(self.form())
            self.take(",")
        return result

    def form(self):
        """A number, or a predicate: comparisons joined by one of and, or."""
        left = self.comparison()
        for word, sign in (("and", "&"), ("or", "|")):
            while self.take(word):
                left = f"({left} {sign} {self.comparison()})"
        return left

    def comparison(self):
        left = self.sum()
        token = self.tokens[self.i]
        if token in ("<=", ">=", "==", "!=", "<", ">"):
            self.i += 1
            return f"({left} {token} {self.sum()})"
        return left

    def sum(self):
        result = "-" + self.product() if self.take("-") else self.product()
        while self.tokens[self.i] in ("+", "-"):
            sign = self.tokens[self.i]
            self.i += 1
            result = f"{result} {sign} {self.product()}"
        return result

    def product(self):
        result = self.factor()
        while self.take("*"):
            result = f"{result} * {self.factor()}"
        return result

    def factor(self):
        token = self.tokens[self.i]
        self.i += 1
        if token == "(":
            inner = self.form()
            self.expect(")")
            return f"({inner})"
        if token == "-":
            return f"(-{self.factor()})"
        if token == "[":
            return f"[{', '.join(self.items(']'))}]"
        if token[0].isdigit():
            return token
        if token[0] == "'":
            return f"S[{token[1:-1]!r}]"
        if self.take("("):
            if token == "sum":
                variable = self.tokens[self.i][1:]
                self.i += 1
                self.expect(",")
                upper = self.form()
                self.expect(",")
                body = self.form()
                self.expect(")")
                return f"F.sum_({variable}, {upper}, lambda t{variable}: {body})"
            return f"F.{token}_({', '.join(self.items(')'))})"
        if token in ("true", "false", "inf", "nan"):
            return f"F.{token}_"
        if re.fullmatch(r"[it]\d+", token):
            return token
        return f"S[{token!r}]"


class Functions:
    """What forms call. Reads clip: of a selection both arms are computed."""

    def __init__(self, values):
        self.values = values
        self.inf_ = np.inf
        self.nan_ = np.nan
        self.true_ = np.True_
        self.false_ = np.False_

    def read_(self, n, index):
        v = self.values[n]
        if v.ndim == 0:
            return v[()]
        if v.size == 0:
            return np.zeros((), v.dtype)[()]
        where = []
        for k, i in enumerate(index):
            i = np.asarray(i)
            i = i.astype(np.int64)
            i = np.where(i < 0, i + v.shape[k], i)
            where.append(np.clip(i, 0, v.shape[k] - 1))
        out = v[tuple(np.broadcast_arrays(*where))]
        return out.astype(np.int64) if out.dtype == np.bool_ else out

    @staticmethod
    def fdiv_(p, q):
        return np.floor_divide(p, q)

    @staticmethod
    def mod_(p, q):
        return np.mod(p, q)

    @staticmethod
    def min_(*a):
        return np.minimum.reduce(np.broadcast_arrays(*a))

    @staticmethod
    def max_(*a):
        return np.maximum.reduce(np.broadcast_arrays(*a))

    @staticmethod
    def sel_(c, a, b):
        return np.where(c, a, b)

    @staticmethod
    def not_(c):
        return np.logical_not(c)

    @staticmethod
    def sum_(n, upper, body):
        top = int(np.max(upper))
        total = 0
        for t in range(top + 1):
            total = total + np.where(t <= upper, body(t), 0)
        return total

    abs_ = staticmethod(np.abs)
    log_ = staticmethod(np.log)
    cos_ = staticmethod(np.cos)
    sin_ = staticmethod(np.sin)
    exp_ = staticmethod(np.exp)
    sqrt_ = staticmethod(np.sqrt)
    tanh_ = staticmethod(np.tanh)
    pow_ = staticmethod(np.power)
    trunc_ = staticmethod(np.trunc)
    floor_ = staticmethod(np.floor)
    ceil_ = staticmethod(np.ceil)

    @staticmethod
    def sigmoid_(x):
        return 1 / (1 + np.exp(-x))

    @staticmethod
    def div_(p, q):
        return np.true_divide(p, q)

    @staticmethod
    def tdiv_(p, q):
        return np.trunc(np.true_divide(p, q)).astype(np.int64)

    @staticmethod
    def recip_(x):
        return 1.0 / x


COMPILED = {}


def evaluate_form(text, values, coords, dims):
    """`text` (a form, or a list of forms) at the arrays `coords`."""
    code = COMPILED.get(text)
    if code is None:
        code = COMPILED[text] = compile(FormParser(text).parse(), text, "eval")
    names = {f"i{k}": c for k, c in enumerate(coords)}
    names.update(F=Functions(values), S=dims)
    with np.errstate(all="ignore"):
        return eval(code, names)


def form_text(attr):
    """The text in `#lathe.form<"...">`."""
    return Parser(attr[attr.index('"') :]).string()


def grid(shape):
    return [
        np.arange(d, dtype=np.int64).reshape([-1 if j == k else 1 for j in range(len(shape))])
        for k, d in enumerate(shape)
    ]


# --------------------------------------------------------------------------
# Computing
# --------------------------------------------------------------------------


def erf(x):
    return np.vectorize(math.erf, otypes=[np.float64])(x)


ACTIVATIONS = {
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def enum_of(attr):
    """`#lathe<norm_kind rms>` or `rms`; numbers stay."""
    if isinstance(attr, str):
        return re.findall(r"\w+", attr)[-1]
    return attr


class Cache:
    """Rows of keys and values [B, heads, n, dim]."""

    def __init__(self, k=None, v=None):
        self.k, self.v = k, v


class Machine:
    """Runs the functions of one module. `dims` of a call are found from the
    arguments' `lathe.dims`."""

    def __init__(self, module):
        self.weights, self.functions = {}, {}
        for op in module.regions[0].ops:
            if op.name == "lathe.weight":
                self.weights[op.attrs["sym_name"]] = op
            elif op.name == "func.func":
                self.functions[op.attrs["sym_name"]] = op
        self.decoded = {}

    # ---- weights
    def blob(self, attr):
        m = re.search(r'blob<"((?:[^"\\]|\\.)*)", (\d+), (\d+), "', attr)
        with open(m.group(1), "rb") as f:
            f.seek(int(m.group(2)))
            return f.read(int(m.group(3)))

    def weight(self, name):
        if name not in self.decoded:
            op = self.weights[name]
            kind = op.attrs["type"]
            m = re.match(r"!lathe\.weight<([\dx]+)x(\w+), #lathe\.dense<(\w+)(, transposed)?>>", kind)
            shape = [int(d) for d in m.group(1).split("x")]
            raw = self.blob(op.attrs["parts"]["data"])
            if m.group(3) == "bf16":
                bits = np.frombuffer(raw, np.uint16).astype(np.uint32) << 16
                data = bits.view(np.float32)
            else:
                data = np.frombuffer(raw, DTYPES[m.group(3)])
            if m.group(4):
                data = data.reshape(shape[::-1]).T
            self.decoded[name] = data.reshape(shape).astype(np.float64)
        return self.decoded[name]

    # ---- calls
    def call(self, name, inputs, extra_dims=None):
        """`inputs`: arrays (or caches) by `lathe.name`, or by number. Returns
        name -> array and the list of all results."""
        op = self.functions[name]
        body = op.regions[0]
        arg_attrs = op.attrs.get("arg_attrs") or [{}] * len(body.args)
        dims = dict(extra_dims or {})
        env = {}
        for k, (arg, attrs) in enumerate(zip(body.args, arg_attrs)):
            value = inputs[attrs["lathe.name"]] if attrs.get("lathe.name") in inputs else inputs[k]
            env[arg] = value
            for text, extent in zip(attrs.get("lathe.dims", []), getattr(value, "shape", [])):
                if re.fullmatch(r"[A-Za-z_]\w*", text):
                    dims[text] = extent
                elif re.fullmatch(r"'[^']*'", text):
                    dims[text[1:-1]] = extent
        # A module holds several entries, so caches are copied when appended to.
        results = self.block(body, env, dims)
        names = [a.get("lathe.name", str(k)) for k, a in enumerate(op.attrs.get("res_attrs") or [{}] * len(results))]
        return dict(zip(names, results)), results

    def block(self, block, env, dims):
        for op in block.ops:
            operands = [env[o] for o in op.operands]
            if op.name in ("lathe.yield", "func.return"):
                return operands
            try:
                results = self.run(op, operands, env, dims)
            except Exception as error:
                raise RuntimeError(f"{op.name} {op.attrs.get('op_type', '')} {op.results}: {error}") from error
            for name, value, kind in zip(op.results, results, op.result_types):
                self.check(op, value, kind)
                env[name] = value
        return []

    @staticmethod
    def check(op, value, kind):
        if not kind.startswith("tensor<") or "*" in kind:
            return
        shape, dtype = tensor_type(kind)
        fits = len(shape) == value.ndim and all(
            e is None or e == d for e, d in zip(shape, value.shape)
        )
        assert fits, f"{op.name} makes {value.shape}, not {kind}"

    def run(self, op, x, env, dims):
        a = op.attrs
        name = op.name
        if name == "lathe.onnx":
            return run_node(op, x)
        if name == "lathe.block":
            return self.block(op.regions[0], dict(env), dims)
        method = getattr(self, name.replace("lathe.", "").replace("arith.", "").replace(".", "_"))
        return method(op, x, a, env, dims)

    # ---- operations
    def constant(self, op, x, a, env, dims):
        if op.name == "arith.constant":
            return [a["value"]]
        shape, dtype = tensor_type(op.result_types[0])
        return [np.frombuffer(self.blob(a["value"]), dtype).reshape(shape)]

    def none(self, op, x, a, env, dims):
        return [None]

    def use_weight(self, op, x, a, env, dims):
        return [self.weight(a["weight"].lstrip("@").strip('"'))]

    def linear(self, op, x, a, env, dims):
        y = x[0].astype(np.float64) @ x[1]
        if len(x) > 2:
            y = y + x[2]
        return [y.astype(x[0].dtype)]

    def embedding(self, op, x, a, env, dims):
        table = x[1].T if "transposed" in a else x[1]
        return [table[x[0]].astype(tensor_type(op.result_types[0])[1])]

    def norm(self, op, x, a, env, dims):
        v = x[0].astype(np.float64)
        if enum_of(a["kind"]) in ("layer", 0):
            v = v - v.mean(-1, keepdims=True)
        y = v / np.sqrt((v * v).mean(-1, keepdims=True) + a["epsilon"])
        if len(x) > 1:
            y = y * x[1]
        if len(x) > 2:
            y = y + x[2]
        return [y.astype(x[0].dtype)]

    def activation(self, op, x, a, env, dims):
        kind = enum_of(a["kind"])
        if not isinstance(kind, str):
            kind = list(ACTIVATIONS)[kind]
        return [ACTIVATIONS[kind](x[0].astype(np.float64)).astype(x[0].dtype)]

    def softmax(self, op, x, a, env, dims):
        e = np.exp(x[0] - x[0].max(-1, keepdims=True))
        return [e / e.sum(-1, keepdims=True)]

    def index_expr(self, op, x, a, env, dims):
        _, dtype = tensor_type(op.result_types[0])
        shape = [int(evaluate_form(t, [], [], dims)) for t in a["shape"]]
        value = evaluate_form(form_text(a["form"]), x, grid(shape), dims)
        return [np.broadcast_to(np.asarray(value), shape).astype(dtype)]

    def read(self, value, form, shape, dims):
        """`value` at the indices that the map `form` gives over `shape`."""
        index = evaluate_form(form_text(form), [], grid(shape), dims)
        return np.broadcast_to(Functions([value]).read_(0, index), shape)

    def rope(self, op, x, a, env, dims):
        heads, size, rotary = a["heads"], a["head_dim"], a["rotary_dim"]
        value, cos, sin = x
        batch = self.extent(op.result_types[0], 0, value, a["x_map"])
        rows = cos.shape[1]
        v = self.read(value, a["x_map"], [batch, heads, rows, size], dims).astype(np.float64)
        c, s = cos[:, None].astype(np.float64), sin[:, None].astype(np.float64)
        out = v.copy()
        if enum_of(a["layout"]) in ("half", 0):
            p, q = v[..., : rotary // 2], v[..., rotary // 2 : rotary]
            out[..., : rotary // 2] = p * c - q * s
            out[..., rotary // 2 : rotary] = q * c + p * s
        else:
            p, q = v[..., 0:rotary:2], v[..., 1:rotary:2]
            out[..., 0:rotary:2] = p * c - q * s
            out[..., 1:rotary:2] = q * c + p * s
        out = out.transpose(0, 2, 1, 3).reshape(batch, rows, heads * size)
        return [out.astype(value.dtype)]

    @staticmethod
    def extent(kind, k, value, form, coord=None):
        """Extent k of a result, else of the dim that coordinate k reads."""
        shape, _ = tensor_type(kind)
        if shape[k] is not None:
            return shape[k]
        texts = split_list(form_text(form))
        wanted = coord if coord is not None else f"i{k}"
        if wanted in texts:
            return value.shape[texts.index(wanted)]
        # Several coordinates in one index: what is left of the elements.
        raise ValueError(f"no dim of {texts} gives {wanted}")

    def attention(self, op, x, a, env, dims):
        segments = a["operandSegmentSizes"]
        parts, at = [], 0
        for n in segments:
            parts.append(x[at : at + n])
            at += n
        q, k, v, cache, reads = parts
        q = q[0]
        heads, groups = a["heads"], a["kv_heads"]
        size, value_size = a["head_dim"], a["value_dim"]
        batch, rows = self.batch_rows(op, q, a)
        if cache:
            keys, values = cache[0].k, cache[0].v
        else:
            count = self.keys_of(op, a, k[0], dims, batch, groups, size)
            keys = self.read(k[0], a["k_map"], [batch, groups, count, size], dims)
            values = self.read(v[0], a["v_map"], [batch, groups, count, value_size], dims)
        qs = self.read(q, a["q_map"], [batch, heads, rows, size], dims).astype(np.float64)
        keys = np.repeat(keys.astype(np.float64), heads // groups, axis=1)
        values = np.repeat(values.astype(np.float64), heads // groups, axis=1)
        scores = a["scale"] * (qs @ keys.transpose(0, 1, 3, 2))
        if a.get("softcap"):
            scores = a["softcap"] * np.tanh(scores / a["softcap"])
        coords = grid(scores.shape)
        keep = np.ones(scores.shape, bool)
        if "mask" in a:
            keep = np.broadcast_to(evaluate_form(form_text(a["mask"]), reads, coords, dims), scores.shape)
        if "bias" in a:
            scores = scores + evaluate_form(form_text(a["bias"]), reads, coords, dims)
        kind = a.get("rows", 0)
        kind = enum_of(kind)
        kind = kind if isinstance(kind, str) else ["zero", "mean", "nan", "soft"][kind]
        if kind == "soft":
            scores = np.where(keep, scores, scores + a["mask_value"])
            keep = np.ones_like(keep)
        masked = np.where(keep, scores, -np.inf)
        top = masked.max(-1, keepdims=True)
        e = np.where(keep, np.exp(masked - np.where(np.isfinite(top), top, 0)), 0.0)
        total = e.sum(-1, keepdims=True)
        empty = total == 0
        p = e / np.where(empty, 1, total)
        if kind == "mean":
            p = np.where(empty, 1.0 / scores.shape[-1], p)
        elif kind == "nan":
            p = np.where(empty, np.nan, p)
        out = (p @ values).transpose(0, 2, 1, 3).reshape(batch, rows, heads * value_size)
        return [out.astype(q.dtype)]

    def batch_rows(self, op, q, a):
        shape, _ = tensor_type(op.result_types[0])
        texts = split_list(form_text(a["q_map"]))
        known = {}
        for k, coord in ((0, "i0"), (1, "i2")):
            if shape[k] is not None:
                known[k] = shape[k]
            elif coord in texts:
                known[k] = q.shape[texts.index(coord)]
        per_row = a["heads"] * a["head_dim"]
        total = q.size // per_row if q.size % per_row == 0 else None
        if 0 not in known and total is not None:
            known[0] = total // known[1]
        if 1 not in known and total is not None:
            known[1] = total // known[0]
        return known[0], known[1]

    @staticmethod
    def keys_of(op, a, k, dims, batch, groups, size):
        texts = split_list(form_text(a["k_map"]))
        if "i2" in texts:
            return k.shape[texts.index("i2")]
        if not any("i2" in t for t in texts):
            return 1
        # The largest row that stays inside of the operand.
        count = 1
        while count <= k.size:
            for t, extent in zip(texts, k.shape):
                coords = [batch - 1, groups - 1, count, size - 1]
                if int(evaluate_form(t, [], coords, dims)) >= extent:
                    return count
            count += 1
        return count

    def kv_append(self, op, x, a, env, dims):
        cache, k, v = x
        heads, size, value_size, _ = re.match(
            r"!lathe\.kv<(\d+), (\d+), (\d+), (\w+)>", op.result_types[0]
        ).groups()
        heads, size, value_size = int(heads), int(size), int(value_size)
        texts = split_list(form_text(a["k_map"]))
        batch = k.shape[texts.index("i0")] if "i0" in texts else 1
        rows = k.shape[texts.index("i2")] if "i2" in texts else k.size // (batch * heads * size)
        ks = self.read(k, a["k_map"], [batch, heads, rows, size], dims)
        vs = self.read(v, a["v_map"], [batch, heads, rows, value_size], dims)
        if cache.k is not None:
            ks = np.concatenate([cache.k, ks], axis=2)
            vs = np.concatenate([cache.v, vs], axis=2)
        return [Cache(ks, vs)]

    def sublayer(self, op, x, a, env, dims):
        residual, source, args = x[0], x[1], x[2:]
        body = op.regions[0]
        inner = dict(zip(body.args, [source] + list(args)))
        results = self.block(body, inner, dims)
        y = residual + results[0]
        if len(op.regions) > 1 and op.regions[1].ops:
            post = op.regions[1]
            y = self.block(post, dict(zip(post.args, [y])), dims)[0]
        return [y] + results[1:]


def split_list(text):
    """Entries of `[a, b, ...]`."""
    inner, depth, items, current = text.strip()[1:-1], 0, [], ""
    for c in inner:
        if c == "," and depth == 0:
            items.append(current.strip())
            current = ""
            continue
        depth += c in "(["
        depth -= c in ")]"
        current += c
    if current.strip():
        items.append(current.strip())
    return items


# --------------------------------------------------------------------------
# Carrier operations
# --------------------------------------------------------------------------


def run_node(op, x):
    """One ONNX node by ONNX Runtime."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    own = {"op_type", "opset", "domain", "onnx.from", "lathe.unraised"}
    node = onnx.NodeProto()
    node.op_type = op.attrs["op_type"]
    domain = op.attrs.get("domain", "")
    node.domain = domain
    graph_inputs, feeds = [], {}
    for k, value in enumerate(x):
        if value is None:
            node.input.append("")
            continue
        node.input.append(f"x{k}")
        feeds[f"x{k}"] = value
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        graph_inputs.append(helper.make_tensor_value_info(f"x{k}", kind, list(value.shape)))
    for key, value in op.attrs.items():
        if key in own:
            continue
        if isinstance(value, np.ndarray):
            node.attribute.append(helper.make_attribute(key, numpy_helper.from_array(value)))
        else:
            node.attribute.append(helper.make_attribute(key, value))
    outputs = []
    for k, kind in enumerate(op.result_types):
        node.output.append(f"y{k}")
        dtype = DTYPES[re.search(r"(\w+)>$", kind).group(1).split("x")[-1]]
        outputs.append(helper.make_tensor_value_info(f"y{k}", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None))
    graph = helper.make_graph([node], "node", graph_inputs, outputs)
    imports = [helper.make_opsetid(domain, op.attrs["opset"])]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)
