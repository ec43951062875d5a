#!/usr/bin/env python3
"""HPKE base mode with P-256, HKDF-SHA256 and AES-256-GCM in plain Python, to make vectors where RFC 9180 has none.

An implementation of its own: P-256 (affine), AES and GCM are written out below, HMAC and SHA-256 are Python's.
It first makes the RFC's AES-128-GCM vectors anew and stops if one octet differs. Not constant-time; for tests only.

    make_hpke_p256_aes256.py hpke/rfc9180_p256_sha256_aes128gcm.json > hpke/p256_sha256_aes256gcm.json
"""
import hashlib
import hmac
import json
import sys

# --- P-256 (SP 800-186) ---------------------------------------------------------------------------------------------
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
     0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)


def add(p, q):
    if p is None:
        return q
    if q is None:
        return p
    if p[0] == q[0]:
        if (p[1] + q[1]) % P == 0:
            return None
        slope = (3 * p[0] * p[0] + A) * pow(2 * p[1], -1, P) % P
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, P) % P
    x = (slope * slope - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def multiply(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def encode(point):
    assert (point[1] ** 2 - point[0] ** 3 - A * point[0] - B) % P == 0
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


# --- AES (FIPS 197) and GCM (SP 800-38D) ----------------------------------------------------------------------------
def times2(a):
    return (a << 1) ^ (0x11B if a & 0x80 else 0)


def field_multiply(a, b):
    result = 0
    while b:
        if b & 1:
            result ^= a
        a = times2(a)
        b >>= 1
    return result


def make_sbox():
    box = []
    for value in range(256):
        inverse = next((i for i in range(256) if field_multiply(value, i) == 1), 0)
        out = 0x63
        for turn in range(5):
            out ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xFF
        box.append(out)
    return box


SBOX = make_sbox()


def expand(key):
    words = [list(key[i:i + 4]) for i in range(0, len(key), 4)]
    length = len(words)
    rcon = 1
    for i in range(length, 4 * (length + 7)):
        word = list(words[-1])
        if i % length == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = times2(rcon)
        elif length > 6 and i % length == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - length], word)])
    return [sum(words[i:i + 4], []) for i in range(0, len(words), 4)]


