"""An appliance whose HSM is SoftHSM behind the shim (tests/shim/README.md), and what has to hold of its history."""
import base64
import contextlib
import hashlib
import os
import pathlib
import re
import sqlite3
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent / "crash")]

from ferry import Failed, Ferry  # noqa: E402
from invariants import certificate_serial, classes_of, container, leaf_hashes  # noqa: E402

BATCH = 500
SEGMENT_SIZE = 128
SEGMENTS = -(-BATCH // SEGMENT_SIZE)
P256_KEY_INFO = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480, before the point
CRASH_WORDS = ("terminate", "std::", "what():", "core dumped", "Segmentation", "this is a bug", "assert", "(signal 6)", "(signal 11)",
               "(signal 31)")
SOFTHSM_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so")


def need(right, text):
    if not right:
        raise Failed(text)


def softhsm_module():
    named = os.environ.get("KEYFERRY_SOFTHSM_MODULE")
    found = [named] if named else [place for place in SOFTHSM_PLACES if pathlib.Path(place).exists()]
    need(found, "no SoftHSM: KEYFERRY_SOFTHSM_MODULE")
    return found[0]


class Shimmed(Ferry):
    """`script` rules the module of every gate that is started from then on."""

    def __init__(self, folder, programs):
        super().__init__(folder, programs)
        self.hsm = self.folder / "hsm"
        (self.hsm / "tokens").mkdir(parents=True, exist_ok=True)
        self.conf = self.hsm / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.hsm / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
        self.script_file = self.hsm / "script"
        self.script("")

    def script(self, text):
        self.script_file.write_text(text)

    def init(self, expect=0):
        uri = f"pkcs11:token=faults?module-path={self.programs / 'keyferry-p11-shim.so'}"
        variables = {"SOFTHSM2_CONF": self.conf, "KEYFERRY_SHIM_SCRIPT": self.script_file, "KEYFERRY_SHIM_MODULE": softhsm_module()}
        given = [word for name, value in variables.items() for word in ("--hsm-env", f"{name}={value}")]
        return self.officer("--json", "init", "--name", "test", "--hsm", uri, "--hsm-store", self.hsm / "tokens", *given,
                            "--pin-file", self.secrets / "hsm-pin", "--workers", "1", "--officer-name", "Test Officer",
                            "--officer-key", self.folder / "officer.pem", "--insecure-allow", "network,swap,memlock",
                            expect=expect)

    def set_up_factory(self, lots, of=BATCH):
        """CA, master, station, and an inventory of `of` SEs in each lot."""
        self.init_and_note_words()
        self.add_factory(lots, of)

    def add_factory(self, lots, of=BATCH):
        self.officer("ca", "create", "ca", "--subject", "CN=Test CA,O=Test")
        self.officer("transport-master", "create", "m")
        self.officer("source", "add", "room")
        self.import_lots(0, lots, of)
        self.enroll()

    def import_lots(self, first, lots, of=BATCH):
        text = ""
        for lot in range(first, first + lots):
            self.fake_inventory(self.inventory, of, first=lot * of, lot=f"L{lot}")
            lines = self.inventory.read_text()
            text += lines if not text else lines.partition("\n")[2]
        self.inventory.write_text(text)
        self.officer("se", "import", self.inventory, "--source", "room", timeout=600)

    def set_gate(self, workers=1, threads=1, seccomp="strict"):
        text = self.gate_settings().read_text()
        for name, value in (("workers", workers), ("threads_per_worker", threads), ("seccomp", f'"{seccomp}"')):
            text, times = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            need(times == 1, f"gate.toml has no {name}")
        self.gate_settings().write_text(text)


def rows(database, query, *values):
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, values).fetchall()


def certificates_of(folder):
    """{segment index: certificates} of a batch's folder."""
    found = {}
    for path in sorted(folder.glob("*.certs")):
        data, at, certificates = path.read_bytes(), 0, []
        while at < len(data):
            length = struct.unpack_from(">H", data, at)[0]
            certificates.append(data[at + 2:at + 2 + length])
            at += 2 + length
        found[int(re.search(r"\d+", path.name).group())] = certificates
    return found


def point_of(der):
    at = der.index(P256_KEY_INFO) + len(P256_KEY_INFO)
    return der[at:at + 65]


class Frontier:
    """A growing RFC 6962 tree: the hashes of its full subtrees."""

    def __init__(self):
        self.parts = []  # (leaves, hash), largest first

    def append(self, leaf):
        self.parts.append((1, leaf))
        while len(self.parts) > 1 and self.parts[-1][0] == self.parts[-2][0]:
            count, right = self.parts.pop()
            self.parts[-1] = (2 * count, hashlib.sha256(b"\1" + self.parts[-1][1] + right).digest())

    def size(self):
        return sum(count for count, _ in self.parts)

    def root(self):
        root = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            root = hashlib.sha256(b"\1" + left + root).digest()
        return root


