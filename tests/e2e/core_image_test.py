#!/usr/bin/env python3
"""No device private key and no transport key is in the clear outside the HSM and the SE (I1): not in any file of a ferry,
not in a whole core image of front end, gate or station, taken while the HSM signs in the middle of a segment and while
an SE signs. The same search finds the key in the image of the helper that holds the SE's module: it can find.
"""
import base64
import json
import mmap
import os
import pathlib
import shutil
import subprocess
import threading
import unittest

import cases
from cases import FerryCase, scalar_of, tool, unwrapped

WRAPPED = "worker.record.wrapped"  # device key and transport key are objects of the HSM's module
SIGNING = "p11.sign-begun"  # between C_SignInit and C_Sign


def forms(secret):
    """{what it is called: octets}: raw, hex and base64 in each alignment, both byte orders. Parts that depend on what
    stands beside the secret are left out."""
    found = {}
    for order, octets in (("big-endian", secret), ("little-endian", secret[::-1])):
        found[f"{order} raw"] = octets
        found[f"{order} hex"] = octets.hex().encode()
        found[f"{order} HEX"] = octets.hex().upper().encode()
        for shift in range(3):
            begin, end = (0, 2, 3)[shift], (len(octets) + shift) * 8 // 6
            text = base64.b64encode(bytes(shift) + octets)[begin:end]
            found[f"{order} base64+{shift}"] = text
            found[f"{order} base64url+{shift}"] = text.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def finds(path, secrets):
    """[(secret's name, form, offset)] of all that is in the file."""
    if path.stat().st_size == 0:
        return []
    hits = []
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        for name, secret in secrets.items():
            for form, pattern in forms(secret).items():
                at = octets.find(pattern)
                if at >= 0:
                    hits.append((name, form, at))
    return hits


class Hold:
    """A process of `program` waits at `point`, from `with` to the end of it; other programs pass."""

    def __init__(self, folder, point, program):
        self.pipe, self.trace = folder / "hold", folder / "passages"
        os.mkfifo(self.pipe)
        self.point, self.program, self.writer = point, program, None
        self.environment = {"KEYFERRY_HOLD": f"{point}:{self.pipe}", "KEYFERRY_CUT_TRACE": str(self.trace)}

    def __enter__(self):
        while True:
            self.writer = os.open(self.pipe, os.O_WRONLY)  # until a process is there
            here = [process for process in self.passed() if self.holds(process)]
            if here:
                return here[0]
            self.let_go()

    def passed(self):
        lines = [line.split() for line in self.trace.read_text().splitlines()]
        return sorted({int(process) for point, process in lines if point == self.point})

    def holds(self, process):
        """Is it of the program, and waiting in this pipe?"""
        try:
            return program_of(process) == self.program and any(
                os.path.samestat(os.stat(open_file), os.fstat(self.writer)) for open_file in open_files(process))
        except FileNotFoundError:  # it has ended
            return False

    def let_go(self):
        """The name is of a new pipe before the readers of the old one go on: else one may come back to the old one."""
        fresh = self.pipe.with_suffix(".next")
        os.mkfifo(fresh)
        fresh.replace(self.pipe)
        os.close(self.writer)

    def __exit__(self, *_):
        self.pipe.unlink()
        os.close(self.writer)


def open_files(process):
    return [entry for entry in pathlib.Path(f"/proc/{process}/fd").iterdir() if entry.exists()]


def program_of(process):
    return pathlib.Path(os.readlink(f"/proc/{process}/exe")).name


