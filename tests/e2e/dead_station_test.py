#!/usr/bin/env python3
"""A station is dead: retired in one act, its outstanding records revoked, the follow-up plan for exactly those SEs."""
import json

import cases
from cases import FerryCase, rows
from ferry import sums_agree

REASON = "station burnt"


class DeadStation(FerryCase):
    """Four SEs, two of them injected and home; then the station is gone. A second one stands at the same site."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.set_up(4)
        cls.batch = ferry.batch(4, segment_size=2)
        ferry.export(cls.batch)
        ferry.load()
        lanes = ferry.lanes.read_text().split("[[lane]]")
        cls.one_lane = ferry.folder / "one-lane.toml"
        cls.one_lane.write_text(lanes[0] + "[[lane]]" + lanes[1])
        ferry.station("run", "--lanes", cls.one_lane)
        ferry.unload()
        ferry.receipts()
        cls.first_home = ferry.station_home
        cls.second_home = ferry.folder / "station-2"
        second = ferry.folder / "token-2"
        second.mkdir()
        with cls.at(cls.second_home):
            ferry.station("init", "--name", "line-2", "--site", "site-1")
            words = ferry.station_json("enroll", "--to", second)["fingerprint"]
            ferry.officer("station", "enroll", second, "--fingerprint", words)
            ferry.station("enroll", "--from", second, "--fingerprint", ferry.appliance_words)
        cls.put_aside("dead")

    def setUp(self):
        self.put_back("dead")

    @classmethod
    def at(cls, home):
        class There:
            def __enter__(self):
                cls.ferry.station_home = home

            def __exit__(self, *_):
                cls.ferry.station_home = cls.first_home

        return There()

    def retire(self, *more, expect=0):
        return self.ferry.officer("--json", "station", "retire", "line-1", "--confirm", "line-1", "--reason", REASON, *more,
                                  expect=expect)

    def outstanding(self):
        [batch] = self.ferry.reconcile()["batches"]
        return sorted(one["se_serial"] for one in batch["outstanding_records"])

    def test_one_act_revokes_what_is_outstanding_and_plans_exactly_those_ses_anew(self):
        left = self.outstanding()
        self.assertEqual(len(left), 2)
        follow_up = self.ferry.folder / "rest.toml"
        done = json.loads(self.retire("--follow-up", "line-2", "--out", follow_up).stdout)
        self.assertEqual((done["revoked"], done["follow_up_count"], done["revocation_number"]), (2, 2, 1))
        report = self.ferry.reconcile(expect=1)
        [old] = [batch for batch in report["batches"] if batch["batch"] == self.batch]
        self.assertEqual((old["injected"], old["revoked"], old["outstanding"], old["state"]), (2, 2, 0, "closed"))
        self.assertTrue(old["agree"] and sums_agree(old))
        self.assertEqual([one["kind"] for one in report["incidents"]], ["station-retired"])
        planned = rows(self.ledger, "SELECT hex(se_serial), generation FROM se_list_entry JOIN se USING (se_id) WHERE list_id = "
                                    "(SELECT max(list_id) FROM se_list) ORDER BY 1")
        self.assertEqual([(serial.lower(), generation) for serial, generation in planned], [(serial, 2) for serial in left])
        # It is a plan like any other: approved, run, exported, and loaded at the other station.
        self.ferry.approve(follow_up)
        batch = json.loads(self.ferry.run_plan(follow_up).stdout)["batch"]
        token = self.ferry.folder / "token-3"
        token.mkdir()
        self.ferry.export(batch, token)
        with self.at(self.second_home):
            self.ferry.load(token)
            self.assertEqual(self.ferry.station_json("status")["batches"][0]["loaded"], 2)

    def test_the_same_command_again_changes_nothing_and_gives_the_plan_later(self):
        self.retire()
        again = json.loads(self.retire("--follow-up", "line-2", "--out", self.ferry.folder / "rest.toml").stdout)
        self.assertEqual((again["done_before"], again["follow_up_count"], again["revocation_number"]), (True, 2, 1))

    def test_the_retired_station_refuses_to_run_and_its_receipts_are_refused(self):
        self.ferry.station("run", "--lanes", self.ferry.lanes)
        self.ferry.unload()
        self.retire()
        said = self.ferry.receipts(expect=None)
        self.assert_clear(said, "retired")
        [batch] = self.ferry.reconcile(expect=1)["batches"]
        self.assertEqual((batch["injected"], batch["revoked"]), (2, 2))
        token = self.ferry.folder / "list"
        token.mkdir()
        self.ferry.appliance("token", "revocations", token)
        self.ferry.load(token)
        done = self.ferry.station("run", "--lanes", self.ferry.lanes, expect=None)
        self.assert_clear(done, "retired this station")
        self.assertTrue(self.ferry.station_json("status")["retired"])
        done = self.ferry.station("load", self.ferry.token, expect=None)
        self.assert_clear(done, "retired this station")

    def test_a_plan_for_a_retired_station_is_refused(self):
        self.retire()
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", "1", "--out",
                                    self.ferry.folder / "no.toml", expect=None)
        self.assert_clear(done, "not enrolled")
        self.assert_clear(self.retire("--follow-up", "nobody", "--out", self.ferry.folder / "no.toml", expect=None), "not enrolled")


if __name__ == "__main__":
    cases.main()
