"""The text of docs/ErrorCatalogue.md around the messages of the sources."""

import fnmatch

from error_messages import messages

INTRODUCTION = """# Error catalogue

Every message that the tools print about a model file, a command line, data or a
compiled folder, with what causes it and what to do. `…` stands for what is filled in.

Errors are one block on stderr, and the exit code is 1:

```
error: model.onnx: 2 problems
  node 'add' (Add, opset 17): input 1 'x' is produced by nothing
  initializer 'w': has 12 bytes, 3x2xf32 needs 24
hint: ...
```

At most 20 problems are printed, the others are counted. Problems of one kind that
repeat (one missing operator in a hundred nodes) share a line. What the verifiers of the
dialect say about hand-written IR is in [Dialect.md](Dialect.md), as the numbered
constraints of each operation.
"""

# (title, sources, cause and remedy). The first section whose pattern fits takes a
# message; sources without a section are an error.
SECTIONS = [
    ("The file cannot be read", ["lib/Import/MappedFile.cpp"],
     """The path is not a readable regular file, or external data (weights beside the
model) lie where a model may not reach: its own folder and the folders of
`--external-data-root` only, no links out of them. Move the data beside the model, or
name their folder with `--external-data-root`."""),
    ("The file is not a whole ONNX model", ["lib/Import/WireFormat.cpp", "lib/Import/OnnxModel.cpp"],
     """The bytes are not what ONNX's schema says, or say something impossible. Files that
are cut off are the usual cause (an interrupted download, a Git LFS pointer): compare the
size. Otherwise write the model again with the exporter; `onnx.checker.check_model` often
agrees. A model with two values of one name, or with outputs that nothing computes, was
edited wrongly."""),
    ("Weights and constants", ["lib/Import/TensorReader.cpp", "lib/Import/OnnxImporter.cpp"],
     """The data of an initialiser do not fit its type and shape, or its external file.
Write the model again; for external data, check that model and data files are of one
export."""),
    ("Opsets and functions", ["lib/Import/FunctionInliner.cpp"],
     """Lathe reads the opsets 1 to 28. `onnx.version_converter` writes others. Functions of
the model are inlined, so they must not call themselves."""),
    ("Order of nodes", ["lib/Import/GraphOrder.cpp"],
     """ONNX wants every value to be made once, before it is read. Sort the nodes where
the model is written."""),
    ("Nodes", ["lib/Import/NodeChecker.cpp"],
     """A node is not what its operator wants in this opset: [SupportedOps.md](SupportedOps.md)
lists operands, attributes and opsets of every operator that is read. For an operator that
is missing, export without it (for most there is a decomposition), or add it:
[adding-an-onnx-op.md](adding-an-onnx-op.md)."""),
    ("Operands and attributes of single operators", ["lib/Import/Ops/*"],
     """The node contradicts the specification of its operator, or uses a mode of it that
is not supported; the message says which. Exporters do not write such nodes: look at what
edited the model."""),
    ("Nodes that cannot be compiled", ["lib/Lower/Onnx/*", "lib/Lower/StageLowering.cpp",
                                       "lib/Lower/AttentionOps.cpp", "lib/Lower/TypedOps.cpp"],
     """The model can be read, printed and exported, but not run. Most often a shape
depends on data (the result of NonZero, a Reshape to a computed shape), or something that
must be constant is computed. Constant-fold the model, or export with fixed sizes.
`lathe inspect` lists all such nodes at once, without compiling."""),
    ("Stages", ["lib/Lower/*", "lib/Driver/StageTable.cpp"],
     """Met when IR by hand or by another pass is lowered. A stage is a function of
activations, cache handles and parts with the attribute `lathe.stage_dims`; what it
computes may depend on the dims of its entry only. From an unedited ONNX file this is a
bug: please report it with the model."""),
    ("Loading, recipes, compiling", ["lib/Driver/*"],
     """A recipe is YAML: a map with the key `passes`, a list whose items are names of
passes, or maps of one name to its options. Linking needs Debian's package lld-22."""),
    ("Sizes", ["lib/Runtime/DimSolver.cpp", "lib/Runtime/Defaults.cpp", "lib/Runtime/Runner.cpp",
               "lib/Runtime/Expr.cpp"],
     """Inputs must agree on the named dims. Set dims that no input decides with
`--dim batch=1,seq=128`, by the names in the file, or `--shape input=1x128`."""),
    ("Arrays and data files", ["lib/Runtime/Npz.cpp", "lib/Runtime/Zip.cpp", "lib/Runtime/OnnxTensor.cpp",
                               "lib/Runtime/File.cpp", "lib/Runtime/Tensor.cpp"],
     """Data are `.npz` archives, stored or deflated, with one array per input by name, or
a folder of ONNX test files (`input_0.pb`, ...). Element types that numpy lacks are raw
bits in unsigned integers. `numpy.savez` and `numpy.savez_compressed` write what is
read."""),
    ("Evaluation", ["lib/Runtime/Evaluate.cpp"],
     """Data for `lathe eval` are the inputs plus `y`, int64: a class per item, or the next
token per position."""),
    ("Generation and the KV cache", ["lib/Runtime/Generate.cpp", "lib/Runtime/KvCache.cpp"],
     """Only a model with cache inputs and outputs has the entries `prefill` and `decode`.
A full cache is an error: `--max-context` sets its size."""),
    ("Compiled folders", ["lib/Runtime/Manifest*.cpp", "lib/Runtime/Program.cpp", "lib/Runtime/Weights.cpp"],
     """`model.json`, `model.weights` and `model.so` must be of one compilation, for a CPU
level that this machine has (`lathe doctor` shows it), by a version whose format this
runtime reads. Compile again. [Manifest.md](Manifest.md) has the format."""),
    ("Running", ["lib/Runtime/Session.cpp", "lib/Runtime/Memory.cpp", "lib/Runtime/ThreadPool.cpp"],
     """Inputs and outputs must be bound with the types and shapes that the entry says; data
must keep to what the operators allow (indices inside their axis, divisors that are not
0)."""),
    ("The C interface", ["lib/Runtime/*"],
     """A call of the C API got a null pointer, a struct without its size, or a tensor that
does not fit. `lathe_last_error` returns the message."""),
    ("Command lines", ["tools/*"],
     """`COMMAND --help` shows all options and a working example."""),
]

# Sources whose messages speak to developers of Lathe: they cannot come from a file.
INTERNAL = ["lib/Import/OpRegistry.cpp"]


def section_of(path):
    for index, (_, patterns, _) in enumerate(SECTIONS):
        if any(fnmatch.fnmatch(path, pattern) for pattern in patterns):
            return index
    raise SystemExit(f"error: scripts/error_catalogue.py has no section for {path}")


def page(root):
    lists = [[] for _ in SECTIONS]
    for message, path in messages(root).items():
        if str(path) not in INTERNAL:
            lists[section_of(str(path))].append(message)
    text = INTRODUCTION
    for (title, _, remedy), found in zip(SECTIONS, lists):
        if found:
            text += f"\n## {title}\n\n{remedy}\n\n"
            text += "".join(f"- `{message}`\n" for message in found)
    return text
