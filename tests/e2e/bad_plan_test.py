#!/usr/bin/env python3
"""Plans that must not be run: each is refused before the first key is made, and nothing changes."""
import hashlib
import re

import cases
from cases import FerryCase, rows


class Plans(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.enroll()
        ferry.fake_inventory(ferry.inventory, 8)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        cls.put_aside("ready")

    def setUp(self):
        self.put_back("ready")
        self.plan = self.ferry.plan_file

    def edited(self, pattern, replacement):
        text, count = re.subn(pattern, replacement, self.plan.read_text(), flags=re.MULTILINE)
        self.assertEqual(count, 1, pattern)
        self.plan.write_text(text)

    def no_keys(self):
        return rows(self.ledger, "SELECT count(*) FROM record"), rows(self.ledger, "SELECT count(*) FROM segment")

    def assert_refused(self, reason, *words):
        """By check, approve and run alike; `reason` as the check's JSON tells it."""
        before, keys = cases.dump(self.ledger, cases.APPLIANCE_NOTES), self.no_keys()
        check = self.ferry.appliance_json("plan", "check", self.plan, expect=1)
        self.assertIn(reason, [refusal["reason"] for refusal in check["refusals"]])
        self.assert_clear(self.ferry.appliance("plan", "check", self.plan, expect=None), *words)
        self.assert_clear(self.ferry.approve(self.plan, expect=None), *words)
        self.assert_clear(self.ferry.run_plan(self.plan, expect=None), "cannot be run")
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)
        self.assertEqual(self.no_keys(), keys)
        self.assertIn("refused what=plan-run", self.log())

    def assert_unreadable(self, *words):
        for command in (("plan", "check"), ("plan", "show"), ("plan", "approve"), ("plan", "run")):
            self.assert_clear(self.ferry.officer(*command, self.plan, expect=None), "plan.toml", *words)

    def test_an_se_that_has_a_live_key_already_is_refused_by_name(self):
        self.ferry.new_plan(8)
        second = self.ferry.new_plan(8, path=self.ferry.folder / "second.toml")
        self.ferry.approve()
        self.ferry.run_plan()
        self.plan = second
        self.assert_refused("se-has-key", "has a live key already")

    def test_an_se_of_another_approved_plan_is_refused(self):
        self.ferry.new_plan(8)
        second = self.ferry.new_plan(8, path=self.ferry.folder / "second.toml")
        self.ferry.approve()
        self.plan = second
        self.assert_refused("se-reserved", "which is approved")

    def test_more_ses_than_there_are_cannot_be_planned(self):
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 9, "--out", self.plan, expect=None)
        self.assert_clear(done, "8")
        self.assertFalse(self.plan.exists())

    def test_an_outside_file_that_was_changed_or_is_missing_is_refused(self):
        self.ferry.new_plan(8)
        note = self.ferry.folder / "note.txt"
        note.write_text("as the officers read it")
        digest = hashlib.sha256(note.read_bytes()).hexdigest()
        self.plan.write_text(self.plan.read_text() + f'\n[[file]]\nname = "note.txt"\nsha256 = "{digest}"\n')
        self.ferry.appliance("plan", "check", self.plan)
        note.write_text("as somebody else wrote it")
        self.assert_refused("file-changed", "note.txt", "not the one that the plan names")
        note.unlink()
        self.assert_refused("file-missing", "note.txt")

    def test_a_used_number_is_refused(self):
        self.ferry.new_plan(8)
        self.edited(r"^number = \d+", "number = 1")
        self.assert_refused("plan-number", "number 1 is used")

    def test_a_plan_of_another_environment_or_appliance_is_refused(self):
        self.ferry.new_plan(8)
        whole = self.plan.read_text()
        self.edited(r'^environment = "development"', 'environment = "production"')
        self.assert_refused("plan-environment", "production")
        self.plan.write_text(whole)
        self.edited(r'^appliance = "\w+"', f'appliance = "{"5d" * 32}"')
        self.assert_refused("plan-appliance", "another appliance")

    def test_an_expired_plan_is_refused(self):
        self.ferry.new_plan(8)
        self.edited(r'^expires = "[^"]+"', 'expires = "2020-01-01T00:00:00Z"')
        self.assert_refused("plan-expired", "expired at 2020-01-01")

    def test_a_family_that_comes_later_is_refused_as_such(self):
        self.ferry.new_plan(8)
        whole = self.plan.read_text()
        for family in ("optiga-trust-m", "tpm2"):
            with self.subTest(family):
                self.plan.write_text(whole)
                self.edited(r'^family = "pkcs11"', f'family = "{family}"')
                self.assert_refused("family-unsupported", family)
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 1, "--family", "tpm2",
                                    "--out", self.ferry.folder / "x.toml", expect=None)
        self.assert_clear(done, "tpm2")

    def test_chips_need_the_layout_of_their_slots(self):
        self.ferry.new_plan(8)
        self.edited(r'^family = "pkcs11"', 'family = "atecc608"')
        done = self.ferry.appliance("plan", "check", self.plan, expect=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("atecc608", done.stderr)
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 1, "--family", "atecc608",
                                    "--out", self.ferry.folder / "x.toml", expect=None)
        self.assert_clear(done, "--atecc608-profile is missing", "FORMAT.md", status=2)

    def test_a_mode_that_comes_later_is_refused_as_such(self):
        self.ferry.new_plan(8)
        self.edited(r'^mode = "inject"', 'mode = "on-device"')
        self.assert_refused("batch-mode", "inject")

    def test_a_station_site_ca_list_or_count_that_does_not_fit_is_refused(self):
        self.ferry.new_plan(8)
        whole = self.plan.read_text()
        for pattern, replacement, reason in (
                (r'^station = "\w+"', f'station = "{"14" * 16}"', "batch-station"),
                (r'^site = "[^"]+"', 'site = "elsewhere"', "batch-site"),
                (r'^certificate_authority = "ca"', 'certificate_authority = "nobody"', "batch-authority"),
                (r'^se_list_root = "\w+"', f'se_list_root = "{"b8" * 32}"', "se-list-unknown"),
                (r"^se_count = 8", "se_count = 9", "se-count")):
            with self.subTest(reason):
                self.plan.write_text(whole)
                self.edited(pattern, replacement)
                self.assert_refused(reason)

    def test_a_plan_with_an_unknown_or_missing_or_strange_field_is_not_read(self):
        self.ferry.new_plan(8)
        whole = self.plan.read_text()
        for pattern, replacement in (
                (r"^format = 1", "format = 1\ncolour = 7"), (r"^se_count = 8", 'se_count = 8\ncolour = "red"'),
                (r"^format = 1", "format = 2"), (r"^format = 1\n", ""), (r"^se_count = 8", 'se_count = "8"'),
                (r"^se_count = 8", "se_count = -8"), (r"^target_count = 8", "target_count = 9"),
                (r"^segment_size = 4", "segment_size = 3"), (r"^segment_size = 4", "segment_size = 32768"),
                (r'^operation = "batch"', 'operation = "dance"'), (r'^due = "[^"]+"', 'due = "soon"'),
                (r'^customer = ""', 'customer = "<script>"'), (r'^site = "[^"]+"', r'site = "\\u001b[31m"'),
                (r"^\[batch\]", "[batch"), (r'^certificate_subject = "[^"]+"', 'certificate_subject = 5')):
            with self.subTest(replacement):
                self.plan.write_text(whole)
                self.edited(pattern, replacement)
                self.assert_unreadable()

    def test_octets_that_are_no_plan_are_not_read(self):
        for octets in (b"", bytes(70_000), b"\xff" * 100, b"[batch]\n" * 4):
            with self.subTest(octets[:4]):
                self.plan.write_bytes(octets)
                self.assert_unreadable()

    def test_an_approved_plan_that_was_edited_has_no_approval(self):
        self.ferry.new_plan(8)
        self.ferry.approve()
        self.edited(r'^customer = ""', 'customer = "somebody"')
        keys = self.no_keys()
        done = self.ferry.run_plan(expect=None)
        self.assertNotEqual(done.returncode, 0)
        self.assert_clear(done, status=done.returncode)
        self.assertEqual(self.no_keys(), keys)

    def test_a_plan_without_approval_asks_for_officers(self):
        self.ferry.new_plan(8)
        self.assert_clear(self.ferry.run_plan(expect=None), "no officer has approved", "plan approve", status=4)

    def test_a_batch_that_was_not_run_cannot_go_out(self):
        self.ferry.new_plan(8)
        self.ferry.approve()
        batch = self.ferry.appliance_json("plan", "show", self.plan)["batch"]
        self.assert_clear(self.ferry.export(batch, expect=None), "cannot go out")
        self.assertFalse((self.ferry.token / "keyferry" / "batch").exists())


if __name__ == "__main__":
    cases.main()
