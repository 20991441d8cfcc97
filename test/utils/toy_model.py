"""A small transformer whose weights follow from a formula, in numpy and as ONNX.

8 blocks of width 32: attention with 2 heads of 16, SwiGLU of 48, RMSNorm without
gain, no positions, 40 tokens. The branches of the middle are weak, those of the
ends strong, so that cutting and skipping have an order to find. Weights are sums
of uniform numbers of SplitMix64; `normal(1, 1)` is 1.424348.

The numpy side computes in f64 and is the reference; the ONNX side is f32 with a
KV cache (`past.N.key` [batch, 2, past, 16], ...).
"""

import numpy as np

BLOCKS, WIDTH, HEADS, HEAD, HIDDEN, TOKENS, LENGTH = 8, 32, 2, 16, 48, 40, 16
ATTENTION_SCALES = [1.6, 0.9, 0.5, 0.35, 0.25, 0.2, 0.3, 0.9]
FFN_SCALES = [1.8, 1.0, 0.6, 0.4, 0.3, 0.3, 0.45, 1.4]
EPSILON = 1e-6
SITES = [f"blocks.{n}.{kind}" for n in range(BLOCKS) for kind in ("attn", "ffn")]


def uniform(seed, count):
    """`count` numbers in [0, 1) of SplitMix64 with the state `seed`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed, *shape):
    count = int(np.prod(shape))
    return (uniform(seed, 12 * count).reshape(count, 12).sum(1) - 6).reshape(shape)


def tokens(seed, sequences):
    """Token ids [sequences, LENGTH]."""
    return (uniform(seed, sequences * LENGTH) * TOKENS).astype(np.int64).reshape(sequences, LENGTH)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cosine(x, y):
    return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def divergence(a, b):
    """Mean Jensen-Shannon divergence of logits, in nats."""
    p, q = softmax(a), softmax(b)
    m = (p + q) / 2
    return 0.5 * (p * np.log(p / m) + q * np.log(q / m)).sum(-1).mean()


class Rule:
    """FFN skipping of FFNs [front, end): the cosine rule, or by chance."""

    def __init__(self, tau=0.95, k=2, warmup=2, front=2, end=7, chance=None, seed=0):
        self.tau, self.k, self.warmup, self.front, self.end = tau, k, warmup, front, end
        self.chance, self.random = chance, np.random.default_rng(seed)


class Toy:
    def __init__(self):
        self.weights = []
        for block in range(BLOCKS):
            seed = 100 * block
            names = zip("qkvo", [1, 1, 1, ATTENTION_SCALES[block]])
            weights = {n: normal(seed + i + 1, WIDTH, WIDTH) * a / WIDTH**0.5 for i, (n, a) in enumerate(names)}
            weights["gate"] = normal(seed + 5, HIDDEN, WIDTH) / WIDTH**0.5
            weights["up"] = normal(seed + 6, HIDDEN, WIDTH) / WIDTH**0.5
            weights["down"] = normal(seed + 7, WIDTH, HIDDEN) * FFN_SCALES[block] / HIDDEN**0.5
            self.weights.append(weights)
        self.embedding = normal(9001, TOKENS, WIDTH)
        self.head = 3 * normal(9002, TOKENS, WIDTH) / WIDTH**0.5

    # The reference in numpy.

    @staticmethod
    def norm(x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON)

    def attention(self, block, x):
        w, h = self.weights[block], self.norm(x)
        rows = x.shape[1]

        def heads(y):
            return y.reshape(-1, rows, HEADS, HEAD).swapaxes(1, 2)

        q, k, v = (heads(h @ w[name].T) for name in "qkv")
        scores = q @ k.swapaxes(2, 3) / HEAD**0.5
        scores = np.where(np.tril(np.ones((rows, rows), bool)), scores, -np.inf)
        return (softmax(scores) @ v).swapaxes(1, 2).reshape(x.shape) @ w["o"].T

    def ffn(self, block, x):
        w, h = self.weights[block], self.norm(x)
        gate = h @ w["gate"].T
        return (gate / (1 + np.exp(-gate)) * (h @ w["up"].T)) @ w["down"].T

    def run(self, ids, removed=(), rule=None):
        """Runs [sequences, rows] of tokens without the sites `removed`.

        Returns the logits, the stream in front of every sub-layer and behind the
        last one, and which rows skipped which FFN [BLOCKS, sequences, rows].
        """
        x = self.embedding[ids]
        left = np.zeros(ids.shape, int)
        step = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        streams, skipped = [], np.zeros((BLOCKS, *ids.shape), bool)
        for block in range(BLOCKS):
            streams.append(x)
            if f"blocks.{block}.attn" not in removed:
                x = x + self.attention(block, x)
            streams.append(x)
            if f"blocks.{block}.ffn" in removed:
                continue
            y = x + self.ffn(block, x)
            if rule and rule.front <= block < rule.end:
                skips = step >= rule.warmup
                if rule.chance is not None:
                    skips = skips & (rule.random.random(ids.shape) < rule.chance)
                else:
                    skips = skips & (left > 0)
                    saturated = np.where(cosine(x, y) >= rule.tau, rule.k, 0)
                    left = np.where(skips, left - 1, saturated)
                skipped[block] = skips
            x = np.where(skipped[block][..., None], x, y)
        streams.append(x)
        return self.norm(x) @ self.head.T, streams, skipped

    # The same as ONNX.

    def save(self, path):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        nodes, initializers = [], {}

        def constant(array, name):
            initializers[name] = numpy_helper.from_array(np.asarray(array), name)
            return name

        def integers(*values):
            return constant(np.array(values, np.int64), "ints." + "_".join(map(str, values)))

        def scalar(value):
            return constant(np.array(value, np.int64), f"int.{value}")

        def weight(array, name):
            return constant(np.ascontiguousarray(array.T, np.float32), name)

        def node(op, inputs, name, outputs=None, **attributes):
            outputs = outputs or [name + ".out"]
            nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
            return outputs[0]

        def norm(x, name):
            square = node("Mul", [x, x], name + ".square")
            mean = node("ReduceMean", [square], name + ".mean", axes=[-1], keepdims=1)
            shifted = node("Add", [mean, constant(np.float32(EPSILON), "epsilon")], name + ".shifted")
            root = node("Sqrt", [shifted], name + ".root")
            return node("Div", [x, root], name)

        def heads(x, name):
            split = node("Reshape", [x, integers(0, 0, HEADS, HEAD)], name + ".split")
            return node("Transpose", [split], name + ".heads", perm=[0, 2, 1, 3])

        # Row i of the new ones sees key j if j <= i + past.
        def extent(value, axis, name):
            shape = node("Shape", [value], name + ".shape")
            return node("Gather", [shape, scalar(axis)], name, axis=0)

        past, rows = extent("past.0.key", 2, "past_rows"), extent("input_ids", 1, "rows")
        total = node("Add", [past, rows], "total_rows")
        keys = node("Range", [scalar(0), total, scalar(1)], "keys")
        last = node("Range", [past, total, scalar(1)], "positions")
        last = node("Unsqueeze", [last, integers(1)], "positions.column")
        hidden = node("Greater", [keys, last], "hidden")
        low = [constant(np.float32(-1e9), "low"), constant(np.float32(0), "zero")]
        mask = node("Where", [hidden, *low], "mask")

        def attention(x, block, name):
            w = self.weights[block]
            h = norm(x, name + ".norm")
            q, k, v = (
                heads(node("MatMul", [h, weight(w[n], f"{name}.{n}.weight")], f"{name}.{n}"), f"{name}.{n}")
                for n in "qkv"
            )
            k, v = (
                node("Concat", [f"past.{block}.{n}", new], f"{name}.{n}s", [f"present.{block}.{n}"], axis=2)
                for n, new in (("key", k), ("value", v))
            )
            k = node("Transpose", [k], name + ".kt", perm=[0, 1, 3, 2])
            scores = node("MatMul", [q, k], name + ".scores")
            scale = constant(np.float32(HEAD**-0.5), "scale")
            scores = node("Add", [node("Mul", [scores, scale], name + ".scaled"), mask], name + ".masked")
            values = node("MatMul", [node("Softmax", [scores], name + ".p", axis=-1), v], name + ".mixed")
            values = node("Transpose", [values], name + ".back", perm=[0, 2, 1, 3])
            values = node("Reshape", [values, integers(0, 0, WIDTH)], name + ".joined")
            return node("MatMul", [values, weight(w["o"], name + ".o.weight")], name + ".o")

        def ffn(x, block, name):
            w = self.weights[block]
            h = norm(x, name + ".norm")
            gate, up = (node("MatMul", [h, weight(w[n], f"{name}.{n}.weight")], f"{name}.{n}") for n in ("gate", "up"))
            swish = node("Mul", [gate, node("Sigmoid", [gate], name + ".sigmoid")], name + ".swish")
            product = node("Mul", [swish, up], name + ".product")
            return node("MatMul", [product, weight(w["down"], name + ".down.weight")], name + ".down")

        x = node("Gather", [constant(self.embedding.astype(np.float32), "embedding"), "input_ids"], "embed")
        for block in range(BLOCKS):
            for branch, kind in ((attention, "attn"), (ffn, "ffn")):
                name = f"block{block}.{kind}"
                x = node("Add", [x, branch(x, block, name)], name + ".add")
        node("MatMul", [norm(x, "final.norm"), weight(self.head, "head.weight")], "head", ["logits"])

        def value(name, *dims, kind=TensorProto.FLOAT):
            return helper.make_tensor_value_info(name, kind, dims)

        caches = [(block, part) for block in range(BLOCKS) for part in ("key", "value")]
        graph = helper.make_graph(
            nodes,
            "toy",
            [value("input_ids", "batch", "seq", kind=TensorProto.INT64)]
            + [value(f"past.{b}.{p}", "batch", HEADS, "past", HEAD) for b, p in caches],
            [value("logits", "batch", "seq", TOKENS)]
            + [value(f"present.{b}.{p}", "batch", HEADS, "total", HEAD) for b, p in caches],
            list(initializers.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
