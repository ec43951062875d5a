#!/usr/bin/env python3
"""Shares and components at a real terminal (a pty): shown on a cleared screen, typed back unseen, asked for at a login."""
import os
import pty
import re
import select
import signal
import subprocess
import time

import cases
from cases import FerryCase

CLEAR = "\x1b[2J\x1b[3J\x1b[H"
SHARE_LINE = re.compile(r"line (\d)  ((?:[a-z2-7]{4} ?){5})")
PATIENCE_S = 60


SCREENS = []  # that have not ended


class Screen:
    """A program on a terminal of its own, and what a person saw of it."""

    def __init__(self, arguments, keep_fds=()):
        for fd in keep_fds:
            os.set_inheritable(fd, True)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(arguments[0], arguments)
        SCREENS.append(self)
        self.seen = ""
        self.at = 0  # what stands before was answered

    def until(self, pattern):
        """Waits until `pattern` ends what is shown and has not been answered yet."""
        end = time.monotonic() + PATIENCE_S
        while True:
            match = re.search(pattern + r"$", self.seen[self.at:])
            if match:
                return match
            if time.monotonic() > end or not self.more():
                raise AssertionError(f"no {pattern!r} after:\n{self.seen}")

    def more(self):
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            octets = os.read(self.fd, 65536)
        except OSError:  # the program has ended
            return False
        self.seen += octets.decode(errors="replace").replace("\r", "")
        return bool(octets)

    def send(self, line=""):
        self.at = len(self.seen)
        os.write(self.fd, (line + "\n").encode())

    def end(self):
        while self.more():
            pass
        _, status = os.waitpid(self.pid, 0)
        SCREENS.remove(self)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.end()


def answer_custodian(screen, mistype=False):
    """One custodian: two shares are shown, copied, typed back. The lines of both."""
    screen.until("Enter goes on: ")
    screen.send()
    shares = []
    for _ in range(2):
        screen.until("clears the screen: ")
        page = screen.seen[screen.at:]
        lines = [line.strip() for _, line in SHARE_LINE.findall(page[page.rindex(CLEAR):])]
        assert len(lines) == 8, page
        screen.send()
        for number, line in enumerate(lines, 1):
            screen.until(rf"line {number}: ")
            if mistype and number == 3:
                mistype = False
                screen.send(line[:5] + ("a" if line[5] != "a" else "b") + line[6:])
                screen.until(rf"line {number} was changed.*type it again\nline {number}: ")
            screen.send(line.replace(" ", ""))
        shares.append(lines)
    return shares


def type_share(screen, lines):
    for number, line in enumerate(lines, 1):
        screen.until(rf"line {number}: ")
        screen.send(line)


def cmac_of_zeros(key):
    """A part's check value by OpenSSL's own code: wrap/se/FORMAT.md section 5."""
    done = subprocess.run(["openssl", "mac", "-cipher", "AES-256-CBC", "-macopt", f"hexkey:{key.hex()}", "CMAC"], input=bytes(16),
                          capture_output=True, check=True)
    return done.stdout.decode().strip().lower()


class AtTheTerminal(FerryCase):
    @classmethod
    def prepare(cls):
        screen = cls.start("init", "--name", "test", "--officer-name", "O", "--officer-key", str(cls.ferry.folder / "officer.pem"),
                           "--pin-shares", "2/3", "--insecure-allow", "network,swap,memlock", officer=True)
        cls.custodians = [answer_custodian(screen, mistype=number == 0) for number in range(3)]
        assert screen.end() == 0, screen.seen
        cls.shown = screen.seen

    @classmethod
    def start(cls, *arguments, officer=False):
        more, fds = [], []
        if officer:
            fds.append(os.open(cls.ferry.secrets / "officer-passphrase", os.O_RDONLY))
            more = ["--officer-passphrase-fd", str(fds[0])]
        program = str(cls.ferry.programs / "keyferry-appliance")
        screen = Screen([program, "--home", str(cls.ferry.home), *arguments, *more], fds)
        for fd in fds:
            os.close(fd)
        return screen

    def tearDown(self):
        for screen in list(SCREENS):
            screen.kill()

    def login(self, screen, *custodians):
        for number in custodians:
            screen.until("line 1: ")
            type_share(screen, self.custodians[number][0])

    def test_each_custodian_sees_a_screen_that_was_cleared_and_is_cleared_again(self):
        own = [lines[4] for shares in self.custodians for lines in shares]  # line 1 is the set's, the same for all
        for line in own:
            self.assertEqual(self.shown.count(line), 1, "what is typed back is not shown")
            at = self.shown.index(line)
            screen = self.shown[self.shown.rindex(CLEAR, 0, at):self.shown.index(CLEAR, at)]
            self.assertEqual([other for other in own if other in screen], [line])

    def test_the_hsm_opens_when_two_custodians_have_typed_in_any_order(self):
        screen = self.start("hsm", "inventory")
        self.login(screen, 2, 0)
        self.assertEqual(screen.end(), 0, screen.seen)
        self.assertIn("2 more shares of the user PIN are needed", screen.seen)
        self.assertIn("1 more share of the user PIN is needed", screen.seen)
        for number in (0, 2):
            self.assertNotIn(self.custodians[number][0][4], screen.seen)

    def test_a_share_twice_and_one_of_the_other_pin_are_refused_and_asked_for_again(self):
        screen = self.start("hsm", "inventory")
        self.login(screen, 1, 1)
        screen.until("line 1: ")
        self.assertIn("given twice", screen.seen)
        type_share(screen, self.custodians[0][1])  # of the SO PIN
        screen.until("line 1: ")
        self.assertIn("is not one of the user PIN", screen.seen)
        self.login(screen, 0)
        self.assertEqual(screen.end(), 0, screen.seen)

    def test_a_vendors_key_comes_in_parts_one_custodian_after_the_other(self):
        parts = [bytes(range(32)), bytes(range(100, 132))]
        whole = bytes(a ^ b for a, b in zip(*parts))
        checks = [cmac_of_zeros(part) for part in parts]
        screen = self.start("vendor-key", "import", "acme", "--check-value", cmac_of_zeros(whole), "--component-check-value", checks[0],
                            "--component-check-value", checks[1], officer=True)
        self.login(screen, 2, 1)
        screen.until("part 1: ")
        screen.send(parts[1].hex())
        screen.until("part 1: ")
        self.assertIn(f"part 1 of 2 has check value {checks[1]}, the officers approved {checks[0]}", screen.seen)
        screen.send(parts[0].hex())
        screen.until("part 2: ")
        screen.send(parts[1].hex())
        self.assertEqual(screen.end(), 0, screen.seen)
        for part in parts:
            self.assertNotIn(part.hex(), screen.seen)
        self.assertIn("kf-vendor/acme", screen.seen)

    def test_a_custodian_who_goes_away_leaves_nothing_behind(self):
        screen = self.start("hsm", "inventory")
        self.login(screen, 1)
        screen.until("line 1: ")
        screen.kill()
        again = self.start("hsm", "inventory")
        self.login(again, 0, 1)
        self.assertEqual(again.end(), 0, again.seen)


if __name__ == "__main__":
    cases.main()
