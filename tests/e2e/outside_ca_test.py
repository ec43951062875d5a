#!/usr/bin/env python3
"""A batch under an outside CA, which `openssl ca` plays: requests out, certificates in, sealed, injected, home again."""
import csv
import json
import os
import pathlib
import threading
import time

import cases
from cases import FerryCase, edit, flipped, openssl, rows
from ferry import KILLED, OUTSIDE_CUTS, cut_names, sums_agree
from outside_ca import OpensslCa, der

SEGMENT = 4


class OutsideCase(FerryCase):
    CHIPS = 12

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        cls.ca = OpensslCa(cls.root / "outside-ca")
        ferry.officer("ca", "import", "outside", "--chain", cls.ca.chain)
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        cls.make_elements()
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.plan_outside()
        cls.prepare_more()

    @classmethod
    def make_elements(cls):
        cls.ferry.make_chips(cls.CHIPS)

    @classmethod
    def plan_outside(cls, segment=SEGMENT):
        ferry = cls.ferry
        ferry.appliance("plan", "new", "--station", "line-1", "--ca", "outside", "--count", cls.CHIPS, "--segment-size", segment,
                        "--lot", "L1", "--subject", "CN={device_serial},O=Test", "--not-after", cls.not_after(), "--out",
                        ferry.plan_file)
        ferry.approve()

    @staticmethod
    def not_after():
        return "2035-01-01"

    @classmethod
    def prepare_more(cls):
        pass

    @classmethod
    def request(cls, folder="requests", *more):
        """The batch's id; its keys wait and their requests are in the folder."""
        batch = json.loads(cls.ferry.run_plan().stdout)["batch"]
        cls.requests = cls.ferry.folder / folder
        cls.ferry.appliance("batch", "requests", batch, "--to", cls.requests, *more)
        return batch

    @classmethod
    def request_files(cls):
        return sorted(cls.requests.glob("request-*"))

    def take(self, batch, *paths, expect=0):
        done = self.ferry.officer("--json", "batch", "certificates", batch, "--from", *paths, expect=expect)
        return json.loads(done.stdout)

    def certify(self, batch, **options):
        return self.ferry.officer("--json", "batch", "certify", batch, **options)

    def status(self, batch):
        [one] = self.ferry.appliance_json("batch", "status", batch)["batches"]
        return one

    def from_ca(self, name, text):
        """A file that the outside CA gave."""
        folder = self.ferry.folder / "from-ca"
        folder.mkdir(exist_ok=True)
        path = folder / name
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text)
        return path


