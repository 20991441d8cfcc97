#!/usr/bin/env python3
"""Makes the models and data of examples/ and test/models/ from the shared ones.

The trained models are embedded with their large weights in f16: every float
weight of rank 2 or more becomes an f16 initialiser and a Cast to f32. What the
conversion does to the models' accuracy is measured with ONNX Runtime and
printed; more than 0.1 points of top-1 or 0.001 bits is an error.

    LATHE_SHARED=../shared scripts/make_examples.py
"""

import argparse
import os
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MODELS = ["glyph-vit", "glyph-maformer", "code-llama"]
# Small exports that show each exporter and each kind of architecture.
ZOO = [
    "bert.ts17", "clip-vision.ts17", "gpt2.dy23", "llama.ts17", "opt.dy18",
    "phi3.ts17", "t5-encoder.ts17", "timm-convnext.ts17", "timm-deit.dy23",
    "timm-swin.ts17",
]  # fmt: skip
GLYPHS, WINDOWS = 64, 4
F16_MAX = 65504.0


def halve(model):
    """Moves the large weights of `model` to f16, in place; returns how many."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        values = numpy_helper.to_array(weight)
        if not np.all(np.abs(values) <= F16_MAX):
            raise ValueError(f"{weight.name} does not fit f16")
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".f16"))
        casts.append(
            helper.make_node(
                "Cast", [name + ".f16"], [name], name=name + "/f32", to=TensorProto.FLOAT
            )
        )
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return len(casts)


def top1(session, data, limit):
    right = 0
    for begin in range(0, limit, 64):
        end = min(begin + 64, limit)
        (logits,) = session.run(["logits"], {"image": data["image"][begin:end]})
        right += int((logits.argmax(-1) == data["y"][begin:end]).sum())
    return 100.0 * right / limit


def bits(session, data, limit):
    """Mean of -log2 p of the next token."""
    inputs = {i.name: i for i in session.get_inputs()}
    past = {
        name: np.zeros([1, i.shape[1], 0, i.shape[3]], np.float32)
        for name, i in inputs.items()
        if name.startswith("past")
    }
    total = count = 0
    for window in range(limit):
        ids, y = data["input_ids"][window : window + 1], data["y"][window]
        (logits,) = session.run(["logits"], {"input_ids": ids, **past})
        logits = logits[0].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(-1))
        total += float((log_sum - logits[np.arange(len(y)), y]).sum()) / np.log(2)
        count += len(y)
    return total / count


def score(path, name, shared, limit):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    is_text = name.startswith("code")
    file = "code-eval.npz" if is_text else "glyphs-eval.npz"
    data = np.load(os.path.join(shared, "data", file))
    items = min(limit or len(data["y"]), len(data["y"]))
    return (bits if is_text else top1)(session, data, items), items


def make_model(name, shared, root, limit):
    source = os.path.join(shared, "models", name + ".onnx")
    target = os.path.join(root, "examples", "models", name + ".onnx")
    model = onnx.load(source)
    count = halve(model)
    with open(target, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    unit, allowed = ("bits", 1e-3) if name.startswith("code") else ("% top-1", 0.1)
    before, items = score(source, name, shared, limit)
    after, _ = score(target, name, shared, limit)
    size = os.path.getsize(target)
    print(
        f"{name}: {count} weights in f16, {size / 2**20:.2f} MiB, "
        f"{before:.4f} -> {after:.4f} {unit} over {items} items"
    )
    if abs(after - before) > allowed:
        raise ValueError(f"{name} lost more than {allowed} {unit}")
    return size


def make_data(shared, root):
    for source, target, key, count in [
        ("glyphs-eval", "glyphs", "image", GLYPHS),
        ("code-eval", "code", "input_ids", WINDOWS),
    ]:
        data = np.load(os.path.join(shared, "data", source + ".npz"))
        path = os.path.join(root, "examples", "data", target + ".npz")
        np.savez_compressed(path, **{k: data[k][:count] for k in (key, "y")})
        print(f"{target}.npz: {count} items, {os.path.getsize(path) / 1024:.0f} KiB")


def copy_zoo(shared, root):
    total = 0
    for name in ZOO:
        for suffix in (".onnx", ".npz"):
            target = os.path.join(root, "test", "models", name + suffix)
            shutil.copyfile(os.path.join(shared, "zoo", name + suffix), target)
            total += os.path.getsize(target)
    print(f"test/models: {len(ZOO)} models, {total / 2**20:.2f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", default=os.environ.get("LATHE_SHARED"))
    parser.add_argument("--limit", type=int, help="items to measure (default: all)")
    parser.add_argument(
        "--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    )
    arguments = parser.parse_args()
    if not arguments.shared:
        parser.error("set LATHE_SHARED or give --shared")
    for folder in ("examples/models", "examples/data", "test/models"):
        os.makedirs(os.path.join(arguments.root, folder), exist_ok=True)
    copy_zoo(arguments.shared, arguments.root)
    make_data(arguments.shared, arguments.root)
    total = sum(
        make_model(name, arguments.shared, arguments.root, arguments.limit)
        for name in MODELS
    )
    print(f"examples/models: {total / 2**20:.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
