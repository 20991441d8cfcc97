"""The toy model of toy.c in numpy, and its compiled folder.

  toy.py make DIR CC lathe-rt-weights-test

makes in the new folder DIR: model.json, model.weights and model.so; data.npz
with inputs and outputs of `plain`; labelled.npz with tokens, a mask and labels;
`want`: bits per token, top1 and what is generated from 1,2,3.

  toy.py same A B       tests that two archives agree
"""

import json
import os
import shutil
import subprocess
import sys

import numpy as np

HEADS, DIM = 2, 4


def table():
    return np.sin(np.arange(64, dtype=np.float64) * 1.7).astype(np.float32).reshape(8, 8)


def run(ids, mask=None, past=None):
    """Logits [b, s, 8] and present (K, V) [b, 2, past + s, 4]."""
    t = table()
    x = t[ids]
    b, s, _ = x.shape
    new = x.reshape(b, s, HEADS, DIM).transpose(0, 2, 1, 3)
    k, v = new, np.float32(0.5) * new
    if past is not None:
        k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    total = k.shape[2]
    if mask is None:
        mask = np.ones((b, total), np.int64)
    w = 1 / (1 + ((new[:, :, :, None] - k[:, :, None]) ** 2).sum(-1))
    causal = np.arange(total)[None, :] <= np.arange(s)[:, None] + total - s
    w = w * causal * (mask[:, None, None, :] != 0)
    y = x + (w @ v / np.maximum(w.sum(-1, keepdims=True), 1e-30)).transpose(0, 2, 1, 3).reshape(b, s, 8)
    return (y @ np.roll(t, -5, 0).T).astype(np.float32), k, v


def tensor(name, dtype, *shape, **more):
    return dict(name=name, dtype=dtype, shape=list(shape), **more)


def stage(entry, kind, parts, args, outs, **more):
    return dict(site={"attend": "blocks.0.attn"}.get(kind, kind), function=f"toy_{kind}_{entry}",
                parts=parts, args=args, outs=outs, **more)


def manifest(weights):
    total = ["+", "past", "seq"]

    def stages(entry, cache, outs):
        return [
            stage(entry, "embed", ["table"], ["in:input_ids"], ["val:x"]),
            stage(entry, "attend", ["scale"], ["val:x", "in:attention_mask"] + cache, ["val:y"] + outs,
                  **({} if outs else {"residual": 0})),
            stage(entry, "head", ["table"], ["val:y"], ["out:logits"], macs=["*", 64, "batch"]),
        ]

    def cached(entry, seq, rows, dims):
        return {
            "dims": dims,
            "roles": {"batch": "batch", "past": "past", "capacity": "kv_capacity",
                      **({"sequence": "seq"} if seq == "seq" else {})},
            "inputs": [tensor("input_ids", "i64", "batch", seq),
                       tensor("attention_mask", "i64", "batch", ["+", "past", seq])],
            "outputs": [tensor("logits", "f32", "batch", 1, 8)],
            "values": [tensor("x", "f32", "batch", seq, 8), tensor("y", "f32", "batch", seq, 8)],
            "kv": [{"slot": "0", "heads": 2, "head_dim": 4, "dtype": "f32",
                    "past_key": "past.0.key", "past_value": "past.0.value",
                    "present_key": "present.0.key", "present_value": "present.0.value"}],
            "appends": seq,
            "stages": stages(entry, ["kv.k:0", "kv.v:0"], []),
        }

    return {
        "manifest": 1, "lathe": "0.1.0", "abi": 1, "target": "cpu", "source": "toy.onnx",
        "libraries": [{"file": "model.so", "level": "scalar"}],
        "weights": weights["weights"], "parts": weights["parts"],
        "entries": {
            "plain": {
                "dims": ["batch", "past", "seq"],
                "roles": {"batch": "batch", "sequence": "seq", "past": "past"},
                "aliases": {"total": total, "length": "seq"},
                "inputs": [tensor("input_ids", "i64", "batch", "seq"),
                           tensor("attention_mask", "i64", "batch", total),
                           tensor("past.0.key", "f32", "batch", 2, "past", 4),
                           tensor("past.0.value", "f32", "batch", 2, "past", 4)],
                "outputs": [tensor("logits", "f32", "batch", "seq", 8),
                            tensor("present.0.key", "f32", "batch", 2, total, 4),
                            tensor("present.0.value", "f32", "batch", 2, total, 4),
                            tensor("ids", "i64", "batch", "seq", copy_of="in:input_ids")],
                "values": [tensor("x", "f32", "batch", "seq", 8), tensor("y", "f32", "batch", "seq", 8)],
                "stages": stages("plain", ["in:past.0.key", "in:past.0.value"],
                                 ["out:present.0.key", "out:present.0.value"]),
                "checks": [{"left": total, "op": "<=", "right": 64, "message": "at most 64 positions"}],
                "assumptions": ["tokens are below 8"],
            },
            "prefill": cached("prefill", "seq", "seq", ["batch", "past", "seq", "kv_capacity"]),
            "decode": cached("decode", 1, 1, ["batch", "past", "kv_capacity"]),
        },
    }


