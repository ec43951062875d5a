#!/usr/bin/env python3
"""Guided ceremonies as people and scripts meet them: steps, cuts, exceptions, rehearsals, transcripts, signatures."""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import cases
from at_terminal import at_terminal
from cases import FerryCase, changed, flipped
from ferry import KILLED, cut_names

PEOPLE = """
[[person]]
id = "officer-1"
role = "officer"
[[person]]
id = "officer-2"
role = "officer"
[[person]]
id = "witness-1"
role = "witness"
"""

# A whole small ceremony: makes an appliance, captures its fingerprint, makes a CA, hides a custodian's output.
SCRIPT = """
ceremony = 1
id = "small"
title = "A small ceremony"
environment = "development"
exception_roles = ["officer", "witness"]
""" + PEOPLE + """
[[field]]
id = "room"
label = "room number"
pattern = "[A-Z][0-9]{1,3}"

[[step]]
id = "rules"
title = "The rules"
kind = "say"
who = ["officer-1", "witness-1"]
text = "Nobody is alone with the machine <b>at any time</b> in {environment}."

[[step]]
id = "room"
title = "The room"
kind = "ask"
who = ["officer-1"]
field = "room"

[[step]]
id = "init"
title = "Make the appliance"
kind = "command"
who = ["officer-1", "officer-2"]
argv = ["keyferry-appliance", "--home", "{home}", "--json", "init", "--name", "test", "--environment", "{environment}",
        "--officer-name", "Officer One", "--officer-key", "KEY"]
real = ["--insecure-allow", "network,swap,memlock"]
rehearsal = ["--insecure-allow", "network,swap,memlock"]
again = true
capture = [{ name = "fingerprint", json = "fingerprint" }]

[[step]]
id = "words"
title = "Compare the words"
kind = "confirm"
who = ["officer-1", "witness-1"]
text = "The words are {fingerprint} in room {room}."

[[step]]
id = "ca"
title = "Make the CA"
kind = "command"
who = ["officer-1", "officer-2"]
argv = ["keyferry-appliance", "--home", "{home}", "ca", "create", "ca", "--subject", "CN=Test CA"]
check = ["keyferry-appliance", "--home", "{home}", "--json", "log", "show", "--proof", "4"]

[[step]]
id = "secret"
title = "Only the custodian looks"
kind = "custodian"
who = ["officer-2"]
argv = ["keyferry-appliance", "--home", "{home}", "log", "checkpoint"]
again = true

[[step]]
id = "sign"
title = "Sign"
kind = "sign"
who = ["officer-1", "witness-1"]
"""

ANSWERS = """
[people.officer-1]
name = "Officer One"
initials = "OO"
[people.officer-2]
name = "Officer Two"
initials = "OT"
[people.witness-1]
name = "Witness One"
initials = "WO"
[fields]
room = "B12"
[confirm]
words = true
[command.init]
arguments = ["--officer-passphrase-fd", "3", "--pin-file", "PIN"]
fd_files = { 3 = "PASSPHRASE" }
[command.ca]
arguments = ["--officer-passphrase-fd", "3"]
fd_files = { 3 = "PASSPHRASE" }
[sign.officer-1]
key = "KEY"
passphrase_file = "PASSPHRASE"
"""

FAILING = """
ceremony = 1
id = "failing"
title = "Something goes otherwise"
environment = "development"
exception_roles = ["officer", "witness"]
""" + PEOPLE + """
[[step]]
id = "nothing-there"
title = "A command that fails"
kind = "command"
who = ["officer-1"]
argv = ["keyferry-appliance", "--home", "{home}", "log", "checkpoint"]
again = true
[[step]]
id = "look"
title = "A confirmation that is refused"
kind = "confirm"
who = ["officer-1", "witness-1"]
text = "The seal is whole."
[[step]]
id = "sign"
title = "Sign"
kind = "sign"
who = ["officer-1"]
"""

