"""Drives the real programs from a test: one appliance, one station, SoftHSM stores as SEs, folders as tokens.

Nothing here knows a secret of the product: PINs and the passphrase are the test's own, in files of mode 0600, and reach
the programs by pin-source=file: or an inherited descriptor, as a person would do it.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess

KILLED = -9
PIN_CUTS = re.compile(r"(gate|worker|front)\.pin-(shares|change)\.")  # pin_shares_cut_test.py
# Walked by backup_cut_test.py: an appliance with shares is another ferry than the crash test's.
BACKUP_CUTS = re.compile(r"(gate\.(shares|backup|restore|adopt)|front\.(backup|restore|adopt)|worker\.(backup-key|restore))\.")
CEREMONY_CUTS = re.compile(r"(front\.)?ceremony\.")  # ceremony_test.py
# Walked by prepare_test.py: the secure room stands before the ferry.
PREPARE_CUTS = re.compile(r"(prepare\.|(gate|front)\.se-order\.)")
# station_crash_test, and prepare_test.py: what only a batch for chips comes past
CHIP_CUTS = re.compile(r"(atecc608\.|worker\.record\.built$)")
CA_CUTS = re.compile(r"front\.ca-request\.")  # certificates_test.py
DEVICE_CUTS = re.compile(r"front\.device-ends\.")  # device_ends_test.py
EVIDENCE_CUTS = re.compile(r"bundle\.")  # evidence_test.py
# Walked by ends_test.py: what ends is no part of the crash test's ferry.
ENDS_CUTS = re.compile(r"((gate|front)\.ends|station\.revocations-\w+)")
# Walked by outside_ca_test.py: a batch under an outside CA is another ferry.
OUTSIDE_CUTS = re.compile(r"(worker\.(waiting|certified)\.|front\.(requests|waiting|certify)\.|front\.certificates\.(before-commit|taken))")


class Failed(Exception):
    """A command ended otherwise than the test expected."""


class Ferry:
    def __init__(self, folder, programs, hooks=None):
        self.folder = pathlib.Path(folder)
        self.programs = pathlib.Path(programs)
        self.hooks = dict(hooks or {})  # environment of every command, e.g. KEYFERRY_CUT
        self.home = self.folder / "appliance"
        self.station_home = self.folder / "station"
        self.token = self.folder / "token"
        self.inventory = self.folder / "inventory.csv"
        self.lanes = self.folder / "lanes.toml"
        self.chips = self.folder / "se"
        self.secrets = self.folder / "secrets"
        self.plan_file = self.folder / "plan.toml"
        self.secrets.mkdir(parents=True, exist_ok=True)
        self.token.mkdir(exist_ok=True)
        for name in ("hsm-pin", "officer-passphrase", "station-pin"):
            path = self.secrets / name
            if not path.exists():
                path.write_text(os.urandom(12).hex() + "\n")
                path.chmod(0o600)

    # --- running programs ---------------------------------------------------------------------------------------------

    def run(self, arguments, secret_fds=(), expect=0, timeout=300, keep_fds=()):
        """Runs a program; `secret_fds`: (option, secret's name). `expect`: exit status, a set of them, or None for any."""
        opened = []
        command = [str(self.programs / arguments[0])] + [str(a) for a in arguments[1:]]
        for option, name in secret_fds:
            fd = os.open(self.secrets / name, os.O_RDONLY)
            opened.append(fd)
            command += [option, str(fd)]
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.folder / "no-such-conf"), **self.hooks}
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                                  pass_fds=[*opened, *keep_fds], env=environment)
        finally:
            for fd in [*opened, *keep_fds]:
                os.close(fd)
        expected = expect if isinstance(expect, (set, type(None))) else {expect}
        if expected is not None and done.returncode not in expected:
            raise Failed(f"{' '.join(command)}\nexit {done.returncode}, expected {expected}\n{done.stdout}\n{done.stderr}")
        return done

    def appliance(self, *arguments, **options):
        return self.run(["keyferry-appliance", "--home", self.home, *arguments], **options)

    def officer(self, *arguments, **options):
        return self.appliance(*arguments, secret_fds=[("--officer-passphrase-fd", "officer-passphrase")], **options)

    def station(self, *arguments, **options):
        words = [a for a in arguments if a != "--json"]
        needs_pin = words[0] in ("init", "enroll", "load", "unload")
        return self.run(["keyferry-station", "--home", self.station_home, *arguments],
                        secret_fds=[("--pin-fd", "station-pin")] if needs_pin else [], **options)

    def appliance_json(self, *arguments, **options):
        return json.loads(self.appliance("--json", *arguments, **options).stdout)

    def station_json(self, *arguments, **options):
        return json.loads(self.station("--json", *arguments, **options).stdout)

    # --- the steps of the main job ----------------------------------------------------------------------------------

    def init(self, *more):
        return self.officer("--json", "init", "--name", "test", "--pin-file", self.secrets / "hsm-pin", "--officer-name", "Test Officer",
                            "--officer-key", self.folder / "officer.pem",
                            "--insecure-allow", "network,swap,memlock", *more)

    def init_and_note_words(self):
        done = json.loads(self.init().stdout)
        self.appliance_words = done["fingerprint"]
        return done

    def set_up(self, chips, lanes=2, part="P1", lot="L1"):
        """Everything before the first batch: appliance, CA, master, SEs, inventory, station."""
        self.init_and_note_words()
        self.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        self.officer("transport-master", "create", "m")
        self.officer("source", "add", "room")
        self.make_chips(chips, lanes, part, lot)
        self.officer("se", "import", self.inventory, "--source", "room")
        self.enroll()

    def make_chips(self, count, lanes=2, part="P1", lot="L1"):
        settings = self.gate_settings()
        return self.run(["keyferry-vse", "pkcs11", "make", "--count", count, "--dir", self.chips, "--inventory",
                         self.inventory, "--lanes", self.lanes, "--master", "m", "--gate-settings", settings,
                         "--part", part, "--lot", lot, "--device-serial-prefix", "DEV-", "--lane-count", lanes])

    def fake_inventory(self, path, count, first=0, lot="L1"):
        return self.run(["keyferry-vse", "pkcs11", "inventory-only", "--count", count, "--inventory", path, "--master", "m",
                         "--part", "P1", "--lot", lot, "--device-serial-prefix", f"{lot}-", "--first", first])

    def gate_settings(self):
        return self.folder / "appliance-hsm" / "gate.toml"

    def enroll(self, token=None):
        token = token or self.token
        self.station("init", "--name", "line-1", "--site", "site-1")
        words = self.station_json("enroll", "--to", token)["fingerprint"]
        self.officer("station", "enroll", token, "--fingerprint", words)
        self.station("enroll", "--from", token, "--fingerprint", self.appliance_words)

    def new_plan(self, count, segment_size=4, path=None, lot="L1", **more):
        path = path or self.plan_file
        extra = [str(x) for key, value in more.items() for x in (f"--{key.replace('_', '-')}", value)]
        self.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", count, "--segment-size", segment_size,
                       "--lot", lot, "--out", path, *extra)
        return path

    def approve(self, path=None, **options):
        return self.officer("plan", "approve", path or self.plan_file, **options)

    def run_plan(self, path=None, **options):
        return self.officer("--json", "plan", "run", path or self.plan_file, **options)

    def batch(self, count, segment_size=4, path=None, lot="L1", **more):
        """Plan, approval, run: the batch id in hex."""
        path = self.new_plan(count, segment_size, path, lot, **more)
        self.approve(path)
        return json.loads(self.run_plan(path).stdout)["batch"]

    def export(self, batch, token=None, **options):
        return self.appliance("batch", "export", batch, "--to", token or self.token, **options)

    def load(self, token=None, **options):
        return self.station("load", token or self.token, **options)

    def run_lanes(self, **options):
        return self.station("run", "--lanes", self.lanes, **options)

    def unload(self, token=None, **options):
        return self.station("unload", "--to", token or self.token, **options)

    def receipts(self, token=None, **options):
        return self.appliance("receipts", "import", token or self.token, **options)

    def reconcile(self, batch=None, expect=0):
        return self.appliance_json("reconcile", *([batch] if batch else []), expect=expect)

    # --- reading the token ------------------------------------------------------------------------------------------

    def batch_folder(self, batch, token=None):
        return (token or self.token) / "keyferry" / "batch" / batch

    def receipt_files(self, token=None):
        return sorted(((token or self.token) / "keyferry" / "receipts").glob("*.kf"))


def sums_agree(batch):
    parts = ("injected", "quarantined", "returned", "never_left", "revoked", "outstanding")
    return batch["issued"] == sum(batch[part] for part in parts)


def fresh(folder):
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def cut_names(source):
    """Every KF_CUT name of the product's sources."""
    names = {}
    for top in ("wrap", "token", "appliance", "station-agent"):
        for path in sorted((pathlib.Path(source) / top).rglob("*.cpp")) + sorted((pathlib.Path(source) / top).rglob("*.h")):
            if path.name in ("cut.h", "cut.cpp"):
                continue
            for name in re.findall(r'KF_CUT\("([^"]+)"\)', path.read_text()):
                names[name] = str(path)
    return names
