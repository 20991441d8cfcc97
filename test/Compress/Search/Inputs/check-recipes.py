"""Checks that recipes make the points of a front, byte by byte.

check-recipes.py MODEL DATA FOLDER

Every point of the Pareto front but the original is compiled by its recipe file
and by the pass of its method with the profile of the search, the best point also
from the model that the search wrote. All files of the folders are equal, and
`lathe inspect` with the recipe counts the bytes that the point says.
"""

import filecmp
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np

model, data, folder = sys.argv[1:]
folder = pathlib.Path(folder)
METHODS = ["lathe-finercut{cut=2}", "lathe-shortgpt"]


def lathe(command, *arguments):
    result = subprocess.run(
        ["lathe", command, *map(str, arguments), "--json"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(result.stdout)


def compiled(name, source, *options):
    lathe("compile", source, *options, "-o", folder / name)
    return folder / name


def expect_equal(a, b):
    names = sorted(path.name for path in a.iterdir())
    assert names == sorted(path.name for path in b.iterdir())
    _, differ, unread = filecmp.cmpfiles(a, b, names, shallow=False)
    assert not differ and not unread, f"{a} and {b} differ: {differ} {unread}"


shutil.rmtree(folder, ignore_errors=True)
found = folder / "found"
budget = ["--budget", "size=0.8", "--methods", ",".join(METHODS)]
result = lathe("compress", model, "--data", data, *budget, "-o", found)
profile = found / "model.profile"
rankings = json.loads(np.load(profile)["meta"].tobytes())["rankings"]
whole = lathe("inspect", model)["bytes"]

front = [point for point in result["points"] if point["pareto"]]
assert len(front) >= 3 and result["best"] > 0 and result["points"][result["best"]] in front, result
places = dict.fromkeys(rankings, 0)
for number, point in enumerate(result["points"]):
    recipe = ["--recipe", found / point["recipe"]]
    if number == 0:
        assert (found / point["recipe"]).read_text() == "passes: []\n"
        continue
    places[point["method"]] += 1
    if not point["pareto"]:
        continue
    left = lathe("inspect", model, *recipe)["bytes"] / whole
    assert abs(left - point["size"]) < 1e-12, (left, point)
    by_recipe = compiled(f"recipe-{number}", model, *recipe)
    # The pass of a point is what stands before the dot of its ranking's name.
    method = f"{point['method'].split('.')[0]}{{profile={profile} cut={places[point['method']]}}}"
    expect_equal(by_recipe, compiled(f"method-{number}", model, "--pipeline", method))
    if number == result["best"]:
        assert (found / "best.yaml").read_bytes() == (found / point["recipe"]).read_bytes()
        expect_equal(by_recipe, compiled("best", found / "model.mlirbc"))
print(len(front), "points, each the same bytes by its recipe and by its method")
