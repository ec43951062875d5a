#!/usr/bin/env python3
"""Random PINs in shares: init and login; init cut off at every point that it passes, and given again."""
import pathlib
import shutil

import cases
from cases import FerryCase
from ferry import KILLED, PIN_CUTS, cut_names


class PinsInShares(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.hsm = ferry.folder / "appliance-hsm"
        cls.trace = cls.root / "trace"
        cls.put_aside("nothing")
        cls.points = {"init": cls.traced(cls.init)}
        cls.put_aside("ready")

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
        return cls.ferry.officer("init", "--name", "test", "--officer-name", "O", "--officer-key", cls.ferry.folder / "officer.pem",
                                 "--pin-shares", "2/3", "--pin-share-dir", cls.ferry.folder / "first",
                                 "--insecure-allow", "network,swap,memlock", **options)

    @classmethod
    def shares(cls, folder, kind, *numbers):
        total = len(list((cls.ferry.folder / folder).glob("kf-user-pin-*")))
        return [x for n in numbers for x in ("--share", cls.ferry.folder / folder / f"kf-{kind}-test-share-{n}-of-{total}.txt")]

    def cut(self, command, point):
        self.ferry.hooks = {"KEYFERRY_CUT": point}
        done = command(expect=None)
        self.ferry.hooks = {}
        self.assertNotEqual(done.returncode, 0, f"{point}: nothing was cut")
        self.assertIn(done.returncode, (KILLED, 1, 2, 3), done.stderr)

    def opens(self, folder, *numbers):
        return self.ferry.appliance("hsm", "inventory", *self.shares(folder, "user-pin", *numbers), expect=None).returncode == 0

    def test_every_point_of_these_commands_is_cut(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        wanted = {name for name in cut_names(source) if PIN_CUTS.match(name) and "change" not in name}
        self.assertEqual(wanted - {point for points in self.points.values() for point in points}, set())

    def test_every_pair_opens_and_one_share_does_not(self):
        self.put_back("ready")
        for pair in ((1, 2), (1, 3), (3, 2)):
            self.assertTrue(self.opens("first", *pair), pair)
        done = self.ferry.appliance("hsm", "inventory", *self.shares("first", "user-pin", 2), expect=None)
        self.assert_clear(done, "1 shares of the user PIN were given, 2 are needed", "--share")
        done = self.ferry.appliance("hsm", "inventory", *self.shares("first", "so-pin", 1, 2), expect=None)
        self.assert_clear(done, "0 shares of the user PIN were given", "--share")

    def test_init_goes_on(self):
        for point in self.points["init"]:
            with self.subTest(point):
                self.put_back("nothing")
                self.cut(self.init, point)
                self.init()
                self.assertTrue(self.opens("first", 1, 3))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.trace, ignore_errors=True)
        super().tearDownClass()


class Restored(FerryCase):
    def test_a_restored_hsm_gets_pins_and_shares_of_its_own(self):
        ferry = self.ferry
        folder = {name: ferry.folder / name for name in ("backup", "first", "second")}
        shares = lambda which, kind, total=3: [x for n in (1, 2) for x in
                                               ("--share", folder[which] / f"kf-{kind}-test-share-{n}-of-{total}.txt")]
        ferry.officer("init", "--name", "test", "--officer-name", "O", "--officer-key", ferry.folder / "officer.pem",
                      "--pin-shares", "2/3", "--pin-share-dir", folder["first"], "--backup-shares", "2/3",
                      "--backup-share-dir", folder["backup"], "--insecure-allow", "network,swap,memlock")
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test", *shares("first", "user-pin"))
        backup = ferry.folder / "kf.backup"
        ferry.officer("hsm", "backup", backup, *shares("first", "user-pin"))
        shutil.rmtree(ferry.folder / "appliance-hsm" / "tokens")
        done = ferry.appliance("hsm", "restore", backup, *shares("backup", "backup"), expect=None)
        self.assert_clear(done, "held as shares", "--pin-shares", status=2)
        ferry.appliance("hsm", "restore", backup, *shares("backup", "backup"), "--pin-shares", "2/2", "--pin-share-dir", folder["second"])
        ferry.officer("hsm", "adopt-state", *shares("second", "user-pin", 2))
        ferry.appliance("hsm", "inventory", *shares("second", "user-pin", 2))
        done = ferry.appliance("hsm", "inventory", *shares("first", "user-pin"), expect=None)
        self.assert_clear(done, "share 1 of the user PIN", "check")


if __name__ == "__main__":
    cases.main()
