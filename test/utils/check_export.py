"""Checks exported models against their source and against Lathe.

check_export.py SCRATCH MODEL.onnx... [--pass TEXT] [--option TEXT]
    [--scale WEIGHT=FACTOR]

Takes each model through `lathe-opt` (with --pass as its option, --option where
the output is ONNX, and the bytes of a weight multiplied) to `.mlir` and to `.onnx`, twice, and checks:

* equal bytes both times, and onnx.checker;
* nodes and initialisers are those of the source, byte by byte, but for what is
  gone, for inputs that were redirected, and for the scaled weight;
* onnxruntime on the exported file agrees with Lathe on the .mlir to 1e-4 of the
  largest value, and differs from the source exactly if something was asked for.
"""

import argparse
import pathlib
import re
import subprocess

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TOLERANCE = 1e-4


def run(*command):
    subprocess.run([str(c) for c in command], check=True)


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def inputs_of(model):
    """Arrays from the .npz beside the model, else made up by name and type."""
    beside = model.with_suffix(".npz")
    if beside.exists():
        arrays = np.load(beside)
        return {k[3:]: arrays[k] for k in arrays.files if k.startswith("in.")}
    rng = np.random.default_rng(1)
    arrays = {}
    for value in session_of(model).get_inputs():
        past = {"past": 5, "past_sequence_length": 5, "total": 12, "total_sequence_length": 12}
        shape = [d if isinstance(d, int) else past.get(d, 1 if "batch" in d else 7) for d in value.shape]
        if "mask" in value.name:
            arrays[value.name] = np.ones(shape, np.int64)
        elif value.name == "position_ids":
            arrays[value.name] = np.broadcast_to(np.arange(5, 12), shape).copy()
        elif value.type == "tensor(int64)":
            arrays[value.name] = rng.integers(0, 2 if "type" in value.name else 200, shape)
        else:
            arrays[value.name] = rng.standard_normal(shape).astype(np.float32)
    return arrays


def scale_weight(module, name, factor):
    """Multiplies a weight of a printed module; its new bytes lie beside it."""
    text = module.read_text()
    pattern = rf'(lathe.weight @"?{re.escape(name)}"? {{data = )#lathe.blob<"([^"]*)", (\d+), (\d+), "[^"]*">(}}[^\n]*#lathe.dense<(f\d+))'
    found = re.search(pattern, text)
    path, offset, size, element = found.group(2), int(found.group(3)), int(found.group(4)), found.group(6)
    old = np.fromfile(path, {"f32": "<f4", "f16": "<f2"}[element], offset=offset)[: size * 8 // int(element[1:])]
    new = module.with_suffix(".scaled")
    new.write_bytes((old * old.dtype.type(factor)).tobytes())
    blob = f'#lathe.blob<"{new}", 0, {size}, "00000000000000aa">'
    module.write_text(text[: found.start()] + found.group(1) + blob + found.group(5) + text[found.end() :])


def check_structure(source, exported, may_differ):
    """Everything that is left is as it was."""
    source, exported = onnx.load(source), onnx.load(exported)
    old = {tuple(n.output): n for n in source.graph.node}
    for node in exported.graph.node:
        before = old.get(tuple(node.output))
        if before is None:
            assert node.op_type == "Identity", f"new node {node.name}"
            continue
        same = before.name == node.name and before.op_type == node.op_type
        same = same and [a.SerializeToString() for a in before.attribute] == [
            a.SerializeToString() for a in node.attribute
        ]
        assert same, f"node {node.name} is not as it was"
    order = [tuple(n.output) for n in exported.graph.node if tuple(n.output) in old]
    assert order == [o for o in old if o in set(order)], "nodes are in another order"
    tensors = {t.name: t for t in source.graph.initializer}
    changed = []
    for tensor in exported.graph.initializer:
        a, b = numpy_helper.to_array(tensors[tensor.name]), numpy_helper.to_array(tensor)
        assert a.dtype == b.dtype
        if a.shape != b.shape or a.tobytes() != b.tobytes():
            changed.append(tensor.name)
    assert len(changed) == may_differ, f"changed tensors: {changed}"
    counts = [
        (len(m.graph.node), len(m.graph.initializer), len(m.graph.input), len(m.graph.output))
        for m in (source, exported)
    ]
    return " ".join(f"{k} {a}->{b}" for k, a, b in zip(("nodes", "initialisers", "inputs", "outputs"), *counts)), changed


def check(model, scratch, args):
    module, exported = scratch / (model.stem + ".mlir"), scratch / model.name
    run("lathe-opt", model, *args.passes, "-o", module)
    if args.scale:
        name, factor = args.scale.split("=")
        scale_weight(module, name, float(factor))
        source = module
        passes = []
    else:
        source, passes = model, args.passes
    again = scratch / "again" / model.name
    again.parent.mkdir(exist_ok=True)
    run("lathe-opt", source, *passes, *args.option, "-o", exported)
    run("lathe-opt", source, *passes, *args.option, "-o", again)
    assert exported.read_bytes() == again.read_bytes(), "the bytes differ"
    onnx.checker.check_model(str(exported), full_check=True)
    raw = onnx.load(exported, load_external_data=False)
    outside = [t for t in raw.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    text, changed = check_structure(model, exported, 1 if args.scale else 0)

    arrays = inputs_of(model)
    session = session_of(exported)
    arrays = {v.name: arrays[v.name] for v in session.get_inputs()}
    np.savez(scratch / "in.npz", **arrays)
    run("lathe", "run", module, "--inputs", scratch / "in.npz", "--outputs", scratch / "out.npz")
    ours = np.load(scratch / "out.npz")
    original = dict(zip([o.name for o in session_of(model).get_outputs()], session_of(model).run(None, inputs_of(model))))
    worst, moved = 0.0, 0.0
    for value, expected in zip(session.get_outputs(), session.run(None, arrays)):
        scale = np.abs(expected).max() or 1.0
        assert ours[value.name].shape == expected.shape
        worst = max(worst, float(np.abs(ours[value.name] - expected).max() / scale))
        moved = max(moved, float(np.abs(original[value.name] - expected).max() / scale))
    assert worst <= TOLERANCE, f"{model.name}: onnxruntime and Lathe differ by {worst:.1e}"
    asked = bool(args.passes or args.scale)
    assert (moved > 1e-3) if asked else (moved == 0), f"{model.name}: the source differs by {moved:.1e}"
    print(model.stem, text, *(["changed", *changed] if changed else []), *(["external", len(outside)] if outside else []))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--pass", dest="passes", action="append", default=[])
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--scale")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    for model in args.models:
        check(model, args.scratch, args)
    print(len(args.models), "exports agree")


main()
