"""Fused operators of ONNX Runtime (com.microsoft)."""

from opcases import *


def ms(op, *inputs, **how):
    how.setdefault("rtol", 1e-4)
    how.setdefault("fixed", (4, 8, 12, 16, 32))
    case(op, 17, *inputs, domain="com.microsoft", **how)


x, bias = f32(2, 3, 8), f32(8)
ms("BiasGelu", x, bias)
ms("FastGelu", x)
ms("FastGelu", x, bias)
ms("Gelu", x)
ms("QuickGelu", x, alpha=1.3)
ms("BiasAdd", x, bias, f32(2, 3, 8), reference=lambda x, b, s: x + b + s)
for ta in (0, 1):
    a, b = f32(2, *((4, 3) if ta else (3, 4))), f32(2, 4, 5)
    ms("FusedMatMul", a, b, transA=ta, alpha=0.5)
    ms("TransposeMatMul", a, b, transA=ta, alpha=0.5)
ms("FusedMatMul", f32(2, 3, 4), f32(2, 5, 4), transB=1)
ms("FusedMatMul", f32(3, 2, 4), f32(2, 4, 5), transBatchA=1)
ms("SimplifiedLayerNormalization", x, f32(8), epsilon=1e-3,
   reference=lambda x, g, epsilon: (x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)) * g)
ms("SkipLayerNormalization", x, f32(2, 3, 8), f32(8), f32(8), epsilon=1e-5)
ms("SkipLayerNormalization", x, f32(2, 3, 8), f32(8), None, f32(8),
   out=[F32, False, False, F32])
ms("SkipSimplifiedLayerNormalization", x, f32(2, 3, 8), f32(8), f32(8), epsilon=1e-5,
   out=[F32, False, False, F32])
ids = data(I32, 2, 5, low=0, high=8)
tables_ = [const(f32(9, 8)), const(f32(6, 8)), const(f32(2, 8)), const(f32(8)), const(f32(8))]
ms("EmbedLayerNormalization", ids, data(I32, 2, 5, low=0, high=1), *tables_, out=[F32, I32])
ms("EmbedLayerNormalization", ids, None, *tables_[:2], None, *tables_[3:],
   array(I32, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), out=[F32, I32])

ms("RotaryEmbedding", f32(2, 3, 32), data(I64, 2, 3, low=0, high=8), f32(9, 4), f32(9, 4))
ms("RotaryEmbedding", f32(2, 4, 3, 8), array(I64, [2]), f32(9, 4), f32(9, 4), interleaved=1)
wide, two = f32(2, 5, 16), dict(num_heads=2)
w, b = const(f32(16, 48)), const(f32(48))
ms("Attention", wide, w, b, **two)
ms("Attention", wide, w, b, unidirectional=1, **two)
ms("Attention", wide, w, b, array(I32, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), **two)
ms("Attention", wide, w, b, array(I32, [3, 5]), **two)
ms("Attention", wide, w, b, None, f32(2, 2, 2, 3, 8), out=2, unidirectional=1, **two)
ms("Attention", wide, const(f32(16, 40)), const(f32(40)), qkv_hidden_sizes=[16, 16, 8], **two)
ms("Attention", wide, w, b, do_rotary=1, refused="do_rotary", dynamic=False, **two)
q, k, v = f32(2, 3, 16), f32(2, 5, 16), f32(2, 5, 12)
ms("MultiHeadAttention", q, k, v, **two)
ms("MultiHeadAttention", q, k, v, f32(44), array(I32, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), **two)
ms("MultiHeadAttention", q, k, v, None, None, f32(1, 2, 3, 5), scale=0.3, **two)
ms("MultiHeadAttention", q, q, q, None, None, None, f32(2, 2, 4, 8), f32(2, 2, 4, 8),
   unidirectional=1, out=3, **two)
ms("MultiHeadAttention", q, f32(2, 2, 5, 8), f32(2, 2, 5, 8), dynamic=False, **two)

gq, gk = f32(2, 3, 64), f32(2, 3, 32)
group = dict(num_heads=4, kv_num_heads=2)
lengths = array(I32, [2, 2])
for how in ({}, dict(softcap=2.0), dict(local_window_size=2), dict(smooth_softmax=1)):
    ms("GroupQueryAttention", gq, gk, gk, None, None, lengths, const(scalar(I32, 3)),
       out=3, dynamic=False, **how, **group)
tables2 = const(f32(16, 8)), const(f32(16, 8))
for interleaved in (0, 1):
    ms("GroupQueryAttention", gq, gk, gk, None, None, lengths, const(scalar(I32, 3)),
       *tables2, out=3, do_rotary=1, rotary_interleaved=interleaved, dynamic=False, **group)
cache = f32(2, 2, 4, 16), f32(2, 2, 4, 16)
ms("GroupQueryAttention", f32(2, 1, 64), f32(2, 1, 32), f32(2, 1, 32), *cache,
   array(I32, [4, 4]), const(scalar(I32, 5)), *tables2, out=3, do_rotary=1, dynamic=False,
   **group)
ms("GroupQueryAttention", f32(2, 3, 128), None, None, None, None, lengths,
   const(scalar(I32, 3)), out=[F32], dynamic=False, **group)
ms("GroupQueryAttention", f32(2, 1, 64), f32(2, 1, 32), f32(2, 1, 32), *cache,
   array(I32, [4, 4]), array(I32, 5), out=3, dynamic=False, refused="depends on data",
   **group)

y = f32(3, 8, low=-6, high=6)
ms("QuantizeLinear", y, scalar(F32, 0.05), scalar(U8, 128), out=[U8])
ms("QuantizeLinear", y, const(f32(8, low=0.02, high=0.1)), const(np.zeros(8, I8)), out=[I8], axis=1)
ms("DequantizeLinear", data(U8, 3, 8, high=255), scalar(F32, 0.05), scalar(U8, 128), out=[F32])
ms("DequantizeLinear", data(I8, 3, 8), const(f32(3, low=0.02, high=0.1)),
   const(np.zeros(3, I8)), out=[F32], axis=0)
ms("DynamicQuantizeMatMul", y, weights(8, 5), scalar(F32, 0.02), rtol=1e-3)
ms("DynamicQuantizeMatMul", y, const(data(U8, 8, 5, high=255)), const(scalar(F32, 0.02)),
   const(scalar(U8, 120)), const(f32(5)), rtol=1e-3)
ms("MatMulIntegerToFloat", data(U8, 3, 4, high=255), weights(4, 5),
   scalar(F32, 0.1), f32(5, low=0.01, high=0.1), scalar(U8, 120), out=[F32])
for bits in (4, 8):
    packed = const(data(U8, 6, 2, 16 * bits // 8, high=255))
    scales = const(f32(12, low=0.01, high=0.1))
    how = dict(K=32, N=6, bits=bits, block_size=16)
    ms("MatMulNBits", f32(3, 32), packed, scales, **how)
    ms("MatMulNBits", f32(2, 3, 32), packed, scales,
       const(data(U8, 6 * (2 * bits // 8), high=255)), None, const(f32(6)), **how)
