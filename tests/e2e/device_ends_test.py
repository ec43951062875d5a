#!/usr/bin/env python3
"""One device after the line: quarantine and its label, revocation, scrap, rework, return, the thread, the fleet's file."""
import csv
import hashlib
import json
import pathlib
import re
import shutil
import subprocess

import cases
from cases import FerryCase, openssl, rows
from ferry import DEVICE_CUTS, KILLED, cut_names, sums_agree

WALKED = ("gate.commit.", "front.ledger.pending.stored", "worker.state.created")


class DeviceEnds(FerryCase):
    """Six SEs; a batch of four: one was made for another part and lands in quarantine, one is returned, two are injected.

    The two SEs that are left over are in the inventory for no device."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        cls.second_person()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.make_chips(6, lanes=1)
        with open(ferry.inventory, newline="") as file:
            table = list(csv.DictReader(file))
        # The batch takes the lowest serials; the lane goes by the file. The first of them it meets is the bad one.
        left_over = sorted(table, key=lambda row: row["se_serial"])[4:]
        bad = next(row for row in table if row not in left_over)
        bad["part_number"] = "P2"
        for row in left_over:
            row["device_serial"] = ""
        cls.spare = [bytes.fromhex(row["se_serial"]).decode() for row in left_over]
        with open(ferry.inventory, "w", newline="") as file:
            writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.batch = ferry.batch(4, segment_size=2, target_count=2)
        ferry.export(cls.batch)
        ferry.load()
        ferry.station("run", "--lanes", ferry.lanes, expect={0, 1})
        cls.put_aside("ran")
        ferry.station("return", cls.batch, "--confirm", cls.batch)
        ferry.unload()
        ferry.receipts()
        cls.certificates = cls.root / "certificates"
        cls.certificates.mkdir()
        ferry.appliance("batch", "certificates", cls.batch, "--to", cls.certificates)
        cls.put_aside("home")

    @classmethod
    def second_person(cls):
        """Scrapping takes two names; a development appliance begins with one officer."""
        ferry = cls.ferry
        card = ferry.folder / "witness.card"
        key = ferry.folder / "witness.pem"
        done = ferry.run(["keyferry-appliance", "--json", "officer", "request", "--officer-key", key, "--name", "W. Itness",
                          "--role", "witness", "--out", card], secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])
        words = json.loads(done.stdout)["fingerprint"]
        cls.witness = json.loads(ferry.officer("--json", "officer", "add", card, "--fingerprint", words).stdout)["number"]

    def setUp(self):
        self.put_back("home")
        self.of_state = {}
        for record, state, serial, device in rows(self.ledger, "SELECT record_no, state, se_serial, device_serial FROM record JOIN se USING "
                                                  "(se_id) ORDER BY 1"):
            self.of_state.setdefault(state, []).append((record, bytes(serial).decode(), device))

    def officer_json(self, *arguments, **options):
        return json.loads(self.ferry.officer("--json", *arguments, **options).stdout)

    def device(self, verb, serial, *arguments, **options):
        return self.ferry.officer("--json", "device", verb, "--confirm", serial, "--reason", "test", *arguments, **options)

    def crl(self):
        self.officer_json("crl", "issue", "--ca", "ca")
        return openssl("crl", "-in", self.ferry.home / "crl" / "ca.crl.pem", "-noout", "-text").decode()

    def crl_says(self, record, text=None):
        """Reason that the CRL gives for a record's certificate; nothing when it is not on it."""
        text = text or openssl("crl", "-in", self.ferry.home / "crl" / "ca.crl.pem", "-noout", "-text").decode()
        serial = openssl("x509", "-in", self.certificates / f"record-{record:07}.pem", "-noout", "-serial").decode().split("=")[1].strip()
        entries = re.findall(r"Serial Number: ([0-9A-F]+)\n.*?Revocation Date: [^\n]*(?:\n\s+CRL entry extensions:\n[^\n]*\n\s+([^\n]*))?", text)
        found = [reason for one, reason in entries if one.lstrip("0") == serial.lstrip("0")]
        return found[0] if found else None

    def verified(self, record):
        """openssl verify with the CRL."""
        return subprocess.run(["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", str(self.certificates / "ca.pem"), "-CRLfile",
                               str(self.ferry.home / "crl" / "ca.crl.pem"), str(self.certificates / f"record-{record:07}.pem")],
                              capture_output=True, text=True)

    # --- CRLs ------------------------------------------------------------------------------------------------------------

    def test_what_was_quarantined_or_returned_is_on_the_next_crl(self):
        due = self.ferry.appliance_json("crl", "due")
        self.assertEqual([(one["state"], one["reason"], one["count"]) for one in due["by"]],
                         [("quarantined", "keyCompromise", 1), ("returned", "cessationOfOperation", 1)])
        text = self.crl()
        self.assertEqual(openssl("crl", "-in", self.ferry.home / "crl" / "ca.crl.pem", "-CAfile", self.certificates / "ca.pem", "-noout"), b"")
        [(quarantined, _, _)], [(returned, _, _)] = self.of_state["quarantined"], self.of_state["returned"]
        self.assertEqual(self.crl_says(quarantined, text), "Key Compromise")
        self.assertEqual(self.crl_says(returned, text), "Cessation Of Operation")
        for record, state in [(quarantined, 2), (returned, 2), *[(record, 0) for record, _, _ in self.of_state["injected"]]]:
            self.assertEqual(self.verified(record).returncode, state, self.verified(record).stderr)
        self.assertEqual(self.ferry.appliance_json("crl", "due")["due"], 0)

    def test_one_device_is_revoked_by_se_serial_certificate_or_file(self):
        record, serial, device = self.of_state["injected"][0]
        pem = self.certificates / f"record-{record:07}.pem"
        hex_serial = openssl("x509", "-in", pem, "-noout", "-serial").decode().split("=")[1].strip()
        self.put_aside("revoking")
        for way in (["--se", serial], ["--device-serial", device], ["--certificate", hex_serial], ["--certificate", str(pem)],
                    ["--batch", self.batch, "--record", str(record)]):
            with self.subTest(way[0]):
                self.put_back("revoking")
                before = self.crl_says(record, self.crl())
                self.assertIsNone(before)
                done = json.loads(self.device("revoke", serial, *way, "--crl-reason", "privilegeWithdrawn").stdout)
                self.assertEqual((done["record_no"], done["crl_due"], done["done_before"]), (record, True, False))
                self.assertEqual(self.crl_says(record, self.crl()), "Privilege Withdrawn")
                refused = self.verified(record)
                self.assertIn("certificate revoked", refused.stderr + refused.stdout)
                other = self.of_state["injected"][1][0]
                self.assertEqual(self.verified(other).returncode, 0)
                again = json.loads(self.device("revoke", serial, *way, "--crl-reason", "privilegeWithdrawn").stdout)
                self.assertTrue(again["done_before"])
        numbers = [number for (number,) in rows(self.ledger, "SELECT number FROM crl ORDER BY number")]
        self.assertEqual(numbers, [1, 2])
        self.assertIn("device.ended", self.log())
        [batch] = self.ferry.reconcile()["batches"]
        self.assertTrue(batch["agree"] and sums_agree(batch))
        self.assertEqual(batch["injected"], 2)
        shutil.rmtree(self.root / "revoking")

    def test_what_cannot_be_revoked_is_refused(self):
        quarantined, serial, _ = self.of_state["quarantined"][0]
        done = self.device("revoke", serial, "--se", serial, "--crl-reason", "keyCompromise", expect=None)
        self.assert_clear(done, "revoked already", "due for the next CRL")
        self.crl()
        done = self.device("revoke", serial, "--se", serial, "--crl-reason", "keyCompromise", expect=None)
        self.assert_clear(done, "on CRL 1 of kf-ca/ca")
        good = self.of_state["injected"][0][1]
        self.assert_clear(self.device("revoke", good, "--se", good, "--crl-reason", "removeFromCRL", expect=None), "no reason", status=2)
        self.assert_clear(self.device("revoke", good, "--se", good, "--batch", "x", "--crl-reason", "superseded", expect=None), "in one way",
                          status=2)
        self.assert_clear(self.device("revoke", good, "--certificate", "00" * 16, "--crl-reason", "superseded", expect=None), "no record here")
        self.assert_clear(self.device("revoke", "other", "--se", good, "--crl-reason", "superseded", expect=None), "nothing was done")

    def test_an_outstanding_record_is_revoked_by_se_device_serial_or_certificate_and_its_receipt_is_an_incident(self):
        record, serial, device = self.of_state["injected"][0]
        pem = self.certificates / f"record-{record:07}.pem"
        self.put_aside("revoking")
        for way in (["--se", serial], ["--device-serial", device], ["--certificate", str(pem)]):
            with self.subTest(way[0]):
                self.put_back("ran")  # the station has run, its receipts are not here
                plan = self.ferry.folder / "revoke.toml"
                self.ferry.officer("--plan-out", plan, "device", "revoke", "--confirm", serial, "--reason", "stolen on the way", *way,
                                   "--crl-reason", "keyCompromise")
                self.assertIn("although its record is outstanding", self.ferry.appliance("plan", "show", plan).stdout)
                done = json.loads(self.device("revoke", serial, *way, "--crl-reason", "keyCompromise").stdout)
                self.assertEqual((done["record_no"], done["crl_due"], done["done_before"]), (record, True, False))
                again = json.loads(self.device("revoke", serial, *way, "--crl-reason", "keyCompromise").stdout)
                self.assertTrue(again["done_before"])
                [batch] = self.ferry.reconcile()["batches"]
                self.assertEqual((batch["revoked"], batch["outstanding"]), (1, 3))
                self.assertTrue(batch["agree"] and sums_agree(batch))
                self.assertEqual(self.crl_says(record, self.crl()), "Key Compromise")
                self.assertIn("certificate revoked", self.verified(record).stderr + self.verified(record).stdout)
                self.ferry.station("return", self.batch, "--confirm", self.batch)
                self.ferry.unload()
                self.ferry.receipts(expect={0, 1})
                report = self.ferry.reconcile(expect=1)
                self.assertEqual([one["kind"] for one in report["incidents"]], ["receipt-after-end"])
                [batch] = report["batches"]
                self.assertEqual((batch["injected"], batch["revoked"], batch["outstanding"], batch["state"]), (1, 1, 0, "closed"))
                self.assertTrue(batch["agree"] and sums_agree(batch))
                [leaf] = [one for one in self.ferry.appliance_json("log", "show", timeout=60)["leaves"] if one["event"] == "device.ended"]
                self.assertTrue(leaf["fields"]["outstanding"])
        self.put_back("revoking")
        shutil.rmtree(self.root / "revoking")

    def test_where_several_certificates_fit_all_are_named_and_nothing_is_done(self):
        cases.edit(self.ledger, "UPDATE record SET device_serial_bound = 'TWICE' WHERE state = 'injected'")
        done = self.device("revoke", "x", "--device-serial", "TWICE", "--crl-reason", "keyCompromise", expect=None)
        self.assert_clear(done, "2 records are of device TWICE", "--certificate SERIAL", *[serial for _, serial, _ in self.of_state["injected"]])
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM device_act"), [(0,)])

    def test_each_ca_has_crls_and_numbers_of_its_own(self):
        self.ferry.officer("ca", "create", "other", "--subject", "CN=Other CA,O=Test")
        self.crl()
        self.crl()
        other = self.officer_json("crl", "issue", "--ca", "other")
        self.assertEqual((other["number"], other["entries"]), (1, 0))
        self.assertEqual(self.officer_json("crl", "issue", "--ca", "ca")["number"], 3)
        issuer = openssl("crl", "-in", other["pem"], "-noout", "-issuer").decode()
        self.assertIn("Other CA", issuer)
        done = self.ferry.officer("crl", "issue", "--ca", "nobody", expect=None)
        self.assert_clear(done, "there is no CA")

    def test_officers_approve_a_plan_file_of_exactly_one_record(self):
        record, serial, device = self.of_state["injected"][0]
        first, second = self.ferry.folder / "first.toml", self.ferry.folder / "second.toml"
        for plan in (first, second):
            self.device("revoke", serial, "--se", serial, "--crl-reason", "keyCompromise", "--plan-out", plan)
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM device_act"), [(0,)])
        said = self.ferry.appliance("plan", "show", first).stdout
        for word in (device, serial, "keyCompromise", f"record {record} of batch {self.batch}"):
            self.assertIn(word, said)
        self.ferry.approve(first)
        self.ferry.approve(second)
        self.ferry.appliance("plan", "check", first)
        self.run_kept(first)
        self.assertEqual(rows(self.ledger, "SELECT kind, record_no FROM device_act"), [("revoked", record)])
        self.assert_clear(self.ferry.appliance("plan", "check", second, expect=None), "revoked already")
        self.assert_clear(self.run_kept(second, expect=None), "revoked already")
        text = first.read_text()
        other = self.ferry.folder / "other.toml"
        other.write_text(text.replace(f"record_no = {record}", f"record_no = {self.of_state['injected'][1][0]}").replace("number = ", "number = 9"))
        self.assert_clear(self.ferry.appliance("plan", "check", other, expect=None), "another certificate, SE or device serial")

    def run_kept(self, plan, **options):
        return self.ferry.appliance("plan", "run", plan, **options)

    # --- quarantine ------------------------------------------------------------------------------------------------------

    def test_the_lane_leaves_a_quarantined_se_alone(self):
        self.put_back("ran")
        _, serial, _ = self.of_state["quarantined"][0]
        again = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        bad = next(one for one in again["devices"] if bytes.fromhex(one["se_serial"]).decode() == serial)
        self.assertEqual((bad["result"], bad["reason"], bad["colour"]), ("quarantined", "blob-refused", "red"))
        self.assertIn("is in quarantine", bad["text"])
        [kept] = self.ferry.station_json("status")["quarantine"]
        self.assertIn("refused the wrapped key", kept["words"])
        self.assertIn(kept["words"], self.ferry.station("status").stdout)

    def test_the_list_says_why_in_plain_words(self):
        waiting = self.ferry.appliance_json("quarantine", "list")["waiting"]
        self.assertEqual({one["state"] for one in waiting}, {"quarantined", "returned"})
        first = self.ferry.appliance_json("quarantine", "list", "--limit", 1)
        self.assertEqual((first["waiting"], first["all"]), (waiting[:1], 2))
        self.assertIn("1 of 2: name a batch", self.ferry.appliance("quarantine", "list", "--limit", 1).stdout)
        bad = next(one for one in waiting if one["state"] == "quarantined")
        self.assertEqual(bad["reason"], "blob-refused")
        self.assertIn("refused the wrapped key", bad["words"])
        shown = self.ferry.appliance("quarantine", "show", self.batch, bad["record_no"]).stdout
        self.assertIn("quarantine release", shown)
        good = self.of_state["injected"][0][0]
        self.assert_clear(self.ferry.appliance("quarantine", "show", self.batch, good, expect=None), "is injected, not quarantined")

    def test_the_label_says_the_same_as_text_and_in_its_qr_code(self):
        record, serial, device = self.of_state["quarantined"][0]
        text, png = self.ferry.folder / "label.txt", self.ferry.folder / "label.png"
        made = self.ferry.appliance_json("quarantine", "label", self.batch, record, "--text", text, "--png", png)
        for word in (serial, device, "blob-refused", self.batch, str(record), "QUARANTINE"):
            self.assertIn(word, text.read_text())
        expected = made["qr"].split("|")
        self.assertEqual(expected[:7], ["KFQ1", "pkcs11", serial, device, "blob-refused", self.batch, str(record)])
        self.assertEqual(self.scanned(png), made["qr"])
        station = self.ferry.folder / "station.png"
        at_line = self.ferry.station_json("label", serial, "--png", station)
        self.assertEqual(self.scanned(station), at_line["qr"])
        self.assertEqual(at_line["qr"], made["qr"])
        self.assertIn(serial, self.ferry.station("label", serial).stdout)
        good = self.of_state["injected"][0][1]
        done = self.ferry.station("label", good, "--png", station, expect=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no SE", done.stderr)

    def scanned(self, png):
        self.assertTrue(png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n"))
        if not shutil.which("zbarimg"):
            self.skipTest("zbarimg is not installed")
        return subprocess.run(["zbarimg", "--quiet", "--raw", str(png)], capture_output=True, text=True, check=True).stdout.strip()

    def test_no_plan_has_a_quarantined_se_until_officers_release_it(self):
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 3, "--out", self.ferry.folder / "no.toml",
                                    expect=None)
        self.assert_clear(done, "2 of this choice")
        record = self.of_state["quarantined"][0][0]
        self.officer_json("quarantine", "release", self.batch, record, "--reason", "contact cleaned")
        self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 3, "--out", self.ferry.folder / "yes.toml")

    # --- scrap -----------------------------------------------------------------------------------------------------------

    def scrap(self, record, serial, *more, witness=None, **options):
        return self.device("scrap", serial, "--batch", self.batch, "--record", str(record), "--by", 1, "--witness", witness or self.witness,
                           *more, **options)

    def test_a_scrapped_se_is_gone_for_good(self):
        record, serial, _ = self.of_state["quarantined"][0]
        photo = self.ferry.folder / "photo.jpg"
        photo.write_bytes(b"crushed" * 1000)
        done = json.loads(self.scrap(record, serial, "--evidence", photo).stdout)
        self.assertEqual(done["evidence_sha256"], hashlib.sha256(photo.read_bytes()).hexdigest())
        self.assertTrue(json.loads(self.scrap(record, serial, "--evidence", photo).stdout)["done_before"])
        leaf = next(line for line in self.log().splitlines() if "device.ended" in line)
        self.assertIn(done["evidence_sha256"], leaf)
        self.assertIn(f"persons=[1,{self.witness}]", leaf)
        [batch] = self.ferry.reconcile()["batches"]
        self.assertEqual((batch["scrapped"], batch["in_hand"], batch["quarantined"]), (1, 1, 1))
        release = self.ferry.officer("quarantine", "release", self.batch, record, "--reason", "no", expect=None)
        self.assert_clear(release, "was scrapped")
        done = self.device("rework", serial, "--se", self.of_state["returned"][0][1], "--new-se", serial, expect=None)
        self.assertEqual(done.returncode, 1)
        self.assertEqual([one["state"] for one in self.ferry.appliance_json("quarantine", "list")["waiting"]], ["returned"])
        with self.assertRaisesRegex(Exception, "scrapped"):
            with_record = "INSERT INTO record (batch_id, record_no, segment_idx, se_id, generation, public_key, " \
                "certificate_serial, certificate_sha256, challenge, state) SELECT batch_id, 99, segment_idx, se_id, 9, public_key, " \
                "x'00112233445566778899aabbccddeeff', certificate_sha256, challenge, 'issued' FROM record WHERE record_no = ?"
            import sqlite3
            with sqlite3.connect(self.ledger) as database:
                database.execute(with_record, [record])

    def test_scrapping_takes_two_known_people_and_an_se_that_is_out_of_use(self):
        record, serial, _ = self.of_state["quarantined"][0]
        self.assert_clear(self.scrap(record, serial, witness=1, expect=None), "same person")
        self.assert_clear(self.scrap(record, serial, witness=77, expect=None), "no person 77")
        good, good_serial, _ = self.of_state["injected"][0]
        self.assert_clear(self.scrap(good, good_serial, expect=None), "its certificate is valid", "device revoke")
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM se_scrapped"), [(0,)])

    # --- rework, return, thread --------------------------------------------------------------------------------------------

    def test_a_reworked_device_gets_its_key_in_another_se_and_keeps_its_thread(self):
        ferry = self.ferry
        record, old, device = self.of_state["quarantined"][0]
        new = self.spare[0]
        done = json.loads(self.device("rework", old, "--device-serial", device, "--new-se", new).stdout)
        self.assertEqual(done["new_se"], f"pkcs11 {new}")
        self.assertTrue(json.loads(self.device("rework", old, "--device-serial", device, "--new-se", new).stdout)["done_before"])
        release = ferry.officer("quarantine", "release", self.batch, record, "--reason", "no", expect=None)
        self.assert_clear(release, "taken out of its device")
        # The new SE sits in the device now: the lane's file says so.
        lanes = ferry.lanes.read_text()
        places = lanes.split("[[lane.se]]")
        head, places = places[0], [place for place in places[1:] if any(serial in place for serial in self.spare)]
        places = [re.sub(r'device_serial = "[^"]*"', f'device_serial = "{device if new in place else "DEV-NEW"}"', place) for place in places]
        ferry.lanes.write_text("[[lane.se]]".join([head, *places]))
        second = ferry.batch(2, segment_size=2, path=ferry.folder / "second.toml", subject="CN={se_serial}")
        ferry.export(second)
        ferry.load()
        ferry.run_lanes()
        ferry.unload()
        ferry.receipts()
        self.assertEqual(ferry.reconcile()["incidents"], [])
        for way in (["--device-serial", device], ["--se", old], ["--se", new]):
            thread = ferry.appliance_json("device", "history", *way)
            self.assertEqual([event["event"] for event in thread["events"]], ["issued", "quarantined", "reworked", "issued", "injected"])
            self.assertEqual(thread["device_serials"], [device])
            self.assertEqual({row["se"] for row in thread["records"]}, {f"pkcs11 {old}", f"pkcs11 {new}"})
            self.assertIn("refused the wrapped key", thread["events"][1]["words"])
        self.assertIn("reworked", ferry.appliance("device", "history", "--device-serial", device).stdout)
        fleet = ferry.folder / "fleet.csv"
        ferry.appliance("fleet", "export", "--batch", second, fleet)
        with open(fleet, newline="") as file:
            self.assertIn((device, new), [(row["device_serial"], row["se_serial"]) for row in csv.DictReader(file)])

    def test_the_same_command_with_other_arguments_was_not_done_before(self):
        record, serial, device = self.of_state["injected"][0]
        self.device("revoke", serial, "--se", serial, "--crl-reason", "superseded")
        self.assert_clear(self.device("revoke", serial, "--se", serial, "--crl-reason", "keyCompromise", expect=None), "revoked already")
        self.assertEqual(json.loads(self.device("revoke", serial, "--se", serial, "--crl-reason", "superseded").stdout)["crl_reason"],
                         "superseded")
        quarantined, bad, bad_device = self.of_state["quarantined"][0]
        self.device("rework", bad, "--se", bad, "--new-se", self.spare[0])
        self.assert_clear(self.device("rework", bad, "--se", bad, "--new-se", self.spare[1], expect=None), "has got another SE before")
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM se WHERE device_serial = ?", bad_device), [(2,)], "the old one, and one new one")
        self.scrap(record, serial)
        photo = self.ferry.folder / "photo.jpg"
        photo.write_bytes(b"crushed")
        self.assert_clear(self.scrap(record, serial, "--evidence", photo, expect=None), "was scrapped")
        self.assertTrue(json.loads(self.scrap(record, serial).stdout)["done_before"])

    def test_the_same_command_again_finds_its_record_among_several_of_a_device(self):
        revoked, serial, _ = self.of_state["injected"][0]
        other = self.of_state["quarantined"][0][0]
        cases.edit(self.ledger, "UPDATE record SET device_serial_bound = 'TWICE' WHERE record_no IN (?, ?)", revoked, other)
        command = ("revoke", serial, "--device-serial", "TWICE", "--crl-reason", "superseded")
        self.assertEqual(json.loads(self.device(*command).stdout)["record_no"], revoked)
        again = json.loads(self.device(*command).stdout)
        self.assertEqual((again["record_no"], again["done_before"]), (revoked, True))

    def test_a_rework_of_what_was_injected_supersedes_its_certificate(self):
        record, old, device = self.of_state["injected"][0]
        taken = self.of_state["injected"][1][1]
        done = self.device("rework", old, "--device-serial", device, "--new-se", taken, expect=None)
        self.assert_clear(done, "is in the inventory for device")
        done = self.device("rework", old, "--device-serial", device, "--new-se", "0" * 16, expect=None)
        self.assert_clear(done, "not in the inventory")
        self.device("rework", old, "--device-serial", device, "--new-se", self.spare[0])
        self.assertEqual(self.crl_says(record, self.crl()), "Superseded")

    def test_a_returned_device_is_revoked_and_stays_on_its_thread(self):
        record, serial, device = self.of_state["injected"][0]
        done = json.loads(self.device("rma", serial, "--device-serial", device, "--rma", "R-17").stdout)
        self.assertEqual((done["rma"], done["crl_reason"]), ("R-17", "cessationOfOperation"))
        self.assertTrue(json.loads(self.device("rma", serial, "--device-serial", device, "--rma", "R-17").stdout)["done_before"])
        again = self.device("rma", serial, "--device-serial", device, "--rma", "R-18", expect=None)
        self.assert_clear(again, "came back before, return number R-17")
        self.assertEqual(self.crl_says(record, self.crl()), "Cessation Of Operation")
        self.scrap(record, serial)
        events = self.ferry.appliance_json("device", "history", "--se", serial)["events"]
        self.assertEqual([event["event"] for event in events], ["issued", "injected", "rma", "on-crl", "scrapped"])
        quarantined, bad, _ = self.of_state["quarantined"][0]
        self.assert_clear(self.device("rma", bad, "--se", bad, "--rma", "R-19", expect=None), "never left the line")
        self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 2, "--out", self.ferry.folder / "rest.toml")

    # --- the fleet's file ----------------------------------------------------------------------------------------------------

    def test_the_fleet_file_has_the_devices_that_passed_and_no_others(self):
        revoked, serial, device = self.of_state["injected"][0]
        first = self.ferry.folder / "first"
        first.mkdir()
        done = self.ferry.appliance_json("fleet", "export", "--all", first)
        self.assertEqual((done["devices"], done["revoked"], done["left_out"]), (2, 0, []))
        table = list(csv.DictReader((first / "fleet.csv").read_text().splitlines()))
        lines = [json.loads(line) for line in (first / "fleet.jsonl").read_text().splitlines()]
        self.assertEqual(table, lines)
        for row, (record, se, device_serial) in zip(table, self.of_state["injected"]):
            pem = self.certificates / f"record-{record:07}.pem"
            spki = openssl("pkey", "-pubin", "-outform", "DER", octets=openssl("x509", "-in", pem, "-noout", "-pubkey"))
            self.assertEqual((row["record"], row["se_serial"], row["device_serial"]), (str(record), se, device_serial))
            self.assertEqual(row["spki_sha256"], hashlib.sha256(spki).hexdigest())
            self.assertEqual(row["certificate_sha256"], hashlib.sha256(openssl("x509", "-in", pem, "-outform", "DER")).hexdigest())
            self.assertEqual((row["chain"], row["challenge"], row["serial_registered"]), ("pass", "pass", "pass"))
            self.assertEqual((row["evidence"], row["proved"]), ("possession", "key certificate order"))
        second = self.ferry.folder / "second"
        second.mkdir()
        self.ferry.appliance("fleet", "export", "--batch", self.batch, second)
        self.assertEqual((first / "fleet.csv").read_bytes(), (second / "fleet.csv").read_bytes())
        self.device("revoke", serial, "--se", serial, "--crl-reason", "keyCompromise")
        done = self.ferry.appliance_json("fleet", "export", "--since", "2020-01-01", self.ferry.folder / "later.jsonl")
        self.assertEqual((done["devices"], done["revoked"]), (1, 1))
        self.assertNotIn(device, (self.ferry.folder / "later.jsonl").read_text())
        done = self.ferry.appliance_json("fleet", "export", "--since", "2900-01-01", self.ferry.folder / "none.csv")
        self.assertEqual(done["devices"], 0)

    def test_a_batch_that_is_not_reconciled_gives_no_fleet_file(self):
        self.put_back("ran")
        out = self.ferry.folder / "fleet.csv"
        self.assert_clear(self.ferry.appliance("fleet", "export", "--batch", self.batch, out, expect=None), "4 of 4 are outstanding")
        self.assertFalse(out.exists())
        done = self.ferry.appliance_json("fleet", "export", "--all", out, expect=1)
        self.assertEqual([one["batch"] for one in done["left_out"]], [self.batch])
        self.assertEqual(len(out.read_text().splitlines()), 1)

    # --- cut anywhere ----------------------------------------------------------------------------------------------------------

    def test_each_of_these_commands_is_cut_off_and_goes_on(self):
        injected, good, device = self.of_state["injected"][0]
        quarantined, bad, bad_device = self.of_state["quarantined"][0]
        commands = {
            "revoke": lambda **o: self.device("revoke", good, "--se", good, "--crl-reason", "superseded", **o),
            "rma": lambda **o: self.device("rma", good, "--se", good, "--rma", "R-1", **o),
            "rework": lambda **o: self.device("rework", bad, "--se", bad, "--new-se", self.spare[0], **o),
            "scrap": lambda **o: self.scrap(quarantined, bad, **o),
        }
        kinds = {"revoke": "revoked", "rma": "rma", "rework": "reworked", "scrap": "scrapped"}
        walked = set()
        for verb, command in commands.items():
            self.put_back("home")
            trace = self.root / "trace"
            self.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(trace)}
            command()
            self.ferry.hooks = {}
            names = sorted({line.split()[0] for line in trace.read_text().splitlines()})
            trace.unlink()
            self.assertTrue(any(DEVICE_CUTS.match(name) for name in names), names)
            for name in names:
                if not name.startswith(WALKED) and not DEVICE_CUTS.match(name):
                    continue
                walked.add(name)
                with self.subTest(f"{verb} {name}"):
                    self.put_back("home")
                    self.ferry.hooks = {"KEYFERRY_CUT": name}
                    done = command(expect=None)
                    self.ferry.hooks = {}
                    self.assertIn(done.returncode, (KILLED, 1, 2, 3), done.stderr)
                    command()
                    acts = rows(self.ledger, "SELECT kind, count(*) FROM device_act GROUP BY kind")
                    self.assertEqual(acts, [(kinds[verb], 1)])
                    self.assertEqual(self.log().count("device.ended"), 1)
                    self.assertTrue(self.ferry.reconcile()["agree"])
        source = pathlib.Path(__file__).resolve().parents[2]
        self.assertEqual({name for name in cut_names(source) if DEVICE_CUTS.match(name)} - walked, set())


if __name__ == "__main__":
    cases.main()
