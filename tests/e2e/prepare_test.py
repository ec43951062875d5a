#!/usr/bin/env python3
"""A secure room makes blank ATECC608 chips ready on the appliance's order, its receipts become inventory, and a batch for
those very chips goes to the line and comes home attested. Then what is refused, and kill -9 at every cut of the room."""
import base64
import json
import os
import pathlib
import signal
import subprocess
import unittest

import cases
from cases import FerryCase, flipped, rows
from ferry import Failed, KILLED, PREPARE_CUTS, cut_names, sums_agree

SOURCE = pathlib.Path(__file__).resolve().parents[2]
CONFIGURATION = SOURCE / "tests" / "vectors" / "atecc608" / "example-configuration.hex"
CHIPS = 3


def profile(configuration):
    return (f'[atecc608]\nconfiguration = "{configuration}"\ntransport_slot = 4\ntarget_slot = 0\nattestation_slot = 1\n'
            'secure_boot_slot = 15\ncertificate_form = "plain"\nchain = "leaf"\ncertificate_slots = [8, 10, 12]\n')


class Chips:
    """Blank chips of a folder behind their sockets, as long as it lives."""

    def __init__(self, ferry, name, count):
        self.folder = ferry.folder / name
        ferry.run(["keyferry-vse", "atecc608", "make", "--blank", "--count", count, "--folder", self.folder, "--config", CONFIGURATION])
        self.server = subprocess.Popen([ferry.programs / "keyferry-vse", "atecc608", "--folder", self.folder],
                                       stdout=subprocess.PIPE, text=True)
        self.server.stdout.readline()

    def addresses(self):
        return [f"unix:{path}" for path in sorted(self.folder.glob("*.sock"))]

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()
        self.server.stdout.close()


