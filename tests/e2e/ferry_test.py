#!/usr/bin/env python3
"""The main job on real parts, by the programs alone: keys leave the HSM, cross the gap, come home as receipts."""
import json
import pathlib
import re
import shutil

import cases
from cases import FerryCase, der_length, openssl, rows, tool, unwrapped
from ferry import sums_agree


class TheWholeJob(FerryCase):
    """Eight SEs in two lanes; every command is given twice."""

    CHIPS = 8

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.second = {}  # command: (changed tables of both sides, output)
        cls.twice("init", ferry.init_and_note_words)
        cls.twice("ca create", lambda: ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test"))
        cls.twice("transport-master create", lambda: ferry.officer("transport-master", "create", "m"))
        cls.twice("source add", lambda: ferry.officer("source", "add", "room"))
        cls.twice("vse make", lambda: ferry.make_chips(cls.CHIPS))
        cls.twice("se import", lambda: ferry.officer("se", "import", ferry.inventory, "--source", "room"))
        cls.twice("station init", lambda: ferry.station("init", "--name", "line-1", "--site", "site-1"))
        cls.twice("enroll --to", lambda: ferry.station("enroll", "--to", ferry.token))
        words = ferry.station_json("enroll", "--to", ferry.token)["fingerprint"]
        cls.twice("station enroll", lambda: ferry.officer("station", "enroll", ferry.token, "--fingerprint", words))
        cls.twice("enroll --from", lambda: ferry.station("enroll", "--from", ferry.token, "--fingerprint", ferry.appliance_words))
        ferry.new_plan(cls.CHIPS)
        cls.twice("plan check", lambda: ferry.appliance("plan", "check", ferry.plan_file))
        cls.twice("plan approve", ferry.approve)
        cls.batch = json.loads(cls.twice("plan run", ferry.run_plan).stdout)["batch"]
        cls.twice("batch export", lambda: ferry.export(cls.batch))
        cls.loaded = cls.twice("load", ferry.load)
        cls.records = tool("records", ferry.station_home, ferry.secrets / "station-pin",
                           *sorted(ferry.batch_folder(cls.batch).glob("segment-*.kf")))
        cls.ran = cls.twice("run", ferry.run_lanes)
        cls.twice("unload", ferry.unload)
        cls.imported = cls.twice("receipts import", ferry.receipts)
        cls.twice("reconcile", ferry.reconcile)

    @classmethod
    def twice(cls, name, command):
        first = command()
        before = cls.all_files()
        cls.second[name] = ({}, command())
        after = cls.all_files()
        cls.second[name] = ({path for path in before.keys() | after.keys() if before.get(path) != after.get(path)},
                            cls.second[name][1])
        return first

    @classmethod
    def all_files(cls):
        """Databases by their rows, other files by their octets; HSM stores and locks aside."""
        found = {}
        for path in sorted(cls.ferry.folder.rglob("*")):
            name = str(path.relative_to(cls.ferry.folder))
            if not path.is_file() or "/tokens/" in name or re.search(r"(lock|-wal|-shm|-journal)$", name):
                continue
            if path.suffix == ".db":
                found.update({f"{name}: {table}": sum for table, sum in cases.dump(path).items()})
            else:
                found[name] = path.read_bytes()
        return found

    def test_every_key_is_injected_and_nothing_is_outstanding(self):
        report = self.ferry.reconcile()
        [batch] = report["batches"]
        self.assertEqual((batch["issued"], batch["injected"], batch["outstanding"]), (self.CHIPS, self.CHIPS, 0))
        self.assertTrue(sums_agree(batch))
        self.assertEqual(batch["state"], "closed")
        self.assertEqual(report["incidents"], [])

    def test_every_command_given_twice_changes_nothing(self):
        # An approval signs the time's checkpoint, ECDSA is not deterministic: the officer's own new signature replaces his old one.
        allowed = {"plan approve": {"plan.toml.approval", "appliance/ledger.db: plan_approval"}}
        for name, (changed, _) in self.second.items():
            with self.subTest(name):
                self.assertEqual(changed - allowed.get(name, set()), set())

    def test_a_second_run_of_the_lanes_finds_everything_done(self):
        self.assertIn(f"already-injected {self.CHIPS}", self.second["run"][1].stdout)

    def test_the_same_receipts_again_are_known(self):
        self.assertIn("taken in before", self.second["receipts import"][1].stdout)

    def test_openssl_verifies_every_chain(self):
        certificates = self.root / "certificates"
        certificates.mkdir()
        self.ferry.appliance("batch", "certificates", self.batch, "--to", certificates)
        leaves = sorted(certificates.glob("record-*.pem"))
        self.assertEqual(len(leaves), self.CHIPS)
        said = openssl("verify", "-x509_strict", "-CAfile", certificates / "ca.pem", *leaves).decode()
        self.assertEqual(said.count(": OK"), self.CHIPS, said)
        serials = {openssl("x509", "-in", leaf, "-noout", "-serial") for leaf in leaves}
        self.assertEqual(len(serials), self.CHIPS)

    def test_one_certificates_file_has_all_leaves_and_the_ca(self):
        bundle = self.root / "bundle.pem"
        self.ferry.appliance("batch", "certificates", self.batch, "--to", bundle)
        self.assertEqual(bundle.read_text().count("BEGIN CERTIFICATE"), self.CHIPS + 1)

    def test_openssl_opens_each_wrapped_key_with_its_own_transport_key_only(self):
        keys = tool("transport-keys", self.ferry.gate_settings(), self.ferry.secrets / "hsm-pin", "m", "P1",
                    *[record["se_serial"] for record in self.records])
        self.assertEqual(len(self.records), self.CHIPS)
        self.assertEqual(len(set(keys.values())), self.CHIPS)
        behind = []
        for record in self.records:
            blob, point = bytes.fromhex(record["payload"]), bytes.fromhex(record["public_key"])
            for serial, key in keys.items():
                opened = unwrapped(blob, bytes.fromhex(key))
                if serial != record["se_serial"]:
                    self.assertIsNone(opened)
                    continue
                self.assertIsNotNone(opened)
                length = der_length(opened)
                zeros = opened[length:]
                behind.append(len(zeros))
                self.assertLessEqual(len(zeros), 7)
                self.assertEqual(zeros, bytes(len(zeros)))
                public = openssl("pkey", "-inform", "DER", "-pubout", "-outform", "DER", octets=opened[:length])
                self.assertEqual(public[-65:], point)
                certified = openssl("x509", "-inform", "DER", "-pubkey", "-noout", octets=bytes.fromhex(record["certificate"]))
                self.assertEqual(openssl("pkey", "-pubin", "-outform", "DER", octets=certified)[-65:], point)
        print(f"{self.CHIPS} keys opened by OpenSSL, zero octets behind the DER: {sorted(set(behind))}")

    def test_no_public_key_and_no_certificate_comes_twice(self):
        for field in ("public_key", "certificate", "payload"):
            self.assertEqual(len({record[field] for record in self.records}), self.CHIPS)

    def test_the_station_keeps_no_payload_of_a_settled_record(self):
        self.assertEqual(rows(self.store, "SELECT count(*) FROM record WHERE payload IS NOT NULL"), [(0,)])

    def test_the_log_tells_the_whole_way(self):
        log = self.log()
        for event in ("appliance.initialized", "key.made", "inventory.imported", "station.enrolled", "plan.run", "segment.issued",
                      "key.issued", "manifest.issued", "batch.exported", "inbox.opened", "receipt.accepted", "receipts.imported"):
            self.assertIn(event, log)
        self.assertEqual(log.count(" receipt.accepted "), self.CHIPS)
        self.assertEqual(log.count(" key.issued "), self.CHIPS)

    def test_both_sides_print_json_with_a_schema(self):
        for printed in (self.ferry.appliance_json("batch", "status"), self.ferry.appliance_json("log", "checkpoint"),
                        self.ferry.appliance_json("plan", "show", self.ferry.plan_file), self.ferry.station_json("status")):
            self.assertRegex(printed["schema"], r"^keyferry\..+\.v1$")


class TwoBatches(FerryCase):
    """Eight SEs: four in a batch that has one that was made for another part, four in one with a spare."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.make_chips(8)
        # The first four are lot L1, the others L2. One of L1 is said to be part P2: its transport key is another one.
        lines = ferry.inventory.read_text().splitlines(keepends=True)
        for number in range(5, 9):
            lines[number] = lines[number].replace(",L1,", ",L2,")
        lines[2] = lines[2].replace(",P1,", ",P2,")
        ferry.inventory.write_text("".join(lines))
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.first = ferry.batch(4, segment_size=1, path=ferry.folder / "first.toml", lot="L1")
        cls.other = ferry.batch(4, segment_size=2, path=ferry.folder / "other.toml", lot="L2", target_count=3)
        cls.put_aside("made")

    def setUp(self):
        self.put_back("made")

    def bring_home(self):
        self.ferry.unload()
        self.ferry.receipts()
        return {batch["batch"]: batch for batch in self.ferry.reconcile()["batches"]}

    def test_both_go_over_on_one_token_and_the_sums_agree(self):
        self.ferry.export(self.first)
        self.ferry.export(self.other)
        self.ferry.load()
        done = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        self.assertEqual((done["injected"], done["quarantined"], done["spare"]), (6, 1, 1))
        returned = self.ferry.station_json("return", self.other, "--confirm", self.other)
        self.assertEqual((returned["returned"], returned["quarantined"]), (1, 0))
        home = self.bring_home()
        first, other = home[self.first], home[self.other]
        self.assertEqual((first["injected"], first["quarantined"], first["returned"], first["outstanding"]), (3, 1, 0, 0))
        self.assertEqual((other["injected"], other["quarantined"], other["returned"], other["outstanding"]), (3, 0, 1, 0))
        for batch in (first, other):
            self.assertTrue(sums_agree(batch))
            self.assertEqual(batch["state"], "closed")

    def test_what_was_quarantined_or_returned_is_due_for_the_crl_and_nothing_else_is(self):
        self.test_both_go_over_on_one_token_and_the_sums_agree()
        states = rows(self.ledger, "SELECT state, crl_due, count(*) FROM record GROUP BY 1, 2 ORDER BY 1")
        self.assertEqual(states, [("injected", 0, 6), ("quarantined", 1, 1), ("returned", 1, 1)])

    def test_a_quarantined_se_gets_no_second_try(self):
        self.ferry.export(self.first)
        self.ferry.load()
        self.ferry.run_lanes(expect=1)
        again = self.ferry.run_lanes(expect=1)
        self.assertIn("quarantined 1", again.stdout)
        self.assertIn("already-injected 3", again.stdout)
        [red] = self.ferry.station_json("status")["quarantine"]
        self.assertEqual(red["reason"], "blob-refused")

    def test_a_batch_comes_in_pieces_over_several_tokens(self):
        self.ferry.export(self.first)
        small = self.ferry.folder / "small-token"
        shutil.copytree(self.ferry.token, small)
        away = "segment-00002.kf"
        (self.ferry.batch_folder(self.first, small) / away).unlink()
        part = self.ferry.load(small, expect=1)
        self.assertIn("3 of 4 segments", part.stdout)
        loaded = self.ferry.station_json("status")["batches"][0]
        self.assertEqual((loaded["segments_here"], loaded["segments_total"], loaded["loaded"]), (3, 4, 3))
        ran = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        self.assertEqual(ran["injected"] + ran["quarantined"], 3)
        self.assertIn("4 of 4 segments", self.ferry.load().stdout)
        self.ferry.run_lanes(expect=1)
        home = self.bring_home()[self.first]
        self.assertEqual((home["injected"], home["quarantined"], home["outstanding"]), (3, 1, 0))

    def test_receipts_come_home_in_pieces(self):
        self.ferry.export(self.first)
        self.ferry.load()
        lanes = self.ferry.lanes.read_text().split("[[lane]]")
        one_lane = self.ferry.folder / "one-lane.toml"
        one_lane.write_text(lanes[0] + "[[lane]]" + lanes[1])
        self.ferry.station("run", "--lanes", one_lane, expect={0, 1})
        first = self.bring_home()[self.first]
        self.assertEqual(first["outstanding"], 2)
        self.assertEqual(len(first["outstanding_records"]), 2)
        self.assertTrue(sums_agree(first))
        self.ferry.run_lanes(expect=1)
        self.assertEqual(self.bring_home()[self.first]["outstanding"], 0)

    def test_what_was_returned_is_injected_by_nobody(self):
        self.ferry.export(self.first)
        self.ferry.load()
        self.ferry.station("return", self.first, "--confirm", self.first)
        ran = self.ferry.station_json("run", "--lanes", self.ferry.lanes, expect=1)
        self.assertEqual((ran["injected"], ran["refused"]), (0, 8))  # four returned, four without a record here
        home = self.bring_home()[self.first]
        self.assertEqual((home["returned"], home["outstanding"], home["state"]), (4, 0, "closed"))

    def test_a_return_wants_the_batch_id_again(self):
        self.ferry.export(self.first)
        self.ferry.load()
        done = self.ferry.station("return", self.first, "--confirm", self.other, expect=None)
        self.assert_clear(done, "not confirmed", "nothing was returned")

    def test_an_overdue_batch_is_named_and_ends_reconcile_with_one(self):
        self.ferry.export(self.first)
        cases.edit(self.ledger, "UPDATE batch SET due_ms = 1 WHERE batch_id = ?", bytes.fromhex(self.first))
        done = self.ferry.appliance("reconcile", self.first, expect=None)
        self.assert_clear(done, "overdue", "record 0")


if __name__ == "__main__":
    cases.main()
