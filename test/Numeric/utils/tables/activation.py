"""Activation functions."""

from opcases import *

for name, opset, attributes in [
    ("Celu", 12, dict(alpha=0.7)), ("Elu", 6, dict(alpha=0.7)),
    ("HardSigmoid", 6, dict(alpha=0.3, beta=0.4)), ("HardSwish", 14, {}),
    ("LeakyRelu", 6, dict(alpha=0.1)), ("Mish", 18, {}), ("Relu", 6, {}),
    ("Selu", 6, dict(alpha=1.5, gamma=1.2)), ("Sigmoid", 6, {}),
    ("Shrink", 9, dict(lambd=0.6, bias=0.2)), ("Softplus", 1, {}),
    ("Softsign", 1, {}), ("Swish", 24, dict(alpha=0.8)), ("Tanh", 6, {}),
    ("ThresholdedRelu", 10, dict(alpha=0.4)),
]:  # fmt: skip
    latest = max(opset, 22)
    case(name, opset, f32(3, 37, low=-4, high=4), **attributes)
    case(name, latest, f32(low=-4, high=4), dynamic=False)
    case(name, latest, f32(2, 0), dynamic=False)
    if name not in ("Celu",):
        case(name, latest, data(F16, 3, 17), dynamic=False)
    if name not in ("Celu", "Shrink"):
        case(name, latest, data(F64, 3, 17), dynamic=False)
case("Sigmoid", 13, array(F32, [-200, 200, -30, 30, 0]))
case("Tanh", 13, array(F32, [-200, 200, 1e-6, 0, 9.5]))
case("Softplus", 22, array(F32, [-200, 200, -20, 20, 0]))
case("Relu", 14, data(I32, 9, low=-9, high=9), dynamic=False)
case("Relu", 14, array(F32, [float("nan"), -1, 2]), dynamic=False)
case("Sigmoid", 13, data(BF16, 3, 17), dynamic=False)
case("Tanh", 13, data(BF16, 3, 17), dynamic=False)
case("Gelu", 20, f32(3, 37, low=-4, high=4))
case("Gelu", 20, f32(3, 37, low=-4, high=4), approximate="tanh")
case("Gelu", 20, data(F16, 3, 17), dynamic=False)
case("PRelu", 7, f32(2, 3, 4), f32(4))
case("PRelu", 16, f32(2, 3, 4), f32(3, 1))
case("PRelu", 16, data(F16, 2, 3), data(F16, 3), dynamic=False)
case("SwiGLU", 28, f32(3, 17), f32(3, 17))
case("SwiGLU", 28, data(F16, 3, 17), data(F16, 3, 17), alpha=1.5, dynamic=False)
