"""Norms over features, groups, batches and channels."""

from opcases import *


def channels(n, dtype=F32):
    return data(dtype, n, low=0.5, high=2)


for axis in (-1, 1):
    rest = (3, 4)[axis % 3 - 1:] if axis == 1 else (4,)
    case("LayerNormalization", 17, f32(2, 3, 4), f32(*rest), f32(*rest), axis=axis)
case("LayerNormalization", 17, f32(2, 3, 64), f32(64), f32(64), epsilon=1e-3)
case("LayerNormalization", 17, f32(2, 3, 5), f32(5), out=3)
case("LayerNormalization", 17, data(F16, 2, 9), data(F16, 9), data(F16, 9), dynamic=False)
case("LayerNormalization", 17, data(BF16, 2, 9), data(BF16, 9), dynamic=False)
case("LayerNormalization", 17, data(F64, 2, 9), data(F64, 9), dynamic=False)
case("LayerNormalization", 17, f32(0, 9), f32(9), dynamic=False)
case("RMSNormalization", 23, f32(2, 3, 8), f32(8))
case("RMSNormalization", 23, f32(2, 3, 8), f32(3, 8), axis=1, epsilon=1e-2)
case("RMSNormalization", 23, data(F16, 2, 9), data(F16, 9), dynamic=False)


def simplified(x, scale, axis=-1, epsilon=1e-5, stash_type=1):
    axes = tuple(range(axis % x.ndim, x.ndim))
    wide = x.astype(F64)
    inverse = 1 / np.sqrt(np.mean(wide * wide, axis=axes, keepdims=True) + epsilon)
    return [(wide * inverse * scale).astype(scale.dtype), inverse.astype(F32)]


case("SimplifiedLayerNormalization", 17, f32(2, 3, 8), f32(8), out=[F32],
     reference=simplified)
case("SimplifiedLayerNormalization", 17, f32(2, 3, 8), f32(8), out=[F32, F32],
     reference=simplified, epsilon=1e-2)

x = f32(2, 6, 4, 5)
for opset, extra in [(7, dict(spatial=1)), (9, {}), (14, {}), (15, dict(epsilon=1e-2))]:
    case("BatchNormalization", opset, x, channels(6), f32(6), f32(6), channels(6), **extra)
case("BatchNormalization", 15, f32(3, 6), channels(6), f32(6), f32(6), channels(6))
case("BatchNormalization", 15, data(F16, 2, 6, 3), channels(6, F16), data(F16, 6),
     data(F16, 6), channels(6, F16), dynamic=False)
case("BatchNormalization", 15, x, channels(6), f32(6), f32(6), channels(6),
     training_mode=1, out=3, refused="training mode", dynamic=False)
case("InstanceNormalization", 6, x, channels(6), f32(6))
case("InstanceNormalization", 22, f32(2, 3, 7), channels(3), f32(3), epsilon=1e-2)


def groups(x, scale, bias, num_groups, epsilon=1e-5, stash_type=1):
    n, c = x.shape[:2]
    parts = x.reshape(n, num_groups, -1).astype(F64)
    mean = parts.mean(-1, keepdims=True)
    y = (parts - mean) / np.sqrt(parts.var(-1, keepdims=True) + epsilon)
    per = c // len(scale)
    tail = (1, c) + (1,) * (x.ndim - 2)
    scale, bias = (np.repeat(v, per).reshape(tail) for v in (scale, bias))
    return (y.reshape(x.shape) * scale + bias).astype(x.dtype)


case("GroupNormalization", 18, x, channels(3), f32(3), num_groups=3, reference=groups, out=[F32],
     fixed=[3, 6])
case("GroupNormalization", 21, x, channels(6), f32(6), num_groups=3, reference=groups, out=[F32],
     fixed=[3, 6])
case("LRN", 1, f32(2, 7, 3, 4), size=3)


def neighbours(x, size, alpha=1e-4, beta=0.75, bias=1.0):
    """onnxruntime wants an odd size; onnx.reference sums over the batch only."""
    before, after = (size - 1) // 2, size // 2
    squares = np.stack([(x[:, max(0, c - before):c + after + 1].astype(F64) ** 2).sum(1)
                        for c in range(x.shape[1])], 1)  # fmt: skip
    return (x / (bias + alpha / size * squares) ** beta).astype(x.dtype)


case("LRN", 13, f32(2, 7, 3, 2), size=4, alpha=0.5, reference=neighbours)
case("LRN", 13, f32(2, 7, 3, 2), size=5, alpha=0.5, beta=0.6, bias=1.5)
for p in (1, 2):
    case("LpNormalization", 1, f32(3, 5), p=p)
    case("LpNormalization", 22, f32(3, 5, 2), p=p, axis=1)
case("LpNormalization", 22, np.zeros((2, 3), F32))
case("MeanVarianceNormalization", 9, x)
case("MeanVarianceNormalization", 13, f32(3, 5), axes=[1])
