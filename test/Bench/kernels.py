"""The kernels suite without its timing: work counted by hand, graphs that compute
what ONNX Runtime says and hold the kernels that they are made for, causes.

REQUIRES: onnxruntime
RUN: %python %s %lathe_src_root/bench %t
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime

bench, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path[:0] = [str(bench / "kernels"), str(bench), str(bench / "cpu")]
import budget  # noqa: E402
import graphs  # noqa: E402
from kernel import Kernel  # noqa: E402

PADDING = "read(0, [i0, i3]) != 0"
CAUSAL = f"(i3 <= i2 and {PADDING})"
PAST = f"(i3 <= i2 + past and {PADDING})"


def kernel(op, variant="", epilogue=(), mask="", **sizes):
    return Kernel(op, variant, tuple(epilogue), mask, tuple(sorted(sizes.items())))


def attention(mask, **sizes):
    return kernel("attention", mask=mask, head_dim=16, value_dim=16, **sizes)


# Kernel, limit, FLOPs, bytes with weights in 4 and in 2 bytes.
COUNTED = [
    # 2*3*8*16; weights 8*16, bias 16, x 3*8, y 3*16.
    (kernel("linear", epilogue=["gelu"], rows=3, inputs=8, outputs=16, bias=1,
            gated=0),
     "FMA", 768, 4 * (128 + 16 + 24 + 48), 2 * 128 + 4 * (16 + 24 + 48)),
    # Gate and up: twice the columns, and one result.
    (kernel("linear", "exp", rows=3, inputs=8, outputs=16, bias=0, gated=1),
     "FMA", 1536, 4 * (256 + 24 + 48), 2 * 256 + 4 * (24 + 48)),
    # A residual is read as well.
    (kernel("linear", epilogue=["add"], rows=1, inputs=8, outputs=16, bias=0,
            gated=0),
     "read", 256, 4 * (128 + 8 + 32), 2 * 128 + 4 * (8 + 32)),
    # 2 sequences x 4 heads x 7 x 7 pairs, 32 multiply-adds each; q, k, v, out.
    (attention(PADDING, batch=2, rows=7, keys=7, heads=4, kv_heads=4, cached=0),
     "FMA", 2 * 392 * 32, 4 * 4 * 2 * 7 * 64, 4 * 4 * 2 * 7 * 64),
    # 7*8/2 pairs, and half as many heads of keys.
    (attention(CAUSAL, batch=1, rows=7, keys=7, heads=4, kv_heads=2, cached=1),
     "FMA", 2 * 4 * 28 * 32, 4 * (7 * 4 + 7 * 2) * 32, 4 * 42 * 32),
    # The new row sees all nine keys.
    (attention(PAST, batch=1, rows=1, keys=9, heads=4, kv_heads=2, cached=1),
     "read", 2 * 4 * 9 * 32, 4 * (4 + 18) * 32, 4 * 22 * 32),
    (kernel("norm", "layer", rows=4, width=96, beta=1), "read", 0,
     4 * (768 + 192), 4 * 960),
    (kernel("norm", "rms", rows=4, width=96, beta=0), "read", 0,
     4 * (768 + 96), 4 * 864),
    # Two tables of 8 columns.
    (kernel("rope", "half", rows=5, heads=3, head_dim=16, rotary_dim=16), "read",
     0, 4 * (480 + 80), 4 * 560),
    (kernel("embedding", rows=5, width=64, vocabulary=99, tied=0), "read", 0,
     5 * (8 + 512), 5 * (8 + 256 + 128)),
    (kernel("embedding", rows=5, width=64, vocabulary=99, tied=1), "read", 0,
     5 * (8 + 512), 5 * (8 + 256 + 128)),
    (kernel("softmax", rows=4, width=33), "read", 0, 1056, 1056),
    (kernel("activation", "silu", elements=77), "read", 0, 616, 616),
    (kernel("elementwise", "Add", elements=77), "read", 0, 924, 924),
]
COPIES = 3


def check_counts(one, limit, flops, full, half):
    assert one.limit == limit, (one.name, one.limit)
    assert one.flops == flops, (one.name, one.flops)
    assert (one.bytes(), one.bytes(2)) == (full, half), (one.name, one.bytes())


def lathe(*command):
    return subprocess.run(["lathe", *map(str, command)], check=True,
                          stdout=subprocess.PIPE).stdout


def check_graph(one):
    model, data, outputs = graphs.build(one, COPIES)
    whole = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(whole)
    path = folder / "kernel.onnx"
    onnx.save(model, path)
    np.savez(folder / "in.npz", **data)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    lathe("run", path, "--inputs", folder / "in.npz", "--outputs",
          folder / "out.npz")
    actual = np.load(folder / "out.npz")
    for name, expected in zip(outputs, session.run(outputs, data)):
        error = np.abs(actual[name] - expected).max() / np.abs(expected).max()
        assert error < 1e-5, (one.name, error)
    check_kernels(one, path)


def check_kernels(one, path):
    """The compiler sees nothing but copies of the kernel."""
    dims = {"elements": 77, "batch": 1, "one": 1}
    dims.update({k: v for k, v in one.sizes if k in ("batch", "rows", "keys")})
    if one.op == "attention":
        dims["seq"] = one.rows
    text = lathe("inspect", path, "--kernels", "--json", "--dim",
                 ",".join(f"{k}={v}" for k, v in dims.items()))
    found = [(Kernel.from_json(entry), entry["count"])
             for entry in json.loads(text)["kernels"]]
    same = [(k, n) for k, n in found if k.op == one.op]
    assert sum(n for _, n in same) == COPIES, (one.name, found)
    for other, _ in same:
        # The cache of a graph of one operation is an input.
        sizes = {k: v for k, v in one.sizes if k != "cached"}
        assert {k: v for k, v in other.sizes if k != "cached"} == sizes, (one, other)
        assert other.variant == one.variant and other.padded == one.padded
        # One row that is the last sees what is there.
        assert other.causal == (one.causal and one.rows > 1), other
        own = [step for step in one.epilogue if step != "add"]
        assert [step for step in other.epilogue if step != "add"] == own
    if one.op == "linear":
        assert sum("add" in k.epilogue for k, n in same for _ in range(n)) == COPIES - 1


def check_causes():
    machine = budget.Machine(threads=2, fma=100, read=10, launch_us=1, exp_ns=0.5,
                             l2_kb=1000)
    cuts = budget.Cuts.parse(
        "  (no site): 384x100 f32: tile 6x64, fewer rows 1x64 2x64; k 384 in 1 "
        "block; unit 96x64 of 2 panels, 1 at once")
    assert cuts == budget.Cuts(6, 96, 64, 2, 1), cuts
    linear = kernel("linear", rows=16, inputs=384, outputs=100, bias=0, gated=0)
    # 1.2288 MFLOP take 12.288 us at 100 GFLOP/s.
    assert abs(budget.limit_us(linear, machine, 4) - 12.288) < 1e-9
    text = budget.why(linear, 20, machine, 4, cuts)
    # 153.6 kB take 15.36 us; a row that lacks two of six; 28 columns of 128.
    for part in ("launch 1.00 of 20.00 µs", "154 kB of weights, 77 % of the time",
                 "the last 4 of 16 rows fill a tile of 6 by 67 %",
                 "28 of 128 columns are padding"):
        assert part in text, text
    # Shares that are more than all are left as they are; nothing is made up.
    assert "not accounted" not in text, text
    alone = kernel("linear", rows=96, inputs=384, outputs=64, bias=0, gated=0)
    one = budget.Cuts(6, 96, 64, 1, 1)
    assert "pieces of work for 2 threads: 1" in budget.why(alone, 100, machine, 4, one)
    heads = attention(PADDING, batch=2, rows=64, keys=64, heads=4, kv_heads=4, cached=0)
    # 32768 exponentials of 0.5 ns are 16.384 us; 2.097 MFLOP take 20.97 us.
    text = budget.why(heads, 100, machine)
    assert "32768 exponentials, 16 % of the time at 0.50 ns" in text, text
    assert text.endswith("63 % of the time not accounted for"), text
    norm = kernel("norm", "rms", rows=4, width=96, beta=0)
    held = "all copies move 900 kB, less than the second cache of 1000 kB holds"
    assert held in budget.why(norm, 100, machine, set_kb=900)
    assert "cache" not in budget.why(norm, 100, machine, set_kb=1100)


folder.mkdir(parents=True, exist_ok=True)
for case in COUNTED:
    check_counts(*case)
for one, *_ in COUNTED:
    check_graph(one)
check_causes()
