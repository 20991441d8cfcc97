"""Checks of run-time FFN skipping: check-ffn-skip.py MODEL DATA FOLDER."""

import json
import shutil
import subprocess
import sys

model, data, folder = sys.argv[1:]


def lathe(*arguments, tool="lathe"):
    command = [tool, *arguments, "--json"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: {result.stderr}")
    return json.loads(result.stdout)


def evaluate(pipeline, batch=4, limit=4):
    return lathe(
        "eval", model, "--data", data, "--via", "decode", "--limit", str(limit),
        "--batch", str(batch), *(["--pipeline", pipeline] if pipeline else []),
    )  # fmt: skip


def check(condition, text):
    if not condition:
        sys.exit(f"ffn-skip: {text}")


dense = evaluate("")
check("skip_ratio" not in dense, "the dense model has gates")
closed = evaluate("lathe-ffn-skip{tau=1.5}")
check(closed["bits"] == dense["bits"], f"tau above 1: {closed} against {dense}")
check(closed["skip_ratio"] == 0, f"tau above 1 skips {closed}")

gated = "lathe-ffn-skip{tau=0.98 k=1}"
skipped = evaluate(gated)
check(0.08 < skipped["skip_ratio"] < 0.25, f"unexpected share {skipped}")
chance = evaluate(f"lathe-ffn-skip{{rule=random ratio={skipped['skip_ratio'] * 256 / 246}}}")
check(
    abs(chance["skip_ratio"] - skipped["skip_ratio"]) < 0.01,
    f"another share: {chance} against {skipped}",
)
check(
    dense["bits"] < skipped["bits"] < chance["bits"],
    f"dense {dense}, skipped {skipped}, by chance {chance}",
)
# Each of these takes other kernels, or rows that run as a smaller batch.
alone = evaluate(gated, batch=1)
check(
    abs(alone["bits"] - skipped["bits"]) < 1e-4
    and abs(alone["skip_ratio"] - skipped["skip_ratio"]) < 1e-3,
    f"batch 1 {alone}, batch 4 {skipped}",
)

shutil.rmtree(folder, ignore_errors=True)
lathe("compile", model, "--pipeline", "lathe-ffn-skip{tau=0.9 k=2 warmup=2}", "-o", folder)
prompt = ["--tokens", "100,101,102,32", "-n", "24"]
inside = lathe("generate", model, *prompt, "--pipeline", "lathe-ffn-skip{tau=0.9 k=2 warmup=2}")
outside = lathe("generate", folder, *prompt)
check(inside["tokens"] == outside["tokens"], f"{inside} against {outside}")
check(inside["skip_ratio"] == outside["skip_ratio"] > 0, f"{inside} against {outside}")
plain = lathe("generate", model, *prompt)
check(outside["bytes_per_token"] < plain["bytes_per_token"], "skipping reads as much")
print("ffn-skip: all as expected")
