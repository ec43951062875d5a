-- Random values stand apart from the records, so that a large batch is inserted in sequence: the two tables of what was
-- ever seen are filled in sorted order, a segment at a time into `_recent`, and many segments at once from there into
-- the large one (BatchStore, which looks into both; the primary keys hold what it may have overlooked). Nothing is ever
-- removed from them, also not with a segment that was dropped.

CREATE TABLE seen_public_key (id BLOB PRIMARY KEY CHECK (length(id) = 16)) STRICT, WITHOUT ROWID;
CREATE TABLE seen_public_key_recent (id BLOB PRIMARY KEY CHECK (length(id) = 16)) STRICT, WITHOUT ROWID;
CREATE TABLE seen_serial (id BLOB PRIMARY KEY CHECK (length(id) = 16)) STRICT, WITHOUT ROWID;
CREATE TABLE seen_serial_recent (id BLOB PRIMARY KEY CHECK (length(id) = 16)) STRICT, WITHOUT ROWID;

-- id: leading octets of the SHA-256 of the 65-octet point.
INSERT INTO seen_public_key SELECT substr(public_key_sha256, 1, 16) FROM record
  WHERE public_key_sha256 IS NOT NULL ORDER BY 1;
INSERT INTO seen_serial SELECT certificate_serial FROM record WHERE certificate_serial IS NOT NULL ORDER BY 1;

CREATE TRIGGER seen_public_key_stays BEFORE DELETE ON seen_public_key
BEGIN SELECT RAISE(ABORT, 'a public key that was seen stays so'); END;

CREATE TRIGGER seen_serial_stays BEFORE DELETE ON seen_serial
BEGIN SELECT RAISE(ABORT, 'a certificate serial that was seen stays so'); END;

-- The records again, without indexes over random values; receipts refer to them and are made again too.
CREATE TABLE receipt_kept AS SELECT * FROM receipt;
DROP TABLE receipt;
ALTER TABLE record RENAME TO record_kept;
DROP TRIGGER record_state_is_final;
DROP TRIGGER record_key_stays;
DROP INDEX record_one_live_key_per_chip;
DROP INDEX record_one_key_per_generation;
DROP INDEX record_by_state;
DROP INDEX record_by_device_serial;

-- One key for one SE. state: where it ended (I3); `issued` = outstanding. `revoked` = its certificate is revoked,
-- `crl_due` = it has to go on the next CRL: marks beside any state.
-- never_left: an entry of the list for which no segment was sealed when the batch was closed: it has no key.
-- Rows of a segment that is not sealed yet stand for nothing: they are dropped with the segment if it never is.
-- ('issued' is tried by itself: a list in a CHECK costs a temporary index with each row.)
CREATE TABLE record (
  batch_id BLOB NOT NULL REFERENCES batch (batch_id),
  record_no INTEGER NOT NULL CHECK (record_no >= 0),
  segment_idx INTEGER NOT NULL CHECK (segment_idx >= 0),
  se_id INTEGER NOT NULL REFERENCES se (se_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  public_key BLOB CHECK (length(public_key) = 65),
  certificate_serial BLOB CHECK (length(certificate_serial) = 16),
  certificate_sha256 BLOB CHECK (length(certificate_sha256) = 32),
  challenge BLOB CHECK (length(challenge) = 32),
  state TEXT NOT NULL
    CHECK (state = 'issued' OR state IN ('injected', 'quarantined', 'returned', 'never_left', 'revoked')),
  revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
  crl_due INTEGER NOT NULL DEFAULT 0 CHECK (crl_due IN (0, 1)),
  device_serial_bound TEXT NOT NULL DEFAULT '' CHECK (length(device_serial_bound) <= 64),
  PRIMARY KEY (batch_id, record_no),
  CHECK ((state = 'never_left') = (public_key IS NULL)),
  CHECK ((public_key IS NULL) = (certificate_serial IS NULL) AND (public_key IS NULL) = (certificate_sha256 IS NULL)
    AND (public_key IS NULL) = (challenge IS NULL)),
  CHECK (state <> 'revoked' OR revoked = 1)
) STRICT, WITHOUT ROWID;

INSERT INTO record SELECT batch_id, record_no, segment_idx, se_id, generation, public_key, certificate_serial,
  certificate_sha256, challenge, state, revoked, crl_due, device_serial_bound FROM record_kept;
DROP TABLE record_kept;

-- se_id stands for family, serial and key name.
CREATE UNIQUE INDEX record_one_live_key_per_chip ON record (se_id) WHERE revoked = 0 AND state <> 'never_left';
CREATE UNIQUE INDEX record_one_key_per_generation ON record (se_id, generation) WHERE state <> 'never_left';
CREATE INDEX record_that_ended ON record (batch_id, state) WHERE state <> 'issued';
CREATE INDEX record_by_device_serial ON record (device_serial_bound) WHERE device_serial_bound <> '';

-- A record ends once: what was injected, quarantined, returned, never_left or revoked stays so.
CREATE TRIGGER record_state_is_final BEFORE UPDATE OF state ON record
WHEN OLD.state <> 'issued' AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the state of a record is final'); END;

CREATE TRIGGER record_key_stays BEFORE UPDATE OF public_key, certificate_serial, certificate_sha256, challenge, se_id,
  generation ON record
BEGIN SELECT RAISE(ABORT, 'the key of a record is not edited'); END;

CREATE TABLE receipt (
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('injected', 'quarantined', 'returned')),
  core BLOB NOT NULL,
  core_sha256 BLOB NOT NULL CHECK (length(core_sha256) = 32),
  signature BLOB NOT NULL CHECK (length(signature) IN (0, 64)),
  station_id BLOB NOT NULL REFERENCES station (station_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  position INTEGER NOT NULL CHECK (position >= 0),
  reason TEXT NOT NULL DEFAULT '',
  import_id INTEGER NOT NULL REFERENCES receipts_import (import_id),
  accepted_ms INTEGER NOT NULL,
  PRIMARY KEY (batch_id, record_no),
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no),
  CHECK (outcome <> 'injected' OR length(signature) = 64)
) STRICT, WITHOUT ROWID;

INSERT INTO receipt SELECT * FROM receipt_kept;
DROP TABLE receipt_kept;

CREATE UNIQUE INDEX receipt_of_leaf ON receipt (station_id, generation, position);

CREATE TRIGGER receipt_is_final BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'the first accepted receipt is final'); END;
