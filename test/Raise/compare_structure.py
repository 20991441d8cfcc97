# ===- compare_structure.py - the structure level against ONNX Runtime ------=== #
#
# Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
#
# REQUIRES: shared, onnxruntime
# RUN: %python %s --bin %lathe_obj_root/bin --folder %t --quick \
# RUN:     %lathe_shared/zoo/*.onnx %lathe_shared/models/*.onnx
"""Computes @plain of the structure level with numpy and compares every output
with ONNX Runtime on the file itself, with random inputs, masks with holes and
padding on the left, and sizes of 1. Where there is a cache, the same tokens go
through @prefill and @decode in two pieces.

usage: compare_structure.py --bin DIR --folder DIR [--quick] FILE.onnx...
"""

import argparse
import glob
import os
import re
import subprocess
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "utils"))
from lathe_ir import Cache, FormParser, Functions, Machine, parse_module  # noqa: E402

# (batch, sequence, past): ones and an empty past make broadcasts ambiguous.
SIZES = [(3, 7, 5), (1, 1, 0), (1, 9, 3), (2, 1, 6), (4, 2, 1)]
TOLERANCE = 2e-4


def load(args, path):
    imported = os.path.join(args.folder, os.path.basename(path) + ".mlir")
    translate = os.path.join(args.bin, "lathe-translate")
    subprocess.run([translate, "--import-onnx", path, "-o", imported], check=True)
    run = subprocess.run(
        [os.path.join(args.bin, "lathe-opt"), imported, "--lathe-structure", "--mlir-print-op-generic"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Machine(parse_module(run.stdout))


def dims_of(function):
    """Named dims of the arguments, in order."""
    names = []
    for attrs in function.attrs["arg_attrs"]:
        for text in attrs.get("lathe.dims", []):
            for name in re.findall(r"'[^']*'|[A-Za-z_]\w*", text):
                if name.strip("'") not in names:
                    names.append(name.strip("'"))
    return names


def choose_dims(names, sizes):
    batch, sequence, past = sizes
    values = {}
    for name in names:
        if "past" in name.lower():
            values[name] = past
        elif "batch" in name.lower() or name == names[0]:
            values[name] = batch
        else:
            values[name] = sequence
    return values


def make_inputs(machine, session, dims, past, random):
    kinds = {i.name: i.type for i in session.get_inputs()}
    inputs = {}
    for attrs in machine.functions["plain"].attrs["arg_attrs"]:
        name = attrs["lathe.name"]
        shape = [
            int(eval(FormParser(text).parse(), {"S": dims, "F": Functions([])}))
            for text in attrs["lathe.dims"]
        ]
        kind = kinds[name]
        if "mask" in name:
            value = np.ones(shape, np.int64)
            for row in range(1, shape[0]):
                value[row, : random.integers(0, max(shape[1] - 1, 1))] = 0
            if shape[0] > 2:
                value[2] = 1
                value[2, shape[1] // 2] = 0
        elif "position" in name:
            value = np.broadcast_to(np.arange(past, past + shape[1]), shape)
        elif "type" in name and "int" in kind:
            value = random.integers(0, 2, shape)
        elif "int" in kind:
            value = random.integers(0, 90, shape)
        else:
            value = random.standard_normal(shape)
        dtype = {"int64": np.int64, "int32": np.int32, "float": np.float32, "bool": np.bool_}
        inputs[name] = value.astype(dtype[re.search(r"\((\w+)\)", kind).group(1)])
    return inputs


def difference(found, wanted):
    """The largest difference, relative to the largest value."""
    if found.shape != wanted.shape:
        return np.inf
    if wanted.size == 0:
        return 0.0
    if (np.isnan(found) != np.isnan(wanted)).any():
        return np.inf
    scale = max(np.nanmax(np.abs(wanted)), 1e-9)
    return float(np.nanmax(np.abs(found.astype(np.float64) - wanted)) / scale)


def compare_cached(machine, inputs, wanted, dims, sequence, past):
    """Differences of the logits of two pieces through the cache."""
    attrs = machine.functions["prefill"].attrs["arg_attrs"]
    caches = {
        a["lathe.kv_slot"]: Cache(*(inputs[name] for name in a["lathe.past"]))
        for a in attrs
        if "lathe.kv_slot" in a
    }
    past_dim = next(name for name in dims if "past" in name.lower())
    pieces = [("prefill", 0, sequence - 1)] if sequence > 1 else []
    pieces.append(("decode", sequence - 1, sequence))
    worst, seen = 0.0, past
    for entry, begin, end in pieces:
        function = machine.functions[entry]
        values = {}
        for k, a in enumerate(function.attrs["arg_attrs"]):
            if "lathe.kv_slot" in a:
                values[k] = caches[a["lathe.kv_slot"]]
            elif "mask" in a["lathe.name"]:
                values[k] = inputs[a["lathe.name"]][:, : past + end]
            else:
                values[k] = inputs[a["lathe.name"]][:, begin:end]
        extra = {past_dim: seen, "logits_rows": end - begin}
        _, results = machine.call(entry, values, extra)
        for a, result in zip(function.attrs["res_attrs"], results):
            if "lathe.kv_slot" in a:
                caches[a["lathe.kv_slot"]] = result
        worst = max(worst, difference(results[0], wanted[:, begin:end]))
        seen += end - begin
    return worst


def compare(args, path):
    name = os.path.basename(path)
    machine = load(args, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(1)
    names = dims_of(machine.functions["plain"])
    done, failed = set(), False
    for sizes in SIZES[:2] if args.quick else SIZES:
        dims = choose_dims(names, sizes)
        if tuple(dims.values()) in done:
            continue
        done.add(tuple(dims.values()))
        inputs = make_inputs(machine, session, dims, sizes[2], random)
        wanted = session.run(None, inputs)
        _, found = machine.call("plain", inputs)
        worst = max(difference(f, w) for f, w in zip(found, wanted))
        line = f"{name} {dims}: {worst:.1e}"
        if "prefill" in machine.functions:
            cached = compare_cached(machine, inputs, wanted[0], dims, sizes[1], sizes[2])
            line += f", through the cache {cached:.1e}"
            worst = max(worst, cached)
        print(line, flush=True)
        failed |= not worst < TOLERANCE
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--quick", action="store_true", help="two sizes only")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    files = sorted(f for pattern in args.files for f in glob.glob(pattern))
    failed = [f for f in files if compare(args, f)]
    for f in failed:
        print(f"WRONG: {f}")
    print(f"{len(files)} files, {len(failed)} wrong")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
