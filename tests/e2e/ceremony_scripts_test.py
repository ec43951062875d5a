#!/usr/bin/env python3
"""The scripts of deploy/ceremony, run as they stand there: every command of them is one that is carried out here."""
import json
import pathlib
import re
import tomllib

import cases
from at_terminal import at_terminal
from cases import FerryCase
from ferry import Ferry, sums_agree

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "ceremony"
PASSPHRASE = 'arguments = ["--officer-passphrase-fd", "3"]\nfd_files = {{ 3 = "{secrets}/officer-passphrase" }}\n'
PIN = 'arguments = ["--pin-fd", "3"]\nfd_files = {{ 3 = "{secrets}/station-pin" }}\n'


def people_of(script):
    """Answers for everybody whom the script names."""
    text = ""
    for number, person in enumerate(tomllib.loads(script.read_text())["person"]):
        text += f'[people.{person["id"]}]\nname = "Person {number}"\ninitials = "P{chr(65 + number)}"\n'
    return text


class ScriptCase(FerryCase):
    """Answers to a script's questions, and what was made of them."""

    def answers(self, script, fields, confirm=(), officers=(), station=(), more=""):
        values = {"secrets": self.ferry.secrets}
        text = people_of(script) + "[fields]\n"
        text += "".join(f'"{name}" = "{value}"\n' for name, value in fields.items())
        text += "[confirm]\n" + "".join(f"{name} = true\n" for name in confirm)
        for steps, addition in ((officers, PASSPHRASE), (station, PIN)):
            text += "".join(f"[command.{step}]\n" + addition.format(**values) for step in steps)
        text += more + f'[sign.officer-1]\nkey = "{self.ferry.folder}/officer.pem"\npassphrase_file = "{self.ferry.secrets}/officer-passphrase"\n'
        path = self.ferry.folder / "answers.toml"
        path.write_text(text)
        return path

    def own(self):
        return sorted(pathlib.Path(f"{self.ferry.home}-ceremony").glob("0*"))[-1]


