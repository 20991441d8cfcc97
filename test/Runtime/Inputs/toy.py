"""The toy model of toy.c in numpy, and its manifest.

  toy.py table F        writes the embedding table as raw f32
  toy.py manifest DIR   writes DIR/model.json for DIR/model.weights as made by
                        `lathe-rt-weights-test`, whose facts come on stdin
  toy.py data F         writes inputs and outputs as an .npz
"""

import json
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
    return (y @ t.T).astype(np.float32), k, v


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


if __name__ == "__main__":
    command, path = sys.argv[1:3]
    if command == "table":
        table().tofile(path)
    elif command == "manifest":
        with open(path + "/model.json", "w") as out:
            json.dump(manifest(json.load(sys.stdin)), out, indent=1)
    elif command == "data":
        np.savez(path, **data())
