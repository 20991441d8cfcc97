# RUN: rm -rf %t && mkdir %t && %python %s make %t
# RUN: lathe-rt-npz-test copy %t/in.npz %t/out.npz | FileCheck %s --check-prefix=UNUSABLE
# RUN: lathe-rt-npz-test copy %t/deflated.npz %t/out2.npz | FileCheck %s --check-prefix=UNUSABLE
# RUN: lathe-rt-npz-test copy %t/folder %t/out3.npz
# RUN: %python %s compare %t
# RUN: lathe-rt-npz-test damage %t/small.npz %t/damaged.npz
# RUN: lathe-rt-npz-test damage %t/small-deflated.npz %t/damaged.npz
# RUN: lathe-rt-npz-test fails %t/bad/* | FileCheck %s --check-prefix=BAD
# REQUIRES: onnxruntime

# UNUSABLE: unusable objects: has the numpy type '|O', which no tensor has
# UNUSABLE: unusable records: is an array of records
# UNUSABLE: unusable words: has the numpy type '<U3', which no tensor has

# BAD: a-bomb.npz: member 'x.npy': its size does not match its bytes
# BAD: b-big.npz: array 'x.npy': shape [576460752303423488] is too large for memory
# BAD: c-bzip2.npz: member 'x.npy': compression method 12
# BAD: d-folder: has no files input_0.pb
# BAD: e-short/input_0.pb: has 8 elements or bytes of data where its shape needs 12
# BAD: f-huge/input_0.pb: its shape [1099511627776] needs more data
# BAD: g-cut/input_0.pb: is not a serialized TensorProto, or is cut off
# BAD: h-negative/input_0.pb: negative dim
# BAD: i-external/input_0.pb: keeps its data in another file
# BAD: j-string/input_0.pb: has the element type 8
# BAD: k-text.npz: is not a zip file
# BAD: l-twice.npz: array 'x.npy': is there twice
# BAD: m-short.npz: array 'x.npy': has 8 bytes, but its shape needs 24

import os
import struct
import sys
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

command, root = sys.argv[1:3]


def arrays():
    rng = np.random.default_rng(0)
    result = {f"t_{np.dtype(t).str[1:]}": (100 * rng.standard_normal((3, 5))).astype(t)
              for t in "f4 f8 f2 i1 i2 i4 i8 u1 u2 u4 u8 ?".split()}
    result["scalar"] = np.array(2.5, np.float32)
    result["empty"] = np.zeros((2, 0, 3), np.float32)
    result["vector"] = np.arange(7)
    result["fortran"] = np.asfortranarray(rng.standard_normal((2, 3, 4)))
    result["big"] = np.arange(12, dtype=">i4").reshape(3, 4)
    result["in.prefixed"] = rng.standard_normal((1, 2)).astype(np.float32)
    result["long"] = rng.standard_normal(100000)
    return result


def protos():
    values = np.arange(6).reshape(2, 3)
    yield numpy_helper.from_array(values.astype(np.float32), "raw")
    yield helper.make_tensor("typed", TensorProto.FLOAT, [2, 3], values.ravel())
    yield helper.make_tensor("doubles", TensorProto.DOUBLE, [2, 3], values.ravel())
    yield helper.make_tensor("longs", TensorProto.INT64, [2, 3], values.ravel() - 3)
    yield helper.make_tensor("shorts", TensorProto.INT16, [2, 3], values.ravel() - 3)
    yield helper.make_tensor("bools", TensorProto.BOOL, [2, 3], values.ravel() % 2)
    yield helper.make_tensor("unsigned", TensorProto.UINT64, [2, 3], values.ravel())
    yield helper.make_tensor("halves", TensorProto.FLOAT16, [2, 3], values.ravel().astype(np.float16))
    yield helper.make_tensor("brains", TensorProto.BFLOAT16, [2, 3], values.ravel().astype(np.float32))
    yield helper.make_tensor("nibbles", TensorProto.INT4, [5], [-8, 7, 1, -1, 3])
    yield TensorProto(dims=[5], data_type=TensorProto.UINT4, raw_data=b"\x21\x43\x05")


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def npy(shape, body, descr="<f8"):
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body


