#!/usr/bin/env python3
"""Shares, backup, restore and take-over, cut off at every point that they pass, and given again."""
import json
import pathlib
import re
import shutil

import cases
from cases import FerryCase, rows
from ferry import BACKUP_CUTS, KILLED, cut_names

# A cut between C_InitToken and kf-backup leaves an empty token whose SO PIN nobody knows: it is named and refused.
BLANK_TOKEN_LEFT = {"worker.token.made"}


class CutAnywhere(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.shares = ferry.folder / "shares"
        cls.backup = ferry.folder / "kf.backup"
        cls.hsm = ferry.folder / "appliance-hsm"
        cls.trace = cls.root / "trace"
        cls.put_aside("nothing")
        cls.points = {"init": cls.traced(cls.init)}
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        cls.put_aside("ready")
        cls.points["backup"] = cls.traced(cls.make_backup)
        shutil.rmtree(cls.hsm / "tokens")
        cls.put_aside("lost")
        cls.points["restore"] = cls.traced(cls.restore)
        cls.put_aside("restored")
        cls.points["adopt"] = cls.traced(cls.adopt)

    @classmethod
    def traced(cls, command):
        """The cut points that the command passes."""
        cls.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(cls.trace)}
        command()
        cls.ferry.hooks = {}
        names = sorted({line.split()[0] for line in cls.trace.read_text().splitlines()})
        cls.trace.unlink()
        return names

    @classmethod
    def init(cls, **options):
        return cls.ferry.officer("init", "--name", "test", "--pin-file", cls.ferry.secrets / "hsm-pin", "--officer-name", "O",
                                 "--officer-key", cls.ferry.folder / "officer.pem", "--backup-shares", "2/3",
                                 "--backup-share-dir", cls.shares, "--insecure-allow", "network,swap,memlock", **options)

    @classmethod
    def make_backup(cls, **options):
        return cls.ferry.officer("hsm", "backup", cls.backup, **options)

    @classmethod
    def restore(cls, **options):
        shares = sorted(cls.shares.glob("*.txt"))
        return cls.ferry.appliance("hsm", "restore", cls.backup, "--share", shares[0], "--share", shares[2],
                                   "--pin-file", cls.ferry.secrets / "hsm-pin", **options)

    @classmethod
    def adopt(cls, **options):
        return cls.ferry.officer("hsm", "adopt-state", **options)

    def cut(self, command, point):
        self.ferry.hooks = {"KEYFERRY_CUT": point}
        done = command(expect=None)
        self.ferry.hooks = {}
        self.assertNotEqual(done.returncode, 0, f"{point}: nothing was cut")
        self.assertIn(done.returncode, (KILLED, 1, 2, 3), done.stderr)

    def assert_sound(self):
        done = self.ferry.appliance("hsm", "inventory", expect=None)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.ferry.officer("source", "add", "after")

    def test_every_point_of_these_commands_is_cut(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        wanted = {name for name in cut_names(source) if BACKUP_CUTS.match(name)}
        self.assertEqual(wanted - {point for points in self.points.values() for point in points}, set())

    def test_init_goes_on_with_the_shares_that_were_written(self):
        for point in self.points["init"]:
            with self.subTest(point):
                self.put_back("nothing")
                self.cut(self.init, point)
                if point in BLANK_TOKEN_LEFT:
                    self.assert_clear(self.init(expect=None), "holds no kf-backup", "blank")
                    continue
                self.init()
                self.assert_sound()
                checks = {re.search("check (.*)", path.read_text())[1] for path in self.shares.iterdir()}
                leaves = json.loads(self.ferry.appliance("--json", "log", "show").stdout)["leaves"]
                self.assertEqual(len(checks), 1)
                self.assertIn(checks.pop(), json.dumps(leaves))

    def test_a_backup_is_made_anew(self):
        for point in self.points["backup"]:
            with self.subTest(point):
                self.put_back("ready")
                self.cut(self.make_backup, point)
                self.backup.unlink(missing_ok=True)  # written, but never read back: nobody was told that it is good
                self.make_backup()
                self.assert_sound()

    def test_a_restore_goes_on(self):
        for point in self.points["restore"]:
            with self.subTest(point):
                self.put_back("lost")
                self.cut(self.restore, point)
                if point in BLANK_TOKEN_LEFT:
                    self.assert_clear(self.restore(expect=None), "holds no kf-backup", "blank")
                    continue
                self.restore()
                self.adopt()
                self.assert_sound()

    def test_a_take_over_goes_on(self):
        for point in self.points["adopt"]:
            with self.subTest(point):
                self.put_back("restored")
                self.cut(self.adopt, point)
                self.adopt()
                self.assert_sound()
                self.assertEqual(rows(self.ledger, "SELECT count(*) FROM old_hsm WHERE successor IS NOT NULL"), [(1,)])
                first = json.loads(self.ferry.appliance("--json", "log", "show").stdout)["leaves"][0]
                self.assertEqual(first["event"], "hsm.adopted")


if __name__ == "__main__":
    cases.main()
