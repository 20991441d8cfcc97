"""Runs the cases of a family through Lathe and compares with a reference.

  check_ops.py --family NAME [--only TEXT] [--most N] --work DIR
  check_ops.py --complete REGISTRY.json

The reference is onnxruntime; onnx.reference where onnxruntime lacks the
operator, its version or a type; or a function of the case. Models with 16-bit
floats are compared with the same model in f32, rounded once, unless the case
says otherwise. `--complete` fails if a form of a registered operator has no
case. `known.txt` lists cases that fail, each with the reason; one that passes
must leave it. Environment: LATHE, the program (default: lathe).
"""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path

os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import onnx
import onnxruntime as ort
import opcases
import tables
from onnx import helper
from onnx.reference import ReferenceEvaluator
from opcases import BF16, F16, F32, F64

# Units in the last place of a 16-bit float that a result may differ by.
SIXTEEN_BITS = {np.dtype(F16): 2.0**-9, np.dtype(BF16): 2.0**-6}


def run_onnxruntime(model, feeds):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    # Fusions of its own would be a second source of differences.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def run_reference(case):
    """The wanted outputs, and who says so."""
    if case.reference:
        results = case.reference(*case.arrays(), **case.attributes)
        results = results if isinstance(results, (list, tuple)) else [results]
        return [np.asarray(y) for y in results], "formula"
    kinds = {x.dtype for x in case.arrays() if x is not None}
    widen = case.wide and bool(kinds & set(SIXTEEN_BITS))
    model, feeds = case.model(widen), case.feeds()
    if widen:
        feeds = {name: opcases.widened(x) for name, x in feeds.items()}
    try:
        if any(helper.np_dtype_to_tensor_dtype(x.dtype) in opcases.BITS
               for x in feeds.values()):  # fmt: skip
            raise NotImplementedError("onnxruntime's binding lacks such arrays")
        return run_onnxruntime(model, feeds), "onnxruntime"
    except Exception as problem:  # whatever onnxruntime raises
        if case.domain:
            raise SystemExit(f"{case.name}: no reference: {problem}") from problem
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return ReferenceEvaluator(model).run(None, feeds), "onnx.reference"


def difference(case, got, want):
    """Why `got` is wrong; empty if it is right."""
    if got.shape != want.shape:
        return f"shape {list(got.shape)}, wanted {list(want.shape)}"
    if got.dtype != want.dtype:
        return f"type {got.dtype}, wanted {want.dtype}"
    if want.size == 0:
        return ""
    narrow = helper.np_dtype_to_tensor_dtype(want.dtype) in opcases.BITS
    if want.dtype.kind in "iub" and not narrow:
        bad = got != want
    else:
        rtol = case.rtol
        if rtol is None:
            rtol = SIXTEEN_BITS.get(want.dtype, 1e-12 if want.dtype == F64 else 1e-5)
        a, b = got.astype(F64), want.astype(F64)
        finite = np.abs(b[np.isfinite(b)])
        slack = rtol * np.abs(b) + 0.1 * rtol * (finite.max() if finite.size else 0)
        with np.errstate(invalid="ignore"):
            bad = ~((a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a - b) <= slack))
    if not bad.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return (f"{int(bad.sum())} of {bad.size} elements, first at {list(at)}: "
            f"{got[at]}, wanted {want[at]}")  # fmt: skip


def run_lathe(case, folder):
    """Exit code, messages and outputs (by name, as bits)."""
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "out.npz"
    result.unlink(missing_ok=True)
    onnx.save(case.model(), folder / "model.onnx")
    feeds = {name: opcases.to_bits(x) for name, x in case.feeds().items()}
    np.savez(folder / "in.npz", **feeds)
    command = [os.environ.get("LATHE", "lathe"), "run", str(folder / "model.onnx"),
               "--inputs", str(folder / "in.npz"), "--outputs", str(result),
               "--threads", "1"]  # fmt: skip
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    outputs = {}
    if result.exists():
        with np.load(result) as npz:
            outputs = dict(npz)
    return process.returncode, process.stderr + process.stdout, outputs


