"""Evidence bundles in tests: a ferry whose log has something of most kinds, and what an attacker does to a bundle."""
import hashlib
import json
import pathlib
import subprocess

import cases

CHALLENGE = "blue heron at noon, 17 geese"


def make_ferry(ferry):
    """One batch whose receipts are home, one closed by officers and on a CRL, one that waits; custody; a challenge."""
    ferry.set_up(6)
    stick = ferry.folder / "stick"
    stick.mkdir()
    ferry.officer("token", "enrol", stick, "--label", "t1")
    batches = [ferry.batch(6)]
    ferry.export(batches[0])
    ferry.load()
    ferry.run_lanes()
    ferry.unload()
    ferry.receipts()
    for number, (lot, customer) in enumerate((("L2", "acme"), ("L3", "globex"))):
        inventory = ferry.folder / f"{lot}.csv"
        ferry.fake_inventory(inventory, 6, first=100 * (number + 1), lot=lot)
        ferry.officer("se", "import", inventory, "--source", "room")
        batches.append(ferry.batch(6, path=ferry.folder / f"{lot}.toml", lot=lot, customer=customer))
    token = ferry.folder / "token2"
    token.mkdir()
    ferry.export(batches[1], token)
    ferry.officer("batch", "close", batches[1], "--confirm", batches[1], "--reason", "over")
    ferry.officer("crl", "issue", "--ca", "ca")
    return batches


def files(bundle):
    """Path from the bundle's folder, and octets; without the index."""
    found = {str(path.relative_to(bundle)): path.read_bytes() for path in sorted(bundle.rglob("*")) if path.is_file()}
    found.pop("index.json")
    return found


def read_index(bundle):
    return json.loads((bundle / "index.json").read_text())


def write_index(bundle, index):
    (bundle / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def reindex(bundle):
    """Who changes a bundle can write its index anew: from then on only what is signed tells."""
    index = read_index(bundle)
    index["files"] = [{"path": path, "size": len(octets), "sha256": hashlib.sha256(octets).hexdigest()}
                      for path, octets in sorted(files(bundle).items())]
    write_index(bundle, index)


def verify(bundle, words, *more, expect=None):
    done = subprocess.run([cases.programs / "keyferry-audit", "--json", "verify", bundle, "--fingerprint", words, *more],
                          capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    for word in cases.CRASH_WORDS:
        assert word not in said, said
    assert done.returncode in (0, 1), f"exit {done.returncode}: {said}"
    result = json.loads(done.stdout)
    assert (done.returncode == 0) == result["holds"], said
    assert expect is None or done.returncode == expect, said
    return result


def codes(result):
    return {fault["code"] for fault in result["faults"]}


def source():
    return pathlib.Path(__file__).resolve().parents[2]
