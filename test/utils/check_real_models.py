"""check_real_models.py FOLDER: MiniLM and SmolLM2 agree with onnxruntime.

Each is compiled once and run at several sizes; outputs agree to 1e-4 of the
largest value.
"""

import pathlib
import sys

import numpy as np

from check_model import TOLERANCE, Compiled, difference, session_of

folder = pathlib.Path(sys.argv[1])
rng = np.random.default_rng(0)


def minilm(batch, length):
    ends = rng.integers(1, length + 1, (batch, 1))
    return {
        "input_ids": rng.integers(1, 30000, (batch, length)),
        "attention_mask": (np.arange(length) < ends).astype(np.int64),
        "token_type_ids": np.zeros((batch, length), np.int64),
    }


def smollm2(batch, length, past):
    def cache():
        return rng.standard_normal((batch, 3, past, 64), np.float32)

    arrays = {
        "input_ids": rng.integers(1, 49000, (batch, length)),
        "attention_mask": np.ones((batch, past + length), np.int64),
        "position_ids": np.tile(np.arange(past, past + length), (batch, 1)),
    }
    for layer in range(30):
        arrays[f"past_key_values.{layer}.key"] = cache()
        arrays[f"past_key_values.{layer}.value"] = cache()
    return arrays


CASES = {
    "minilm-l6": [minilm(1, 128), minilm(3, 17), minilm(8, 1)],
    "smollm2-135m": [smollm2(1, 24, 0), smollm2(2, 5, 11), smollm2(1, 1, 40)],
}

for name, cases in CASES.items():
    model = folder / f"{name}.onnx"
    compiled = Compiled(model, folder)
    session = session_of(model)
    outputs = [value.name for value in session.get_outputs()]
    worst = 0.0
    for arrays in cases:
        actual = compiled.run(arrays)
        for output, expected in zip(outputs, session.run(outputs, arrays)):
            worst = max(worst, difference(actual[output], expected))
    print(f"{name}: largest difference {worst:.1e}", flush=True)
    if not worst <= TOLERANCE:
        sys.exit("error: too far apart")
