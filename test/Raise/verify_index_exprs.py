#!/usr/bin/env python3
# REQUIRES: shared, onnxruntime
# RUN: %python %s --quick %lathe_shared/zoo/*.onnx %lathe_shared/models/*.onnx

# ===- verify_index_exprs.py - shapes and forms against onnxruntime --------=== #
#
# Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
"""Compares what -lathe-print-index-exprs says of ONNX files with onnxruntime.

Every value of a file is made an output; its shape and every element of its
closed form must be what onnxruntime computes, at the sizes of the .npz beside
the file (inputs `in.NAME`) and at edge sizes of batch, sequence and past.

usage: verify_index_exprs.py [--quick] FILE.onnx...
The tools are looked for in the PATH. Exits 1 if anything differs, or if an integer or boolean node other than IsNaN
has no closed form.
"""

import argparse
import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

# (batch, sequence, past): ones and an empty past make broadcasts ambiguous.
EDGE_SIZES = [(3, 7, 5), (1, 1, 0), (1, 9, 3), (2, 1, 6), (4, 2, 1)]
# Larger values are not compared element by element.
MAX_ELEMENTS = 400_000

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z_][\w.]*)"
    r"|(?P<quoted>'(?:[^'\\]|\\.)*')|(?P<op><=|>=|==|!=|[-+*<>(),\[\]]))"
)


