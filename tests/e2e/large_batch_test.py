#!/usr/bin/env python3
"""A batch as a factory orders it, in little memory (Done means 3). The SEs are rows of an inventory: nothing is injected."""
import collections
import os
import pathlib
import threading
import time

import cases
from cases import FerryCase, openssl, rows

LIMIT_KIB = 256 << 10
PERIOD_S = 0.05


class Peaks:
    """The highest VmHWM of each program below this process, while `with` lasts."""

    def __init__(self):
        self.kib = collections.Counter()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.stop.wait(PERIOD_S):
            self.sample()

    def sample(self):
        parents, names = {}, {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines() if ":" in line)
                parents[int(entry.name)] = int(status["PPid"])
                if "VmHWM" in status:
                    names[int(entry.name)] = (pathlib.Path(os.readlink(entry / "exe")).name, int(status["VmHWM"].split()[0]))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # it has ended, or is nobody of ours
        for process, (program, kib) in names.items():
            above = process
            while above in parents and above != os.getpid():
                above = parents[above]
            if above == os.getpid() and process != above:
                self.kib[program] = max(self.kib[program], kib)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class TwentyThousandKeys(FerryCase):
    COUNT = 20_000

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.enroll()
        cls.seconds = {}
        with Peaks() as cls.peaks:
            cls.timed("inventory", lambda: ferry.fake_inventory(ferry.inventory, cls.COUNT))
            cls.timed("import", lambda: ferry.officer("se", "import", ferry.inventory, "--source", "room"))
            cls.timed("plan", lambda: ferry.new_plan(cls.COUNT, segment_size=256))
            cls.timed("approve", ferry.approve)
            cls.timed("run", lambda: ferry.run_plan(timeout=1800))
            [batch] = ferry.appliance_json("batch", "status")["batches"]
            cls.batch = batch["batch"]
            cls.timed("export", lambda: ferry.export(cls.batch))
            cls.timed("load", ferry.load)
            cls.report = cls.timed("reconcile", ferry.reconcile)
        print(f"{cls.COUNT} keys: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in cls.seconds.items()))
        print("peaks: " + ", ".join(f"{name} {kib >> 10} MiB" for name, kib in sorted(cls.peaks.kib.items())))

    @classmethod
    def timed(cls, name, step):
        began = time.monotonic()
        done = step()
        cls.seconds[name] = time.monotonic() - began
        return done

    def test_it_is_complete_and_all_of_it_is_outstanding(self):
        [batch] = self.report["batches"]
        self.assertEqual((batch["issued"], batch["outstanding"], batch["state"]), (self.COUNT, self.COUNT, "out"))
        self.assertEqual(len(batch["outstanding_records"]), self.COUNT)

    def test_front_end_gate_worker_and_station_stay_below_256_mib(self):
        for program in ("keyferry-appliance", "keyferry-hsm-gate", "keyferry-hsm-worker", "keyferry-station"):
            with self.subTest(program):
                self.assertGreater(self.peaks.kib[program], 0)
                self.assertLess(self.peaks.kib[program], LIMIT_KIB)

    def test_the_station_has_every_record(self):
        [batch] = self.ferry.station_json("status")["batches"]
        self.assertEqual(batch["loaded"], self.COUNT)

    def test_there_is_a_certificate_for_each_key_and_openssl_verifies_them(self):
        folder = self.root / "certificates"
        folder.mkdir()
        self.ferry.appliance("batch", "certificates", self.batch, "--to", folder)
        leaves = sorted(folder.glob("record-*.pem"))
        self.assertEqual(len(leaves), self.COUNT)
        for at in range(0, self.COUNT, 2000):
            said = openssl("verify", "-CAfile", folder / "ca.pem", *leaves[at:at + 2000]).decode()
            self.assertEqual(said.count(": OK"), len(leaves[at:at + 2000]))

    def test_no_public_key_and_no_serial_comes_twice(self):
        self.assertEqual(rows(self.ledger, "SELECT count(DISTINCT public_key), count(DISTINCT certificate_serial) FROM record"),
                         [(self.COUNT, self.COUNT)])


if __name__ == "__main__":
    cases.main()