class TheWholeJob(OutsideCase):
    def held_at(self, point, command, hand):
        """`command` runs up to that cut point, then the hand does its work, then it goes on."""
        pipe, results = self.ferry.folder / "hold", []
        os.mkfifo(pipe)
        self.ferry.hooks["KEYFERRY_HOLD"] = f"{point}:{pipe}"
        thread = threading.Thread(target=lambda: results.append(command()), daemon=True)
        thread.start()
        writer = None
        while writer is None and thread.is_alive():
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # it has not come there yet
                time.sleep(0.01)
        hand()
        os.close(writer)
        thread.join()
        pipe.unlink()
        del self.ferry.hooks["KEYFERRY_HOLD"]
        return results[0]

    def assert_doctor_tells(self, batch):
        told = [check for check in self.ferry.appliance_json("doctor", expect={0, 1})["checks"] if check["topic"] == "outside CA"]
        containers = [id for (id,) in rows(self.ledger, "SELECT lower(hex(container_id)) FROM waiting_segment ORDER BY idx")]
        self.assertEqual([check["level"] for check in told], ["warn", "warn"])
        self.assertIn(f"batch {batch} waits for CA \"outside\" since 2", told[0]["text"])
        self.assertIn("0 of 12 certificates are in", told[0]["text"])
        self.assertEqual(told[1]["text"], f"its keys wait in 3 containers: {containers[0]} to {containers[-1]}")

    def test_requests_out_certificates_in_and_the_keys_come_home(self):
        ferry = self.ferry
        batch = self.request()
        folder = ferry.home / "batches" / batch
        self.assertEqual(self.status(batch)["state"], "waiting")
        self.assertEqual(list(folder.glob("segment-*")), [], "nothing is sealed to a station yet")
        self.assertEqual(len(list(folder.glob("waiting-*.kf"))), 3)
        self.assert_clear(ferry.export(batch, expect=None), "waiting")
        self.assert_clear(self.certify(batch, expect=None), "12 of 12 certificates")

        # The index names each request; openssl reads each of them and verifies that its key signed it.
        with (self.requests / "index.csv").open() as file:
            index = list(csv.DictReader(file))
        self.assertEqual([int(line["record_no"]) for line in index], list(range(self.CHIPS)))
        self.assertEqual(json.loads((self.requests / "index.json").read_text())["batch"], batch)
        for line in index:
            openssl("req", "-in", self.requests / line["file"], "-verify", "-noout")
            self.assertEqual(line["subject"], f"CN={line['device_serial']},O=Test")
            self.assertIn("CA:FALSE", openssl("req", "-in", self.requests / line["file"], "-text", "-noout").decode())

        # Given again the same requests: the keys are there already.
        again = ferry.folder / "again"
        self.assertEqual(json.loads(ferry.run_plan().stdout)["state"], "waiting")
        ferry.appliance("batch", "requests", batch, "--to", again, "--der")
        for pem in self.request_files():
            self.assertEqual(openssl("req", "-in", pem, "-outform", "DER"), (again / pem.name).with_suffix(".der").read_bytes())

        # What a medium gives back otherwise than it was given is said, and no index tells of it.
        damaged = ferry.folder / "damaged"
        done = self.held_at("front.requests.synced", lambda: ferry.appliance("batch", "requests", batch, "--to", damaged, expect=None),
                            lambda: (damaged / "request-0000005.pem").write_bytes(flipped((again / "request-0000005.der").read_bytes(), 9)))
        self.assert_clear(done, "request-0000005.pem is not what was written", "another medium", status=3)
        self.assertEqual(list(damaged.glob("index.*")), [])
        ferry.appliance("batch", "requests", batch, "--to", damaged)
        self.assertEqual((damaged / "index.csv").read_bytes(), (self.requests / "index.csv").read_bytes())
        self.assert_doctor_tells(batch)

        # In the forms that EJBCA, AWS PCA, step-ca and others give, in several goes.
        signed = self.ca.sign(self.request_files())
        for i, certificate in enumerate(signed[:4]):
            self.from_ca(f"Device_{i}.PEM", certificate + self.ca.chain.read_text())
        self.ca.pkcs7(signed[4:7], self.from_ca("bundle.p7b", ""))
        first = self.take(batch, ferry.folder / "from-ca", expect=1)
        self.assertEqual((first["taken"], first["missing"]), (7, [7, 8, 9, 10, 11]), first["problems"])
        self.assertIn("7 of 12", ferry.appliance("batch", "status", batch).stdout)
        self.assert_clear(self.certify(batch, expect=None), "5 of 12 certificates")
        self.ca.pkcs7(signed[7:9], self.from_ca("more.p7", ""), form="PEM")
        self.from_ca("rest.pem", "".join(signed[9:11]))
        self.from_ca("last.der", der(signed[11]))
        second = self.take(batch, ferry.folder / "from-ca")
        self.assertEqual((second["taken"], second["known"], second["missing_count"]), (5, 7, 0))

        done = json.loads(self.certify(batch).stdout)
        self.assertEqual(done["state"], "sealed")
        doctor = ferry.appliance_json("doctor", expect={0, 1})["checks"]
        self.assertEqual([check["level"] for check in doctor if check["topic"] == "outside CA"], ["ok"])
        self.assertEqual(list(folder.glob("waiting-*.kf")), [], "what was in them is in the segments")
        self.assertEqual(json.loads(self.certify(batch).stdout)["state"], "sealed")
        events = self.log()
        self.assertEqual((events.count("key.requested"), events.count("segment.waiting"), events.count("batch.certified"),
                          events.count("key.issued")), (12, 3, 1, 12))

        ferry.export(batch)
        ferry.load()
        ferry.run_lanes()
        ferry.unload()
        ferry.receipts()
        report = ferry.reconcile()
        [one] = report["batches"]
        self.assertEqual((one["injected"], one["outstanding"], one["state"]), (self.CHIPS, 0, "closed"))
        self.assertTrue(sums_agree(one))
        self.assertEqual(report["incidents"], [])

        certificates = self.root / "certificates"
        certificates.mkdir()
        ferry.appliance("batch", "certificates", batch, "--to", certificates)
        leaves = sorted(certificates.glob("record-*.pem"))
        said = openssl("verify", "-x509_strict", "-CAfile", self.ca.folder / "root.pem", "-untrusted",
                       self.ca.folder / "issuing.pem", *leaves).decode()
        self.assertEqual(said.count(": OK"), self.CHIPS, said)
        self.assertEqual([der(leaf.read_text()) for leaf in leaves], [der(one) for one in signed])

        # A device is named, and shown, by the serial that stands in its certificate; that CA is who has to revoke it.
        serial = openssl("x509", "-in", leaves[0], "-noout", "-serial").decode().split("=")[1].strip().lower()
        [record] = ferry.appliance_json("device", "history", "--certificate", serial)["records"]
        self.assertEqual(record["certificate_serial"], serial)
        revoke = ("device", "revoke", "--certificate", serial, "--crl-reason", "keyCompromise", "--reason", "stolen", "--confirm",
                  record["se"].split()[1])
        plan = ferry.folder / "revoke.toml"
        ferry.officer("--plan-out", plan, *revoke)
        shown = ferry.appliance("plan", "show", plan).stdout
        self.assertIn(f"certificate serial {serial}.", shown)
        self.assertIn("its outside CA is to revoke the certificate", shown)
        self.assertIn(f"the outside CA outside must revoke certificate {serial}", ferry.officer(*revoke).stdout)
        again = json.loads(ferry.officer("--json", *revoke).stdout)
        self.assertEqual((again["done_before"], again["certificate_serial"]), (True, serial))


