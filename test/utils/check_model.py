"""Checks compiled models against reference arrays and onnxruntime.

check_model.py SCRATCH MODEL.onnx... [--sizes 1x1,3x7]

Compiles every model once. With that one folder it runs the inputs of the .npz
beside the model (`in.NAME`) and compares with the outputs there (`out.NAME`),
then runs random inputs at every size (batch x length; images take the batch)
and compares with onnxruntime. Everything must agree to 1e-4 of the largest
value.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np
import onnxruntime

TOLERANCE = 1e-4


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def random_inputs(session, batch, length, rng):
    """Tokens, their mask (rows end in padding) or images, by the inputs' names."""
    arrays = {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else None for d in value.shape]
        if value.name == "input_ids":
            arrays[value.name] = rng.integers(1, 50, (batch, length))
        elif value.name == "attention_mask":
            ends = rng.integers(1, length + 1, (batch, 1))
            arrays[value.name] = (np.arange(length) < ends).astype(np.int64)
        elif shape[0] is None and None not in shape[1:]:
            arrays[value.name] = rng.standard_normal([batch] + shape[1:], np.float32)
        else:
            sys.exit(f"error: no rule for input '{value.name}' {value.shape}")
    return arrays


def difference(actual, expected):
    """Largest difference, of the largest value."""
    if actual.shape != expected.shape:
        sys.exit(f"error: shape {actual.shape} instead of {expected.shape}")
    if not expected.size:
        return 0.0
    scale = np.abs(expected).max() or 1.0
    return float(np.abs(actual.astype(np.float64) - expected).max() / scale)


class Compiled:
    def __init__(self, model, scratch):
        self.scratch = scratch
        self.folder = scratch / model.stem
        subprocess.run(["lathe", "compile", model, "-o", self.folder], check=True,
                       stdout=subprocess.DEVNULL)

    def run(self, arrays):
        inputs, outputs = self.scratch / "in.npz", self.scratch / "out.npz"
        np.savez(inputs, **arrays)
        subprocess.run(["lathe-run", self.folder, "--inputs", inputs, "--outputs", outputs],
                       check=True, stdout=subprocess.DEVNULL)
        return {name.removeprefix("out."): a for name, a in np.load(outputs).items()}


def check(model, scratch, sizes):
    compiled = Compiled(model, scratch)
    session = session_of(model)
    worst = 0.0

    def compare(what, arrays, expected):
        nonlocal worst
        actual = compiled.run(arrays)
        for name, value in expected.items():
            error = difference(actual[name], value)
            worst = max(worst, error)
            if not error <= TOLERANCE:
                sys.exit(f"error: {model.stem}, {what}, {name}: off by {error:.1e}")

    reference = model.with_suffix(".npz")
    if reference.exists():
        arrays = np.load(reference)
        compare(
            "reference",
            {n.removeprefix("in."): a for n, a in arrays.items() if n.startswith("in.")},
            {n.removeprefix("out."): a for n, a in arrays.items() if n.startswith("out.")},
        )
    names = [value.name for value in session.get_outputs()]
    for batch, length in sizes:
        arrays = random_inputs(session, batch, length, np.random.default_rng(batch * 100 + length))
        compare(f"{batch}x{length}", arrays, dict(zip(names, session.run(names, arrays))))
    print(f"{model.stem}: agrees, largest difference {worst:.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--sizes", default="1x1,3x7,2x33")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    sizes = [tuple(map(int, size.split("x"))) for size in args.sizes.split(",")]
    for model in args.models:
        check(model, args.scratch, sizes)
    print(f"{len(args.models)} models agree")


if __name__ == "__main__":
    main()
