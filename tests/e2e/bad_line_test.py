#!/usr/bin/env python3
"""What goes wrong at the line and around it: SEs, PINs, disks, a station that was put back to an older state."""
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import unittest

import cases
from cases import FerryCase, rows
from ferry import sums_agree

CHIPS = 4
LANE_POINTS = ("lane.before-unwrap", "lane.after-unwrap", "lane.before-certificate", "lane.after-certificate", "p11.sign-begun")


class Loaded(FerryCase):
    """Four SEs in two lanes, their batch loaded."""

    @classmethod
    def prepare(cls):
        cls.ferry.set_up(CHIPS)
        cls.batch = cls.ferry.batch(CHIPS)
        cls.ferry.export(cls.batch)
        cls.ferry.load()
        cls.put_aside("loaded")

    def setUp(self):
        self.put_back("loaded")

    def run_json(self, **options):
        return self.ferry.station_json("run", "--lanes", self.ferry.lanes, **options)

    def bring_home(self, expect=0):
        self.ferry.unload()
        self.ferry.receipts()
        [batch] = self.ferry.reconcile(self.batch, expect=expect)["batches"]
        self.assertTrue(sums_agree(batch))
        return batch

    def objects(self):
        """How many objects each SE holds."""
        return [len(list(chip.rglob("*.object"))) for chip in sorted(self.ferry.chips.glob("se-*"))]

    def device_with(self, done, result):
        return [device for device in done["devices"] if device["result"] == result]


class SecureElements(Loaded):
    def test_an_se_that_is_missing_is_red_and_can_come_later(self):
        away = self.ferry.folder / "away"
        (self.ferry.chips / "se-00001" / "tokens").rename(away)
        (self.ferry.chips / "se-00001" / "tokens").mkdir()
        done = self.run_json(expect=1)
        self.assertEqual(done["injected"], CHIPS - 1)
        [red] = [device for device in done["devices"] if device["colour"] == "red"]
        self.assertEqual(red["reason"], "se-missing")
        (self.ferry.chips / "se-00001" / "tokens").rmdir()
        away.rename(self.ferry.chips / "se-00001" / "tokens")
        self.assertEqual(self.run_json()["injected"], 1)
        self.assertEqual(self.bring_home()["injected"], CHIPS)

    def test_another_se_than_expected_is_red_and_it_is_said_where_it_belongs(self):
        lanes = self.ferry.lanes.read_text()
        swapped = lanes.replace("se-00000/softhsm2.conf", "X").replace("se-00001/softhsm2.conf", "se-00000/softhsm2.conf")
        self.ferry.lanes.write_text(swapped.replace("X", "se-00001/softhsm2.conf"))
        done = self.run_json(expect=1)
        reds = [device for device in done["devices"] if device["colour"] == "red"]
        self.assertEqual([red["reason"] for red in reds], ["wrong-se"] * 2)
        for red in reds:
            self.assertIn("it belongs to record", red["text"])
        self.ferry.lanes.write_text(lanes)
        self.assertEqual(self.run_json()["injected"], 2)

    def test_an_se_without_a_record_here_is_refused_and_not_touched(self):
        before = self.objects()
        cases.edit(self.store, "UPDATE record SET se_serial = CAST(x'30' || substr(se_serial, 1, 15) AS BLOB) WHERE record_no = 0")
        done = self.run_json(expect=1)
        [red] = self.device_with(done, "refused")
        self.assertEqual(red["reason"], "se-unknown")
        self.assertEqual(sum(after != was for after, was in zip(self.objects(), before)), CHIPS - 1)

    def test_a_wrong_pin_of_an_se_is_refused_after_one_try(self):
        pin = self.ferry.chips / "se-00002" / "pin"
        right = pin.read_text()
        pin.write_text("000000000000\n")
        done = self.run_json(expect=1)
        [red] = [device for device in done["devices"] if device["colour"] == "red"]
        self.assertEqual(red["reason"], "se-pin-refused")
        pin.write_text(right)
        self.assertEqual(self.run_json()["injected"], 1)

    def test_another_device_in_the_fixture_than_the_records_is_refused(self):
        self.ferry.lanes.write_text(self.ferry.lanes.read_text().replace('"DEV-00003"', '"DEV-99999"'))
        done = self.run_json(expect=1)
        [red] = self.device_with(done, "refused")
        self.assertEqual(red["reason"], "device-serial-mismatch")
        self.assertEqual(done["injected"], CHIPS - 1)

    def test_an_se_that_dies_at_any_point_ends_with_one_key_and_a_receipt(self):
        self.run_json()
        undisturbed = self.objects()
        for point in LANE_POINTS:
            with self.subTest(point):
                self.put_back("loaded")
                self.ferry.hooks = {"KEYFERRY_CUT": point}
                try:
                    done = self.run_json(expect=1)
                finally:
                    self.ferry.hooks = {}
                self.assertEqual(done["lost"], CHIPS)
                self.assertEqual({device["reason"] for device in done["devices"]}, {"se-lost"})
                again = self.run_json()
                self.assertEqual(again["injected"], CHIPS)
                self.assertEqual(self.objects(), undisturbed)
                self.assertEqual(self.bring_home()["injected"], CHIPS)

    def test_what_is_in_doubt_is_returned_only_when_somebody_gives_it_up(self):
        self.ferry.hooks = {"KEYFERRY_CUT": "lane.after-unwrap"}
        try:
            self.run_json(expect=1)
        finally:
            self.ferry.hooks = {}
        before = cases.dump(self.store, cases.STATION_NOTES)
        done = self.ferry.station("return", self.batch, "--confirm", self.batch, expect=None)
        self.assert_clear(done, "in doubt", "--quarantine-doubtful")
        self.assertEqual(cases.dump(self.store, cases.STATION_NOTES), before)
        self.ferry.station("return", self.batch, "--confirm", self.batch, "--quarantine-doubtful")
        home = self.bring_home()
        self.assertEqual((home["quarantined"], home["outstanding"]), (CHIPS, 0))


