"""The report of the cpu suite on a made table: ratios, shares, what is missing.

RUN: %python %s %lathe_src_root/bench %t
"""

import csv
import io
import pathlib
import sys

bench, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path[:0] = [str(bench), str(bench / "cpu")]
import report  # noqa: E402

TABLE = """\
case,threads,precision,peer,version,median_ms,min_ms,cpu_ms,f32_peak,bf16_peak,read_gbs,load
minilm-b1s128,1,f32,lathe,this build,40,28.7,30,200,0,10,0.5
minilm-b1s128,1,f32,ort,1.2,60,57.4,57,200,0,10,0.5
minilm-b1s128,1,f32,ov,3.4,50,57.5,60,200,0,10,0.75
smol-decode128,2,f32,lathe,this build,100,68,60,200,0,10,1.5
smol-decode128,2,f32,ort,1.2,90,80,,200,0,10,1.5
vitb-b1,1,bf16,ov,3.4,50,40,40,200,400,10,0.5
"""


def read(text):
    def value(name, cell):
        if name in ("case", "precision", "peer", "version"):
            return cell
        return float(cell) if cell else None

    rows = [{k: value(k, v) for k, v in row.items()}
            for row in csv.DictReader(io.StringIO(text))]
    for row in rows:
        row["threads"] = int(row["threads"])
    return rows


report.write(read(TABLE), "a machine", folder)
lines = (folder / "cpu.md").read_text().splitlines()
cells = [[c.strip() for c in line.strip("|").split("|")]
         for line in lines if line.startswith("|")]
head, rule, *rows = cells
assert lines[0] == "Machine: a machine. Median ms of one call.", lines[0]
assert head[:6] == ["case", "type", "T", "lathe", "ort", "ov"], head
assert set(rule) == {"---"}
# 2.87 GFLOP in 28.7 ms are 100 of 200 GFLOP/s. Each ratio has its own best peer.
assert rows[0] == ["minilm-b1s128", "f32", "1", "40.00", "60.00", "50.00",
                   "1.25 (ov)", "2.00 (ort)", "1.90 (ort)", "50 % FMA",
                   "200 / 0 GFLOP/s, 10 GB/s"], rows[0]
# 544 MB in 68 ms are 8 of 10 GB/s; a peer without CPU time has no ratio of it.
assert rows[1] == ["smol-decode128", "f32", "2", "100.00", "90.00", "–",
                   "0.90 (ort)", "1.18 (ort)", "–", "80 % read",
                   "200 / 0 GFLOP/s, 10 GB/s"], rows[1]
assert rows[2][3:10] == ["–", "–", "50.00", "–", "–", "–", "–"], rows[2]
assert "- encoders, f32, T1: geometric mean 1.25, least 1.25, of 1" in lines
assert "- decode, f32, T2: geometric mean 0.90, least 0.90, of 1" in lines
assert lines[-2] == "Versions: ort 1.2, ov 3.4."
assert lines[-1].endswith("during the run: 0.5 to 1.5.")
# What was read is what is written.
written = read((folder / "cpu.csv").read_text())
assert written == read(TABLE)