def check_refusal(case, code, text, outputs):
    if code != 1:
        return f"exit code {code}, wanted 1"
    if outputs:
        return "outputs were written"
    # Bad data are reported by the stage, all else by the node.
    named = "'it'" in text or "the data lead" in text
    if case.refused not in text or not named:
        return f"the error does not say '{case.refused}': {text.strip()}"
    return ""


def check(case, work):
    """Why the case fails, or an empty text; and the reference's name."""
    code, text, outputs = run_lathe(case, work / case.name)
    if case.refused:
        return check_refusal(case, code, text, outputs), "refusal"
    if code != 0:
        return f"exit code {code}: {text.strip()}", "-"
    wanted, who = run_reference(case)
    types = {
        y.name: helper.tensor_dtype_to_np_dtype(y.type.tensor_type.elem_type)
        for y in case.model().graph.output
    }
    for name, want in zip(case.output_names(), wanted):
        if name not in outputs:
            return f"output {name} is missing", who
        want = np.asarray(want)
        kind = helper.np_dtype_to_tensor_dtype(types[name])
        if kind in opcases.BITS and want.dtype in (np.uint8, np.uint16):
            want = opcases.from_bits(want, types[name])
        if want.dtype != types[name]:
            want = want.astype(types[name])
        problem = difference(case, opcases.from_bits(outputs[name], types[name]), want)
        if problem:
            return f"{name} ({who}): {problem}", who
    return "", who


def families():
    return [module.name for module in pkgutil.iter_modules(tables.__path__)]


def known_failures():
    """Reasons by name of the case."""
    lines = (Path(__file__).parent / "known.txt").read_text().splitlines()
    rows = [line.split(":", 1) for line in lines if line and line[0] != "#"]
    return {name.strip(): reason.strip() for name, reason in rows}


def first_of_each(cases, most):
    """At most `most` cases of an operator's version."""
    counts, chosen = {}, []
    for case in cases:
        key = case.domain, case.op, case.opset
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= most:
            chosen.append(case)
    return chosen


def run_family(family, only, most, work):
    importlib.import_module(f"tables.{family}")
    cases = [c for c in opcases.take_cases() if only in c.name]
    cases = first_of_each(cases, most) if most else cases
    known, failures, expected, used = known_failures(), 0, 0, {}
    for case in cases:
        problem, who = check(case, work)
        used[who] = used.get(who, 0) + 1
        if problem and case.name in known:
            expected += 1
            print(f"known {case.name}: {known[case.name]}")
        elif problem:
            failures += 1
            print(f"FAIL {case.name}: {problem[:2000]}", flush=True)
        elif case.name in known:
            failures += 1
            print(f"FAIL {case.name}: passes, but stands in known.txt")
    counts = ", ".join(f"{n} {who}" for who, n in sorted(used.items()))
    agree = len(cases) - failures - expected
    print(f"{family}: {agree} of {len(cases)} cases agree ({counts})")
    return failures or not cases


def check_complete(registry):
    """Every form of every operator of `registry` has a case."""
    for family in families():
        importlib.import_module(f"tables.{family}")
    cases = opcases.take_cases()
    covered = {(c.domain, c.op, c.opset) for c in cases}
    covered |= {("", c.then[0], c.opset) for c in cases if c.then}
    missing, forms = 0, 0
    for line in Path(registry).read_text().splitlines():
        form = json.loads(line)
        forms += 1
        # An operator of another domain has version 1 whatever the opset.
        if form["domain"]:
            found = any(c[:2] == (form["domain"], form["name"]) for c in covered)
        else:
            found = any(
                c[:2] == ("", form["name"]) and form["since"] <= c[2] <= form["until"]
                for c in covered
            )
        if not found:
            missing += 1
            print(f"no case: {form['domain']}:{form['name']} from opset {form['since']}")
    print(f"{forms - missing} of {forms} forms of operators have a case")
    return missing or not forms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", choices=families())
    parser.add_argument("--only", default="", help="part of the names of cases")
    parser.add_argument("--most", type=int, help="cases of an operator's version")
    parser.add_argument("--work", type=Path, help="folder for models and arrays")
    parser.add_argument("--complete", type=Path, help="registry to compare with")
    args = parser.parse_args()
    if args.complete:
        sys.exit(bool(check_complete(args.complete)))
    sys.exit(bool(run_family(args.family, args.only, args.most, args.work)))


if __name__ == "__main__":
    main()
