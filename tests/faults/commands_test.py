#!/usr/bin/env python3
"""Faults where keys are set up and cards signed: the command does its work, or stops with a clear error and does it when it
is given again; the HSM holds each key once, as its role and the log demand."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from shimmed import CRASH_WORDS, Shimmed  # noqa: E402  (also the path to cases)
import cases  # noqa: E402
from cases import FerryCase, main  # noqa: E402
from fault_cases import FAULTS, KILLED, fault_line  # noqa: E402

LONG = os.environ.get("KEYFERRY_LONG") == "1"

# Command: calls that it makes for its own sake.
INIT = ("C_GenerateKeyPair label=kf-log", "C_GenerateKeyPair label=kf-inbox", "C_CreateObject class=data label=kf-state",
        "C_Sign label=kf-log")
CA = ("C_GenerateKeyPair label=kf-ca/*", "C_SignInit label=kf-ca/*", "C_Sign label=kf-ca/*",
      "C_GetAttributeValue class=private label=kf-ca/*", "C_GetAttributeValue class=public label=kf-ca/*",
      "C_CreateObject class=data label=kf-state", "C_DestroyObject class=data label=kf-state")
MASTER = ("C_GenerateKey label=kf-tk/*", "C_DeriveKey label=kf-tk/*", "C_GetAttributeValue class=secret label=kf-tk/*")
VENDOR = ("C_GenerateKeyPair label=kf-vendor/*",)
LOOK = ("C_FindObjectsInit", "C_FindObjects", "C_GetAttributeValue class=data label=kf-state", "C_SignInit label=kf-log")


def crossed(places):
    """(place, fault): all with KEYFERRY_LONG=1, else two faults for each place in turn."""
    names = list(FAULTS)
    for number, place in enumerate(places):
        some = names if LONG else {names[(2 * number + step) % len(names)] for step in (0, 3)}
        yield from ((place, fault) for fault in names if fault in some)


class Commands(FerryCase):
    @classmethod
    def prepare(cls):
        cls.ferry = Shimmed(cls.root / "appliance", cases.programs)
        cls.ferry.set_up_factory(1, of=4)
        cls.number = 0

    def disturb(self, ferry, place, fault, command):
        """The command under the fault, and again if that stopped it."""
        type(self).number += 1
        once = self.root / f"fired-{self.number}"
        if ferry.gate_settings().exists():
            ferry.set_gate(seccomp="off" if fault == KILLED else "strict")
        ferry.script(fault_line(place, FAULTS[fault], 1).format(once=once))
        try:
            done = command(None)
            self.assertTrue(once.exists(), "the fault did not strike")
            if done.returncode != 0:
                self.assertIn(done.returncode, (1, 3), done.stderr)
                self.assertIn("hint:", done.stderr)
                for word in CRASH_WORDS:
                    self.assertNotIn(word, done.stdout + done.stderr)
                command(0)
        finally:
            ferry.script("")

    def check_hsm(self, ferry):
        keys = ferry.appliance("hsm", "inventory", expect=None)
        self.assertEqual(keys.returncode, 0, keys.stdout + keys.stderr)

    def each(self, places, command):
        for place, fault in crossed(places):
            with self.subTest(place=place, fault=fault):
                self.disturb(self.ferry, place, fault, command)
                self.check_hsm(self.ferry)

    def test_a_certificate_authority(self):
        self.each(CA, lambda expect: self.ferry.officer(
            "ca", "create", f"ca-{self.number}", "--subject", "CN=Test CA,O=Test", expect=expect))

    def test_a_transport_master(self):
        self.each(MASTER, lambda expect: self.ferry.officer("transport-master", "create", f"m-{self.number}", expect=expect))

    def test_a_vendor_key(self):
        self.each(VENDOR, lambda expect: self.ferry.officer(
            "vendor-key", "create", f"acme-{self.number}", "--mechanism", "rsa-oaep-sha1", expect=expect))

    def test_looking_at_the_hsm(self):
        self.each(LOOK, lambda expect: self.ferry.appliance("hsm", "inventory", expect=expect))

    def test_a_token_for_the_station(self):
        batch = self.ferry.batch(4, lot="L0")
        token = self.root / "token"
        token.mkdir()
        self.disturb(self.ferry, "C_Sign label=kf-export", "device-removed",
                     lambda expect: self.ferry.export(batch, token, expect=expect))
        self.ferry.load(token)

    def test_init(self):
        for place, fault in crossed(INIT):
            if fault == KILLED:
                continue  # gate.toml, which would let the shim kill, comes of init itself
            with self.subTest(place=place, fault=fault):
                ferry = Shimmed(self.root / f"init-{self.number}", cases.programs)
                self.disturb(ferry, place, fault, lambda expect, ferry=ferry: ferry.init(expect=expect))
                self.check_hsm(ferry)


if __name__ == "__main__":
    main()
