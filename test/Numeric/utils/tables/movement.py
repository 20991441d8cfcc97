"""Operators that move elements."""

from opcases import *

x = f32(2, 3, 4)
case("CenterCropPad", 18, f32(6, 5, 4), const(i64(4, 7)), axes=[0, 1])
case("CenterCropPad", 18, f32(5, 8), const(i64(8, 5)), dynamic=False)
case("Concat", 4, x, f32(2, 5, 4), axis=1)
case("Concat", 13, x, f32(2, 0, 4), f32(2, 1, 4), axis=-2, dynamic=False)
for dtype in (F16, I64, BOOL, U8):
    case("Concat", 13, data(dtype, 3), data(dtype, 2), axis=0, dynamic=False)
d = f32(2, 8, 3, 4)
case("DepthToSpace", 1, d, blocksize=2)
for mode in ("DCR", "CRD"):
    case("DepthToSpace", 13, d, blocksize=2, mode=mode)
case("SpaceToDepth", 13, f32(2, 3, 4, 6), blocksize=2)
case("SpaceToDepth", 28, f32(2, 3, 4, 6), blocksize=2, mode="CRD", dynamic=False)
case("Expand", 8, f32(3, 1), const(i64(2, 3, 5)))
case("Expand", 13, f32(), const(i64(2, 3)), dynamic=False)
case("Expand", 13, f32(3, 1), const(i64(1)), dynamic=False)
for axis in (0, 1, 2, 3, -1):
    case("Flatten", 13, x, axis=axis)
case("Flatten", 1, x)
for axis in (0, 1, -1):
    case("Gather", 13, x, array(I64, [[0, 1], [-1, 0]]), axis=axis)
case("Gather", 1, x, array(I32, [1, 0, 1]))
case("Gather", 13, f32(5), const(scalar(I64, 2)), dynamic=False)
case("Gather", 13, f32(5), array(I64, []), dynamic=False)
case("Gather", 13, data(BOOL, 5), array(I64, [4, 0]), dynamic=False)
case("GatherElements", 11, x, data(I64, 2, 3, 6, low=-4, high=3), axis=2)
case("GatherElements", 13, x, data(I32, 2, 2, 4, high=2), axis=1)
case("GatherND", 11, x, array(I64, [[0, 1], [1, 2]]), fixed=[2])
case("GatherND", 13, x, array(I64, [[[1]], [[2]]]), batch_dims=1, dynamic=False)
case("GatherND", 12, x, array(I64, [[0, 1, 2], [-1, -1, -1]]), fixed=[2, 3])
case("Pad", 2, x, pads=[0, 1, 2, 1, 0, 0], value=1.5)
pads = const(i64(0, 1, 2, 1, 0, 1))
for mode in ("constant", "reflect", "edge"):
    case("Pad", 11, x, pads if mode != "reflect" else const(i64(0, 1, 2, 1, 0, 1)), mode=mode)
case("Pad", 13, x, pads, scalar(F32, 2.5))
case("Pad", 18, x, const(i64(1, -1, 0, 2)), scalar(F32, 2.5), const(i64(0, 2)), dynamic=False)
case("Pad", 19, x, const(i64(0, 1, 2, 1, 0, 3)), mode="wrap")
case("Pad", 18, data(I64, 3), const(i64(1, 2)), dynamic=False)
case("Pad", 13, x, i64(0, 1, 2, 1, 0, 1), dynamic=False, refused="depends on")
case("Reshape", 5, x, const(i64(4, 6)))
case("Reshape", 13, x, const(i64(0, -1)))
case("Reshape", 14, f32(0, 3), const(i64(3, 0)), allowzero=1, dynamic=False)
case("Reshape", 14, f32(1), const(i64()), dynamic=False)
case("Reshape", 14, x, const(i64(-1)), dynamic=True)
case("ReverseSequence", 10, f32(4, 3, 2), array(I64, [1, 4, 3]))
case("ReverseSequence", 10, f32(3, 4), array(I64, [1, 4, 3]), batch_axis=0, time_axis=1)
index, updates = data(I64, 2, 2, 4, high=2), f32(2, 2, 4)
for op, opset in (("Scatter", 9), ("ScatterElements", 11)):
    case(op, opset, x, array(I64, [[[0, 1, 2, -1 if opset > 9 else 1]]]), f32(1, 1, 4), axis=1)
