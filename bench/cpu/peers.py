"""One class per runtime. Each is made in a process of its own (worker.py),
prepares a case, and runs it many times."""

import pathlib
import subprocess
import sys
import time

import numpy as np

import cases


def onnx_inputs(path):
    import onnx
    graph = onnx.load(path, load_external_data=False).graph
    weights = {t.name for t in graph.initializer}
    return [(v.name, [d.dim_param or d.dim_value
                      for d in v.type.tensor_type.shape.dim])
            for v in graph.input if v.name not in weights]


def named_dims(path, data):
    """The values that the dims' names have for `data`."""
    return {dim: size for name, dims in onnx_inputs(path)
            for dim, size in zip(dims, data[name].shape) if isinstance(dim, str)}


class Peer:
    """`run` does the work once; `result` is the output of the last run."""

    def __init__(self, setup, case, data):
        self.setup, self.case, self.data = setup, case, data
        self.model = setup["model"]
        self.threads = setup["threads"]
        self.precision = setup["precision"]
        start = time.monotonic()
        self.prepare()
        self.compile_s = time.monotonic() - start

    def prepare(self):
        raise NotImplementedError

    def run(self):
        raise NotImplementedError

    def result(self):
        raise NotImplementedError


class Onnxruntime(Peer):
    def prepare(self):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        for name, value in named_dims(self.model, self.data).items():
            options.add_free_dimension_override_by_name(name, value)
        self.session = onnxruntime.InferenceSession(
            self.model, options, providers=["CPUExecutionProvider"])

    def run(self):
        # All outputs: a decoder's caller needs the new cache too.
        self.outputs = self.session.run(None, self.data)

    def result(self):
        names = [o.name for o in self.session.get_outputs()]
        return self.outputs[names.index(self.case.output)]


class Openvino(Peer):
    def prepare(self):
        import openvino
        core = openvino.Core()
        model = core.read_model(self.model)
        model.reshape({name: list(a.shape) for name, a in self.data.items()})
        compiled = core.compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.precision})
        self.request = compiled.create_infer_request()

    def run(self):
        self.request.infer(self.data, share_inputs=True, share_outputs=True)

    def result(self):
        return np.array(self.request.get_tensor(self.case.output).data)


def compile_iree(model, data, program):
    """Compiles `model` for the shapes of `data` to the file `program`; seconds
    of iree-compile alone. Shapes are static and constants folded by onnxruntime:
    without that IREE's importer and its stack allocation fail on these graphs."""
    import onnxruntime
    program.parent.mkdir(parents=True, exist_ok=True)
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_BASIC
    for name, value in named_dims(model, data).items():
        options.add_free_dimension_override_by_name(name, value)
    folded = program.with_suffix(".onnx")
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(model, options,
                                 providers=["CPUExecutionProvider"])
    tools = pathlib.Path(sys.executable).parent
    imported = program.with_suffix(".mlir")
    subprocess.run([tools / "iree-import-onnx", folded, "-o", imported,
                    "--opset-version", "17"], check=True, capture_output=True)
    start = time.monotonic()
    subprocess.run([tools / "iree-compile", imported, "-o", program,
                    "--iree-hal-target-device=local",
                    "--iree-hal-local-target-device-backends=llvm-cpu",
                    "--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3",
                    "--iree-opt-data-tiling",
                    "--iree-llvmcpu-stack-allocation-limit=1048576"],
                   check=True, capture_output=True)
    return time.monotonic() - start


class Iree(Peer):
    def prepare(self):
        import iree.runtime as runtime
        folder = pathlib.Path(self.setup["cache"])
        program = folder / f"{self.case.name}.vmfb"
        if not program.exists():
            compile_iree(self.model, self.data, program)
        driver = "local-sync"
        if self.threads > 1:
            driver = "local-task"
            runtime.flags.parse_flags(
                f"--task_topology_group_count={self.threads}")
        config = runtime.Config(driver)
        module = runtime.VmModule.mmap(config.vm_instance, str(program))
        loaded = runtime.load_vm_module(module, config)
        names = [n for n in loaded.vm_module.function_names
                 if not n.startswith("__") and not n.endswith("$async")]
        self.function = loaded[names[0]]
        order = [name for name, _ in onnx_inputs(self.model)]
        self.inputs = [runtime.asdevicearray(config.device, self.data[n])
                       for n in order]

    def run(self):
        results = self.function(*self.inputs)
        self.outputs = results if isinstance(results, tuple) else (results,)
        # Results are promises until they are looked at.
        self.first = self.outputs[0].to_host()

    def result(self):
        return np.asarray(self.first)


class Lathe(Peer):
    def prepare(self):
        from lathe_rt import Model
        self.loaded = Model(self.setup["library"], self.setup["folder"],
                            self.threads)
        case, data = self.case, dict(self.data)
        self.past = case.past
        if case.entry != "plain":
            self.loaded.make_cache(case.batch, case.past + case.tokens)
            if case.past:
                self.fill_cache()
        if case.is_language_model:
            data = {k: v for k, v in data.items() if not k.startswith("past")}
        self.loaded.bind(case.entry, data, case.output)

    def fill_cache(self):
        """Tokens before the ones that are timed."""
        self.loaded.bind("prefill", {"input_ids": cases.past_tokens(self.case)},
                         self.case.output)
        self.loaded.run()

    def run(self):
        if self.loaded.cache is not None:
            self.loaded.truncate(self.past)
        self.loaded.run()

    def result(self):
        return self.loaded.result()


class LatheGenerate(Peer):
    """Greedy generation of `tokens` tokens after the prompt that is the data."""

    def prepare(self):
        from lathe_rt import Model
        self.loaded = Model(self.setup["library"], self.setup["folder"],
                            self.threads)
        self.prompt = np.ascontiguousarray(self.data["input_ids"][0])
        self.made = np.zeros(self.case.tokens, np.int64)

    def run(self):
        self.loaded.generate(self.prompt, self.made)

    def result(self):
        return self.made


PEERS = {"ort": Onnxruntime, "ov": Openvino, "iree": Iree, "lathe": Lathe,
         "lathe-generate": LatheGenerate}
