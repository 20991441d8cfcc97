# Changes a good manifest in one place each; lathe-run must name the place.
#
# RUN: %python %S/Inputs/toy.py make %t %cc lathe-rt-weights-test
# RUN: %python %s %t lathe-run
# REQUIRES: onnxruntime

import json
import subprocess
import sys

root, tool = sys.argv[1:3]
good = open(f"{root}/model.json").read()


def run(text):
    with open(f"{root}/model.json", "w") as out:
        out.write(text)
    done = subprocess.run([tool, root, "--dim", "seq=2"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.startswith("error: "), done.stderr
    return done.stderr


def expect(message, *path_and_value):
    *path, value = path_and_value
    manifest = json.loads(good)
    place = manifest
    for step in path[:-1]:
        place = place[step]
    if value is DELETE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    error = run(json.dumps(manifest))
    assert error.startswith(f"error: {root}/model.json: ") and message in error, (message, error)


DELETE = object()
P = ("entries", "plain")

expect('lacks "entries"', "entries", DELETE)
expect('"manifest" must be an integer', "manifest", "1")
expect("format version 2, this runtime reads version 1", "manifest", 2)
expect("made for version 9 of the stage interface", "abi", 9)
expect("has no entries", "entries", {})
expect("library '../model.so' is not a plain file name", "libraries", 0, "file", "../model.so")
expect("weights file '/etc/passwd' is not a plain file name", "weights", "file", "/etc/passwd")
expect('weights: "hash" must be 16 hexadecimal digits', "weights", "hash", "xyz")
expect("lie outside the weights file", "parts", 0, "bytes", 1 << 40)
expect("lie outside the weights file", "parts", 0, "offset", (1 << 63) - 64)
expect('parts[0]: "offset" must be an integer from 0', "parts", 0, "offset", -64)
expect('parts[0]: "offset" must be an integer from 0', "parts", 0, "offset", 1 << 63)
expect("offset 72 is not a multiple of 64", "parts", 0, "offset", 72)
twice = json.loads(good)["parts"] * 2
expect("part name 'table' is empty or used twice", "parts", twice)
expect('entries.plain: "dims" must be a list', *P, "dims", "batch")
expect("unknown dim 'seq'", *P, "dims", ["batch", "past"])
expect("dim name 'seq' is empty or used twice", *P, "dims", ["batch", "past", "seq", "seq"])
expect("'roles' names the unknown dim 'time'", *P, "roles", "past", "time")
expect("alias 'seq' is empty or names a dim", *P, "aliases", "seq", 1)
expect("entries.plain.inputs[0]: unknown element type 'float'", *P, "inputs", 0, "dtype", "float")
expect("entries.plain.inputs[0].shape[1]: not an expression", *P, "inputs", 0, "shape", 1, ["-", "seq", 1])
expect("entries.plain.inputs[0].shape[1]: not an expression", *P, "inputs", 0, "shape", 1, 1.5)
expect("wrong number of operands in 'mod(seq)'", *P, "inputs", 0, "shape", 1, ["mod", "seq"])
expect("rank 65 is above 64", *P, "values", 0, "shape", [1] * 65)
expect("entries.plain.stages[1].args[0]: 'val:z' is no tensor of this entry", *P, "stages", 1, "args", 0, "val:z")
expect("stages[1].args[0]: must be a string", *P, "stages", 1, "args", 0, 3)
expect("stages[1].parts[0]: is not the name of a part", *P, "stages", 1, "parts", 0, "nothing")
expect("stage 0 'embed': reads 'y' before any stage has written it", *P, "stages", 0, "args", 0, "val:y")
expect("stage 2 'head': writes the input 'input_ids'", *P, "stages", 2, "outs", 0, "in:input_ids")
expect("output 'logits' is written by no stage", *P, "stages", 2, "outs", 0, "val:x")
expect("'../x' is not the name of a function", *P, "stages", 0, "function", "../x")
expect("function 'nothing' does not exist", *P, "stages", 0, "function", "nothing")
expect("'residual' is not the number of an argument", "entries", "prefill", "stages", 1, "residual", 7)
expect("its residual and its output differ in type or shape", "entries", "prefill", "stages", 1, "residual", 1)
expect("has a residual and needs exactly one output", *P, "stages", 1, "residual", 0)
expect("output 'ids' differs in type or shape from what it copies", *P, "outputs", 3, "copy_of", "in:attention_mask")
expect('"head_dim" must be an integer from 1', "entries", "prefill", "kv", 0, "head_dim", 0)
expect("a layout is the letters b, h, s, d", "entries", "prefill", "kv", 0, "key_layout", "bbsd")
expect("entries 'prefill' and 'decode' have different KV slots", "entries", "prefill", "kv", 0, "heads", 3)
expect("has KV slots but no dims in the roles", "entries", "prefill", "roles", {})
expect('"op" must be', *P, "checks", 0, "op", "<")
expect("entry 'plain': check 'at most 64 positions': unknown dim 'size'", *P, "checks", 0, "left", "size")

# Several problems make one block.
manifest = json.loads(good)
for stage in manifest["entries"]["plain"]["stages"]:
    stage["function"] = "/"
error = run(json.dumps(manifest))
assert "model.json: 3 problems\n  entry 'plain', stage 0 'embed': " in error, error

# Text that is no JSON, cut off, or nested without end.
assert "parse error at line 1, column 2" in run("{")
assert "parse error" in run(good[: len(good) // 2])
assert "nested too deeply" in run("[" * 1000000)
assert "parse error" in run("")
assert "must be an object" in run("[]")
for depth, message in [(100000, "nested too deeply"), (40, "not an expression")]:
    manifest = json.loads(good)
    manifest["entries"]["plain"]["inputs"][0]["shape"][1] = "DEEP"
    deep = '["+", ' * depth + "1" + "]" * depth
    assert message in run(json.dumps(manifest).replace('"DEEP"', deep)), message
