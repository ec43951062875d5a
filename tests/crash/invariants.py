"""What has to hold when a ferry has come to its end, whatever was killed on the way (I2, I3, I5, I7)."""
import base64
import collections
import hashlib
import pathlib
import re
import sqlite3
import struct

from ferry import Failed, sums_agree
from steps import CHIPS, FATES, SEGMENT_SIZE

HEADER_BYTES = 126  # token/FORMAT.md section 2
TRAILER_BYTES = 141
CHUNK_BYTES = 65_536 + 16
CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY = range(4)
CKA_CLASS, CKA_VALUE, CKA_EC_POINT = 0x00, 0x11, 0x181


def need(right, text):
    if not right:
        raise Failed(text)


# --- SoftHSM's object files -------------------------------------------------------------------------------------------


def object_attributes(path):
    """The attributes of one SoftHSM object file: u64 generation, then u64 type, u64 kind and a value of that kind."""
    data = path.read_bytes()
    at = 8
    attributes = {}
    while at + 17 <= len(data):
        attribute, kind = struct.unpack_from(">QQ", data, at)
        at += 16
        if kind == 1:  # boolean
            value, at = data[at], at + 1
        elif kind == 2:  # number
            value, at = int.from_bytes(data[at:at + 8], "big"), at + 8
        else:  # 3 octets, 4 attributes: a length in octets; 5 mechanisms: a count of u64
            length = int.from_bytes(data[at:at + 8], "big") * (8 if kind == 5 else 1)
            value, at = data[at + 8:at + 8 + length], at + 8 + length
        attributes[attribute] = value
    return attributes


def objects_of(store):
    """Attributes of all objects below a SoftHSM store, half-made ones included."""
    paths = sorted(pathlib.Path(store).rglob("*.object"))
    return [object_attributes(path) for path in paths if path.name != "token.object"]


def is_whole(attributes):
    """SoftHSM makes an object attribute by attribute, its octets last: killed before that it is none that works."""
    octets = CKA_EC_POINT if attributes.get(CKA_CLASS) == CKO_PUBLIC_KEY else CKA_VALUE
    return bool(attributes.get(octets))


def classes_of(store):
    return collections.Counter(attributes[CKA_CLASS] for attributes in objects_of(store) if is_whole(attributes))


def has_half_key(store):
    return any(a.get(CKA_CLASS) == CKO_PRIVATE_KEY and not is_whole(a) for a in objects_of(store))


# --- certificates, containers -----------------------------------------------------------------------------------------


def der_value(data, at):
    """(begin, end) of the value of the DER element at `at`."""
    length = data[at + 1]
    if length < 0x80:
        return at + 2, at + 2 + length
    octets = length & 0x7F
    begin = at + 2 + octets
    return begin, begin + int.from_bytes(data[at + 2:begin], "big")


def certificate_serial(der):
    tbs, _ = der_value(der, der_value(der, 0)[0])
    _, after_version = der_value(der, tbs)
    begin, end = der_value(der, after_version)
    return der[begin:end].lstrip(b"\0")


