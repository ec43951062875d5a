#!/usr/bin/env python3
"""kill -9 of any process at any moment, then the same command again: the work is finished (I7).

Cut points are generated: every KF_CUT of the product's sources. An undisturbed ferry tells which step passes which
points; then each step is killed at each point it passes, at the first passage and at a middle one. A case begins at a
copy of the folder before its first step and disturbs each step after it once more, so that one ferry serves many cuts;
when it fails, the cut of the step where it failed is tried alone. Points passed only by a recovery are reached by
killing a step, then killing the same command given again. Then come random processes at random moments.
"""
import argparse
import collections
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import invariants  # noqa: E402
from ferry import BACKUP_CUTS, CA_CUTS, CEREMONY_CUTS, CHIP_CUTS, DEVICE_CUTS, ENDS_CUTS, EVIDENCE_CUTS, OUTSIDE_CUTS, PIN_CUTS, PREPARE_CUTS, cut_names  # noqa: E402
from steps import STEPS, Bench  # noqa: E402

RANDOM_KILLS, RANDOM_KILLS_LONG = 20, 200
MOST_TRIES = 40  # of a random kill that came too late


def cut_text(cuts):
    return ", ".join(f"{STEPS[index].name}: {' then '.join(specs)}" for index, specs in sorted(cuts.items()))


# --- in a worker process ------------------------------------------------------------------------------------------------


class Cutter:
    """One bench and the ways to disturb it. `seed`: of all random choices."""

    def __init__(self, root, options):
        self.bench = Bench(root, options.bin, options.patience)
        self.seed = options.seed
        self.bench.discover()
        self.undisturbed = invariants.stores(self.bench.ferry)
        invariants.check(self.bench.ferry, self.undisturbed)

    def run_cuts(self, cuts):
        """cuts: {step: specs}; each step is killed at its specs in turn, then run whole."""
        def disturb(index, step):
            for spec in cuts.get(index, ()):
                self.bench.cut(step, spec)
            return index in cuts

        recovered = self.bench.go_on(min(cuts), disturb)
        invariants.check(self.bench.ferry, self.undisturbed)
        return {"recovered": recovered, "text": cut_text(cuts)}

    def run_twice(self):
        """Each command given twice, nothing killed."""
        self.bench.go_on(0, lambda index, step: False, once_more=True)
        invariants.check(self.bench.ferry, self.undisturbed)
        return {"text": "every command twice"}

    def run_random(self, number):
        rng = random.Random(f"{self.seed}/{number}")
        weights = [sum(trace.values()) for trace in self.bench.traces]
        chosen = rng.choices(range(len(STEPS)), weights)[0]
        most_s = 1.1 * self.bench.durations_s[chosen]
        kills = []

        def disturb(index, step):
            while index == chosen and len(kills) < 3:  # the command given again may be killed as well
                hit = self.bench.kill_randomly(step, rng, most_s)
                if hit is None:
                    break
                kills.append(hit)
                if rng.random() < 0.6:
                    break
            return index == chosen

        for _ in range(MOST_TRIES):
            kills.clear()
            self.bench.go_on(chosen, disturb)
            invariants.check(self.bench.ferry, self.undisturbed)
            if kills:
                return {"text": f"random {number}: {STEPS[chosen].name}: {' then '.join(kills)}"}
            most_s *= 0.7
        raise RuntimeError(f"random {number}: {STEPS[chosen].name} ended before each of {MOST_TRIES} kills")

    def serve(self, task):
        kind, argument = task
        if kind == "cuts":
            return self.run_cuts(argument)
        if kind == "twice":
            return self.run_twice()
        return self.run_random(argument)


def describe(task):
    kind, argument = task
    return cut_text(argument) if kind == "cuts" else f"random {argument}" if kind == "random" else "every command twice"


def worker(number, options, tasks, results):
    root = pathlib.Path(options.dir) / f"bench-{number}"
    try:
        cutter = Cutter(root, options)
        results.put(("ready", number, cutter.bench.traces, sum(cutter.bench.durations_s)))
    except BaseException:  # the border of a process: the test shows it
        results.put(("broken", number, traceback.format_exc(), 0))
        return
    failed = 0
    while (task := tasks.get()) is not None:
        begun = time.monotonic()
        try:
            results.put(("ok", task, cutter.serve(task), time.monotonic() - begun))
        except Exception as error:  # the border of a case: the others go on
            cutter.bench.ferry.end_sessions()
            failed += 1
            kept = root / f"failed-{failed}"
            shutil.copytree(cutter.bench.live, kept, symlinks=True)
            text = "".join(traceback.format_exception_only(type(error), error))
            results.put(("failed", task, {"text": f"{text}kept in {kept}; seed {options.seed}", "at": cutter.bench.at},
                         time.monotonic() - begun))


# --- cases ----------------------------------------------------------------------------------------------------------------


def specs_of(traces):
    """For each step the cuts to try: each point at its first passage and, if one process passes it more often, a middle one."""
    specs = {}
    for index, trace in enumerate(traces):
        for name, count in sorted(trace.items()):
            specs.setdefault(index, []).append(name)
            if count > 1:
                specs[index].append(f"{name}:{count // 2 + 1}")
    return specs


def chains(specs):
    """Cases that use up all cuts: each takes one cut of every step that has any left."""
    left = {index: collections.deque(one) for index, one in specs.items()}
    cases = []
    while left:
        cases.append({index: [one.popleft()] for index, one in left.items()})
        left = {index: one for index, one in left.items() if one}
    return cases


