"""run-document.py DOCUMENT SCRATCH ROOT: runs the `sh` blocks of a document.

Runs them one after the other in SCRATCH, where examples/ of the repository ROOT
is at hand, and stops at the first command that fails.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

document, scratch, root = map(pathlib.Path, sys.argv[1:])
blocks = re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.M | re.S)
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
(scratch / "examples").symlink_to((root / "examples").resolve())

for block in blocks:
    for command in block.replace("\\\n", " ").strip().splitlines():
        print("$", command, flush=True)
        if subprocess.run(command, shell=True, cwd=scratch, env=os.environ).returncode:
            sys.exit(f"error: {document}: this command failed: {command}")
print(f"{len(blocks)} blocks ran")
