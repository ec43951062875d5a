-- Batches under an outside CA: keys and requests first, then certificates, then segments.

-- Beside state 'generating': waiting = every key is made and its request may go out; certifying = officers have approved the
-- certificates, waiting containers are opened one after another.
ALTER TABLE batch ADD COLUMN outside TEXT NOT NULL DEFAULT '' CHECK (outside IN ('', 'waiting', 'certifying'));

-- The serial as that CA gave it; certificate_serial then stands for it and its issuer (plan/outside_certificate.h).
ALTER TABLE record ADD COLUMN outside_serial BLOB CHECK (length(outside_serial) BETWEEN 1 AND 20);

-- As of `segment`: a container that kf-export signed and that is sealed to kf-inbox of the same HSM.
CREATE TABLE waiting_segment (
  batch_id BLOB NOT NULL REFERENCES batch (batch_id),
  idx INTEGER NOT NULL CHECK (idx >= 0),
  state TEXT NOT NULL CHECK (state IN ('prepared', 'sealed')),
  count INTEGER NOT NULL CHECK (count >= 1),
  container_id BLOB NOT NULL UNIQUE CHECK (length(container_id) = 16),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  body_size_bytes INTEGER NOT NULL CHECK (body_size_bytes >= 1),
  first_leaf INTEGER NOT NULL CHECK (first_leaf >= 0),
  trailer BLOB,
  PRIMARY KEY (batch_id, idx),
  CHECK ((state = 'sealed') = (trailer IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- A key that waits; certificate: what was taken in for it and passed every check. Rows of a segment that is not sealed yet
-- stand for nothing.
CREATE TABLE key_request (
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL CHECK (record_no >= 0),
  segment_idx INTEGER NOT NULL CHECK (segment_idx >= 0),
  se_id INTEGER NOT NULL REFERENCES se (se_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  public_key BLOB NOT NULL CHECK (length(public_key) = 65),
  request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
  certificate BLOB CHECK (length(certificate) BETWEEN 1 AND 4096),
  serial_id BLOB CHECK (length(serial_id) = 16),
  PRIMARY KEY (batch_id, record_no),
  FOREIGN KEY (batch_id, segment_idx) REFERENCES waiting_segment (batch_id, idx),
  CHECK ((certificate IS NULL) = (serial_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX key_request_by_key ON key_request (batch_id, public_key);
CREATE UNIQUE INDEX key_request_serial_once ON key_request (serial_id) WHERE serial_id IS NOT NULL;

CREATE TRIGGER key_request_stays BEFORE UPDATE OF public_key, request_sha256, se_id, generation ON key_request
BEGIN SELECT RAISE(ABORT, 'a key that waits is not edited'); END;
