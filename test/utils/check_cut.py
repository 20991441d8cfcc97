"""Compares a model with sub-layers cut to onnxruntime on a copy of the source
in which the named nodes' weights, and the bias added to them, are zero."""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--zero", required=True)
parser.add_argument("--cut", required=True)
parser.add_argument("--tokens", type=int, help="size of the vocabulary")
args = parser.parse_args()

model = onnx.load(args.model)
initializers = {i.name: i for i in model.graph.initializer}
for node in model.graph.node:
    if node.op_type == "Cast" and node.input[0] in initializers:
        initializers[node.output[0]] = initializers[node.input[0]]


def zero(node):
    """Zeroes the initializers that `node` reads; how many there are."""
    weights = [initializers[name] for name in node.input if name in initializers]
    for weight in weights:
        array = numpy_helper.to_array(weight)
        weight.CopyFrom(numpy_helper.from_array(np.zeros_like(array), weight.name))
    return len(weights)


for name in args.zero.split(","):
    node = next(n for n in model.graph.node if n.name == name)
    assert zero(node), f"{name} has no weight"
    for reader in model.graph.node:
        if reader.op_type == "Add" and node.output[0] in reader.input:
            zero(reader)

random = np.random.default_rng(0)
inputs = {}
for value in model.graph.input:
    if value.name in initializers:
        continue
    dims = [d.dim_value or {"past": 0, "seq": 48}.get(d.dim_param, 2) for d in value.type.tensor_type.shape.dim]
    if args.tokens and value.name == "input_ids":
        inputs[value.name] = random.integers(0, args.tokens, dims)
    else:
        inputs[value.name] = random.standard_normal(dims).astype(np.float32)

session = onnxruntime.InferenceSession(model.SerializeToString())
name = session.get_outputs()[0].name
(expected,) = session.run([name], inputs)
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    np.savez(folder / "in.npz", **{k: v for k, v in inputs.items() if not k.startswith("past")})
    np.savez(folder / "ref.npz", **{name: expected})
    command = ["lathe", "compare", args.model, "--inputs", folder / "in.npz", "--reference", folder / "ref.npz"]
    command += ["--pipeline", f"lathe-cut-sublayers{{sites={args.cut}}}", "--rtol", "1e-4"]
    sys.exit(subprocess.run(command, check=False).returncode)
