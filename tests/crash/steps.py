"""The ferry as a list of steps, one product command each, so that a crash can hit any of them.

A case copies the folder as it was before a step back to the same path (settings hold absolute paths), runs the step
with a cut or a kill, gives the same command again and goes on to the end.
"""
import copy
import csv
import dataclasses
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time
from typing import Callable

from ferry import Failed, Ferry

CHIPS = 4
SEGMENT_SIZE = 2
# What each chip ends as: the third is registered with a wrong part number, so it refuses its blob; the last one stays
# in the box. A cut must not change any of that.
FATES = ("injected", "injected", "quarantined", "returned")


@dataclasses.dataclass(frozen=True)
class Step:
    name: str
    command: Callable  # of the ferry: runs one program
    keep: Callable = None  # of ferry and finished command: what later steps need of its answer
    expect: int = 0
    product: bool = True  # False: a tool of the tests, not cut


def stat_of(pid):
    """(state, session) of a process; nothing when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[3])


def processes_of(session):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        stat = stat_of(name)
        if stat and stat[1] == session and stat[0] not in "ZX":
            found.append(int(name))
    return sorted(found)


def program_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def kill_one(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def passages(trace):
    """How often each cut point was passed, at most, by any one process (a cut counts for each process)."""
    counts = {}
    if trace.exists():
        for line in trace.read_text().splitlines():
            name, _, pid = line.partition(" ")
            counts.setdefault(name, {}).setdefault(pid, 0)
            counts[name][pid] += 1
    return {name: max(by_pid.values()) for name, by_pid in counts.items()}


class CrashFerry(Ferry):
    """A ferry whose commands may be killed: nobody waits for what a dead front end leaves behind."""

    def __init__(self, folder, programs, patience_s):
        super().__init__(folder, programs)
        self.notes = {}
        self.any_exit = False
        self.killer = None  # called with the front end's process while it runs
        self.patience_s = patience_s
        self.sessions = []
        self.outputs = self.folder.parent / "output"
        self.outputs.mkdir(exist_ok=True)
        self.last = ""

    def run(self, arguments, secret_fds=(), expect=0, timeout=None):
        opened = []
        command = [str(self.programs / arguments[0])] + [str(a) for a in arguments[1:]]
        for option, name in secret_fds:
            fd = os.open(self.secrets / name, os.O_RDONLY)
            opened.append(fd)
            command += [option, str(fd)]
        environment = dict(os.environ, SOFTHSM2_CONF=str(self.folder / "no-such-conf"), **self.hooks)
        with open(self.outputs / "out", "w+") as out, open(self.outputs / "err", "w+") as err:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, pass_fds=opened,
                                       env=environment, start_new_session=True)
            for fd in opened:
                os.close(fd)
            self.sessions.append(process.pid)
            try:
                if self.killer:
                    self.killer(process)
                process.wait(timeout=self.patience_s)
            except subprocess.TimeoutExpired:
                left = [f"{pid} {program_of(pid)}" for pid in processes_of(process.pid)]
                self.end_sessions()
                process.wait()
                raise Failed(f"{' '.join(command)}\nhangs: no end after {self.patience_s} s; alive: {left}") from None
            out.seek(0)
            err.seek(0)
            done = subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())
        self.last = f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
        if not self.any_exit and expect is not None and done.returncode != expect:
            raise Failed(f"expected exit {expect}: {self.last}")
        return done

    def wait_for_quiet(self):
        """Whatever was started has to end by itself when its front end is gone."""
        end = time.monotonic() + self.patience_s
        for session in self.sessions:
            for pid in processes_of(session):
                try:
                    watched = os.pidfd_open(pid)
                except ProcessLookupError:
                    continue
                readable, _, _ = select.select([watched], [], [], max(0, end - time.monotonic()))
                os.close(watched)
                if not readable:
                    name = program_of(pid)
                    self.end_sessions()
                    raise Failed(f"process {pid} ({name}) outlives its front end")
        self.sessions.clear()

    def end_sessions(self):
        for session in self.sessions:
            for pid in processes_of(session):
                kill_one(pid)


# --- the steps ----------------------------------------------------------------------------------------------------------


def note(name, key):
    def keep(ferry, done):
        ferry.notes[name] = json.loads(done.stdout)[key]
    return keep


def set_fates(ferry, _done):
    """Makes the third chip refuse its blob and leaves the last one out of the fixtures."""
    with open(ferry.inventory, newline="") as file:
        rows = list(csv.DictReader(file))
    rows[FATES.index("quarantined")]["part_number"] = "OTHER"
    with open(ferry.inventory, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    ferry.notes["serials"] = [row["se_serial"] for row in rows]
    text = re.split(r"(?m)^(?=\[\[lane\.se\]\]|\[\[lane\]\])", ferry.lanes.read_text())
    boxed = f"/se-{FATES.index('returned'):05}/"
    ferry.lanes.write_text("".join(part for part in text if boxed not in part))


VENDOR_KEY = bytes(range(32))
VENDOR_CHECK_VALUE = "377822c09348ad3bcf3f1987bcf89b4a"  # CMAC of a zero block, by OpenSSL


def import_vendor_key(ferry):
    path = ferry.secrets / "vendor-key"
    path.write_text(VENDOR_KEY.hex() + "\n")
    return ferry.run(["keyferry-appliance", "--home", ferry.home, "vendor-key", "import", "acme", "--check-value", VENDOR_CHECK_VALUE],
                     secret_fds=[("--officer-passphrase-fd", "officer-passphrase"), ("--key-fd", "vendor-key")])


def import_delivered(ferry):
    """Two SEs that stay at home: transport keys that a vendor wrapped (RFC 5649)."""
    lines = ["family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data"]
    for number in (1, 2):
        blob = subprocess.run(["openssl", "enc", "-id-aes256-wrap-pad", "-K", VENDOR_KEY.hex(), "-iv", "A65959A6"],
                              input=bytes([number]) * 32, capture_output=True, check=True).stdout
        lines.append(f"pkcs11,{f'{number:016}'.encode().hex()},P1,L9,dac,,delivered:acme,{blob.hex()}")
    path = ferry.folder / "delivered.csv"
    path.write_text("\n".join(lines) + "\n")
    return ferry.officer("se", "import", path, "--source", "room")


def request_card(ferry):
    """A custodian's, so that one officer goes on deciding."""
    return ferry.run(["keyferry-appliance", "--json", "officer", "request", "--officer-key", ferry.folder / "second.pem",
                      "--name", "Second Person", "--role", "custodian", "--out", ferry.folder / "second.card"],
                     secret_fds=[("--officer-passphrase-fd", "officer-passphrase")])