FAILING_ANSWERS = ANSWERS.split("[fields]")[0] + """
[confirm]
look = false
"""


class Ceremonies(FerryCase):
    """A fresh folder for each test: ceremonies make their own appliance."""

    @classmethod
    def prepare(cls):
        pass

    def setUp(self):
        self.folder = self.root / re.sub(r"\W", "-", self.id().split(".")[-1])
        self.folder.mkdir()
        self.home = self.folder / "home"
        self.key = self.folder / "officer.pem"

    def fill(self, text):
        return (text.replace("KEY", str(self.key)).replace("PIN", str(self.ferry.secrets / "hsm-pin"))
                .replace("PASSPHRASE", str(self.ferry.secrets / "officer-passphrase")))

    def write(self, name, text):
        path = self.folder / name
        path.write_text(self.fill(text))
        return path

    def ceremony(self, *arguments, home=True, hooks=None, expect=0, **options):
        self.ferry.hooks = dict(hooks or {})
        try:
            where = ["--home", self.home] if home else []
            return self.ferry.run(["keyferry-appliance", *where, "ceremony", *arguments], expect=expect, **options)
        finally:
            self.ferry.hooks = {}

    def status(self):
        done = self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "ceremony", "status"])
        return json.loads(done.stdout)["ceremonies"]

    def own(self, number=1, home=None):
        return sorted(pathlib.Path(f"{home or self.home}-ceremony").glob(f"{number:04}-*"))[0]

    def run_small(self, *more, **options):
        return self.ceremony("run", self.write("small.toml", SCRIPT), "--answers", self.write("answers.toml", ANSWERS), *more, **options)

    def run_failing(self, answers, **options):
        return self.ceremony("run", self.write("failing.toml", FAILING), "--answers", self.write("answers.toml", answers), **options)

    # --- a whole one --------------------------------------------------------------------------------------------------

    def test_a_script_runs_to_the_end_is_logged_and_signed(self):
        self.run_small()
        own = self.own()
        text = (own / "transcript.txt").read_text()
        words = json.loads(self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "log", "checkpoint"]).stdout)
        fingerprint = re.search(r'fingerprint": "([a-z-]+)"', text)[1]
        self.assertIn(f"The words are {fingerprint}"[:60], text.replace("\n    ", " "))
        self.assertIn("room number = B12", text)
        self.assertIn("officer-1 OO, witness-1 WO", text)
        self.assertIn("its output is not recorded", text)
        self.assertIn("DEVELOPMENT", text)
        self.assertNotIn("Officer Two", text)
        self.assertIn("\u2588", text)  # the QR code of the checkpoint
        leaves = json.loads(self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "log", "show"]).stdout)["leaves"]
        [leaf] = [leaf for leaf in leaves if leaf["event"] == "ceremony"]
        self.assertEqual(leaf["fields"]["transcript_sha256"], cases.hashlib.sha256(text.encode()).hexdigest())
        self.assertEqual(leaf["fields"]["exceptions"], 0)
        self.assertEqual(leaf["origin"], "reported")
        self.assertLess(int(words["size"]), len(leaves) + 1)
        done = self.ceremony("verify", own / "transcript.txt")
        self.assertIn(f"leaf {leaf['index']}", done.stdout)
        self.assertIn("signed by  officer-1", done.stdout)

    def test_names_stand_in_an_erasable_file_alone(self):
        self.run_small()
        own = self.own()
        for path in own.iterdir():
            if path.name != "names.json":
                self.assertNotIn(b"Officer Two", path.read_bytes(), path)
        shown = self.ceremony("show", "--with-names").stdout
        self.assertIn("Officer Two", shown)
        self.assertIn("COPY WITH NAMES", shown)
        (own / "names.json").unlink()
        self.assertIn("name erased", self.ceremony("show", "--with-names").stdout)
        self.ceremony("verify", own / "transcript.txt")

    def test_the_html_page_needs_nothing_else_and_escapes_what_it_shows(self):
        self.run_small()
        page = (self.own() / "transcript.html").read_text()
        for word in ("http:", "https:", "=\"//", "<script", "<link", "@import", "url(", "<b>at any", "<img", "<iframe"):
            self.assertNotIn(word, page)
        self.assertIn("&lt;b&gt;at any time", page)
        self.assertIn("<svg", page)
        self.assertIn("DEVELOPMENT", page)
        tags = []

        class Tags(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                if tag not in ("meta", "path", "rect", "br"):
                    tags.append(tag)
                for name, _ in attributes:
                    assert name not in ("src", "href", "onload", "onclick"), name

            def handle_endtag(self, tag):
                if tag not in ("meta", "path", "rect", "br"):
                    assert tags.pop() == tag, tag

        Tags().feed(page)
        self.assertEqual(tags, [])

    @unittest.skipUnless(shutil.which("chromium") and shutil.which("pdftotext"), "no chromium or pdftotext here")
    def test_the_page_prints_with_its_banner_on_every_page(self):
        self.run_small()
        pdf = self.folder / "t.pdf"
        subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        f"--user-data-dir={self.folder / 'profile'}", f"--print-to-pdf={pdf}", "--no-pdf-header-footer",
                        f"file://{self.own() / 'transcript.html'}"], check=True, capture_output=True, timeout=120)
        pages = subprocess.run(["pdftotext", pdf, "-"], check=True, capture_output=True, text=True).stdout.split("\f")[:-1]
        self.assertGreater(len(pages), 1)
        for page in pages:
            self.assertIn("DEVELOPMENT", page)

    # --- cuts ---------------------------------------------------------------------------------------------------------

    def test_cut_off_at_every_point_of_every_step_it_goes_on_where_it_was(self):
        source = pathlib.Path(__file__).resolve().parents[2]
        names = [name for name in cut_names(source) if name.startswith(("ceremony.", "front.ceremony."))]
        self.assertGreater(len(names), 8)
        script, answers = self.write("small.toml", SCRIPT), self.write("answers.toml", ANSWERS)
        trace = self.folder / "trace"
        self.ceremony("run", script, "--answers", answers, hooks={"KEYFERRY_CUT_TRACE": str(trace)})
        passed = [line.split()[0] for line in trace.read_text().splitlines() if line.split()[0] in names]
        self.assertEqual(sorted(set(names) - set(passed)), [])
        whole = [leaf["event"] for leaf in self.leaves()]
        # Each passage in its order; of the two places of one line of the journal, the earlier one every fifth time.
        seen, pending = {}, []
        for name in passed:
            seen[name] = seen.get(name, 0) + 1
            if name != "ceremony.journal.written" or seen[name] % 5 == 0:
                pending.append((name, seen[name]))
        self.assertGreater(len(pending), 40)
        for _ in range(10):  # most are cut in the first round, one after another: what is given again is cut again
            for path in (self.home, f"{self.home}-hsm", f"{self.home}-ceremony"):
                shutil.rmtree(path)
            self.key.unlink()
            name, n = pending.pop(0)
            done = self.ceremony("run", script, "--answers", answers, hooks={"KEYFERRY_CUT": f"{name}:{n}"}, expect=KILLED)
            while done.returncode == KILLED:
                command = ["resume"] if self.begun() else ["run", script]
                hooks = {"KEYFERRY_CUT": pending[0][0]} if pending else {}
                done = self.ceremony(*command, "--answers", answers, hooks=hooks, expect={0, KILLED})
                if done.returncode == KILLED:
                    pending.pop(0)
            self.assertEqual([leaf["event"] for leaf in self.leaves()], whole)
            self.ceremony("verify", self.own() / "transcript.txt")
            self.assertEqual([one["finished"] for one in self.status()], [True])
            if not pending:
                break
        self.assertEqual(pending, [])

    def begun(self):
        folder = pathlib.Path(f"{self.home}-ceremony")
        return any(b"\n" in journal.read_bytes() for journal in folder.glob("*/journal.jsonl")) if folder.is_dir() else False

    def leaves(self):
        return json.loads(self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "log", "show"]).stdout)["leaves"]

    def test_a_command_whose_ceremony_is_killed_ends_too_and_is_checked_before_it_is_given_again(self):
        script, answers = self.write("small.toml", SCRIPT), self.write("answers.toml", ANSWERS)
        self.ceremony("run", script, "--answers", answers, hooks={"KEYFERRY_CUT": "ceremony.engine.given:2"}, expect=KILLED)
        done = self.ceremony("resume", "--answers", answers)
        self.assertIn("was it carried out?", done.stderr)
        self.assertIn("found done", (self.own() / "transcript.txt").read_text())

    # --- what went otherwise ------------------------------------------------------------------------------------------

    def test_a_failed_command_stops_the_run_and_resume_tries_it_again(self):
        done = self.run_failing(FAILING_ANSWERS, expect=1)
        self.assertIn("the answers have no [exceptions.nothing-there]", done.stderr)
        self.assertEqual(self.status()[0]["finished"], False)
        self.assertEqual(self.status()[0]["step"], 1)
        self.assert_clear(self.run_failing(FAILING_ANSWERS, expect=None), "is not finished", "ceremony resume")

    def test_exceptions_are_on_the_cover_with_two_initials(self):
        self.run_failing(FAILING_ANSWERS + '[exceptions.nothing-there]\nreason = "the log comes later"\n'
                         '[exceptions.look]\nreason = "the seal was cut by customs"\n')
        own = self.own()
        first_page = (own / "transcript.txt").read_text().split("\f")[0]
        self.assertIn("exceptions   2", first_page)
        self.assertIn("the command ended with status 3", first_page.replace("status 1", "status 3"))
        self.assertIn("the log comes later", first_page)
        self.assertIn("officer-1 did not confirm it", first_page)
        self.assertIn("initials: officer-1 OO, witness-1 WO", first_page)
        page = (own / "transcript.html").read_text()
        self.assertLess(page.index("the log comes later"), page.index("<h2>People"))

    # --- hostile and wrong input --------------------------------------------------------------------------------------

    def test_an_edited_journal_is_refused_and_named(self):
        self.run_failing(FAILING_ANSWERS, expect=1)
        journal = self.own() / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        for octets, line in ((journal.read_bytes().replace(b'"OT"', b'"XX"'), "line 3"),
                             (b"".join(lines[:2] + lines[3:]), "line 3"),
                             (b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]), "line 3"),
                             (b"x" + journal.read_bytes(), "line 1"),
                             (flipped(journal.read_bytes(), len(lines[0]) + 20), "line 2")):
            with changed(journal, octets):
                self.assert_clear(self.ceremony("resume", "--answers", self.folder / "answers.toml", expect=None), "was edited", line)
        with changed(journal, journal.read_bytes() + b'{"hash":"half a li'):  # a cut append is no edit
            self.ceremony("resume", "--answers", self.folder / "answers.toml", expect=1)

    def test_an_edited_transcript_statement_or_page_is_noticed(self):
        self.run_small()
        own = self.own()
        for name, at in (("transcript.txt", 400), ("transcript.html", 900), ("signed-by-officer-1.kf", 150)):
            with changed(own / name, flipped((own / name).read_bytes(), at)):
                done = self.ceremony("verify", own / "transcript.txt", expect=1)
                self.assertIn("WRONG", done.stdout)

    def test_answers_fit_their_script_exactly(self):
        script = self.write("small.toml", SCRIPT)
        for old, new, said in (('room = "B12"', "", '"room" is missing'),
                               ('room = "B12"', 'room = "12"', "does not match"),
                               ('room = "B12"', 'room = "B12"\nfloor = "1"', '"floor" is unknown'),
                               ("words = true", "", '"words" is missing'),
                               ("[command.ca]", "[command.cb]", "has no such command"),
                               ("[people.witness-1]", "[people.witness-2]", "no such person"),
                               ("[sign.officer-1]", "[sign.officer-2]", "signs nothing")):
            answers = self.write("wrong.toml", ANSWERS.replace(old, new))
            done = self.ceremony("run", script, "--answers", answers, expect=None)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertFalse(pathlib.Path(f"{self.home}-ceremony").exists())

    def test_a_key_that_nobody_was_enrolled_with_does_not_sign(self):
        self.run_small()
        (self.folder / "other").mkdir()
        self.home, other = self.folder / "other" / "home", self.home
        self.key = self.folder / "stranger.pem"
        self.run_small()
        self.home = other
        done = self.ceremony("sign", "--person", "witness-1", "--officer-key", self.key,
                             secret_fds=[("--officer-passphrase-fd", "officer-passphrase")], expect=None)
        self.assert_clear(done, "belongs to nobody", "sign on paper")

    # --- rehearsal ----------------------------------------------------------------------------------------------------

    def rehearse(self, script, answers, **options):
        return self.ceremony("run", script, "--rehearsal", self.folder / "rehearsal", "--answers", answers, home=False, **options)

    def test_a_rehearsal_is_marked_and_its_record_opens_the_real_run(self):
        text = SCRIPT.replace('environment = "development"', 'environment = "production"')
        text = text.replace('kind = "sign"\nwho = ["officer-1", "witness-1"]', 'kind = "sign"\nwho = ["officer-1"]')
        script, answers = self.write("real.toml", text), self.write("answers.toml", ANSWERS)
        self.rehearse(script, answers)
        own = self.own(home=self.folder / "rehearsal" / "appliance")
        transcript = (own / "transcript.txt").read_text()
        for page in transcript.split("\f"):
            self.assertIn("*** REHEARSAL ***", page.splitlines()[0])
        self.assertIn('<div class="mark" aria-hidden="true">REHEARSAL</div>', (own / "transcript.html").read_text())
        record = own / "rehearsal.record"
        refused, status = self.at_terminal(["ceremony", "run", script], {})
        self.assertEqual(status, 1)
        self.assertIn("was never rehearsed", refused)
        self.assertIn("attended by people", self.ceremony("run", script, "--answers", answers, "--rehearsed", record, expect=1).stderr)
        other = self.write("other.toml", text.replace("A small ceremony", "Another one"))
        self.assert_clear(self.ceremony("run", other, "--rehearsed", record, expect=None), "is of another script")
        damaged = self.folder / "damaged.record"
        damaged.write_bytes(flipped(record.read_bytes(), 100))
        self.assertEqual(self.ceremony("run", script, "--rehearsed", damaged, expect=None).returncode, 1)
        unsigned = self.folder / "unsigned.record"
        unsigned.write_bytes(bytes([8, 1]))
        self.assert_clear(self.ceremony("run", script, "--rehearsed", unsigned, expect=None), "was not signed by officer-1")
        piped = self.ceremony("run", script, "--rehearsed", record, expect=None)
        self.assert_clear(piped, "at a terminal")
        # With the record and people it begins; here somebody ends the input at the first question.
        said, status = self.at_terminal(["ceremony", "run", script, "--rehearsed", record], {"name of officer-1": "\x04"})
        self.assertEqual(status, 2, said)
        self.assertIn("who is here (production)", said)
        self.assertIn("the input ended", said)
        self.assertIn(cases.hashlib.sha256(record.read_bytes()).hexdigest(), (self.own() / "journal.jsonl").read_text())

    def test_a_rehearsal_is_never_on_an_appliance_of_another_environment(self):
        script, answers = self.write("small.toml", SCRIPT), self.write("answers.toml", ANSWERS)
        self.home = self.folder / "rehearsal" / "appliance"
        self.run_small()
        self.assert_clear(self.rehearse(script, answers, expect=None), "not one to rehearse on", "another folder")

    # --- people at a terminal -----------------------------------------------------------------------------------------

    def test_people_are_led_through_at_a_terminal_and_a_wrong_answer_is_asked_for_again(self):
        script = self.write("failing.toml", FAILING)
        typed = {"name of officer-1": "Officer One", "initials of officer-1": "OO", "name of officer-2": "Officer Two",
                 "initials of officer-2": "OO|OT", "name of witness-1": "Wit\x1b[31mness|Witness", "initials of witness-1": "WO",
                 "repeat, exception": "what|repeat|exception", "what happened": "no log yet",
                 "which officer initials": "officer-2", "is it so?": "maybe|yes", "key file or": ""}
        said, status = self.at_terminal(["ceremony", "run", script], typed)
        self.assertEqual(status, 0, said)
        self.assertIn("somebody else has these initials", said)
        self.assertIn("type repeat, exception or stop", said)
        self.assertIn("type yes or no", said)
        self.assertNotIn("\x1b", said)  # NO_COLOR
        text = (self.own() / "transcript.txt").read_text()
        self.assertIn("initials: officer-2 OT, witness-1 WO", text)

    def at_terminal(self, arguments, typed):
        """Answers each question by the words it has; `a|b`: one after another, the last again and again."""
        queues = {question: answers.split("|") for question, answers in typed.items()}

        def answer(question, _):
            for words, queue in queues.items():
                if words in question:
                    return queue.pop(0) if len(queue) > 1 else queue[0]
            return None

        said, status, _ = at_terminal([self.ferry.programs / "keyferry-appliance", "--home", self.home, *arguments], answer)
        return said, status

    # --- on another machine -------------------------------------------------------------------------------------------

    def audit(self, *arguments, **options):
        return self.ferry.run(["keyferry-audit", *arguments], **options)

    def test_the_audit_tool_shows_the_same_digest_and_words_as_the_appliance(self):
        self.run_small()
        own = self.own()
        shown = json.loads(self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "ceremony", "status",
                                           "--ceremony", own.name]).stdout)
        said = self.audit("transcript", own / "transcript.txt").stdout
        self.assertIn(shown["transcript_sha256"], said)
        self.assertIn(shown["words"], said)
        [plan] = (self.home / "plans").glob("*.toml")
        theirs = json.loads(self.ferry.run(["keyferry-appliance", "--home", self.home, "--json", "plan", "show", plan]).stdout)
        ours = json.loads(self.audit("--json", "plan", "show", plan).stdout)
        self.assertEqual(ours["sha256"], theirs["digest"])
        self.assertEqual(ours["words"], theirs["words"])
        self.assertEqual(ours["fields"]["operation"], '"ca-create"')
        self.assertIn(ours["words"], self.audit("plan", "show", plan).stdout)

    def test_the_audit_tool_says_clearly_what_is_no_plan(self):
        binary = self.folder / "binary"
        binary.write_bytes(os.urandom(2000))
        huge = self.folder / "huge"
        huge.write_bytes(b"#" * 100000)
        for path, status in ((binary, 2), (huge, 3), (self.folder / "absent", 3), (self.folder, 3)):
            done = self.audit("plan", "show", path, expect=None)
            self.assert_clear(done, str(path), status=status)

    # --- paper --------------------------------------------------------------------------------------------------------

    def test_a_script_is_printed_with_boxes_for_everybody(self):
        script = self.write("small.toml", SCRIPT)
        text = self.ceremony("print", script, home=False).stdout
        self.assertEqual(text.count("] initials of "), 12)
        self.assertIn("in a rehearsal also: --insecure-allow", text)
        page = self.ceremony("print", script, "--html", home=False).stdout
        self.assertIn('<table class="boxes">', page)
        self.assertNotIn("//", page)


if __name__ == "__main__":
    cases.main()
