"""Operators that compute every element by itself, and casts."""

import math

import ml_dtypes
from opcases import *

FLOATS = (F32, F64, F16, BF16)
NAN, INF = float("nan"), float("inf")

# Unary functions of floats: name, opset, range.
for name, opset, low, high in [
    ("Acos", 7, -1, 1), ("Acosh", 9, 1, 9), ("Asin", 7, -1, 1),
    ("Asinh", 9, -5, 5), ("Atan", 7, -5, 5), ("Atanh", 9, -0.95, 0.95),
    ("Ceil", 6, -5, 5), ("Cos", 7, -9, 9), ("Cosh", 9, -4, 4),
    ("Erf", 9, -3, 3), ("Exp", 6, -5, 5), ("Floor", 6, -5, 5),
    ("Log", 6, 0.1, 9), ("Reciprocal", 6, 0.5, 4), ("Round", 11, -5, 5),
    ("Sin", 7, -9, 9), ("Sinh", 9, -4, 4), ("Sqrt", 6, 0.1, 9),
    ("Tan", 7, -1.2, 1.2),
]:  # fmt: skip
    case(name, opset, f32(3, 37, low=low, high=high))
    case(name, 22, data(F16, 2, 9, low=low, high=high), dynamic=False)
    if name in ("Exp", "Erf", "Sqrt", "Reciprocal"):
        case(name, 22, f32(low=low, high=high), dynamic=False)
        case(name, 22, data(BF16, 2, 9, low=low, high=high), dynamic=False)
        # onnx.reference computes Erf in f32.
        exact = np.vectorize(math.erf) if name == "Erf" else None
        case(name, 22, data(F64, 2, 9, low=low, high=high), dynamic=False, reference=exact)
        case(name, 22, f32(2, 0, 3), dynamic=False)
case("Exp", 13, array(F32, [0, -200, 200, NAN, INF, -INF, 88.0, -87.0]))
case("Log", 13, array(F32, [0, -1, 1, NAN, INF, 1e-40]))
case("Round", 11, array(F32, [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.49999997]))
case("Sin", 22, array(F32, [1e3, -1e4, 0.0, 3.14159274]))

for name, opset in [("Abs", 13), ("Neg", 13), ("Sign", 13)]:
    case(name, 6 if name != "Sign" else 9, f32(2, 5))
    for dtype in (F16, BF16, F64, I8, I16, I32, I64):
        case(name, opset, data(dtype, 3, 5, low=-9, high=9), dynamic=False)
case("Abs", 13, data(U8, 7, high=255), dynamic=False)
case("Sign", 13, data(U32, 7, high=3), dynamic=False)
case("Sign", 13, array(F32, [0.0, -0.0, 1, -1]), dynamic=False)

# Binary with broadcasting.
for name, old in [("Add", 7), ("Sub", 7), ("Mul", 7), ("Div", 7)]:
    positive = dict(low=1, high=9)
    case(name, old, f32(2, 3, 5), f32(3, 1, **positive))
    case(name, 14, f32(), f32(4, **positive), dynamic=False)
    case(name, 14, f32(), f32(**positive), dynamic=False)
    case(name, 14, f32(2, 0), f32(2, 1), dynamic=False)
    case(name, 14, f32(3, 17), const(f32(17, **positive)), dynamic=True)
    for dtype in (F64, F16, BF16) + INTS:
        case(name, 14, data(dtype, 3, 5, low=-9, high=9),
             data(dtype, 3, 5, **positive), dynamic=False)
case("Div", 14, array(I32, [-7, 7, -8, 8]), array(I32, [2, -2, 3, -3]))
least = array(I32, [-(2**31), -(2**31), 7, 0])
case("Div", 14, least, array(I32, [-1, 1, -1, -1]), reference=lambda a, b: array(I32, [
    -(2**31), -(2**31), -7, 0]))  # fmt: skip
for name in ("Div", "Mod"):
    case(name, 14, data(I64, 40, high=9), data(I64, 40, low=0, high=1), dynamic=False,
         refused="division by zero")
    case(name, 14, data(I64, 2, 3), const(scalar(I64, 0)), refused="division by zero")
for name, old in [("Equal", 7), ("Greater", 7), ("Less", 7),
                  ("GreaterOrEqual", 12), ("LessOrEqual", 12)]:  # fmt: skip
    case(name, max(old, 9), data(I32, 2, 7, high=3), data(I32, 1, 7, high=3))
    case(name, 16 if "Or" in name else 13, array(F32, [1, NAN, INF, -0.0]),
         array(F32, [1, NAN, -INF, 0.0]))
    for dtype in (F16, F64, I64, U8, I8):
        case(name, 19, data(dtype, 40, low=-3, high=3),
             data(dtype, 40, low=-3, high=3), dynamic=False)