def second_cuts(names, done, recoveries):
    """Cases {step: [cut, point]} for the points that only the command given again passes, and the points without any."""
    cases, never = [], []
    for point in sorted(set(names) - done):
        found = next(((index, specs) for (index, specs), passed in recoveries.items() if point in passed), None)
        if found is None:
            never.append(point)
        else:
            cases.append({found[0]: [*found[1], point]})
    return cases, never


class Board:
    """Hands tasks to the workers and keeps what came of them."""

    def __init__(self, tasks, results, workers):
        self.tasks, self.results, self.workers = tasks, results, workers
        self.failures = []
        self.count = 0
        self.cut = set()
        self.recoveries = {}

    def next_result(self):
        while True:
            try:
                return self.results.get(timeout=5)
            except queue.Empty:
                if not all(worker.is_alive() for worker in self.workers):
                    raise RuntimeError("a worker of this test has died") from None

    def run(self, tasks):
        """The failed ones, each with the step at which it failed."""
        for task in tasks:
            self.tasks.put(task)
        failed = []
        for _ in tasks:
            status, task, result, seconds = self.next_result()
            self.count += 1
            if status == "failed":
                failed.append((task, result["at"]))
                self.failures.append(task)
                print(f"FAILED ({seconds:.1f} s) {describe(task)}\n{result['text']}", flush=True)
                continue
            print(f"ok {self.count} ({seconds:.1f} s) {result['text']}", flush=True)
            if task[0] == "cuts":
                for index, specs in task[1].items():
                    self.cut |= {spec.partition(":")[0] for spec in specs}
                    self.recoveries[index, tuple(specs)] = result["recovered"][index]
        return failed

    def run_and_diagnose(self, tasks):
        """A failed case of several cuts is taken apart: does the cut of the step at which it failed fail alone?"""
        for (kind, cuts), index in self.run(tasks):
            if index in cuts and len(cuts) > 1:
                self.run([(kind, {index: cuts[index]})])


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of programs with test hooks")
    parser.add_argument("--source", type=pathlib.Path, required=True, help="the repository")
    parser.add_argument("--dir", help="folder for what the test writes; kept (default: a temporary one)")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time")
    parser.add_argument("--seed", default=os.environ.get("KEYFERRY_SEED"), help="of the random kills")
    parser.add_argument("--kills", type=int, help="how many random kills")
    parser.add_argument("--patience", type=float, default=120, help="seconds until a command counts as hanging")
    parser.add_argument("--only", default="", help="only cuts whose name holds this text, each in a case of its own")
    options = parser.parse_args()
    options.long = os.environ.get("KEYFERRY_LONG") == "1"
    options.seed = options.seed or os.urandom(4).hex()
    if options.kills is None:
        options.kills = RANDOM_KILLS_LONG if options.long else RANDOM_KILLS
    options.bin = options.bin.resolve()
    return options


def run(options):
    walked_elsewhere = (BACKUP_CUTS, CA_CUTS, CEREMONY_CUTS, CHIP_CUTS, DEVICE_CUTS, ENDS_CUTS, EVIDENCE_CUTS, OUTSIDE_CUTS, PIN_CUTS, PREPARE_CUTS)
    names = {name: path for name, path in cut_names(options.source).items()
             if not any(cuts.match(name) for cuts in walked_elsewhere)}
    begun = time.monotonic()
    print(f"{len(names)} cut points, seed {options.seed}, folder {options.dir}", flush=True)
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=worker, args=(n, options, tasks, results), daemon=True)
               for n in range(options.jobs)]
    for one in workers:
        one.start()
    board = Board(tasks, results, workers)
    traces = None
    for _ in workers:
        status, number, result, seconds = board.next_result()
        if status != "ready":
            print(f"the undisturbed ferry fails:\n{result}", flush=True)
            return 1
        print(f"bench {number}: an undisturbed ferry takes {seconds:.1f} s", flush=True)
        traces = result if traces is None else [{name: min(count, other[name]) for name, count in trace.items() if name in other}
                                                for trace, other in zip(traces, result)]
    specs = {index: [spec for spec in one if options.only in spec] for index, one in specs_of(traces).items()}
    specs = {index: one for index, one in specs.items() if one}
    singles = [{index: [spec]} for index, one in specs.items() for spec in one]
    board.run([("twice", None)])
    board.run_and_diagnose([("cuts", case) for case in (singles if options.only or options.long else chains(specs))])
    never = []
    if not options.only:
        second, never = second_cuts(names, board.cut, board.recoveries)
        board.run([("cuts", case) for case in second])
    cases = board.count
    board.run([("random", number) for number in range(options.kills)])
    for _ in workers:
        tasks.put(None)
    for one in workers:
        one.join()
    for point in never:
        print(f"FAILED {point} ({names[point]}) was never reached", flush=True)
    good = not board.failures and not never
    print(f"{'passed' if good else 'FAILED'}: {len(board.cut)} of {len(names)} cut points, {len(singles)} cuts of steps in "
          f"{cases} ferries, {options.kills} random kills, {len(board.failures)} failures, seed {options.seed}, "
          f"{time.monotonic() - begun:.0f} s", flush=True)
    return 0 if good else 1


def main():
    options = parsed_arguments()
    if options.dir:
        options.dir = str(pathlib.Path(options.dir).resolve())
        pathlib.Path(options.dir).mkdir(parents=True, exist_ok=True)
        return run(options)
    with tempfile.TemporaryDirectory(prefix="keyferry-crash-") as folder:
        options.dir = folder
        return run(options)


if __name__ == "__main__":
    sys.exit(main())
