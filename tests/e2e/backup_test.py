#!/usr/bin/env python3
"""A lost HSM: backup under a key in shares, restore into a fresh SoftHSM, take-over, and the next batch from it."""
import base64
import json
import os
import pathlib
import re
import shutil
import subprocess

import bundles
import cases
from cases import FerryCase, changed, flipped, openssl, rows
from ferry import sums_agree


def octets_of_share(text):
    """Kind, number of shares, RTSS share, sum: appliance/gate/FORMAT.md section 2."""
    lines = [line.split()[2:6] for line in text.splitlines() if line.startswith("line ")]
    return base64.b32decode("".join(group for line in lines for group in line).upper())


class ALostHsm(FerryCase):
    """Batch 1 to the end, backup, the HSM's store gone, restore with two of three shares, batch 2 to the end."""

    CHIPS = 8

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.shares = ferry.folder / "shares"
        cls.backup = ferry.folder / "kf.backup"
        cls.hsm = ferry.folder / "appliance-hsm"
        done = ferry.officer("--json", "init", "--name", "test", "--pin-file", ferry.secrets / "hsm-pin", "--officer-name", "O",
                             "--officer-key", ferry.folder / "officer.pem", "--backup-shares", "2/3", "--backup-share-dir",
                             cls.shares, "--insecure-allow", "network,swap,memlock")
        ferry.appliance_words = json.loads(done.stdout)["fingerprint"]
        cls.old_id = json.loads(done.stdout)["appliance_id"]
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("vendor-key", "create", "acme", "--mechanism", "rsa-oaep-sha1", "--bits", "3072")
        ferry.officer("source", "add", "room")
        ferry.make_chips(cls.CHIPS)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        cls.first = cls.whole_batch(4)
        cls.certificate = cls.ca_certificate(cls.first)
        cls.open_batch = ferry.batch(2, segment_size=2, path=ferry.folder / "open.toml")  # sealed, never exported: only the lost HSM could
        cls.made = json.loads(ferry.officer("--json", "hsm", "backup", cls.backup).stdout)
        cls.later = ferry.officer("source", "add", "later")  # what came after the backup is in the ledger alone
        record, serial = rows(cls.ferry.home / "ledger.db", "SELECT record_no, se_serial FROM record JOIN se USING (se_id) WHERE state = 'injected' "
                              "ORDER BY 1 LIMIT 1")[0]
        cls.revoked = bytes(serial).decode()
        ferry.officer("device", "revoke", "--batch", cls.first, "--record", record, "--crl-reason", "keyCompromise", "--reason", "stolen",
                      "--confirm", cls.revoked)
        ferry.officer("crl", "issue", "--ca", "ca")  # number and entries too are in the ledger alone
        cls.inventory_before = ferry.appliance("--json", "hsm", "inventory", expect=None)
        cls.old_size = len(cls.leaves())
        cls.old_tokens = ferry.folder / "old-tokens"
        (cls.hsm / "tokens").rename(cls.old_tokens)
        cls.refused = cls.try_what_is_refused()
        cls.restored = json.loads(cls.restore(1, 3, "--json").stdout)
        fds = [os.open(cls.share(n), os.O_RDONLY) for n in (2, 3)]
        cls.again = cls.restore(fds=fds)  # the same once more, with other shares: a cut after the last step
        cls.too_early = ferry.officer("source", "add", "early", expect=None)
        cls.put_aside("restored")
        cls.adopted = json.loads(ferry.officer("--json", "hsm", "adopt-state").stdout)
        cls.adopted_again = ferry.officer("hsm", "adopt-state")
        cls.put_aside("adopted")
        cls.station_not_known = ferry.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", 2, "--lot", "L1",
                                                "--out", ferry.folder / "no.toml", expect=None)
        ferry.appliance_words = cls.adopted["fingerprint"]
        ferry.station_home = ferry.folder / "station-anew"
        ferry.token = ferry.folder / "token-anew"
        ferry.token.mkdir()
        ferry.enroll()
        cls.second = cls.whole_batch(2)
        cls.put_aside("end")

    def setUp(self):
        self.put_back("end")

    @classmethod
    def whole_batch(cls, count):
        ferry = cls.ferry
        batch = ferry.batch(count, segment_size=2, path=ferry.folder / f"plan-{count}.toml")
        ferry.export(batch)
        ferry.load()
        ferry.run_lanes(expect=None)
        ferry.unload()
        ferry.receipts()
        return batch

    @classmethod
    def ca_certificate(cls, batch):
        out = cls.root / f"certificates-{batch}.pem"
        cls.ferry.appliance("batch", "certificates", batch, "--to", out)
        return out.read_text()

    @classmethod
    def leaves(cls):
        return json.loads(cls.ferry.appliance("--json", "log", "show").stdout)["leaves"]

    @classmethod
    def share(cls, number):
        return cls.shares / f"kf-backup-test-share-{number}-of-3.txt"

    @classmethod
    def restore(cls, *arguments, backup=None, fds=(), **options):
        shares = [str(a) if isinstance(a, str) or hasattr(a, "parts") else str(cls.share(a)) for a in arguments if a != "--json"]
        more = [x for share in shares for x in ("--share", share)] + [x for fd in fds for x in ("--share-fd", fd)]
        return cls.ferry.appliance(*(["--json"] if "--json" in arguments else []), "hsm", "restore", backup or cls.backup, *more,
                                   "--pin-file", cls.ferry.secrets / "hsm-pin", keep_fds=fds, **options)

    @classmethod
    def try_what_is_refused(cls):
        """None of it touches an HSM in a way that a right restore cannot go on from."""
        other = cls.ferry.folder / "other.backup"
        octets = cls.backup.read_bytes()
        other.write_bytes(flipped(octets, len(octets) // 2))
        typed = cls.ferry.folder / "typed.txt"
        text = cls.share(1).read_text()
        digit = text.index("line 3 ") + 9
        typed.write_text(text[:digit] + ("a" if text[digit] != "a" else "b") + text[digit + 1:])
        found = {"one share": cls.restore(1, expect=None),
                 "one share twice": cls.restore(2, 2, expect=None),
                 "a mistyped share": cls.restore(typed, 2, expect=None),
                 "an altered file": cls.restore(1, 2, backup=other, expect=None),
                 "a file that is none": cls.restore(1, 2, backup=cls.share(1), expect=None)}
        foreign = cls.ferry.folder / "foreign"
        cls.ferry.run(["keyferry-appliance", "--home", foreign, "init", "--name", "test", "--pin-file", cls.ferry.secrets / "hsm-pin",
                          "--officer-name", "X", "--officer-key", cls.ferry.folder / "x.pem", "--backup-shares", "2/3",
                          "--backup-share-dir", cls.ferry.folder / "foreign-shares", "--insecure-allow", "network,swap,memlock"],
                      secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])
        strange = [cls.ferry.folder / "foreign-shares" / cls.share(n).name for n in (1, 2)]
        found["another appliance's shares"] = cls.restore(*strange, expect=None)
        found["mixed shares"] = cls.restore(1, strange[1], expect=None)
        return found

    # --- before the loss ----------------------------------------------------------------------------------------------

    def test_shares_are_one_file_for_each_custodian_that_nobody_else_can_read(self):
        for number in (1, 2, 3):
            self.assertEqual(self.share(number).stat().st_mode & 0o777, 0o600)
        check = {re.search(r"check ([0-9a-f]{32})", self.share(n).read_text())[1] for n in (1, 2, 3)}
        self.assertEqual(len(check), 1)

    def test_no_share_and_no_whole_key_is_in_home_ledger_or_backup(self):
        secret = [octets_of_share(self.share(n).read_text())[2 + 21:] for n in (1, 2, 3)]
        for path in [*self.ferry.home.rglob("*"), self.backup, *self.hsm.rglob("*"), *self.old_tokens.rglob("*")]:
            if path.is_file():
                octets = path.read_bytes()
                for part in secret:
                    self.assertNotIn(part[:16], octets, path)

    def test_the_backup_is_in_the_old_log_with_its_digest_and_labels(self):
        text = self.ferry.appliance("log", "show", "--epoch", "1").stdout
        self.assertIn("hsm.backup", text)
        self.assertIn(self.made["sha256"], text)

    def test_a_backup_is_never_overwritten(self):
        done = self.ferry.officer("hsm", "backup", self.backup, expect=None)
        self.assert_clear(done, "is there already", status=2)

    # --- restore ------------------------------------------------------------------------------------------------------

    def test_less_than_m_shares_wrong_ones_and_an_altered_file_are_refused(self):
        words = {"one share": "1 shares of kf-backup were given, 2 are needed", "one share twice": "given twice",
                 "a mistyped share": "share 1: line 3 was changed", "an altered file": "backup file",
                 "a file that is none": "damaged", "another appliance's shares": "another backup key",
                 "mixed shares": "another backup key"}
        for name, done in self.refused.items():
            with self.subTest(name):
                self.assert_clear(done, words[name])

    def test_every_key_came_back_by_its_check_value_and_the_new_ones_are_new(self):
        labels = {one["label"] for one in self.restored["objects"]}
        self.assertEqual(labels, {"kf-ca/ca", "kf-tk/m", "kf-vendor/acme", "kf-log", "kf-export", "kf-inbox", "kf-backup"})
        self.assertNotEqual(self.adopted["appliance_id"], self.old_id)

    def test_the_old_settings_are_kept_beside_the_new_ones(self):
        self.assertIn(str(self.hsm / "tokens"), (self.hsm / "gate.toml.epoch-1").read_text())
        self.assertNotIn(str(self.hsm / "tokens"), (self.hsm / "gate.toml").read_text())

    def test_a_restored_hsm_does_nothing_before_the_officers_let_it_take_over(self):
        self.assert_clear(self.too_early, "has not taken over", "hsm adopt-state")

    # --- take-over ----------------------------------------------------------------------------------------------------

    def test_the_first_leaf_of_the_new_log_is_the_take_over(self):
        first = self.leaves()[0]
        self.assertEqual(first["event"], "hsm.adopted")
        self.assertIn(self.old_id, json.dumps(first))

    def test_the_old_log_is_kept_whole(self):
        [(size, successor)] = rows(self.ledger, "SELECT log_size, hex(successor) FROM old_hsm")
        [(count,)] = rows(self.ledger, "SELECT sum(count) FROM old_log_block")
        self.assertEqual((size, count), (self.old_size, self.old_size))
        self.assertEqual(successor.lower(), self.adopted["appliance_id"])

    def test_plan_numbers_go_on_above_the_old_ones(self):
        numbers = [number for (number,) in rows(self.ledger, "SELECT number FROM plan WHERE state = 'run' ORDER BY number")]
        self.assertEqual(len(numbers), len(set(numbers)))
        self.assertGreater(self.adopted["last_plan_number"], self.made["plan_number"])

    def test_what_only_the_lost_hsm_could_finish_is_closed_and_its_certificates_are_due_for_revocation(self):
        [batch] = self.ferry.reconcile(self.open_batch)["batches"]
        self.assertEqual((batch["state"], batch["revoked"], batch["outstanding"]), ("closed", 2, 0))
        self.assertTrue(sums_agree(batch))
        self.assertEqual(rows(self.ledger, "SELECT count(*) FROM record WHERE crl_due = 1 AND batch_id = ?",
                              bytes.fromhex(self.open_batch)), [(2,)])

    def test_crl_numbers_go_on_and_no_entry_is_lost_with_the_hsm(self):
        before = rows(self.ledger, "SELECT hex(certificate_serial), revoked_ms, reason FROM crl_entry ORDER BY position")
        self.assertEqual([reason for _, _, reason in before], [1])
        done = json.loads(self.ferry.officer("--json", "crl", "issue", "--ca", "ca").stdout)
        self.assertEqual((done["number"], done["entries"]), (2, 3))
        after = rows(self.ledger, "SELECT hex(certificate_serial), revoked_ms, reason FROM crl_entry ORDER BY position")
        self.assertEqual(after[:1], before)
        said = openssl("crl", "-in", done["pem"], "-noout", "-text").decode()
        self.assertIn(before[0][0], said)

    def test_a_crl_entry_that_was_changed_or_taken_off_while_the_hsm_was_lost_is_noticed(self):
        for change in ("UPDATE crl_entry SET revoked_ms = revoked_ms + 60000", "UPDATE crl_entry SET reason = 5"):
            with self.subTest(change):
                self.put_back("end")
                cases.edit(self.ledger, "DROP TRIGGER crl_entry_stays")
                cases.edit(self.ledger, change)
                done = self.ferry.officer("crl", "issue", "--ca", "ca", expect=None)
                self.assert_clear(done, "none is taken off or changed")
        self.put_back("end")
        cases.edit(self.ledger, "DELETE FROM crl")
        done = json.loads(self.ferry.officer("--json", "crl", "issue", "--ca", "ca").stdout)
        self.assertEqual(done["number"], 2, "the HSM knows the number")

    def test_a_bundle_of_the_new_log_holds_and_says_what_the_old_one_would_show(self):
        bundle = self.root / "evidence"
        done = self.ferry.appliance("evidence", "export", "--all", bundle, expect=1)
        self.assertIn("in the log of an HSM that was replaced", done.stderr)
        result = bundles.verify(bundle, self.ferry.appliance_words, expect=0)
        self.assertTrue(any("went on for a lost one" in said for said in result["not_proved"]), result["not_proved"])

    def test_stations_are_enrolled_again(self):
        self.assertNotEqual(self.station_not_known.returncode, 0)

    def test_a_source_that_came_after_the_backup_is_still_there(self):
        self.put_back("end")
        done = self.ferry.officer("source", "add", "later", expect=None)
        self.assertIn("already", done.stdout + done.stderr)

    def test_a_registry_that_was_edited_in_the_ledger_is_not_taken_over_unseen(self):
        self.put_back("restored")
        cases.edit(self.ledger, "UPDATE meta SET value = CAST((SELECT value FROM meta WHERE key = 'registry') || x'5a0161' AS BLOB) "
                                "WHERE key = 'restored_registry'")
        done = self.ferry.officer("hsm", "adopt-state", expect=None)
        self.assert_clear(done, "not the one in the backup")

    def test_an_officer_that_the_backup_does_not_know_cannot_decide(self):
        self.put_back("restored")
        done = self.ferry.officer("hsm", "adopt-state", "--officer-key", self.ferry.folder / "x.pem", expect=None)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("no officer", done.stderr)

    def test_a_ledger_whose_old_log_was_edited_is_not_taken_over(self):
        self.put_back("restored")
        cases.edit(self.ledger, "DROP TRIGGER log_block_is_append_only")
        cases.edit(self.ledger, "UPDATE log_block SET leaves = CAST(replace(leaves, x'726f6f6d', x'7a6f6f6d') AS BLOB) WHERE first_index < 24")
        done = self.ferry.officer("hsm", "adopt-state", expect=None)
        self.assert_clear(done, "not those that the old HSM signed")

    def test_the_old_hsm_is_refused_when_it_comes_back(self):
        shutil.copytree(self.old_tokens, self.hsm / "tokens")
        with changed(self.hsm / "gate.toml", (self.hsm / "gate.toml.epoch-1").read_bytes()):
            done = self.ferry.officer("source", "add", "late", expect=None)
        self.assert_clear(done, "this HSM was replaced", "counts as dead")

    # --- work goes on -------------------------------------------------------------------------------------------------

    def test_the_next_batch_opens_in_chips_of_the_same_master_and_is_reconciled(self):
        for batch, count in ((self.first, 4), (self.second, 2)):
            [sums] = self.ferry.reconcile(batch)["batches"]
            self.assertEqual((sums["injected"], sums["outstanding"], sums["state"]), (count, 0, "closed"))

    def test_the_same_ca_signs_on(self):
        folder = self.root / f"certs-{self.id()}"
        folder.mkdir()
        self.ferry.appliance("batch", "certificates", self.second, "--to", folder)
        authority = folder / "first-ca.pem"
        authority.write_text("-----BEGIN" + self.certificate.split("-----BEGIN")[-1])
        said = openssl("verify", "-x509_strict", "-CAfile", authority, *sorted(folder.glob("record-*.pem"))).decode()
        self.assertEqual(said.count(": OK"), 2, said)

    def test_the_inventory_of_the_new_hsm_is_clean(self):
        done = self.ferry.appliance("hsm", "inventory", expect=None)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.inventory_before.returncode, 0, self.inventory_before.stdout + self.inventory_before.stderr)

    def test_the_new_hsm_can_be_backed_up_under_the_same_shares(self):
        done = self.ferry.officer("--json", "hsm", "backup", self.ferry.folder / "second.backup")
        self.assertNotEqual(json.loads(done.stdout)["sha256"], self.made["sha256"])


