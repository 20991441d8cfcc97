"""check_generate.py MODEL TOKENS... [-n N] [--folder DIR]

`lathe generate` gives the tokens of a greedy loop over onnxruntime with its
cache, for every prompt (tokens with commas between). A first difference is
accepted only where onnxruntime's two best logits are within 1e-3. With
--folder the model is also compiled to DIR, and `lathe generate` and `lathe-run`
start from there.
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
parser.add_argument("--folder")
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


programs = [["lathe", "generate", args.model]]
if args.folder:
    compile_command = ["lathe", "compile", args.model, "-o", args.folder]
    subprocess.run(compile_command, check=True, stdout=subprocess.DEVNULL)
    programs += [["lathe", "generate", args.folder], ["lathe-run", args.folder, "--generate"]]

for prompt in args.prompts:
    tokens, margins = greedy([int(token) for token in prompt.split(",")])
    for program in programs:
        command = program + ["--tokens", prompt, "-n", str(args.n), "--json"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        found = json.loads(output)["tokens"]
        same = next((i for i, (a, b) in enumerate(zip(found, tokens)) if a != b), args.n)
        print(f"{program[0]}, {prompt}: {same} of {args.n} tokens equal")
        if len(found) != args.n:
            sys.exit(f"error: {len(found)} tokens instead of {args.n}")
        if same < args.n and margins[same] >= 1e-3:
            sys.exit(f"error: token {same} is {found[same]}, onnxruntime's {tokens[same]}")