case("Equal", 13, data(BOOL, 3, 5), data(BOOL, 5), dynamic=False)
for name in ("Greater", "Less", "Equal"):
    case(name, 7, f32(3), f32(3), dynamic=False)
for name in ("And", "Or", "Xor"):
    case(name, 7, data(BOOL, 3, 4), data(BOOL, 4))
    case(name, 7, data(BOOL, 3, 1, 4), data(BOOL, 5, 1), dynamic=False)
case("Not", 1, data(BOOL, 3, 4))
for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    for dtype in (I32, U8, I64, U16):
        case(name, 18, data(dtype, 3, 5, low=-90, high=200), data(dtype, 5, high=90))
case("BitwiseNot", 18, data(I32, 3, 5, low=-99, high=99))
case("BitwiseNot", 18, data(U8, 3, 5, high=255))
for direction in ("LEFT", "RIGHT"):
    for dtype in (U8, U16, U32, U64):
        case("BitShift", 11, data(dtype, 3, 5, high=200), data(dtype, 5, high=7),
             direction=direction)  # fmt: skip
case("Mod", 10, data(I32, 30, low=-9, high=9), data(I32, 30, low=1, high=5))
case("Mod", 13, array(I64, [-7, 7, -7, 7]), array(I64, [3, -3, -3, 3]))
case("Mod", 13, data(U8, 30, high=250), data(U8, 30, low=1, high=9), dynamic=False)
case("Mod", 13, f32(2, 9, low=-9, high=9), f32(9, low=1, high=3), fmod=1)
case("Pow", 7, f32(3, 5, low=0.1), f32(5))
case("Pow", 12, f32(3, 5), array(I64, [0, 1, 2, 3, -1]))
case("Pow", 13, data(I32, 3, 3, high=4), array(I32, [0, 2, 3]), dynamic=False)
case("Pow", 15, f32(3, 5), const(scalar(F32, 2.0)))
case("Pow", 15, data(F16, 3, 5, low=0.1), array(F16, [0.5]), dynamic=False)

for name in ("Max", "Min", "Mean", "Sum"):
    old = 8
    case(name, 6, f32(2, 3), f32(2, 3))
    case(name, old, f32(2, 3, 1), f32(3, 4), f32(1))
    case(name, 13, f32(5), dynamic=False)
    case(name, 13, data(F16, 2, 3), data(F16, 3), dynamic=False)
for name in ("Max", "Min"):
    for dtype in (F64, I8, I32, I64, U8, U32):
        case(name, 13, data(dtype, 3, 5, low=-9, high=9),
             data(dtype, 5, low=-9, high=9), dynamic=False)
    case(name, 13, array(F32, [1, NAN, 3]), array(F32, [NAN, 2, 4]), dynamic=False)

case("Clip", 6, f32(3, 7), min=-0.5, max=0.75)
case("Clip", 6, f32(3, 7))
case("Clip", 11, f32(3, 7), scalar(F32, -0.5), scalar(F32, 0.75))
case("Clip", 12, data(I32, 3, 7, low=-9, high=9), scalar(I32, -2), None)
case("Clip", 13, data(U8, 9, high=255), None, const(scalar(U8, 77)), dynamic=False)
case("Clip", 13, data(F16, 9), const(scalar(F16, -1)), const(scalar(F16, 1)),
     dynamic=False)
case("Clip", 13, f32(9), scalar(F32, 1.0), scalar(F32, -1.0), dynamic=False)
case("Where", 9, data(BOOL, 3, 1), f32(3, 4), f32(4))
for dtype in (F16, I64, U8, BOOL, I32, F64):
    case("Where", 16, data(BOOL, 2, 3, 4), data(dtype, 4), data(dtype, 3, 1), dynamic=False)
case("Where", 16, scalar(BOOL, True), f32(3), f32(3), dynamic=False)
case("IsNaN", 9, array(F32, [1, NAN, INF]))
case("IsNaN", 13, array(F16, [1, NAN, INF]), dynamic=False)
case("IsInf", 10, array(F32, [1, NAN, INF, -INF]))
case("IsInf", 20, array(F32, [1, NAN, INF, -INF]), detect_negative=0)
case("IsInf", 10, array(F64, [1, NAN, INF, -INF]), detect_positive=0)
case("Identity", 1, f32(2, 3))
for dtype in (F16, BF16, BOOL, I64, U16):
    case("Identity", 19, data(dtype, 2, 3), dynamic=False)
