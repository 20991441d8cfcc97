"""Checks the block influences of a profile against onnxruntime and numpy: the
residual stream is read from the source model at the Add nodes that end its
sub-layers. For models of timm's ViT naming."""

import argparse
import json

import numpy as np
import onnx
import onnxruntime

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("profile")
parser.add_argument("--limit", type=int, required=True)
args = parser.parse_args()

model = onnx.load(args.model)
norms = [n for n in model.graph.node if n.name.endswith("norm1/LayerNormalization")]
norms.append(next(n for n in model.graph.node if n.name.startswith("/norm/")))
streams = [n.input[0] for n in norms]
for name in streams:
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
session = onnxruntime.InferenceSession(model.SerializeToString())
image = np.load(args.data)["image"][: args.limit]
values = [v.astype(np.float64) for v in session.run(streams, {session.get_inputs()[0].name: image})]
expected = {}
for block, (before, after) in enumerate(zip(values, values[1:])):
    cosine = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)
    expected[f"blocks.{block}.attn+blocks.{block}.ffn"] = 1 - cosine.mean()

profile = np.load(args.profile)
steps = json.loads(profile["meta"].tobytes())["rankings"]["lathe-shortgpt.cosine"]["steps"]
assert len(steps) == len(expected)
for step in steps:
    print(step["site"], step["error"], expected[step["site"]])
    assert abs(step["error"] - expected[step["site"]]) < 1e-3 * expected[step["site"]] + 1e-6
assert [s["error"] for s in steps] == sorted(s["error"] for s in steps)
for block, (before, after) in enumerate(zip(values, values[1:])):
    ratio = (np.linalg.norm(after, axis=-1) / np.linalg.norm(before, axis=-1)).mean()
    found = profile[f"norms/blocks.{block}.attn+blocks.{block}.ffn"][2]
    assert abs(found - ratio) < 1e-4 * ratio
