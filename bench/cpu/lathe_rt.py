"""Compiled folders through the runtime's C API, as any program would run them."""

import ctypes
import pathlib

import numpy as np

DTYPES = [np.float32, np.float64, np.float16, np.uint16, np.int8, np.int16,
          np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
NUMBERS = {np.dtype(t): n for n, t in enumerate(DTYPES) if n != 3}


class Tensor(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p),
                ("data", ctypes.c_void_p), ("bytes", ctypes.c_int64),
                ("dtype", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64))]


class LoadOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("threads", ctypes.c_int32),
                ("verify_weights", ctypes.c_int32),
                ("level", ctypes.c_char_p)]


class RunOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("entry", ctypes.c_char_p),
                ("cache", ctypes.c_void_p), ("logits_rows", ctypes.c_int64)]


class Model:
    """One loaded folder. `bind` fixes entry and data, `run` runs them."""

    def __init__(self, library, folder, threads):
        self.rt = ctypes.CDLL(str(library))
        for name in ("lathe_model_load", "lathe_cache_create"):
            getattr(self.rt, name).restype = ctypes.c_void_p
        self.rt.lathe_last_error.restype = ctypes.c_char_p
        self.rt.lathe_cache_create.argtypes = [ctypes.c_void_p, ctypes.c_int64,
                                               ctypes.c_int64]
        self.rt.lathe_cache_truncate.argtypes = [ctypes.c_void_p, ctypes.c_int64]
        self.rt.lathe_model_generate.restype = ctypes.c_int64
        self.rt.lathe_model_generate.argtypes = [
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
            ctypes.c_size_t, ctypes.c_int64]
        self.rt.lathe_model_run.argtypes = [
            ctypes.c_void_p, ctypes.POINTER(RunOptions), ctypes.POINTER(Tensor),
            ctypes.c_size_t, ctypes.POINTER(Tensor), ctypes.c_size_t]
        options = LoadOptions(ctypes.sizeof(LoadOptions), threads, 0, None)
        self.model = self.check_pointer(self.rt.lathe_model_load(
            str(pathlib.Path(folder)).encode(), ctypes.byref(options)))
        self.cache = None

    def check_pointer(self, pointer):
        if not pointer:
            raise RuntimeError(self.rt.lathe_last_error().decode())
        return ctypes.c_void_p(pointer)

    def check(self, code):
        if code != 0:
            raise RuntimeError(self.rt.lathe_last_error().decode())

    def make_cache(self, batch, positions):
        self.cache = self.check_pointer(
            self.rt.lathe_cache_create(self.model, batch, positions))

    def truncate(self, length):
        self.check(self.rt.lathe_cache_truncate(self.cache, length))

    def generate(self, prompt, tokens):
        """Fills `tokens` with what greedily follows `prompt`: int64 arrays."""
        made = self.rt.lathe_model_generate(self.model, prompt.ctypes.data, len(prompt),
                                            tokens.ctypes.data, len(tokens), 0)
        self.check(made != len(tokens))

    def bind(self, entry, inputs, output, logits_rows=0):
        self.arrays = {k: np.ascontiguousarray(v) for k, v in inputs.items()}
        self.inputs = (Tensor * len(inputs))()
        self.keep = []
        for slot, (name, array) in zip(self.inputs, self.arrays.items()):
            shape = (ctypes.c_int64 * array.ndim)(*array.shape)
            self.keep += [shape, name.encode()]
            slot.size = ctypes.sizeof(Tensor)
            slot.name = self.keep[-1]
            slot.data = array.ctypes.data
            slot.bytes = array.nbytes
            slot.dtype = NUMBERS[array.dtype]
            slot.rank = array.ndim
            slot.shape = shape
        self.outputs = (Tensor * 1)()
        self.outputs[0].size = ctypes.sizeof(Tensor)
        self.outputs[0].name = output.encode()
        self.options = RunOptions(ctypes.sizeof(RunOptions), entry.encode(),
                                  self.cache, logits_rows)

    def run(self):
        self.outputs[0].data = None
        self.check(self.rt.lathe_model_run(
            self.model, ctypes.byref(self.options), self.inputs,
            len(self.inputs), self.outputs, 1))

    def result(self):
        """A copy of the output of the last run."""
        out = self.outputs[0]
        shape = tuple(out.shape[i] for i in range(out.rank))
        kind = np.dtype(DTYPES[out.dtype])
        raw = ctypes.string_at(out.data, int(np.prod(shape)) * kind.itemsize)
        return np.frombuffer(raw, kind).reshape(shape)
