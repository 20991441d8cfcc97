"""Runs one peer on one case: commands on stdin, a JSON line for each on stdout.

    run N         runs N times: {"wall": [ms...], "cpu": [ms...]}
    output FILE   saves the output of the last run
"""

import json
import os
import resource
import sys
import time

import numpy as np


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    import cases
    import peers
    setup = json.loads(sys.argv[1])
    case = next(c for c in cases.CASES if c.name == setup["case"])
    data = dict(np.load(setup["data"]))
    peer = peers.PEERS[setup["peer"]](setup, case, data)
    peer.run()
    answer({"compile_s": peer.compile_s})
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "output":
            np.save(argument, peer.result())
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            answer({"rss_mb": rss})
            continue
        wall, cpu = [], []
        for _ in range(int(argument)):
            start, busy = time.perf_counter(), time.process_time()
            peer.run()
            cpu.append((time.process_time() - busy) * 1e3)
            wall.append((time.perf_counter() - start) * 1e3)
        answer({"wall": wall, "cpu": cpu})


main()
