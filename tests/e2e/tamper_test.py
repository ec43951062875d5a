#!/usr/bin/env python3
"""Every file of a bundle edited in many ways: keyferry-audit verify names the fault, and never passes or crashes.

Two attackers: one who can change files, and one who writes index.json anew too, so that only signatures and the log tell.
"""
import json
import os
import shutil
import tempfile
import pathlib

import bundles
import cases
from bundles import CHALLENGE, codes, files, read_index, reindex, verify, write_index
from cases import FerryCase, flipped
from ferry import Ferry

PLACES = 7  # of a flipped bit in each file, first and last octet among them

# A bit flipped in a file of this name, the index written anew: which of these is found.
WANTED = (
    ("card.kf", {"card", "fingerprint", "environment"}),
    ("checkpoints/", {"checkpoint-signature", "checkpoint-unsigned", "note-malformed", "checkpoint-malformed", "checkpoint-name"}),
    ("tile/entries/", {"root", "entries-malformed", "leaf-unknown"}),
    ("tile/", {"tile-wrong", "leaf-changed", "root"}),
    ("leaves/", {"leaf-changed", "leaves-malformed", "items-malformed", "leaf-extra"}),
    ("plans/", {"plan-changed"}),
    ("approvals/", {"approval-signature"}),
    ("authorities/", {"authority-malformed"}),
    ("crls/", {"crl-signature"}),
    ("custody/", {"custody-changed", "custody-signature"}),
    ("stations/", {"root", "tile-wrong", "entries-malformed", "receipt-position"}),
    ("keys.json", {"file-derived"}),
    ("README.txt", {"file-derived"}),
)
WANTED_IN_BATCH = (
    ("manifest", {"manifest-signature", "manifest-malformed"}),
    ("certificates", {"certificate-changed", "certificates-count"}),
    ("receipts", {"receipt-changed", "receipt-malformed", "receipt-signature", "receipt-position", "receipt-station", "receipts-count",
                  "receipt-attestation"}),
)


def wanted(path):
    for begin, found in WANTED_IN_BATCH if path.startswith("batches/") else WANTED:
        if path.split("/")[-1].startswith(begin) if path.startswith("batches/") else path.startswith(begin):
            return found
    raise AssertionError(f"{path}: a class of files that this test does not know")


