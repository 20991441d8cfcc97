"""check_observe.py MODEL DATA PROFILE [--limit N] [--seq N] [--rows N]: the statistics of a
profile are those that numpy computes of the tensors that onnxruntime computes
inside MODEL. Reads the structure level's generic form on standard input, which
says what tensors the sites are."""

import argparse
import json
import sys

import lathe_ir
import numpy as np
import onnx
import onnxruntime

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("data")
parser.add_argument("profile")
parser.add_argument("--limit", type=int)
parser.add_argument("--seq", type=int)
parser.add_argument("--rows", type=int, default=9)
args = parser.parse_args()

model = onnx.load(args.model)
maker = {output: node for node in model.graph.node for output in node.output}


def walk(op):
    yield op
    for block in op.regions:
        for inner in block.ops:
            yield from walk(inner)


def input_of_linear(output):
    """What is multiplied on the way to `output`: a product, perhaps a bias."""
    node = maker[output]
    if node.op_type == "Add":
        node = next(maker[i] for i in node.input if i in maker and maker[i].op_type == "MatMul")
    assert node.op_type in ("MatMul", "Gemm"), node.op_type
    return node.input[0]


# By site: the tensors before and behind a sub-layer, the input of a linear.
streams, inputs, previous = {}, {}, None
plain = next(
    op
    for op in lathe_ir.parse_module(sys.stdin.read()).regions[0].ops
    if op.name == "func.func" and op.attrs["sym_name"] == "plain"
)
for op in walk(plain):
    origin = op.attrs.get("onnx.from")
    if op.name not in ("lathe.linear", "lathe.sublayer") or not origin:
        continue
    site = op.attrs["site"].split('"')[1]
    output = origin["outputs"][0]
    if op.name == "lathe.linear":
        inputs[site] = input_of_linear(output)
        continue
    for post in op.regions[1].ops if len(op.regions) > 1 else []:
        output = post.attrs["onnx.from"]["outputs"][0] if "onnx.from" in post.attrs else output
    if previous:
        streams[site] = (previous, output)
    previous = output

names = sorted({*inputs.values(), *(n for pair in streams.values() for n in pair)})
model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
session = onnxruntime.InferenceSession(model.SerializeToString())
data = {name.removeprefix("in."): value for name, value in np.load(args.data).items()}
feeds = {}
for wanted in session.get_inputs():
    if wanted.name in data:
        value = data[wanted.name][: args.limit]
        feeds[wanted.name] = value[:, : args.seq] if args.seq else value
items = len(next(iter(feeds.values())))
for wanted in session.get_inputs():  # an empty cache
    if wanted.name not in feeds:
        shape = [items, wanted.shape[1], 0, wanted.shape[3]]
        feeds[wanted.name] = np.zeros(shape, np.float32)
valid = feeds.get("attention_mask")
tensors = {}
for name, value in zip(names, session.run(names, feeds)):
    rows = value.reshape(items, -1, value.shape[-1])
    keep = np.ones(rows.shape[:2], bool) if valid is None else valid != 0
    tensors[name] = rows[keep].astype(np.float64)

profile = np.load(args.profile)
aliases = json.loads(profile["meta"].tobytes())["aliases"]
checked = {}


def find(kind, site):
    name = f"{kind}/{site}"
    name = aliases.get(name, name)
    return profile[name] if name in profile else None


def close(kind, site, expected, tolerance):
    found = find(kind, site)
    if found is None:
        return
    scale = np.abs(expected).max() + 1e-30
    error = np.abs(found - expected).max() / scale
    assert found.shape == np.shape(expected) and error < tolerance, (kind, site, error)
    checked[kind] = checked.get(kind, 0) + 1


for site, name in inputs.items():
    rows = tensors[name]
    close("count", site, [len(rows)], 0.5 / len(rows))
    close("min", site, rows.min(0), 1e-4)
    close("max", site, rows.max(0), 1e-4)
    close("moments", site, np.stack([(rows**k).mean(0) for k in (1, 2, 3, 4)]), 1e-4)
    close("gram", site, rows.T @ rows, 1e-4)
    limit = find("histogram_range", site)
    if limit is not None:
        histogram = find("histogram", site)
        assert limit[0] == 2.0 ** (np.floor(np.log2(np.abs(rows).max())) + 1), site
        expected, _ = np.histogram(rows, len(histogram), (-limit[0], limit[0]))
        # Values at the edge of a bin may round into its neighbour.
        moved = np.abs(np.cumsum(histogram) - np.cumsum(expected)).max()
        assert histogram.sum() == rows.size and moved <= 1e-4 * rows.size + 1, (site, moved)
        checked["histogram"] = checked.get("histogram", 0) + 1
    sample = find("rows", site)
    if sample is not None:
        # In the order of the data, each once; equal rows may stand for another.
        last = -1
        for row in sample:
            same = np.abs(rows - row).max(-1) < 1e-4 * np.abs(rows).max()
            later = np.flatnonzero(same[last + 1 :])
            assert later.size, (site, "a row that is not there")
            last += 1 + later[0]
        assert len(sample) == min(args.rows, len(rows)), site
        checked["rows"] = checked.get("rows", 0) + 1
for site, (before, behind) in streams.items():
    x, y = tensors[before], tensors[behind]
    nx, ny = np.linalg.norm(x, axis=-1), np.linalg.norm(y, axis=-1)
    cosine = (x * y).sum(-1) / nx / ny
    close("norms", site, [nx.mean(), ny.mean(), (ny / nx).mean()], 1e-4)
    close("cosine", site, [(1 - cosine).mean()], 1e-3)
    close("angular", site, [np.arccos(np.clip(cosine, 0, 1)).mean()], 1e-3)
print(" ".join(f"{kind}={count}" for kind, count in sorted(checked.items())))
