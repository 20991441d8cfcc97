"""How near to the machine's limits each kernel comes: see ../README.md. Started
by ../run."""

import json
import os
import pathlib
import re
import statistics
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "cpu")]
import budget  # noqa: E402
import cases as table  # noqa: E402
import common  # noqa: E402
import graphs  # noqa: E402
import inputs  # noqa: E402
import peers  # noqa: E402
from kernel import Kernel  # noqa: E402
from turns import Worker, lathe_setup  # noqa: E402

BAR = 75  # percent of the limit
# Work of one call of a program: short beside a turn, long beside a call.
CALL_US = 10_000
MOST_COPIES, SOME_COPIES, FEW_COPIES = 128, 8, 4
# Of the time of a graph with a head, to tell embeddings from its noise.
LEAST_PART = 0.2
# For the number of copies only.
ROUGH_GFLOPS, ROUGH_GBS = 100, 10


def parse_arguments():
    parser = common.Parser(
        prog="bench/run --suite kernels",
        description="Every kernel of the models of the cpu suite on its own, "
        "with its share of the machine's peak.")
    common.add_options(parser)
    common.add_threads(parser)
    parser.add_argument("--cases", type=common.names, default=None,
                        help="cases of the cpu suite whose kernels are measured")
    parser.add_argument("--ops", type=common.names, default=graphs.BUILDERS,
                        help="kinds of kernels: " + ",".join(graphs.BUILDERS))
    parser.add_argument("--precision", type=common.names, default=["f32"],
                        help="f32,bf16")
    common.add_turns(parser, 3, 0.3)
    parser.add_argument("--megabytes", type=int, default=None, metavar="MB",
                        help="weights or caches that one call of a kernel of one "
                        "row reads (four times the last cache)")
    common.add_cpu(parser)
    arguments = parser.parse_args()
    for precision in arguments.precision:
        if precision not in ("f32", "bf16"):
            parser.error(f"unknown precision {precision}")
    for op in arguments.ops:
        if op not in graphs.BUILDERS:
            parser.error(f"unknown kind of kernel {op}")
    arguments.cases = table.choose(arguments.cases, table.CASES)
    arguments.megabytes = arguments.megabytes or 4 * cache_kb(last=True) // 1000
    common.set_folders(arguments)
    return arguments


def cache_kb(last):
    """Size of the last cache, or of the second level."""
    sizes = {}
    for index in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level = int((index / "level").read_text())
        sizes[level] = int((index / "size").read_text().strip().rstrip("K"))
    return sizes.get(max(sizes) if last else 2, 1024) if sizes else 32768


def count_copies(kernel, megabytes, weight_bytes=4):
    """Copies in one graph: of one row, until they read `megabytes`; of others,
    until a call takes long or some of them have read as much; but few of an
    attention, whose operands come from the caches in a model."""
    size = kernel.bytes(weight_bytes)
    copies = megabytes * 1e6 / size
    if not kernel.is_vector:
        us = max(kernel.flops / ROUGH_GFLOPS, size / ROUGH_GBS) / 1e3
        copies = min(CALL_US / us, max(SOME_COPIES, copies))
        if kernel.op == "attention":
            copies = min(copies, FEW_COPIES)
    return max(1, min(MOST_COPIES, round(copies)))


def find_kernels(arguments, precision):
    """{kernel: {case: how often it runs}} of all cases. Of types other than f32,
    the kernels whose weights they change."""
    ops = [op for op in arguments.ops
           if precision == "f32" or op in ("linear", "embedding")]
    found = {}
    for case in arguments.cases:
        model = inputs.model_of(case, arguments)
        data = table.make_inputs(case, peers.onnx_inputs(model))
        dims = [f"{name}={size}"
                for name, size in peers.named_dims(model, data).items()
                if re.fullmatch(r"\w+", name)]
        command = ["inspect", model, "--kernels", "--json", "--precision", precision]
        if dims:
            command += ["--dim", ",".join(dims)]
        for entry in json.loads(common.lathe(arguments, *command))["kernels"]:
            if entry["entry"] != case.entry or entry["op"] not in ops:
                continue
            runs = found.setdefault(Kernel.from_json(entry), {})
            runs[case.name] = runs.get(case.name, 0) + entry["count"]
    return found


