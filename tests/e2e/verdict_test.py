#!/usr/bin/env python3
"""Every verdict that says fail, per family, from the line to the next CRL: somebody's hand changes the SE (or the station's
memory) between writing and verifying; the device is red, its record quarantined at the appliance, the lane and the next plan
refuse the SE, and openssl finds its certificate on the CRL. And a line whose clock is years off, under a plan that does not
ask it."""
import contextlib
import datetime
import json
import os
import subprocess
import threading
import time
import tomllib

import cases
from cases import FerryCase, openssl, rows
from ferry import sums_agree
from prepare_test import CONFIGURATION, Chips, profile

TWENTY_YEARS = str(20 * 365 * 86_400)
CERTIFICATE_SLOTS = (8, 10, 12)  # of prepare_test's profile
TARGET_SLOT = 0
PATIENCE_S = 120
# Chain, challenge, serial by the reason: those after the first that fails are not run.
VERDICTS = {"": ("pass", "pass", "pass"), "chain-differs": ("fail", "not-run", "not-run"), "challenge-failed": ("pass", "fail", "not-run"),
            "serial-not-registered": ("pass", "pass", "fail"), "firmware-signature": ("pass", "pass", "pass")}
FIRMWARE = {**{reason: "not-run" for reason in VERDICTS}, "": "pass", "firmware-signature": "fail"}


