"""Checks how a latency budget cuts a ranking: check-latency-budget.py MODEL
PROFILE SCRATCH PASS.

The seconds in the profile say how much time is left after every step. A budget
just above that share takes the step, one just below it takes the next one, too.
"""

import json
import re
import subprocess
import sys

import numpy as np

model, profile, scratch, name = sys.argv[1:]
meta = json.loads(np.load(profile)["meta"].tobytes())
((_, ranking),) = [r for r in meta["rankings"].items() if r[0].startswith(name)]
seconds = meta["seconds"]
assert all(value > 0 for value in seconds.values()), seconds


def removed(share):
    """Sites that are gone at this budget; none if it is out of reach."""
    option = f"--{name}=profile={profile} budget=latency:{share!r}"
    result = subprocess.run(
        ["lathe-opt", model, option, "-o", scratch], capture_output=True, text=True
    )
    if result.returncode != 0:
        assert "cannot be reached" in result.stderr or "keep at least one" in result.stderr
        return None
    return re.findall('"([^"]*)"', re.search(r"lathe.removed = \[([^]]*)\]", open(scratch).read())[1])


steps = [step["site"].split("+") for step in ranking["steps"]]
prefixes = [sum(steps[:n], []) for n in range(1, len(steps) + 1)]
# Something has to stay.
after = [sites for sites in prefixes if len(sites) < len(seconds) - 1] + [None]
for number in range(len(after) - 1):
    left = 1 - sum(seconds[site] for site in after[number]) / seconds["model"]
    margin = 1e-6
    assert margin < left < 1 - margin, left
    assert removed(left + margin) == after[number], (number, left)
    assert removed(left - margin) == after[number + 1], (number, left)
print(f"{len(after) - 1} steps, each taken when the budget asks for it")
