"""Checks what calibration wrote for FFN skipping: the cosines against onnxruntime
and numpy, the rules by decoding with each. For models named as code-llama is.

check_ffn_skip.py MODEL DATA PROFILE --limit N --seq N
"""

import argparse
import json
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("profile")
parser.add_argument("--limit", type=int, required=True)
parser.add_argument("--seq", type=int, required=True)
args = parser.parse_args()

key = "lathe-ffn-skip.warmup=10/"
profile = {n[len(key) :]: v for n, v in np.load(args.profile).items() if n.startswith(key)}
data = {n: v[: args.limit, : args.seq] for n, v in np.load(args.data).items()}

# The residual stream before and behind each FFN.
model = onnx.load(args.model)
norms = {node.name: node.input[0] for node in model.graph.node if node.op_type == "Pow"}
blocks = len(profile["saturation"])
streams = []
for block in range(blocks):
    after = f"layers.{block + 1}/input_layernorm" if block + 1 < blocks else "norm"
    streams += [norms[f"/m/layers.{block}/post_attention_layernorm/Pow"], norms[f"/m/{after}/Pow"]]
for name in streams:
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
session = onnxruntime.InferenceSession(model.SerializeToString())
inputs = {"input_ids": data["input_ids"]}
for value in session.get_inputs()[1:]:
    inputs[value.name] = np.zeros([args.limit, value.shape[1], 0, value.shape[3]], np.float32)
values = [v.astype(np.float64) for v in session.run(streams, inputs)]
for block, cosine in enumerate(profile["saturation"]):
    x, y = values[2 * block : 2 * block + 2]
    expected = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
    assert abs(cosine - expected.mean()) < 1e-5, (block, cosine, expected.mean())


def evaluate(pipeline):
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        np.savez(file, **data)
        file.flush()
        command = ["lathe", "eval", args.model, "--data", file.name, "--via", "decode", "--json"]
        command += ["--batch", str(args.limit), "--pipeline", pipeline]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


assert np.any(profile["random"] == 0) and np.any(profile["random"] == 1)
for kind in (0, 1):
    point = int(np.flatnonzero(profile["random"] == kind)[-1])
    k, front, tail = (profile[n][point] for n in ("k", "front", "tail"))
    threshold = float(profile["threshold"][point])
    if kind == 0:
        rule = f"tau={threshold!r} k={k}"
    else:
        ffns = len(profile["saturation"])
        rule = f"rule=random ratio={float(threshold * (ffns - front - tail) / ffns)!r}"
    result = evaluate(f"lathe-ffn-skip{{{rule} front={front} tail={tail}}}")
    assert abs(result["bits"] - profile["loss"][point]) < 1e-6, (rule, result, profile["loss"][point])
    assert abs(result["skip_ratio"] - profile["ratio"][point]) < 1e-9, (rule, result)
assert np.allclose(profile["rates"].mean(axis=1), profile["ratio"])
print("profile: all as expected")