class Program:
    """A graph, compiled, and one worker per number of threads."""

    def __init__(self, arguments, precision, built, copies):
        self.arguments, self.copies = arguments, copies
        self.precision = precision
        self.folder = tempfile.TemporaryDirectory(dir=arguments.cache)
        root = pathlib.Path(self.folder.name)
        import onnx
        model, data, outputs = built
        self.model = root / "kernel.onnx"
        onnx.save(model, self.model)
        np.savez(root / "data.npz", **data)
        common.compile_model(arguments, self.model, root / "compiled",
                             "--precision", precision)
        self.setup = lathe_setup(arguments, root / "compiled", root / "data.npz",
                                 precision)
        self.case = table.Case("kernel", "", outputs[0])

    def cuts(self):
        passes = ["--lathe-fuse-siblings"]
        if self.precision == "bf16":
            passes.append("--lathe-convert-precision=to=bf16")
        plan = common.lathe(
            self.arguments, self.model, *passes,
            f"--lathe-print-kernel-plan=target={self.arguments.mcpu}",
            "-o", os.devnull, program="lathe-opt")
        line = next((x for x in plan.splitlines() if ": tile " in x), None)
        return budget.Cuts.parse(line) if line else None

    def time(self):
        """Microseconds of a copy by number of threads: (median, least)."""
        arguments = self.arguments
        workers = {t: Worker("lathe", self.setup, self.case, t)
                   for t in arguments.threads}
        for _ in range(arguments.rounds):
            for worker in workers.values():
                worker.turn(arguments.seconds)
        for worker in workers.values():
            worker.stop()
        return {t: (statistics.median(w.wall) * 1e3 / self.copies,
                    min(w.wall) * 1e3 / self.copies)
                for t, w in workers.items()}

    def close(self):
        self.folder.cleanup()


