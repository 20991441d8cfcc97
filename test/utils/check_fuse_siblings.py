"""check_fuse_siblings.py LATHE LATHE_OPT FOLDER MODEL.onnx DATA.npz GROUPS

Q, K and V of MODEL, and gate and up of a gated FFN, are computed as one: GROUPS
products in all. The outputs must be bit for bit those of the same model in which
they are not, because each of them is an output of the graph, too, in f32 and in
bf16; and those in f32 close to onnxruntime's. What MODEL has in one weight is one
product with and without the pass.
"""

import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-4


def optimize(tool, path, *passes):
    return subprocess.run([tool, path, *passes], stdout=subprocess.PIPE, check=True, text=True).stdout


def single_results(text):
    """Names of the values that the linears make, in all entries."""
    sites = r"blocks\.\d+\.(?:attn\.[qkv]|ffn\.(?:gate|up|gate_up))"
    pattern = rf'lathe\.linear .*outputs = \[([^\]]*)\].*site = #lathe\.site<"{sites}">'
    names = [re.findall(r'"([^"]*)"', found)[-1] for found in re.findall(pattern, text)]
    return list(dict.fromkeys(names))


def expose(source, names, target):
    """The model with these values as further outputs."""
    model = onnx.shape_inference.infer_shapes(onnx.load(source))
    types = {value.name: value for value in model.graph.value_info}
    model.graph.output.extend(types[name] for name in names)
    onnx.save(model, target)


def merged_results(text):
    """Sites of products whose weight is a `concat`, or that store a product of two."""
    site = re.compile(r'site = #lathe\.site<"(blocks\.\d+\.(?:attn\.qkv|ffn\.gate_up))">')
    sites = set()
    for line in text.splitlines():
        # An epilogue stands between the name of a linear and its attributes.
        is_linear = "lathe.linear" in line or line.lstrip().startswith("}")
        if is_linear and ("{gated, " in line or ", gated, " in line or "#lathe.concat" in line):
            sites.update(site.findall(line))
    return sites


def main():
    lathe, lathe_opt, folder, source, data, groups = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    exposed = os.path.join(folder, "exposed.onnx")
    names = single_results(optimize(lathe_opt, source))
    expose(source, names, exposed)

    def fused(path):
        return merged_results(optimize(lathe_opt, path, "--lathe-fuse-siblings"))

    assert len(fused(source)) == int(groups), fused(source)
    assert not fused(exposed), fused(exposed)

    arrays = np.load(data)
    inputs = {name[3:]: arrays[name] for name in arrays.files if name.startswith("in.")}
    given = os.path.join(folder, "in.npz")
    np.savez(given, **inputs)

    def run(path, precision="f32"):
        result = os.path.join(folder, "out.npz")
        subprocess.run([lathe, "run", path, "--inputs", given, "--outputs", result, "--precision", precision], check=True)
        return dict(np.load(result))

    have, single = run(source), run(exposed)
    session = onnxruntime.InferenceSession(source)
    outputs = [output.name for output in session.get_outputs()]
    wanted = session.run(outputs, {slot.name: inputs[slot.name] for slot in session.get_inputs()})
    for name, reference in zip(outputs, wanted):
        np.testing.assert_array_equal(have[name], single[name], err_msg=name)
        error = np.abs(have[name] - reference).max() / max(np.abs(reference).max(), 1e-9)
        assert error < TOLERANCE, (name, error)
    have, single = run(source, "bf16"), run(exposed, "bf16")
    for name in outputs:
        np.testing.assert_array_equal(have[name], single[name], err_msg=f"{name} in bf16")
    print(f"{len(outputs)} outputs are equal; {len(names)} products are {groups}")


main()