def container(path):
    """(type, container id, batch, index, digest) of a sealed file; the digest is formed anew from what lies there."""
    data = path.read_bytes()
    need(data[:8] == b"KFERRY1\0" and data[-TRAILER_BYTES:-TRAILER_BYTES + 8] == b"KFEND01\0", f"{path} is no container")
    header, body, trailer = data[:HEADER_BYTES], data[HEADER_BYTES:-TRAILER_BYTES], data[-TRAILER_BYTES:]
    chunks = [body[at:at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    need(struct.unpack(">I", trailer[8:12])[0] == len(chunks), f"{path}: its trailer has another number of chunks")
    digest = hashlib.sha256(hashlib.sha256(header).digest() + trailer[12:77] + trailer[8:12] +
                            b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)).digest()
    return header[12], header[14:30], header[30:46], struct.unpack(">I", header[46:50])[0], digest


# --- RFC 6962 ---------------------------------------------------------------------------------------------------------


def tree_root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    left = 1 << ((len(hashes) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + tree_root(hashes[:left]) + tree_root(hashes[left:])).digest()


def leaf_hashes(rows):
    hashes = []
    for (leaves,) in rows:
        at = 0
        while at < len(leaves):
            length = struct.unpack_from(">I", leaves, at)[0]
            hashes.append(hashlib.sha256(b"\0" + leaves[at + 4:at + 4 + length]).digest())
            at += 4 + length
    return hashes


# --- the checks -------------------------------------------------------------------------------------------------------


def read_only(path):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    need(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"{path} is damaged")
    need(not database.execute("PRAGMA foreign_key_check").fetchall(), f"{path}: a reference leads nowhere")
    return database


def chip_store(ferry, number):
    return ferry.chips / f"se-{number:05}" / "tokens"


def fates_of(ferry, ledger):
    """Where each chip ended. A kill within its C_UnwrapKey may leave half a key: such a chip proves nothing and is
    quarantined (design.md section 8); else each ends as it does undisturbed."""
    states = dict(ledger.execute("SELECT se_serial, state FROM record JOIN se USING (se_id)"))
    count, = ledger.execute("SELECT count(*) FROM record").fetchone()
    need(len(states) == CHIPS == count, f"{count} records for {len(states)} chips")
    fates = [states[bytes.fromhex(serial)] for serial in ferry.notes["serials"]]
    for number, (fate, planned) in enumerate(zip(fates, FATES)):
        spoilt = planned == "injected" and fate == "quarantined" and has_half_key(chip_store(ferry, number))
        need(fate == planned or spoilt, f"chip {number} ended {fate}, not {planned}")
    return fates


def check_sums(ferry, fates):
    answer = ferry.reconcile(expect=0)
    batch, = answer["batches"]
    want = {fate: fates.count(fate) for fate in set(FATES)} | {"issued": CHIPS, "outstanding": 0, "never_left": 0,
                                                              "revoked": 0, "overdue": 0}
    for term, count in want.items():
        need(batch[term] == count, f"{term} is {batch[term]}, not {count}: {batch}")
    need(sums_agree(batch) and answer["agree"] and batch["agree"], f"the sums do not agree: {answer}")
    need(not answer["incidents"] and not answer["unfinished_import"], f"incidents: {answer}")
    status = ferry.station_json("status")["batches"][0]
    for fate in set(FATES):
        need(status[fate] == fates.count(fate), f"the station says otherwise: {status}")


def check_chips(ferry, ledger, fates):
    """One private key in each chip that was injected, none in the others, and the certificate of that very record."""
    issued = dict(ledger.execute("SELECT se_serial, certificate_sha256 FROM record JOIN se USING (se_id)"))
    certificates = set()
    for number, fate in enumerate(fates):
        store = chip_store(ferry, number)
        keys = classes_of(store)[CKO_PRIVATE_KEY]
        need(keys == (fate == "injected"), f"chip {number} ({fate}) holds {keys} private keys")
        held = {bytes(o[CKA_VALUE]) for o in objects_of(store) if o.get(CKA_CLASS) == CKO_CERTIFICATE and is_whole(o)}
        own = [der for der in held
               if hashlib.sha256(der).digest() == issued[bytes.fromhex(ferry.notes["serials"][number])]]
        need(len(own) == (fate == "injected"), f"chip {number} ({fate}) holds {len(own)} certificates of its record")
        certificates |= held
    return certificates


def check_certificates(ferry, ledger, on_chips):
    """No serial stands in two certificates, wherever one is found."""
    found = set(on_chips)
    for path in sorted((ferry.home / "batches").rglob("*.certs")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = struct.unpack_from(">H", data, at)[0]
            found.add(data[at + 2:at + 2 + length])
            at += 2 + length
    issued = {row[0] for row in ledger.execute("SELECT certificate_sha256 FROM record")}
    need(issued <= {hashlib.sha256(der).digest() for der in found}, "a certificate of the ledger is in no file")
    need(len(issued) == CHIPS, "certificates in the ledger are not one for each chip")
    serials = collections.Counter(certificate_serial(der) for der in found)
    need(all(count == 1 for count in serials.values()), f"a certificate serial is used twice: {serials}")


def check_segments(ferry, ledger):
    """One container for each index, here, on the token, in the ledger and in the log: no second openable segment."""
    batch = bytes.fromhex(ferry.notes["batch"])
    known = {(1, index): (container_id, digest) for index, container_id, digest in ledger.execute(
        "SELECT idx, container_id, digest FROM segment WHERE state = 'sealed'")}
    known |= {(2, 0): row for row in ledger.execute("SELECT container_id, digest FROM manifest WHERE state = 'sealed'")}
    need(sorted(known) == [(1, i) for i in range(CHIPS // SEGMENT_SIZE)] + [(2, 0)], f"segments in the ledger: {known}")
    for folder in (ferry.home / "batches" / batch.hex(), ferry.batch_folder(batch.hex())):
        seen = {}
        for path in sorted(folder.glob("*.kf")):
            kind, container_id, of_batch, index, digest = container(path)
            need(of_batch == batch and (kind, index) not in seen, f"{path}: a second segment or another batch's")
            seen[kind, index] = (container_id, digest)
        need(seen == known, f"{folder} does not hold what the ledger lists")
    leaves = ferry.appliance_json("log", "show")["leaves"]
    for event, kind in (("segment", 1), ("manifest", 2)):
        told = sorted((leaf["fields"]["container"], leaf["fields"]["digest"]) for leaf in leaves
                      if leaf["event"] == f"{event}.issued")
        need(told == sorted((c.hex(), d.hex()) for (k, _), (c, d) in known.items() if k == kind),
             f"the log tells of other {event}s: {told}")


def check_log(ferry, ledger):
    """Every checkpoint ever stored is one of the log as it is now, and the newest covers all of it."""
    need(ledger.execute("SELECT count(*) FROM log_block WHERE state = 'pending'").fetchone() == (0,), "pending leaves")
    hashes = leaf_hashes(ledger.execute("SELECT leaves FROM log_block ORDER BY first_index"))
    newest = ferry.appliance_json("log", "checkpoint")
    need(newest["size"] == len(hashes), f"the log has {len(hashes)} leaves, its checkpoint {newest['size']}")
    need(newest["root"] == tree_root(hashes).hex(), "the newest checkpoint is of another log")
    for size, text in ledger.execute("SELECT size, note FROM checkpoint"):
        root = tree_root(hashes[:size])
        need(re.search(r"\n([A-Za-z0-9+/=]{44})\n", text).group(1) == base64.b64encode(root).decode(),
             f"the checkpoint at {size} is of another log")


def check_stores(ferry, undisturbed):
    """The key stores hold what they hold after an undisturbed ferry: no leftover key, no broken object.

    An older kf-state may lie beside the newest one when the last of all writes was cut: the next write destroys it.
    """
    for name, classes in undisturbed.items():
        now = classes_of(ferry.folder / name)
        older = now[CKO_DATA] - classes[CKO_DATA]
        need(older in (0, 1) and now - classes == collections.Counter({CKO_DATA: older} if older else {}) and
             not classes - now, f"{name} holds {now}, not {classes}")


def check_leftovers(ferry):
    left = [str(path) for folder in (ferry.home, ferry.station_home, ferry.token) for path in folder.rglob("*.tmp")]
    need(not left, f"left behind: {left}")


STORES = ("appliance-hsm", "station-hsm")


def stores(ferry):
    return {name: classes_of(ferry.folder / name) for name in STORES}


def check(ferry, undisturbed):
    ledger = read_only(ferry.home / "ledger.db")
    read_only(ferry.station_home / "station.db").close()
    try:
        fates = fates_of(ferry, ledger)
        check_sums(ferry, fates)
        check_certificates(ferry, ledger, check_chips(ferry, ledger, fates))
        check_segments(ferry, ledger)
        check_log(ferry, ledger)
    finally:
        ledger.close()
    check_stores(ferry, undisturbed)
    check_leftovers(ferry)