class Suite:
    def __init__(self, arguments):
        self.arguments = arguments
        self.rows = []
        self.peaks = common.Peaks(arguments)
        self.latest = None  # peaks behind one kernel are those before the next

    def measure_peaks(self):
        return {t: self.peaks.measure(t) for t in self.arguments.threads}

    def time(self, built, copies, precision="f32"):
        program = Program(self.arguments, precision, built, copies)
        try:
            return program.time(), program.cuts()
        finally:
            program.close()

    def measure_costs(self):
        """By number of threads: microseconds of a launch, nanoseconds of an
        exponential."""
        small = Kernel("linear", sizes=(("bias", 0), ("gated", 0), ("inputs", 16),
                                        ("outputs", 16), ("rows", 1)))
        launch, _ = self.time(graphs.build(small, 64), 64)
        elements, steps = 1 << 18, 16
        exp, _ = self.time(graphs.build_exponentials(elements, steps), 1)
        return {t: (launch[t][1], exp[t][1] * 1e3 / elements / steps)
                for t in self.arguments.threads}

    def time_without(self, kernel, precision):
        """What the graph of a tied table takes without the copies, by number of
        threads: (median, least), else zeros."""
        if kernel.op == "embedding" and kernel.tied:
            return self.time(graphs.build(kernel, 0), 1, precision)[0]
        return {t: (0, 0) for t in self.arguments.threads}

    def measure(self, kernel, cases, precision, costs):
        weight_bytes = 2 if precision == "bf16" else 4
        copies = count_copies(kernel, self.arguments.megabytes, weight_bytes)
        try:
            built = graphs.build(kernel, copies)
        except ValueError as error:
            common.note(f"left out: {error}")
            return
        before = self.latest or self.measure_peaks()
        times, cuts = self.time(built, copies, precision)
        without = self.time_without(kernel, precision)
        after = self.latest = self.measure_peaks()
        for threads, both in times.items():
            median, least = (time - other / copies
                             for time, other in zip(both, without[threads]))
            if min(median, least) * copies < LEAST_PART * without[threads][1]:
                common.note(f"left out: {kernel.name}: too short beside its head")
                continue
            peaks = common.larger(before[threads], after[threads])
            fma = peaks["f32"]
            if precision == "bf16" and peaks["bf16"]:
                fma = peaks["bf16"]
            machine = budget.Machine(threads, fma, peaks["read"], *costs[threads],
                                     cache_kb(last=False))
            self.record(kernel, cases, precision, copies, median, least, machine,
                        weight_bytes, cuts)

    def record(self, kernel, cases, precision, copies, median, least, machine,
               weight_bytes, cuts):
        share = 100 * budget.limit_us(kernel, machine, weight_bytes) / median
        set_kb = copies * kernel.bytes(weight_bytes) / 1e3
        self.rows.append({
            "kernel": kernel.name, "precision": precision,
            "threads": machine.threads,
            "cases": " ".join(f"{n}*{case}" for case, n in cases.items()),
            "flops": kernel.flops, "bytes": kernel.bytes(weight_bytes),
            "median_us": median, "min_us": least,
            "gflops": kernel.flops / median / 1e3,
            "gbs": kernel.bytes(weight_bytes) / median / 1e3,
            "limit": kernel.limit, "percent": share,
            "percent_of_min": share * median / least,
            "why": "" if share >= BAR else budget.why(
                kernel, median, machine, weight_bytes, cuts, set_kb),
            "copies": copies,
            "set_mb": set_kb / 1e3,
            "fma_peak": machine.fma, "read_gbs": machine.read,
            "launch_us": machine.launch_us, "exp_ns": machine.exp_ns,
            "load": os.getloadavg()[0]})
        print(f"T{machine.threads} {kernel.name}: {median:.2f} µs, {share:.0f} % "
              f"of {kernel.limit}", flush=True)

    def write(self):
        common.write_csv(self.rows, self.arguments.output / "kernels.csv")
        page = markdown(self.rows, common.describe_machine())
        (self.arguments.output / "kernels.md").write_text(page)

    def run(self):
        costs = self.measure_costs()
        for precision in self.arguments.precision:
            found = find_kernels(self.arguments, precision)
            for kernel, cases in sorted(found.items(), key=order):
                self.measure(kernel, cases, precision, costs)
                if self.rows:
                    self.write()
        if not self.rows:
            sys.exit("error: these cases have no kernel of these kinds")
        print(f"{self.arguments.output}/kernels.csv, kernels.md")


def order(item):
    """Kind by kind, the heaviest first."""
    kernel, _ = item
    return list(graphs.BUILDERS).index(kernel.op), -kernel.flops, -kernel.bytes()


def markdown(rows, machine):
    head = ["kernel", "type", "T", "runs in", "µs", "GFLOP/s", "GB/s", "of MB",
            "limit", "% of it", "% at best", "why"]
    lines = [[row["kernel"], row["precision"], str(row["threads"]), row["cases"],
              f"{row['median_us']:.2f}",
              f"{row['gflops']:.1f}" if row["flops"] else "–",
              f"{row['gbs']:.1f}", f"{row['set_mb']:.1f}", row["limit"], f"{row['percent']:.0f}",
              f"{row['percent_of_min']:.0f}", row["why"]] for row in rows]
    good = sum(row["percent"] >= BAR for row in rows)
    text = [f"Machine: {machine}. Median of one run; FLOPs and bytes that the "
            "kernel must do and move, and how many MB all copies in one call move: "
            "what is less than the caches hold does not come from memory.", "", *common.table(head, lines), "",
            f"{good} of {len(rows)} reach {BAR} % of their limit.",
            common.load_line(rows)]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    Suite(parse_arguments()).run()
