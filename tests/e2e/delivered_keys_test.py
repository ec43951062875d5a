#!/usr/bin/env python3
"""Transport keys that someone outside holds: an imported master, and keys that a vendor delivers under AES-KWP and RSA-OAEP.

The vendor is OpenSSL and this file: it computes check values and transport keys from the published text alone.
"""
import hashlib
import json
import os
import subprocess
import tempfile

import cases
from cases import FerryCase, edit, flipped, openssl, rows, tool, unwrapped
from ferry import sums_agree

HEADER = "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data"


def cmac(key, octets):
    with tempfile.NamedTemporaryFile() as file:
        file.write(octets)
        file.flush()
        said = openssl("mac", "-cipher", "AES-256-CBC", "-macopt", f"hexkey:{key.hex()}", "-in", file.name, "CMAC")
    return bytes.fromhex(said.decode().strip())


def kdf_1(master, name, family, part, key_name, generation, serial):
    """kf-kdf-1 for 32 octets (wrap/se/FORMAT.md)."""
    fields = (name.encode(), family.encode(), part.encode(), key_name.encode(), generation.to_bytes(4, "big"), serial)
    text = b"keyferry/v1/tk\0" + b"".join(len(field).to_bytes(2, "big") + field for field in fields)
    start = hashlib.sha256(text).digest()[:15]
    return openssl("enc", "-aes-256-ecb", "-nopad", "-K", master.hex(), octets=b"\1" + start + b"\2" + start)


def master_check_value(master):
    return cmac(kdf_1(master, "", "kcv", "kcv", "kcv", 0, b"kcv"), bytes(16))


def kwp(key, octets):
    return openssl("enc", "-id-aes256-wrap-pad", "-K", key.hex(), "-iv", "A65959A6", octets=octets)


def oaep(public_key, octets, digest="sha1"):
    return openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", public_key, "-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt",
                   f"rsa_oaep_md:{digest}", "-pkeyopt", f"rsa_mgf1_md:{digest}", octets=octets)


