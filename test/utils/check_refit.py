"""check_refit.py MODEL DATA --for PASS --cut N --limit N: cuts and maps beside onnxruntime.

Calibrates PASS{cut=N refit=true}, writes the model without and with the maps as
ONNX, and runs both and the original in onnxruntime: the distance of the outputs
on the held-out items must be what the profile says before the first map and
behind the last, to 1 %, and fall. A mapped weight must be the weight times the
profile's map. For lathe-fuse-gpt the error of the last step must be 1 - cos of
what enters the last norm.
"""

import argparse
import json
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
parser.add_argument("--for", dest="method", required=True)
parser.add_argument("--cut", type=int, required=True)
parser.add_argument("--limit", type=int, required=True)
args = parser.parse_args()

work = pathlib.Path(tempfile.mkdtemp())
profile_path = work / "m.profile"
subprocess.run(["lathe", "calibrate", args.model, "--data", args.data, "--limit", str(args.limit), "--for", f"{args.method}{{cut={args.cut} refit=true}}", "-o", profile_path], check=True)
for name, more in (("cut", ""), ("refit", " refit=true")):
    options = f"--{args.method}=profile={profile_path} cut={args.cut}{more}"
    subprocess.run(["lathe-opt", args.model, options, "-o", work / f"{name}.onnx"], check=True)

profile = np.load(profile_path)
meta = json.loads(profile["meta"].tobytes())
maps = {k.split("/", 1)[1]: profile[k] for k in profile.files if ".refit=" in k and ".error/" not in k}
errors = {k.split("/", 1)[1]: profile[k] for k in profile.files if ".error/" in k}
assert maps and maps.keys() == errors.keys(), (maps.keys(), errors.keys())

data = np.load(args.data)


def outputs(path, hidden=False):
    """The logits, or what enters the last norm, of all items that are run."""
    model = onnx.load(path)
    if hidden:
        norm = [n for n in model.graph.node if n.op_type == "LayerNormalization"][-1]
        del model.graph.output[:]
        model.graph.output.append(onnx.helper.make_tensor_value_info(norm.input[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {i.name: data[i.name][: args.limit] for i in session.get_inputs()}
    return session.run(None, feeds)[0].astype(np.float64)


def js(p, q):
    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    p, q = softmax(p), softmax(q)
    m = (p + q) / 2
    return (0.5 * (p * np.log(p / m)).sum(-1) + 0.5 * (q * np.log(q / m)).sum(-1)).mean()


def cosine(p, q):
    return (1 - (p * q).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(q, axis=-1)).mean()


distance = cosine if args.method == "lathe-fuse-gpt" else js
chunk = 16  # items that lathe calibrate runs at once
chunks = -(-args.limit // chunk)
held = (chunks - max(1, chunks // 4)) * chunk
original = outputs(args.model)[held:]
found = {name: distance(original, outputs(work / f"{name}.onnx")[held:]) for name in ("cut", "refit")}
said = {"cut": max(e[0] for e in errors.values()), "refit": min(e[1] for e in errors.values())}
for name in found:
    assert abs(found[name] - said[name]) <= 0.01 * found[name] + 1e-7, (name, found, said)
assert found["refit"] < found["cut"], found

weights = {name: {i.name: numpy_helper.to_array(i) for i in onnx.load(work / f"{name}.onnx").graph.initializer}
           for name in ("cut", "refit")}
mapped = 0
for name, before in weights["cut"].items():
    after = weights["refit"].get(name)
    if after is None or np.array_equal(before, after) or before.ndim != 2:
        continue
    tolerance = 1e-3 if after.dtype == np.float16 else 1e-5
    fits = [np.abs(w @ m - a).max() <= tolerance * np.abs(a).max()
            for m in maps.values() for w, a in ((before.astype(np.float64), after), (before.T.astype(np.float64), after.T))
            if w.shape[1] == m.shape[0]]
    assert any(fits), name
    mapped += 1

if args.method == "lathe-fuse-gpt":
    step = meta["rankings"][args.method]["steps"][args.cut - 1]["error"]
    whole = cosine(outputs(args.model, True), outputs(work / "cut.onnx", True))
    assert abs(step - whole) <= 0.01 * whole, (step, whole)
print(f"{len(maps)} maps, {mapped} weights: distance {found['cut']:.3e} -> {found['refit']:.3e}")