for reduction in ("none", "add", "mul", "max", "min"):
    spot = array(I64, [[[2, 0, 1, -1]]]) if reduction == "none" else index
    case("ScatterElements", 18, x, spot, f32(*spot.shape), axis=1, reduction=reduction)
    case("ScatterND", 18, x, array(I64, [[0], [1]] if reduction == "none" else [[1], [1]]),
         f32(2, 3, 4), reduction=reduction)
case("ScatterND", 11, x, array(I64, [[0, 1], [1, 2]]), f32(2, 4), fixed=[2])
case("ScatterND", 18, data(I32, 8), array(I64, [[4], [-1]]), data(I32, 2), dynamic=False)
case("Slice", 1, x, axes=[1, 2], starts=[1, -3], ends=[9, -1])
for start, end, axis, step in [((1,), (3,), (2,), (1,)), ((-1,), (-9,), (1,), (-1,)),
                               ((0, 1), (9, 4), (-2, -1), (2, 2)), ((3,), (1,), (2,), (1,))]:
    case("Slice", 13, x, *[const(i64(*v)) for v in (start, end, axis, step)])
# Bounds beyond a dim that only run time knows, in front and behind.
for start, end, axis, step in [((0,), (9,), (2,), (1,)), ((-9,), (2,), (1,), (1,)),
                               ((-9, -8), (9, 8), (1, 2), (1, 3)), ((5,), (9,), (1,), (1,)),
                               ((0,), (-7,), (2,), (1,)), ((2,), (-1,), (2,), (1,)),
                               ((0,), (2**31 - 1,), (2,), (1,)), ((3,), (2,), (2,), (1,))]:
    case("Slice", 13, x, *[const(i64(*v)) for v in (start, end, axis, step)], dynamic=True)
case("Slice", 10, x, const(i64(1, 0)), const(i64(2, 2)))
case("Slice", 13, data(BOOL, 9), const(i64(-1)), const(i64(-100)), const(i64(0)),
     const(i64(-2)), dynamic=False)
case("Slice", 13, x, i64(0), i64(1), i64(1), dynamic=False, refused="depends on data")
case("Split", 2, x, axis=2, out=2)
case("Split", 11, x, axis=1, split=[1, 2], out=2)
case("Split", 13, x, const(i64(1, 2)), axis=1, out=2)
case("Split", 13, x, axis=2, out=2)
case("Split", 18, f32(7, 2), num_outputs=3, out=3)
case("Split", 18, x, const(i64(0, 3)), axis=1, out=2, dynamic=False)
case("Squeeze", 1, f32(2, 1, 3, 1), axes=[1, -1])
case("Squeeze", 13, f32(2, 1, 3, 1), const(i64(3)))
case("Squeeze", 13, f32(1, 1), dynamic=False)
case("Unsqueeze", 1, x, axes=[0, 4])
case("Unsqueeze", 13, x, const(i64(-1, 1)))
case("Unsqueeze", 13, f32(), const(i64(0)), dynamic=False)
case("TensorScatter", 24, f32(2, 3, 8, 4), f32(2, 3, 2, 4), array(I64, [1, 5]))
case("TensorScatter", 24, f32(2, 8, 4), f32(2, 3, 4), array(I64, [6, 5]), mode="circular")
case("TensorScatter", 24, f32(2, 8, 4), f32(2, 3, 4), dynamic=False)
case("Tile", 6, f32(2, 3), const(i64(2, 3)))
case("Tile", 13, data(I32, 3), const(i64(0)), dynamic=False)
case("Transpose", 1, x)
case("Transpose", 13, x, perm=[1, 2, 0])
case("Transpose", 13, data(BOOL, 2, 3), perm=[1, 0], dynamic=False)
case("Transpose", 13, f32(), dynamic=False)
case("Transpose", 13, f32(2, 0), dynamic=False)
for upper in (0, 1):
    for k in (-1, 0, 2):
        case("Trilu", 14, f32(2, 3, 5), const(scalar(I64, k)), upper=upper)
case("Trilu", 14, data(I64, 4, 4))
case("Trilu", 14, data(BOOL, 4, 4), dynamic=False)
# Sequences exist only between these two.
for place in (0, -1):
    case("SplitToSequence", 11, x, axis=1, out=[F32], then=("SequenceAt", scalar(I64, place)),
         dynamic=False)
    case("SplitToSequence", 11, x, const(i64(1, 3)), axis=2, out=[F32], dynamic=False,
         then=("SequenceAt", scalar(I64, place)))
