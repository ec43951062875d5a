-- The appliance's ledger. It holds what is public or a hash: no key, wrapped or not, no PIN, no content key.
-- Times are UTC milliseconds since 1970. Lost or older than the HSM: the gate refuses to work (rollback).

CREATE TABLE meta (
  key TEXT PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 64),
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Names of people stand here alone and can be erased; elsewhere a person is a number and a salted hash.
CREATE TABLE person (
  number INTEGER PRIMARY KEY CHECK (number >= 1),
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  name TEXT NOT NULL
) STRICT;

-- --- the log ---------------------------------------------------------------------------------------------------------

-- Consecutive leaves: each u32be length, then the octets. `pending` = stored before the HSM's state advanced; final as
-- soon as kf-state covers it, dropped if it never does. The action is what the front end does at that moment, in the
-- same transaction.
CREATE TABLE log_block (
  first_index INTEGER PRIMARY KEY CHECK (first_index >= 0),
  count INTEGER NOT NULL CHECK (count BETWEEN 1 AND 65536),
  leaves BLOB NOT NULL CHECK (length(leaves) >= 5 * count),
  state TEXT NOT NULL CHECK (state IN ('pending', 'final')),
  registry BLOB,
  action TEXT,
  action_data BLOB,
  CHECK ((action IS NULL) = (action_data IS NULL)),
  CHECK (state = 'pending' OR (registry IS NULL AND action IS NULL))
) STRICT;

CREATE UNIQUE INDEX log_block_one_pending ON log_block (state) WHERE state = 'pending';

-- Blocks follow each other without a gap and are never edited.
CREATE TRIGGER log_block_follows BEFORE INSERT ON log_block
WHEN NEW.first_index <> coalesce((SELECT first_index + count FROM log_block ORDER BY first_index DESC LIMIT 1), 0)
BEGIN SELECT RAISE(ABORT, 'log block does not follow the last one'); END;

CREATE TRIGGER log_block_is_append_only BEFORE UPDATE OF first_index, count, leaves ON log_block
BEGIN SELECT RAISE(ABORT, 'log blocks are not edited'); END;

CREATE TRIGGER log_block_final_stays BEFORE DELETE ON log_block WHEN OLD.state = 'final'
BEGIN SELECT RAISE(ABORT, 'final log blocks stay'); END;

CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY CHECK (size >= 1),
  note TEXT NOT NULL
) STRICT;

-- --- inventory -------------------------------------------------------------------------------------------------------