def data():
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 8, (2, 5))
    past = [rng.standard_normal((2, 2, 3, 4)).astype(np.float32) for _ in range(2)]
    mask = np.ones((2, 8), np.int64)
    mask[1, :2] = 0
    logits, k, v = run(ids, mask, past)
    return {"in.input_ids": ids, "in.attention_mask": mask, "in.past.0.key": past[0],
            "in.past.0.value": past[1], "out.logits": logits, "out.present.0.key": k,
            "out.present.0.value": v, "out.ids": ids}


def generate(tokens, n):
    tokens = list(tokens)
    for _ in range(n):
        tokens.append(int(run(np.array([tokens]))[0][0, -1].argmax()))
    return tokens[-n:]


def labelled(path):
    rng = np.random.default_rng(2)
    ids, y = rng.integers(0, 8, (2, 7, 6))
    y[2, 3] = -1
    mask = np.ones((7, 6), np.int64)
    mask[4, :2] = 0
    np.savez_compressed(path, input_ids=ids, attention_mask=mask, y=y)
    logits = run(ids, mask)[0].astype(np.float64)
    logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    bits = -np.take_along_axis(logp, np.maximum(y, 0)[..., None], -1)[..., 0] / np.log(2)
    good = y >= 0
    return (f"bits {bits[good].mean():.4f} last {bits[:, -1].mean():.4f} "
            f"top1 {100 * (logits.argmax(-1) == y)[good].mean():.2f}\n"
            f"tokens {','.join(map(str, generate([1, 2, 3], 12)))}\n")


def same(a, b):
    want, have = np.load(a), np.load(b)
    names = [n[4:] for n in want.files if n.startswith("out.")]
    assert sorted(names) == sorted(have.files), (names, have.files)
    for name in names:
        assert want["out." + name].dtype == have[name].dtype
        np.testing.assert_allclose(have[name], want["out." + name], rtol=1e-5, atol=1e-5)


def make(folder, compiler, weights_tool):
    here = os.path.dirname(os.path.abspath(__file__))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    table().tofile(f"{folder}/table")
    weights = subprocess.run([weights_tool, folder, f"{folder}/table"], stdout=subprocess.PIPE, check=True)
    with open(f"{folder}/model.json", "w") as out:
        json.dump(manifest(json.loads(weights.stdout)), out, indent=1)
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-nostdlib", f"-I{here}/../../../include",
                    f"{here}/toy.c", "-o", f"{folder}/model.so"], check=True)
    np.savez(f"{folder}/data.npz", **data())
    with open(f"{folder}/want", "w") as out:
        out.write(labelled(f"{folder}/labelled.npz"))


if __name__ == "__main__":
    {"make": make, "same": same}[sys.argv[1]](*sys.argv[2:])
