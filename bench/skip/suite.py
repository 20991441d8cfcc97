"""Time that skipping really saves: see ../README.md. Started by ../run."""

import json
import os
import pathlib
import statistics
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "cpu")]
import cases as table  # noqa: E402
import common  # noqa: E402
from turns import Worker, lathe_setup  # noqa: E402

# By model: variants by name, each a pipeline. Which sub-layers are cut matters to
# the loss; to the time it matters how many of a kind. The cuts of code-llama are
# FinerCut's first six; those of SmolLM2 a quarter of all, drawn by chance. `again`
# is the model itself once more: what it saves is the error of the measurement.
MODELS = {
    "code-llama": {
        "dense": "",
        "again": "",
        "cut": "lathe-cut-sublayers{sites=blocks.5.attn,blocks.1.ffn,blocks.1.attn,"
               "blocks.4.ffn,blocks.7.attn,blocks.8.ffn}",
        "ffn-skip": "lathe-ffn-skip{tau=0.95 k=1}",
    },
    "smollm2-135m": {
        "dense": "",
        "again": "",
        "cut": "lathe-random-cut{cut=15 seed=1}",
        "ffn-skip": "lathe-ffn-skip{rule=random ratio=0.25 k=1}",
    },
}
PREFILL = 256   # tokens
PROMPT = 16     # tokens before those that are decoded
NEW = 32        # tokens decoded


def parse_arguments():
    parser = common.Parser(prog="bench/run --suite skip",
                           description="What skipping saves.")
    common.add_options(parser)
    common.add_threads(parser)
    parser.add_argument("--cases", type=common.names, default=list(MODELS),
                        help=",".join(MODELS))
    common.add_turns(parser, 25, 0.2)
    common.add_cpu(parser)
    arguments = parser.parse_args()
    for name in arguments.cases:
        if name not in MODELS:
            parser.error(f"unknown model {name}; there are {', '.join(MODELS)}")
    common.set_folders(arguments)
    return arguments


def tokens_of(count):
    return np.arange(count, dtype=np.int64)[None] * 7 % 200 + 1


class Timer:
    """A worker and the milliseconds of a call, by turn."""

    def __init__(self, worker):
        self.worker = worker
        self.turns = []
        self.runs = 1

    def turn(self, seconds):
        if self.worker.wall:
            self.runs = max(1, round(seconds * 1e3 / min(self.worker.wall)))
        self.worker.wall = self.worker.ask(f"run {self.runs}")["wall"]
        self.turns.append(statistics.median(self.worker.wall))


class Variant:
    """One compiled program: its work, and the time of a prefill and of a step."""

    def __init__(self, suite, model, name, pipeline, threads):
        self.name, self.suite = name, suite
        arguments = suite.arguments
        self.folder = arguments.cache / f"skip-{model.stem}-{name}"
        common.compile_model(arguments, model, self.folder,
                             *(["--pipeline", pipeline] if pipeline else []))
        self.prefill = self.timer("lathe", model, threads, PREFILL, PREFILL)
        self.first = self.timer("lathe-generate", model, threads, PROMPT, 1)
        self.all = self.timer("lathe-generate", model, threads, PROMPT, 1 + NEW)

    def timer(self, peer, model, threads, given, tokens):
        case = table.Case(f"skip-{model.stem}-{self.name}-{peer}-{tokens}", model.stem,
                          "logits", tokens=tokens, logits="last")
        data = self.suite.arguments.cache / f"{case.name}.npz"
        np.savez(data, input_ids=tokens_of(given))
        setup = lathe_setup(self.suite.arguments, self.folder, data)
        return Timer(Worker(peer, setup, case, threads))

    def timers(self):
        return self.prefill, self.first, self.all

    def count(self, threads):
        """GFLOP of the prefill, bytes of a step, share of FFNs that it skips."""
        call = lambda *c: json.loads(common.lathe(  # noqa: E731
            self.suite.arguments, *c, "--threads", threads, "--json"))
        bench = call("bench", self.folder, "--entry", "prefill", "--shape",
                     f"input_ids=1x{PREFILL}", "--iters", 1)
        text = ",".join(map(str, tokens_of(PROMPT)[0]))
        steps = call("generate", self.folder, "--tokens", text, "-n", 1 + NEW)
        return {"gflop": bench["gflops"] * bench["median_ms"] / 1e3,
                "bytes": steps["bytes_per_token"], "skipped": steps["skip_ratio"]}

    def times(self):
        """Milliseconds by turn."""
        return {"prefill": self.prefill.turns,
                "decode": [(whole - first) / NEW for whole, first
                           in zip(self.all.turns, self.first.turns)]}


