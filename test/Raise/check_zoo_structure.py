# ===- check_zoo_structure.py - what raising makes of exporters' files ------=== #
#
# Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ===----------------------------------------------------------------------=== #
#
# REQUIRES: shared
# RUN: %python %s --bin %lathe_obj_root/bin --shared %lathe_shared --folder %t
"""Takes the model collection to the structure level and counts what is there.

Every attention layer but those with talking heads is a `lathe.attention`, every
residual branch a `lathe.sublayer`, every rotation a `lathe.rope`; no shape
arithmetic, mask or movement is left as a carrier operation.
"""

import argparse
import os
import re
import subprocess
import sys

# file: attentions, rotations, attention and other sub-layers, blocks of @plain.
EXPECTED = {
    "models/code-llama": (12, 24, 12, 12, 12),
    "models/glyph-maformer": (26, 0, 10, 10, 10),
    "models/glyph-vit": (12, 0, 12, 12, 12),
    "zoo/albert.dy18": (2, 0, 2, 2, 2),
    "zoo/bert-eager.dy18": (2, 0, 2, 2, 2),
    "zoo/bert-eager.ts13": (2, 0, 2, 2, 2),
    "zoo/bert.dy18": (2, 0, 2, 2, 2),
    "zoo/bert.dy23": (2, 0, 2, 2, 2),
    "zoo/bert.ts17": (2, 0, 2, 2, 2),
    "zoo/clip-vision.dy18": (2, 0, 2, 2, 2),
    "zoo/clip-vision.dy23": (2, 0, 2, 2, 2),
    "zoo/clip-vision.ts17": (2, 0, 2, 2, 2),
    "zoo/dinov2.ts17": (2, 0, 2, 2, 2),
    "zoo/distilbert.dy18": (2, 0, 2, 2, 2),
    "zoo/distilbert.ts17": (2, 0, 2, 2, 2),
    "zoo/gpt-neox.dy18": (2, 4, 2, 2, 2),
    "zoo/gpt2.dy18": (2, 0, 2, 2, 2),
    "zoo/gpt2.dy23": (2, 0, 2, 2, 2),
    "zoo/gpt2.ts17": (2, 0, 2, 2, 2),
    "zoo/llama-eager.dy18": (2, 4, 2, 2, 2),
    "zoo/llama-eager.ts13": (2, 4, 2, 2, 2),
    "zoo/llama.ts17": (2, 4, 2, 2, 2),
    "zoo/mistral.ts17": (2, 4, 2, 2, 2),
    "zoo/opt.dy18": (2, 0, 2, 2, 2),
    "zoo/phi3.ts17": (2, 4, 2, 2, 2),
    "zoo/qwen2.ts17": (2, 4, 2, 2, 2),
    "zoo/segformer.ts17": (4, 0, 4, 4, 4),
    "zoo/t5-encoder.ts17": (2, 0, 2, 2, 2),
    # Two of four layers mix their heads.
    "zoo/timm-cait.ts17": (2, 0, 4, 4, 4),
    "zoo/timm-convnext.dy23": (0, 0, 0, 5, 5),
    "zoo/timm-convnext.ts17": (0, 0, 0, 5, 5),
    "zoo/timm-deit.dy18": (2, 0, 2, 2, 2),
    "zoo/timm-deit.dy23": (2, 0, 2, 2, 2),
    "zoo/timm-deit.ts17": (2, 0, 2, 2, 2),
    "zoo/timm-swin.dy23": (4, 0, 4, 4, 4),
    "zoo/timm-swin.ts13": (4, 0, 4, 4, 4),
    "zoo/timm-swin.ts17": (4, 0, 4, 4, 4),
}
# Files with a KV cache: number of slots.
CACHES = {"models/code-llama": 12}
# Talking heads: the products and the Softmax of two layers.
UNRAISED = {"zoo/timm-cait.ts17": 2}
# Computing carriers that may stay.
CARRIERS = {
    "Add",
    "Conv",
    "GlobalAveragePool",
    "MatMul",
    "Mul",
    "ReduceMean",
    "Resize",
    "Softmax",
}


def structure(args, name):
    source = os.path.join(args.shared, name + ".onnx")
    imported = os.path.join(args.folder, os.path.basename(name) + ".mlir")
    translate = os.path.join(args.bin, "lathe-translate")
    subprocess.run([translate, "--import-onnx", source, "-o", imported], check=True)
    opt = os.path.join(args.bin, "lathe-opt")
    run = subprocess.run(
        [opt, imported, "--lathe-structure", "--verify-roundtrip"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return run.stdout


def functions(text):
    """Name and text of every function."""
    parts = re.split(r"^  func\.func @(\w+)", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def count(text, pattern):
    return len(re.findall(pattern, text))


def check(name, text):
    entries = functions(text)
    plain = entries["plain"]
    problems = []

    def expect(what, found, wanted):
        if found != wanted:
            problems.append(f"{what}: {found}, expected {wanted}")

    attention, ropes, attn, ffn, blocks = EXPECTED[name]
    expect("attentions", count(plain, r"= lathe\.attention "), attention)
    expect("rotations", count(plain, r"= lathe\.rope "), ropes)
    expect("attention sub-layers", count(plain, r"lathe\.sublayer +attn "), attn)
    expect("other sub-layers", count(plain, r"lathe\.sublayer +(?:ffn|other) "), ffn)
    expect("blocks", count(plain, r"= lathe\.block "), blocks)
    expect("unraised", count(plain, r"lathe\.unraised = "), UNRAISED.get(name, 0))
    for op, kinds in re.findall(r'lathe\.onnx "(\w+)".* : \(.*\) -> (.*)', text):
        if op not in CARRIERS:
            problems.append(f"carrier {op} is left")
        elif re.search(r"x?(i1|i32|i64)>", kinds):
            problems.append(f"carrier {op} computes {kinds}")
    slots = CACHES.get(name, 0)
    for entry in ("prefill", "decode"):
        body = entries.get(entry, "")
        expect(f"appends of {entry}", count(body, r"= lathe\.kv_append "), slots)
        expect(f"cached attentions of {entry}", count(body, r"lathe\.attention .* cache\("), slots)
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--shared", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("names", nargs="*", default=list(EXPECTED))
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    failed = False
    total = 0
    for name in args.names:
        text = structure(args, name)
        problems = check(name, text)
        total += EXPECTED[name][0]
        failed |= bool(problems)
        print(f"{name}: {'; '.join(problems) or 'as expected'}")
    print(f"{len(args.names)} files, {total} attentions")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
