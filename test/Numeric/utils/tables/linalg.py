"""Matrix products."""

from opcases import *

for a, b in [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)),
             ((2, 5, 3), (3, 4)), ((2, 1, 5, 3), (4, 3, 2)), ((1, 70), (70, 130)),
             ((5, 0), (0, 3)), ((0, 3), (3, 4)), ((2, 2, 2, 3, 4), (4, 3))]:
    case("MatMul", 13, f32(*a), f32(*b), dynamic=0 not in a + b and len(a) < 5)
case("MatMul", 1, f32(3, 4), const(f32(4, 70)), dynamic=False)
case("MatMul", 9, f32(7, 33), const(f32(33, 65)), dynamic=True)
for dtype in (F64, F16, BF16, I32, I64, U32):
    case("MatMul", 13, data(dtype, 3, 4), data(dtype, 4, 5), dynamic=False)
for ta in (0, 1):
    for tb in (0, 1):
        a, b = ((4, 3) if ta else (3, 4)), ((5, 4) if tb else (4, 5))
        case("Gemm", 13, f32(*a), f32(*b), f32(5), transA=ta, transB=tb, alpha=0.5,
             beta=2.0)
case("Gemm", 13, f32(3, 4), const(f32(4, 70)), const(f32(70)), dynamic=True)
case("Gemm", 7, f32(3, 4), f32(4, 5), f32(3, 5))
case("Gemm", 9, f32(3, 4), f32(4, 5), f32(3, 1))
case("Gemm", 11, f32(3, 4), f32(4, 5))
case("Gemm", 11, f32(3, 4), f32(4, 5), f32(), dynamic=False)
case("Gemm", 13, data(F16, 3, 4), data(F16, 4, 5), data(F16, 5), dynamic=False)
case("Gemm", 13, data(F64, 3, 4), data(F64, 4, 5), data(F64, 5), dynamic=False)
case("Gemm", 13, data(I32, 3, 4), data(I32, 4, 5), data(I32, 5), dynamic=False)
case("Gemm", 13, f32(3, 0), f32(0, 5), f32(5), dynamic=False)

for equation, *shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)), ("bij,bjk", (2, 3, 4), (2, 4, 5)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)),
    ("...ij,...jk->...ik", (2, 2, 3), (2, 3, 4)), ("i,j->ij", (3,), (4,)),
    ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)), ("i,i", (4,), (4,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), (" b s h , h d -> b s d ", (2, 3, 4), (4, 5)),
]:  # fmt: skip
    case("Einsum", 12, *[f32(*s) for s in shapes], equation=equation, dynamic=False)
case("Einsum", 12, f32(2, 3), f32(3, 4), equation="ij,jk->ik", dynamic=True)
case("Einsum", 12, data(F64, 2, 3), data(F64, 3, 4), equation="ij,jk->ik", dynamic=False)
case("Det", 11, f32(3, 3))
case("Det", 22, f32(2, 4, 4))
case("Det", 22, array(F32, [[0, 1], [1, 0]]))
case("Det", 22, array(F32, [[1, 2], [2, 4]]))

for a, b in ((U8, I8), (U8, U8), (I8, I8)):
    x = np.minimum(data(a, 3, 4, low=-100, high=200), np.iinfo(a).max)
    w = weights(4, 5) if b == I8 else data(b, 4, 5, high=100)
    case("MatMulInteger", 10, x, w)
    case("MatMulInteger", 10, x, w, scalar(a, 5), scalar(b, 3))
case("MatMulInteger", 10, data(U8, 2, 3, 4, high=255), data(U8, 4, 5, high=255),
     scalar(U8, 128), data(U8, 5, high=9))
