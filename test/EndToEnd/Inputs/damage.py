"""damage.py FOLDER

Damages every file of a stage cache, each in another way: cut, emptied, a bit changed,
another file's content, foreign text.
"""

import pathlib
import shutil
import sys

files = sorted(pathlib.Path(sys.argv[1]).glob("llvmcache-*[0-9a-f]"))
whole = {file: file.read_bytes() for file in files}


def changed(data):
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


contents = [
    lambda file: whole[file][:-1],
    lambda file: whole[file][:20],
    lambda file: b"",
    lambda file: changed(whole[file]),
    lambda file: whole[files[0]],
    lambda file: b"not a stage of Lathe\n" * 40,
]
assert len(files) >= len(contents), files
for number, file in enumerate(files):
    file.write_bytes(contents[number % len(contents)](file))