case("Identity", 19, f32(), dynamic=False)
case("Identity", 19, f32(0, 3), dynamic=False)
case("Dropout", 7, f32(2, 3))
# onnxruntime's mask of that version says that all were dropped.
case("Dropout", 10, f32(2, 3), out=2, reference=lambda x: [x, np.ones(x.shape, BOOL)])
case("Dropout", 12, f32(2, 3), const(scalar(F32, 0.3)))
case("Dropout", 13, f32(2, 3), const(scalar(F32, 0.3)), const(scalar(BOOL, False)), out=2)
case("Dropout", 13, f32(2, 3), const(scalar(F32, 0)), const(scalar(BOOL, True)), out=2)
case("Dropout", 13, f32(2, 3), const(scalar(F32, 0.3)), const(scalar(BOOL, True)),
     refused="inference only", dynamic=False)

# Casts between all usual types; values that fit, and those that do not where the
# result is defined.
USUAL = (F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, BOOL)
for source in USUAL:
    x = data(source, 12, low=0, high=100)
    for target in USUAL:
        if source != target and (source in (F32, I64, BOOL) or target in (F32, I32, BOOL)):
            case("Cast", 13, x, to=helper.np_dtype_to_tensor_dtype(np.dtype(target)),
                 dynamic=False, wide=False)
case("Cast", 6, f32(2, 3), to=TensorProto.INT32)
case("Cast", 13, f32(2, 3), to=TensorProto.FLOAT16, dynamic=True)
case("Cast", 13, array(F32, [1e6, -1e6, 65504, 65520, 1e-8, NAN, INF, -INF]),
     to=TensorProto.FLOAT16)
case("Cast", 13, array(F32, [1.00390625, 1.01171875, 3.4e38, NAN, INF]),
     to=TensorProto.BFLOAT16, wide=False)
case("Cast", 13, array(I32, [-1, 255, 256, 300, -129]), to=TensorProto.INT8)
case("Cast", 13, array(F32, [0.0, -0.0, 0.1, NAN]), to=TensorProto.BOOL)
SMALL = (
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz,
    ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz,
)  # fmt: skip
for small in SMALL:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(small))
    for saturate in (0, 1):
        case("Cast", 19, array(F32, [0, 1.1, -3.3, 0.01, 1e-4, 448, 500, 1e6, -1e6, NAN]),
             to=kind, saturate=saturate, dynamic=False)
    case("Cast", 19, np.arange(256, dtype=np.uint8).view(small), to=TensorProto.FLOAT,
         dynamic=False)
    case("Cast", 24, data(F16, 9), to=kind, dynamic=False, wide=False)
FEW = (ml_dtypes.int4, ml_dtypes.uint4)
for few in FEW:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(few))
    case("Cast", 21, np.arange(0, 8).astype(few), to=TensorProto.FLOAT, dynamic=False)
    case("Cast", 21, array(I32, [0, 1, 5, 7]), to=kind, dynamic=False)
case("Cast", 23, np.arange(16, dtype=np.uint8).view(ml_dtypes.float4_e2m1fn),
     to=TensorProto.FLOAT, dynamic=False)
case("Cast", 23, array(F32, [0, 0.3, 0.6, 1.2, 1.7, 2.4, 3.3, 5.1, 9, -9]),
     to=TensorProto.FLOAT4E2M1, dynamic=False)
case("Cast", 24, array(F32, [1, 2, 3, 0.75, 1e-3]), to=TensorProto.FLOAT8E8M0,
     dynamic=False)
for opset in (15, 19, 24):
    case("CastLike", opset, f32(2, 3), scalar(I32, 0))
case("CastLike", 15, data(I64, 2, 3), scalar(F16, 0), dynamic=False, wide=False)
# More elements than the analysis looks at one by one.
for source, target in ((I64, F32), (I32, F16), (BOOL, F32), (U8, BF16), (I8, I64)):
    case("Cast", 13, data(source, 5, 7, high=100), dynamic=True, wide=False,
         to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))
case("BitCast", 26, f32(2, 3), to=TensorProto.INT32, out=[I32])
case("BitCast", 26, data(I64, 2, 3), to=TensorProto.DOUBLE, out=[F64],
     reference=lambda x, to: x.view(F64))
case("BitCast", 26, data(U16, 2, 3, high=999), to=TensorProto.FLOAT16, out=[F16],
     wide=False, dynamic=False)
