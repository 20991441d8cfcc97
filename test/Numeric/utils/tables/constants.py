"""Constants, ranges, shapes, and outputs that depend on data."""

from opcases import *

case("Constant", 9, value=f32(2, 3))
case("Constant", 11, value=data(I64, 3))
case("Constant", 13, value=data(F16, 3), dynamic=False, wide=False)
for how in (dict(value_float=1.5), dict(value_floats=[1.5, 2.0]), dict(value_int=7),
            dict(value_ints=[7, 8, 9])):
    case("Constant", 13, dynamic=False, **how)
case("Constant", 24, value=f32(0, 3), dynamic=False)
case("ConstantOfShape", 9, const(i64(2, 3)))
case("ConstantOfShape", 9, const(i64(2, 3)), value=array(I32, [7]))
case("ConstantOfShape", 23, const(i64()), value=array(F16, [7]), dynamic=False)
case("ConstantOfShape", 23, const(i64(0, 2)), value=array(BOOL, [True]), dynamic=False)
for k in (0, 1, -2):
    case("EyeLike", 9, f32(3, 5), k=k)
case("EyeLike", 22, data(I32, 4, 3), dtype=TensorProto.FLOAT, dynamic=False)
case("NonZero", 9, data(I32, 3, 4), refused="depends on data", dynamic=False)
for axis in (-1, 0, 1):
    case("OneHot", 9, data(I64, 3, 2, high=4), const(scalar(I64, 5)),
         array(F32, [0.5, 2.0]), axis=axis)
def one_hot(indices, depth, values, axis=-1):
    hits = indices.astype(I64)[..., None] % int(depth) == np.arange(int(depth))
    return values[hits.astype(I64)]


for depth in (F32, F64, I8):
    case("OneHot", 9, array(I64, [1, 4, 0]), const(scalar(depth, 5)), array(F32, [0.5, 2.0]),
         reference=one_hot)
case("OneHot", 11, array(F32, [1, 4, -5]), const(scalar(F32, 5)), array(F32, [0.5, 2.0]),
     reference=one_hot)
case("OneHot", 11, array(I32, [-1, 0, 7, -9]), const(scalar(I32, 5)),
     array(I32, [0, 1]), dynamic=False)
for dtype in (F32, I32, I64, F64, I16):
    case("Range", 11, const(scalar(dtype, 1)), const(scalar(dtype, 12)),
         const(scalar(dtype, 3)), dynamic=False)
case("Range", 11, const(scalar(I64, 9)), const(scalar(I64, -2)), const(scalar(I64, -4)))
case("Range", 11, const(scalar(I64, 9)), const(scalar(I64, 9)), const(scalar(I64, 1)),
     dynamic=False)
case("Range", 27, const(scalar(F16, 1)), const(scalar(F16, 3)), const(scalar(F16, 0.5)),
     dynamic=False, reference=lambda a, b, c: np.arange(a, b, c))
case("Range", 11, scalar(I64, 0), scalar(I64, 4), scalar(I64, 1), dynamic=False,
     refused="depends on data")
case("Shape", 13, f32(2, 3, 4))
case("Shape", 15, f32(2, 3, 4), start=1)
case("Shape", 19, f32(2, 3, 4), start=-2, end=-1)
case("Shape", 19, f32(), dynamic=False)
case("Size", 13, f32(2, 3, 4))
case("Size", 13, f32(), dynamic=False)
case("Size", 1, f32(2, 0), dynamic=False)
