"""What is measured: a model, data for it, and the work that one call is."""

import dataclasses
import pathlib
import sys

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass
class Case:
    name: str
    model: str          # a name of examples/real_models.py, or of examples/models
    output: str
    batch: int = 1
    tokens: int = 0     # rows of new tokens; 0 for images
    past: int = 0       # positions in the cache before the call
    logits: str = ""    # language models: "all" or "last" row
    vocabulary: int = 20000  # tokens are below

    @property
    def is_language_model(self):
        return self.logits != ""

    @property
    def entry(self):
        """The entry of a compiled folder that does the work of one call."""
        if not self.is_language_model or (self.logits == "all" and not self.past):
            return "plain"
        return "decode" if self.past else "prefill"

    @property
    def is_example(self):
        return (REPOSITORY / "examples" / "models" / f"{self.model}.onnx").exists()


CASES = [
    Case("minilm-b1s16", "minilm-l6", "last_hidden_state", tokens=16),
    Case("minilm-b1s128", "minilm-l6", "last_hidden_state", tokens=128),
    Case("minilm-b8s128", "minilm-l6", "last_hidden_state", batch=8, tokens=128),
    Case("bert-b1s128", "bert-base", "last_hidden_state", tokens=128),
    Case("bert-b1s512", "bert-base", "last_hidden_state", tokens=512),
    Case("vitb-b1", "vit-base", "logits"),
    Case("glyphvit-b1", "glyph-vit", "logits"),
    Case("glyphvit-b32", "glyph-vit", "logits", batch=32),
    Case("smol-prefill128", "smollm2-135m", "logits", tokens=128, logits="all"),
    Case("smol-prefill128-last", "smollm2-135m", "logits", tokens=128, logits="last"),
    Case("smol-prefill512", "smollm2-135m", "logits", tokens=512, logits="all"),
    Case("smol-prefill512-last", "smollm2-135m", "logits", tokens=512, logits="last"),
    Case("smol-decode128", "smollm2-135m", "logits", tokens=1, past=128, logits="last"),
    Case("smol-decode512", "smollm2-135m", "logits", tokens=1, past=512, logits="last"),
]


def kind_of(name):
    """Encoder, prefill or decode: what a bar is set for."""
    case = next(c for c in CASES if c.name == name)
    if not case.is_language_model:
        return "encoders"
    return "decode" if case.past else "prefill"


# A run of some minutes over the kinds of work.
QUICK = ["minilm-b1s16", "minilm-b1s128", "glyphvit-b1", "smol-decode128"]


def choose(names, table):
    """The cases of `table` whose names begin with one of `names`; all without
    names."""
    for name in names or []:
        if not any(c.name.startswith(name) for c in table):
            sys.exit(f"error: no case has a name of '{name}'; there are "
                     + ", ".join(c.name for c in table))
    return [c for c in table
            if not names or any(c.name.startswith(n) for n in names)]


def past_tokens(case):
    """The tokens whose keys and values are in the cache before the call."""
    random = np.random.default_rng(1)
    return random.integers(case.vocabulary // 20, case.vocabulary,
                           (case.batch, case.past))


def make_inputs(case, inputs):
    """Seeded data for `inputs`: (name, dims with names or numbers) pairs. Past
    tensors are zeros of the right shape."""
    random = np.random.default_rng(0)
    data = {}
    for name, dims in inputs:
        if name in ("image", "pixel_values"):
            shape = (case.batch, *dims[1:])
            data[name] = random.standard_normal(shape).astype(np.float32)
        elif name == "input_ids":
            data[name] = random.integers(case.vocabulary // 20, case.vocabulary,
                                         (case.batch, case.tokens))
        elif name == "attention_mask":
            data[name] = np.ones((case.batch, case.past + case.tokens), np.int64)
        elif name == "token_type_ids":
            data[name] = np.zeros((case.batch, case.tokens), np.int64)
        elif name == "position_ids":
            positions = np.arange(case.past, case.past + case.tokens)
            data[name] = np.tile(positions, (case.batch, 1)).astype(np.int64)
        elif name.startswith("past"):
            shape = (case.batch, dims[1], case.past, dims[3])
            data[name] = np.zeros(shape, np.float32)
        else:
            raise ValueError(f"{case.model}: no data for the input '{name}'")
    return data