class TransportKeysFromOutside(FerryCase):
    """Four chips of an imported master, three keys under AES-KWP, two under RSA-OAEP: one batch."""

    MASTER, KWP, OAEP = 4, 3, 2

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.master = os.urandom(32)
        cls.vendor = os.urandom(32)
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        cls.imported_master = cls.import_key("transport-master", "m", cls.master, master_check_value(cls.master))
        cls.imported_vendor = cls.import_key("vendor-key", "acme", cls.vendor, cmac(cls.vendor, bytes(16)))
        cls.made_rsa = json.loads(ferry.officer("--json", "vendor-key", "create", "acme-rsa", "--mechanism", "rsa-oaep-sha1").stdout)
        ferry.officer("source", "add", "room")
        cls.keys, lines, lanes = {}, [HEADER], []
        for lane, (count, first, transport, name) in enumerate(
                ((cls.MASTER, 0, "derived", "m"), (cls.KWP, 100, "delivered", "acme"), (cls.OAEP, 200, "delivered", "acme-rsa")), 1):
            made, lane_text = cls.make_chips(count, first, transport, name)
            lines += [cls.wrapped_row(row) for row in made]
            lanes.append(lane_text.replace("number = 1", f"number = {lane}").replace("person = 1", f"person = {lane}"))
        ferry.inventory.write_text("\n".join(lines) + "\n")
        ferry.lanes.write_text("".join(lanes))
        cls.imported = json.loads(ferry.officer("--json", "se", "import", ferry.inventory, "--source", "room").stdout)
        ferry.enroll()
        cls.batch = ferry.batch(cls.MASTER + cls.KWP + cls.OAEP)
        ferry.export(cls.batch)
        ferry.load()
        cls.records = tool("records", ferry.station_home, ferry.secrets / "station-pin",
                           *sorted(ferry.batch_folder(cls.batch).glob("segment-*.kf")))
        ferry.run_lanes()
        ferry.unload()
        ferry.receipts()
        cls.report = ferry.reconcile()
        cls.put_aside("done")

    def setUp(self):
        self.put_back("done")

    @classmethod
    def import_key(cls, noun, name, key, check_value, *more, expect=0):
        """Through a descriptor, as `3<key.hex` does."""
        path = cls.ferry.secrets / f"key-{name}"
        path.write_text(key.hex() + "\n")
        try:
            return cls.ferry.run(["keyferry-appliance", "--home", cls.ferry.home, "--json", noun, "import", name, "--check-value",
                                  check_value.hex(), *more],
                                 secret_fds=[("--officer-passphrase-fd", "officer-passphrase"), ("--key-fd", path.name)], expect=expect)
        finally:
            path.unlink()

    @classmethod
    def make_chips(cls, count, first, transport, name, lot="L1"):
        """Rows of the inventory and the text of the lanes file. The vendor's keys go into cls.keys."""
        ferry = cls.ferry
        inventory, lanes, keys = (ferry.folder / f"{transport}-{name}-{first}.{ending}" for ending in ("csv", "toml", "keys"))
        source = ["--gate-settings", ferry.gate_settings()] if transport == "derived" else ["--vendor-keys", keys]
        ferry.run(["keyferry-vse", "pkcs11", "make", "--count", count, "--first", first, "--dir", ferry.chips, "--inventory", inventory,
                   "--lanes", lanes, "--master", name, "--transport", transport, *source, "--part", "P1", "--lot", lot,
                   "--device-serial-prefix", "DEV-", "--lane-count", 1])
        if transport == "delivered":
            cls.keys.update((serial, bytes.fromhex(key)) for serial, key in map(str.split, keys.read_text().splitlines()))
        return inventory.read_text().splitlines()[1:], lanes.read_text()

    @classmethod
    def wrapped_row(cls, row, key=None):
        """The vendor fills the last column in."""
        serial, transport = row.split(",")[1], row.split(",")[6]
        if transport == "delivered:acme":
            return row + kwp(cls.vendor, key or cls.keys[serial]).hex()
        if transport == "delivered:acme-rsa":
            return row + oaep(cls.made_rsa["public_key"], key or cls.keys[serial]).hex()
        return row

    @staticmethod
    def row(number, blob, vendor="acme"):
        return f"pkcs11,{f'{number:016}'.encode().hex()},P1,L9,dac,D{number},delivered:{vendor},{blob.hex()}"

    def import_rows(self, *lines, expect=0):
        path = self.ferry.folder / "more.csv"
        path.write_text("\n".join((HEADER, *lines)) + "\n")
        return self.ferry.officer("se", "import", path, "--source", "room", expect=expect)

    def assert_import_refused(self, lines, *words):
        before = self.states(notes=False)
        done = self.import_rows(*lines, expect=1)
        self.assert_clear(done, "nothing was taken in", *words)
        # A plan that was approved and not run is all that stays, with its approval.
        after = self.states(notes=False)
        self.assertEqual({table for table in after[0] if after[0][table] != before[0].get(table)} - {"plan", "plan_approval"}, set())
        self.assertNotIn("L9", str(rows(self.ledger, "SELECT lot FROM se")))

    # --- what works -----------------------------------------------------------------------------------------------------

    def test_every_key_is_injected_and_nothing_is_outstanding(self):
        [batch] = self.report["batches"]
        self.assertEqual((batch["issued"], batch["injected"], batch["outstanding"]), (9, 9, 0))
        self.assertTrue(sums_agree(batch))
        self.assertEqual(self.imported["delivered"], self.KWP + self.OAEP)

    def test_the_vendor_computes_the_transport_keys_of_its_master_outside(self):
        derived = {row[0]: row[1] for row in rows(self.ledger, "SELECT lower(hex(se_serial)), transport_name FROM se WHERE "
                                                  "transport_kind = 'derived'")}
        self.assertEqual(len(derived), self.MASTER)
        for record in self.records:
            if record["se_serial"] in derived:
                key = kdf_1(self.master, "m", "pkcs11", "P1", "dac", 1, bytes.fromhex(record["se_serial"]))
            else:
                key = self.keys[record["se_serial"]]
            self.assertIsNotNone(unwrapped(bytes.fromhex(record["payload"]), key), record["se_serial"])

    def test_each_payload_opens_with_its_own_transport_key_only(self):
        for record in self.records:
            for serial, key in self.keys.items():
                self.assertEqual(unwrapped(bytes.fromhex(record["payload"]), key) is not None, serial == record["se_serial"])

    def test_the_log_has_each_key_with_check_value_origin_and_attributes(self):
        log = self.log()
        self.assertIn(f"check_value={master_check_value(self.master).hex()}", log)
        self.assertIn(f"check_value={cmac(self.vendor, bytes(16)).hex()}", log)
        self.assertEqual(log.count("origin=imported"), 2)
        for label in ("kf-log", "kf-export", "kf-inbox", "kf-ca/ca", "kf-tk/m", "kf-vendor/acme", "kf-vendor/acme-rsa"):
            self.assertIn(f"label={label} ", log)
        self.assertIn("EXTRACTABLE=false", log)

    def test_no_key_is_in_any_file(self):
        keys = [self.master, self.vendor, *self.keys.values()]
        for path in self.ferry.home.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            for key in keys:
                self.assertNotIn(key, content, path)
                self.assertNotIn(key.hex().encode(), content.lower(), path)

    def test_the_inventory_of_the_hsm_explains_every_key(self):
        report = self.ferry.appliance_json("hsm", "inventory")
        self.assertEqual((report["wrong"], report["missing"], report["strangers"]), (0, [], 0))
        by_label = {item["label"]: item for item in report["objects"] if item["class"] != "public key"}
        self.assertEqual(by_label["kf-tk/m"]["identity"], "check value " + master_check_value(self.master).hex())
        self.assertEqual(by_label["kf-vendor/acme"]["identity"], "check value " + cmac(self.vendor, bytes(16)).hex())
        self.assertIsNotNone(by_label["kf-vendor/acme-rsa"]["leaf"])

    def test_a_second_import_of_the_same_key_under_its_name_changes_nothing(self):
        again = json.loads(self.import_key("vendor-key", "acme", self.vendor, cmac(self.vendor, bytes(16))).stdout)
        self.assertTrue(again["done_before"])

    def test_the_doctor_says_what_will_be_used(self):
        report = self.ferry.appliance_json("doctor")
        self.assertEqual(report["fail"], 0)
        self.assertIn("0x210", report["uses"]["kwp"])
        self.assertEqual(report["uses"]["kf-kdf-1"], "yes")
        self.assertEqual(report["uses"]["rsa-oaep-sha1"], "yes")
        self.assertIn("processes", report["uses"])

    # --- what is refused --------------------------------------------------------------------------------------------------

    def test_a_blob_in_two_rows_is_refused_with_both_lines(self):
        blob = kwp(self.vendor, os.urandom(32))
        self.assert_import_refused([self.row(1, blob), self.row(2, kwp(self.vendor, os.urandom(32))), self.row(3, blob)],
                                   "more.csv:4", "line 2 already")

    def test_a_blob_of_the_inventory_is_refused(self):
        serial = next(serial for serial, name in rows(self.ledger, "SELECT lower(hex(se_serial)), transport_name FROM se")
                      if name == "acme")
        self.assert_import_refused([self.row(1, kwp(self.vendor, self.keys[serial]))], "in the inventory already")

    def test_the_same_key_wrapped_anew_is_refused_with_the_chip_that_has_it(self):
        serial = next(serial for serial, name in rows(self.ledger, "SELECT lower(hex(se_serial)), transport_name FROM se")
                      if name == "acme-rsa")
        again = oaep(self.made_rsa["public_key"], self.keys[serial])
        self.assert_import_refused([self.row(1, again, "acme-rsa")], "is that of SE", serial)

    def test_the_same_key_wrapped_twice_in_one_file_is_refused(self):
        key = os.urandom(32)
        blobs = [oaep(self.made_rsa["public_key"], key) for _ in range(2)]
        self.assert_import_refused([self.row(i, blob, "acme-rsa") for i, blob in enumerate(blobs, 1)], "more.csv:3", "line 2 already")

    def test_a_blob_that_does_not_open_is_refused_with_its_line(self):
        good, bad = kwp(self.vendor, os.urandom(32)), flipped(kwp(self.vendor, os.urandom(32)), 9)
        self.assert_import_refused([self.row(1, good), self.row(2, bad)], "more.csv:3", "does not open")

    def test_a_key_of_another_length_is_refused(self):
        self.assert_import_refused([self.row(1, kwp(self.vendor, os.urandom(16)))], "octets")
        self.assert_import_refused([self.row(1, oaep(self.made_rsa["public_key"], os.urandom(16)), "acme-rsa")], "does not open")

    def test_a_vendor_key_that_nobody_knows_is_refused(self):
        self.assert_import_refused([self.row(1, kwp(self.vendor, os.urandom(32)), "nobody")], "no vendor key")

    def test_after_a_refusal_the_corrected_file_goes_in(self):
        key = os.urandom(32)
        self.assert_import_refused([self.row(1, kwp(self.vendor, key)), self.row(2, bytes(40))], "does not open")
        self.import_rows(self.row(1, kwp(self.vendor, key)))

    def test_another_key_than_the_approved_one_is_refused_and_leaves_nothing(self):
        for noun in ("transport-master", "vendor-key"):
            done = self.import_key(noun, "other", os.urandom(32), bytes(16), expect=1)
            self.assert_clear(done, "check value", "approved")
        labels = [item["label"] for item in self.ferry.appliance_json("hsm", "inventory")["objects"]]
        self.assertFalse([label for label in labels if label.endswith("/other")])
        self.assertIn("refused", self.log())

    def test_what_the_module_was_not_seen_to_do_is_refused(self):
        uses = self.ferry.appliance_json("doctor")["uses"]
        tried = {"kf-kdf-2": ("transport-master", "create", "k2", "--kdf", "kf-kdf-2"),
                 "rsa-oaep-sha256": ("vendor-key", "create", "r2", "--mechanism", "rsa-oaep-sha256")}
        for name, command in tried.items():
            if uses[name] == "no":  # SoftHSM 2.6 has neither
                with self.subTest(name):
                    self.assert_clear(self.ferry.officer(*command, expect=1), name)
        self.assertEqual(self.ferry.appliance_json("hsm", "inventory")["wrong"], 0)

    def test_a_check_value_comes_once_in_history(self):
        done = self.import_key("vendor-key", "again", self.vendor, cmac(self.vendor, bytes(16)), expect=1)
        self.assert_clear(done, "was here before", "kf-vendor/acme")
        done = self.import_key("transport-master", "again", self.master, master_check_value(self.master), expect=1)
        self.assert_clear(done, "was here before", "kf-tk/m")

    def test_what_is_no_key_is_refused_without_repeating_it(self):
        done = self.ferry.run(["keyferry-appliance", "--home", self.ferry.home, "vendor-key", "import", "x", "--check-value", "00" * 16],
                              secret_fds=[("--officer-passphrase-fd", "officer-passphrase"), ("--key-fd", "hsm-pin")], expect=2)
        self.assertNotIn((self.ferry.secrets / "hsm-pin").read_text().strip(), done.stdout + done.stderr)
        self.assert_clear(done, "64 hex digits", status=2)

    def test_swapped_blobs_open_in_no_chip(self):
        made, lanes = self.make_chips(2, 300, "delivered", "acme", lot="L3")
        serials = [row.split(",")[1] for row in made]
        lines = [self.wrapped_row(row, self.keys[other]) for row, other in zip(made, reversed(serials))]
        self.import_rows(*lines)
        batch = self.ferry.batch(2, path=self.ferry.folder / "swapped.toml", lot="L3")
        self.ferry.export(batch)
        self.ferry.load()
        self.ferry.lanes.write_text(lanes)
        self.ferry.run_lanes(expect=None)
        self.ferry.unload()
        self.ferry.receipts()
        [report] = self.ferry.reconcile(batch, expect=None)["batches"]
        self.assertEqual((report["issued"], report["injected"]), (2, 0))

    def test_a_blob_that_was_changed_after_its_import_stops_the_batch(self):
        lines = [self.row(number, kwp(self.vendor, os.urandom(32))) for number in (1, 2)]
        self.import_rows(*lines)
        plan = self.ferry.new_plan(2, path=self.ferry.folder / "late.toml", lot="L9")
        self.ferry.approve(plan)
        changed = edit(self.ledger, "UPDATE se SET transport_data = ? WHERE lot = 'L9' AND line = 2", kwp(self.vendor, os.urandom(32)))
        self.assertEqual(changed, 1)
        self.assert_clear(self.ferry.run_plan(plan, expect=1), "changed")

    def softhsm_import(self, label):
        """What somebody with the PIN does behind the product's back."""
        key = self.ferry.folder / "stranger.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        hsm = self.ferry.folder / "appliance-hsm"
        token = json.loads(self.ferry.appliance("--json", "hsm", "inventory").stdout)["module"].split('token "')[1].split('"')[0]
        subprocess.run(["softhsm2-util", "--import", key, "--token", token, "--label", label, "--id", "a1", "--pin",
                        (self.ferry.secrets / "hsm-pin").read_text().strip()], check=True, capture_output=True,
                       env=dict(os.environ, SOFTHSM2_CONF=str(hsm / "softhsm2.conf")))

    def test_a_stranger_in_the_hsm_is_a_warning_and_no_more(self):
        self.softhsm_import("stranger")
        report = self.ferry.appliance_json("hsm", "inventory")
        self.assertEqual((report["wrong"], report["strangers"] > 0), (0, True))
        doctor = self.ferry.appliance_json("doctor")
        self.assertIn("stranger", str([check for check in doctor["checks"] if check["topic"] == "strangers"]))

    def test_a_key_that_drifted_is_named_by_inventory_and_doctor(self):
        self.softhsm_import("kf-ca/planted")
        report = json.loads(self.ferry.appliance("--json", "hsm", "inventory", expect=1).stdout)
        [planted] = [item for item in report["objects"] if item["label"] == "kf-ca/planted" and item["class"] == "private key"]
        self.assertIn("drifted", str(planted["wrong"]))
        self.assertIn("missing in the log", str(planted["wrong"]))
        doctor = json.loads(self.ferry.appliance("--json", "doctor", expect=1).stdout)
        self.assertIn("kf-ca/planted", str([check for check in doctor["checks"] if check["level"] == "fail"]))
        done = self.ferry.officer("source", "add", "more", expect=3)
        self.assert_clear(done, "kf-ca/planted", status=3)

    def test_a_key_that_is_gone_from_the_hsm_is_missing(self):
        hsm = self.ferry.folder / "appliance-hsm" / "tokens"
        before = set(hsm.rglob("*.object"))
        key = os.urandom(32)
        self.import_key("vendor-key", "lost", key, cmac(key, bytes(16)))
        after = set(hsm.rglob("*.object"))
        self.ferry.officer("source", "add", "another")
        for path in after & set(hsm.rglob("*.object")) - before:  # kf-state is another object after each act
            path.unlink()
        done = self.ferry.appliance("--json", "hsm", "inventory", expect=1)
        self.assertEqual(json.loads(done.stdout)["missing"], ["kf-vendor/lost"])


class BeforeTheFirstKey(FerryCase):
    def test_the_doctor_speaks_before_init(self):
        done = self.ferry.appliance("--json", "doctor", "--insecure-allow", "network,swap,memlock")
        self.assertIn("init makes one", done.stdout)
        self.assertEqual(json.loads(done.stdout)["fail"], 0)


if __name__ == "__main__":
    cases.main()