def encrypt_block(round_keys, block):
    state = [a ^ b for a, b in zip(block, round_keys[0])]
    for number, round_key in enumerate(round_keys[1:], 1):
        state = [SBOX[b] for b in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]  # ShiftRows, columns first
        if number != len(round_keys) - 1:
            mixed = []
            for c in range(0, 16, 4):
                col = state[c:c + 4]
                mixed += [times2(col[i]) ^ times2(col[(i + 1) % 4]) ^ col[(i + 1) % 4] ^
                          col[(i + 2) % 4] ^ col[(i + 3) % 4] for i in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def ghash_multiply(x, y):
    result = 0
    for i in range(128):
        if (x >> (127 - i)) & 1:
            result ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return result


def gcm_seal(key, nonce, aad, plaintext):
    round_keys = expand(key)
    h = int.from_bytes(encrypt_block(round_keys, bytes(16)), "big")
    stream = b""
    for counter in range(1, 2 + (len(plaintext) + 15) // 16):
        stream += encrypt_block(round_keys, nonce + counter.to_bytes(4, "big"))
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream[16:]))
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    padded += (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    state = 0
    for i in range(0, len(padded), 16):
        state = ghash_multiply(state ^ int.from_bytes(padded[i:i + 16], "big"), h)
    return ciphertext + bytes(a ^ b for a, b in zip(state.to_bytes(16, "big"), stream[:16]))


# --- HKDF and HPKE (RFC 5869, RFC 9180) -----------------------------------------------------------------------------
def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def labeled_extract(suite_id, salt, label, ikm):
    return mac(salt, b"HPKE-v1" + suite_id + label + ikm)


def labeled_expand(suite_id, prk, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
    out, block, counter = b"", b"", 0
    while len(out) < length:
        counter += 1
        block = mac(prk, block + info + bytes([counter]))
        out += block
    return out[:length]


KEM_ID = b"KEM" + (0x0010).to_bytes(2, "big")


def derive_key_pair(ikm):
    prk = labeled_extract(KEM_ID, b"", b"dkp_prk", ikm)
    for counter in range(256):
        scalar = int.from_bytes(labeled_expand(KEM_ID, prk, b"candidate", bytes([counter]), 32), "big")
        if 0 < scalar < N:
            return scalar, encode(multiply(scalar, G))
    raise ValueError("no key")


def make(aead_id, key_size, info, ikm_e, ikm_r, messages, export_contexts):
    scalar_e, point_e = derive_key_pair(ikm_e)
    scalar_r, point_r = derive_key_pair(ikm_r)
    x = (int.from_bytes(point_r[1:33], "big"), int.from_bytes(point_r[33:], "big"))
    dh = multiply(scalar_e, x)[0].to_bytes(32, "big")
    eae_prk = labeled_extract(KEM_ID, b"", b"eae_prk", dh)
    shared_secret = labeled_expand(KEM_ID, eae_prk, b"shared_secret", point_e + point_r, 32)
    suite_id = b"HPKE" + b"".join(i.to_bytes(2, "big") for i in (0x0010, 0x0001, aead_id))
    context = (b"\x00" + labeled_extract(suite_id, b"", b"psk_id_hash", b"") +
               labeled_extract(suite_id, b"", b"info_hash", info))
    secret = labeled_extract(suite_id, shared_secret, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", context, key_size)
    base_nonce = labeled_expand(suite_id, secret, b"base_nonce", context, 12)
    exporter_secret = labeled_expand(suite_id, secret, b"exp", context, 32)
    vector = {
        "mode": 0, "kem_id": 0x0010, "kdf_id": 0x0001, "aead_id": aead_id, "info": info.hex(),
        "ikmE": ikm_e.hex(), "pkEm": point_e.hex(), "skEm": scalar_e.to_bytes(32, "big").hex(),
        "ikmR": ikm_r.hex(), "pkRm": point_r.hex(), "skRm": scalar_r.to_bytes(32, "big").hex(),
        "enc": point_e.hex(), "shared_secret": shared_secret.hex(),
        "key_schedule_context": context.hex(), "secret": secret.hex(), "key": key.hex(),
        "base_nonce": base_nonce.hex(), "exporter_secret": exporter_secret.hex(),
        "encryptions": [], "exports": [],
    }
    for sequence, aad, plaintext in messages:
        nonce = bytes(a ^ b for a, b in zip(base_nonce, sequence.to_bytes(12, "big")))
        vector["encryptions"].append({
            "sequence number": sequence, "pt": plaintext.hex(), "aad": aad.hex(), "nonce": nonce.hex(),
            "ct": gcm_seal(key, nonce, aad, plaintext).hex()})
    for export_context, length in export_contexts:
        value = labeled_expand(suite_id, exporter_secret, b"sec", export_context, length)
        vector["exports"].append({"exporter_context": export_context.hex(), "L": length,
                                  "exported_value": value.hex()})
    return vector


def check_against(path):
    known = json.load(open(path, encoding="utf-8"))
    unhex = bytes.fromhex
    made = make(known["aead_id"], 16, unhex(known["info"]), unhex(known["ikmE"]), unhex(known["ikmR"]),
                [(e["sequence number"], unhex(e["aad"]), unhex(e["pt"])) for e in known["encryptions"]],
                [(unhex(e["exporter_context"]), e["L"]) for e in known["exports"]])
    for name, value in made.items():
        if known[name] != value:
            sys.exit(f"this script is wrong: {name} differs from {path}")


def main():
    # FIPS 197 appendix C.3: the key size that the RFC's vectors do not touch.
    block = encrypt_block(expand(bytes(range(32))), bytes(i * 0x11 for i in range(16)))
    if block.hex() != "8ea2b7ca516745bfeafc49904b496089":
        sys.exit("this script is wrong: AES-256 differs from FIPS 197")
    check_against(sys.argv[1])
    info = b"keyferry/v1/container" + hashlib.sha256(b"a header").digest()
    messages = [(sequence, b"Count-%d" % sequence, b"x" * size)
                for sequence, size in ((0, 29), (1, 0), (2, 16), (4, 33), (255, 1), (256, 100))]
    exports = [(b"", 32), (b"\x00", 32), (b"keyferry content key", 32), (b"keyferry nonce prefix", 7),
               (b"long", 255)]
    vector = {"source": "made by tests/vectors/make_hpke_p256_aes256.py"}
    vector.update(make(0x0002, 32, info, hashlib.sha256(b"keyferry ikmE").digest(),
                       hashlib.sha256(b"keyferry ikmR").digest(), messages, exports))
    json.dump(vector, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
