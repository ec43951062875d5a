#!/usr/bin/env python3
"""A verdict that says fail, from the line to the next CRL: one device of each family is red, its record quarantined at the
appliance, its certificate revoked. And a line whose clock is years off, under a plan that does not ask it."""
import datetime
import json
import os
import subprocess
import tomllib

import cases
from cases import FerryCase, openssl, rows
from ferry import KILLED, sums_agree
from prepare_test import CONFIGURATION, Chips, profile

TWENTY_YEARS = str(20 * 365 * 86_400)


def revoked_serials(ferry):
    """Of the CA's next CRL, in lower-case hex."""
    crl = json.loads(ferry.officer("--json", "crl", "issue", "--ca", "ca").stdout)
    text = openssl("crl", "-in", crl["pem"], "-noout", "-text").decode()
    return [line.split(":")[1].strip().lower() for line in text.splitlines() if "Serial Number:" in line]


class Verdict:
    def expect_quarantined(self, ferry, done, reason):
        """Red at the line, again red, then what the appliance makes of it."""
        self.assertEqual(done["quarantined"], 1, done)
        [red] = [device for device in done["devices"] if device["colour"] == "red"]
        self.assertEqual((red["result"], red["reason"]), ("quarantined", reason))
        again = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual(again["quarantined"], 1, "a second try")
        self.assertEqual(rows(ferry.station_home / "station.db", "SELECT count(*) FROM record WHERE state = 'quarantined' "
                              "AND payload IS NULL"), [(1,)])
        ferry.unload()
        ferry.receipts()
        [batch] = ferry.reconcile()["batches"]
        self.assertEqual(batch["quarantined"], 1)
        self.assertTrue(sums_agree(batch))
        ledger = ferry.home / "ledger.db"
        self.assertEqual(rows(ledger, "SELECT reason FROM receipt WHERE outcome = 'quarantined'"), [(reason,)])
        self.assertEqual(rows(ledger, "SELECT kind FROM incident"), [])
        [(serial,)] = rows(ledger, "SELECT lower(hex(certificate_serial)) FROM record WHERE state = 'quarantined' AND crl_due = 1")
        self.assertEqual(revoked_serials(ferry), [serial])
        return batch


class AnswerByAnotherKey(Verdict, FerryCase):
    def test_a_pkcs11_device_is_quarantined_and_on_the_next_crl(self):
        ferry = self.ferry
        ferry.set_up(2, lanes=1)
        ferry.export(ferry.batch(2, clock_skew="300"))
        ferry.load()
        ferry.hooks["KEYFERRY_CUT"] = "station.inject-after"
        ferry.run_lanes(expect={KILLED, 137})
        del ferry.hooks["KEYFERRY_CUT"]
        [(serial,)] = rows(ferry.station_home / "station.db", "SELECT CAST(se_serial AS TEXT) FROM record WHERE state = 'injecting'")
        [se] = [se for lane in tomllib.loads(ferry.lanes.read_text())["lane"] for se in lane["se"] if serial in se["uri"]]
        replaced = subprocess.run([cases.programs.parent / "test-bin" / "e2e_tool", "replace-key", se["uri"]], capture_output=True,
                                  text=True, env={**os.environ, "SOFTHSM2_CONF": se["softhsm2_conf"]})
        self.assertEqual(json.loads(replaced.stdout or "{}"), {"replaced": 1}, replaced.stderr)
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        batch = self.expect_quarantined(ferry, done, "challenge-failed")
        self.assertEqual((batch["issued"], batch["injected"]), (2, 1), "the other one is green, its proof taken")


class FirmwareByAnotherKey(Verdict, FerryCase):
    @classmethod
    def room(cls, *arguments, pin=True):
        return cls.ferry.run(["keyferry-prepare", "--home", cls.ferry.folder / "preparer", *arguments],
                             secret_fds=[("--pin-fd", "station-pin")] if pin else [])

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
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
                                         "--count", 2, "--lot", "L1", "--secure-boot-key", cls.boot_key).stdout)["order"]
        cls.room("accept", order, "--fingerprint", ferry.appliance_words)
        cls.chips = Chips(ferry, "chips", 2)
        cls.addClassCleanup(cls.chips.stop)
        cls.room("atecc608", *(word for address in cls.chips.addresses() for word in ("--chip", address)))
        cls.room("receipts", "--out", ferry.folder / "l1.prep", pin=False)
        ferry.officer("se", "import", ferry.folder / "l1.prep", "--source", "room-1")
        ferry.enroll()
        cls.image = ferry.folder / "image"
        cls.image.write_bytes(b"firmware of the device, version 7")

    def lanes(self, signers):
        """One lane for each chip; its image is signed by that key."""
        text = ""
        for number, (address, signer) in enumerate(zip(self.chips.addresses(), signers), 1):
            signature = self.ferry.folder / f"{signer}.sig"
            openssl("dgst", "-sha256", "-sign", self.ferry.folder / f"{signer}.pem", "-out", signature, self.image)
            text += (f'[[lane]]\nnumber = {number}\nfamily = "atecc608"\nperson = 1\nfirmware = "{self.image}"\n'
                     f'firmware_signature = "{signature}"\n[[lane.se]]\nchip = "{address}"\ndevice_serial = "D{number}"\n')
        self.ferry.lanes.write_text(text)

    def test_an_atecc608_device_is_quarantined_and_on_the_next_crl(self):
        ferry = self.ferry
        plan = ferry.new_plan(2, family="atecc608", atecc608_profile=self.profile, subject="CN={se_serial},O=Test",
                              firmware=self.image, secure_boot_key=self.boot_key)
        shown = ferry.appliance("plan", "show", plan).stdout
        self.assertIn("the signature of the firmware image", shown)
        self.assertIn("secure-boot key that reads in words", shown)
        ferry.approve(plan)
        ferry.export(json.loads(ferry.run_plan(plan).stdout)["batch"])
        ferry.load()

        self.lanes(["boot", "boot"])
        sound = ferry.lanes.read_text()
        ferry.lanes.write_text("".join(line for line in sound.splitlines(keepends=True) if not line.startswith("firmware")))
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual({device["reason"] for device in done["devices"]}, {"firmware-missing"}, "no setting turns it off")
        self.image.write_bytes(b"firmware of the device, version 6")
        ferry.lanes.write_text(sound)
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        self.assertEqual({device["reason"] for device in done["devices"]}, {"firmware-other"}, "one bit of the image")
        self.image.write_bytes(b"firmware of the device, version 7")
        self.assertEqual(rows(ferry.station_home / "station.db", "SELECT DISTINCT state FROM record"), [("loaded",)])

        self.lanes(["boot", "stranger"])
        done = ferry.station_json("run", "--lanes", ferry.lanes, expect=1)
        batch = self.expect_quarantined(ferry, done, "firmware-signature")
        self.assertEqual(batch["injected"], 1, "the other one is green, its proof taken")


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
