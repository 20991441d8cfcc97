"""check_levels.py MODEL.onnx DATA.npz SCRATCH

Compiles MODEL once for all CPU levels and, with lathe-run, runs each one that this
machine has:

* the folder has a library per level, one set of weights, and the manifest says so;
* what a level needs is in its library: run with `--mcpu LEVEL`, the others deleted;
* without --mcpu the best level that the machine has is run;
* all outputs are those of the scalar level and of onnxruntime to 1e-5 of the
  largest value;
* a level that the machine or the folder lacks is an error that lists both.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import onnxruntime

ALL = ["avx512bf16", "avx512", "avx2", "scalar"]
ROWS = 3
TOLERANCE = 1e-5

parser = argparse.ArgumentParser()
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("data", type=pathlib.Path)
parser.add_argument("scratch", type=pathlib.Path)
args = parser.parse_args()


def call(*command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}: {result.stderr}")
    return result.stdout


def fails(*command):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert result.returncode == 1, (command, result)
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def file_of(level):
    return "model.so" if level == ALL[0] else f"model.{level}.so"


def run(folder, *more):
    outputs = args.scratch / "out.npz"
    call("lathe-run", folder, "--inputs", given, "--outputs", outputs, "--threads", 2, *more)
    return dict(np.load(outputs))


def folder_without(name, libraries):
    """The compiled folder with the files of `libraries` alone."""
    copy = args.scratch / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=lambda _, names: [
        n for n in names if n.endswith(".so") and n not in libraries])
    return copy


def difference(actual, expected):
    worst = 0.0
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        error = np.abs(actual[name].astype(np.float64) - value).max() / np.abs(value).max()
        worst = max(worst, float(error))
    return worst


args.scratch.mkdir(parents=True, exist_ok=True)
folder, given = args.scratch / "all", args.scratch / "in.npz"
data = {k: v[:ROWS] for k, v in np.load(args.data).items() if k != "y"}
np.savez(given, **data)
session = onnxruntime.InferenceSession(str(args.model), providers=["CPUExecutionProvider"])
names = [value.name for value in session.get_outputs()]
expected = dict(zip(names, session.run(names, data)))

# What compile writes, and what it says of it. Each level is written once, best first.
said = json.loads(call("lathe", "compile", args.model, "-o", folder, "--mcpu", "scalar,all", "--json"))
manifest = json.loads((folder / "model.json").read_text())
assert said["levels"] == ALL, said
assert manifest["libraries"] == [{"file": file_of(l), "level": l} for l in ALL], manifest["libraries"]
files = {f.name: f.stat().st_size for f in folder.iterdir()}
assert set(files) == {*map(file_of, ALL), "model.json", "model.h", "model.weights"}, files
assert said["bytes"] == sum(files.values()), (said, files)

# Without --mcpu there is one library, of the best level that the runtime takes here,
# and the same weights.
machine = json.loads(call("lathe", "doctor", "--json"))["levels"]
assert machine and machine == ALL[-len(machine):], machine
one = args.scratch / "one"
call("lathe", "compile", args.model, "-o", one)
assert json.loads((one / "model.json").read_text())["libraries"] == [{"file": "model.so", "level": machine[0]}]
assert (one / "model.weights").read_bytes() == (folder / "model.weights").read_bytes()

# Every level that runs here.
scalar = run(folder, "--mcpu", "scalar")
results = {}
for level in machine:
    alone = folder_without("alone", [file_of(level)])
    results[level] = run(alone, "--mcpu", level)
    errors = difference(results[level], scalar), difference(results[level], expected)
    print(f"{level}: {errors[0]:.1e} from scalar, {errors[1]:.1e} from onnxruntime")
    assert max(errors) <= TOLERANCE, level
best = folder_without("best", [file_of(machine[0])])
for chosen in (run(best), run(best, "--mcpu", "native")):
    assert all((chosen[n] == results[machine[0]][n]).all() for n in names)
# `lathe` takes the folder's level like lathe-run.
alone = folder_without("alone", [file_of("scalar")])
outputs = args.scratch / "out.npz"
call("lathe", "run", alone, "--inputs", given, "--outputs", outputs, "--mcpu", "scalar", "--threads", 2)
assert all((np.load(outputs)[n] == scalar[n]).all() for n in names)

# What cannot be run is said.
lists = "the folder has {}, this machine runs " + ", ".join(machine) + "\n"
other = "avx2" if machine == ["scalar"] else "scalar"
for tool in (["lathe-run", one], ["lathe", "run", one]):
    message = fails(*tool, "--inputs", given, "--mcpu", other)
    assert f"no code of level '{other}' can be run: " + lists.format(machine[0]) in message, message
manifest["libraries"] = [{"file": "model.so", "level": "avx2048"}]
(alone / "model.json").write_text(json.dumps(manifest))
message = fails("lathe-run", alone, "--inputs", given)
assert "no code can be run: " + lists.format("avx2048") in message, message
for level in ALL[: -len(machine)]:
    message = fails("lathe-run", folder, "--inputs", given, "--mcpu", level)
    assert f"no code of level '{level}' can be run: " + lists.format(", ".join(ALL)) in message, message
    message = fails("lathe", "run", args.model, "--inputs", given, "--mcpu", level)
    assert f"this machine cannot run code of level '{level}', but of {', '.join(machine)}" in message, message
print("levels that ran:", ", ".join(machine))