class MadeForAnotherMaster(FerryCase):
    def test_its_key_is_quarantined_and_the_others_are_green(self):
        ferry = self.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        for master in ("m", "m2"):
            ferry.officer("transport-master", "create", master)
        ferry.officer("source", "add", "room")
        ferry.make_chips(2)
        lines = ferry.inventory.read_text().splitlines(keepends=True)
        ferry.inventory.write_text("".join([lines[0], lines[1].replace("derived:m,", "derived:m2,"), lines[2]]))
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        ferry.export(ferry.batch(2))
        ferry.load()
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual((done["injected"], done["quarantined"]), (1, 1))
        [red] = ferry.station_json("status")["quarantine"]
        self.assertEqual(red["reason"], "blob-refused")


class WrongPins(Loaded):
    def test_a_wrong_pin_of_the_appliances_hsm_is_refused_and_changes_nothing(self):
        pin = self.ferry.secrets / "hsm-pin"
        right = pin.read_text()
        pin.write_text("000000000000\n")
        before = cases.dump(self.ledger)
        for command in (("transport-master", "create", "m9"), ("plan", "run", self.ferry.plan_file)):
            done = self.ferry.officer(*command, expect=None)
            self.assert_clear(done, "PIN")
        self.assertEqual(cases.dump(self.ledger), before)
        pin.write_text(right)
        # Two wrong ones in a row: the right one is not tried either, until a person says so.
        self.assert_clear(self.ferry.officer("transport-master", "create", "m9", expect=None), "2 wrong PINs in a row")
        self.ferry.run(["keyferry-hsm-gate", "--settings", self.ferry.gate_settings(), "--forget-wrong-pins"])
        self.ferry.officer("transport-master", "create", "m9")

    def test_a_wrong_passphrase_of_the_officer_is_refused(self):
        (self.ferry.secrets / "officer-passphrase").write_text("000000000000\n")
        before = cases.dump(self.ledger)
        self.assert_clear(self.ferry.officer("transport-master", "create", "m9", expect=None), "passphrase")
        self.assertEqual(cases.dump(self.ledger), before)

    def test_a_wrong_pin_of_the_station_is_refused_and_changes_nothing(self):
        (self.ferry.secrets / "station-pin").write_text("000000000000\n")
        before = cases.dump(self.store)
        for command in (("load", self.ferry.token), ("unload", "--to", self.ferry.token)):
            self.assert_clear(self.ferry.station(*command, expect=None), "PIN")
        self.assertEqual(cases.dump(self.store), before)


