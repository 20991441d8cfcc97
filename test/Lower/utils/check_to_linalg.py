"""Runs models that `lathe-to-linalg` has written, compiled by stock MLIR tools.

    check_to_linalg.py MODEL.onnx REFERENCE.npz WORK [PASSES]

`lathe-opt` applies PASSES and writes the model in linalg, `mlir-opt-22`, `mlir-translate-22` and
clang make a library of it, and what that computes must agree with the reference
to 1e-4 of the largest value. Nothing of Lathe is in the library.
"""

import ctypes
import pathlib
import subprocess
import sys

import numpy as np
import onnx

PIPELINE = (
    "builtin.module(canonicalize,cse,one-shot-bufferize{bufferize-function-boundaries "
    "function-boundary-type-conversion=identity-layout-map},"
    "convert-bufferization-to-memref,func.func(convert-linalg-to-loops),"
    "func.func(llvm-request-c-wrappers),expand-strided-metadata,lower-affine,"
    "convert-scf-to-cf,convert-math-to-libm,convert-math-to-llvm,"
    "finalize-memref-to-llvm,convert-index-to-llvm,convert-arith-to-llvm,"
    "convert-func-to-llvm,convert-cf-to-llvm,reconcile-unrealized-casts)"
)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[:4000]}")


def memref(rank):
    """The descriptor that MLIR's C interface passes."""

    class Descriptor(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("data", ctypes.c_void_p),
                    ("offset", ctypes.c_int64)]
        if rank:
            _fields_ += [("sizes", ctypes.c_int64 * rank),
                         ("strides", ctypes.c_int64 * rank)]

    return Descriptor


def describe(array):
    value = memref(array.ndim)()
    value.base = value.data = array.ctypes.data
    if array.ndim:
        value.sizes[:] = array.shape
        value.strides[:] = [s // array.itemsize for s in array.strides]
    return value


def read(value, rank, dtype):
    shape = tuple(value.sizes) if rank else ()
    strides = tuple(s * dtype.itemsize for s in value.strides) if rank else ()
    count = max(1, sum((n - 1) * s for n, s in zip(shape, strides)) + dtype.itemsize)
    if 0 in shape:
        return np.zeros(shape, dtype)
    start = value.data + value.offset * dtype.itemsize
    buffer = (ctypes.c_char * count).from_address(start)
    return np.lib.stride_tricks.as_strided(
        np.frombuffer(buffer, dtype, 1), shape, strides).copy()


def main():
    model, reference, work, *passes = sys.argv[1:]
    work = pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    run("lathe-opt", model, *passes, "--lathe-to-linalg", "-o", work / "model.mlir")
    run("mlir-opt-22", work / "model.mlir", f"--pass-pipeline={PIPELINE}", "-o", work / "llvm.mlir")
    run("mlir-translate-22", "--mlir-to-llvmir", work / "llvm.mlir", "-o", work / "model.ll")
    run("clang-22", "-O1", "-Wno-override-module", "-fPIC", "-shared", work / "model.ll",
        "-lm", "-o", work / "model.so")

    graph = onnx.load(model, load_external_data=False).graph
    known = {i.name for i in graph.initializer}
    arrays = np.load(reference)

    def array(kind, name):
        return arrays[name] if name in arrays else arrays[f"{kind}.{name}"]

    inputs = [np.ascontiguousarray(array("in", i.name)) for i in graph.input if i.name not in known]
    expected = [(o.name, array("out", o.name)) for o in graph.output]

    class Results(ctypes.Structure):
        _fields_ = [(f"r{n}", memref(e.ndim)) for n, (_, e) in enumerate(expected)]

    results = Results()
    descriptors = [describe(i) for i in inputs]
    library = ctypes.CDLL(str(work / "model.so"))
    function = library._mlir_ciface_plain
    function(ctypes.byref(results), *[ctypes.byref(d) for d in descriptors])
    worst = 0.0
    for n, (name, want) in enumerate(expected):
        got = read(getattr(results, f"r{n}"), want.ndim, want.dtype)
        if got.shape != want.shape:
            sys.exit(f"{name}: shape {got.shape}, not {want.shape}")
        scale = max(1e-30, float(np.abs(want).max(initial=0)))
        worst = max(worst, float(np.abs(got - want).max(initial=0)) / scale)
    print(f"{pathlib.Path(model).name}: {worst:.1e}")
    if not worst <= 1e-4:
        sys.exit("differs from the reference")


main()
