"""Where the time of a kernel goes: estimates from the numbers of its own row and
of the same run, to say why it stays below its limit."""

import dataclasses
import math
import re

# What is less of the time than this is not worth a word.
LEAST = 0.04


@dataclasses.dataclass
class Machine:
    """Measured in the same run, on the same number of threads."""
    threads: int
    fma: float        # GFLOP/s
    read: float       # GB/s
    launch_us: float  # of a kernel that has next to nothing to do
    exp_ns: float     # of one exponential, all threads together
    l2_kb: float      # of one core


@dataclasses.dataclass
class Cuts:
    """How the compiler cuts a linear: a line of --lathe-print-kernel-plan."""
    tile_rows: int
    unit_rows: int
    panel: int
    panels: int
    grain: int

    @staticmethod
    def parse(line):
        tile = re.search(r"tile (\d+)x\d+", line)
        unit = re.search(r"unit (\d+)x(\d+) of (\d+) panels?, (\d+) at once", line)
        return Cuts(int(tile[1]), *map(int, unit.groups()))


def limit_us(kernel, machine, weight_bytes):
    """The least time that the peak allows."""
    if kernel.limit == "FMA":
        return kernel.flops / machine.fma / 1e3
    return kernel.bytes(weight_bytes) / machine.read / 1e3


def percent(part):
    return f"{100 * part:.0f} %"


def linear_causes(kernel, us, machine, cuts, weight_bytes):
    """(share of the time, text) pairs."""
    causes = []
    limit = limit_us(kernel, machine, weight_bytes)
    if kernel.limit == "FMA":
        weights = kernel.parameters * weight_bytes / 1e3
        share = weights / machine.read / us
        causes.append((share, f"{kernel.rows} rows share one read of "
                       f"{weights:.0f} kB of weights, {percent(share)} of the "
                       f"time if from memory at {machine.read:.1f} GB/s"))
    tail = kernel.rows % cuts.tile_rows
    if kernel.rows > 1 and tail:
        # A tile of fewer rows loads as many weights for less work.
        waste = (cuts.tile_rows - tail) / kernel.rows * limit / us
        causes.append((waste, f"the last {tail} of {kernel.rows} rows fill a tile "
                       f"of {cuts.tile_rows} by {percent(tail / cuts.tile_rows)}"))
    empty = cuts.panels * cuts.panel - kernel.columns
    if empty:
        share = empty / kernel.columns
        causes.append((share * limit / us,
                       f"{empty} of {cuts.panels * cuts.panel} columns are padding"))
    units = -(-kernel.rows // cuts.unit_rows) * cuts.panels
    turns = -(-units // cuts.grain)
    idle = -(-turns // machine.threads) * machine.threads / turns - 1
    if machine.threads > 1 and idle:
        causes.append((idle * limit / us, f"pieces of work for {machine.threads} "
                       f"threads: {turns}"))
    return causes


def attention_causes(kernel, us, machine):
    share = kernel.pairs * machine.exp_ns / 1e3 / us
    return [(share, f"{kernel.pairs} exponentials, {percent(share)} of the time "
             f"at {machine.exp_ns:.2f} ns, beside {kernel.head_dim} + "
             f"{kernel.value_dim} multiply-adds each")]


def memory_causes(set_kb, machine):
    if set_kb > machine.l2_kb:
        return []
    return [(0, f"all copies move {set_kb:.0f} kB, less than the second cache of "
             f"{machine.l2_kb:.0f} kB holds: not bound by memory")]


def why(kernel, us, machine, weight_bytes=4, cuts=None, set_kb=math.inf):
    """What a kernel of `us` microseconds loses against its limit, largest first;
    the last part is what none of these accounts for. `set_kb` is what all copies
    of one call move."""
    causes = []
    launch = machine.launch_us / us
    causes.append((launch, f"launch {machine.launch_us:.2f} of {us:.2f} µs"))
    if kernel.op == "linear" and cuts:
        causes += linear_causes(kernel, us, machine, cuts, weight_bytes)
    elif kernel.op == "attention":
        causes += attention_causes(kernel, us, machine)
    causes = [cause for cause in causes if cause[0] >= LEAST]
    if kernel.limit == "read" and not kernel.is_vector:
        causes += memory_causes(set_kb, machine)
    rest = 1 - limit_us(kernel, machine, weight_bytes) / us
    rest -= sum(share for share, _ in causes)
    causes.sort(key=lambda cause: -cause[0])
    if rest >= LEAST:
        causes.append((rest, f"{percent(rest)} of the time not accounted for"))
    return "; ".join(text for _, text in causes)