def give_back(ferry):
    batch = ferry.notes["batch"]
    return ferry.station("return", batch, "--confirm", batch)


STEPS = [
    # One worker: a cut at the n-th passing of a point means the same record each time.
    Step("init", lambda f: f.init("--workers", "1"), note("appliance_words", "fingerprint")),
    Step("ca-create", lambda f: f.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")),
    Step("transport-master-create", lambda f: f.officer("transport-master", "create", "m")),
    Step("source-add", lambda f: f.officer("source", "add", "room")),
    Step("officer-request", request_card, note("card_words", "fingerprint")),
    Step("officer-plan", lambda f: f.officer("--plan-out", f.folder / "officer.toml", "officer", "add", f.folder / "second.card",
                                             "--fingerprint", f.notes["card_words"])),
    Step("officer-approve", lambda f: f.approve(f.folder / "officer.toml")),
    Step("officer-run", lambda f: f.run_plan(f.folder / "officer.toml")),
    Step("make-chips", lambda f: f.make_chips(CHIPS, 1), set_fates, product=False),
    Step("se-import", lambda f: f.officer("se", "import", f.inventory, "--source", "room")),
    Step("vendor-key-import", import_vendor_key),
    Step("se-import-delivered", import_delivered),
    Step("station-init", lambda f: f.station("init", "--name", "line-1", "--site", "site-1")),
    Step("station-request", lambda f: f.station("--json", "enroll", "--to", f.token),
         note("station_words", "fingerprint")),
    Step("station-enroll", lambda f: f.officer("station", "enroll", f.token, "--fingerprint", f.notes["station_words"])),
    Step("station-answer",
         lambda f: f.station("enroll", "--from", f.token, "--fingerprint", f.notes["appliance_words"])),
    Step("plan-new", lambda f: f.appliance("plan", "new", "--station", "line-1", "--ca", "ca", "--count", CHIPS,
                                           "--segment-size", SEGMENT_SIZE, "--lot", "L1", "--out", f.plan_file)),
    Step("plan-approve", lambda f: f.approve()),
    Step("plan-run", lambda f: f.run_plan(), note("batch", "batch")),
    Step("batch-export", lambda f: f.export(f.notes["batch"])),
    Step("station-load", lambda f: f.load()),
    Step("station-run", lambda f: f.run_lanes(), expect=1),  # one chip is red
    Step("station-unload", lambda f: f.unload()),
    Step("receipts-import", lambda f: f.receipts()),
    Step("station-return", give_back),
    Step("station-unload-rest", lambda f: f.unload()),
    Step("receipts-import-rest", lambda f: f.receipts()),
]


# --- one place where cases run ----------------------------------------------------------------------------------------


class Bench:
    """A live folder, the copies of it before each step, and the cases run in it."""

    def __init__(self, root, programs, patience_s):
        self.root = pathlib.Path(root)
        self.live = self.root / "live"
        self.trace = self.root / "trace"
        self.live.mkdir(parents=True)
        self.ferry = CrashFerry(self.live, programs, patience_s)
        self.notes = {}  # before each step
        self.traces = []  # of each step, whole: {point: passages by one process}
        self.durations_s = []
        self.at = 0  # the step that is running

    def template(self, index):
        return self.root / "templates" / f"{index:02}"

    def save(self, index):
        shutil.copytree(self.live, self.template(index), symlinks=True)
        self.notes[index] = copy.deepcopy(self.ferry.notes)

    def restore(self, index):
        self.ferry.end_sessions()
        self.ferry.sessions.clear()
        shutil.rmtree(self.live)
        shutil.copytree(self.template(index), self.live, symlinks=True)
        self.ferry.notes = copy.deepcopy(self.notes[index])

    def discover(self):
        """The whole ferry once, undisturbed: which step passes which points, how often, and how long it takes."""
        for index, step in enumerate(STEPS):
            self.save(index)
            begun = time.monotonic()
            self.traces.append(self.whole(step))
            self.durations_s.append(time.monotonic() - begun)

    def whole(self, step):
        """The command, uncut: it has to finish its work. Returns the points that it passed."""
        self.trace.unlink(missing_ok=True)
        self.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(self.trace)}
        self.ferry.killer = None
        self.ferry.any_exit = True
        done = step.command(self.ferry)
        if done.returncode != step.expect:
            raise Failed(f"{step.name}: expected exit {step.expect}: {self.ferry.last}")
        if step.keep:
            step.keep(self.ferry, done)
        return passages(self.trace) if step.product else {}

    def cut(self, step, spec):
        """The command with one cut point armed in all its processes: at least one of them has to die of it."""
        self.trace.unlink(missing_ok=True)
        self.ferry.hooks = {"KEYFERRY_CUT_TRACE": str(self.trace), "KEYFERRY_CUT": spec}
        self.ferry.killer = None
        self.ferry.any_exit = True
        step.command(self.ferry)
        name, _, number = spec.partition(":")
        if passages(self.trace).get(name, 0) < int(number or 1):
            raise Failed(f"{step.name}: nothing was killed at {spec}: the point was not reached. {self.ferry.last}")

    def kill_randomly(self, step, rng, duration_s):
        """SIGKILL for one process of the command's tree at a random moment; which one, or nothing if it had ended."""
        delay_s = rng.uniform(0, duration_s)
        hit = []

        def kill(process):
            try:
                process.wait(timeout=delay_s)
            except subprocess.TimeoutExpired:
                victim = rng.choice(processes_of(process.pid) or [process.pid])
                hit.append(f"{program_of(victim)} after {delay_s * 1000:.0f} ms")
                kill_one(victim)

        self.ferry.hooks = {}
        self.ferry.killer = kill
        self.ferry.any_exit = True
        step.command(self.ferry)
        self.ferry.killer = None
        return hit[0] if hit else None

    def go_on(self, first, disturb, once_more=False):
        """From the template before step `first` to the end. `disturb`: called before a step is run whole.

        Returns the points that each disturbed step passed when its command was given again.
        """
        recovered = {}
        self.restore(first)
        for index in range(first, len(STEPS)):
            step = STEPS[index]
            self.at = index
            disturbed = disturb(index, step)
            points = self.whole(step)
            if disturbed:
                recovered[index] = points
            if disturbed or once_more:
                self.whole(step)  # given once more it changes nothing and says the same
        self.at = len(STEPS)
        self.ferry.hooks = {}
        self.ferry.wait_for_quiet()
        return recovered