class History:
    """Everything that the appliance ever issued, checked batch by batch."""

    def __init__(self, ferry):
        self.ferry = ferry
        self.ledger = ferry.home / "ledger.db"
        self.serials, self.points = set(), set()
        self.frontier = Frontier()
        self.issued_leaves = 0

    def check_batch(self, batch, count=BATCH, segment_size=SEGMENT_SIZE):
        folder = self.ferry.home / "batches" / batch
        self.check_records(batch, folder, count)
        self.check_parts(batch, folder, -(-count // segment_size))
        self.check_log()

    def check_records(self, batch, folder, count):
        """One record for each entry of the list, in its order; the certificate of each is its own; nothing stands twice."""
        records = rows(self.ledger, """
            SELECT record_no, r.public_key, r.certificate_serial, r.certificate_sha256, r.state, r.se_id, e.se_id, s.device_serial
            FROM record AS r JOIN batch AS b USING (batch_id) JOIN se AS s ON s.se_id = r.se_id
            LEFT JOIN se_list_entry AS e ON e.list_id = b.list_id AND e.idx = r.record_no
            WHERE batch_id = ? ORDER BY record_no""", bytes.fromhex(batch))
        certificates = [der for _, some in sorted(certificates_of(folder).items()) for der in some]
        need(len(records) == count and len(certificates) == count, f"{len(records)} records, {len(certificates)} certificates")
        for number, (record_no, point, serial, digest, state, se, listed, device) in enumerate(records):
            der = certificates[number]
            need(record_no == number and state == "issued" and se == listed, f"record {record_no} stands at {number}, {state}")
            need(hashlib.sha256(der).digest() == digest and point_of(der) == point and certificate_serial(der) == serial.lstrip(b"\0"),
                 f"the certificate of record {number} is another one's")
            need(device.encode() in der, f"the certificate of record {number} does not name {device}")
            need(serial not in self.serials, f"serial {serial.hex()} stands in two certificates")
            need(point not in self.points, f"public key {point.hex()} was issued twice")
            self.serials.add(serial)
            self.points.add(point)

    def check_parts(self, batch, folder, segments):
        """One openable container for each segment of the plan, and the manifest."""
        own = bytes.fromhex(batch)
        known = {(1, index): row for index, *row in rows(
            self.ledger, "SELECT idx, container_id, digest FROM segment WHERE batch_id = ? AND state = 'sealed'", own)}
        known |= {(2, 0): list(row) for row in rows(
            self.ledger, "SELECT container_id, digest FROM manifest WHERE batch_id = ? AND state = 'sealed'", own)}
        need(sorted(known) == [(1, i) for i in range(segments)] + [(2, 0)], f"sealed parts: {sorted(known)}")
        seen = {}
        for path in sorted(folder.glob("*.kf")):
            kind, container_id, of_batch, index, digest = container(path)
            need(of_batch == own and (kind, index) not in seen, f"{path}: a second part, or another batch's")
            seen[kind, index] = [container_id, digest]
        need(seen == known, f"{folder} does not hold what the ledger lists")
        left = [path.name for path in folder.iterdir() if path.suffix not in (".kf", ".certs")]
        need(not left, f"left behind: {left}")
        state, = rows(self.ledger, "SELECT state FROM batch WHERE batch_id = ?", own)
        need(state == ("sealed",), f"the batch is {state}")

    def check_log(self):
        """The leaves that came since follow the others, and each checkpoint since is of this log."""
        need(not rows(self.ledger, "SELECT 1 FROM log_block WHERE state = 'pending'"), "pending leaves")
        begun = self.frontier.size()
        roots = dict(rows(self.ledger, "SELECT size, note FROM checkpoint WHERE size > ?", begun))
        for leaf in leaf_hashes(rows(self.ledger, "SELECT leaves FROM log_block WHERE first_index >= ? ORDER BY first_index", begun)):
            self.frontier.append(leaf)
            note = roots.pop(self.frontier.size(), None)
            if note is not None:
                told = re.search(r"\n([A-Za-z0-9+/=]{44})\n", note).group(1)
                need(told == base64.b64encode(self.frontier.root()).decode(), f"the checkpoint at {self.frontier.size()} is of another log")
        need(not roots, f"checkpoints beyond the log: {sorted(roots)}")

    def check_newest_checkpoint(self):
        newest = self.ferry.appliance_json("log", "checkpoint")
        need(newest["size"] == self.frontier.size() and newest["root"] == self.frontier.root().hex(),
             "the newest checkpoint is not of the whole log")

    def check_issued_leaves(self):
        """The log tells of each serial once, and of no serial that is in no certificate."""
        told = [leaf["fields"]["certificate_serial"] for leaf in self.ferry.appliance_json("log", "show", timeout=600)["leaves"]
                if leaf["event"] == "key.issued"]
        need(len(told) == len(set(told)), "a serial stands twice in the log")
        need(set(told) == {serial.hex() for serial in self.serials}, "the log tells of other serials than the certificates")

    def verify_sample(self, batch, every=97):
        """`openssl verify` of some certificates as the product hands them out."""
        file = self.ferry.folder / "certificates.pem"
        file.unlink(missing_ok=True)
        self.ferry.appliance("batch", "certificates", batch, "--to", file)
        pems = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", file.read_text(), re.DOTALL)
        need(len(pems) >= BATCH, f"{len(pems)} certificates in {file}")
        paths = []
        for number in (*range(0, len(pems), every), len(pems) - 1):
            paths.append(self.ferry.folder / f"certificate-{number}.pem")
            paths[-1].write_text(pems[number])
        done = subprocess.run(["openssl", "verify", "-CAfile", self.ferry.home / "ca" / "ca.pem", *paths], capture_output=True, text=True)
        need(done.returncode == 0, f"openssl verify: {done.stdout}{done.stderr}")