def places(size):
    return sorted({at * (size - 1) // (PLACES - 1) for at in range(PLACES)})


def varint(octets, at):
    value = shift = 0
    while True:
        value |= (octets[at] & 0x7F) << shift
        shift += 7
        at += 1
        if octets[at - 1] < 0x80:
            return value, at


def signatures(octets):
    """Where the signature (field 6) of each EvidenceReceipt begins."""
    found, item = [], 0
    while item < len(octets):
        at, end = item + 4, item + 4 + int.from_bytes(octets[item:item + 4], "big")
        while at < end:
            tag, at = varint(octets, at)
            size, begin = varint(octets, at)
            if tag == 6 << 3 | 2:
                found.append(begin)
            at = begin + size if tag & 7 == 2 else begin
        item = end
    return found


def newest(octets_of):
    return max(path for path in octets_of if path.startswith("checkpoints/"))


class Tamper(FerryCase):
    edits = 0

    @classmethod
    def prepare(cls):
        bundles.make_ferry(cls.ferry)
        cls.words = cls.ferry.appliance_words
        cls.ferry.appliance("audit", "challenge", CHALLENGE)
        cls.bundle = cls.root / "bundle"
        cls.ferry.appliance("evidence", "export", "--all", cls.bundle)
        cls.part = cls.root / "part"
        cls.ferry.appliance("evidence", "export", "--customer", "acme", cls.part)
        cls.whole = {cls.bundle: (files(cls.bundle), (cls.bundle / "index.json").read_bytes()),
                     cls.part: (files(cls.part), (cls.part / "index.json").read_bytes())}

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.edits} edits", flush=True)

    def tearDown(self):
        for bundle, (octets, index) in self.whole.items():
            self.assertEqual(files(bundle), octets)
            self.assertEqual((bundle / "index.json").read_bytes(), index)
            verify(bundle, self.words, expect=0)  # no false alarm

    def found(self, bundle, *more):
        type(self).edits += 1
        result = verify(bundle, self.words, *more, expect=1)
        self.assertTrue(result["faults"])
        return codes(result)

    def with_file(self, bundle, path, octets, again):
        """What is found when this one file is something else."""
        index = (bundle / "index.json").read_bytes()
        with cases.changed(bundle / path, octets):
            if again:
                reindex(bundle)
            try:
                return self.found(bundle)
            finally:
                (bundle / "index.json").write_bytes(index)

    def test_a_bit_flipped_anywhere_is_found_by_the_index(self):
        for bundle in self.whole:
            for path, octets in self.whole[bundle][0].items():
                for at in places(len(octets))[::3]:
                    with self.subTest(path=path, at=at):
                        self.assertIn("file-changed", self.with_file(bundle, path, flipped(octets, at), again=False))

    def test_a_bit_flipped_anywhere_is_found_without_the_index(self):
        for bundle in self.whole:
            for path, octets in self.whole[bundle][0].items():
                for number, at in enumerate(places(len(octets))):
                    with self.subTest(path=path, at=at):
                        found = self.with_file(bundle, path, flipped(octets, at, number % 8), again=True)
                        self.assertTrue(found & wanted(path), found)

    def test_every_octet_of_one_receipt_and_one_approval(self):
        receipts = next(path for path in self.whole[self.bundle][0] if "/receipts-" in path)
        approval = next(path for path in self.whole[self.bundle][0] if path.startswith("approvals/"))
        for path in (receipts, approval):
            octets = self.whole[self.bundle][0][path]
            size = 4 + int.from_bytes(octets[:4], "big") if path == receipts else len(octets)
            for at in range(0, size, 3):
                with self.subTest(path=path, at=at):
                    found = self.with_file(self.bundle, path, flipped(octets, at, at % 8), again=True)
                    self.assertTrue(found & wanted(path), found)

    def test_a_file_that_is_missing_cut_or_longer(self):
        for bundle, (octets_of, _) in self.whole.items():
            for path, octets in octets_of.items():
                for changed, code in ((None, "file-missing"), (octets[:-1], "file-size"), (octets + b"x", "file-size"), (b"", "file-size")):
                    with self.subTest(path=path, code=code):
                        self.assertIn(code, self.with_file(bundle, path, changed, again=False))
                        # A later checkpoint covers what an earlier one did: without it nothing else is shown.
                        covered = changed is None and path.startswith("checkpoints/") and path != newest(octets_of)
                        if changed != b"" and not covered:
                            self.with_file(bundle, path, changed, again=True)  # found: whatever its name

    def test_a_file_that_is_a_link_a_folder_or_one_too_many(self):
        index = self.whole[self.bundle][1]
        outside = self.root / "outside"
        outside.write_bytes(self.whole[self.bundle][0]["card.kf"])
        with cases.changed(self.bundle / "card.kf", None):
            (self.bundle / "card.kf").symlink_to(outside)
            self.assertIn("file-link", self.found(self.bundle))
        for name in ("extra.kf", "tile/0/999", ".hidden", "batches/extra.kf"):
            path = self.bundle / name
            path.write_bytes(b"x")
            try:
                self.assertIn("file-extra", self.found(self.bundle))
                if name[0] != ".":
                    reindex(self.bundle)
                    self.assertTrue(self.found(self.bundle) & {"file-unclaimed", "batch-unapproved"})
            finally:
                path.unlink()
                (self.bundle / "index.json").write_bytes(index)
        pipe = self.bundle / "pipe"
        os.mkfifo(pipe)
        try:
            self.assertIn("file-kind", self.found(self.bundle))
        finally:
            pipe.unlink()
        loop = self.bundle / "loop"
        loop.symlink_to(self.bundle)
        try:
            self.assertIn("file-link", self.found(self.bundle))
        finally:
            loop.unlink()

    def test_an_index_that_is_none(self):
        path = self.bundle / "index.json"
        octets = path.read_bytes()
        bad = {
            "empty": b"",
            "cut": octets[:len(octets) // 2],
            "nested": b"[" * 1_000_000,
            "objects": b'{"a":' * 1_000_000,
            "wide": b"[" + b"0," * 2_000_000 + b"0]",
            "long": b'"' + b"x" * (40 << 20) + b'"',
            "not UTF-8": b'{"schema": "\xff\xfe"}',
            "numbers": octets.replace(b'"size": ', b'"size": -', 1),
            "doubled": octets.replace(b' "origin"', b' "origin": "x",\n "origin"', 1),
            "blanks": octets.replace(b": ", b":  ", 1),
            "null": b"null\n",
        }
        for name, content in bad.items():
            with self.subTest(name), cases.changed(path, content):
                self.assertTrue(self.found(self.bundle) & {"index-malformed", "index-size"})
        with cases.changed(path, None):
            self.assertEqual(self.found(self.bundle), {"index-missing"})
        with cases.changed(path, None):
            path.symlink_to("/etc/passwd")
            self.assertEqual(self.found(self.bundle), {"index-missing"})

    def test_names_in_the_index_that_lead_elsewhere(self):
        path = self.bundle / "index.json"
        whole = path.read_bytes()
        for name in ("../outside", "/etc/passwd", "tile/../../outside", "a//b", ".hidden", "a/", "x" * 200, "index.json", "A", "a b", "\u202etxt"):
            with self.subTest(name):
                index = read_index(self.bundle)
                index["files"].append({"path": name, "size": 1, "sha256": "00" * 32})
                index["files"].sort(key=lambda file: file["path"])
                write_index(self.bundle, index)
                try:
                    self.assertEqual(self.found(self.bundle), {"index-malformed"})
                finally:
                    path.write_bytes(whole)

    def test_every_field_of_the_index(self):
        path = self.bundle / "index.json"
        whole = path.read_bytes()
        index = read_index(self.bundle)
        changes = {
            "schema": "keyferry.evidence.v2", "origin": "keyferry/" + "0" * 32, "environment": "production",
            "log_size": index["log_size"] - 1, "root": "00" * 32, "last_leaf": "2001-01-01T00:00:00Z",
            "scope": {"kind": "customer", "value": "acme"}, "batches": index["batches"][1:], "files": index["files"][1:],
        }
        for name, value in changes.items():
            with self.subTest(name):
                write_index(self.bundle, {**index, name: value})
                try:
                    self.found(self.bundle)
                finally:
                    path.write_bytes(whole)
        for size in (0, 1, 1 << 40, (1 << 64) - 1):
            with self.subTest(size=size):
                write_index(self.bundle, {**index, "log_size": size})
                try:
                    self.found(self.bundle)
                finally:
                    path.write_bytes(whole)

    def test_certificates_and_receipts_exchanged_doubled_or_copied(self):
        def items(octets):
            at, all_items = 0, []
            while at < len(octets):
                size = 4 + int.from_bytes(octets[at:at + 4], "big")
                all_items.append(octets[at:at + size])
                at += size
            return all_items

        for path, octets in self.whole[self.bundle][0].items():
            if "/receipts-" not in path and "/certificates-" not in path:
                continue
            parts = items(octets)
            for name, changed in (("exchanged", [parts[1], parts[0], *parts[2:]]), ("doubled", [parts[0], *parts]),
                                  ("left out", parts[1:]), ("copied", [parts[1], *parts[1:]])):
                with self.subTest(path=path, edit=name):
                    found = self.with_file(self.bundle, path, b"".join(changed), again=True)
                    self.assertTrue(any(code.startswith(("receipt", "certificate")) for code in found), found)

    def test_the_other_of_the_two_signatures_of_a_receipt(self):
        order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        path = next(path for path in self.whole[self.bundle][0] if "/receipts-" in path)
        octets = self.whole[self.bundle][0][path]
        begins = signatures(octets)
        at = begins[0] + 32  # r, then s
        high = (order - int.from_bytes(octets[at:at + 32], "big")).to_bytes(32, "big")
        found = self.with_file(self.bundle, path, octets[:at] + high + octets[at + 32:], again=True)
        self.assertEqual(found, {"receipt-signature"})
        zero = self.with_file(self.bundle, path, octets[:at] + bytes(32) + octets[at + 32:], again=True)
        self.assertEqual(zero, {"receipt-signature"})
        other = begins[1]  # another device's signature
        copied = octets[:at - 32] + octets[other:other + 64] + octets[at + 32:]
        self.assertEqual(self.with_file(self.bundle, path, copied, again=True), {"receipt-signature"})

    def test_a_log_that_is_shortened_or_whose_newest_checkpoint_is_gone(self):
        last = newest(self.whole[self.bundle][0])
        self.assertIn("checkpoint-newest", self.with_file(self.bundle, last, None, again=True))
        entries = next(path for path in self.whole[self.bundle][0] if path.startswith("tile/entries/"))
        self.assertTrue(self.with_file(self.bundle, entries, self.whole[self.bundle][0][entries][:-2], again=True))

    def test_last_months_bundle_under_this_months_words(self):
        self.assertEqual(self.found(self.bundle, "--challenge", "words of this month"), {"challenge"})

    def test_a_bundle_of_another_appliance_and_a_checkpoint_of_another_key(self):
        with tempfile.TemporaryDirectory(prefix="kf-e2e-") as folder:
            other = Ferry(pathlib.Path(folder) / "other", cases.programs)
            other.init_and_note_words()
            theirs = pathlib.Path(folder) / "bundle"
            other.appliance("evidence", "export", "--all", theirs)
            verify(theirs, other.appliance_words, expect=0)
            self.assertIn("fingerprint", self.found(theirs))
            name = sorted(path for path in files(theirs) if path.startswith("checkpoints/"))[-1]
            last = newest(self.whole[self.bundle][0])
            foreign = (theirs / name).read_bytes()
        found = self.with_file(self.bundle, last, foreign, again=True)
        self.assertTrue(found & {"checkpoint-unsigned", "checkpoint-signature"}, found)

    def test_a_rehearsal_is_no_evidence_unless_one_is_expected(self):
        with tempfile.TemporaryDirectory(prefix="kf-e2e-") as folder:
            other = Ferry(pathlib.Path(folder) / "other", cases.programs)
            other.appliance_words = json.loads(other.init("--environment", "rehearsal").stdout)["fingerprint"]
            bundle = pathlib.Path(folder) / "bundle"
            other.appliance("evidence", "export", "--all", bundle)
            verify(bundle, other.appliance_words, "--rehearsal", expect=0)
            self.assertEqual(codes(verify(bundle, other.appliance_words, expect=1)), {"environment"})
        self.assertEqual(self.found(self.bundle, "--rehearsal"), {"environment"})

    def test_a_ledger_edited_below_the_program_gives_no_bundle(self):
        home = self.root / "edited"
        for statement, words in (
                ("UPDATE plan SET octets = x'00' WHERE operation = 'batch'", "plan"),
                ("UPDATE checkpoint SET note = replace(note, 'keyferry', 'keyferrx')", "checkpoints")):
            with self.subTest(statement):
                shutil.copytree(self.ferry.home, home)
                cases.edit(home / "ledger.db", statement)
                done = self.ferry.run(["keyferry-appliance", "--home", home, "evidence", "export", "--all", self.root / "none"], expect=None)
                self.assert_clear(done, words, status=3)
                self.assertFalse((self.root / "none" / "index.json").exists())
                shutil.rmtree(home)
                shutil.rmtree(self.root / "none", ignore_errors=True)


if __name__ == "__main__":
    cases.main()
