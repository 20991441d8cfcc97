"""Time that skipping really saves: see ../README.md. Started by ../run."""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import common  # noqa: E402

# By model: variants by name, each a pipeline. Which sub-layers are cut matters to
# the loss; to the time it matters how many of a kind. The cuts of code-llama are
# FinerCut's first six; those of SmolLM2 a quarter of all, drawn by chance.
MODELS = {
    "code-llama": {
        "dense": "",
        "cut": "lathe-cut-sublayers{sites=blocks.5.attn,blocks.1.ffn,blocks.1.attn,"
               "blocks.4.ffn,blocks.7.attn,blocks.8.ffn}",
        "ffn-skip": "lathe-ffn-skip{tau=0.98 k=1}",
    },
    "smollm2-135m": {
        "dense": "",
        "cut": "lathe-random-cut{cut=15 seed=1}",
        "ffn-skip": "lathe-ffn-skip{rule=random ratio=0.25 k=1}",
    },
}
PROMPT = 256
NEW = 64


def parse_arguments():
    parser = common.Parser(prog="bench/run --suite skip",
                           description="What skipping saves.")
    common.add_options(parser)
    common.add_threads(parser)
    parser.add_argument("--cases", type=common.names, default=list(MODELS),
                        help=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=5,
                        help="turns of every variant")
    common.add_cpu(parser)
    arguments = parser.parse_args()
    for name in arguments.cases:
        if name not in MODELS:
            parser.error(f"unknown model {name}; there are {', '.join(MODELS)}")
    common.set_folders(arguments)
    return arguments


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []

    def call(self, *command):
        return json.loads(common.lathe(self.arguments, *command, "--json"))

    def folder(self, model, variant, pipeline):
        folder = self.arguments.cache / f"skip-{model.stem}-{variant}"
        common.compile_model(self.arguments, model, folder,
                             *(["--pipeline", pipeline] if pipeline else []))
        return folder

    def turn(self, folder, threads):
        """One prefill and one generation: milliseconds, GFLOP, bytes."""
        prefill = self.call("bench", folder, "--entry", "prefill", "--threads", threads,
                            "--shape", f"input_ids=1x{PROMPT}", "--iters", 20)
        tokens = ",".join(str(7 * i % 200 + 1) for i in range(PROMPT))
        decode = self.call("generate", folder, "--tokens", tokens, "-n", NEW,
                           "--threads", threads)
        return {"prefill_ms": prefill["p10_ms"], "decode_ms": decode["decode_mean_ms"],
                "gflop": prefill["gflops"] * prefill["median_ms"] / 1e3,
                "bytes": decode["bytes_per_token"], "skipped": decode["skip_ratio"]}

    def measure(self, name, threads):
        model = common.model_path(name, self.arguments.models)
        folders = {v: self.folder(model, v, p) for v, p in MODELS[name].items()}
        turns = {variant: [] for variant in folders}
        for _ in range(self.arguments.rounds):
            for variant, folder in folders.items():
                turns[variant].append(self.turn(folder, threads))
        least = {v: {k: min(t[k] for t in ts) for k in ts[0]} for v, ts in turns.items()}
        for variant, row in least.items():
            self.record(name, threads, variant, row, least["dense"])

    def record(self, name, threads, variant, row, dense):
        """What a variant saves of the work and of the time, and their ratio."""
        out = {"model": name, "threads": threads, "variant": variant, **row}
        for time, work in (("prefill_ms", "gflop"), ("decode_ms", "bytes")):
            less_work, less_time = 1 - row[work] / dense[work], 1 - row[time] / dense[time]
            out[f"{work}_saved"], out[f"{time[:-3]}_time_saved"] = less_work, less_time
            out[f"{time[:-3]}_ratio"] = less_time / less_work if less_work > 0.005 else None
        out["load"] = os.getloadavg()[0]
        self.rows.append(out)
        print(line_of(out), flush=True)

    def write(self):
        common.write_csv(self.rows, self.arguments.output / "skip.csv")
        text = (f"Machine: {common.describe_machine()}. Least of {self.arguments.rounds} turns; "
                f"prompt of {PROMPT}, {NEW} new tokens.\n\n" + HEAD
                + "\n".join(line_of(row) for row in self.rows) + "\n")
        (self.arguments.output / "skip.md").write_text(text)

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
    ratio = lambda x: "–" if x is None else f"{x:.2f}"  # noqa: E731
    cells = [row["model"], str(row["threads"]), row["variant"], f"{row['prefill_ms']:.2f}",
             percent(row["gflop_saved"]), percent(row["prefill_time_saved"]),
             ratio(row["prefill_ratio"]), f"{row['decode_ms']:.3f}",
             percent(row["bytes_saved"]), percent(row["decode_time_saved"]),
             ratio(row["decode_ratio"])]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    Suite(parse_arguments()).run()
