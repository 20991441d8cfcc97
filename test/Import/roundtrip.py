# The exporters' models: import them, and take the modules through text and
# bytecode and back to the same text; twice the same bytes.
#
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s --folder %t --shared %lathe_shared lathe-translate lathe-opt
#
# REQUIRES: shared

import argparse
import glob
import os
import subprocess
import sys


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[:2000]}")


def read(path):
    with open(path, "rb") as file:
        # The tools differ in whether the last line ends twice.
        return file.read().rstrip(b"\n")


def check(translate, opt, folder, model):
    paths = {
        name: os.path.join(folder, name)
        for name in ("a.mlir", "b.mlir", "c.mlirbc", "d.mlir")
    }
    run(translate, "--import-onnx", model, "-o", paths["a.mlir"])
    run(translate, "--import-onnx", model, "-o", paths["b.mlir"])
    if read(paths["a.mlir"]) != read(paths["b.mlir"]):
        return "two imports differ"
    run(opt, paths["a.mlir"], "-o", paths["b.mlir"])
    run(opt, paths["a.mlir"], "-o", paths["c.mlirbc"], "--emit-bytecode")
    if read(paths["c.mlirbc"])[:4] != b"ML\xefR":
        return "no bytecode"
    run(opt, paths["c.mlirbc"], "-o", paths["d.mlir"])
    if read(paths["a.mlir"]) != read(paths["b.mlir"]):
        return "text differs after text"
    if read(paths["a.mlir"]) != read(paths["d.mlir"]):
        return "text differs after bytecode"
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("translate")
    parser.add_argument("opt")
    arguments = parser.parse_args()
    models = sorted(
        glob.glob(os.path.join(arguments.shared, "zoo", "*.onnx"))
        + glob.glob(os.path.join(arguments.shared, "models", "*.onnx"))
    )
    failures = 0
    for model in models:
        problem = check(arguments.translate, arguments.opt, arguments.folder, model)
        if problem:
            failures += 1
            print(f"FAIL {model}: {problem}")
    print(f"{len(models)} models, {failures} failures")
    return 1 if failures or not models else 0


if __name__ == "__main__":
    sys.exit(main())
