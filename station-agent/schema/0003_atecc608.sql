-- What the attestation key of a chip signed beside the injected key's signature, and the image that a batch's devices run.
ALTER TABLE leaf ADD COLUMN attestation BLOB CHECK (length(attestation) BETWEEN 1 AND 512);
CREATE TRIGGER leaf_attestation_comes_with_its_signature BEFORE UPDATE OF attestation ON leaf
WHEN OLD.signature IS NOT NULL OR NEW.signature IS NULL
BEGIN SELECT RAISE(ABORT, 'final'); END;

ALTER TABLE batch ADD COLUMN firmware_sha256 BLOB CHECK (length(firmware_sha256) = 32);  -- NULL: no firmware check