class AThousandRequests(OutsideCase):
    CHIPS = 1000

    @classmethod
    def make_elements(cls):
        cls.ferry.fake_inventory(cls.ferry.inventory, cls.CHIPS)

    @classmethod
    def plan_outside(cls, segment=256):
        super().plan_outside(segment)

    def test_all_of_them_go_round(self):
        batch = self.request()
        files = self.request_files()
        self.assertEqual(len(files), 1000)
        signed = self.ca.sign(files)
        for i, certificate in enumerate(signed[:300]):
            self.from_ca(f"cert-{i}.pem", certificate + self.ca.chain.read_text())
        self.ca.pkcs7(signed[300:700], self.from_ca("bundle.p7b", ""))
        first = self.take(batch, self.ferry.folder / "from-ca", expect=1)
        self.assertEqual((first["taken"], first["missing"]), (700, list(range(700, 1000))), first["problems"])
        for i, certificate in enumerate(signed[700:]):
            self.from_ca(f"late-{i}.der", der(certificate))
        self.assertEqual(self.take(batch, self.ferry.folder / "from-ca")["missing_count"], 0)
        self.assertEqual(json.loads(self.certify(batch).stdout)["issued"], 1000)
        self.assertEqual(rows(self.ledger, "SELECT count(DISTINCT certificate_serial), count(DISTINCT public_key), "
                              "count(outside_serial) FROM record WHERE state = 'issued'"), [(1000, 1000, 1000)])
        self.ferry.export(batch)
        self.assertIn("1000", self.ferry.load().stdout)


