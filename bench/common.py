"""What the suites share: options, the machine, models, tables of results."""

import argparse
import csv
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent


class Parser(argparse.ArgumentParser):
    """A mistake is one line and exit code 1, as with Lathe's programs."""

    def error(self, message):
        print(f"error: {message}; --help lists the options", file=sys.stderr)
        sys.exit(1)


def names(text):
    """`a,b` of an option as a list."""
    return text.split(",")


def numbers(text):
    """`1,2` of an option as a list of positive integers."""
    values = [int(part) for part in text.split(",")]
    if min(values) < 1:
        raise ValueError(text)
    return values


def add_options(parser):
    """The options that every suite has."""
    parser.add_argument("--build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--models", type=pathlib.Path,
                        help="folder of the built models")
    parser.add_argument("--output", type=pathlib.Path,
                        help="folder for results (build/bench/results)")


def add_threads(parser):
    parser.add_argument("--threads", type=numbers, default=[1, 2],
                        help="numbers of threads: 1,2")


def add_turns(parser, rounds, seconds):
    parser.add_argument("--rounds", type=int, default=rounds,
                        help=f"turns of everything that is compared ({rounds})")
    parser.add_argument("--seconds", type=float, default=seconds,
                        help=f"length of a turn ({seconds:g})")


def add_cpu(parser):
    parser.add_argument("--mcpu", default="native", help="CPU level of Lathe")


def set_folders(arguments):
    """Folders that were not given, and that of what is made on the way."""
    arguments.build = arguments.build.resolve()
    root = arguments.build / "bench"
    arguments.models = arguments.models or root / "models"
    arguments.output = arguments.output or root / "results"
    arguments.cache = root / "cache"
    arguments.cache.mkdir(parents=True, exist_ok=True)


def note(text):
    print(f"note: {text}", file=sys.stderr, flush=True)


def describe_machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", text)
    family = re.search(r"cpu family\s*: (.*)", text)
    number = re.search(r"model\s*: (.*)", text)
    flags = [f for f in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16",
                         "amx_tile") if re.search(rf"\b{f}\b", text)]
    return (f"{model[1] if model else platform.processor()}"
            f" (family {family[1] if family else '?'}, model "
            f"{number[1] if number else '?'}), {os.cpu_count()} processors, "
            + " ".join(flags))


def model_path(name, folder):
    """An example, or a public model that is built in `folder` at need."""
    example = REPOSITORY / "examples/models" / f"{name}.onnx"
    if example.exists():
        return example
    path = folder / f"{name}.onnx"
    if not path.exists():
        subprocess.run([sys.executable, REPOSITORY / "examples/real_models.py",
                        name, folder], check=True)
    return path


def lathe(arguments, *command, program="lathe", **variables):
    """What a program of Lathe prints; its error ends the run. `variables` are of
    its environment."""
    done = subprocess.run([arguments.build / "bin" / program, *map(str, command)],
                          capture_output=True, text=True,
                          env=dict(os.environ, **variables))
    if done.returncode != 0:
        sys.exit(done.stderr.strip() or f"error: {program} failed")
    return done.stdout


def compile_model(arguments, model, folder, *options, **variables):
    """Compiles all of `model` to `folder`; seconds of the whole command."""
    start = time.monotonic()
    lathe(arguments, "compile", model, "-o", folder, "--mcpu", arguments.mcpu,
          "--no-cache", *options, **variables)
    return time.monotonic() - start


def build_program(arguments, source):
    """A C program of the suites, compiled."""
    program = arguments.cache / source.stem
    compiler = shutil.which("clang-22") or shutil.which("cc")
    subprocess.run([compiler, "-O2", "-pthread", source, "-o", program],
                   check=True)
    return program


class Peaks:
    """What the machine can do at most, by `lathe doctor`."""

    def __init__(self, arguments):
        self.arguments = arguments

    def measure(self, threads):
        """{"f32": GFLOP/s, "bf16": GFLOP/s, "read": GB/s}"""
        peaks = json.loads(lathe(self.arguments, "doctor", "--peaks",
                                 "--threads", threads, "--json"))
        return {name: peaks[name] for name in ("f32", "bf16", "read")}


def larger(one, other):
    """Of two measurements of the peaks."""
    return {name: max(value, other[name]) for name, value in one.items()}


def write_csv(rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v
                             for k, v in row.items()})


def table(head, rows):
    """Lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def load_line(rows):
    """How busy the machine was: the numbers mean little if others worked."""
    loads = [row["load"] for row in rows]
    return (f"Load average of the machine during the run: {min(loads):.1f} to "
            f"{max(loads):.1f}.")