CREATE TABLE import (
  import_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  file_sha256 BLOB NOT NULL CHECK (length(file_sha256) = 32),
  file_name TEXT NOT NULL,
  rows INTEGER NOT NULL CHECK (rows >= 0),
  state TEXT NOT NULL CHECK (state IN ('staged', 'final')),
  imported_ms INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX import_once ON import (source, file_sha256) WHERE state = 'final';

-- One SE and key name. Rows of an import that is not final are invisible (view `inventory`).
-- UNIQUE (se_serial, family, key_name) makes the derivation input unique too: it is master, family, part, key name,
-- generation and serial, and there is one row for each family, serial and key name; its generation only grows.
CREATE TABLE se (
  se_id INTEGER PRIMARY KEY,
  family TEXT NOT NULL CHECK (family IN ('pkcs11', 'atecc608', 'optiga-trust-m', 'tpm2')),
  se_serial BLOB NOT NULL CHECK (length(se_serial) BETWEEN 1 AND 64),
  key_name TEXT NOT NULL DEFAULT 'dac' CHECK (length(key_name) BETWEEN 1 AND 63),
  part TEXT NOT NULL CHECK (length(part) <= 64),
  lot TEXT NOT NULL CHECK (length(lot) <= 64),
  device_serial TEXT NOT NULL CHECK (length(device_serial) <= 64),
  generation INTEGER NOT NULL DEFAULT 1 CHECK (generation >= 1),
  transport_kind TEXT NOT NULL CHECK (transport_kind IN ('derived', 'delivered', 'public')),
  transport_name TEXT NOT NULL CHECK (length(transport_name) BETWEEN 1 AND 63),
  transport_data BLOB NOT NULL CHECK (length(transport_data) <= 4096),
  import_id INTEGER NOT NULL REFERENCES import (import_id),
  line INTEGER NOT NULL CHECK (line >= 1),
  CHECK (transport_kind <> 'derived' OR length(transport_data) = 0),
  UNIQUE (family, se_serial, key_name)
) STRICT;

CREATE INDEX se_of_import ON se (import_id);
CREATE INDEX se_by_device_serial ON se (device_serial) WHERE device_serial <> '';
CREATE UNIQUE INDEX se_delivered_key_once ON se (transport_data) WHERE transport_kind = 'delivered';

CREATE TRIGGER se_generation_grows BEFORE UPDATE OF generation ON se WHEN NEW.generation < OLD.generation
BEGIN SELECT RAISE(ABORT, 'the generation of an SE only grows'); END;

CREATE VIEW inventory AS
  SELECT se.*, import.source AS source FROM se JOIN import USING (import_id) WHERE import.state = 'final';

-- An ordered list of SEs that a batch plan was made for; `root` = RFC 6962 root over the canonical entries.
CREATE TABLE se_list (
  list_id INTEGER PRIMARY KEY,
  root BLOB NOT NULL UNIQUE CHECK (length(root) = 32),
  count INTEGER NOT NULL CHECK (count >= 1)
) STRICT;

CREATE TABLE se_list_entry (
  list_id INTEGER NOT NULL REFERENCES se_list (list_id),
  idx INTEGER NOT NULL CHECK (idx >= 0),
  se_id INTEGER NOT NULL REFERENCES se (se_id),
  leaf_hash BLOB NOT NULL CHECK (length(leaf_hash) = 32),  -- of the row as it was then: names a row that changed later
  PRIMARY KEY (list_id, idx),
  UNIQUE (list_id, se_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX se_list_entry_of_se ON se_list_entry (se_id);

-- --- stations (mirror of the registry) -------------------------------------------------------------------------------

CREATE TABLE station (
  station_id BLOB PRIMARY KEY CHECK (length(station_id) = 16),
  name TEXT NOT NULL,
  site TEXT NOT NULL,
  signing_key BLOB NOT NULL CHECK (length(signing_key) = 65),
  agreement_key BLOB NOT NULL CHECK (length(agreement_key) = 65),
  retired INTEGER NOT NULL CHECK (retired IN (0, 1))
) STRICT, WITHOUT ROWID;

-- The last log of each station that was accepted; a log that does not extend it is refused.
CREATE TABLE station_log (
  station_id BLOB PRIMARY KEY REFERENCES station (station_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  size INTEGER NOT NULL CHECK (size >= 0),
  root BLOB NOT NULL CHECK (length(root) = 32),
  frontier BLOB NOT NULL CHECK (length(frontier) >= 8),
  head BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Its leaves as received: for each u32be length and the leaf, u32be length and the SE's signature (or nothing).
CREATE TABLE station_log_block (
  station_id BLOB NOT NULL REFERENCES station (station_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  first_position INTEGER NOT NULL CHECK (first_position >= 0),
  count INTEGER NOT NULL CHECK (count >= 1),
  entries BLOB NOT NULL,
  import_id INTEGER NOT NULL REFERENCES receipts_import (import_id),
  PRIMARY KEY (station_id, generation, first_position)
) STRICT;

-- --- plans and batches -----------------------------------------------------------------------------------------------

CREATE TABLE plan (
  digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
  number INTEGER NOT NULL CHECK (number >= 1),
  operation TEXT NOT NULL,
  octets BLOB NOT NULL CHECK (length(octets) BETWEEN 1 AND 65536),
  state TEXT NOT NULL CHECK (state IN ('made', 'approved', 'run')),
  expires_ms INTEGER NOT NULL,
  made_ms INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX plan_number_is_run_once ON plan (number) WHERE state = 'run';

-- One approval for each officer: v1.SignedBytes, serialised once, of a v1.Approval.
CREATE TABLE plan_approval (
  plan_digest BLOB NOT NULL REFERENCES plan (digest),
  officer_key_id BLOB NOT NULL CHECK (length(officer_key_id) = 32),
  signed_bytes BLOB NOT NULL,
  approved_ms INTEGER NOT NULL,
  PRIMARY KEY (plan_digest, officer_key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE batch (
  batch_id BLOB PRIMARY KEY CHECK (length(batch_id) = 16),
  plan_digest BLOB NOT NULL UNIQUE REFERENCES plan (digest),
  state TEXT NOT NULL
    CHECK (state IN ('planned', 'approved', 'generating', 'sealed', 'out', 'reconciling', 'closed')),
  list_id INTEGER NOT NULL REFERENCES se_list (list_id),
  site TEXT NOT NULL,
  customer TEXT NOT NULL,
  station_id BLOB NOT NULL REFERENCES station (station_id),
  authority TEXT NOT NULL,
  se_count INTEGER NOT NULL CHECK (se_count >= 1),
  target_count INTEGER NOT NULL CHECK (target_count BETWEEN 1 AND se_count),
  segment_count INTEGER NOT NULL CHECK (segment_count >= 1),
  segment_size INTEGER NOT NULL CHECK (segment_size >= 1),
  due_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  made_ms INTEGER NOT NULL,
  started_ms INTEGER,
  closed_ms INTEGER
) STRICT, WITHOUT ROWID;

-- States: prepared (body synced, records and leaves stored), sealed (trailer appended). Before that a segment is at most
-- a file with a temporary name. body_size_bytes: header and chunks, without the trailer.
CREATE TABLE segment (
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

CREATE TABLE manifest (
  batch_id BLOB PRIMARY KEY REFERENCES batch (batch_id),
  state TEXT NOT NULL CHECK (state IN ('prepared', 'sealed')),
  container_id BLOB NOT NULL UNIQUE CHECK (length(container_id) = 16),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  body_size_bytes INTEGER NOT NULL CHECK (body_size_bytes >= 1),
  first_leaf INTEGER NOT NULL CHECK (first_leaf >= 0),
  trailer BLOB,
  CHECK ((state = 'sealed') = (trailer IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- One key for one SE. state: where it ended (I3); `issued` = outstanding. `revoked` = its certificate is revoked,
-- `crl_due` = it has to go on the next CRL: marks beside any state.
-- never_left: an entry of the list for which no segment was sealed when the batch was closed: it has no key.
-- Rows of a segment that is not sealed yet stand for nothing: they are dropped with the segment if it never is.
CREATE TABLE record (
  batch_id BLOB NOT NULL REFERENCES batch (batch_id),
  record_no INTEGER NOT NULL CHECK (record_no >= 0),
  segment_idx INTEGER NOT NULL CHECK (segment_idx >= 0),
  se_id INTEGER NOT NULL REFERENCES se (se_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  public_key BLOB CHECK (length(public_key) = 65),
  public_key_sha256 BLOB UNIQUE CHECK (length(public_key_sha256) = 32),
  certificate_serial BLOB UNIQUE CHECK (length(certificate_serial) = 16),
  certificate_sha256 BLOB CHECK (length(certificate_sha256) = 32),
  challenge BLOB CHECK (length(challenge) = 32),
  state TEXT NOT NULL
    CHECK (state IN ('issued', 'injected', 'quarantined', 'returned', 'never_left', 'revoked')),
  revoked INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
  crl_due INTEGER NOT NULL DEFAULT 0 CHECK (crl_due IN (0, 1)),
  device_serial_bound TEXT NOT NULL DEFAULT '' CHECK (length(device_serial_bound) <= 64),
  PRIMARY KEY (batch_id, record_no),
  CHECK ((state = 'never_left') = (public_key IS NULL)),
  CHECK ((public_key IS NULL) = (public_key_sha256 IS NULL) AND (public_key IS NULL) = (certificate_serial IS NULL)
    AND (public_key IS NULL) = (certificate_sha256 IS NULL) AND (public_key IS NULL) = (challenge IS NULL)),
  CHECK (state <> 'revoked' OR revoked = 1)
) STRICT, WITHOUT ROWID;

-- se_id stands for family, serial and key name.
CREATE UNIQUE INDEX record_one_live_key_per_chip ON record (se_id) WHERE revoked = 0 AND state <> 'never_left';
CREATE UNIQUE INDEX record_one_key_per_generation ON record (se_id, generation) WHERE state <> 'never_left';
CREATE INDEX record_by_state ON record (batch_id, state);
CREATE INDEX record_by_device_serial ON record (device_serial_bound) WHERE device_serial_bound <> '';

-- A record ends once: what was injected, quarantined, returned, never_left or revoked stays so.
CREATE TRIGGER record_state_is_final BEFORE UPDATE OF state ON record
WHEN OLD.state <> 'issued' AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'the state of a record is final'); END;

CREATE TRIGGER record_key_stays BEFORE UPDATE OF public_key, public_key_sha256, certificate_serial,
  certificate_sha256, challenge, se_id, generation ON record
BEGIN SELECT RAISE(ABORT, 'the key of a record is not edited'); END;

-- --- what came home --------------------------------------------------------------------------------------------------

-- checking: its entries are being verified (thrown away if that ends early); staged: all are verified; final: all are
-- applied. next_position: entries of the station's log below it have been applied. frontier: of that log at to_size.
CREATE TABLE receipts_import (
  import_id INTEGER PRIMARY KEY,
  container_id BLOB NOT NULL CHECK (length(container_id) = 16),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  station_id BLOB NOT NULL REFERENCES station (station_id),
  generation INTEGER NOT NULL CHECK (generation >= 1),
  from_size INTEGER NOT NULL CHECK (from_size >= 0),
  to_size INTEGER NOT NULL CHECK (to_size >= from_size),
  root BLOB NOT NULL CHECK (length(root) = 32),
  head BLOB NOT NULL,
  frontier BLOB,
  next_position INTEGER NOT NULL CHECK (next_position BETWEEN from_size AND to_size),
  accepted INTEGER NOT NULL DEFAULT 0 CHECK (accepted >= 0),
  incidents INTEGER NOT NULL DEFAULT 0 CHECK (incidents >= 0),
  state TEXT NOT NULL CHECK (state IN ('checking', 'staged', 'final')),
  imported_ms INTEGER NOT NULL,
  CHECK (state = 'checking' OR frontier IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX receipts_import_one_at_a_time ON receipts_import (state) WHERE state = 'staged';

-- Entries of an import that are verified and not yet applied, by position in the station's log, with what each will
-- do: become the receipt of a record (accept), be an incident, both, or neither.
CREATE TABLE receipt_staged (
  import_id INTEGER NOT NULL REFERENCES receipts_import (import_id),
  position INTEGER NOT NULL CHECK (position >= 0),
  leaf BLOB NOT NULL CHECK (length(leaf) BETWEEN 1 AND 8192),
  signature BLOB NOT NULL CHECK (length(signature) IN (0, 64)),
  accept INTEGER NOT NULL CHECK (accept IN (0, 1)),
  batch_id BLOB CHECK (length(batch_id) = 16),
  record_no INTEGER,
  core_sha256 BLOB CHECK (length(core_sha256) = 32),
  device_serial TEXT NOT NULL DEFAULT '' CHECK (length(device_serial) <= 64),
  incident TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (import_id, position),
  CHECK (accept = 0 OR (batch_id IS NOT NULL AND record_no IS NOT NULL AND core_sha256 IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX receipt_staged_once ON receipt_staged (batch_id, record_no) WHERE accept = 1;
CREATE INDEX receipt_staged_device ON receipt_staged (device_serial) WHERE device_serial <> '';

-- The first accepted receipt of a record is final: the primary key. Its identity is record and core, not signature.
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

CREATE UNIQUE INDEX receipt_of_leaf ON receipt (station_id, generation, position);

CREATE TRIGGER receipt_is_final BEFORE UPDATE ON receipt
BEGIN SELECT RAISE(ABORT, 'the first accepted receipt is final'); END;

CREATE TABLE incident (
  incident_id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),
  subject TEXT NOT NULL CHECK (length(subject) <= 256),
  text TEXT NOT NULL,
  evidence BLOB NOT NULL,
  evidence_sha256 BLOB NOT NULL CHECK (length(evidence_sha256) = 32),
  batch_id BLOB CHECK (length(batch_id) = 16),
  record_no INTEGER,
  station_id BLOB CHECK (length(station_id) = 16),
  state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
  seen_ms INTEGER NOT NULL,
  UNIQUE (kind, subject, evidence_sha256)
) STRICT;

-- Containers that came in: same id and digest is a no-op, another digest an incident.
CREATE TABLE container_seen (
  container_id BLOB PRIMARY KEY CHECK (length(container_id) = 16),
  digest BLOB NOT NULL CHECK (length(digest) = 32),
  type TEXT NOT NULL,
  station_id BLOB CHECK (length(station_id) = 16),
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- --- tokens ----------------------------------------------------------------------------------------------------------

CREATE TABLE token (
  token_id BLOB PRIMARY KEY CHECK (length(token_id) = 16),
  first_seen_ms INTEGER NOT NULL,
  note TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- begun = the gate has agreed, the token may carry its card; writing = the card is on it, files may be;
-- done = all are read back and compared. token_card is empty until the gate has given it.
CREATE TABLE export (
  batch_id BLOB NOT NULL REFERENCES batch (batch_id),
  token_id BLOB NOT NULL REFERENCES token (token_id),
  state TEXT NOT NULL CHECK (state IN ('begun', 'writing', 'done')),
  token_card BLOB NOT NULL DEFAULT x'',
  begun_ms INTEGER NOT NULL,
  done_ms INTEGER,
  PRIMARY KEY (batch_id, token_id)
) STRICT, WITHOUT ROWID;
