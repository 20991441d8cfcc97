"""Reductions, scans, arg and top-k, softmax."""

from opcases import *

x = f32(3, 4, 5)
REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
              "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")
for name in REDUCTIONS:
    old = 11
    new = 18
    y = np.abs(x) + 0.1 if name == "ReduceLogSum" else x
    case(name, old, y, axes=[1])
    case(name, old, y, axes=[0, -1], keepdims=0)
    case(name, old, y, keepdims=0)
    case(name, new, y, const(i64(1)))
    case(name, new, y, const(i64(-1, 0)), keepdims=0)
    case(name, new, y, const(i64()), noop_with_empty_axes=1, dynamic=False)
    case(name, new, y, dynamic=False)
    case(name, new, f32(low=0.5), keepdims=0, dynamic=False)
    case(name, new, data(F16, 3, 40, low=0.1, high=1), const(i64(1)), dynamic=False)
    case(name, new, data(F64, 3, 7, low=0.1), const(i64(1)), dynamic=False)
    # Of nothing, the operator leaves these undefined.
    if name not in ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceLogSum"):
        case(name, new, f32(2, 0, 3), const(i64(1)), dynamic=False)
    case(name, new, f32(0, 3), const(i64(1)), dynamic=False)
for name in ("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceMean"):
    for dtype in (I32, I64):
        case(name, 18, data(dtype, 3, 4, low=-5, high=5), const(i64(1)), dynamic=False)
for name in ("ReduceMax", "ReduceMin"):
    for dtype in (I8, U8):
        case(name, 18, data(dtype, 3, 4, low=-5, high=200), const(i64(0)), dynamic=False)
    case(name, 20, data(BOOL, 3, 4), const(i64(1)), dynamic=False)
case("ReduceSum", 13, x, const(i64(2)))
case("ReduceSum", 13, data(BF16, 3, 4), const(i64(1)), dynamic=False)
case("ReduceLogSumExp", 18, array(F32, [[1000, 1001], [-1000, -1001]]), const(i64(1)))

for name in ("ArgMax", "ArgMin"):
    case(name, 11, data(I32, 4, 6, high=3), axis=1)
    case(name, 13, data(I32, 4, 6, high=3), axis=-1, select_last_index=1, keepdims=0)
    case(name, 13, f32(4, 6, 3), axis=1, keepdims=0)
    case(name, 13, data(F16, 4, 6), dynamic=False)
    case(name, 13, data(U8, 4, 6, high=255), dynamic=False)
for opset in (9, 10, 11):
    k = dict(k=2) if opset < 10 else {}
    case("TopK", opset, f32(3, 7), *([] if k else [const(i64(2))]), out=2, **k)
case("TopK", 11, data(I64, 3, 7, high=3), const(i64(4)), out=2, axis=1)
case("TopK", 11, f32(3, 7, 2), const(i64(3)), out=2, axis=1, largest=0)
case("TopK", 24, data(F16, 9), const(i64(9)), out=2, dynamic=False)
case("TopK", 24, data(F16, 9), const(i64(0)), out=2, dynamic=False)

for name, reference in (("CumSum", None), ("CumProd", True)):
    opset = 14 if name == "CumSum" else 26
    for exclusive in (0, 1):
        for reverse in (0, 1):
            case(name, opset, f32(3, 5, 2), const(scalar(I64, 1)), exclusive=exclusive,
                 reverse=reverse)
    case(name, opset, data(I32, 3, 5), const(scalar(I32, -1)), dynamic=False)
case("CumSum", 11, f32(6), const(scalar(I32, 0)))
case("CumSum", 14, f32(3, 5), scalar(I64, 1), dynamic=False, refused="axis is not constant")

for name in ("Softmax", "LogSoftmax", "Hardmax"):
    for axis in (0, 1, 2):
        case(name, 11, f32(2, 3, 5), axis=axis)
        case(name, 13, f32(2, 3, 5), axis=axis)
    case(name, 13, f32(2, 70))
    case(name, 13, data(F16, 2, 7), dynamic=False)
    case(name, 13, data(F64, 2, 7), dynamic=False)
    case(name, 13, f32(0, 7), dynamic=False)
    case(name, 13, array(F32, [[1e4, 1e4 - 1], [-1e4, -1e4]]), dynamic=False)
case("Softmax", 13, data(BF16, 2, 7), dynamic=False)
