"""check_generate.py MODEL TOKENS... [-n N]

`lathe generate` gives the tokens of a greedy loop over onnxruntime with its
cache, for every prompt (tokens with commas between). A first difference is
accepted only where onnxruntime's two best logits are within 1e-3.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import onnxruntime

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("prompts", nargs="+")
parser.add_argument("-n", type=int, default=64)
args = parser.parse_args()

session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
inputs = {value.name: value for value in session.get_inputs()}
outputs = [value.name for value in session.get_outputs()]
caches = [name for name in inputs if name.startswith("past")]


def greedy(prompt):
    """New tokens, and how far the best logit was before the second."""
    state = {name: np.zeros([1, inputs[name].shape[1], 0, inputs[name].shape[3]], np.float32)
             for name in caches}
    ids, length, tokens, margins = np.array([prompt]), len(prompt), [], []
    for _ in range(args.n):
        arrays = {"input_ids": ids, **state}
        if "attention_mask" in inputs:
            arrays["attention_mask"] = np.ones((1, length), np.int64)
        if "position_ids" in inputs:
            arrays["position_ids"] = np.arange(length - ids.shape[1], length)[None]
        results = dict(zip(outputs, session.run(outputs, arrays)))
        logits = results[outputs[0]][0, -1]
        best = np.sort(logits)[-2:]
        tokens.append(int(logits.argmax()))
        margins.append(float(best[1] - best[0]))
        presents = [name for name in outputs if name != outputs[0]]
        state = {name: results[present] for name, present in zip(caches, presents)}
        ids, length = np.array([[tokens[-1]]]), length + 1
    return tokens, margins


for prompt in args.prompts:
    command = ["lathe", "generate", args.model, "--tokens", prompt, "-n", str(args.n), "--json"]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    tokens, margins = greedy([int(token) for token in prompt.split(",")])
    same = next((i for i, (a, b) in enumerate(zip(result["tokens"], tokens)) if a != b), args.n)
    print(f"{prompt}: {same} of {args.n} tokens equal")
    if same < args.n and margins[same] >= 1e-3 or len(result["tokens"]) != args.n:
        sys.exit(f"error: token {same} is {result['tokens'][same]}, onnxruntime's {tokens[same]}")