class AtTheHold:
    """`keyferry-station run`, stopped at each SE between writing and verifying until a hand has done its work."""

    def __init__(self, ferry, hands):
        self.ferry, self.hands, self.pipe = ferry, hands, ferry.folder / "hold"
        self.taken, self.done, self.failed = [], None, None

    def line(self):
        try:
            self.done = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        except Exception as failure:  # told by the thread that waits
            self.failed = failure

    def next_record(self, thread):
        """Batch and number of the record in work that no hand has come to; one lane has one at a time."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and thread.is_alive():
            for key in rows(self.ferry.station_home / "station.db", "SELECT batch_id, record_no FROM record WHERE state = 'injecting'"):
                if key not in self.taken:
                    return key
            time.sleep(0.02)
        raise AssertionError(f"no SE came to its verification: {self.failed or self.done}")

    def run(self):
        os.mkfifo(self.pipe)
        self.ferry.hooks["KEYFERRY_HOLD"] = f"station.locked:{self.pipe}"
        thread = threading.Thread(target=self.line, daemon=True)
        thread.start()
        try:
            for hand in self.hands:
                key = self.next_record(thread)
                with open(self.pipe, "wb"):
                    self.taken.append(key)
                    hand(*key)
        finally:
            with contextlib.suppress(OSError):  # whoever waits there goes on
                os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK))
            self.pipe.unlink()
            thread.join(PATIENCE_S)
            del self.ferry.hooks["KEYFERRY_HOLD"]
        if self.failed:
            raise self.failed
        return self.done


class EveryVerdict(FerryCase):
    """One appliance, one CA; a batch per family."""

    @classmethod
    def room(cls, *arguments, pin=True):
        return cls.ferry.run(["keyferry-prepare", "--home", cls.ferry.folder / "preparer", *arguments],
                             secret_fds=[("--pin-fd", "station-pin")] if pin else [])

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.set_up(4, lanes=1)
        cls.pkcs11_lanes = ferry.lanes.read_text()
        ferry.officer("family", "enable", "atecc608", "--reason", "first line")
        ferry.officer("vendor-key", "create", "room", "--mechanism", "rsa-oaep-sha1")
        identity = json.loads(cls.room("--json", "init", "--name", "room-1").stdout)
        ferry.officer("source", "add", "room-1", "--kind", "preparation", "--public-key", identity["public_key"])
        cls.profile = ferry.folder / "profile.toml"
        cls.profile.write_text(profile("".join(CONFIGURATION.read_text().split())))
        for name in ("boot", "stranger"):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", ferry.folder / f"{name}.pem")
        cls.boot_key = ferry.folder / "boot-public.pem"
        cls.boot_key.write_bytes(openssl("ec", "-in", ferry.folder / "boot.pem", "-pubout"))
        order = json.loads(ferry.officer("--json", "se", "order", "--preparer", "room-1", "--vendor", "room", "--profile", cls.profile,
                                         "--count", 5, "--lot", "A1", "--secure-boot-key", cls.boot_key).stdout)["order"]
        cls.room("accept", order, "--fingerprint", ferry.appliance_words)
        cls.chips = Chips(ferry, "chips", 5)
        cls.addClassCleanup(cls.chips.stop)
        cls.room("atecc608", *(word for address in cls.chips.addresses() for word in ("--chip", address)))
        cls.room("receipts", "--out", ferry.folder / "a1.prep", pin=False)
        ferry.officer("se", "import", ferry.folder / "a1.prep", "--source", "room-1")
        cls.image = ferry.folder / "image"
        cls.image.write_bytes(b"firmware of the device, version 7")

    # --- hands ----------------------------------------------------------------------------------------------------------

    first_done = None

    def nobody(self, batch, record):
        self.first_done = (batch, record)

    def another_serial(self, batch, record):
        """The station's list of what is in the batch is not what it was."""
        changed = cases.edit(self.store, "UPDATE record SET certificate_serial = randomblob(16) WHERE batch_id = ? AND record_no = ?",
                             batch, record)
        self.assertEqual(changed, 1)

    def se_of(self, batch, record):
        """The lanes file's SE that this record is for."""
        [(serial,)] = rows(self.store, "SELECT CAST(se_serial AS TEXT) FROM record WHERE batch_id = ? AND record_no = ?", batch, record)
        [se] = [se for lane in tomllib.loads(self.ferry.lanes.read_text())["lane"] for se in lane["se"] if serial in se["uri"]]
        return se

    def reach_into_store(self, command, se, *more):
        done = subprocess.run([cases.programs.parent / "test-bin" / "e2e_tool", command, se["uri"], *more], capture_output=True, text=True,
                              env={**os.environ, "SOFTHSM2_CONF": se["softhsm2_conf"]})
        self.assertEqual(json.loads(done.stdout or "{}"), {"replaced": 1}, done.stderr)

    def another_leaf_in_the_store(self, batch, record):
        """A valid one of the same batch, which the CA signed for the first SE."""
        leaf = self.ferry.folder / "leaf.der"
        [(octets,)] = rows(self.store, "SELECT certificate FROM record WHERE batch_id = ? AND record_no = ?", *self.first_done)
        leaf.write_bytes(octets)
        self.reach_into_store("replace-leaf", self.se_of(batch, record), leaf)

    def another_key_in_the_store(self, batch, record):
        self.reach_into_store("replace-key", self.se_of(batch, record))

    def cells_of(self, batch, record):
        """Chip's state file, and its lines by name."""
        [(serial,)] = rows(self.store, "SELECT lower(hex(se_serial)) FROM record WHERE batch_id = ? AND record_no = ?", batch, record)
        for state in sorted(self.chips.folder.glob("*.state")):
            lines = dict(line.split(" ", 1) for line in state.read_text().splitlines())
            configuration = lines["config"]
            if configuration[:8] + configuration[16:26] == serial:  # SN[0:3] and SN[4:8]: octets 0 to 3 and 8 to 12
                return state, lines
        raise AssertionError(f"no chip has the serial {serial}")

    def lay(self, state, lines):
        beside = state.with_suffix(".new")
        beside.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        beside.rename(state.with_suffix(".hand"))

    def another_leaf_in_the_chip(self, batch, record):
        state, lines = self.cells_of(batch, record)
        _, first = self.cells_of(*self.first_done)
        self.lay(state, {**lines, **{f"slot{n}": first[f"slot{n}"] for n in CERTIFICATE_SLOTS}})

    def another_key_in_the_chip(self, batch, record):
        state, lines = self.cells_of(batch, record)
        self.lay(state, {**lines, f"slot{TARGET_SLOT}": "00" * 4 + os.urandom(32).hex()})

    # --- what must follow -------------------------------------------------------------------------------------------------

    def expect_quarantined(self, batch, expected, lots, firmware=None):
        """`expected`: {record: reason}, of all but the sound one. `firmware`: that verdict by reason; nothing: no plan can ask."""
        ferry, identifier = self.ferry, bytes.fromhex(batch)
        with self.subTest("the lane refuses them, and nothing is left to write"):
            again = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
            self.assertEqual({d["record_no"]: d["reason"] for d in again["devices"] if d["batch"] == batch and d["result"] == "quarantined"},
                             expected)
            self.assertEqual(again["injected"], 0)
            self.assertEqual(rows(self.store, "SELECT count(*) FROM record WHERE batch_id = ? AND state = 'quarantined' AND payload IS NULL",
                                  identifier), [(len(expected),)])
        ferry.unload()
        ferry.receipts()
        [sums] = ferry.reconcile(batch)["batches"]
        self.assertEqual((sums["injected"], sums["quarantined"], sums["outstanding"]), (1, len(expected), 0))
        self.assertTrue(sums_agree(sums))
        self.assertEqual(rows(self.ledger, "SELECT kind FROM incident"), [])
        receipts = rows(self.ledger, "SELECT record_no, reason, hex(core) FROM receipt WHERE batch_id = ? ORDER BY record_no", identifier)
        self.assertEqual({record: reason for record, reason, _ in receipts if reason}, expected)
        verdicts = cases.tool("verdicts", *(core for *_, core in receipts))
        for (record, reason, _), found in zip(receipts, verdicts):
            self.assertEqual(found, [*VERDICTS[reason], *(["not-applicable"] if firmware is None else [firmware[reason]])], (record, reason))
        waiting = {one["record_no"]: one for one in ferry.appliance_json("quarantine", "list")["waiting"] if one["batch"] == batch}
        self.assertEqual({number: one["reason"] for number, one in waiting.items()}, expected)
        self.assertEqual({one["crl"] for one in waiting.values()}, {"due for the next CRL of kf-ca/ca"})
        with self.subTest("no plan takes these SEs"):
            done = ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 1, "--out", ferry.folder / "no.toml", *lots,
                                   expect=None)
            self.assert_clear(done, "0 of this choice")
        self.expect_on_crl(batch, waiting)

    def expect_on_crl(self, batch, waiting):
        """openssl, with the CA's own certificate: revoked, and the sound one is not."""
        ferry = self.ferry
        crl = json.loads(ferry.officer("--json", "crl", "issue", "--ca", "ca").stdout)["pem"]
        folder = ferry.folder / f"certificates-{batch[:8]}"
        folder.mkdir()
        ferry.appliance("batch", "certificates", batch, "--to", folder)
        for leaf in sorted(folder.glob("record-*.pem")):
            number = int(leaf.stem.split("-")[1])
            done = subprocess.run(["openssl", "verify", "-crl_check", "-CAfile", folder / "ca.pem", "-CRLfile", crl, leaf],
                                  capture_output=True, text=True)
            with self.subTest(f"record {number} and the CRL"):
                self.assertEqual("certificate revoked" in done.stderr, number in waiting, done.stderr)
                self.assertEqual(done.returncode == 0, number not in waiting, done.stderr)
        text = openssl("crl", "-in", crl, "-noout", "-text").decode()
        listed = {line.split(":")[1].strip().lower() for line in text.splitlines() if "Serial Number:" in line}
        self.assertLessEqual({one["certificate_serial"] for one in waiting.values()}, listed)

    def reasons_of(self, taken, reasons):
        return {record: reason for (_, record), reason in zip(taken, reasons) if reason}

    # --- families -----------------------------------------------------------------------------------------------------------

    def test_pkcs11(self):
        ferry = self.ferry
        ferry.lanes.write_text(self.pkcs11_lanes)
        with self.subTest("firmware: SEs of this family hold no key for it, so no plan may ask"):
            plan = ferry.new_plan(4, path=ferry.folder / "firmware.toml", firmware=self.image)
            check = ferry.appliance_json("plan", "check", plan, expect=1)
            [refusal] = [one for one in check["refusals"] if one["reason"] == "batch-firmware"]
            self.assertIn("SEs of family pkcs11 have none", refusal["text"])
            self.assert_clear(ferry.approve(plan, expect=None), "pkcs11", "firmware")
        batch = ferry.batch(4, clock_skew="300")
        ferry.export(batch)
        ferry.load()
        hold = AtTheHold(ferry, [self.nobody, self.another_leaf_in_the_store, self.another_key_in_the_store, self.another_serial])
        done = hold.run()
        self.assertEqual((done["injected"], done["quarantined"]), (1, 3), done)
        expected = self.reasons_of(hold.taken, [None, "chain-differs", "challenge-failed", "serial-not-registered"])
        self.expect_quarantined(batch, expected, ("--lot", "L1"))

    def test_atecc608(self):
        ferry = self.ferry
        plan = ferry.new_plan(5, path=ferry.folder / "atecc608.toml", lot="A1", family="atecc608", atecc608_profile=self.profile,
                              subject="CN={se_serial},O=Test", firmware=self.image, secure_boot_key=self.boot_key)
        shown = ferry.appliance("plan", "show", plan).stdout
        self.assertIn("the signature of the firmware image", shown)
        self.assertIn("secure-boot key that reads in words", shown)
        ferry.approve(plan)
        batch = json.loads(ferry.run_plan(plan).stdout)["batch"]
        ferry.export(batch)
        ferry.load()
        self.expect_no_setting_turns_firmware_off(batch)
        addresses = self.chips.addresses()
        self.write_lanes({"boot": addresses[:4]})
        hold = AtTheHold(ferry, [self.nobody, self.another_leaf_in_the_chip, self.another_key_in_the_chip, self.another_serial])
        done = hold.run()
        self.assertEqual((done["injected"], done["quarantined"]), (1, 3), done)
        expected = self.reasons_of(hold.taken, [None, "chain-differs", "challenge-failed", "serial-not-registered"])
        self.write_lanes({"boot": addresses[:4], "stranger": addresses[4:]})
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        [last] = [device for device in done["devices"] if device["reason"] == "firmware-signature"]
        self.assertEqual(last["result"], "quarantined")
        chips = ("--lot", "A1", "--family", "atecc608", "--atecc608-profile", self.profile)
        self.expect_quarantined(batch, {**expected, last["record_no"]: "firmware-signature"}, chips, FIRMWARE)

    def expect_no_setting_turns_firmware_off(self, batch):
        ferry = self.ferry
        self.write_lanes({"boot": self.chips.addresses()})
        sound = ferry.lanes.read_text()
        ferry.lanes.write_text("".join(line for line in sound.splitlines(keepends=True) if not line.startswith("firmware")))
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual({device["reason"] for device in done["devices"]}, {"firmware-missing"})
        right = self.image.read_bytes()
        self.image.write_bytes(cases.flipped(right, 3))
        ferry.lanes.write_text(sound)
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual({device["reason"] for device in done["devices"]}, {"firmware-other"}, "one bit of the image")
        self.image.write_bytes(right)
        self.assertEqual(rows(self.store, "SELECT DISTINCT state FROM record WHERE batch_id = ?", bytes.fromhex(batch)), [("loaded",)])

    def write_lanes(self, lanes):
        """{who signed the image: addresses}: a lane for each."""
        text = ""
        for number, (signer, addresses) in enumerate(lanes.items(), 1):
            signature = self.ferry.folder / f"{signer}.sig"
            openssl("dgst", "-sha256", "-sign", self.ferry.folder / f"{signer}.pem", "-out", signature, self.image)
            text += (f'[[lane]]\nnumber = {number}\nfamily = "atecc608"\nperson = 1\nfirmware = "{self.image}"\n'
                     f'firmware_signature = "{signature}"\n')
            text += "".join(f'[[lane.se]]\nchip = "{address}"\ndevice_serial = "D{number}{i}"\n' for i, address in enumerate(addresses))
        self.ferry.lanes.write_text(text)


