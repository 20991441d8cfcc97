"""What the suites share."""

import argparse
import os
import pathlib
import platform
import re
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def names(text):
    """`a,b` of an option as a list."""
    return text.split(",")


def add_options(parser):
    """The options that every suite has."""
    parser.add_argument("--build", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=names, default=["1", "2"])
    parser.add_argument("--models", type=pathlib.Path,
                        help="folder of the built models")
    parser.add_argument("--output", type=pathlib.Path,
                        help="folder for results (build/bench/results)")


def set_folders(arguments):
    """Folders that were not given, and that of what is made on the way."""
    arguments.build = arguments.build.resolve()
    root = arguments.build / "bench"
    arguments.models = arguments.models or root / "models"
    arguments.output = arguments.output or root / "results"
    arguments.cache = root / "cache"


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
