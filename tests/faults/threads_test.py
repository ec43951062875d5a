#!/usr/bin/env python3
"""Threads in a worker, for HSMs that answer slowly: the records come out right and in order, and sooner."""
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from shimmed import History, Shimmed  # noqa: E402  (also the path to cases)
import cases  # noqa: E402
from cases import FerryCase, main  # noqa: E402
from opened import check_opened  # noqa: E402

COUNT = 500
SEGMENT_SIZE = 256
LATENCY_US = 300  # of each call: a network HSM in the same rack


class Threads(FerryCase):
    @classmethod
    def prepare(cls):
        cls.ferry = Shimmed(cls.root / "slow", cases.programs)
        cls.ferry.set_up_factory(3, of=COUNT)
        cls.history = History(cls.ferry)

    def timed_batch(self, lot, threads, script):
        ferry = self.ferry
        ferry.script("")
        ferry.set_gate(threads=threads)
        ferry.plan_file.unlink(missing_ok=True)
        ferry.new_plan(COUNT, SEGMENT_SIZE, lot=lot)
        ferry.approve()
        ferry.script(script)
        begun = time.monotonic()
        batch = json.loads(ferry.run_plan().stdout)["batch"]
        seconds = time.monotonic() - begun
        ferry.script("")
        self.history.check_batch(batch, COUNT, SEGMENT_SIZE)
        check_opened(self, ferry, batch, COUNT, sample=20)
        return batch, seconds

    def test_a_batch_by_four_threads_is_right_and_in_order(self):
        slow = f"latency * {LATENCY_US}\n"
        _, one = self.timed_batch("L0", 1, slow)
        _, four = self.timed_batch("L1", 4, slow)
        print(f"\n{COUNT} keys, {LATENCY_US} us more for each call: {one:.2f} s with one thread, {four:.2f} s with four "
              f"({one / four:.2f} times)", file=sys.stderr)

    def test_the_station_takes_what_four_threads_made(self):
        once = self.root / "fired"
        batch, _ = self.timed_batch("L2", 4, "fault C_Sign label=kf-ca/* rv=CKR_SESSION_HANDLE_INVALID close nth=250 "
                                             f"once={once}\n")
        self.assertTrue(once.exists())
        self.ferry.export(batch)
        self.ferry.load()
        [loaded] = self.ferry.station_json("status")["batches"]
        self.assertEqual(loaded["batch"], batch)


if __name__ == "__main__":
    main()