def saved(times, dense):
    """Share of the time that is saved: quartiles of the turns, each compared with
    dense's of the same turn."""
    shares = [1 - one / other for one, other in zip(times, dense)]
    return statistics.quantiles(shares, n=4) if len(shares) > 1 else shares * 3


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []

    def measure(self, name, threads):
        model = common.model_path(name, self.arguments.models)
        variants = [Variant(self, model, v, p, threads)
                    for v, p in MODELS[name].items()]
        work = [variant.count(threads) for variant in variants]
        # One turn more, by which the timers learn how long a call takes.
        for _ in range(1 + self.arguments.rounds):
            for timers in zip(*(variant.timers() for variant in variants)):
                for timer in timers:
                    timer.turn(self.arguments.seconds)
        for variant, own in zip(variants, work):
            for timer in variant.timers():
                timer.worker.stop()
                del timer.turns[0]
        for variant, own in zip(variants, work):
            self.record(name, threads, variant, variants[0], own, work[0])

    def record(self, name, threads, variant, dense, work, dense_work):
        """What a variant saves of the work and of the time, and their ratio."""
        row = {"model": name, "threads": threads, "variant": variant.name, **work}
        times, reference = variant.times(), dense.times()
        for kind, unit in (("prefill", "gflop"), ("decode", "bytes")):
            less = round(1 - work[unit] / dense_work[unit], 6) + 0.0
            low, middle, high = saved(times[kind], reference[kind])
            row.update({f"{kind}_ms": statistics.median(times[kind]),
                        f"{unit}_saved": less, f"{kind}_saved": middle,
                        f"{kind}_saved_q1": low, f"{kind}_saved_q3": high,
                        f"{kind}_ratio": middle / less if less > 0.005 else None})
        row["load"] = os.getloadavg()[0]
        self.rows.append(row)
        print(line_of(row), flush=True)

    def write(self):
        common.write_csv(self.rows, self.arguments.output / "skip.csv")
        arguments = self.arguments
        lines = [
            f"Machine: {common.describe_machine()}. Prefill of {PREFILL} tokens; {NEW} "
            f"tokens decoded after {PROMPT}. Medians of {arguments.rounds} turns, and "
            "quartiles of what a turn saves.", "", HEAD
            + "\n".join(line_of(row) for row in self.rows), "",
            common.load_line(self.rows)]
        (arguments.output / "skip.md").write_text("\n".join(lines) + "\n")

    def run(self):
        print(HEAD, end="")
        for name in self.arguments.cases:
            for threads in self.arguments.threads:
                self.measure(name, threads)
                self.write()
        print(f"{self.arguments.output}/skip.csv, skip.md")


HEAD = ("| model | T | variant | prefill ms | FLOPs saved | time saved | ratio | "
        "decode ms | bytes saved | time saved | ratio |\n" + "|" + " --- |" * 11 + "\n")


def line_of(row):
    percent = lambda x: f"{100 * x:.1f} %"  # noqa: E731
    cells = [row["model"], str(row["threads"]), row["variant"]]
    for kind, unit in (("prefill", "gflop"), ("decode", "bytes")):
        ratio = row[f"{kind}_ratio"]
        cells += [f"{row[f'{kind}_ms']:.3f}", percent(row[f"{unit}_saved"]),
                  f"{percent(row[f'{kind}_saved'])} "
                  f"({100 * row[f'{kind}_saved_q1']:.1f} to "
                  f"{100 * row[f'{kind}_saved_q3']:.1f})",
                  "–" if ratio is None else f"{ratio:.2f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    Suite(parse_arguments()).run()