class BadInput(OutsideCase):
    CHIPS = 4

    @staticmethod
    def not_after():
        return "2030-01-01"

    @classmethod
    def prepare_more(cls):
        cls.batch = cls.request()
        cls.put_aside("waiting")

    def setUp(self):
        self.put_back("waiting")

    def refused(self, *words, paths=None, record=None):
        """Everything that the CA gave is refused with these words, and nothing of it was taken."""
        done = self.ferry.officer("--json", "batch", "certificates", self.batch, "--from", *(paths or [self.ferry.folder / "from-ca"]),
                                  expect=1)
        said = json.loads(done.stdout)
        self.assertEqual((said["taken"], said["missing_count"]), (0, self.CHIPS))
        self.assertGreater(said["problem_count"], 0)
        text = " ".join(problem["text"] for problem in said["problems"])
        for word in words:
            self.assertIn(word, text)
        if record is not None:
            self.assertIn(record, [problem["record_no"] for problem in said["problems"]])
        for problem in said["problems"]:
            self.assertIn("from-ca", problem["file"])
        one = self.status(self.batch)
        self.assertEqual((one["state"], one["certificates_in"]), ("waiting", 0))
        self.assertIn("outside-certificates", self.log())
        self.assert_clear(self.certify(self.batch, expect=None), "4 of 4 certificates")

    def good_but(self, number, certificate):
        """Good ones for the others."""
        for i, good in enumerate(self.ca.sign(self.request_files())):
            self.from_ca(f"{i}.pem", certificate if i == number else good)

    def test_a_certificate_for_another_key(self):
        subject = json.loads((self.requests / "index.json").read_text())["requests"][1]["device_serial"]
        key = self.ca.make_key("other.key")
        openssl("req", "-new", "-key", key, "-subj", f"/CN={subject}/O=Test", "-out", self.ca.folder / "other.csr")
        self.good_but(1, self.ca.sign([self.ca.folder / "other.csr"])[0])
        self.refused("for a key that no request of this batch has", subject)

    def test_a_wrong_subject(self):
        self.good_but(2, self.ca.sign([self.request_files()[2]], "-subj", "/CN=somebody else/O=Test")[0])
        self.refused("CN=somebody else", "was requested", record=2)

    def test_a_subject_in_another_order(self):
        self.good_but(2, self.ca.sign([self.request_files()[2]], "-policy", "reversed")[0])
        self.refused("was requested", record=2)

    def test_a_subject_without_its_organization(self):
        self.good_but(2, self.ca.sign([self.request_files()[2]], "-policy", "short")[0])
        self.refused(",O=Test was requested", record=2)

    def test_a_ca_that_keeps_the_subject_whatever_its_policy(self):
        self.good_but(2, self.ca.sign([self.request_files()[2]], "-policy", "short", "-preserveDN")[0])
        self.assertEqual(self.take(self.batch, self.ferry.folder / "from-ca")["missing_count"], 0)

    def test_two_for_one_request(self):
        self.good_but(0, self.ca.sign([self.request_files()[0]])[0])
        self.from_ca("again.pem", self.ca.sign([self.request_files()[0]])[0])
        self.refused("a second, different certificate for the request of record 0", record=0)

    def test_two_for_one_request_in_two_goes(self):
        request = [self.request_files()[0]]
        first = self.from_ca("first.pem", self.ca.sign(request)[0])
        self.assertEqual(self.take(self.batch, first, expect=1)["taken"], 1)
        first.write_text(self.ca.sign(request)[0])
        said = self.take(self.batch, first, expect=1)
        self.assertIn("taken in before", said["problems"][0]["text"])
        self.assertEqual(self.status(self.batch)["certificates_in"], 1)

    def test_sha1(self):
        self.good_but(3, self.ca.sign([self.request_files()[3]], "-md", "sha1")[0])
        self.refused("SHA-1", record=3)

    def test_a_longer_validity(self):
        self.good_but(1, self.ca.sign([self.request_files()[1]], "-enddate", "20300102000000Z")[0])
        self.refused("2030-01-02T00:00:00Z", "was ordered", record=1)

    def test_an_expired_one(self):
        self.good_but(1, self.ca.sign([self.request_files()[1]], "-startdate", self.yesterday(), "-enddate", self.a_minute_ago())[0])
        self.refused("ended at", record=1)

    def test_a_ca_certificate_for_a_device(self):
        self.good_but(1, self.ca.sign([self.request_files()[1]], extensions="is_ca")[0])
        self.refused("is a CA's", record=1)

    def test_no_key_usage(self):
        self.good_but(1, self.ca.sign([self.request_files()[1]], extensions="bare")[0])
        self.refused("key usages", record=1)

    def test_another_ca_of_the_same_name(self):
        other = OpensslCa(self.root / f"other-{self.id()}")
        self.good_but(1, other.sign([self.request_files()[1]])[0])
        self.refused("is not signed by the enrolled key", record=1)

    def test_another_ca(self):
        other = OpensslCa(self.root / f"other-{self.id()}", name="Somebody Else")
        self.good_but(1, other.sign([self.request_files()[1]])[0])
        self.refused("is issued by", "Somebody Else", record=1)

    def test_none_at_all(self):
        empty = self.ferry.folder / "from-ca"
        empty.mkdir()
        done = self.ferry.officer("batch", "certificates", self.batch, "--from", empty, expect=None)
        self.assert_clear(done, "there is no file with certificates")
        self.from_ca("note.txt", "we will send them tomorrow\n")
        self.refused("certificate")

    def test_files_that_are_none(self):
        good = self.ca.sign(self.request_files())
        self.from_ca("cut.pem", good[0][:-200])
        self.refused("")
        self.from_ca("cut.pem", flipped(der(good[0]), 120))
        self.refused("")
        self.ca.pkcs7(good, self.from_ca("cut.pem", ""))
        whole = self.from_ca("cut.pem", (self.ferry.folder / "from-ca" / "cut.pem").read_bytes()[:-100])
        self.refused("")
        whole.unlink()
        whole.symlink_to(self.ca.chain)
        self.refused("is a link")

    @staticmethod
    def yesterday():
        import datetime
        return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=12)).strftime("%Y%m%d%H%M%SZ")

    @staticmethod
    def a_minute_ago():
        import datetime
        return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)).strftime("%Y%m%d%H%M%SZ")

    # --- what waits --------------------------------------------------------------------------------------------------------

    def take_good(self):
        for i, good in enumerate(self.ca.sign(self.request_files())):
            self.from_ca(f"{i}.pem", good)
        self.take(self.batch, self.ferry.folder / "from-ca")

    def test_a_waiting_container_that_was_changed_opens_nothing(self):
        self.take_good()
        [waiting] = (self.ferry.home / "batches" / self.batch).glob("waiting-*.kf")
        with cases.changed(waiting, flipped(waiting.read_bytes(), 400)):
            self.assert_clear(self.certify(self.batch, expect=None), "sender")
        self.assertEqual(json.loads(self.certify(self.batch).stdout)["state"], "sealed")

    def test_certificates_that_officers_did_not_approve_are_not_used(self):
        self.take_good()
        plan = self.ferry.folder / "certify.toml"
        self.ferry.officer("--plan-out", plan, "batch", "certify", self.batch)
        self.assertIn("4 certificates", self.ferry.appliance("plan", "show", plan).stdout)
        self.ferry.approve(plan)
        other = der(self.ca.sign([self.request_files()[0]])[0])
        before = rows(self.ledger, "SELECT certificate FROM key_request WHERE record_no = 0")[0][0]
        edit(self.ledger, "UPDATE key_request SET certificate = ? WHERE record_no = 0", other)
        self.assert_clear(self.ferry.run_plan(plan, expect=None), "not those that the plan names")
        edit(self.ledger, "UPDATE key_request SET certificate = ? WHERE record_no = 0", before)
        self.ferry.hooks = {"KEYFERRY_CUT": "front.certify.approved"}
        self.assertEqual(self.ferry.run_plan(plan, expect=None).returncode, KILLED)
        self.ferry.hooks = {}
        edit(self.ledger, "UPDATE key_request SET certificate = ? WHERE record_no = 0", other)
        self.assert_clear(self.ferry.run_plan(plan, expect=None), "not those that the officers approved")
        edit(self.ledger, "UPDATE key_request SET certificate = ? WHERE record_no = 0", before)
        self.assertEqual(json.loads(self.ferry.run_plan(plan).stdout)["state"], "sealed")

    def test_what_that_ca_has_to_revoke_is_named_with_its_serials(self):
        signed = self.ca.sign(self.request_files())
        for i, good in enumerate(signed):
            self.from_ca(f"{i}.pem", good)
        self.take(self.batch, self.ferry.folder / "from-ca")
        self.certify(self.batch)
        self.ferry.export(self.batch)
        self.ferry.officer("batch", "close", self.batch, "--confirm", self.batch, "--reason", "token burnt")
        said = self.ferry.appliance("crl", "due").stdout
        self.assertIn("4 certificates are for outside CAs to revoke: keyferry-appliance crl due --ca NAME --list FILE", said)
        self.assertNotIn("crl issue", said)
        listed = self.ferry.folder / "due.csv"
        due = self.ferry.appliance_json("crl", "due", "--ca", "outside", "--list", listed)
        self.assertEqual((due["due"], due["outside"], due["listed"]), (4, 4, 4))
        with listed.open() as file:
            table = list(csv.DictReader(file))
        self.assertEqual([(row["batch"], row["record_no"], row["reason"]) for row in table],
                         [(self.batch, str(record), "cessationOfOperation") for record in range(4)])
        serials = []
        for one in signed:
            path = self.from_ca("one.pem", one)
            serials.append(int(openssl("x509", "-in", path, "-noout", "-serial").decode().split("=")[1], 16))
        self.assertEqual([int(row["serial"], 16) for row in table], serials)
        self.assert_clear(self.ferry.officer("crl", "issue", "--ca", "outside", expect=None), "crl due --ca NAME --list FILE")
        self.assert_clear(self.ferry.appliance("crl", "due", "--list", listed, expect=None), "--list needs --ca", status=2)
        self.assert_clear(self.ferry.appliance("crl", "due", "--ca", "nobody", expect=None), "there is no CA")

    def test_what_that_ca_revoked_is_noted_by_its_crl_and_the_rest_stays_due(self):
        ferry = self.ferry
        signed = self.ca.sign(self.request_files())
        for i, good in enumerate(signed):
            self.from_ca(f"{i}.pem", good)
        self.take(self.batch, ferry.folder / "from-ca")
        self.certify(self.batch)
        ferry.export(self.batch)
        before = self.ca.crl(ferry.folder / "before.crl.pem")
        closed = ferry.officer("batch", "close", self.batch, "--confirm", self.batch, "--reason", "token burnt").stdout
        self.assertIn("crl import FILE --ca outside", closed)
        self.assertNotIn("crl issue", closed)
        self.assertEqual(self.noted(before)["noted"], 0)
        self.assertEqual(self.noted(before)["still_due"], 4)

        # Two of the four, and one of them is on hold, which can be lifted.
        self.ca.revoke(signed[:1])
        self.ca.revoke(signed[1:2], "certificateHold")
        first = self.noted(self.ca.crl(ferry.folder / "first.crl.pem"))
        self.assertEqual((first["noted"], first["still_due"], [one["record_no"] for one in first["due"]]), (1, 3, [1, 2, 3]))
        self.assertTrue(self.noted(ferry.folder / "first.crl.pem")["done_before"])
        self.assertEqual(ferry.appliance_json("crl", "due", "--ca", "outside")["due"], 3)
        self.assertIn("crl.imported", self.log())
        [(record, sha256)] = rows(self.ledger, "SELECT record_no, lower(hex(crl_sha256)) FROM outside_revoked")
        self.assertEqual((record, sha256), (0, first["crl_sha256"]))
        serial = openssl("x509", "-in", self.from_ca("one.pem", signed[0]), "-noout", "-serial").decode().split("=")[1].strip()
        events = ferry.appliance_json("device", "history", "--certificate", serial)["events"]
        self.assertIn("on-outside-crl", [one["event"] for one in events])

        # By plan file: the CRL is kept beside it.
        self.ca.revoke(signed[2:])
        second = self.ca.crl(ferry.folder / "second.crl.pem")
        openssl("crl", "-in", second, "-outform", "DER", "-out", ferry.folder / "second.crl")
        plan = ferry.folder / "import.toml"
        ferry.officer("--plan-out", plan, "crl", "import", ferry.folder / "second.crl", "--ca", "outside")
        (ferry.folder / "second.crl").unlink()
        self.assertIn("2 certificates that are due there stand on it", ferry.appliance("plan", "show", plan).stdout)
        ferry.approve(plan)
        ran = json.loads(ferry.run_plan(plan).stdout)
        self.assertEqual((ran["noted"], ran["still_due"]), (2, 1))
        self.assert_clear(ferry.officer("crl", "import", ferry.folder / "first.crl.pem", "--ca", "outside", expect=None),
                          "was taken in before", "newest CRL")

    def noted(self, crl):
        return json.loads(self.ferry.officer("--json", "crl", "import", crl, "--ca", "outside").stdout)

    def test_a_crl_that_is_not_that_cas_is_refused(self):
        ferry = self.ferry
        other = OpensslCa(ferry.folder / "other-ca")
        same_name = OpensslCa(ferry.folder / "same-name")
        stranger = OpensslCa(ferry.folder / "stranger", name="Another CA")
        good = self.ca.crl(ferry.folder / "good.pem")
        openssl("crl", "-in", good, "-outform", "DER", "-out", ferry.folder / "good.der")
        octets = (ferry.folder / "good.der").read_bytes()
        (ferry.folder / "flipped.der").write_bytes(flipped(octets, len(octets) - 5))
        (ferry.folder / "cut.der").write_bytes(octets[:-9])
        cases_ = [(stranger.crl(ferry.folder / "stranger.pem"), "is by"), (same_name.crl(ferry.folder / "same.pem"), "not signed by"),
                  (other.crl(ferry.folder / "sha384.pem", "-md", "sha384"), "ecdsa-with-SHA256"),
                  (ferry.folder / "cut.der", "malformed"), (self.ca.folder / "issuing.pem", "X509 CRL is expected"),
                  (ferry.folder / "nothing.crl", "no file")]
        for crl, words in cases_:
            with self.subTest(crl.name):
                self.assert_clear(ferry.officer("crl", "import", crl, "--ca", "outside", expect=None), words)
        done = ferry.officer("crl", "import", ferry.folder / "flipped.der", "--ca", "outside", expect=None)
        self.assertNotEqual(done.returncode, 0)
        self.assert_clear(ferry.officer("crl", "import", good, "--ca", "nobody", expect=None), "there is no CA")
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM outside_crl"), [(0,)])

    def test_a_batch_that_waits_is_closed_and_opened_by_nobody(self):
        self.take_good()
        closed = json.loads(self.ferry.officer("--json", "batch", "close", self.batch, "--confirm", self.batch, "--reason",
                                               "the CA is gone").stdout)
        self.assertEqual((closed["revoked"], closed["never_left"]), (0, self.CHIPS))
        [one] = self.ferry.reconcile()["batches"]
        self.assertTrue(sums_agree(one))
        self.assertEqual((one["state"], one["outstanding"]), ("closed", 0))
        self.assert_clear(self.certify(self.batch, expect=None), "closed")
        self.assert_clear(self.ferry.officer("batch", "certificates", self.batch, "--from", self.ferry.folder / "from-ca",
                                             expect=None), "closed")


