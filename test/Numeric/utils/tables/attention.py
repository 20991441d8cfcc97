"""Attention, rotations, linear attention, convolution with a state."""

from onnx.reference.ops.op_attention import _compute_attention
from opcases import *


def attention(opset, *inputs, **attributes):
    case("Attention", opset, *inputs, rtol=1e-4, fixed=(2, 4, 6, 8, 12, 16, 32), **attributes)


q, k, v = f32(2, 4, 3, 8), f32(2, 2, 5, 8), f32(2, 2, 5, 6)
for opset in (23, 24, 25):
    attention(opset, q, k, v)
    attention(opset, q, k, v, is_causal=1)
    attention(opset, q, k, v, f32(3, 5), softcap=2.0, scale=0.7)
    attention(opset, f32(2, 3, 32), f32(2, 5, 16), f32(2, 5, 12), q_num_heads=4,
              kv_num_heads=2)
masks = data(BOOL, 2, 1, 3, 5)
masks[0, 0, 1] = False
attention(23, q, k, v, masks)
attention(23, q, k, v, data(BOOL, 3, 5), is_causal=1, dynamic=False)
past = f32(2, 2, 4, 8), f32(2, 2, 4, 6)
attention(23, q, k, v, f32(3, 9), *past, out=3)
attention(23, q, k, v, None, *past, is_causal=1, out=3, dynamic=False)
attention(23, f32(2, 3, 32), f32(2, 5, 16), f32(2, 5, 12), None, *past, q_num_heads=4,
          kv_num_heads=2, out=3, dynamic=False)
for mode in range(4):
    attention(24, q, k, v, f32(3, 5), out=[None, False, False, F32], softcap=3.0 if mode else 0.0,
              qk_matmul_output_mode=mode, dynamic=False,
              reference=lambda *x, mode=mode, **a: [
                  y for i, y in enumerate(_compute_attention(*x, **a)) if i in (0, 3)])
attention(24, q, k, v, None, None, None, array(I64, [5, 3]), is_causal=1, dynamic=False)
# A mask for fewer keys than there are.
attention(24, q, k, v, f32(2, 1, 3, 4), None, None, array(I64, [3, 4]), dynamic=False)
attention(25, q, k, v, None, None, None, array(I64, [5, 3]), left_window_size=1,
          right_window_size=1, dynamic=False)
attention(25, q, k, v, left_window_size=1, dynamic=False)
for dtype in (F16, BF16, F64):
    attention(23, *[data(dtype, *s.shape) for s in (q, k, v)], dynamic=False) \
        if dtype == F64 else case("Attention", 23, *[data(dtype, *s.shape) for s in (q, k, v)],
                                  dynamic=False)

cos, sin = f32(2, 3, 4), f32(2, 3, 4)
for interleaved in (0, 1):
    case("RotaryEmbedding", 23, q, cos, sin, interleaved=interleaved, fixed=[4, 8])
    case("RotaryEmbedding", 23, f32(2, 3, 32), f32(9, 4), f32(9, 4), data(I64, 2, 3, low=0, high=8),
         num_heads=4, interleaved=interleaved)
    case("RotaryEmbedding", 23, q, f32(9, 2), f32(9, 2), data(I64, 2, 3, low=0, high=8),
         rotary_embedding_dim=4, interleaved=interleaved)
case("RotaryEmbedding", 23, data(F16, *q.shape), data(F16, 2, 3, 4), data(F16, 2, 3, 4),
     dynamic=False)

lq, lk, lv = f32(2, 5, 16), f32(2, 5, 8), f32(2, 5, 6)
heads, LAST = dict(q_num_heads=4, kv_num_heads=2), (2, 4, 6, 8, 16)
state = f32(2, 2, 4, 3)
decay, beta = f32(2, 5, 2, low=-1, high=0), f32(2, 5, 2, low=0, high=1)
case("LinearAttention", 27, lq, lk, lv, state, update_rule="linear", out=2, fixed=LAST, **heads)
case("LinearAttention", 27, lq, lk, lv, state, decay, update_rule="gated", out=2, fixed=LAST, **heads)
case("LinearAttention", 27, lq, lk, lv, None, None, beta, update_rule="delta", out=2, fixed=LAST, **heads)
case("LinearAttention", 27, lq, lk, lv, state, f32(2, 5, 8, low=-1, high=0), beta, out=2,
     scale=0.5, fixed=LAST, **heads)
case("CausalConvWithState", 27, f32(2, 3, 5), f32(3, 1, 4), out=2, fixed=[4])
case("CausalConvWithState", 27, f32(2, 3, 5), f32(3, 1, 4), f32(3), f32(2, 3, 3), out=2,
     activation="silu", fixed=[4])