def tokenize(text):
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        if not match:
            raise ValueError(f"cannot read {text!r} at {position}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class Form:
    """Evaluates the text of an index expression on numpy arrays."""

    FUNCTIONS = {
        "log": np.log,
        "cos": np.cos,
        "sin": np.sin,
        "exp": np.exp,
        "sqrt": np.sqrt,
        "tanh": np.tanh,
        "floor": np.floor,
        "ceil": np.ceil,
        "recip": lambda x: 1 / x,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "div": lambda x, y: x / y,
        "pow": lambda x, y: np.power(np.float64(x), y),
        "abs": np.abs,
        "fdiv": np.floor_divide,
        "mod": np.mod,
    }

    def __init__(self, dims, coords, read):
        self.dims, self.coords, self.read = dims, coords, read
        self.bound = {}

    def __call__(self, text):
        self.tokens, self.position = tokenize(text), 0
        tree = self.parse_junction()
        if self.position != len(self.tokens):
            raise ValueError(f"trailing text in {text!r}")
        with np.errstate(all="ignore"):
            return self.evaluate(tree)

    # Parsing, to nested tuples.
    def peek(self):
        if self.position < len(self.tokens):
            return self.tokens[self.position][1]
        return None

    def take(self, expected=None):
        kind, token = self.tokens[self.position]
        if expected is not None and token != expected:
            raise ValueError(f"expected {expected!r}, found {token!r}")
        self.position += 1
        return kind, token

    def parse_junction(self):
        parts = [self.parse_relation()]
        word = self.peek()
        while word in ("and", "or") and self.peek() == word:
            self.take()
            parts.append(self.parse_relation())
        return (word, *parts) if len(parts) > 1 else parts[0]

    def parse_relation(self):
        left = self.parse_sum()
        if self.peek() in ("<=", ">=", "==", "!=", "<", ">"):
            return (self.take()[1], left, self.parse_sum())
        return left

    def parse_sum(self):
        if self.peek() == "-":
            self.take()
            total = ("neg", self.parse_product())
        else:
            total = self.parse_product()
        while self.peek() in ("+", "-"):
            total = (self.take()[1], total, self.parse_product())
        return total

    def parse_product(self):
        result = self.parse_factor()
        while self.peek() == "*":
            self.take()
            result = ("*", result, self.parse_factor())
        return result

    def parse_factor(self):
        kind, token = self.take()
        if token == "(":
            inner = self.parse_junction()
            self.take(")")
            return inner
        if kind == "number":
            return ("number", int(token) if token.isdigit() else float(token))
        if kind == "quoted":
            return ("symbol", re.sub(r"\\(.)", r"\1", token[1:-1]))
        if token in ("inf", "nan"):
            return ("number", float(token))
        if token in ("true", "false"):
            return ("number", token == "true")
        if re.fullmatch(r"i\d+", token):
            return ("coord", int(token[1:]))
        if re.fullmatch(r"t\d+", token):
            return ("bound", token)
        if self.peek() != "(":
            return ("symbol", token)
        self.take("(")
        arguments = []
        if token == "read":
            arguments.append(int(self.take()[1]))
            self.take(",")
            self.take("[")
            while self.peek() != "]":
                arguments.append(self.parse_sum())
                if self.peek() == ",":
                    self.take()
            self.take("]")
        else:
            while True:
                arguments.append(self.parse_junction())
                if self.peek() != ",":
                    break
                self.take()
        self.take(")")
        return (token, *arguments)

    # Evaluation.
    def evaluate(self, tree):
        op, *rest = tree
        if op == "number":
            return rest[0]
        if op == "symbol":
            return self.dims[rest[0]]
        if op == "coord":
            return self.coords[rest[0]]
        if op == "bound":
            return self.bound[rest[0]]
        if op == "read":
            return self.evaluate_read(rest[0], [self.evaluate(x) for x in rest[1:]])
        if op == "sum":
            return self.evaluate_sum(*rest)
        x = [self.evaluate(y) for y in rest]
        if op == "neg":
            return -x[0]
        if op == "sel":
            return np.where(*x)
        if op in ("min", "max"):
            return (np.minimum if op == "min" else np.maximum).reduce(
                np.broadcast_arrays(*x))
        if op == "and":
            return np.logical_and.reduce(np.broadcast_arrays(*x))
        if op == "or":
            return np.logical_or.reduce(np.broadcast_arrays(*x))
        if op == "not":
            return np.logical_not(x[0])
        if op == "trunc":
            value = np.nan_to_num(np.float32(x[0]), nan=-(2.0**63),
                                  posinf=2.0**62, neginf=-(2.0**63))
            return np.trunc(value).astype(np.int64)
        if op == "tdiv":
            return np.trunc(x[0] / np.where(x[1] == 0, 1, x[1])).astype(np.int64)
        operators = {
            "+": np.add, "-": np.subtract, "*": np.multiply,
            "<=": np.less_equal, ">=": np.greater_equal, "==": np.equal,
            "!=": np.not_equal, "<": np.less, ">": np.greater,
        }
        return {**operators, **self.FUNCTIONS}[op](*x)

    def evaluate_read(self, number, index):
        array = self.read(number)
        if array.dtype == bool:
            array = array.astype(np.int64)
        if not index:
            return array
        # The arm of a selection that is not taken may lie outside.
        index = [np.clip(i, -n, n - 1) if n else np.asarray(i)
                 for i, n in zip(index, array.shape)]
        if 0 in array.shape:
            return np.zeros(np.broadcast_shapes(*(np.shape(i) for i in index)),
                            array.dtype)
        return array[tuple(np.asarray(i, np.int64) for i in index)]

    def evaluate_sum(self, variable, upper, body):
        limit = np.asarray(self.evaluate(upper))
        result = np.zeros(limit.shape, np.int64)
        for t in range(int(limit.max()) + 1 if limit.size else 0):
            self.bound[variable[1]] = t
            result = result + np.where(t <= limit, self.evaluate(body), 0)
        self.bound.pop(variable[1], None)
        return result


class Analysis:
    """What the tool prints for the first function of a file."""

    def __init__(self, path):
        imported = self.run(["lathe-translate", "--import-onnx", path])
        printed = self.run(["lathe-opt", "-lathe-print-index-exprs=json=true",
                            "-o", os.devnull], imported)
        lines = [json.loads(line) for line in printed.splitlines()]
        self.function = lines[0]
        self.values = {x["value"]: x for x in lines if "value" in x}
        self.reads = next(x["reads"] for x in lines if "reads" in x)

    @staticmethod
    def run(command, text=None):
        run = subprocess.run(command, input=text, capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(run.stderr.strip()[-2000:])
        return run.stdout


class File:
    def __init__(self, path):
        self.path = path
        self.model = onnx.load(path)
        self.analysis = Analysis(path)
        graph = self.model.graph
        self.constants = {x.name: x for x in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.inputs = [x for x in graph.input
                       if x.name not in {y.name for y in graph.initializer}]
        sequences = {o for node in graph.node for o in node.output
                     if node.op_type.startswith("Sequence") and
                     node.op_type not in ("SequenceAt", "SequenceLength")
                     or node.op_type == "SplitToSequence"}
        self.names = [o for node in graph.node if node.op_type != "Constant"
                      for o in node.output if o and o not in sequences]
        self.session = None
        self.arrays = {}

    def run(self, feeds):
        if self.session is None:
            model = onnx.ModelProto()
            model.CopyFrom(self.model)
            present = {x.name for x in model.graph.output}
            for name in self.names:
                if name not in present:
                    model.graph.output.add().name = name
            options = ort.SessionOptions()
            options.graph_optimization_level = (
                ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self.session = ort.InferenceSession(
                model.SerializeToString(), options,
                providers=["CPUExecutionProvider"])
        names = [x.name for x in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds)))

    def constant(self, name):
        if name not in self.arrays:
            self.arrays[name] = numpy_helper.to_array(self.constants[name])
        return self.arrays[name]

    def dims_of(self, feeds):
        """The free dims that these inputs have."""
        dims = {}
        for name, array in feeds.items():
            shape = self.analysis.values.get(name, {}).get("shape", [])
            for text, extent in zip(shape, array.shape):
                if text.strip("'") in self.analysis.function["dims"]:
                    dims.setdefault(text.strip("'"), extent)
        return dims

    def edge_dims(self, batch, sequence, past):
        dims = {}
        for name in self.analysis.function["dims"]:
            first = next(
                (k for x in self.inputs
                 for k, text in enumerate(self.analysis.values[x.name]["shape"])
                 if text.strip("'") == name), 1)
            is_past = "past" in name or name in ("s0", "s11")
            dims[name] = batch if first == 0 else past if is_past else sequence
        return dims

    def random_feeds(self, dims, random, vocabulary=100):
        feeds = {}
        for x in self.inputs:
            form = Form(dims, None, None)
            shape = [int(form(text))
                     for text in self.analysis.values[x.name]["shape"]]
            kind = onnx.helper.tensor_dtype_to_np_dtype(
                x.type.tensor_type.elem_type)
            if np.issubdtype(kind, np.floating):
                feed = random.standard_normal(shape)
            elif "mask" in x.name:
                feed = random.random(shape) < 0.7
                if feed.size:
                    feed[:, -1] = True
                    feed[0] = True
                    if shape[0] > 1:
                        feed[1, :2] = False
                        feed[1, 2:] = True
            elif "position" in x.name:
                feed = np.broadcast_to(np.arange(shape[1]) + 3, shape)
            elif "type" in x.name:
                feed = random.integers(0, 2, shape)
            else:
                feed = random.integers(2, vocabulary, shape)
            feeds[x.name] = np.ascontiguousarray(feed).astype(kind)
        return feeds


class Counts:
    def __init__(self):
        self.shapes = self.closed = self.moved = 0
        self.wrong, self.skipped = [], 0


def check(file, feeds, dims, counts):
    values = file.run(feeds)

    def read(number):
        name = file.analysis.reads[number]
        for source in (feeds, values):
            if name in source:
                return source[name]
        return file.constant(name)

    for name in file.names:
        info, array = file.analysis.values.get(name), values.get(name)
        if info is None or not isinstance(array, np.ndarray):
            continue
        if "shape" not in info or any("?" in text for text in info["shape"]):
            counts.skipped += 1
            continue
        form = Form(dims, None, read)
        shape = tuple(int(form(text)) for text in info["shape"])
        counts.shapes += 1
        if shape != array.shape:
            counts.wrong.append(f"{name}: shape {shape}, is {array.shape}")
            continue
        if info["kind"] == "leaf" or not 0 < array.size <= MAX_ELEMENTS:
            continue
        form.coords = np.ogrid[tuple(slice(0, n) for n in array.shape)]
        try:
            texts = [info["form"]]
            results = [np.broadcast_to(form(info["form"]), array.shape)]
            if info["kind"] == "list":
                form.coords = None
                texts.append(str(info["list"]))
                results.append(np.array([form(x) for x in info["list"]])
                               .reshape(array.shape))
        except Exception as error:  # A text that cannot be computed is wrong.
            counts.wrong.append(f"{name}: {error!r} in {texts[-1]}")
            continue
        if info["class"] == "float" and not info["indexy"]:
            counts.moved += 1
        else:
            counts.closed += 1
        for text, result in zip(texts, results):
            same = (np.allclose(result, array, rtol=1e-4, atol=1e-5, equal_nan=True)
                    if info["class"] == "float" else np.array_equal(result, array))
            if not same:
                counts.wrong.append(f"{name}: {text[:160]}")


def verify(path, quick):
    file = File(path)
    counts, random = Counts(), np.random.default_rng(0)
    stored = path[:-5] + ".npz"
    if os.path.exists(stored):
        data = np.load(stored)
        feeds = {x[3:]: data[x] for x in data.files if x.startswith("in.")}
        check(file, feeds, file.dims_of(feeds), counts)
    failed_runs = []
    for sizes in EDGE_SIZES[: 1 if quick else None]:
        dims = file.edge_dims(*sizes)
        feeds = file.random_feeds(dims, random)
        try:
            file.run(feeds)
        except Exception as error:
            # Not every graph runs at every size (a static batch, a stride).
            failed_runs.append(f"{dims}: {str(error)[-120:]}")
            continue
        check(file, feeds, dims, counts)
    nodes = [x for x in file.analysis.values.values() if "op" in x]
    discrete = [x for x in nodes if x["class"] in ("integer", "boolean")]
    left = [x for x in discrete
            if x["kind"] in ("leaf", "none") and x["op"] != "IsNaN"]
    guards = sum(x["op"] == "IsNaN" for x in discrete)
    print(f"{os.path.basename(path)}: {len(nodes)} values, "
          f"{counts.shapes} shapes, {counts.closed} closed and {counts.moved} "
          f"movement forms, {len(counts.wrong)} wrong, {counts.skipped} skipped; "
          f"{len(left)} of {len(discrete)} integer or boolean left "
          f"(+{guards} guards); rounds {file.analysis.function['rounds']}; "
          f"dims {', '.join(file.analysis.function['dims'])}", flush=True)
    for line in counts.wrong[:5]:
        print("    wrong:", line)
    for x in left[:5]:
        print("    left:", x["value"], x["op"], x.get("shape"))
    for line in failed_runs:
        print("    not run at", line)
    return counts, len(left), len(discrete), len(failed_runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    total, left, discrete, failed = Counts(), 0, 0, 0
    broken = []
    for path in arguments.files:
        try:
            counts, n, m, k = verify(path, arguments.quick)
        except Exception as error:
            print(f"{os.path.basename(path)}: {error}")
            broken.append(path)
            continue
        for field in ("shapes", "closed", "moved", "skipped"):
            setattr(total, field, getattr(total, field) + getattr(counts, field))
        total.wrong += counts.wrong
        left, discrete, failed = left + n, discrete + m, failed + k
    print(f"total: {len(arguments.files)} files, {len(broken)} failed; "
          f"{total.shapes} shapes, {total.closed} closed and {total.moved} "
          f"movement forms, {len(total.wrong)} wrong; {left} of {discrete} "
          f"integer or boolean nodes left; {failed} runs refused by onnxruntime")
    return 1 if broken or total.wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