class Scripts(ScriptCase):
    """One appliance with a station, as the scripts find it."""

    CHIPS = 4

    @classmethod
    def prepare(cls):
        cls.ferry.set_up(cls.CHIPS)
        cls.put_aside("ready")

    def setUp(self):
        self.put_back("ready")

    def test_batch(self):
        script = SCRIPTS / "batch.toml"
        key = self.ferry.folder / "officer.pem"
        answers = self.answers(
            script,
            {"station": "line-1", "ca": "ca", "lot": "L1", "count": self.CHIPS, "key-of.officer-1": key, "key-of.officer-2": key,
             "token": self.ferry.token, "bag": "AB-1234", "station-home": self.ferry.station_home, "lanes": self.ferry.lanes,
             "bag-home": "AB-1235"},
            confirm=("words", "sums"), officers=("approval-1", "approval-2"), station=("load", "unload"))
        self.ferry.appliance("ceremony", "run", script, "--answers", answers)
        [batch] = self.ferry.reconcile()["batches"]
        self.assertEqual((batch["injected"], batch["outstanding"]), (self.CHIPS, 0))
        self.assertTrue(sums_agree(batch))
        text = (self.own() / "transcript.txt").read_text()
        self.assertIn("exceptions   0", text)
        for step in tomllib.loads(script.read_text())["step"][:-1]:
            self.assertRegex(text, rf"(?m)^  {step['kind']} {re.escape(step['id'])}  begun .* done$")
        self.assertIn("on the station", text)
        self.ferry.appliance("ceremony", "verify", self.own() / "transcript.txt")

    def closed_by_script(self, script, fields, steps):
        key = self.ferry.folder / "officer.pem"
        answers = self.answers(script, {**fields, "ca": "ca", "reason": "a drill", "key-of.officer-1": key, "key-of.officer-2": key},
                               confirm=("sums",), officers=steps)
        self.ferry.appliance("ceremony", "run", script, "--answers", answers)
        self.assertIn("exceptions   0", (self.own() / "transcript.txt").read_text())
        self.ferry.appliance("ceremony", "verify", self.own() / "transcript.txt")
        self.assertTrue((self.ferry.home / "crl" / "ca.crl.pem").exists())
        [batch] = self.ferry.reconcile(fields["batch"], expect={0, 1})["batches"]
        self.assertEqual((batch["revoked"], batch["outstanding"]), (self.CHIPS, 0))
        self.assertTrue(sums_agree(batch))

    def test_loss(self):
        batch = self.ferry.batch(self.CHIPS)
        token = self.ferry.appliance_json("batch", "export", batch, "--to", self.ferry.token)["token"]
        following = self.ferry.folder / "next-token"
        following.mkdir()
        self.closed_by_script(SCRIPTS / "loss.toml", {"token": token, "batch": batch, "next-token": following},
                              ("lost-approval-1", "lost-approval-2", "crl-approval-1", "crl-approval-2"))
        self.assertTrue((following / "keyferry" / "revoked.kf").exists())
        self.ferry.load(following, expect={0, 1})
        self.assertNotEqual(self.ferry.load(expect=None).returncode, 0, "the station knows that it was revoked")

    def test_dead_station(self):
        batch = self.ferry.batch(self.CHIPS)
        self.ferry.export(batch)
        home, self.ferry.station_home = self.ferry.station_home, self.ferry.folder / "station-2"
        self.ferry.station("init", "--name", "line-2", "--site", "site-1")
        words = self.ferry.station_json("enroll", "--to", self.ferry.token)["fingerprint"]
        self.ferry.officer("station", "enroll", self.ferry.token, "--name", "line-2", "--fingerprint", words)
        self.ferry.station_home = home
        self.closed_by_script(SCRIPTS / "dead-station.toml", {"station": "line-1", "batch": batch, "follow-up": "line-2"},
                              ("retire-approval-1", "retire-approval-2", "crl-approval-1", "crl-approval-2"))
        rest = (self.own() / "rest.toml").read_text()
        self.assertIn(f"se_count = {self.CHIPS}", rest)

    # --- paper --------------------------------------------------------------------------------------------------------

    def test_the_printed_text_beside_each_script_is_the_one_that_the_program_prints(self):
        scripts = sorted(SCRIPTS.glob("*.toml"))
        self.assertGreater(len(scripts), 1)
        for script in scripts:
            printed = self.ferry.run(["keyferry-appliance", "ceremony", "print", script]).stdout
            kept = script.with_suffix(".txt").read_text()
            self.assertEqual(kept, printed, f"{script.name}: keyferry-appliance ceremony print {script.name} > {script.stem}.txt")

    def test_the_initialization_is_production_s_and_wants_a_rehearsal(self):
        home = self.ferry.folder / "new"
        done = self.ferry.run(["keyferry-appliance", "--home", home, "ceremony", "init", SCRIPTS / "initialization.toml"], expect=None)
        self.assert_clear(done, "was never rehearsed", "--rehearsed FILE")
        self.assertFalse(home.exists())

    def test_an_initialization_that_cannot_be_is_refused(self):
        text = (SCRIPTS / "initialization.toml").read_text()
        plan = self.ferry.folder / "wrong.toml"
        for old, new, said in (("officers_needed = 2", "officers_needed = 3", "one more than are needed"),
                               ("officers_needed = 2", "officers_needed = 1", "at least 2 officers"),
                               ('pin_shares = "2/3"', "", "needs \"pin_shares\""),
                               ('pin_shares = "2/3"', 'pin_shares = "2/4"', "4 people of role custodian"),
                               ('pin_shares = "2/3"', 'pin_shares = "1/3"', "M at least 2"),
                               ("hsm = ", "# ", "hardware HSM"),
                               ("officers_needed = 2", 'officers_needed = 2\ninsecure_allow = ["network"]', "not for environment production"),
                               ("officers_needed = 2", "officers_needed = 2\nofficer = 1", '"officer" is unknown'),
                               ('role = "witness"', 'role = "auditor"', "role witness is missing"),
                               ('"production"', '"rehearsal"', "rehearse with")):
            plan.write_text(text.replace(old, new, 1))
            done = self.ferry.run(["keyferry-appliance", "ceremony", "print", plan], expect=2)
            self.assertIn(said, done.stderr)


