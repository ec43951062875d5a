#!/usr/bin/env python3
"""Random PINs in shares: init, login, change, restore, lock; init and change cut off at every point, and given again."""
import json
import os
import pathlib
import shutil
import subprocess
import time

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


class PinChange(FerryCase):
    """Two of three officers; three custodians take over from the first three, by a plan."""

    CUSTODIANS = (5, 6, 7)
    words = {}

    @classmethod
    def shares(cls, folder, *kinds):
        return [x for kind in kinds for n in (1, 3) for x in
                ("--share", cls.ferry.folder / folder / f"kf-{kind}-test-share-{n}-of-3.txt")]

    @classmethod
    def card(cls, name, role):
        card = cls.ferry.folder / f"{name}.card"
        done = cls.ferry.run(["keyferry-appliance", "--json", "officer", "request", "--officer-key", cls.ferry.folder / f"{name}.pem", "--name", name,
                       "--role", role, "--out", card], secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])
        cls.words[name] = json.loads(done.stdout)["fingerprint"]
        return card

    @classmethod
    def planned(cls, name, *arguments):
        """Written to a file and approved."""
        plan = cls.ferry.folder / f"{name}.toml"
        cls.ferry.appliance(*arguments, *cls.shares("first", "user-pin"), "--plan-out", plan)
        for who in ("o1", "o2", "o3"):  # who joins or holds the PIN is decided by M + 1
            cls.ferry.officer("plan", "approve", plan, "--officer-key", cls.ferry.folder / f"{who}.pem")
        return plan

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cards = [x for who in ("o1", "o2", "o3", "witness") for x in
                 ("--officer-card", cls.card(who, "witness" if who == "witness" else "officer"))]
        ferry.appliance("init", "--name", "test", "--insecure-allow", "network,swap,memlock", "--officers-needed", 2, *cards,
                        "--pin-shares", "2/3", "--pin-share-dir", ferry.folder / "first")
        for number in cls.CUSTODIANS:
            card = cls.card(f"c{number}", "custodian")
            plan = cls.planned(f"add-{number}", "officer", "add", card, "--fingerprint", cls.words[f"c{number}"])
            ferry.appliance("plan", "run", plan, *cls.shares("first", "user-pin"))
        custodians = [x for number in cls.CUSTODIANS for x in ("--custodian", number)]
        cls.plan = cls.planned("change", "hsm", "pin-change", *custodians, "--needed", 2, "--reason", "a custodian left")
        cls.put_aside("ready")
        cls.trace = cls.root / "trace"
        ferry.hooks = {"KEYFERRY_CUT_TRACE": str(cls.trace)}
        cls.change()
        ferry.hooks = {}
        cls.points = sorted({line.split()[0] for line in cls.trace.read_text().splitlines()})

    @classmethod
    def change(cls, *more, **options):
        return cls.ferry.appliance("plan", "run", cls.plan, *cls.shares("first", "user-pin", "so-pin"), "--pin-share-dir",
                                   cls.ferry.folder / "second", *more, **options)

    def setUp(self):
        self.put_back("ready")

    def opens(self, folder):
        return self.ferry.appliance("hsm", "inventory", *self.shares(folder, "user-pin"), expect=None).returncode == 0

    def test_the_new_shares_open_and_the_old_ones_nothing_more(self):
        self.change()
        self.assertTrue(self.opens("second"))
        done = self.ferry.appliance("hsm", "inventory", *self.shares("first", "user-pin"), expect=None)
        self.assert_clear(done, "share 1 of the user PIN")
        leaves = self.ferry.appliance_json("log", "show")["leaves"]
        self.assertIn("hsm.pin-changed", [leaf["event"] for leaf in leaves])

    def test_without_the_so_pin_s_shares_nothing_is_changed(self):
        done = self.ferry.appliance("plan", "run", self.plan, *self.shares("first", "user-pin"), "--pin-share-dir",
                                    self.ferry.folder / "second", expect=None)
        self.assert_clear(done, "0 shares of the SO PIN were given")
        self.assertTrue(self.opens("first"))

    def test_every_point_of_the_change_is_cut(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        wanted = {name for name in cut_names(source) if PIN_CUTS.match(name) and "change" in name}
        self.assertEqual(wanted - set(self.points), set())

    def test_a_change_that_was_cut_off_goes_on(self):
        for point in self.points:
            with self.subTest(point):
                self.put_back("ready")
                self.ferry.hooks = {"KEYFERRY_CUT": point}
                done = self.change(expect=None)
                self.ferry.hooks = {}
                self.assertNotEqual(done.returncode, 0, f"{point}: nothing was cut")
                # Which shares it wants depends on how far it came; what it says each time leads to the next.
                given = [self.shares("first", "user-pin", "so-pin"),
                         self.shares("second", "user-pin") + self.shares("first", "so-pin"), self.shares("second", "user-pin")]
                for shares in given:
                    done = self.ferry.appliance("plan", "run", self.plan, *shares, "--pin-share-dir", self.ferry.folder / "second",
                                                expect=None)
                    if done.returncode == 0:
                        break
                    self.assertRegex(done.stderr, "is of set .*, the HSM's is|bring the new shares", point)
                self.assertEqual(done.returncode, 0, f"{point}: {done.stderr}")
                self.assertTrue(self.opens("second"), point)
                self.assertFalse(self.opens("first"), point)


class Locked(FerryCase):
    """A gate that listens, and is told to log out."""

    def test_hsm_lock_ends_the_gate(self):
        ferry = self.ferry
        ferry.init()
        socket = ferry.folder / "gate.socket"
        for settings in (ferry.home / "settings.toml", ferry.gate_settings()):
            self.assertTrue(settings.exists())
        with open(ferry.home / "settings.toml", "a", encoding="ascii") as settings:
            settings.write(f'gate_socket = "{socket}"\n')
        with open(ferry.gate_settings(), "a", encoding="ascii") as settings:
            settings.write(f'[socket]\npath = "{socket}"\nallow_uid = {os.getuid()}\n')
        with open(ferry.secrets / "hsm-pin", encoding="ascii") as pin:
            gate = subprocess.Popen([cases.programs / "keyferry-hsm-gate", "--settings", ferry.gate_settings(), "--listen", "--pin-fd",
                                     "0", "--insecure-allow", "network,swap,memlock"], stdin=pin)
        self.addCleanup(gate.wait)
        self.addCleanup(gate.kill)
        for _ in range(200):
            if socket.exists():
                break
            time.sleep(0.05)
        self.assertIn("every key is in the log", ferry.appliance("hsm", "inventory").stdout)
        self.assertTrue(json.loads(ferry.appliance("--json", "hsm", "lock").stdout)["locked"])
        self.assertEqual(gate.wait(timeout=20), 0)
        self.assert_clear(ferry.appliance("hsm", "inventory", expect=None), "connect to the gate", "start it again", status=3)


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