class ATokenThatIsThere(FerryCase):
    """kf-backup in a token that somebody else initialised: the gate is given its SO PIN."""

    SO_PIN = "87654321"

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        store = ferry.folder / "store"
        store.mkdir()
        cls.conf = ferry.folder / "softhsm2.conf"
        cls.conf.write_text(f"directories.tokendir = {store}\nobjectstore.backend = file\n")
        (ferry.secrets / "so-pin").write_text(cls.SO_PIN + "\n")
        pin = (ferry.secrets / "hsm-pin").read_text().strip()
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "kept", "--pin", pin, "--so-pin", cls.SO_PIN],
                       check=True, capture_output=True, env=dict(os.environ, SOFTHSM2_CONF=str(cls.conf)))

    def init(self, *more, secret_fds=(), **options):
        library = next(path for path in pathlib.Path("/usr/lib").rglob("libsofthsm2.so"))
        return self.ferry.run(["keyferry-appliance", "--home", self.ferry.home, "init", "--name", "test", "--hsm",
                               f"pkcs11:token=kept?module-path={library}", "--hsm-env", f"SOFTHSM2_CONF={self.conf}",
                               "--pin-file", self.ferry.secrets / "hsm-pin", "--officer-name", "O", "--officer-key",
                               self.ferry.folder / "officer.pem", "--backup-shares", "2/2", "--backup-share-dir",
                               self.ferry.folder / "shares", "--insecure-allow", "network,swap,memlock", *more],
                              secret_fds=[("--officer-passphrase-fd", "officer-passphrase"), *secret_fds], **options)

    def test_the_so_pin_is_asked_for_and_then_makes_the_key(self):
        self.assert_clear(self.init(expect=None), "only its SO PIN lets one be made", "--so-pin-fd")
        self.init(secret_fds=[("--so-pin-fd", "so-pin")])
        done = self.ferry.appliance("hsm", "inventory", expect=None)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("kf-backup", done.stdout)
        self.ferry.officer("hsm", "backup", self.ferry.folder / "kf.backup")


class NoBackupKey(FerryCase):
    """An appliance that was set up without shares."""

    @classmethod
    def prepare(cls):
        cls.ferry.init_and_note_words()

    def test_no_key_leaves_an_hsm_without_kf_backup(self):
        done = self.ferry.officer("hsm", "backup", self.ferry.folder / "x.backup", expect=None)
        self.assert_clear(done, "no kf-backup", "--backup-shares")


if __name__ == "__main__":
    cases.main()
