-- The station's store. Records lie here wrapped for their SEs; a settled record's payload is removed. No PIN, no key that
-- anything at this station could open. `one = 1` marks tables of a single row.

CREATE TABLE station (
  one           INTEGER PRIMARY KEY CHECK (one = 1),
  station_id    BLOB NOT NULL CHECK (length(station_id) = 16),
  name          TEXT NOT NULL,
  site          TEXT NOT NULL,
  environment   TEXT NOT NULL CHECK (environment IN ('development', 'rehearsal', 'production')),
  signing_key   BLOB NOT NULL CHECK (length(signing_key) = 65),
  agreement_key BLOB NOT NULL CHECK (length(agreement_key) = 65),
  created_ms    INTEGER NOT NULL
) STRICT;

-- The request that is out; signed once, handed out again byte for byte.
CREATE TABLE enrolment_request (
  one            INTEGER PRIMARY KEY CHECK (one = 1),
  request        BLOB NOT NULL,
  request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32)
) STRICT;

-- The pinned appliance.
CREATE TABLE appliance (
  one          INTEGER PRIMARY KEY CHECK (one = 1),
  appliance_id BLOB NOT NULL CHECK (length(appliance_id) = 32),
  name         TEXT NOT NULL,
  log_key      BLOB NOT NULL CHECK (length(log_key) = 65),
  export_key   BLOB NOT NULL CHECK (length(export_key) = 65),
  inbox_key    BLOB NOT NULL CHECK (length(inbox_key) = 65),
  answer       BLOB NOT NULL,
  enrolled_ms  INTEGER NOT NULL
) STRICT;

-- The highest checkpoint of the appliance's log that reached this station: an anchor outside the appliance's disk.
CREATE TABLE appliance_checkpoint (
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL CHECK (size >= 0),
  root BLOB NOT NULL CHECK (length(root) = 32),
  note TEXT NOT NULL
) STRICT;

