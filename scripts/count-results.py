"""count-results.py [--failed N] FILE...: sums up lit's JSON results.

Prints the failed tests, then 'N passed, N failed[, N skipped]'. `--failed` adds
failures that happened outside lit. Exits with 1 if anything failed.
"""

import argparse
import collections
import json
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--failed", type=int, default=0)
parser.add_argument("files", nargs="*")
args = parser.parse_args()

KINDS = {
    "PASS": "passed",
    "FLAKYPASS": "passed",
    "XFAIL": "passed",
    "UNSUPPORTED": "skipped",
    "SKIPPED": "skipped",
    "EXCLUDED": None,
}

count = collections.Counter(failed=args.failed)
for path in args.files:
    with open(path) as file:
        tests = json.load(file)["tests"]
    for test in tests:
        kind = KINDS.get(test["code"], "failed")
        if kind is None:
            continue
        count[kind] += 1
        if kind == "failed":
            print(f"{test['code']}: {test['name']} ({path})")

line = f"{count['passed']} passed, {count['failed']} failed"
if count["skipped"]:
    line += f", {count['skipped']} skipped"
print(line)
sys.exit(count["failed"] != 0)
