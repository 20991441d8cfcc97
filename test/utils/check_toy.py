"""Checks depth methods on the toy model (toy_model.py) against its numpy side and
the numbers that are known of it.

check_toy.py search SCRATCH
    What calibration ranks: FinerCut greedy and one-shot, ShortGPT, FuseGPT.
check_toy.py skip SCRATCH LIBRARY FOLDER_OF_LATHE_RT_PY
    FFN skipping while decoding, through the C API of the runtime.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np

from toy_model import BLOCKS, LENGTH, SITES, Rule, Toy, cosine, divergence, tokens

toy = Toy()
scratch = pathlib.Path(sys.argv[2])
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
model = scratch / "toy.onnx"
toy.save(model)


def lathe(command, *arguments):
    result = subprocess.run(
        ["lathe", command, *map(str, arguments), "--json"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(result.stdout)


def block_sites(block):
    return [f"blocks.{block}.attn", f"blocks.{block}.ffn"]


def greedy(candidates, distance, steps):
    """Steps (candidate, distance) of the search; the first of equals wins."""
    done = []
    for _ in range(steps):
        left = [c for c in candidates if c not in [d[0] for d in done]]
        errors = [distance([d[0] for d in done] + [c]) for c in left]
        done.append((left[int(np.argmin(errors))], min(errors)))
    return done


def check_ranking(what, ranking, expected):
    for step, (site, error) in zip(ranking["steps"], expected, strict=True):
        assert step["site"] == site, (what, step, expected)
        assert abs(step["error"] - error) <= 1e-3 * error + 1e-7, (what, step, error)
    print(what, " ".join(step["site"] for step in ranking["steps"]))


def search():
    ids = tokens(77, 6)
    np.savez(scratch / "data.npz", input_ids=ids)
    passes = "lathe-finercut{cut=8},lathe-finercut{cut=1 search=one-shot},lathe-shortgpt,lathe-fuse-gpt{cut=7}"
    profile = scratch / "profile"
    lathe("calibrate", model, "--data", scratch / "data.npz", "--for", passes, "-o", profile)
    rankings = json.loads(np.load(profile)["meta"].tobytes())["rankings"]

    dense, streams, _ = toy.run(ids)
    removal = greedy(SITES[1:], lambda removed: divergence(dense, toy.run(ids, removed)[0]), 8)
    order = [site.replace("blocks.", "").split(".") for site, _ in removal]
    assert " ".join(kind[0] + n for n, kind in order) == "a5 f4 f5 a4 f3 f6 a2 a3", order
    check_ranking("finercut", rankings["lathe-finercut.js"], removal)
    # With one step the search is the least of the single removals.
    one_shot = rankings["lathe-finercut.js.one-shot"]["steps"][0]
    assert one_shot == rankings["lathe-finercut.js"]["steps"][0], one_shot

    influence = [1 - cosine(streams[2 * n], streams[2 * n + 2]).mean() for n in range(BLOCKS)]
    known = [0.42964, 0.08818, 0.02781, 0.01603, 0.00904, 0.00562, 0.01148, 0.09799]
    np.testing.assert_allclose(influence, known, atol=2e-4)
    order = np.argsort(influence)
    assert order.tolist() == [5, 4, 6, 3, 2, 1, 7, 0], order
    expected = [("+".join(block_sites(n)), influence[n]) for n in order]
    check_ranking("shortgpt", rankings["lathe-shortgpt.cosine"], expected)

    def macro_influence(blocks):
        removed = sum(map(block_sites, blocks), [])
        return 1 - cosine(streams[-1], toy.run(ids, removed)[1][-1]).mean()

    single = [macro_influence([n]) for n in range(BLOCKS)]
    known = [0.66741, 0.11884, 0.03255, 0.01781, 0.00974, 0.00712, 0.01295, 0.09799]
    np.testing.assert_allclose(single, known, atol=2e-4)
    assert np.argsort(single).tolist() == [5, 4, 6, 3, 2, 7, 1, 0], single
    expected = [("+".join(block_sites(n)), e) for n, e in greedy(range(BLOCKS), macro_influence, 7)]
    check_ranking("fuse-gpt", rankings["lathe-fuse-gpt"], expected)


def skip():
    sys.path.insert(0, sys.argv[4])
    from lathe_rt import Model

    ids = tokens(78, 6)
    labels = np.random.default_rng(0).integers(0, 40, ids.shape)
    np.savez(scratch / "data.npz", input_ids=ids, y=labels)
    dense = toy.run(ids)[0]

    def decoded(folder, sequences):
        """Logits of feeding the sequences token by token."""
        run = Model(sys.argv[3], folder, 1)
        run.make_cache(len(sequences), LENGTH)
        logits = []
        for step in range(LENGTH):
            run.bind("decode", {"input_ids": sequences[:, step : step + 1]}, "logits")
            run.run()
            logits.append(run.result())
            # Skipping leaves no gap in the cache.
            assert run.rt.lathe_cache_length(run.cache) == step + 1
        return np.concatenate(logits, 1)

    def build(name, options):
        pipeline = ["--pipeline", f"lathe-ffn-skip{{{options}}}"] if options else []
        lathe("compile", model, *pipeline, "-o", scratch / name)
        return scratch / name

    def evaluate(folder, batch):
        return lathe("eval", folder, "--data", scratch / "data.npz", "--via", "decode", "--batch", batch)

    def check(name, options, rule, share, loss):
        """Every decision is that of the reference, however rows are packed."""
        folder = build(name, options)
        reference, _, skipped = toy.run(ids, rule=rule)
        for packing in ([6], [1] * 6, [2, 4], [5, 1]):
            ends = np.cumsum([0, *packing])
            parts = [decoded(folder, ids[a:b]) for a, b in zip(ends, ends[1:])]
            logits = np.concatenate(parts)
            # A decision more or less would change logits by far more.
            np.testing.assert_allclose(logits, reference, atol=1e-4)
        for batch in (1, 4, 6):
            assert abs(evaluate(folder, batch)["skip_ratio"] - skipped.mean()) < 1e-9
        found = divergence(dense, logits.astype(np.float64))
        print(f"{name}: {100 * skipped.mean():.1f} % skipped, divergence {found:.4f}")
        assert abs(skipped.mean() - share) < 6e-4 and abs(found - loss) < 6e-5
        return found

    whole = decoded(build("dense", ""), ids)
    np.testing.assert_allclose(whole, dense, atol=1e-4)
    closed = build("closed", "tau=1.5 k=2 front=2 tail=1 warmup=2")
    assert decoded(closed, ids).tobytes() == whole.tobytes(), "a gate that never closes changes bits"
    assert evaluate(closed, 6)["skip_ratio"] == 0

    rule = check("rule", "tau=0.95 k=2 front=2 tail=1 warmup=2", Rule(), 0.326, 0.0177)
    hot = check("no cold regions", "tau=0.95 k=2 front=0 tail=0 warmup=2", Rule(front=0, end=BLOCKS), 0.439, 0.0638)
    check("no warm-up", "tau=0.95 k=2 front=2 tail=1 warmup=0", Rule(warmup=0), 0.3725, 0.0189)
    # By chance after the warm-up, in all FFNs: as many, and they hurt more.
    chance = build("chance", f"rule=random ratio={0.326 * 16 / 14} front=0 tail=0 warmup=2")
    share = evaluate(chance, 6)["skip_ratio"]
    loss = divergence(dense, decoded(chance, ids).astype(np.float64))
    print(f"chance: {100 * share:.1f} % skipped, divergence {loss:.4f}")
    assert abs(share - 0.326) < 0.05 and loss > 3 * rule and hot > 3 * rule


{"search": search, "skip": skip}[sys.argv[1]]()