-- Containers are remembered for good: same id and digest is a no-op, another digest an incident.
CREATE TABLE container (
  container_id BLOB PRIMARY KEY CHECK (length(container_id) = 16),
  digest       BLOB NOT NULL CHECK (length(digest) = 32),
  type         TEXT NOT NULL CHECK (type IN ('manifest', 'segment')),
  batch_id     BLOB NOT NULL CHECK (length(batch_id) = 16),
  seen_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
  batch_id        BLOB PRIMARY KEY CHECK (length(batch_id) = 16),
  container_id    BLOB NOT NULL UNIQUE REFERENCES container (container_id),
  manifest_digest BLOB NOT NULL CHECK (length(manifest_digest) = 32),
  site            TEXT NOT NULL,
  customer        TEXT NOT NULL,
  family          TEXT NOT NULL,
  mode            TEXT NOT NULL,
  key_name        TEXT NOT NULL,
  se_count        INTEGER NOT NULL CHECK (se_count > 0),
  target_count    INTEGER NOT NULL CHECK (target_count > 0 AND target_count <= se_count),
  acknowledged    INTEGER NOT NULL CHECK (acknowledged >= 0),  -- size of our log that the appliance had
  loaded_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE batch_anchor (
  batch_id BLOB NOT NULL REFERENCES batch (batch_id),
  number   INTEGER NOT NULL,
  der      BLOB NOT NULL,
  PRIMARY KEY (batch_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE segment (
  batch_id        BLOB NOT NULL REFERENCES batch (batch_id),
  segment_index   INTEGER NOT NULL CHECK (segment_index >= 0),
  container_id    BLOB NOT NULL UNIQUE CHECK (length(container_id) = 16),
  digest          BLOB NOT NULL CHECK (length(digest) = 32),
  record_count    INTEGER NOT NULL CHECK (record_count > 0),
  first_record_no INTEGER NOT NULL CHECK (first_record_no >= 0),
  first_se_serial BLOB NOT NULL,
  last_se_serial  BLOB NOT NULL,
  loaded_ms       INTEGER,  -- NULL: listed in the manifest, not here yet
  PRIMARY KEY (batch_id, segment_index)
) STRICT, WITHOUT ROWID;

-- Issuers above a leaf, the same for a whole batch: kept once. `certificates`: each with u16be length.
CREATE TABLE chain (
  chain_sha256 BLOB PRIMARY KEY CHECK (length(chain_sha256) = 32),
  certificates BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
  batch_id           BLOB NOT NULL REFERENCES batch (batch_id),
  record_no          INTEGER NOT NULL CHECK (record_no >= 0),
  segment_index      INTEGER NOT NULL,
  family             TEXT NOT NULL,
  se_serial          BLOB NOT NULL CHECK (length(se_serial) BETWEEN 1 AND 64),
  key_name           TEXT NOT NULL,
  device_serial      TEXT NOT NULL,
  generation         INTEGER NOT NULL CHECK (generation > 0),
  payload            BLOB CHECK (length(payload) > 0),  -- NULL once the record is settled
  public_key         BLOB NOT NULL UNIQUE CHECK (length(public_key) = 65),
  certificate        BLOB NOT NULL,
  certificate_serial BLOB NOT NULL,
  chain_sha256       BLOB NOT NULL REFERENCES chain (chain_sha256),
  challenge          BLOB NOT NULL CHECK (length(challenge) = 32),
  state              TEXT NOT NULL
                     CHECK (state IN ('loaded', 'injecting', 'doubtful', 'injected', 'quarantined', 'returned')),
  pending_position   INTEGER REFERENCES leaf (position),  -- a core of this record that waits for the SE's signature
  settled_position   INTEGER UNIQUE REFERENCES leaf (position),  -- the core that settled it
  reason             TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (batch_id, record_no),
  FOREIGN KEY (batch_id, segment_index) REFERENCES segment (batch_id, segment_index),
  CHECK ((payload IS NULL) = (state IN ('injected', 'quarantined', 'returned'))),
  CHECK ((settled_position IS NOT NULL) = (state IN ('injected', 'quarantined', 'returned'))),
  CHECK (pending_position IS NULL OR state = 'injecting')
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX record_one_per_chip_key_and_generation ON record (family, se_serial, key_name, generation);
CREATE INDEX record_by_certificate_serial ON record (certificate_serial);
CREATE INDEX record_by_state ON record (batch_id, state);

-- Every change of a record's state, and the intent before a chip is touched. Append-only.
CREATE TABLE journal (
  seq           INTEGER PRIMARY KEY,
  time_ms       INTEGER NOT NULL,
  batch_id      BLOB NOT NULL,
  record_no     INTEGER NOT NULL,
  event         TEXT NOT NULL,
  to_state      TEXT NOT NULL,
  lane          INTEGER NOT NULL,
  person        INTEGER NOT NULL,
  device_serial TEXT NOT NULL,
  detail        TEXT NOT NULL,
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no)
) STRICT;
CREATE TRIGGER journal_is_append_only_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER journal_is_append_only_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'append-only'); END;

-- The station's Merkle log: one row of state, and its leaves as they were serialised.
CREATE TABLE log_state (
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  generation INTEGER NOT NULL CHECK (generation > 0),
  frontier   BLOB NOT NULL
) STRICT;

CREATE TABLE leaf (
  position  INTEGER PRIMARY KEY CHECK (position >= 0),
  leaf      BLOB NOT NULL CHECK (length(leaf) BETWEEN 1 AND 8192),
  leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),
  signature BLOB CHECK (length(signature) = 64)  -- by the injected key, over the core in the leaf
) STRICT;
CREATE TRIGGER leaf_is_append_only BEFORE UPDATE OF position, leaf, leaf_hash ON leaf
BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER leaf_signature_is_final BEFORE UPDATE OF signature ON leaf WHEN OLD.signature IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'final'); END;
CREATE TRIGGER leaf_is_never_removed BEFORE DELETE ON leaf BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TABLE incident (
  seq     INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  subject TEXT NOT NULL,
  UNIQUE (kind, subject)
) STRICT;

-- What was refused at the door. For people; the newest 1,000 are kept.
CREATE TABLE refusal (
  seq     INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  what    TEXT NOT NULL,
  reason  TEXT NOT NULL
) STRICT;

-- Sealed receipts that may have been handed out: the same range is handed out byte for byte again.
CREATE TABLE unloaded (
  generation   INTEGER NOT NULL,
  from_size    INTEGER NOT NULL,
  to_size      INTEGER NOT NULL,
  container_id BLOB NOT NULL UNIQUE CHECK (length(container_id) = 16),
  digest       BLOB NOT NULL CHECK (length(digest) = 32),
  sealed_ms    INTEGER NOT NULL,
  PRIMARY KEY (generation, from_size, to_size)
) STRICT, WITHOUT ROWID;
