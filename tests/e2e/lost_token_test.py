#!/usr/bin/env python3
"""A token is lost: on its way out (revoked or accepted by officers, obeyed by the station, on the CRL) and on its way home."""
import csv
import json
import shutil
import subprocess

import cases
from cases import FerryCase, openssl
from ferry import sums_agree

REASON = "left on the train"


def exported(ferry, batch, token=None):
    return ferry.appliance_json("batch", "export", batch, "--to", token or ferry.token)["token"]


class Outbound(FerryCase):
    """Two batches of two for one station. The first is exported; its token is lost."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.make_chips(4)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.batch = ferry.batch(2, segment_size=1)
        cls.token_id = exported(ferry, cls.batch)
        cls.other = ferry.batch(2, segment_size=2, path=ferry.folder / "other.toml")
        cls.put_aside("out")

    def setUp(self):
        self.put_back("out")

    # --- steps ------------------------------------------------------------------------------------------------------

    def lose(self, *decision, expect=0, token=None):
        return self.ferry.officer("--json", "token", "lost", token or self.token_id, "--batch", self.batch, "--reason", REASON,
                                  *decision, expect=expect)

    def revoke(self):
        return json.loads(self.lose("--revoke", "--confirm", self.batch).stdout)

    def fresh_token(self, name):
        token = self.ferry.folder / name
        token.mkdir()
        return token

    def crl(self):
        said = json.loads(self.ferry.officer("--json", "crl", "issue", "--ca", "ca").stdout)
        return said, openssl("crl", "-inform", "DER", "-in", said["der"], "-noout", "-text").decode()

    def batch_of(self, batch, expect=0):
        return next(b for b in self.ferry.reconcile(expect=expect)["batches"] if b["batch"] == batch)

    # --- revoked ------------------------------------------------------------------------------------------------------

    def test_revoking_names_what_was_exposed_and_the_sums_agree(self):
        done = self.revoke()
        self.assertEqual((done["exposed"], done["decision"], done["revocation_number"]), (2, "revoke", 1))
        with open(done["list"], encoding="ascii") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["record_no"] for row in rows], ["0", "1"])
        self.assertEqual({len(row["certificate_serial"]) for row in rows}, {32})
        batch = self.batch_of(self.batch)
        self.assertEqual((batch["issued"], batch["revoked"], batch["outstanding"], batch["state"]), (2, 2, 0, "closed"))
        self.assertTrue(batch["agree"] and sums_agree(batch))
        other = self.batch_of(self.other)
        self.assertEqual((other["revoked"], other["outstanding"]), (0, 2))
        log = self.log()
        for event in ("token.lost", "batch.closed", f"reason={REASON}"):
            self.assertIn(event, log)

    def test_a_closed_batch_leaves_no_more(self):
        self.revoke()
        done = self.ferry.export(self.batch, self.fresh_token("again"), expect=None)
        self.assert_clear(done, "closed")
        done = self.ferry.officer("batch", "reexport", self.batch, "--reason", "again", expect=None)
        self.assert_clear(done, "closed")
        self.assertTrue(self.revoke()["done_before"])
        self.assert_clear(self.lose("--accept", expect=None), "closed")

    def test_the_station_refuses_the_found_token_once_it_has_the_list(self):
        self.revoke()
        alone = self.fresh_token("list-only")
        self.ferry.appliance("token", "revocations", alone)
        taken = self.ferry.station_json("load", alone)
        self.assertEqual((taken["revocations"], taken["batches"]), (1, []))
        found = self.ferry.load(expect=None)
        self.assert_clear(found, "batch-revoked", self.batch)
        self.assertEqual(self.ferry.station_json("status")["batches"], [])

    def test_records_that_were_loaded_before_are_not_injected_after_it(self):
        self.ferry.load()
        self.revoke()
        after = self.fresh_token("after")
        exported(self.ferry, self.other, after)
        self.ferry.load(after)
        ran = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        self.assertEqual((ran["injected"], ran["refused"]), (2, 2))
        self.assertEqual({d["reason"] for d in ran["devices"] if d["result"] == "refused"}, {"batch-revoked"})
        returned = self.ferry.station("return", self.batch, "--confirm", self.batch, expect=None)
        self.assert_clear(returned, "closed batch")
        self.ferry.unload(after)
        self.ferry.receipts(after)
        self.assertEqual((self.batch_of(self.other)["injected"], self.batch_of(self.batch)["revoked"]), (2, 2))

    def test_receipts_that_come_later_are_incidents_and_change_nothing(self):
        self.ferry.load()
        self.ferry.station("run", "--lanes", self.ferry.lanes, expect={0, 1})
        self.revoke()
        self.ferry.unload()
        self.ferry.receipts(expect={0, 1})
        report = self.ferry.reconcile(expect=1)
        self.assertEqual({one["kind"] for one in report["incidents"]}, {"receipt-after-end"})
        self.assertEqual(len(report["incidents"]), 2)
        batch = next(b for b in report["batches"] if b["batch"] == self.batch)
        self.assertEqual((batch["injected"], batch["revoked"]), (0, 2))
        self.assertTrue(batch["agree"])

    # --- what the list protects against ----------------------------------------------------------------------------------

    def test_a_token_whose_list_was_taken_off_or_replaced_loads_nothing(self):
        self.revoke()
        token = self.fresh_token("stripped")
        exported(self.ferry, self.other, token)
        list_file = token / "keyferry" / "revoked.kf"
        good = list_file.read_bytes()
        list_file.unlink()
        self.assert_clear(self.ferry.load(token, expect=None), "revocations-missing")
        self.assertEqual(self.ferry.station_json("status")["batches"], [])
        list_file.write_bytes(cases.flipped(good, len(good) // 2))
        self.assertEqual(self.ferry.load(token, expect=None).returncode, 1)
        self.assertEqual(self.ferry.station_json("status")["revocations"], 0)
        list_file.write_bytes(good)
        self.ferry.load(token)
        self.assertEqual(self.ferry.station_json("status")["revocations"], 1)

    def test_an_older_list_is_refused_and_the_newer_one_stays(self):
        self.revoke()
        first = self.fresh_token("first")
        exported(self.ferry, self.other, first)
        self.ferry.officer("batch", "close", self.other, "--confirm", self.other, "--reason", "not needed")
        second = self.fresh_token("second")
        self.ferry.appliance("token", "revocations", second)
        self.assertEqual(self.ferry.station_json("load", second)["revocations"], 2)
        done = self.ferry.load(first, expect=None)
        self.assert_clear(done, "revocations-older", "batch-revoked")
        self.assertEqual(self.ferry.station_json("status")["revocations"], 2)

    # --- the CRL -----------------------------------------------------------------------------------------------------------

    def test_openssl_verifies_the_crl_and_finds_every_certificate_of_the_batch_on_it(self):
        self.revoke()
        said, text = self.crl()
        self.assertEqual((said["number"], said["entries"]), (1, 2))
        self.assertIn("ecdsa-with-SHA256", text)
        folder = self.ferry.folder / "certificates"
        folder.mkdir()
        for batch in (self.batch, self.other):
            (folder / batch).mkdir()
            self.ferry.appliance("batch", "certificates", batch, "--to", folder / batch)
        ca = folder / self.batch / "ca.pem"
        checked = subprocess.run(["openssl", "crl", "-in", said["pem"], "-CAfile", ca, "-noout"], capture_output=True, text=True)
        self.assertIn("verify OK", checked.stderr + checked.stdout)
        for batch, revoked in ((self.batch, True), (self.other, False)):
            for leaf in sorted((folder / batch).glob("record-*.pem")):
                done = subprocess.run(["openssl", "verify", "-crl_check", "-CAfile", ca, "-CRLfile", said["pem"], leaf],
                                      capture_output=True, text=True)
                if revoked:
                    self.assertIn("certificate revoked", done.stdout + done.stderr)
                else:
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        # The next one has what this one had and more, and its number is the next.
        self.ferry.officer("batch", "close", self.other, "--confirm", self.other, "--reason", "not needed")
        more, longer = self.crl()
        self.assertEqual((more["number"], more["entries"]), (2, 4))
        serials = [line for line in text.splitlines() if "Serial Number" in line]
        self.assertEqual([line for line in longer.splitlines() if "Serial Number" in line][:2], serials)
        shown = self.ferry.appliance_json("crl", "show", "--ca", "ca")
        self.assertEqual(shown["sha256"], more["sha256"])

    def test_a_crl_is_there_before_anything_was_revoked(self):
        said, text = self.crl()
        self.assertEqual((said["number"], said["entries"]), (1, 0))
        self.assertIn("No Revoked Certificates", text)

    # --- accepted ----------------------------------------------------------------------------------------------------------

    def test_accepting_revokes_nothing_and_the_batch_may_go_again(self):
        done = json.loads(self.lose("--accept").stdout)
        self.assertEqual((done["exposed"], done["decision"], done["revocation_number"]), (2, "accept", 0))
        self.assertEqual(self.batch_of(self.batch)["outstanding"], 2)
        self.ferry.officer("batch", "reexport", self.batch, "--reason", REASON)
        again = self.fresh_token("again")
        exported(self.ferry, self.batch, again)
        self.ferry.load(again)
        self.ferry.station("run", "--lanes", self.ferry.lanes, expect={0, 1})
        self.ferry.unload(again)
        self.ferry.receipts(again)
        self.assertEqual(self.batch_of(self.batch)["injected"], 2)

    # --- bad input ---------------------------------------------------------------------------------------------------------

    def test_what_is_not_right_is_refused_and_changes_nothing(self):
        before = self.states()[0]
        for arguments, words, status in (
                (("--revoke", "--confirm", self.other), ("nothing was done",), 1),
                ((), ("--revoke or --accept",), 2),
                (("--revoke", "--accept"), ("--revoke or --accept",), 2)):
            with self.subTest(arguments):
                self.assert_clear(self.lose(*arguments, expect=None), *words, status=status)
        self.assert_clear(self.lose("--accept", token="ffff", expect=None), "no token")
        self.assertEqual(self.states()[0], before)

    def test_a_batch_that_never_was_on_the_token_is_refused_by_the_gate(self):
        done = self.ferry.officer("token", "lost", self.token_id, "--batch", self.other, "--accept", "--reason", REASON, expect=None)
        self.assert_clear(done, "never exported to token")


class Homebound(FerryCase):
    """The receipts of two devices are on a token that never came home."""

    @classmethod
    def prepare(cls):
        cls.ferry.set_up(2)
        cls.batch = cls.ferry.batch(2, segment_size=1)
        cls.token_id = exported(cls.ferry, cls.batch)
        cls.ferry.load()
        cls.ferry.run_lanes()
        cls.ferry.unload()
        shutil.rmtree(cls.ferry.token)
        cls.ferry.token.mkdir()

    def test_nothing_is_revoked_and_unloading_again_brings_everything_home(self):
        ferry = self.ferry
        done = json.loads(ferry.officer("--json", "token", "lost", self.token_id, "--homebound", "--reason", REASON).stdout)
        self.assertEqual(done["decision"], "unload-again")
        [batch] = ferry.reconcile()["batches"]
        self.assertEqual((batch["outstanding"], batch["revoked"]), (2, 0))
        again = ferry.station_json("unload", "--to", ferry.token)
        self.assertEqual(again["from"], 0)
        ferry.receipts()
        report = ferry.reconcile()
        [batch] = report["batches"]
        self.assertEqual((batch["injected"], batch["revoked"], batch["outstanding"]), (2, 0, 0))
        self.assertEqual(report["incidents"], [])
        # The lost one turns up, and somebody unloads from the beginning once more: nothing changes.
        other = ferry.folder / "turned-up"
        other.mkdir()
        self.assertEqual(ferry.station_json("unload", "--to", other, "--from", "0")["from"], 0)
        ferry.receipts(other)
        once_more = ferry.reconcile()
        self.assertEqual((once_more["batches"], once_more["incidents"]), (report["batches"], []))
        self.assertIn("token.lost", self.log())


if __name__ == "__main__":
    cases.main()
