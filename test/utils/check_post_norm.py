"""check_post_norm.py MODEL CUT DATA PROFILE STEPS: the distance that a profile
gives a cut post-norm model is what onnxruntime finds between MODEL and CUT, and
the norms of the sub-layers that went are still there."""

import json
import sys

import numpy as np
import onnx
import onnxruntime

model, cut, data, profile, steps = sys.argv[1:]


def norms(path):
    return sum(n.op_type == "LayerNormalization" for n in onnx.load(path).graph.node)


def run(path):
    session = onnxruntime.InferenceSession(path)
    arrays = {name.removeprefix("in."): value for name, value in np.load(data).items()}
    inputs = {i.name: arrays[i.name] for i in session.get_inputs()}
    return session.run(None, inputs)[0].astype(np.float64), inputs["attention_mask"] != 0


(before, valid), (after, _) = run(model), run(cut)
cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)
expected = np.arccos(np.clip(cosine, 0, 1))[valid].mean()
ranking = json.loads(np.load(profile)["meta"].tobytes())["rankings"]["lathe-finercut.angular"]
found = ranking["steps"][int(steps) - 1]["error"]
assert abs(found - expected) < 1e-3 * expected, (found, expected)
assert norms(model) == norms(cut) > 0, (norms(model), norms(cut))
print(f"post-norm: {found:.6f} against {expected:.6f}")
