"""check_eval.py MODEL DATA [--limit N] [--via V] [--batch N]

`lathe eval` gives what onnxruntime gives: top1 to 0.1 points, bits to 1e-4.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import onnxruntime

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("--limit", type=int)
parser.add_argument("--via", default="plain")
parser.add_argument("--batch", type=int, default=16)
args = parser.parse_args()

data = {name: array[: args.limit] for name, array in np.load(args.data).items()}
labels = data.pop("y")
session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])


def past(value, batch):
    """An empty cache input."""
    shape = [batch, value.shape[1], 0, value.shape[3]]
    return np.zeros(shape, np.float32)


def logits(begin, end):
    arrays = {name: array[begin:end] for name, array in data.items()}
    for value in session.get_inputs():
        if value.name.startswith("past"):
            arrays[value.name] = past(value, end - begin)
        elif value.name == "attention_mask":
            arrays.setdefault(value.name, np.ones_like(arrays["input_ids"]))
        elif value.name == "position_ids":
            counted = np.arange(arrays["input_ids"].shape[1])
            arrays.setdefault(value.name, np.tile(counted, (end - begin, 1)))
    return session.run([session.get_outputs()[0].name], arrays)[0]


def reference():
    scores = []
    for begin in range(0, len(labels), args.batch):
        end = min(begin + args.batch, len(labels))
        found = logits(begin, end).astype(np.float64)
        if labels.ndim == 1:
            scores.append(found.argmax(-1) == labels[begin:end])
            continue
        found -= found.max(-1, keepdims=True)
        right = np.take_along_axis(found, labels[begin:end, :, None], -1)[..., 0]
        scores.append((np.log(np.exp(found).sum(-1)) - right) / np.log(2))
    return float(np.concatenate(scores).mean())


command = ["lathe", "eval", args.model, "--data", args.data, "--via", args.via, "--json"]
if args.limit:
    command += ["--limit", str(args.limit)]
if labels.ndim == 1:
    command += ["--batch", str(args.batch)]
result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
if labels.ndim == 1:
    key, expected, tolerance = "top1", reference() * 100, 0.1
else:
    key, expected, tolerance = "bits", reference(), 1e-4
print(f"{args.via}: {key} {result[key]:.5f}, onnxruntime {expected:.5f}, {result['items']} items")
if not abs(result[key] - expected) <= tolerance:
    sys.exit("error: too far apart")
