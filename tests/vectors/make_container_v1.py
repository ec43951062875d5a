#!/usr/bin/env python3
"""A sealed container after token/FORMAT.md, in Python: an implementation of its own, to hold token/ against.

Fixed keys, ids and ephemeral key. Needs the Python package `cryptography` for P-256, AES-GCM and ECDSA (RFC 6979); HPKE's
key schedule (RFC 9180) is written out below. Prints two cases as JSON:

    make_container_v1.py > container/container_v1.json
"""
import hashlib
import hmac
import json
import struct
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 65536
ENC = serialization.Encoding
PUBLIC = serialization.PublicFormat


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def private(scalar):
    return ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1())


def point(key):
    return key.public_key().public_bytes(ENC.X962, PUBLIC.UncompressedPoint)


def key_id(key):
    return sha256(key.public_key().public_bytes(ENC.DER, PUBLIC.SubjectPublicKeyInfo))


# --- HPKE, RFC 9180 ---------------------------------------------------------------------------------------------------
KEM_SUITE = b"KEM" + struct.pack(">H", 0x0010)
HPKE_SUITE = b"HPKE" + struct.pack(">HHH", 0x0010, 0x0001, 0x0002)


def hmac256(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def extract(suite, salt, label, ikm):
    return hmac256(salt or bytes(32), b"HPKE-v1" + suite + label + ikm)


def expand(suite, prk, label, info, length):
    info = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac256(prk, block + info + bytes([i]))
        out, i = out + block, i + 1
    return out[:length]


def exporter_secret(ephemeral, recipient, info):
    dh = ephemeral.exchange(ec.ECDH(), recipient.public_key())
    eae = extract(KEM_SUITE, b"", b"eae_prk", dh)
    shared = expand(KEM_SUITE, eae, b"shared_secret", point(ephemeral) + point(recipient), 32)
    context = b"\0" + extract(HPKE_SUITE, b"", b"psk_id_hash", b"") + extract(HPKE_SUITE, b"", b"info_hash", info)
    secret = extract(HPKE_SUITE, shared, b"secret", b"")
    return expand(HPKE_SUITE, secret, b"exp", context, 32)


# --- the container ----------------------------------------------------------------------------------------------------
def container(case):
    sender, recipient, ephemeral = (private(case[k]) for k in ("sender", "recipient", "ephemeral"))
    header = b"KFERRY1\0" + struct.pack(">HHBB", 1, 1, case["type"], case["environment"])
    header += case["container_id"] + case["batch_id"] + struct.pack(">IIQ", case["index"], case["count"], case["bound"])
    header += key_id(sender) + key_id(recipient)
    header_hash = sha256(header)

    exporter = exporter_secret(ephemeral, recipient, b"keyferry/v1/container" + header_hash)
    content_key = expand(HPKE_SUITE, exporter, b"sec", b"keyferry/v1/content-key", 32)
    prefix = expand(HPKE_SUITE, exporter, b"sec", b"keyferry/v1/nonce-prefix", 7)
    aead = AESGCM(content_key)
    body = case["body"]
    pieces = [body[i:i + CHUNK] for i in range(0, len(body), CHUNK)] or [b""]
    chunks = [aead.encrypt(prefix + struct.pack(">IB", i, i + 1 == len(pieces)), piece, header_hash)
              for i, piece in enumerate(pieces)]

    enc = point(ephemeral)
    digest = sha256(header_hash, enc, struct.pack(">I", len(chunks)), *(sha256(c) for c in chunks))
    to_sign = sha256(b"keyferry/v1/container", b"\0", struct.pack(">Q", len(digest)), digest)
    der = sender.sign(to_sign, ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True))
    r, s = utils.decode_dss_signature(der)
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    trailer = b"KFEND01\0" + struct.pack(">I", len(chunks)) + enc + signature
    whole = header + b"".join(chunks) + trailer
    return {
        "name": case["name"],
        "sender_scalar": case["sender"].hex(),
        "recipient_scalar": case["recipient"].hex(),
        "ephemeral_scalar": case["ephemeral"].hex(),
        "type": case["type"], "environment": case["environment"],
        "container_id": case["container_id"].hex(), "batch_id": case["batch_id"].hex(),
        "index": case["index"], "count": case["count"], "body_bound_bytes": case["bound"],
        "body": case["body_text"],
        "header": header.hex(), "header_hash": header_hash.hex(), "enc": enc.hex(),
        "content_key": content_key.hex(), "nonce_prefix": prefix.hex(),
        "first_chunk": chunks[0].hex() if len(chunks[0]) < 100 else "",
        "chunk_hashes": [sha256(c).hex() for c in chunks],
        "digest": digest.hex(), "signing_digest": to_sign.hex(), "trailer": trailer.hex(),
        "file_size_bytes": len(whole), "file_sha256": sha256(whole).hex(),
    }


KEYS = {"sender": bytes([0x11] * 32), "recipient": bytes([0x22] * 32), "ephemeral": bytes([0x33] * 32)}
SMALL = b"keyferry"
LARGE = bytes(i % 251 for i in range(2 * CHUNK + 5))
CASES = [
    {"name": "one chunk", **KEYS, "type": 1, "environment": 1, "container_id": bytes(range(16)),
     "batch_id": bytes(range(16, 32)), "index": 2, "count": 3, "bound": 1048576, "body": SMALL,
     "body_text": "the 8 octets \"keyferry\""},
    {"name": "three chunks", **KEYS, "type": 3, "environment": 3, "container_id": bytes(range(32, 48)),
     "batch_id": bytes(16), "index": 1, "count": 4000000000, "bound": 5 << 32, "body": LARGE,
     "body_text": "131077 octets, octet i is i mod 251"},
]

json.dump({
    "source": "token/FORMAT.md, made by tests/vectors/make_container_v1.py",
    "expected": "both open under the recipient's key and verify under the sender's; hex throughout",
    "cases": [container(c) for c in CASES],
}, sys.stdout, indent=1)
print()