class ALostHsm(ScriptCase):
    """Two of three officers, PINs in shares, and a backup: then the HSM's store is gone."""

    OFFICERS = ("officer-1", "officer-2", "officer-3")

    @classmethod
    def shares(cls, folder, kind, numbers=(1, 2)):
        return [x for n in numbers for x in ("--share", f"{cls.ferry.folder}/{folder}/kf-{kind}-test-share-{n}-of-3.txt")]

    @classmethod
    def by_two(cls, operation, *arguments):
        """The command writes its plan, two officers approve it, and it is carried out with two shares of the PIN."""
        ferry, pin, plan = cls.ferry, cls.shares("pins", "user-pin"), cls.ferry.folder / f"{operation}.toml"
        ferry.appliance(*arguments, *pin, "--plan-out", plan)
        for who in cls.OFFICERS[:2]:
            ferry.officer("plan", "approve", plan, "--officer-key", ferry.folder / f"{who}.pem")
        ferry.appliance("plan", "run", plan, *pin)

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cards = []
        for who in cls.OFFICERS:
            cards += ["--officer-card", ferry.folder / f"{who}.card"]
            ferry.run(["keyferry-appliance", "officer", "request", "--officer-key", ferry.folder / f"{who}.pem", "--name", who,
                       "--out", cards[-1]], secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])
        ferry.appliance("init", "--name", "test", "--insecure-allow", "network,swap,memlock", "--officers-needed", 2, *cards,
                        "--pin-shares", "2/3", "--pin-share-dir", ferry.folder / "pins",
                        "--backup-shares", "2/3", "--backup-share-dir", ferry.folder / "backup-shares")
        cls.by_two("ca", "ca", "create", "ca", "--subject", "CN=Test CA")
        cls.by_two("backup", "hsm", "backup", ferry.folder / "kf.backup")
        (ferry.folder / "appliance-hsm" / "tokens").rename(ferry.folder / "gone")

    def test_disaster_restore(self):
        ferry = self.ferry
        script = SCRIPTS / "disaster-restore.toml"
        store = ferry.folder / "new-hsm"
        store.mkdir()
        conf = ferry.folder / "new-hsm.conf"
        conf.write_text(f"directories.tokendir = {store}\nobjectstore.backend = file\nlog.level = ERROR\n")
        new = ["--pin-share-dir", f"{ferry.folder}/new-pins", "--hsm-env", f"SOFTHSM2_CONF={conf}", "--hsm-store", str(store)]
        given = {"restore": self.shares("backup-shares", "backup", (1, 3)) + new,
                 **{step: self.shares("new-pins", "user-pin", (2, 3)) for step in ("adopt-plan", "adopt", "entropy", "inventory")}}
        more = "".join(f"[command.{step}]\narguments = {json.dumps(words)}\n" for step, words in given.items())
        answers = self.answers(
            script,
            {"lost": "the disk burnt", "backup": ferry.folder / "kf.backup", "bag": "AB-77", "pin-shares": "2/3",
             "hsm": "pkcs11:token=second?module-path=/usr/lib/softhsm/libsofthsm2.so",
             **{f"key-of.{who}": ferry.folder / f"{who}.pem" for who in self.OFFICERS[:2]}},
            confirm=("newest", "words"), officers=("adopt-approval-1", "adopt-approval-2"),
            more=more).rename(ferry.folder / "restore-answers.toml")
        answers.write_text(answers.read_text().replace("officer.pem", "officer-1.pem"))
        ferry.appliance("ceremony", "run", script, "--answers", answers, *self.shares("new-pins", "user-pin"))
        text = (self.own() / "transcript.txt").read_text()
        self.assertIn("exceptions   0", text)
        leaves = ferry.appliance_json("log", "show")["leaves"]
        self.assertEqual(leaves[0]["event"], "hsm.adopted")
        ferry.appliance("ceremony", "verify", self.own() / "transcript.txt")
        self.assert_clear(ferry.appliance("hsm", "inventory", *self.shares("pins", "user-pin"), expect=None), "share 1 of the user PIN")


