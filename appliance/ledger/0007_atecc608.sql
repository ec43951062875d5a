-- Family atecc608: a key that never left the chip, nonces that may occur once, and what chips say of themselves.
ALTER TABLE se ADD COLUMN attestation_key BLOB CHECK (length(attestation_key) = 65);

-- Leading 16 octets of SHA-256(serial, nonce). Two payloads for one chip under one nonce would tell both keys.
CREATE TABLE seen_nonce (
  id BLOB PRIMARY KEY CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER seen_nonce_is_final BEFORE UPDATE ON seen_nonce
BEGIN SELECT RAISE(ABORT, 'a nonce that was seen is not edited'); END;
CREATE TRIGGER seen_nonce_stays BEFORE DELETE ON seen_nonce
BEGIN SELECT RAISE(ABORT, 'a nonce that was seen stays seen'); END;

ALTER TABLE receipt_staged ADD COLUMN attestation BLOB NOT NULL DEFAULT x'' CHECK (length(attestation) <= 512);
ALTER TABLE receipt ADD COLUMN attestation BLOB NOT NULL DEFAULT x'' CHECK (length(attestation) <= 512);
-- Empty: taken in by an older version, the core says it.
ALTER TABLE receipt ADD COLUMN evidence TEXT NOT NULL DEFAULT ''
  CHECK (evidence IN ('', 'none', 'possession', 'attested'));
