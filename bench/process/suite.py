"""What a process that uses compiled folders costs: see ../README.md. Started by
../run."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "cpu")]
import cases as table  # noqa: E402
import common  # noqa: E402
import inputs  # noqa: E402
import peers  # noqa: E402
from turns import Worker, lathe_setup  # noqa: E402

PARTS = ["start", "threads", "pair", "compile"]
# Runs of one process: short ones, besides a case of the cpu suite.
CASES = table.CASES + [
    table.Case("codellama-b1s64", "code-llama", "logits", tokens=64, logits="all",
               vocabulary=256),
    table.Case("smol-1", "smollm2-135m", "logits", tokens=1, logits="all"),
    table.Case("smol-8", "smollm2-135m", "logits", tokens=8, logits="all"),
]
DEFAULT_CASES = {
    "start": ["minilm-b1s128", "glyphvit-b1", "codellama-b1s64", "smol-1", "smol-8"],
    "threads": ["bert-b1s128"],
    "pair": ["minilm-b1s128", "bert-b1s128"],
    "compile": ["minilm-b1s128", "glyphvit-b1", "bert-b1s128", "vitb-b1",
                "smol-prefill128"],
}
# Milliseconds of the whole process.
START_BARS = {"minilm-b1s128": 50}
RSS_BAR = 30          # MB beside weights and arena
THREADS_BAR = 1.8     # times as fast on two threads
PAIR_BAR = 0.9        # of half of what one process does on two threads
COMPILE_BAR = 0.25    # of IREE's time


def parse_arguments():
    parser = common.Parser(
        prog="bench/run --suite process",
        description="Start, memory, threads and compilation of a process.")
    common.add_options(parser)
    parser.add_argument("--parts", type=common.names, default=PARTS,
                        help=",".join(PARTS))
    parser.add_argument("--cases", type=common.names, default=None,
                        help="cases of all parts; each part has its own otherwise")
    parser.add_argument("--starts", type=int, default=20,
                        help="processes per case of the part start (20)")
    common.add_turns(parser, 5, 2)
    common.add_cpu(parser)
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part}")
    chosen = table.choose(arguments.cases, CASES)
    arguments.cases = {
        part: [case for case in chosen if arguments.cases or case.name in own]
        for part, own in DEFAULT_CASES.items()}
    common.set_folders(arguments)
    return arguments


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []
        self.folders = {}
        self.spawn = common.build_program(arguments, HERE / "spawn.c")

    def folder(self, model):
        if model not in self.folders:
            folder = self.arguments.cache / f"{model.stem}-f32"
            common.compile_model(self.arguments, model, folder)
            self.folders[model] = folder
        return self.folders[model]

    def record(self, part, case, measure, value, unit, bar=None, most=True):
        """One number; `bar` is the most or the least that is wished for."""
        meets = ""
        if bar is not None:
            meets = "yes" if (value <= bar if most else value >= bar) else "no"
        self.rows.append({
            "part": part, "case": case, "measure": measure, "value": float(value),
            "unit": unit, "bar": "" if bar is None else bar,
            "wanted": "" if bar is None else "at most" if most else "at least",
            "meets": meets, "load": os.getloadavg()[0]})
        print(line_of(self.rows[-1]), flush=True)

    # Start and memory.

    def run_start(self, case):
        arguments = self.arguments
        model = common.model_path(case.model, arguments.models)
        folder = self.folder(model)
        data = table.make_inputs(case, peers.onnx_inputs(model))
        file = arguments.cache / f"{case.name}-start.npz"
        np.savez(file, **{k: v for k, v in data.items()
                          if not k.startswith("past")})
        for threads in (1, os.cpu_count()):
            self.start_with(case, folder, file, threads)

    def start_with(self, case, folder, file, threads):
        """Without `--threads` the program takes all processors, which is what has
        to meet the bar."""
        arguments = self.arguments
        command = [folder, "--inputs", file, "--threads", threads, "--outputs",
                   arguments.cache / f"{case.name}-outputs.npz"]
        # The first run fills the page cache, and says what the arena takes.
        said = json.loads(common.lathe(arguments, *command, "--json",
                                       program="lathe-run"))
        out = subprocess.run(
            [self.spawn, str(arguments.starts), arguments.build / "bin/lathe-run",
             *map(str, command)], check=True, capture_output=True, text=True)
        runs = [json.loads(line) for line in out.stdout.splitlines()]
        wall, cpu = ([run[key] for run in runs] for key in ("wall_ms", "cpu_ms"))
        bar = START_BARS.get(case.name) if threads > 1 else None
        on = f"T{threads}"
        self.record("start", case.name, f"{on} wall, median", statistics.median(wall),
                    "ms", bar)
        self.record("start", case.name, f"{on} wall, least", min(wall), "ms", bar)
        self.record("start", case.name, f"{on} CPU, median", statistics.median(cpu), "ms")
        manifest = json.loads((folder / "model.json").read_text())
        weights, arena = manifest["weights"]["bytes"] / 1e6, said["arena_mb"]
        rss = max(run["rss_mb"] for run in runs)
        self.record("start", case.name, f"{on} weights", weights, "MB")
        self.record("start", case.name, f"{on} arena", arena, "MB")
        self.record("start", case.name, f"{on} peak RSS", rss, "MB",
                    weights + arena + RSS_BAR)

    # Threads and processes.

    def workers(self, case, threads):
        """A worker for each of the numbers of threads, all on one folder."""
        model = inputs.model_of(case, self.arguments)
        data = inputs.data_of(case, model, self.arguments.cache)
        setup = lathe_setup(self.arguments, self.folder(model), data)
        return [Worker("lathe", setup, case, count) for count in threads]

    def run_threads(self, case):
        one, two = workers = self.workers(case, [1, 2])
        for _ in range(self.arguments.rounds):
            for worker in workers:
                worker.turn(self.arguments.seconds)
        for worker in workers:
            worker.stop()
        for name, of in (("median", statistics.median), ("least", min)):
            for count, worker in ((1, one), (2, two)):
                self.record("threads", case.name, f"T{count}, {name}",
                            of(worker.wall), "ms")
            self.record("threads", case.name, f"T1 over T2, {name}",
                        of(one.wall) / of(two.wall), "times", THREADS_BAR,
                        most=False)

    def throughput(self, workers):
        """Calls per second of workers that start together."""
        begin = time.monotonic() + 0.05
        for worker in workers:
            worker.tell(f"from {begin} {self.arguments.seconds}")
        answers = [worker.read() for worker in workers]
        return [a["runs"] / a["seconds"] for a in answers]

    def run_pair(self, case):
        first, second, both = workers = self.workers(case, [1, 1, 2])
        turns = [(self.throughput([first, second]), self.throughput([both]))
                 for _ in range(self.arguments.rounds)]
        for worker in workers:
            worker.stop()
        alone = statistics.median(whole for _, (whole,) in turns)
        self.record("pair", case.name, "one process, T2", alone, "calls/s")
        for n, name in enumerate(("first", "second")):
            share = statistics.median(pair[n] for pair, _ in turns)
            self.record("pair", case.name, f"{name} of two, T1", share, "calls/s")
            self.record("pair", case.name, f"{name} of two, of half of T2",
                        share / (alone / 2), "times", PAIR_BAR, most=False)

    # Compilation.

    def compile_lathe(self, model):
        """With nothing in any cache."""
        arguments = self.arguments
        with tempfile.TemporaryDirectory(dir=arguments.cache) as fresh:
            return common.compile_model(arguments, model, f"{fresh}/folder",
                                        LATHE_CACHE_DIR=f"{fresh}/cache")

    def run_compile(self, case):
        model = inputs.model_of(case, self.arguments)
        # The slower of two, one on each side of the peer's.
        seconds = self.compile_lathe(model)
        peer = self.compile_peer(case, model)
        seconds = max(seconds, self.compile_lathe(model))
        self.record("compile", case.name, "Lathe", seconds, "s")
        if peer is None:
            return
        self.record("compile", case.name, "IREE", peer, "s")
        self.record("compile", case.name, "Lathe, of IREE", seconds / peer, "times",
                    COMPILE_BAR)

    def compile_peer(self, case, model):
        """Seconds of IREE, as the cpu suite compiles it; None if it cannot."""
        data = table.make_inputs(case, peers.onnx_inputs(model))
        with tempfile.TemporaryDirectory(dir=self.arguments.cache) as fresh:
            try:
                return peers.compile_iree(str(model), data,
                                          pathlib.Path(fresh) / "peer.vmfb")
            except subprocess.CalledProcessError as error:
                lines = error.stderr.decode().strip().splitlines() or ["failed"]
                common.note(f"{case.name}, IREE: left out: {lines[0]}")
            except Exception as error:
                common.note(f"{case.name}, IREE: left out: {error}")
        return None

    def write(self):
        common.write_csv(self.rows, self.arguments.output / "process.csv")
        page = markdown(self.rows, common.describe_machine())
        (self.arguments.output / "process.md").write_text(page)

    def run(self):
        for part in self.arguments.parts:
            for case in self.arguments.cases[part]:
                getattr(self, f"run_{part}")(case)
                self.write()
        print(f"{self.arguments.output}/process.csv, process.md")


def number(value):
    return f"{value:.1f}" if value >= 100 else f"{value:.3g}"


def line_of(row):
    text = f"{row['part']} {row['case']}: {row['measure']} {number(row['value'])} "
    text += row["unit"]
    if row["meets"]:
        text += f" (wanted {row['wanted']} {number(row['bar'])}: {row['meets']})"
    return text


HEADINGS = {
    "start": "Start: a process of lathe-run, from exec to exit, 1 thread",
    "threads": "Two threads against one, in turns",
    "pair": "Two processes at once against one with two threads",
    "compile": "Compilation with nothing cached, all cores",
}


def markdown(rows, machine):
    text = [f"Machine: {machine}.", ""]
    for part, heading in HEADINGS.items():
        own = [row for row in rows if row["part"] == part]
        if not own:
            continue
        lines = [[row["case"], row["measure"], f"{number(row['value'])} {row['unit']}",
                  f"{row['wanted']} {number(row['bar'])}" if row["meets"] else "",
                  row["meets"]] for row in own]
        text += [f"## {heading}", "", *common.table(
            ["case", "measured", "value", "wanted", "met"], lines), ""]
    return "\n".join([*text, common.load_line(rows)]) + "\n"


if __name__ == "__main__":
    Suite(parse_arguments()).run()
