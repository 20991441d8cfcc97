"""One kernel of a model: its sizes, and the work that one run of it is."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An entry of `lathe inspect --kernels --json`, without where it was found.

    `sizes` are pairs of a name and a number of elements; their names are those
    of lathe/Driver/Kernels.h."""
    op: str
    variant: str = ""
    epilogue: tuple = ()
    mask: str = ""
    sizes: tuple = ()

    @staticmethod
    def from_json(entry):
        known = ("entry", "op", "variant", "epilogue", "mask", "count")
        sizes = tuple(sorted((k, v) for k, v in entry.items() if k not in known))
        return Kernel(entry["op"], entry["variant"], tuple(entry["epilogue"]),
                      entry["mask"], sizes)

    def __getattr__(self, name):
        for key, value in object.__getattribute__(self, "sizes"):
            if key == name:
                return value
        raise AttributeError(name)

    @property
    def causal(self):
        """Rows see no later keys."""
        return re.search(r"\bi2\b", self.mask) is not None

    @property
    def padded(self):
        """The mask reads which keys are there."""
        return "read(" in self.mask

    @property
    def name(self):
        if self.op == "linear":
            steps = "".join(f"+{step}" for step in self.epilogue)
            bias = "+bias" if self.bias else ""
            gated = f" gated {self.variant}".rstrip() if self.gated else ""
            return (f"linear {self.rows}x{self.inputs}x{self.columns}{gated}{bias}"
                    f"{steps}")
        if self.op == "attention":
            heads = f"{self.heads}h" if self.heads == self.kv_heads else (
                f"{self.heads}/{self.kv_heads}h")
            flags = ("+causal" if self.causal else "") + (
                "+cache" if self.cached else "")
            return (f"attention {self.batch}x{self.rows}x{self.keys} {heads}"
                    f"x{self.head_dim}{flags}")
        if self.op == "norm":
            return f"norm {self.variant} {self.rows}x{self.width}"
        if self.op == "rope":
            return f"rope {self.rows}x{self.heads}x{self.head_dim}"
        if self.op == "embedding":
            tied = "+tied" if self.tied else ""
            return f"embedding {self.rows}x{self.width} of {self.vocabulary}{tied}"
        if self.op == "softmax":
            return f"softmax {self.rows}x{self.width}"
        return f"{self.op} {self.variant} {self.elements}"

    @property
    def columns(self):
        """Of the weight of a linear: a gated one multiplies sums of two."""
        return self.outputs * (1 + self.gated)

    @property
    def is_vector(self):
        """One row: bound by the bytes of the weight or the cache."""
        if self.op == "linear":
            return self.rows == 1
        return self.op == "attention" and self.rows == 1

    @property
    def limit(self):
        """What bounds it at best: "FMA" or "read"."""
        products = self.op in ("linear", "attention") and not self.is_vector
        return "FMA" if products else "read"

    @property
    def pairs(self):
        """Of an attention: pairs of a row and a key that it sees, over all heads
        of all sequences. New rows are the last of the keys."""
        if not self.causal:
            seen = self.rows * self.keys
        else:
            past = self.keys - self.rows
            seen = self.rows * past + self.rows * (self.rows + 1) // 2
        return self.batch * self.heads * seen

    @property
    def flops(self):
        """Of products: a multiplication and an addition per element and term."""
        if self.op == "linear":
            return 2 * self.rows * self.inputs * self.columns
        if self.op == "attention":
            return 2 * self.pairs * (self.head_dim + self.value_dim)
        return 0

    @property
    def parameters(self):
        """Elements of weights that one run reads."""
        if self.op == "linear":
            return self.inputs * self.columns
        if self.op == "norm":
            return self.width * (1 + self.beta)
        return 0

    def bytes(self, weight_bytes=4):
        """What one run must read and write once: weights in `weight_bytes` per
        element, activations in f32, ids in 8 bytes."""
        if self.op == "linear":
            extras = sum(step in ("add", "mul") for step in self.epilogue)
            values = self.rows * (self.inputs + self.outputs * (1 + extras))
            values += self.bias * self.columns
            return weight_bytes * self.parameters + 4 * values
        if self.op == "attention":
            rows = self.batch * self.rows * self.heads
            keys = self.batch * self.keys * self.kv_heads
            return 4 * (rows + keys) * (self.head_dim + self.value_dim)
        if self.op == "norm":
            return 4 * (2 * self.rows * self.width + self.parameters)
        if self.op == "rope":
            values = 2 * self.rows * self.heads * self.head_dim
            return 4 * (values + self.rows * self.rotary_dim)
        if self.op == "embedding":
            return self.rows * (8 + 4 * self.width + weight_bytes * self.width)
        if self.op == "softmax":
            return 8 * self.rows * self.width
        operands = 2 if self.op == "elementwise" else 1
        return 4 * self.elements * (operands + 1)
