#!/usr/bin/env python3
"""The end of batches, SEs in quarantine, CAs and keys; and each of these commands cut off where it can be, given again."""
import json
import pathlib

import cases
from cases import FerryCase, openssl, rows
from ferry import ENDS_CUTS, KILLED, cut_names, sums_agree

WALKED = ("gate.ends.", "front.ends.", "gate.commit.", "front.ledger.pending.stored", "worker.state.created")


class Ends(FerryCase):
    """A batch of three: one SE was made for another part and lands in quarantine, one is returned, one is injected."""

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.make_chips(4, lanes=1)
        lines = ferry.inventory.read_text().splitlines(keepends=True)
        # The batch takes the three lowest serials; the lane goes by the file. The first of them it meets is the bad one.
        left_over = max(lines[1:], key=lambda line: line.split(",")[1])
        bad = next(at for at, line in enumerate(lines) if at > 0 and line != left_over)
        lines[bad] = lines[bad].replace(",P1,", ",P2,")
        ferry.inventory.write_text("".join(lines))
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.batch = ferry.batch(3, segment_size=1, target_count=1)
        ferry.export(cls.batch)
        ferry.load()
        ferry.station("run", "--lanes", ferry.lanes, expect={0, 1})
        cls.put_aside("run")

    def setUp(self):
        self.put_back("run")

    def officer_json(self, *arguments, **options):
        return json.loads(self.ferry.officer("--json", *arguments, **options).stdout)

    def close(self, **options):
        return self.officer_json("batch", "close", self.batch, "--confirm", self.batch, "--reason", "over", **options)

    def bring_home(self):
        self.ferry.station("return", self.batch, "--confirm", self.batch)
        self.ferry.unload()
        self.ferry.receipts()

    def record_states(self):
        return dict(rows(self.ledger, "SELECT record_no, state FROM record ORDER BY 1"))

    def test_a_close_wants_the_whole_id_typed(self):
        done = self.ferry.officer("batch", "close", self.batch, "--confirm", self.batch[:8], "--reason", "over", expect=None)
        self.assert_clear(done, "nothing was done")
        done = self.ferry.officer("batch", "close", self.batch, "--reason", "over", expect=None)
        self.assert_clear(done, "no terminal", status=2)
        self.assertEqual(set(self.record_states().values()), {"issued"})

    def test_a_closed_batch_is_closed_once(self):
        first = self.close()
        self.assertEqual((first["revoked"], first["never_left"], first["done_before"]), (3, 0, False))
        again = self.close()
        self.assertEqual((again["revoked"], again["revocation_number"], again["done_before"]), (3, 1, True))
        [plan] = [path for path in (self.ferry.home / "plans").glob("*.toml") if "batch-close" in path.read_text()]
        self.assert_clear(self.ferry.appliance("plan", "check", plan, expect=None), "it cannot be closed", "is used")
        [batch] = self.ferry.reconcile()["batches"]
        self.assertTrue(batch["agree"] and sums_agree(batch))

    def test_what_came_back_is_claimed_until_it_is_in_hand(self):
        self.bring_home()
        [batch] = self.ferry.reconcile()["batches"]
        self.assertEqual((batch["claimed"], batch["in_hand"]), (2, 0))
        ended = {state: number for number, state in self.record_states().items()}
        self.ferry.officer("se", "in-hand", self.batch, ended["quarantined"])
        [batch] = self.ferry.reconcile()["batches"]
        self.assertEqual((batch["claimed"], batch["in_hand"]), (1, 1))
        done = self.ferry.officer("se", "in-hand", self.batch, ended["injected"], expect=None)
        self.assert_clear(done, "neither quarantined nor returned")

    def test_a_released_se_is_chosen_again_with_the_next_generation(self):
        self.bring_home()
        ended = {state: number for number, state in self.record_states().items()}
        quarantined = ended["quarantined"]
        self.assertEqual(self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 2, "--out",
                                              self.ferry.folder / "no.toml", expect=None).returncode, 1)
        released = self.officer_json("quarantine", "release", self.batch, quarantined, "--reason", "contact cleaned")
        self.assertFalse(released["done_before"])
        again = self.officer_json("quarantine", "release", self.batch, quarantined, "--reason", "contact cleaned")
        self.assertTrue(again["done_before"])
        other = self.ferry.batch(2, segment_size=2, path=self.ferry.folder / "second.toml")
        generations = rows(self.ledger, "SELECT generation FROM record WHERE batch_id = ? ORDER BY 1", bytes.fromhex(other))
        self.assertEqual(generations, [(1,), (2,)])
        done = self.ferry.officer("quarantine", "release", self.batch, ended["injected"], "--reason", "no", expect=None)
        self.assert_clear(done, "only what is quarantined, returned or revoked")

    def test_a_ca_ends_with_its_last_crl_and_then_its_key(self):
        self.bring_home()
        destroy = ["hsm", "destroy", "kf-ca/ca", "--confirm", "kf-ca/ca", "--reason", "end of product"]
        self.assert_clear(self.ferry.officer(*destroy, expect=None), "not retired")
        self.officer_json("ca", "retire", "ca", "--confirm", "ca", "--reason", "end of product")
        done = self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 1, "--out",
                                    self.ferry.folder / "more.toml", expect=None)
        if done.returncode == 0:  # it is a draft: nobody can approve it
            done = self.ferry.approve(self.ferry.folder / "more.toml", expect=None)
        self.assert_clear(done, "retired")
        self.assert_clear(self.ferry.officer(*destroy, expect=None), "no final CRL")
        final = self.officer_json("crl", "issue", "--ca", "ca", "--final")
        self.assertEqual(final["entries"], 2)
        not_after = openssl("x509", "-in", self.ferry.home / "ca" / "ca.pem", "-noout", "-enddate").decode().split("=")[1]
        next_update = openssl("crl", "-in", final["pem"], "-noout", "-nextupdate").decode().split("=")[1]
        self.assertEqual(next_update, not_after)
        self.assertFalse(self.officer_json(*destroy)["done_before"])
        self.assertTrue(self.officer_json(*destroy)["done_before"])
        self.ferry.officer("hsm", "inventory")
        self.assert_clear(self.ferry.officer("crl", "issue", "--ca", "ca", expect=None), "no certificate authority")
        self.assertIn("key.destroyed", self.log())

    def test_a_destroyed_master_is_missed_by_nobody_and_never_comes_back(self):
        self.officer_json("hsm", "destroy", "kf-tk/m", "--confirm", "kf-tk/m", "--reason", "over")
        inventory = json.loads(self.ferry.officer("--json", "hsm", "inventory").stdout)
        self.assertEqual((inventory["missing"], inventory["wrong"]), ([], 0))
        self.assertNotIn("kf-tk/m", [one["label"] for one in inventory["objects"]])
        done = self.ferry.officer("transport-master", "create", "m", expect=None)
        self.assert_clear(done, "destroyed")
        self.ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 1, "--out", self.ferry.folder / "p.toml")
        self.assert_clear(self.ferry.appliance("plan", "check", self.ferry.folder / "p.toml", expect=None), "no transport-key master")
        self.assert_clear(self.ferry.officer("hsm", "destroy", "kf-log", "--confirm", "kf-log", "--reason", "x", expect=None),
                          "no key kf-log that could be destroyed")

    # --- cut anywhere -------------------------------------------------------------------------------------------------------

    def traced(self, command):
        trace = self.root / "trace"
        self.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(trace)}
        command()
        self.ferry.hooks = {}
        names = sorted({line.split()[0] for line in trace.read_text().splitlines()})
        trace.unlink()
        return names

    def cut_everywhere(self, command, expected):
        """Cut at each point and given again: the same end. Gives the points of these commands' own."""
        before = f"before-{command.__name__}"
        self.put_aside(before)
        names = self.traced(command)
        for name in names:
            if not name.startswith(WALKED) and not ENDS_CUTS.match(name):
                continue
            with self.subTest(name):
                self.put_back(before)
                self.ferry.hooks = {"KEYFERRY_CUT": name}
                done = command(expect=None)
                self.ferry.hooks = {}
                self.assertIn(done.returncode, (KILLED, 1, 2, 3), done.stderr)
                command(expect={0, 1})
                self.assertEqual(expected(), True)
                self.ferry.officer("hsm", "inventory")
                self.assertTrue(self.ferry.reconcile(expect=None)["agree"])
        return {name for name in names if ENDS_CUTS.match(name)}

    def test_each_of_these_commands_is_cut_off_and_goes_on(self):
        ferry = self.ferry
        walked = set()

        def closing(**options):
            return ferry.officer("batch", "close", self.batch, "--confirm", self.batch, "--reason", "over", **options)

        def crl(**options):
            return ferry.officer("crl", "issue", "--ca", "ca", **options)

        def destroying(**options):
            return ferry.officer("hsm", "destroy", "kf-tk/m", "--confirm", "kf-tk/m", "--reason", "over", **options)

        def listed(**options):
            return ferry.station("load", ferry.folder / "list", **options)

        walked |= self.cut_everywhere(closing, lambda: set(self.record_states().values()) == {"revoked"})
        walked |= self.cut_everywhere(
            crl, lambda: rows(self.ledger, "SELECT DISTINCT entries FROM crl") == [(3,)] and (ferry.home / "crl" / "ca.crl").exists())
        walked |= self.cut_everywhere(destroying, lambda: self.log().count("key.destroyed") == 1)
        (ferry.folder / "list").mkdir()
        ferry.appliance("token", "revocations", ferry.folder / "list")
        walked |= self.cut_everywhere(listed, lambda: ferry.station_json("status")["revocations"] == 1)
        stick = ferry.folder / "stick"
        stick.mkdir()

        def enrolling(**options):
            return ferry.officer("token", "enrol", stick, "--label", "t7", **options)

        walked |= self.cut_everywhere(
            enrolling, lambda: [token["acts"] for token in ferry.appliance_json("token", "status")["tokens"]] == [1])
        source = pathlib.Path(__file__).resolve().parents[2]
        self.assertEqual({name for name in cut_names(source) if ENDS_CUTS.match(name)} - walked, set())


if __name__ == "__main__":
    cases.main()