class SecureRoom(FerryCase):
    @classmethod
    def room(cls, *arguments, name="preparer", hooks=None, **options):
        before = cls.ferry.hooks
        cls.ferry.hooks = {**before, **(hooks or {})}
        try:
            return cls.ferry.run(["keyferry-prepare", "--home", cls.ferry.folder / name, *arguments],
                                 secret_fds=[] if arguments[-1:] == ("status",) or "receipts" in arguments
                                 else [("--pin-fd", "station-pin")], **options)
        finally:
            cls.ferry.hooks = before

    @classmethod
    def serve(cls, name, count):
        chips = Chips(cls.ferry, name, count)
        cls.addClassCleanup(chips.stop)
        return chips

    @classmethod
    def prepare_chips(cls, chips, *more, **options):
        return cls.room("atecc608", *more, *(word for address in chips.addresses() for word in ("--chip", address)), **options)

    @classmethod
    def order(cls, count, lot, preparer="room-1"):
        done = json.loads(cls.ferry.officer("--json", "se", "order", "--preparer", preparer, "--vendor", "room", "--profile", cls.profile,
                                            "--count", count, "--lot", lot, "--secure-boot-key", cls.boot_key).stdout)
        return pathlib.Path(done["order"]), done["digest"]

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        # A chain of four: the SE keeps the leaf, the station knows the rest.
        ferry.officer("ca", "create", "root", "--subject", "CN=Test Root,O=Test", "--path-length", "2")
        ferry.officer("ca", "create", "policy", "--template", "intermediate", "--issuer", "root", "--path-length", "1",
                      "--subject", "CN=Test Policy CA,O=Test")
        ferry.officer("ca", "create", "ca", "--template", "intermediate", "--issuer", "policy", "--subject", "CN=Test CA,O=Test")
        ferry.officer("family", "enable", "atecc608", "--reason", "first line")
        ferry.officer("vendor-key", "create", "room", "--mechanism", "rsa-oaep-sha1")
        cls.identity = json.loads(cls.room("--json", "init", "--name", "room-1").stdout)
        ferry.officer("source", "add", "room-1", "--kind", "preparation", "--public-key", cls.identity["public_key"])
        cls.profile = ferry.folder / "profile.toml"
        cls.profile.write_text(profile("".join(CONFIGURATION.read_text().split())))
        boot = ferry.folder / "boot.pem"
        cases.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", boot)
        cls.boot_key = ferry.folder / "boot-public.pem"
        cls.boot_key.write_bytes(cases.openssl("ec", "-in", boot, "-pubout"))
        cls.order_file, cls.digest = cls.order(CHIPS, "L1")
        cls.accepted = cls.room("accept", cls.order_file, "--fingerprint", ferry.appliance_words).stdout
        cls.chips = cls.serve("chips", CHIPS)
        cls.prepared = json.loads(cls.prepare_chips(cls.chips, "--json").stdout)
        cls.receipts_file = ferry.folder / "l1.prep"
        cls.room("receipts", "--out", cls.receipts_file)
        cls.imported = json.loads(ferry.officer("--json", "se", "import", cls.receipts_file, "--source", "room-1").stdout)
        ferry.enroll()
        ferry.lanes.write_text('[[lane]]\nnumber = 1\nfamily = "atecc608"\nperson = 1\n' + "".join(
            f'[[lane.se]]\nchip = "{address}"\ndevice_serial = "D{i}"\n' for i, address in enumerate(cls.chips.addresses())))
        cls.batch = ferry.batch(CHIPS, family="atecc608", atecc608_profile=cls.profile, subject="CN={se_serial},O=Test")
        ferry.export(cls.batch)
        ferry.load()
        ferry.run_lanes()
        ferry.unload()
        ferry.receipts()
        cls.report = ferry.reconcile()
        cls.kinds = rows(ferry.home / "ledger.db", "SELECT evidence, count(*) FROM receipt GROUP BY 1")

    def test_prepared_chips_come_home_injected_and_attested(self):
        self.assertEqual(self.prepared["chips"], {"prepared": CHIPS})
        self.assertEqual((self.imported["rows"], self.imported["delivered"]), (CHIPS, CHIPS))
        [batch] = self.report["batches"]
        self.assertEqual((batch["issued"], batch["injected"]), (CHIPS, CHIPS))
        self.assertTrue(sums_agree(batch))
        self.assertEqual([count for _, count in self.kinds], [CHIPS])
        self.assertIn("attested", str(self.kinds))

    def test_the_order_is_shown_in_sentences(self):
        for words in ("up to 3 chips, part ATECC608B, lot L1", "transport key in slot 4", "attestation key made in slot 1"):
            self.assertIn(words, self.accepted)

    def test_the_same_chips_again_change_nothing(self):
        again = json.loads(self.prepare_chips(self.chips, "--json", "--order", self.digest).stdout)
        self.assertEqual(again["chips"], {"prepared-before": CHIPS})

    def test_no_transport_key_leaves_the_room_in_clear(self):
        keys = [line.split()[1][:64] for path in sorted(self.chips.folder.glob("*.state"))
                for line in path.read_text().splitlines() if line.startswith("slot4 ")]
        self.assertEqual(len(set(keys)), CHIPS)
        for folder in (self.ferry.folder / "preparer", self.ferry.home, self.ferry.station_home):
            for path in folder.rglob("*"):
                if path.is_file():
                    octets = path.read_bytes()
                    for key in keys:
                        self.assertNotIn(bytes.fromhex(key), octets, path)
                        self.assertNotIn(key.encode(), octets, path)

    def test_an_order_for_another_preparer_is_refused(self):
        other = json.loads(self.room("--json", "init", "--name", "room-2", name="other").stdout)
        done = self.room("accept", self.order_file, "--fingerprint", self.ferry.appliance_words, name="other", expect=1)
        self.assert_clear(done, "another preparer")
        self.assertNotEqual(other["public_key"], self.identity["public_key"])

    def test_an_altered_order_is_refused(self):
        octets = self.order_file.read_bytes()
        altered = self.ferry.folder / "altered.order"
        altered.write_bytes(flipped(octets, octets.index(bytes.fromhex("9f8f8f8f"))))
        self.assert_clear(self.room("accept", altered, "--fingerprint", self.ferry.appliance_words, expect=1), "not signed")

    def test_nothing_is_accepted_before_the_words_fit(self):
        key = json.loads(self.room("--json", "init", "--name", "room-7", name="room-7").stdout)["public_key"]
        self.ferry.officer("source", "add", "room-7", "--kind", "preparation", "--public-key", key)
        order, _ = self.order(1, "L7", preparer="room-7")
        first, second, *rest = self.ferry.appliance_words.split("-")
        swapped = "-".join((second, first, *rest))
        done = self.room("accept", order, "--fingerprint", swapped, name="room-7", expect=1)
        self.assert_clear(done, "another appliance", self.ferry.appliance_words)
        self.assertFalse((self.ferry.folder / "room-7" / "appliance").exists())
        self.room("accept", order, "--fingerprint", self.ferry.appliance_words, name="room-7")

    def test_altered_receipts_are_refused_as_a_whole(self):
        lines = self.receipts_file.read_text().splitlines()
        receipt = base64.b64decode(lines[2])
        lines[2] = base64.b64encode(flipped(receipt, receipt.index(b"ATECC608B") + 3)).decode()
        altered = self.ferry.folder / "altered.prep"
        altered.write_text("\n".join(lines) + "\n")
        done = self.ferry.officer("se", "import", altered, "--source", "room-1", expect=1)
        self.assert_clear(done, "nothing was taken in", "not signed by the enrolled preparer")

    def test_receipts_of_a_stranger_and_of_no_order_are_refused(self):
        self.ferry.officer("source", "add", "room-9", "--kind", "preparation", "--public-key",
                           json.loads(self.room("--json", "init", "--name", "room-9", name="room-9").stdout)["public_key"])
        done = self.ferry.officer("se", "import", self.receipts_file, "--source", "room-9", expect=1)
        self.assert_clear(done, "not signed by the enrolled preparer")

    def test_a_locked_chip_that_nobody_ordered_is_left_alone(self):
        self.room("accept", self.order(5, "L2")[0])
        digest = max((self.ferry.folder / "preparer" / "orders").iterdir(), key=lambda path: path.stat().st_mtime).name
        done = json.loads(self.prepare_chips(self.chips, "--json", "--order", digest, expect=1).stdout)
        self.assertEqual(done["chips"], {"refused": CHIPS})

    def test_the_station_program_has_no_code_for_it(self):
        symbols = subprocess.run(["nm", "-C", self.ferry.programs / "keyferry-station"], capture_output=True, text=True, check=True).stdout
        room = subprocess.run(["nm", "-C", self.ferry.programs / "keyferry-prepare"], capture_output=True, text=True, check=True).stdout
        for name in ("Session::lock_config", "Session::lock_data", "Session::make_key"):
            self.assertIn(name, room)
            self.assertNotIn(name, symbols)

    def cut_off_while_records_are_made(self, chips, count):
        """The worker dies with a record half made: the run goes on by itself or when given again, with other keys and nonces."""
        ferry = self.ferry
        plan = ferry.new_plan(count, lot="L3", family="atecc608", atecc608_profile=self.profile, subject="CN={se_serial},O=Test",
                              path=ferry.folder / "cut.toml")
        ferry.approve(plan)
        before, ferry.hooks = ferry.hooks, {**ferry.hooks, "KEYFERRY_CUT": "worker.record.built"}
        try:
            self.assertNotEqual(ferry.run_plan(plan, expect=None).returncode, 0)
        finally:
            ferry.hooks = before
        batch = json.loads(ferry.run_plan(plan).stdout)["batch"]
        nonces = rows(ferry.home / "ledger.db", "SELECT count(*) FROM seen_nonce")
        self.assertGreaterEqual(nonces[0][0], count)
        ferry.export(batch)
        ferry.load()
        lanes = ferry.lanes.read_text()
        ferry.lanes.write_text('[[lane]]\nnumber = 1\nfamily = "atecc608"\nperson = 1\n' + "".join(
            f'[[lane.se]]\nchip = "{address}"\ndevice_serial = "E{i}"\n' for i, address in enumerate(chips.addresses())))
        ferry.run_lanes()
        ferry.lanes.write_text(lanes)
        ferry.unload()
        ferry.receipts()
        [cut] = [one for one in ferry.reconcile()["batches"] if one["batch"] == batch]
        self.assertEqual((cut["issued"], cut["injected"]), (count, count))

    def test_killed_at_each_cut_it_goes_on(self):
        names = sorted(name for name in cut_names(SOURCE) if PREPARE_CUTS.match(name))
        chip_cuts = [name for name in names if name != "prepare.init-before" and "se-order" not in name]
        order, digest = self.order(len(chip_cuts), "L3")
        self.room("accept", order)
        chips = self.serve("cut-chips", len(chip_cuts))
        for name, address in zip(chip_cuts, chips.addresses(), strict=True):
            with self.subTest(name):
                arguments = ("atecc608", "--order", digest, "--chip", address)
                self.room(*arguments, hooks={"KEYFERRY_CUT": name}, expect=KILLED)
                self.room(*arguments)
        with self.subTest("prepare.init-before"):
            self.room("init", "--name", "cut", name="cut-room", hooks={"KEYFERRY_CUT": "prepare.init-before"}, expect=KILLED)
            self.room("init", "--name", "cut", name="cut-room")
        receipts = self.ferry.folder / "cut.prep"
        self.room("receipts", "--order", digest, "--out", receipts)
        taken = json.loads(self.ferry.officer("--json", "se", "import", receipts, "--source", "room-1").stdout)
        self.assertEqual(taken["rows"], len(chip_cuts))
        with self.subTest("worker.record.built"):
            self.cut_off_while_records_are_made(chips, len(chip_cuts))

    def test_an_order_that_was_cut_off_is_given_out_once_it_was_approved(self):
        """The plan is spent once: the same command, or `plan run`, writes that very order, with no second approval."""
        for lot, cut in (("L4", "front.se-order.before"), ("L5", "gate.se-order.committed")):
            with self.subTest(cut):
                before, self.ferry.hooks = self.ferry.hooks, {**self.ferry.hooks, "KEYFERRY_CUT": cut}
                try:
                    with self.assertRaises(Failed):
                        self.order(1, lot)
                finally:
                    self.ferry.hooks = before
                ran = lambda: [leaf["fields"]["plan"] for leaf in self.ferry.appliance_json("log", "show")["leaves"]
                               if leaf["event"] == "plan.run" and leaf["fields"]["operation"] == "se-prepare"]
                self.ferry.appliance("hsm", "inventory")  # any gate settles what the cut left
                spent = ran()
                written, digest = self.order(1, lot)
                self.assertTrue(written.exists())
                self.assertEqual(ran(), spent, "no second plan")
                self.assertEqual(digest, spent[-1])
                self.room("accept", written)


if __name__ == "__main__":
    cases.main()
