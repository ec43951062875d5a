#!/usr/bin/env python3
"""Copies of last week put back: ledger alone, HSM store alone, and both, which only what left this disk can tell."""
import shutil

import cases
from cases import FerryCase, rows


class Rollback(FerryCase):
    """Aside: `old`, before a batch was made; `new`, after its receipts were unloaded onto the token."""

    @classmethod
    def prepare(cls):
        cls.ferry.set_up(4)
        cls.put_aside("old")
        cls.batch = cls.ferry.batch(4)
        cls.ferry.export(cls.batch)
        cls.ferry.load()
        cls.ferry.run_lanes()
        cls.ferry.unload()
        cls.put_aside("new")

    def setUp(self):
        self.put_back("new")

    def restore(self, *names):
        for name in names:
            shutil.rmtree(self.ferry.folder / name)
            shutil.copytree(self.root / "old" / name, self.ferry.folder / name, symlinks=True)

    def records(self):
        return rows(self.ledger, "SELECT count(*) FROM record")

    def test_the_ledger_alone_is_noticed_before_a_key_is_used(self):
        self.restore("appliance")
        done = self.ferry.officer("ca", "create", "other", "--subject", "CN=Other", expect=None)
        self.assert_clear(done, "the ledger holds", "restored from an older copy", status=done.returncode)
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((self.ferry.home / "ca" / "other.pem").exists())

    def test_the_hsm_store_alone_is_noticed_before_a_key_is_used(self):
        self.restore("appliance-hsm")
        done = self.ferry.officer("ca", "create", "other", "--subject", "CN=Other", expect=None)
        self.assert_clear(done, "HSM", "restore the newest one", status=done.returncode)
        self.assertNotEqual(done.returncode, 0)

    def test_both_are_noticed_by_the_next_token(self):
        self.restore("appliance", "appliance-hsm")
        done = self.ferry.receipts(expect=None)
        self.assert_clear(done, "a station saw a checkpoint of", status=done.returncode)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("put the newest one back", done.stdout + done.stderr)
        self.assertEqual(self.records(), [(0,)])
        incidents = rows(self.ledger, "SELECT kind FROM incident")
        self.assertIn(("log-rollback",), incidents)

    def test_the_newest_copies_go_on(self):
        self.restore("appliance", "appliance-hsm")
        self.ferry.receipts(expect=None)
        self.put_back("new")
        self.ferry.receipts()
        self.assertEqual(self.ferry.reconcile(self.batch)["batches"][0]["injected"], 4)


class WrongClock(FerryCase):
    """As an officer sees it: what is said, and what puts it right."""

    @classmethod
    def prepare(cls):
        cls.ferry.init_and_note_words()

    def shifted(self, seconds):
        self.ferry.hooks["KEYFERRY_CLOCK_SHIFT"] = str(seconds)
        self.addCleanup(self.ferry.hooks.pop, "KEYFERRY_CLOCK_SHIFT", None)

    def test_a_leaf_of_the_future_is_put_right_by_officers(self):
        self.shifted(399 * 86400)
        self.ferry.officer("ca", "create", "one", "--subject", "CN=One")
        self.shifted(0)
        done = self.ferry.officer("ca", "create", "two", "--subject", "CN=Two", expect=None)
        self.assert_clear(done, "before the log's last leaf", "clock set", status=done.returncode)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.ferry.appliance("clock", "show", expect=1).returncode, 1)
        self.ferry.officer("clock", "set", "--reason", "the battery was empty")
        self.assertTrue(self.ferry.appliance_json("clock", "show")["good"])
        self.ferry.officer("ca", "create", "two", "--subject", "CN=Two")
        self.assertIn("clock-set", self.log_text())

    def log_text(self):
        return self.ferry.appliance("log", "show").stdout


if __name__ == "__main__":
    cases.main()
