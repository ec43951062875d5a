#!/usr/bin/env python3
"""Faults of the HSM's module at each call of the product: the batch completes, or stops with a clear error and completes
on the next run; one record for each SE, and never two certificates with one serial.

One appliance makes one batch of 500 keys for each case, so that its history grows and is checked as a whole. The fast
set takes each call of the record loop at its first, a middle and its last record with one of the faults in turn;
KEYFERRY_LONG=1 takes all of them.
"""
import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import fault_cases  # noqa: E402
from fault_cases import EITHER, IN_THE_RUN, NEXT_RUN  # noqa: E402
from shimmed import BATCH, CRASH_WORDS, SEGMENT_SIZE, Failed, History, Shimmed, classes_of, need  # noqa: E402


class Bench:
    def __init__(self, root, options):
        self.ferry = Shimmed(root / "ferry", options.bin)
        self.patience_s = options.patience
        self.marks = root / "marks"
        self.marks.mkdir(parents=True)
        self.lot = 0
        self.recovered = collections.Counter()

    def set_up(self):
        self.ferry.set_up_factory(1)
        self.history = History(self.ferry)
        self.classes = classes_of(self.ferry.hsm)

    def run(self, expect):
        try:
            return self.ferry.run_plan(expect=expect, timeout=self.patience_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"hangs: no end after {self.patience_s} s") from None

    def new_batch(self):
        self.ferry.script("")
        self.ferry.plan_file.unlink(missing_ok=True)
        self.ferry.new_plan(BATCH, SEGMENT_SIZE, lot=f"L{self.lot}")
        self.ferry.approve()
        self.lot += 1

    def count_calls(self):
        """{place: calls in a batch}, undisturbed."""
        self.new_batch()
        counts = self.marks / "count"
        self.ferry.script(f"count {counts}\n" + fault_cases.watch_script())
        done = json.loads(self.run(0).stdout)
        self.history.check_batch(done["batch"])
        calls = collections.Counter()
        for path in self.marks.glob("count.*"):
            for line in path.read_text().splitlines():
                name, number = line.split()
                calls[name] += int(number)
        for place in fault_cases.PLACES:
            need(calls[place] >= BATCH, f"{place}: {calls[place]} calls in a batch of {BATCH}")
        return {place: calls[place] for place in fault_cases.PLACES}

    def run_case(self, case):
        self.new_batch()
        self.ferry.set_gate(**case.gate)
        once = self.marks / f"fired-{self.lot}"
        self.ferry.script(case.script.format(once=once))
        first = self.run(None)
        need(not case.strikes or once.exists(), "the fault did not strike")
        if first.returncode == 0:
            need(case.outcome != NEXT_RUN, f"it did not stop\n{first.stderr}")
            done = first
        else:
            said = first.stderr
            need(case.outcome != IN_THE_RUN, f"exit {first.returncode}: it did not recover within the run\n{said}")
            need(first.returncode in (1, 3), f"exit {first.returncode}\n{said}")
            for word in case.words:
                need(word in said, f"it does not say \"{word}\"\n{said}")
            for word in CRASH_WORDS:
                need(word not in first.stdout + said, said)
            need("hint:" in said, f"it does not say what to do\n{said}")
            if case.lifted:
                self.ferry.script("")
            done = self.run(0)
        answer = json.loads(done.stdout)
        need(answer["issued"] == BATCH, f"{answer['issued']} keys were issued")
        self.history.check_batch(answer["batch"])
        if self.lot % 8 == 0:
            self.history.verify_sample(answer["batch"])
        self.recovered["in the run" if done is first else "on the next run"] += 1
        return done is first, first.stderr

    def finish(self):
        """What can only be said of all of it."""
        self.ferry.script("")
        self.history.check_newest_checkpoint()
        self.history.check_issued_leaves()
        now = classes_of(self.ferry.hsm)
        need(now == self.classes, f"the HSM holds {now}, not {self.classes}")


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="folder of programs")
    parser.add_argument("--dir", help="folder for what the test writes; kept (default: a temporary one)")
    parser.add_argument("--patience", type=float, default=60, help="seconds until a command counts as hanging")
    parser.add_argument("--only", default="", help="only cases whose name holds this text, of the full list")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    options.long = os.environ.get("KEYFERRY_LONG") == "1"
    return options


def cases_of(options, calls):
    if options.long or options.only:
        cases = fault_cases.all_loop_cases(calls) + fault_cases.all_around_cases() + fault_cases.special_cases()
        return [case for case in cases if options.only in case.name]
    return fault_cases.some_loop_cases(calls) + fault_cases.some_around_cases() + fault_cases.special_cases()


def run(options, root):
    begun = time.monotonic()
    bench = Bench(root, options)
    bench.set_up()
    calls = bench.count_calls()
    print(f"set up in {time.monotonic() - begun:.1f} s; calls in an undisturbed batch: {calls}", flush=True)
    cases = cases_of(options, calls)
    bench.ferry.import_lots(bench.lot, len(cases) + 1)
    failures = 0
    for number, case in enumerate(cases, 1):
        case_begun = time.monotonic()
        try:
            in_the_run, said = bench.run_case(case)
        except Failed as error:
            failures += 1
            print(f"FAILED {number} {case.name}\n{case.script}{error}", flush=True)
            continue
        told = "" if in_the_run else f": {said.strip().splitlines()[-2]}"
        print(f"ok {number} ({time.monotonic() - case_begun:.1f} s) {case.name}: {'in the run' if in_the_run else 'next run'}{told}", flush=True)
    try:
        if not failures:  # a failed case may have left a batch half made
            bench.finish()
    except Failed as error:
        failures += 1
        print(f"FAILED at the end: {error}", flush=True)
    print(f"{'FAILED' if failures else 'passed'}: {len(cases)} faults, {bench.recovered['in the run']} recovered in the run, "
          f"{bench.recovered['on the next run']} on the next run, {failures} failures; {len(bench.history.serials)} certificate "
          f"serials, all distinct; {time.monotonic() - begun:.0f} s", flush=True)
    return 1 if failures else 0


def main():
    options = parsed_arguments()
    if options.dir:
        return run(options, pathlib.Path(options.dir).resolve())
    with tempfile.TemporaryDirectory(prefix="keyferry-faults-") as folder:
        return run(options, pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
