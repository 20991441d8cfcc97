"""real_model.py SHARED FOLDER MODEL...: public models with their trained weights.

Builds what of `minilm-l6` and `smollm2-135m` is not in FOLDER yet with the
collection's builder. Tests that run at once share the folder: the first one
builds, the others wait.
"""

import fcntl
import pathlib
import subprocess
import sys

shared, folder, *models = sys.argv[1:]
folder = pathlib.Path(folder)
folder.mkdir(parents=True, exist_ok=True)
builder = pathlib.Path(shared) / "tools" / "real_models.py"
with open(folder / ".lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    for model in models:
        # The last file that the builder moves to its place, but for tokenizers.
        last = folder / (f"{model}.onnx.data" if model == "smollm2-135m" else f"{model}.onnx")
        if not last.exists():
            subprocess.run([sys.executable, builder, model, folder], check=True)