class AnInitialization(ScriptCase):
    """Three officers, two of them needed, and a witness: rehearsed, then run, from nothing to an appliance with CA and master."""

    PLAN = """
initialization = 1
name = "hq"
environment = "development"
insecure_allow = ["network", "swap", "memlock"]
officers_needed = 2
authority = [{ name = "device", subject = "CN=Device 1 CA,O=Example" }]
master = [{ name = "m1", kdf = "kf-kdf-1" }]
person = [{ id = "officer-1", role = "officer" }, { id = "officer-2", role = "officer" },
          { id = "officer-3", role = "officer" }, { id = "witness-1", role = "witness" }]
field = [{ id = "room", label = "room", pattern = "[A-Z][0-9]+" }]
"""

    def plan_answers(self, plan, keys):
        keys.mkdir(exist_ok=True)
        secrets = self.ferry.secrets
        text = people_of(plan) + "[fields]\nroom = \"B12\"\n"
        people = ("officer-1", "officer-2", "officer-3", "witness-1")
        text += "".join(f'"key-of.{who}" = "{keys}/{who}.pem"\n' for who in people)
        text += "[confirm]\nwords = true\n"
        steps = [f"card-of-{who}" for who in people] + [f"{what}-approval-{n}" for what in ("ca-device", "master-m1") for n in (1, 2)]
        text += "".join(f"[command.{step}]\n" + PASSPHRASE.format(secrets=secrets) for step in steps)
        text += f'[command.init]\narguments = ["--pin-file", "{secrets}/hsm-pin"]\n'
        text += "".join(f'[sign.{who}]\nkey = "{keys}/{who}.pem"\npassphrase_file = "{secrets}/officer-passphrase"\n' for who in people)
        path = self.ferry.folder / "init-answers.toml"
        path.write_text(text)
        return path

    def test_three_officers_two_needed_and_a_witness(self):
        ferry = self.ferry
        plan = ferry.folder / "plan-of-init.toml"
        plan.write_text(self.PLAN)
        rehearsal = ferry.folder / "rehearsed"
        ferry.run(["keyferry-appliance", "ceremony", "init", plan, "--rehearsal", rehearsal, "--answers",
                   self.plan_answers(plan, ferry.folder / "keys-of-rehearsal")])
        [rehearsed] = pathlib.Path(f"{rehearsal}/appliance-ceremony").glob("0001-*")
        self.assertIn("*** REHEARSAL ***", (rehearsed / "transcript.txt").read_text())
        keys = ferry.folder / "keys"
        ferry.appliance("ceremony", "init", plan, "--answers", self.plan_answers(plan, keys))
        own = self.own()
        self.assertEqual((own / "script.toml").read_bytes(), (rehearsed / "script.toml").read_bytes())
        text = (own / "transcript.txt").read_text()
        self.assertIn("exceptions   0", text)
        self.assertNotIn("Person 1", text)
        self.assertNotIn("Person 1", (own / "journal.jsonl").read_text())
        leaves = ferry.appliance_json("log", "show")["leaves"]
        self.assertEqual([leaf["fields"]["operation"] for leaf in leaves if leaf["event"] == "plan.run"],
                         ["ca-create", "transport-master-create"])
        for leaf in leaves:
            if leaf["event"] == "plan.run":
                self.assertEqual(len(leaf["fields"]["officers"]), 2)
        self.assertEqual([leaf["event"] for leaf in leaves][-1], "ceremony")
        self.assertIn("signed by  officer-1, officer-2, officer-3, witness-1", ferry.appliance("ceremony", "verify", own / "transcript.txt").stdout)

    def test_by_hand_at_a_terminal(self):
        """As people do it: every answer typed, one of them wrong. A quarter of a minute for each is half an hour at most."""
        ferry, folder = self.ferry, self.ferry.folder / "by-hand"
        folder.mkdir()
        plan = folder / "plan.toml"
        plan.write_text(self.PLAN)
        initials = {"officer-1": "AA", "officer-2": "BB", "officer-3": "CC", "witness-1": "WW"}
        secret, pin = "correct horse battery staple", "73914802"
        asked = [
            (r"^passphrase or PIN of the key of officer-2", lambda m, said: secret if "not signed" in said else "a slip"),
            (r"^(new )?passphrase", lambda m, said: secret),
            (r"^PIN of|^the same PIN again", lambda m, said: pin),
            (r"^the same once more", lambda m, said: secret),
            (r"^name of (\S+)", lambda m, said: f"Person {initials[m.group(1)]}"),
            (r"^initials of (\S+)", lambda m, said: initials[m.group(1)]),
            (r"^room", lambda m, said: "B12"),
            (r"is it so\?", lambda m, said: "yes"),
            (r"^key of (\S+):", lambda m, said: f"{folder}/{m.group(1)}.pem"),
            (r"^(\S+) \(\S+\): key file", lambda m, said: f"{folder}/{m.group(1)}.pem"),
        ]

        def answer(question, said):
            for pattern, line in asked:
                match = re.search(pattern, question)
                if match:
                    return line(match, said)
            return None

        command = [ferry.programs / "keyferry-appliance", "--home", folder / "home", "ceremony", "init", plan]
        said, status, typed = at_terminal(command, answer, 150)
        self.assertEqual(status, 0, said)
        self.assertIn("not signed: ", said)
        self.assertIn("signed by   officer-1, officer-2, officer-3, witness-1", said)
        self.assertNotIn(secret, said)
        self.assertNotIn(pin, said)
        self.assertLess(typed, 120)
        for line in said.splitlines():  # what a command says stands above the prompt, not behind it
            self.assertNotRegex(line, r"^(passphrase|PIN)[^|]*: \|")
        [own] = folder.glob("home-ceremony/0001-*")
        self.assertIn("exceptions   0", (own / "transcript.txt").read_text())

    def test_the_shipped_one_is_rehearsed_as_it_stands(self):
        ferry, folder = self.ferry, self.ferry.folder / "shipped"
        folder.mkdir()
        plan = SCRIPTS / "initialization.toml"
        content = tomllib.loads(plan.read_text())
        people = [person["id"] for person in content["person"] if person["role"] != "custodian"]
        officers = [who for who in people if who.startswith("officer")]
        pin = [x for n in (1, 3) for x in ("--share", f"{folder}/pins/kf-user-pin-hq-share-{n}-of-3.txt")]
        allow = ["--insecure-allow", "network,swap,memlock"]  # what the plan does not: production's machine has no network
        arguments = {"machine": allow, "init": ["--pin-share-dir", f"{folder}/pins", *allow]}
        arguments |= {step: pin for step in ("self-test", "entropy", "inventory")}
        arguments |= {f"{what}-{step}": pin for what in ("ca-device", "master-m1") for step in ("plan", "run")}
        text = people_of(plan) + "[fields]\n"
        fields = {"room": "B12", "machine-seal": "S-1234", "hsm-bag": "AB-1234", "boot-medium": "0" * 64, "recording": "rec-1",
                  "arrivals": "all on foot at nine"}
        text += "".join(f'{name} = "{value}"\n' for name, value in fields.items())
        text += "".join(f'"key-of.{who}" = "{folder}/{who}.pem"\n' for who in people)
        text += "".join(f'"medium-of.custodian-{n}" = "{folder}/medium-{n}"\n' for n in (1, 2, 3)) + "[confirm]\nwords = true\n"
        text += "".join(f"[command.{step}]\narguments = {json.dumps(words)}\n" for step, words in arguments.items())
        steps = [f"card-of-{who}" for who in people] + [f"{what}-approval-{n}" for what in ("ca-device", "master-m1") for n in (1, 2)]
        text += "".join(f"[command.{step}]\n" + PASSPHRASE.format(secrets=ferry.secrets) for step in steps)
        text += "".join(f'[sign.{who}]\nkey = "{folder}/{who}.pem"\npassphrase_file = "{ferry.secrets}/officer-passphrase"\n'
                        for who in people)
        answers = folder / "answers.toml"
        answers.write_text(text)
        ferry.run(["keyferry-appliance", "ceremony", "init", plan, "--rehearsal", folder / "home", "--answers", answers, *pin])
        [own] = pathlib.Path(f"{folder}/home/appliance-ceremony").glob("0001-*")
        self.assertIn("exceptions   0", (own / "transcript.txt").read_text())
        policy = ferry.run(["keyferry-appliance", "--home", folder / "home" / "appliance", "--json", "policy", "show"]).stdout
        self.assertTrue(json.loads(policy)["rehearsal_required"])
        shares = sorted(path.name for path in folder.glob("medium-*/*"))
        self.assertEqual(shares, [f"kf-backup-hq-share-{n}-of-3.txt" for n in (1, 2, 3)])
        backup = ["keyferry-appliance", "--home", folder / "home" / "appliance", "hsm", "backup", folder / "b", *pin]
        self.assert_clear(ferry.run([*backup, "--plan-out", folder / "b.toml"], expect=None), status=0)


