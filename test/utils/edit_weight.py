"""Prints a printed module in which a weight has other values.

edit_weight.py MODULE WEIGHT [--encoding f32|concat] [--last-use]

The values are multiplied by 1.001 and written beside the module: in the
encoding that the weight has, as f32, or as two halves side by side (`concat`).
With --last-use only the last operation that reads the weight reads the new one.
"""

import argparse
import pathlib
import re
import sys

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("module", type=pathlib.Path)
parser.add_argument("weight")
parser.add_argument("--encoding", choices=["f32", "concat"])
parser.add_argument("--last-use", action="store_true")
args = parser.parse_args()

text = args.module.read_text()
name = re.escape(args.weight)
weight = re.search(rf'lathe.weight @"?{name}"? {{data = #lathe.blob<"([^"]*)", (\d+), (\d+), "\w+">}} : (.*)', text)
path, offset, size, old_type = weight.groups()
rows, columns, element = re.search(r"<(\d+)x(\d+)xf\d+, #lathe.dense<f(\d+)", old_type).groups()
values = np.fromfile(path, f"<f{int(element) // 8}", offset=int(offset))[: int(rows) * int(columns)]
values = (values.astype("<f4") * np.float32(1.001)).astype("<f4" if args.encoding == "f32" else values.dtype)
new = args.module.with_suffix(".edited")
new.write_bytes(values.tobytes())


def blob(offset, size, digit):
    return f'#lathe.blob<"{new}", {offset}, {size}, "000000000000000{digit}">'


new_type = old_type
parts = f"data = {blob(0, values.nbytes, 1)}"
if args.encoding == "f32":
    new_type = old_type.replace("#lathe.dense<f16", "#lathe.dense<f32")
if args.encoding == "concat":
    half = int(columns) // 2
    new_type = re.sub(r"#lathe.dense<f32.*?>", f"#lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<f32>], [{half}, {half}]>", old_type)
    size = values.nbytes // 2
    parts = f'"0.data" = {blob(0, size, 1)}, "1.data" = {blob(size, size, 2)}'
line = f'lathe.weight @"{args.weight}" {{{parts}}} : {new_type}'
if args.last_use:
    line = line.replace(f'@"{args.weight}"', "@edited")
    text = text.replace(weight.group(0), f"{weight.group(0)}\n{line}")
    first, last = re.split(rf'lathe.use_weight @"?{name}"?(?= :)(?!.*lathe.use_weight @"?{name}"? :)', text, flags=re.S)
    print(f"{first}lathe.use_weight @edited{last}", end="")
    sys.exit()
text = text.replace(weight.group(0), line)
# Its uses have its type, and so have the linears that read it.
text = re.sub(rf'(lathe.use_weight @"?{name}"? : ).*', rf"\g<1>{new_type}", text)
site = rf'#lathe.site<"{name}">'
text = re.sub(rf"^(.*lathe.linear .*{site}.*){re.escape(old_type)}", rf"\1{new_type}", text, flags=re.M)
print(text, end="")