class CutBeforeTheGateKnows(OutsideCase):
    CHIPS = 4

    def test_certify_tells_it_first_and_requests_are_told_by_what_is_in_them(self):
        self.ferry.hooks = {"KEYFERRY_CUT": "front.close.before"}
        self.assertEqual(self.ferry.run_plan(expect=None).returncode, KILLED)
        self.ferry.hooks = {}
        [(batch,)] = rows(self.ledger, "SELECT lower(hex(batch_id)) FROM batch")
        folder = self.ferry.folder / "from-ca"
        type(self).requests = folder
        self.ferry.appliance("batch", "requests", batch, "--to", folder)
        files = self.request_files()
        question = files[0].read_text()
        for file, certificate in zip(files, self.ca.sign(files)):
            file.write_text(certificate)  # the CA answers under the question's name
        (folder / "question.txt").write_text(question)
        said = self.take(batch, folder)
        self.assertEqual((said["taken"], said["requests"], said["missing_count"]), (4, 1, 0), said["problems"])
        self.assertEqual(json.loads(self.certify(batch).stdout)["state"], "sealed")


WALKED = ("gate.segment.", "gate.commit.", "worker.trailer.", "front.commit.", "front.part.", "front.trailer.", "front.batch.",
          "front.close.", "front.body.", "front.prepare.", "front.seal.")