class WhatARehearsalMade(FerryCase):
    """A whole rehearsal beside an appliance and a station of another environment, which want nothing of it."""

    @classmethod
    def prepare(cls):
        cls.ferry.set_up(2)
        cls.other = other = Ferry(cls.root / "rehearsal", cases.programs)
        other.appliance_words = json.loads(other.init("--environment", "rehearsal").stdout)["fingerprint"]
        other.officer("ca", "create", "ca", "--subject", "CN=Rehearsed CA")
        other.officer("transport-master", "create", "m")
        other.officer("source", "add", "room")
        other.make_chips(2)
        other.officer("se", "import", other.inventory, "--source", "room")
        other.station("init", "--name", "line-1", "--site", "site-1", "--environment", "rehearsal")
        words = other.station_json("enroll", "--to", other.token)["fingerprint"]
        other.officer("station", "enroll", other.token, "--fingerprint", words)
        other.station("enroll", "--from", other.token, "--fingerprint", other.appliance_words)
        cls.batch = other.batch(2)
        other.export(cls.batch)

    def test_its_containers_are_refused_by_a_station_of_another_environment(self):
        before = cases.dump(self.store, cases.STATION_NOTES)
        done = self.ferry.station("load", self.other.token, expect=None)
        self.assert_clear(done, "not signed by the appliance that this station belongs to")
        self.assertEqual(cases.dump(self.store, cases.STATION_NOTES), before)

    def test_its_card_enrolls_no_station_of_another_environment(self):
        token = self.ferry.folder / "mixed"
        token.mkdir()
        before, self.ferry.station_home = self.ferry.station_home, self.ferry.folder / "second-station"
        self.addCleanup(setattr, self.ferry, "station_home", before)
        self.ferry.station("init", "--name", "line-2", "--site", "s")
        words = self.ferry.station_json("enroll", "--to", token)["fingerprint"]
        done = self.other.officer("station", "enroll", token, "--fingerprint", words, expect=None)
        self.assert_clear(done, "environment")

    def test_its_receipts_are_refused_by_an_appliance_of_another_environment(self):
        self.other.load()
        self.other.run_lanes()
        self.other.unload()
        before = cases.dump(self.ledger, cases.APPLIANCE_NOTES)
        self.assertNotEqual(self.ferry.receipts(self.other.token, expect=None).returncode, 0)
        self.assertEqual(cases.dump(self.ledger, cases.APPLIANCE_NOTES), before)


if __name__ == "__main__":
    cases.main()
