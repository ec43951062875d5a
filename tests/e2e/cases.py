"""What the end-to-end tests share: a ferry per class, its states put aside and back, the two databases compared.

Each file is started as `python3 NAME.py BIN-DIR [unittest's arguments]`; exit 77 = all of it was skipped.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from ferry import Ferry

# What a refusal may add to: the appliance's log and the station's notes. A checkpoint that the appliance signed is
# remembered from whatever token it came on: it can only help to notice a rollback.
APPLIANCE_NOTES = {"log_block", "checkpoint", "incident"}
STATION_NOTES = {"refusal", "incident", "appliance_checkpoint"}
CRASH_WORDS = ("terminate", "std::", "what():", "core dumped", "Segmentation", "this is a bug", "assert", "CKR_GENERAL")

programs = None


def main():
    global programs
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1]).is_dir():
        sys.exit(f"usage: {sys.argv[0]} BIN-DIR [unittest's arguments]")
    # A test file's `import cases` and its __main__ share this module.
    programs = pathlib.Path(sys.argv.pop(1)).resolve()
    done = unittest.main(module="__main__", exit=False, verbosity=2)
    result = done.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) >= result.testsRun else 0)


def tool(*arguments):
    """e2e_tool's JSON, or nothing."""
    done = subprocess.run([programs.parent / "test-bin" / "e2e_tool", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"e2e_tool {arguments[0]}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def rows(database, query, *values):
    """Rows of a query; the database is not changed."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def edit(database, statement, *values):
    """What nobody but an attacker does: the database behind the program's back."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement, values).rowcount


def dump(database, without=()):
    """{table: hash of all its rows}."""
    tables = [name for (name,) in rows(database, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {table: hashlib.sha256(repr(sorted(map(repr, rows(database, f'SELECT * FROM "{table}"')))).encode()).hexdigest()
            for table in tables if table not in without}


def flipped(octets, at, bit=0):
    octets = bytearray(octets)
    octets[at] ^= 1 << bit
    return bytes(octets)


@contextlib.contextmanager
def changed(path, octets):
    """The file is something else for a while. None: it is not there."""
    before = path.read_bytes()
    path.unlink()
    if octets is not None:
        path.write_bytes(octets)
    try:
        yield
    finally:
        if path.is_symlink() or path.exists():
            path.unlink()
        path.write_bytes(before)


class FerryCase(unittest.TestCase):
    """One ferry for the class. Tests begin at the state `at` was given, whatever the last one did."""

    maxDiff = 2000

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="kf-e2e-")
        cls.addClassCleanup(cls._folder.cleanup)
        cls.root = pathlib.Path(cls._folder.name)
        cls.ferry = Ferry(cls.root / "ferry", programs)
        cls.prepare()

    @classmethod
    def prepare(cls):
        """The state that tests begin at."""

    @classmethod
    def put_aside(cls, name):
        shutil.copytree(cls.ferry.folder, cls.root / name, symlinks=True)

    @classmethod
    def put_back(cls, name):
        shutil.rmtree(cls.ferry.folder)
        shutil.copytree(cls.root / name, cls.ferry.folder, symlinks=True)

    # --- the two states -----------------------------------------------------------------------------------------------

    @property
    def ledger(self):
        return self.ferry.home / "ledger.db"

    @property
    def store(self):
        return self.ferry.station_home / "station.db"

    def states(self, notes=True):
        """Both sides; without `notes` only what a refusal must not change."""
        return (dump(self.ledger, () if notes else APPLIANCE_NOTES), dump(self.store, () if notes else STATION_NOTES))

    def log(self):
        return self.ferry.appliance("log", "show").stdout

    def refusals(self):
        """How often the station refused something."""
        return self.ferry.station_json("status")["refusals"]

    # --- what a refusal looks like --------------------------------------------------------------------------------------

    def assert_clear(self, done, *words, status=1):
        """A sentence for a person, with these words in it, and the exit status that says no."""
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, status, said)
        for word in CRASH_WORDS:
            self.assertNotIn(word, said)
        for word in words:
            self.assertIn(word, said)
        self.assertTrue(said.isprintable() or all(c.isprintable() or c in "\n\t" for c in said), repr(said))


def openssl(*arguments, octets=b"", expect=0):
    done = subprocess.run(["openssl", *map(str, arguments)], input=octets, capture_output=True)
    if expect is not None and done.returncode != expect:
        raise AssertionError(f"openssl {arguments[0]}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def unwrapped(blob, key):
    """RFC 5649 by OpenSSL's own code; nothing when it does not open."""
    out = subprocess.run(["openssl", "enc", "-d", "-id-aes256-wrap-pad", "-K", key.hex(), "-iv", "A65959A6"],
                         input=blob, capture_output=True)
    return out.stdout if out.returncode == 0 else None


def der_length(octets):
    """Length of the DER value that `octets` begin with, its head included."""
    if octets[1] < 0x80:
        return 2 + octets[1]
    size = octets[1] & 0x7F
    return 2 + size + int.from_bytes(octets[2:2 + size], "big")


def scalar_of(pkcs8):
    """The private key of a P-256 PKCS#8: what the INTEGER 1 of ECPrivateKey (RFC 5915) is followed by."""
    at = pkcs8.index(bytes.fromhex("0201010420"))
    return pkcs8[at + 5:at + 37]
