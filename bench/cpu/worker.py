"""Runs one peer on one case: commands on stdin, a JSON line for each on stdout.

    run N             runs N times: {"wall": [ms...], "cpu": [ms...]}
    from T S          waits for T of the machine's monotonic clock, then runs for
                      S seconds: {"runs": N, "seconds": what they took}
    output FILE       saves the output of the last run
"""

import json
import os
import resource
import sys
import time

import numpy as np


def run_times(peer, count):
    wall, cpu = [], []
    for _ in range(count):
        start, busy = time.perf_counter(), time.process_time()
        peer.run()
        cpu.append((time.process_time() - busy) * 1e3)
        wall.append((time.perf_counter() - start) * 1e3)
    return {"wall": wall, "cpu": cpu}


def run_from(peer, begin, seconds):
    time.sleep(max(0, begin - time.monotonic()))
    runs = 0
    while time.monotonic() < begin + seconds:
        peer.run()
        runs += 1
    return {"runs": runs, "seconds": time.monotonic() - begin}


def save_output(peer, path):
    np.save(path, peer.result())
    return {"rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    import cases
    import peers
    setup = json.loads(sys.argv[1])
    case = cases.Case(**setup["case"])
    data = dict(np.load(setup["data"]))
    peer = peers.PEERS[setup["peer"]](setup, case, data)
    peer.run()
    answer({"compile_s": peer.compile_s})
    for line in sys.stdin:
        command, *words = line.strip().split(" ", 2)
        if command == "run":
            answer(run_times(peer, int(words[0])))
        elif command == "from":
            answer(run_from(peer, float(words[0]), float(words[1])))
        else:
            answer(save_output(peer, " ".join(words)))


main()