class ClockThatIsNotAsked(FerryCase):
    def test_a_line_that_is_twenty_years_ahead_injects_under_such_a_plan_and_refuses_under_the_other(self):
        ferry = self.ferry
        ferry.set_up(2, lanes=1)
        asked = ferry.batch(1, path=ferry.folder / "asked.toml", not_after=self.in_a_year())
        ferry.export(asked)
        ferry.load()
        free = ferry.batch(1, path=ferry.folder / "free.toml", chain_time="issuing", not_after=self.in_a_year())
        ferry.export(free)
        ferry.load()
        ferry.hooks["KEYFERRY_CLOCK_SHIFT"] = TWENTY_YEARS
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        del ferry.hooks["KEYFERRY_CLOCK_SHIFT"]
        results = {device["batch"]: (device["result"], device["reason"]) for device in done["devices"]}
        self.assertEqual(results, {free: ("injected", ""), asked: ("refused", "record-chain")})
        ferry.unload()
        ferry.receipts()
        self.assertEqual(rows(ferry.home / "ledger.db", "SELECT count(*) FROM receipt"), [(1,)])
        self.assertEqual(rows(ferry.home / "ledger.db", "SELECT kind FROM incident"), [])

    @staticmethod
    def in_a_year():
        return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=365)).strftime("%Y-%m-%d")


if __name__ == "__main__":
    cases.main()