def parent_of(process):
    return int(pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def can_dump():
    return os.geteuid() == 0 and shutil.which("gcore") is not None


@unittest.skipUnless(can_dump(), "needs root and gcore (package gdb)")
class CoreImages(FerryCase):
    CHIPS = 3

    @classmethod
    def prepare(cls):
        ferry = cls.ferry
        cls.images = {}
        ferry.set_up(cls.CHIPS, lanes=1)
        ferry.new_plan(cls.CHIPS, segment_size=4)
        ferry.approve()
        ran = cls.dump_during("made", WRAPPED, ferry.run_plan, "keyferry-hsm-worker", passages=2,
                              programs={"keyferry-hsm-worker", "keyferry-hsm-gate", "keyferry-appliance"})
        cls.batch = json.loads(ran.stdout)["batch"]
        ferry.export(cls.batch)
        ferry.load()
        records = tool("records", ferry.station_home, ferry.secrets / "station-pin",
                       *sorted(ferry.batch_folder(cls.batch).glob("segment-*.kf")))
        cls.dump_during("injected", SIGNING, ferry.run_lanes, "keyferry-lane-p11", passages=1,
                        programs={"keyferry-lane-p11", "keyferry-station"})
        ferry.unload()
        ferry.receipts()
        ferry.reconcile()
        cls.secrets = cls.secrets_of(records)
        cls.known = bytes.fromhex(cls.batch)

    @classmethod
    def secrets_of(cls, records):
        ferry = cls.ferry
        keys = tool("transport-keys", ferry.gate_settings(), ferry.secrets / "hsm-pin", "m", "P1",
                    *[record["se_serial"] for record in records])
        secrets = {}
        for record in records:
            key = bytes.fromhex(keys[record["se_serial"]])
            secrets[f"transport key {record['record_no']}"] = key
            secrets[f"device key {record['record_no']}"] = scalar_of(unwrapped(bytes.fromhex(record["payload"]), key))
        return secrets

    @classmethod
    def dump_during(cls, name, point, command, holder, passages, programs):
        """Runs the command; when `holder` passes the point for the `passages`-th time, it and its parents are imaged."""
        folder = cls.root / name
        folder.mkdir()
        hold = Hold(folder, point, holder)
        problems = []

        def image():
            try:
                for _ in range(passages - 1):
                    hold.__enter__()
                    hold.let_go()
                with hold as process:
                    wanted = {}
                    while process > 1:
                        wanted.setdefault(program_of(process), process)
                        process = parent_of(process)
                    missing = programs - wanted.keys()
                    if missing:
                        raise AssertionError(f"no process above {holder}: {missing}")
                    for program in sorted(programs):
                        path = folder / f"{program}.core"
                        done = subprocess.run(["gcore", "-a", "-o", path, str(wanted[program])], capture_output=True, text=True)
                        if done.returncode != 0:
                            raise AssertionError(f"gcore {program}: {done.stderr}")
                        made = path.with_name(f"{path.name}.{wanted[program]}")
                        cls.images[(name, program)] = made
            except Exception as problem:  # told in the test's own thread
                problems.append(problem)

        thread = threading.Thread(target=image, daemon=True)
        thread.start()
        cls.ferry.hooks = hold.environment
        try:
            done = command(timeout=600)
        finally:
            cls.ferry.hooks = {}
        thread.join(timeout=60)
        if problems:
            raise problems[0]
        return done

    def assert_nothing_in(self, name, program):
        image = self.images[(name, program)]
        self.assertIn(self.known, image.read_bytes(), "the image lacks what the program had in hand")
        hits = finds(image, self.secrets)
        print(f"{program}, {name}: {image.stat().st_size >> 20} MiB, {len(self.secrets)} secrets in "
              f"{len(forms(bytes(32)))} forms: {len(hits)} found")
        self.assertEqual(hits, [])

    def test_the_search_finds_the_key_in_the_image_of_the_lane_helper(self):
        image = self.images[("injected", "keyferry-lane-p11")]
        hits = finds(image, self.secrets)
        print(f"keyferry-lane-p11: {image.stat().st_size >> 20} MiB: {len(hits)} found: {hits}")
        self.assertTrue(any(name.startswith("device key") for name, _, _ in hits), "the positive control failed")

    def test_no_key_is_in_the_image_of_the_station_while_an_se_signs(self):
        self.assert_nothing_in("injected", "keyferry-station")

    def test_no_key_is_in_the_image_of_the_gate_in_the_middle_of_a_segment(self):
        self.assert_nothing_in("made", "keyferry-hsm-gate")

    def test_no_key_is_in_the_image_of_the_front_end_in_the_middle_of_a_segment(self):
        self.assert_nothing_in("made", "keyferry-appliance")

    def test_the_worker_has_no_key_of_a_record_that_is_still_to_come(self):
        """SoftHSM lives in the worker: what is found there is the HSM's own memory, and is told."""
        image = self.images[("made", "keyferry-hsm-worker")]
        hits = finds(image, self.secrets)
        print(f"keyferry-hsm-worker: {image.stat().st_size >> 20} MiB: {len(hits)} found: {hits}")
        names = {name for name, _, _ in hits}
        self.assertFalse(names & {f"{kind} {self.CHIPS - 1}" for kind in ("transport key", "device key")}, names)

    def test_no_key_is_in_any_file(self):
        searched, stores, hits = 0, 0, []
        for path in sorted(self.ferry.folder.rglob("*")):
            if not path.is_file():
                continue
            name = path.relative_to(self.ferry.folder)
            stores += "tokens" in name.parts
            searched += 1
            hits += [(str(name), *hit) for hit in finds(path, self.secrets)]
        print(f"{searched} files, {stores} of them in SoftHSM stores: {len(hits)} found")
        self.assertGreater(searched, 50)
        self.assertEqual(hits, [])

    def test_the_search_knows_each_form(self):
        secret = bytes(range(100, 132))
        for order in (secret, secret[::-1]):
            for text in (order, order.hex().encode(), order.hex().upper().encode(),
                         *(base64.b64encode(b"x" * before + order + b"yz") for before in range(6))):
                path = self.root / "sample"
                path.write_bytes(b"before" + text + b"behind")
                self.assertTrue(finds(path, {"it": secret}), text)


if __name__ == "__main__":
    cases.main()
