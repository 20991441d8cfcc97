"""Reads a disassembly and checks every innermost loop of multiply-adds: all in
the register named, at least COUNT of them in the largest, and nothing stored or
reloaded around them.

usage: llvm-objdump -d --no-show-raw-insn FILE | check-inner-loops.py REGISTER COUNT
"""

import re
import sys

register, count = sys.argv[1], int(sys.argv[2])
code = []
for line in sys.stdin:
    match = re.match(r"\s*([0-9a-f]+):\s+(\S+)\s*(.*)", line)
    if match:
        code.append((int(match[1], 16), match[2], match[3]))
index = {address: i for i, (address, _, _) in enumerate(code)}

loops = []
for i, (address, name, operands) in enumerate(code):
    target = re.match(r"0x([0-9a-f]+)", operands)
    if name.startswith("j") and target and int(target[1], 16) < address:
        first = index.get(int(target[1], 16))
        if first is not None:
            loops.append((first, i))
inner = [l for l in loops
         if not any(l != o and l[0] <= o[0] and o[1] <= l[1] for o in loops)]

largest = 0
for first, last in inner:
    body = code[first:last + 1]
    sums = [o for _, n, o in body if n.startswith("vfmadd")]
    if len(sums) < 8:
        continue
    largest = max(largest, len(sums))
    for operands in sums:
        if not operands.split(",")[-1].strip().startswith("%" + register):
            sys.exit(f"not in {register}: vfmadd {operands}")
    for _, name, operands in body:
        if re.match(r"v?mov[aud]", name) and re.search(r"\((%rsp|%rbp)", operands):
            sys.exit(f"spilled in a loop: {name} {operands}")
        if name.startswith("vmov") and operands.rstrip().endswith(")"):
            sys.exit(f"stored in a loop: {name} {operands}")
if largest < count:
    sys.exit(f"the largest loop has {largest} multiply-adds, not {count}")
print(f"largest inner loop: {largest} multiply-adds")
