#!/usr/bin/env python3
"""Reads the base mode section of one suite out of RFC 9180's appendix in markdown and prints it as JSON.

    make_hpke_rfc9180.py draft-irtf-cfrg-hpke.md > hpke/rfc9180_p256_sha256_aes128gcm.json
"""
import json
import re
import sys

SUITE = "## DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-128-GCM\n"
NUMBERS = ("mode", "kem_id", "kdf_id", "aead_id", "sequence number", "L")


def fields(block):
    """`name: value` pairs; a value may go on over following lines of hex."""
    found = {}
    name = None
    for line in block.strip().splitlines():
        match = re.match(r"([A-Za-z_][A-Za-z_ ]*):\s*(.*)$", line)
        if match:
            name = match.group(1)
            found[name] = match.group(2).strip()
        else:
            found[name] += line.strip()
    return {key: int(value) if key in NUMBERS else value for key, value in found.items()}


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    section = text[text.index(SUITE) + len(SUITE):]
    section = section[:section.index("### PSK Setup Information")]
    setup, encryptions, exports = re.findall(r"~~~\n(.*?)~~~", section, re.S)
    vector = {"source": "RFC 9180 appendix A.3.1, base mode"}
    vector.update(fields(setup))
    vector["encryptions"] = [fields(block) for block in encryptions.strip().split("\n\n")]
    vector["exports"] = [fields(block) for block in exports.strip().split("\n\n")]
    json.dump(vector, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