def archive(path, members, method=zipfile.ZIP_STORED):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in members:
            out.writestr(name, data)


def make():
    more = {"words": np.array(["one", "two"]), "objects": np.array([None]),
            "records": np.zeros(2, [("a", "<i4")])}
    np.savez(f"{root}/in.npz", **arrays(), **more)
    np.savez_compressed(f"{root}/deflated.npz", **arrays(), **more)
    small = {"a": np.arange(6.0), "b": np.zeros((2, 3), np.int64)}
    np.savez(f"{root}/small.npz", **small)
    np.savez_compressed(f"{root}/small-deflated.npz", **small)
    for i, proto in enumerate(protos()):
        write(f"{root}/folder/input_{i}.pb", proto.SerializeToString())
    write(f"{root}/folder/output_0.pb", numpy_helper.from_array(np.ones(2), "raw").SerializeToString())
    write(f"{root}/folder/notes.txt", b"")

    bad = f"{root}/bad"
    archive(f"{bad}/a-bomb.npz", [("x.npy", npy("(1,)", b"\0" * 8))], zipfile.ZIP_DEFLATED)
    with open(f"{bad}/a-bomb.npz", "r+b") as out:
        data = bytearray(out.read())
        at = data.index(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", 0xFFFFFFF0)
        out.seek(0)
        out.write(data)
    archive(f"{bad}/b-big.npz", [("x.npy", npy("(576460752303423488,)", b"\0" * 8))])
    archive(f"{bad}/c-bzip2.npz", [("x.npy", npy("(1,)", b"\0" * 8))], zipfile.ZIP_BZIP2)
    write(f"{bad}/d-folder/readme", b"")

    def proto(name, **fields):
        write(f"{bad}/{name}/input_0.pb", TensorProto(**fields).SerializeToString())

    proto("e-short", dims=[3], data_type=1, raw_data=b"12345678")
    proto("f-huge", dims=[1 << 40], data_type=1, raw_data=b"")
    write(f"{bad}/g-cut/input_0.pb", TensorProto(dims=[3], data_type=1, raw_data=b"12345678").SerializeToString()[:-1])
    proto("h-negative", dims=[-3], data_type=1)
    proto("i-external", dims=[1], data_type=1, data_location=1)
    proto("j-string", dims=[1], data_type=8, string_data=[b"x"])
    write(f"{bad}/k-text.npz", b"not a zip file " * 10)
    archive(f"{bad}/m-short.npz", [("x.npy", npy("(3,)", b"\0" * 8))])
    archive(f"{bad}/l-twice.npz", [("x.npy", npy("(1,)", b"\0" * 8))] * 2)


def compare():
    for name in ["out.npz", "out2.npz"]:
        have = np.load(f"{root}/{name}")
        want = arrays()
        assert set(have.files) == set(want), set(have.files) ^ set(want)
        for key, value in want.items():
            assert have[key].dtype == value.dtype.newbyteorder("="), key
            np.testing.assert_array_equal(have[key], value)
    have = np.load(f"{root}/out3.npz")
    for i, proto in enumerate(protos()):
        got = have[f"input_{i}"]
        if proto.name:
            np.testing.assert_array_equal(have["in." + proto.name], got)
        if proto.name == "nibbles":
            want = np.array([8, 7, 1, 15, 3], np.uint8)
        elif proto.data_type == TensorProto.UINT4:
            want = np.arange(1, 6, dtype=np.uint8)
        elif proto.name == "brains":
            want = (np.arange(6, dtype=np.float32).reshape(2, 3).view(np.uint32) >> 16).astype(np.uint16)
        else:
            want = numpy_helper.to_array(proto)
        assert got.dtype == want.dtype, (proto.name, got.dtype)
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(have["out.raw"], np.ones(2))


{"make": make, "compare": compare}[command]()
