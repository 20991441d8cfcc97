"""Quantized numbers."""

import ml_dtypes
from opcases import *

x = f32(3, 8, low=-6, high=6)
for opset in (10, 13, 19, 21, 23):
    case("QuantizeLinear", opset, x, scalar(F32, 0.05), scalar(U8, 128))
    case("DequantizeLinear", opset, data(I8, 3, 8, low=-128, high=127), scalar(F32, 0.05),
         scalar(I8, 3))
case("QuantizeLinear", 13, x, const(f32(8, low=0.01, high=0.1)), const(data(I8, 8)), axis=1)
case("QuantizeLinear", 13, x, scalar(F32, 0.05))
case("QuantizeLinear", 21, x, scalar(F32, 0.001), scalar(I16, 7), dynamic=False)
case("QuantizeLinear", 21, x, const(f32(3, 2, low=0.01, high=0.1)),
     const(data(U8, 3, 2, high=9)), axis=1, block_size=4, dynamic=False)
case("QuantizeLinear", 21, x, scalar(F32, 1.0), output_dtype=TensorProto.INT4, dynamic=False)
case("QuantizeLinear", 19, data(F16, 3, 8), scalar(F16, 0.05), scalar(I8, 1),
     dynamic=False, wide=False)
case("QuantizeLinear", 19, x, scalar(F32, 0.1),
     const(np.zeros((), ml_dtypes.float8_e4m3fn)), dynamic=False)
case("QuantizeLinear", 13, array(F32, [-1e9, 1e9, 0.5, 1.5, 2.5]), scalar(F32, 1),
     scalar(I8, 0))
case("DequantizeLinear", 13, data(U8, 3, 8, high=255), const(f32(3, low=0.01, high=0.1)),
     const(data(U8, 3, high=9)), axis=0)
case("DequantizeLinear", 13, data(I32, 3, 8, low=-999, high=999), scalar(F32, 0.05))
case("DequantizeLinear", 21, data(U16, 3, 8, high=65535), scalar(F32, 0.05),
     scalar(U16, 300), dynamic=False)
case("DequantizeLinear", 21, data(I8, 3, 8), const(f32(3, 2, low=0.01, high=0.1)),
     axis=1, block_size=4, dynamic=False)
case("DequantizeLinear", 21, np.arange(16).astype(ml_dtypes.uint4), scalar(F32, 0.5),
     const(scalar(ml_dtypes.uint4, 3)), dynamic=False)
case("DequantizeLinear", 21, np.arange(-8, 8).astype(ml_dtypes.int4), scalar(F32, 0.5),
     dynamic=False)
case("DequantizeLinear", 19, np.arange(256, dtype=U8).view(ml_dtypes.float8_e5m2),
     scalar(F32, 0.5), dynamic=False)
case("DequantizeLinear", 19, data(I8, 3, 8), scalar(F16, 0.05), dynamic=False, wide=False)
case("DequantizeLinear", 19, data(I8, 3, 8), scalar(BF16, 0.05), dynamic=False, wide=False)
case("DynamicQuantizeLinear", 11, x, out=3)
case("DynamicQuantizeLinear", 11, f32(7, low=1, high=5), out=3, dynamic=False)
case("DynamicQuantizeLinear", 11, np.zeros(5, F32), out=3, dynamic=False)


def qlinear(kind, a, b, row=False, column=False):
    zero = lambda shape: data(kind, *shape, low=1, high=9)
    rows, columns = ((a.shape[-2],) if row else ()), ((b.shape[-1],) if column else ())
    case("QLinearMatMul", 21, a, f32(*rows, low=0.01, high=0.1), zero(rows), b,
         f32(*columns, low=0.01, high=0.1), zero(columns), scalar(F32, 0.3),
         scalar(kind, 7), dynamic=kind == U8)


qlinear(U8, data(U8, 3, 4, high=255), data(U8, 4, 5, high=255))
qlinear(I8, data(I8, 3, 4, low=-100, high=100), weights(4, 5),
        column=True)
qlinear(U8, data(U8, 2, 3, 4, high=255), data(U8, 2, 4, 5, high=255))
case("QLinearMatMul", 10, data(U8, 3, 4, high=255), scalar(F32, 0.02), scalar(U8, 3),
     weights(4, 5), scalar(F32, 0.03), scalar(I8, 0), scalar(F32, 0.4),
     scalar(U8, 120))
for w_scale, w_zero in ((scalar(F32, 0.02), scalar(I8, 0)),
                        (f32(6, low=0.01, high=0.05), np.zeros(6, I8))):
    case("QLinearConv", 10, data(U8, 2, 4, 7, 6, high=255), scalar(F32, 0.02),
         scalar(U8, 100), const(weights(6, 4, 3, 3)), const(w_scale),
         const(w_zero), scalar(F32, 0.2), scalar(U8, 130),
         const(data(I32, 6, low=-999, high=999)), pads=[1, 0, 1, 2], strides=[2, 1])
case("QLinearConv", 10, data(U8, 1, 4, 5, high=255), scalar(F32, 0.02), scalar(U8, 0),
     const(data(U8, 4, 1, 3, high=255)), scalar(F32, 0.02), scalar(U8, 100),
     scalar(F32, 0.1), scalar(U8, 0), group=4, dynamic=False)