class PutBack(Loaded):
    """The station's home as it was before; its SEs are as they are now."""

    def setUp(self):
        super().setUp()
        self.run_json()
        self.ferry.unload()
        self.ferry.receipts()
        for name in ("station", "station-hsm"):
            shutil.rmtree(self.ferry.folder / name)
            shutil.copytree(self.root / "loaded" / name, self.ferry.folder / name, symlinks=True)

    def test_the_appliance_notices_the_fork_and_keeps_the_first_receipts(self):
        again = self.run_json()
        self.assertEqual(again["injected"], CHIPS)
        for old in self.ferry.receipt_files():
            old.unlink()
        receipts = rows(self.ledger, "SELECT * FROM receipt ORDER BY 1, 2")
        self.ferry.unload()
        done = self.ferry.receipts(expect=None)
        self.assert_clear(done, "refused", "log")
        self.assertEqual(rows(self.ledger, "SELECT * FROM receipt ORDER BY 1, 2"), receipts)
        report = self.ferry.reconcile(expect=1)
        [incident] = report["incidents"]
        self.assertRegex(incident["kind"], "station-log-(fork|root|rollback)")
        self.assertIn(f"incident kind={incident['kind']}", self.log())
        self.assertEqual(report["totals"]["injected"], CHIPS)
        before = cases.dump(self.ledger, cases.APPLIANCE_NOTES)
        self.ferry.receipts(expect=1)
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)
        self.assertEqual(len(self.ferry.reconcile(expect=1)["incidents"]), 1)

    def test_the_station_notices_it_with_the_next_batch(self):
        extra, plan, token = (self.ferry.folder / name for name in ("more.csv", "more.toml", "token-2"))
        token.mkdir()
        self.ferry.fake_inventory(extra, 2, lot="L5")
        self.ferry.officer("se", "import", extra, "--source", "room")
        self.ferry.export(self.ferry.batch(2, path=plan, lot="L5"), token)
        done = self.ferry.load(token, expect=None)
        self.assert_clear(done, "more of this station's log than there is here", "officers")
        self.assertEqual(len(self.ferry.station_json("status")["incidents"]), 1)


def small_files(limit_bytes):
    """For preexec_fn: no file grows beyond that, and the process is told by EFBIG, as by a full disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    return limit


class FullDisk(Loaded):
    @contextlib.contextmanager
    def limited(self, limit_bytes):
        real = subprocess.run
        subprocess.run = lambda *a, **more: real(*a, preexec_fn=small_files(limit_bytes), **more)
        try:
            yield
        finally:
            subprocess.run = real

    def test_the_appliance_says_it_and_finishes_the_batch_when_there_is_room(self):
        extra, plan, token = (self.ferry.folder / name for name in ("more.csv", "more.toml", "token-2"))
        token.mkdir()
        self.ferry.fake_inventory(extra, 600, lot="L5")
        self.ferry.officer("se", "import", extra, "--source", "room")
        self.ferry.new_plan(600, segment_size=64, path=plan, lot="L5")
        self.ferry.approve(plan)
        for limit_bytes in (4 << 10, 64 << 10, 512 << 10, 768 << 10):
            with self.subTest(limit_bytes), self.limited(limit_bytes):
                self.assert_clear(self.ferry.run_plan(plan, expect=None), "hint:", status=3)
        self.ferry.run_plan(plan)
        batch = self.ferry.appliance_json("plan", "show", plan)["batch"]
        self.ferry.export(batch, token)
        [sums] = self.ferry.reconcile(batch)["batches"]
        self.assertEqual((sums["issued"], sums["outstanding"]), (600, 600))
        self.assertTrue(sums_agree(sums))
        self.ferry.load(token)
        self.assertEqual({b["batch"]: b["loaded"] for b in self.ferry.station_json("status")["batches"]}[batch], 600)

    def test_the_station_says_it_and_goes_on_when_there_is_room(self):
        for limit_bytes in (0, 4 << 10, 32 << 10):
            with self.subTest(limit_bytes), self.limited(limit_bytes):
                done = self.ferry.station("--json", "run", "--lanes", self.ferry.lanes, expect=None)
                self.assertNotIn(done.returncode, (0, 70, -6, -11), done.stderr)
        self.assertEqual(self.run_json(expect={0, 1})["refused"], 0)
        with self.limited(1 << 10):
            self.assert_clear(self.ferry.unload(expect=None), status=3)
        home = self.bring_home()
        self.assertEqual(home["injected"] + home["quarantined"], CHIPS)

    def test_the_first_se_of_a_full_station_is_not_touched(self):
        before = self.objects()
        with self.limited(0):
            self.assert_clear(self.ferry.run_lanes(expect=None), status=3)
        self.assertEqual(self.objects(), before)

    def test_a_full_token_is_said_before_anything_is_written(self):
        token = self.ferry.folder / "small-token"
        token.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", token], capture_output=True).returncode:
            self.skipTest("no small file system can be mounted here")
        self.addCleanup(subprocess.run, ["umount", token], check=True)
        self.run_json()
        (token / "filler").write_bytes(bytes((1 << 20) - (8 << 10)))
        done = self.ferry.unload(token, expect=None)
        self.assert_clear(done, "no room on the token", status=3)
        self.assertFalse(any(path.suffix == ".kf" for path in token.rglob("*")))
        done = self.ferry.export(self.batch, token, expect=None)
        self.assert_clear(done, status=1 if "one token" in done.stderr + done.stdout else 3)
        self.assertEqual(self.bring_home()["injected"], CHIPS)


if __name__ == "__main__":
    cases.main()
