#!/usr/bin/env python3
"""Custody of tokens: enrolled, handed out, returned, inspected, lost; signed by both sides or an exception in the log."""
import json
import os

import cases
from cases import FerryCase, openssl


class Custody(FerryCase):
    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        ferry.init_and_note_words()
        (ferry.secrets / "receiver").write_text("received\n")
        cls.key = ferry.folder / "receiver.pem"
        plain = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        cls.key.write_bytes(openssl("pkcs8", "-topk8", "-scrypt", "-scrypt_N", "16384", "-passout", "pass:received", octets=plain))
        cls.key.chmod(0o600)
        cls.stick = ferry.folder / "stick"
        cls.stick.mkdir()
        cls.token_id = json.loads(ferry.officer("--json", "token", "enrol", cls.stick, "--label", "t7").stdout)["token"]
        cls.put_aside("enrolled")

    def setUp(self):
        self.put_back("enrolled")

    def act(self, *arguments, receiver=False, expect=0):
        fds = [("--officer-passphrase-fd", "officer-passphrase")]
        if receiver:
            fds.append(("--receiver-passphrase-fd", "receiver"))
            arguments += ("--receiver-key", self.key)
        return self.ferry.appliance("--json", "token", *arguments, secret_fds=fds, expect=expect)

    def status(self, expect=0):
        return self.ferry.appliance_json("token", "status", expect=expect)

    def hand_out(self, *more, **options):
        return self.act("hand-out", "t7", "--to", "C. Courier", "--direction", "out", "--bag", "A-4711", *more, **options)

    def test_a_token_goes_and_comes_back_and_is_looked_at_before_it_goes_again(self):
        self.hand_out("--due", "2099-01-01", receiver=True)
        [token] = self.status()["tokens"]
        self.assertEqual((token["token"], token["state"], token["name"], token["bag"], token["direction"]),
                         (self.token_id, "out", "C. Courier", "A-4711", "out"))
        self.assert_clear(self.act("retire", "t7", expect=None), "cannot be retired")
        self.act("return", "t7", "--from", "C. Courier", "--bag", "A-4711", receiver=True)
        self.assert_clear(self.hand_out(expect=None), "cannot be handed-out")
        self.act("inspect", "t7")
        self.hand_out(receiver=True)
        self.assertEqual(self.status()["tokens"][0]["acts"], 5)
        log = self.log()
        self.assertEqual(log.count("token.custody"), 5)
        self.assertEqual(log.count("signatures=2"), 3)
        self.assertNotIn("custody.exception", log)
        self.assertNotIn("Courier", log)

    def test_who_does_not_sign_is_an_exception_in_the_log(self):
        said = self.hand_out()
        self.assertIn("exception", said.stderr)
        self.assertIn("custody.exception", self.log())

    def test_an_overdue_token_comes_first_and_ends_the_status_with_one(self):
        other = self.ferry.folder / "other"
        other.mkdir()
        self.act("enrol", other, "--label", "a-second")
        self.hand_out("--due", "2020-01-01")
        status = self.status(expect=1)
        self.assertEqual([(token["label"], token["overdue"]) for token in status["tokens"]], [("t7", True), ("a-second", False)])

    def test_one_key_cannot_sign_for_both_sides(self):
        fds = [("--officer-passphrase-fd", "officer-passphrase"), ("--receiver-passphrase-fd", "officer-passphrase")]
        done = self.ferry.appliance("token", "hand-out", "t7", "--to", "12", "--direction", "out", "--bag", "A-1", "--receiver-key",
                                    self.ferry.folder / "officer.pem", secret_fds=fds, expect=None)
        self.assert_clear(done, "one key")
        self.assertEqual(self.status()["tokens"][0]["state"], "here")

    def test_enrolling_again_changes_nothing_and_a_label_is_used_once(self):
        again = json.loads(self.act("enrol", self.stick, "--label", "t7").stdout)
        self.assertEqual((again["token"], again["acts"]), (self.token_id, 1))
        other = self.ferry.folder / "other"
        other.mkdir()
        self.assert_clear(self.act("enrol", other, "--label", "t7", expect=None), "labelled")
        self.assertEqual(os.listdir(other), [])

    def test_bad_words_are_refused(self):
        for arguments, words in (
                (("hand-out", "t7", "--to", "x", "--direction", "up", "--bag", "A"), "out or home"),
                (("hand-out", "t7", "--to", "x", "--direction", "out", "--bag", "A 1"), "--bag"),
                (("hand-out", "t7", "--to", "x\x1b[31m", "--direction", "out", "--bag", "A"), "printable")):
            with self.subTest(arguments):
                self.assert_clear(self.act(*arguments, expect=None), words, status=2)
        self.assert_clear(self.act("inspect", "nobody", expect=None), "no token")

    def test_a_lost_token_is_marked_and_may_turn_up(self):
        self.hand_out(receiver=True)
        self.ferry.officer("token", "lost", "t7", "--homebound", "--reason", "train")
        self.assertEqual(self.status()["tokens"][0]["state"], "lost")
        self.act("return", "t7", "--from", "C. Courier")
        self.assertEqual(self.status()["tokens"][0]["state"], "back")

    def test_a_batch_goes_out_under_the_id_of_the_enrolled_token(self):
        ferry = self.ferry
        ferry.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        ferry.officer("transport-master", "create", "m")
        ferry.officer("source", "add", "room")
        ferry.fake_inventory(ferry.inventory, 2)
        ferry.officer("se", "import", ferry.inventory, "--source", "room")
        ferry.enroll()
        batch = ferry.batch(2, segment_size=2)
        self.assertEqual(ferry.appliance_json("batch", "export", batch, "--to", self.stick)["token"], self.token_id)
        lost = json.loads(ferry.officer("--json", "token", "lost", "t7", "--revoke", "--confirm", batch, "--reason", "gone").stdout)
        self.assertEqual((lost["batch"], lost["exposed"]), (batch, 2))
        self.assertEqual(self.status()["tokens"][0]["state"], "lost")


if __name__ == "__main__":
    cases.main()
