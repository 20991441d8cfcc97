"""check_real_models.py FOLDER: MiniLM and SmolLM2 agree with onnxruntime.

Each is compiled once, within the time and memory that it is allowed, and run
at several sizes, with padding on the left, on the right and with holes, and
with a cache that onnxruntime filled. Outputs agree to 1e-4 of the largest
value. `lathe inspect` counts their sub-layers and parameters.
"""

import json
import pathlib
import resource
import subprocess
import sys

import numpy as np

from check_model import TOLERANCE, Compiled, difference, session_of

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(0)


def padding(kind, batch, length):
    """A mask [batch, length] with at least one token in each row."""
    at = np.arange(length)
    many = rng.integers(1, length + 1, (batch, 1))
    if kind == "right":
        return (at < many).astype(np.int64)
    if kind == "left":
        return (at >= length - many).astype(np.int64)
    mask = rng.integers(0, 2, (batch, length))
    mask[:, -1] = 1
    return mask


def minilm(batch, length, kind):
    return {
        "input_ids": rng.integers(1, 30000, (batch, length)),
        "attention_mask": padding(kind, batch, length),
        "token_type_ids": rng.integers(0, 2, (batch, length)),
    }


def smollm2(session, batch, length, past, kind=None):
    """New tokens behind `past` ones whose cache onnxruntime has computed."""
    total = past + length
    ids = rng.integers(1, 49000, (batch, total))
    mask = padding(kind, batch, total) if kind else np.ones((batch, total), np.int64)
    positions = np.maximum(mask.cumsum(1) - 1, 0)
    empty = np.zeros((batch, 3, 0, 64), np.float32)
    caches = {
        f"past_key_values.{layer}.{part}": empty
        for layer in range(30)
        for part in ("key", "value")
    }

    def inputs(begin, end):
        return {
            "input_ids": ids[:, begin:end],
            "attention_mask": mask[:, :end],
            "position_ids": positions[:, begin:end],
            **caches,
        }

    if past:
        presents = [name.replace("past_key_values", "present") for name in caches]
        caches = dict(zip(caches, session.run(presents, inputs(0, past))))
    return inputs(past, total)


def minilm_cases(session):
    sizes = [(1, 128), (3, 17), (8, 1), (2, 512)]
    return [minilm(*size, kind) for size in sizes for kind in ("right", "left", "holes")]


def smollm2_cases(session):
    return [
        smollm2(session, 1, 24, 0),
        smollm2(session, 2, 33, 0, "left"),
        smollm2(session, 2, 33, 0, "right"),
        smollm2(session, 2, 5, 11, "left"),
        smollm2(session, 3, 7, 20, "holes"),
        smollm2(session, 1, 1, 40),
        smollm2(session, 1, 1, 300),
    ]


def tokens_only(array, mask):
    """The positions of `array` that are tokens. In a causal model a row of
    padding on the left sees no key at all, so its values say nothing and
    rounding grows in them: onnxruntime differs from itself at another level of
    optimisation by 4e-5."""
    if array.ndim == 4:
        array = np.moveaxis(array, 2, 1)
    return array[mask[:, -array.shape[1] :] == 1]


def all_positions(array, mask):
    return array


def expect(condition, what):
    if not condition:
        sys.exit(f"error: {what}")


def inspect(model, sublayers, parameters):
    command = ["lathe", "inspect", model, "--json"]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    expect(len(result["sublayers"]) == sublayers, f"{len(result['sublayers'])} sub-layers")
    expect(abs(result["params"] / 1e6 - parameters) < 0.05, f"{result['params']} parameters")


# Cases, what is compared, sub-layers, millions of parameters.
MODELS = {
    "minilm-l6": (minilm_cases, all_positions, 12, 22.6),
    "smollm2-135m": (smollm2_cases, tokens_only, 60, 134.5),
}

for name, (cases, compared, sublayers, parameters) in MODELS.items():
    model = folder / f"{name}.onnx"
    inspect(model, sublayers, parameters)
    compiled = Compiled(model, folder)
    session = session_of(model)
    outputs = [value.name for value in session.get_outputs()]
    worst = 0.0
    for number, arrays in enumerate(cases(session)):
        actual = compiled.run(arrays)
        for output, expected in zip(outputs, session.run(outputs, arrays)):
            mask = arrays["attention_mask"]
            error = difference(compared(actual[output], mask), compared(expected, mask))
            worst = max(worst, error)
            expect(error <= TOLERANCE, f"{name}, case {number}, {output}: off by {error:.1e}")
    print(f"{name}: largest difference {worst:.1e}", flush=True)
    del session

# The largest process so far was one of the compiler's: maps of the model and of
# the weights that it wrote count.
megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"largest process: {megabytes:.0f} MB")
expect(megabytes <= 538 + 600, "the compiler or a run took too much memory")
