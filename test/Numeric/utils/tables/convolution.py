"""Convolution, pooling, resampling."""

from opcases import *

plain = case


def case(op, *inputs, **how):
    """Channels and kernels stay numbers."""
    if "Conv" in op:
        how.setdefault("fixed", (2, 3, 4, 6, 8))
    plain(op, *inputs, **how)


x, w = f32(2, 4, 9, 7), f32(6, 4, 3, 2)
case("Conv", 11, x, w, f32(6), pads=[1, 0, 1, 1], strides=[2, 1])
case("Conv", 1, x, w)
case("Conv", 11, x, f32(8, 2, 3, 3), group=2, dilations=[2, 1])
case("Conv", 11, x, f32(4, 1, 3, 3), group=4, auto_pad="SAME_UPPER", strides=[2, 2])
case("Conv", 11, x, w, auto_pad="SAME_LOWER", dynamic=False)
case("Conv", 11, x, w, auto_pad="VALID", dynamic=False)
case("Conv", 22, f32(2, 3, 11), f32(5, 3, 4), f32(5))
case("Conv", 22, f32(1, 2, 4, 5, 3), f32(3, 2, 2, 2, 2), dynamic=False)
case("Conv", 22, f32(2, 4, 8, 8), const(f32(16, 4, 4, 4)), const(f32(16)), strides=[4, 4], dynamic=True)
case("Conv", 22, f32(2, 4, 5, 5), const(f32(70, 4, 1, 1)), const(f32(70)), dynamic=True)
case("Conv", 22, data(F16, 1, 2, 5, 5), data(F16, 3, 2, 3, 3), dynamic=False)
case("ConvInteger", 10, data(U8, 1, 2, 5, 5, high=255), data(U8, 3, 2, 3, 3, high=255),
     scalar(U8, 5), pads=[1, 1, 1, 1])
t = f32(4, 3, 3, 2)
case("ConvTranspose", 11, x, t, f32(3), strides=[2, 3], pads=[1, 0, 0, 1])
case("ConvTranspose", 1, x, t, dynamic=False)
case("ConvTranspose", 11, x, f32(4, 3, 3, 3), group=2, strides=[2, 2], output_padding=[1, 1])
case("ConvTranspose", 11, x, f32(4, 3, 3, 3), strides=[2, 2], output_shape=[19, 15], dynamic=False)
case("ConvTranspose", 22, x, f32(4, 3, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER", dynamic=False)
case("ConvTranspose", 22, f32(2, 4, 5), f32(4, 2, 3), dilations=[2])
for opset in (7, 10, 19):
    case("AveragePool", opset, x, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1])
    case("AveragePool", opset, x, kernel_shape=[3, 2], pads=[1, 0, 1, 1], count_include_pad=1)
case("AveragePool", 19, x, kernel_shape=[3, 2], ceil_mode=1, strides=[2, 2], dynamic=False)
case("AveragePool", 22, x, kernel_shape=[2, 2], dilations=[2, 1], dynamic=False)
case("AveragePool", 22, f32(2, 3, 8), kernel_shape=[3], auto_pad="SAME_UPPER", dynamic=False)
for opset in (1, 8, 10):
    case("MaxPool", opset, x, kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 1])
case("MaxPool", 12, x, kernel_shape=[3, 2], ceil_mode=1, strides=[2, 2], dynamic=False)
case("MaxPool", 12, x, kernel_shape=[3, 2], dilations=[2, 2], dynamic=False)
case("MaxPool", 12, x, kernel_shape=[3, 2], strides=[2, 2], out=2, dynamic=False,
     refused="Indices")
case("MaxPool", 12, data(U8, 1, 1, 5, 5, high=255), kernel_shape=[2, 2], dynamic=False)
for p in (1, 2, 3):
    case("LpPool", 11, x, kernel_shape=[3, 2], strides=[2, 1], p=p)
    case("LpPool", 18, x, kernel_shape=[3, 2], strides=[2, 1], p=p)
    case("GlobalLpPool", 2, x, p=p)
case("GlobalAveragePool", 1, x)
case("GlobalMaxPool", 1, x)
case("GlobalAveragePool", 22, data(F16, 2, 3, 4, 4), dynamic=False)
g = f32(2, 5, 6, 2, low=-1.3, high=1.3)
for mode in ("bilinear", "nearest", "bicubic"):
    for padding in ("zeros", "border", "reflection"):
        case("GridSample", 16, x, g, mode=mode, padding_mode=padding,
             align_corners=int(padding == "border"), rtol=1e-4)
case("GridSample", 20, x, g, mode="linear", rtol=1e-4)
case("GridSample", 20, x, g, mode="cubic", padding_mode="border", rtol=1e-4)
r = f32(1, 2, 4, 5)
up, down = const(array(F32, [1, 1, 2, 1.5])), const(array(F32, [1, 1, 0.6, 0.8]))
case("Upsample", 7, r, scales=[1.0, 1.0, 2.0, 3.0])
case("Upsample", 9, r, const(array(F32, [1, 1, 2, 3])), mode="linear", dynamic=False)
case("Resize", 10, r, const(array(F32, [1, 1, 2, 2])), dynamic=False)
none = const(array(F32, []))
sizes = const(i64(1, 2, 7, 9))
for mode in ("nearest", "linear", "cubic"):
    for how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        case("Resize", 11, r, none, none, sizes, mode=mode, dynamic=False,
             coordinate_transformation_mode=how, rtol=1e-4)
    case("Resize", 13, r, None, down, mode=mode, dynamic=False, rtol=1e-4)
    case("Resize", 18, r, None, up, mode=mode, dynamic=False, rtol=1e-4)
for nearest in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
    case("Resize", 13, r, None, up, nearest_mode=nearest, dynamic=False)
case("Resize", 18, r, None, down, mode="linear", antialias=1, dynamic=False, rtol=1e-4)
case("Resize", 18, r, None, None, const(i64(8, 8)), axes=[2, 3], mode="cubic",
     exclude_outside=1, dynamic=False, rtol=1e-4)
case("Resize", 13, r, None, const(array(F32, [1, 1, 2, 2])), mode="linear", dynamic=True)
