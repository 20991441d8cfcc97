"""The side of a suite that talks to worker.py: peers that take turns."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


class Worker:
    """A peer in a process of its own, idle between its turns."""

    def __init__(self, peer, setup, case, threads):
        self.peer, self.wall, self.cpu = peer, [], []
        self.rss_mb = None
        setup = dict(setup, peer=peer, threads=threads,
                     case=dataclasses.asdict(case))
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

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command):
        self.tell(command)
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
        self.errors.close()


def lathe_setup(arguments, folder, data, precision="f32"):
    """What a worker needs to run a compiled folder."""
    return {"folder": str(folder), "data": str(data), "precision": precision,
            "library": str(arguments.build / "lib/liblathe-rt.so"),
            "model": ""}
