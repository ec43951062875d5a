#!/usr/bin/env python3
"""evidence export, audit challenge and keyferry-audit verify on a bundle that nobody touched."""
import json
import shutil

import bundles
import cases
from bundles import CHALLENGE, codes, files, verify
from cases import FerryCase
from ferry import EVIDENCE_CUTS, KILLED, cut_names


class Evidence(FerryCase):
    @classmethod
    def prepare(cls):
        cls.batches = bundles.make_ferry(cls.ferry)
        cls.words = cls.ferry.appliance_words
        cls.put_aside("ready")

    def setUp(self):
        self.put_back("ready")
        self.bundle = self.ferry.folder / "bundle"

    def export(self, *what, to=None, **options):
        return self.ferry.appliance_json("evidence", "export", *(what or ("--all",)), to or self.bundle, **options)

    def test_a_whole_bundle_holds_and_its_sums_are_those_of_the_appliance(self):
        exported = self.export()
        result = verify(self.bundle, self.words, expect=0)
        self.assertEqual(exported["fingerprint"], self.words)
        self.assertEqual(result["leaves_shown"], exported["leaves"])
        self.assertIn("Nothing is shown about later", result["sentence"])
        at_home = {batch["batch"]: batch for batch in self.ferry.reconcile(expect=None)["batches"]}
        self.assertEqual(len(result["batches"]), 3)
        for batch in result["batches"]:
            for part in ("issued", "injected", "quarantined", "returned", "never_left", "revoked", "outstanding"):
                self.assertEqual(batch[part], at_home[batch["batch"]][part], part)
        self.assertEqual({check["name"]: check["answer"] for check in result["checks"]},
                         dict.fromkeys(("files", "identity", "I5 log", "I6 approvals", "I2 keys", "I4 receipts",
                                        "I3 conservation", "custody", "I1 plaintext"), "pass"))

    def test_the_text_begins_with_how_far_it_reaches_and_says_what_each_answer_rests_on(self):
        self.export()
        done = self.ferry.run(["keyferry-audit", "verify", self.bundle, "--fingerprint", self.words])
        self.assertRegex(done.stdout.splitlines()[0], r"^holds, and is complete up to .*Z \(leaf \d+\)\. Nothing is shown about later\.$")
        for words in ("rests on:", "not proved", "claimed:", "environment development"):
            self.assertIn(words, done.stdout)

    def test_the_same_ledger_gives_the_same_octets_and_nothing_is_written_twice(self):
        self.export()
        again = self.export()
        self.assertEqual((again["written"], again["removed"]), (0, 0))
        other = self.ferry.folder / "other"
        self.export(to=other)
        self.assertEqual(files(self.bundle), files(other))
        self.assertEqual((self.bundle / "index.json").read_bytes(), (other / "index.json").read_bytes())

    def test_a_bundle_grows_with_its_log_and_old_partial_tiles_go(self):
        self.export()
        before = files(self.bundle)
        self.ferry.appliance("audit", "challenge", CHALLENGE)
        grown = self.export()
        self.assertGreater(grown["removed"], 0)
        self.assertGreater(grown["kept"], len(before) // 2)
        verify(self.bundle, self.words, expect=0)
        fresh = self.ferry.folder / "fresh"
        self.export(to=fresh)
        self.assertEqual(files(self.bundle), files(fresh))

    def test_words_of_the_auditor_show_that_the_bundle_is_fresh(self):
        self.export()
        stale = verify(self.bundle, self.words, "--challenge", CHALLENGE, expect=1)
        self.assertEqual(codes(stale), {"challenge"})
        said = self.ferry.appliance_json("audit", "challenge", f"  {CHALLENGE} ")
        self.export()
        fresh = verify(self.bundle, self.words, "--challenge", CHALLENGE, expect=0)
        self.assertEqual(fresh["challenge_leaf"], said["leaf"])
        self.assertIn("your words are leaf", fresh["sentence"])
        verify(self.bundle, self.words, "--challenge", "other words than these", expect=1)

    def test_words_that_are_none_are_refused_and_leave_no_leaf(self):
        before = self.log()
        for words in ("short", "x" * 201, "gänsefüßchen sind keine"):
            done = self.ferry.appliance("audit", "challenge", words, expect=None)
            self.assert_clear(done, "8 to 200", status=2)
        self.assertEqual(self.log(), before)

    def test_a_part_shows_nothing_of_the_others_but_hashes(self):
        shown, hidden = self.batches[1], (self.batches[0], self.batches[2])
        for what in (("--customer", "acme"), ("--batch", shown)):
            shutil.rmtree(self.bundle, ignore_errors=True)
            exported = self.export(*what)
            self.assertLess(exported["leaves_shown"], exported["leaves"])
            result = verify(self.bundle, self.words, expect=0)
            self.assertEqual([batch["batch"] for batch in result["batches"]], [shown])
            octets = b"".join(files(self.bundle).values()) + (self.bundle / "index.json").read_bytes()
            names = "".join(files(self.bundle))
            for batch in hidden:
                self.assertNotIn(batch, names)
                self.assertNotIn(batch.encode(), octets)
                self.assertNotIn(bytes.fromhex(batch), octets)
            for word in (b"globex", b"DEV-", b"L3-", b"room"):
                self.assertNotIn(word, octets)

    def test_since_a_day_and_an_unknown_customer(self):
        everything = self.export("--since", "2020-01-01")
        self.assertEqual(everything["batches"], 3)
        verify(self.bundle, self.words, expect=0)
        done = self.ferry.appliance("evidence", "export", "--customer", "nobody", self.ferry.folder / "none", expect=None)
        self.assert_clear(done, "no batch of customer nobody")
        self.assertFalse((self.ferry.folder / "none").exists())

    def test_another_folder_or_bundle_is_not_written_into(self):
        foreign = self.ferry.folder / "foreign"
        foreign.mkdir()
        (foreign / "letter.txt").write_text("dear officers")
        done = self.ferry.appliance("evidence", "export", "--all", foreign, expect=None)
        self.assert_clear(done, "not empty and no bundle")
        self.assertEqual([path.name for path in foreign.iterdir()], ["letter.txt"])
        self.export("--customer", "acme")
        done = self.ferry.appliance("evidence", "export", "--all", self.bundle, expect=None)
        self.assert_clear(done, "another scope")
        verify(self.bundle, self.words, expect=0)
        done = self.ferry.appliance("evidence", "export", self.bundle, expect=None)
        self.assert_clear(done, "--all", status=2)

    def test_a_ledger_of_yesterday_does_not_write_over_the_bundle_of_today(self):
        self.ferry.appliance("audit", "challenge", CHALLENGE)
        self.export()
        kept = self.root / "kept"
        shutil.copytree(self.bundle, kept)
        self.put_back("ready")
        shutil.copytree(kept, self.bundle)
        done = self.ferry.appliance("evidence", "export", "--all", self.bundle, expect=None)
        self.assert_clear(done, "does not continue", "keep that bundle")
        self.assertEqual(files(self.bundle), files(kept))

    def test_an_export_that_is_cut_anywhere_goes_on(self):
        self.export()
        older = self.root / "older"
        shutil.copytree(self.bundle, older)
        self.ferry.appliance("audit", "challenge", CHALLENGE)
        whole = self.ferry.folder / "whole"
        self.export(to=whole)
        names = sorted(name for name in cut_names(bundles.source()) if EVIDENCE_CUTS.match(name))
        self.assertTrue(names)
        for name in names:
            for begun in (None, older):
                with self.subTest(cut=name, grows=begun is not None):
                    shutil.rmtree(self.bundle, ignore_errors=True)
                    if begun:
                        shutil.copytree(begun, self.bundle)
                    self.ferry.hooks["KEYFERRY_CUT"] = name
                    try:
                        self.ferry.appliance("evidence", "export", "--all", self.bundle, expect=KILLED)
                    finally:
                        del self.ferry.hooks["KEYFERRY_CUT"]
                    result = verify(self.bundle, self.words, expect=1)
                    self.assertTrue(codes(result) & {"unfinished", "index-missing"}, result["faults"])
                    self.export()
                    self.assertEqual(files(self.bundle), files(whole))
                    verify(self.bundle, self.words, expect=0)

    def test_wrong_usage_says_what_a_fingerprint_is(self):
        self.export()
        for words in ("", "not words at all", self.words[:-6], self.words + "-" + self.words[:5]):
            done = self.ferry.run(["keyferry-audit", "verify", self.bundle, "--fingerprint", words], expect=None)
            self.assert_clear(done, "fingerprint", status=2)
        done = self.ferry.run(["keyferry-audit", "--json", "verify", self.ferry.folder / "nowhere", "--fingerprint", self.words], expect=1)
        self.assertEqual(codes(json.loads(done.stdout)), {"bundle-absent"})


if __name__ == "__main__":
    cases.main()
