"""Checks the ranking of lathe-finercut against onnxruntime and numpy.

Runs `lathe calibrate` and compares every step with a search of its own: each
sub-layer is left out by zeroing the weights of its last linear in the source
model. Distances agree to 1 %, and the order where two are not that close.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("--last", action="append", required=True, help="KIND=node name with {} for the block")
parser.add_argument("--blocks", type=int, required=True)
parser.add_argument("--limit", type=int, required=True)
parser.add_argument("--seq", type=int, default=0)
parser.add_argument("--cut", type=int, required=True)
parser.add_argument("--zero", help="site whose last linear is zero: it must go first, at no distance")
args = parser.parse_args()

model = onnx.load(args.model)
initializers = {i.name: i for i in model.graph.initializer}
for node in model.graph.node:
    if node.op_type == "Cast" and node.input[0] in initializers:
        initializers[node.output[0]] = initializers[node.input[0]]
kinds = dict(text.split("=") for text in args.last)
last = {f"blocks.{n}.{kind}": name.format(n) for n in range(args.blocks) for kind, name in kinds.items()}


def weights(site):
    """Initializers of the last linear of `site`, and of the bias added to it."""
    node = next(n for n in model.graph.node if n.name == last[site])
    readers = [r for r in model.graph.node if r.op_type == "Add" and node.output[0] in r.input]
    names = list(node.input) + [name for r in readers for name in r.input]
    return [initializers[name] for name in names if name in initializers]


dense = {site: [numpy_helper.to_array(w) for w in weights(site)] for site in last}


def set_weights(site, scale):
    for weight, array in zip(weights(site), dense[site]):
        weight.CopyFrom(numpy_helper.from_array(array * array.dtype.type(scale), weight.name))


data = {k: v[: args.limit] for k, v in np.load(args.data).items() if k != "y"}
if args.seq:
    data = {k: v[:, : args.seq] for k, v in data.items()}
inputs = dict(data)
for value in model.graph.input:
    if value.name.startswith("past"):
        inputs[value.name] = np.zeros(
            [d.dim_value or {"past": 0}.get(d.dim_param, args.limit) for d in value.type.tensor_type.shape.dim], np.float32
        )


def log_probabilities(removed):
    for site in removed:
        set_weights(site, 0)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for site in removed:
        set_weights(site, 1)
    (logits,) = session.run([session.get_outputs()[0].name], inputs)
    logits = logits.reshape(-1, logits.shape[-1]).astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def js(p, q):
    m = np.logaddexp(p, q) - np.log(2)
    return 0.5 * (np.exp(p) * (p - m) + np.exp(q) * (q - m)).sum(1).mean()


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    path = args.model
    if args.zero:
        set_weights(args.zero, 0)
        dense[args.zero] = [array * 0 for array in dense[args.zero]]
        path = folder / "zero.onnx"
        onnx.save(model, path)
    command = ["lathe", "calibrate", path, "--data", args.data, "--limit", str(args.limit)]
    command += ["--seq", str(args.seq), "-o", folder / "p", "--for", f"lathe-finercut{{cut={args.cut}}}"]
    subprocess.run(command, check=True)
    import json

    meta = json.loads(np.load(folder / "p")["meta"].tobytes())
steps = meta["rankings"]["lathe-finercut.js"]["steps"]
assert len(steps) == args.cut, steps

original = log_probabilities([])
removed = []
candidates = [f"blocks.{n}.{kind}" for n in range(args.blocks) for kind in ("attn", "ffn")][1:]
for step in steps:
    distances = {c: js(original, log_probabilities(removed + [c])) for c in candidates if c not in removed}
    best = min(distances.values())
    print(step["site"], step["error"], "expected", min(distances, key=distances.get), best)
    assert distances[step["site"]] <= best * 1.01 + 1e-9, distances
    assert abs(step["error"] - distances[step["site"]]) <= 0.01 * distances[step["site"]] + 1e-7
    removed.append(step["site"])
if args.zero:
    assert steps[0] == {"site": args.zero, "error": 0}, steps[0]
