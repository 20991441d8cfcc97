"""check_precision.py LATHE MODEL DATA.npz OUTPUT LEVEL...

Runs MODEL with --precision bf16 on each CPU level beside onnxruntime on the
model with its weights rounded to bf16: what differs is the rounding of
activations. The outputs must be close to that and not equal to the f32 build's,
and a compiled folder must be about half as large.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

TOLERANCE = 0.03


def rounded(values):
    bits = values.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def reference(path, inputs, output):
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.ndim == 2 and values.dtype in (np.float32, np.float16):
            values = rounded(values).astype(values.dtype)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [i.name for i in session.get_inputs()]
    return session.run([output], {n: inputs[n] for n in names})[0]


def main():
    lathe, model, data, output, *levels = sys.argv[1:]
    folder = tempfile.mkdtemp(dir=os.getcwd())
    inputs = {k: v[:2] for k, v in np.load(data).items() if k != "y"}
    given = os.path.join(folder, "in.npz")
    result = os.path.join(folder, "out.npz")
    for slot in onnx.load(model).graph.input:
        if slot.name.startswith("past"):
            dims = [d.dim_value for d in slot.type.tensor_type.shape.dim]
            inputs[slot.name] = np.zeros((2, dims[1], 0, dims[3]), np.float32)
    np.savez(given, **inputs)
    expected = reference(model, inputs, output)
    scale = np.abs(expected).max()

    def run(*options):
        subprocess.run([lathe, "run", model, "--inputs", given, "--outputs",
                        result, *options], check=True)
        return np.load(result)[output]

    for level in levels:
        exact = run("--mcpu", level)
        actual = run("--mcpu", level, "--precision", "bf16")
        error = np.abs(actual - expected).max() / scale
        moved = np.abs(actual - exact).max() / scale
        print(f"{level}: {error:.1e} of the largest value, {moved:.1e} from f32")
        assert error < TOLERANCE, (level, error)
        assert moved > 1e-5, (level, "the precision changed nothing")

    sizes = []
    for precision in ("f32", "bf16"):
        program = os.path.join(folder, precision)
        subprocess.run([lathe, "compile", model, "-o", program, "--precision",
                        precision], check=True, capture_output=True)
        sizes.append(os.path.getsize(os.path.join(program, "model.weights")))
    print("weights:", *sizes)
    assert sizes[1] < 0.6 * sizes[0], sizes


main()