class CutAnywhere(OutsideCase):
    CHIPS = 4

    @classmethod
    def plan_outside(cls, segment=2):
        super().plan_outside(segment)

    def traced(self, command):
        trace = self.root / "trace"
        self.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(trace)}
        command()
        self.ferry.hooks = {}
        names = sorted({line.split()[0] for line in trace.read_text().splitlines()})
        trace.unlink()
        return names

    def cut_everywhere(self, command, check):
        before = f"before-{command.__name__}"
        self.put_aside(before)
        names = [name for name in self.traced(command) if name.startswith(WALKED) or OUTSIDE_CUTS.match(name)]
        for name in names:
            with self.subTest(f"{command.__name__} {name}"):
                self.put_back(before)
                self.ferry.hooks = {"KEYFERRY_CUT": name}
                done = command(expect=None)
                self.ferry.hooks = {}
                self.assertIn(done.returncode, (KILLED, 1, 2, 3), f"{name}: nothing was cut\n{done.stdout}{done.stderr}")
                command()
                check()
        self.put_back(before)
        command()
        return {name for name in names if OUTSIDE_CUTS.match(name)}

    def test_each_step_is_cut_off_and_goes_on(self):
        ferry = self.ferry
        walked = set()

        def requesting(**options):
            return ferry.run_plan(**options)

        def batch():
            [(found,)] = rows(self.ledger, "SELECT lower(hex(batch_id)) FROM batch")
            return found

        def waits():
            self.assertEqual(self.status(batch())["state"], "waiting")
            self.assertEqual(rows(self.ledger, "SELECT count(*), count(DISTINCT public_key) FROM key_request"), [(4, 4)])

        walked |= self.cut_everywhere(requesting, waits)

        def writing(**options):
            return ferry.appliance("batch", "requests", batch(), "--to", ferry.folder / "requests", **options)

        walked |= self.cut_everywhere(writing, lambda: self.assertEqual(
            len(json.loads((ferry.folder / "requests" / "index.json").read_text())["requests"]), 4))
        self.requests = ferry.folder / "requests"
        type(self).requests = self.requests
        for i, certificate in enumerate(self.ca.sign(self.request_files())):
            self.from_ca(f"{i}.pem", certificate)

        def taking(**options):
            return ferry.officer("batch", "certificates", batch(), "--from", ferry.folder / "from-ca", **options)

        walked |= self.cut_everywhere(taking, lambda: self.assertEqual(self.status(batch())["certificates_in"], 4))

        def certifying(**options):
            return ferry.officer("batch", "certify", batch(), **options)

        def sealed():
            self.assertEqual(self.status(batch())["state"], "sealed")
            self.assertEqual(list((ferry.home / "batches" / batch()).glob("waiting-*.kf")), [])
            self.assertEqual(rows(self.ledger, "SELECT count(*), count(DISTINCT public_key), count(DISTINCT certificate_sha256) "
                                  "FROM record WHERE state = 'issued'"), [(4, 4, 4)])
            self.assertEqual(rows(self.ledger, "SELECT count(*) FROM record JOIN key_request USING (batch_id, record_no) WHERE "
                                  "record.public_key = key_request.public_key"), [(4,)])

        walked |= self.cut_everywhere(certifying, sealed)
        source = pathlib.Path(__file__).resolve().parents[2]
        self.assertEqual({name for name in cut_names(source) if OUTSIDE_CUTS.match(name)} - walked, set())
        ferry.export(batch())
        ferry.load()
        ferry.run_lanes()
        ferry.unload()
        ferry.receipts()
        [one] = ferry.reconcile()["batches"]
        self.assertEqual((one["injected"], one["outstanding"]), (4, 0))


if __name__ == "__main__":
    cases.main()
