"""demo-table.py MODEL FOLDER DATA OUTPUTS: the demo's last lines.

Accuracy and time per image of the compiled FOLDER beside onnxruntime on MODEL,
both with batches of 32 and all cores; how far the logits in OUTPUTS are from
onnxruntime's.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import onnxruntime

BATCH = 32

model, folder, path, outputs = sys.argv[1:]
data = np.load(path)
images, classes = data["image"], data["y"]

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = len(os.sched_getaffinity(0))
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reference():
    return np.concatenate(
        [
            session.run(None, {"image": images[i : i + BATCH]})[0]
            for i in range(0, len(images), BATCH)
        ]
    )


logits = reference()
start = time.perf_counter()
reference()
seconds = time.perf_counter() - start

command = ["lathe", "eval", folder, "--data", path, "--batch", str(BATCH), "--json"]
result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

rows = [
    ("lathe", result["top1"], result["seconds"] * 1e3 / result["items"]),
    ("onnxruntime", (logits.argmax(-1) == classes).mean() * 100, seconds * 1e3 / len(images)),
]
print(f"{len(images)} images of {len(np.unique(classes))} classes, batches of {BATCH}, "
      f"{options.intra_op_num_threads} threads")
print(f"{'':<12} {'correct':>9} {'ms per image':>13}")
for name, top1, ms in rows:
    print(f"{name:<12} {top1:>7.2f} % {ms:>13.3f}")

own = list(np.load(outputs).values())[0]
difference = np.abs(own - logits).max() / np.abs(logits).max()
print(f"largest difference of the logits: {difference:.1e} of the largest logit")
if difference > 1e-4 or abs(rows[0][1] - rows[1][1]) > 0.1:
    sys.exit("error: the results differ from onnxruntime's")
