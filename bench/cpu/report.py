"""Results as CSV, as a Markdown table, and as a picture."""

import statistics

import cases
import common


# Billions of floating-point operations of one call, without softmax and norms.
GFLOPS = {"minilm-b1s16": 0.344, "minilm-b1s128": 2.87, "minilm-b8s128": 22.96,
          "bert-b1s128": 22.3, "bert-b1s512": 96.6, "vitb-b1": 35.1,
          "smol-prefill128": 35.2, "smol-prefill512": 148,
          "smol-prefill128-last": 27.9, "smol-prefill512-last": 119}
# MB that one decoded token reads, of weights in f32, and of the cache.
DECODE_MB = {"smol-decode128": (538, 6), "smol-decode512": (538, 24)}


def groups(rows):
    result = {}
    for row in rows:
        key = row["case"], row["precision"], row["threads"]
        result.setdefault(key, {})[row["peer"]] = row
    return result


def best_peer(peers, column):
    others = [r for name, r in peers.items() if name != "lathe" and r[column]]
    return min(others, key=lambda r: r[column]) if others else None


def share_of_limit(case, precision, row):
    """Percent of the FMA peak, or of the read bandwidth for decoding, that the
    fastest call reached."""
    if case in DECODE_MB:
        weights, cache = DECODE_MB[case]
        read = weights / (1 if precision == "f32" else 2) + cache
        return 100 * read / row["min_ms"] / row["read_gbs"], "read"
    peak = row["f32_peak" if precision == "f32" else "bf16_peak"]
    if case not in GFLOPS or not peak:
        return None, ""
    return 100 * GFLOPS[case] * 1e3 / row["min_ms"] / peak, "FMA"


def summaries(rows):
    """Of all encoders, and of the language model's kinds of work: the geometric mean
    and the least of best peer ÷ Lathe, of medians."""
    ratios = {}
    for (name, precision, threads), peers in groups(rows).items():
        lathe, best = peers.get("lathe"), best_peer(peers, "median_ms")
        if lathe and best:
            key = cases.kind_of(name), precision, threads
            ratios.setdefault(key, []).append(best["median_ms"] / lathe["median_ms"])
    return [f"{kind}, {precision}, T{threads}: geometric mean "
            f"{statistics.geometric_mean(values):.2f}, least {min(values):.2f}, of "
            f"{len(values)}" for (kind, precision, threads), values in ratios.items()]


def write_markdown(rows, machine, path):
    names = [p for p in ("lathe", "ort", "ov", "iree", "llama")
             if any(r["peer"] == p for r in rows)]
    head = ["case", "type", "T", *names, "best peer ÷ Lathe", "of minima", "of CPU time",
            "Lathe's share of the limit", "f32 / bf16 peak, read"]
    lines = []
    for (case, precision, threads), peers in groups(rows).items():
        cells = [case, precision, str(threads)]
        cells += [f"{peers[n]['median_ms']:.2f}" if n in peers else "–"
                  for n in names]
        some = next(iter(peers.values()))
        lathe = peers.get("lathe")
        for column in ("median_ms", "min_ms", "cpu_ms"):
            best = best_peer(peers, column)
            cells.append(f"{best[column] / lathe[column]:.2f} ({best['peer']})"
                         if lathe and best else "–")
        share, kind = share_of_limit(case, precision, lathe) if lathe else (None, "")
        cells.append(f"{share:.0f} % {kind}" if share else "–")
        cells.append(f"{some['f32_peak']:.0f} / {some['bf16_peak']:.0f} GFLOP/s, "
                     f"{some['read_gbs']:.0f} GB/s")
        lines.append(cells)
    versions = {r["peer"]: r["version"] for r in rows if r["peer"] != "lathe"}
    page = [f"Machine: {machine}. Median ms of one call.", "",
            *common.table(head, lines), "", "Best peer ÷ Lathe, of medians:", "",
            *(f"- {line}" for line in summaries(rows)), "",
            "Versions: " + ", ".join(f"{k} {v}" for k, v in versions.items())
            + ".", common.load_line(rows)]
    path.write_text("\n".join(page) + "\n")


def write_picture(rows, machine, path):
    try:
        import matplotlib
    except ImportError:
        common.note("no picture: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plot
    bars = []
    for (case, precision, threads), peers in groups(rows).items():
        for name, row in peers.items():
            if name != "lathe" and "lathe" in peers:
                ratio = row["median_ms"] / peers["lathe"]["median_ms"]
                bars.append((f"{case} {precision} T{threads}", name, ratio))
    if not bars:
        return
    labels = list(dict.fromkeys(b[0] for b in bars))
    names = list(dict.fromkeys(b[1] for b in bars))
    figure, axes = plot.subplots(figsize=(9, 1.5 + 0.45 * len(labels)))
    height = 0.8 / len(names)
    for n, name in enumerate(names):
        own = [(labels.index(label) + n * height, ratio)
               for label, peer, ratio in bars if peer == name]
        axes.barh([y for y, _ in own], [r for _, r in own], height, label=name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.set_xlabel("time of the peer ÷ time of Lathe (medians)")
    axes.set_title(machine, fontsize=8)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plot.close(figure)


def write(rows, machine, folder):
    if not rows:
        return
    common.write_csv(rows, folder / "cpu.csv")
    write_markdown(rows, machine, folder / "cpu.md")
    write_picture(rows, machine, folder / "cpu.png")
