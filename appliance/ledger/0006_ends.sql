-- What ends: the entries of CRLs in the order in which they were added, the CRLs themselves, and who has which token.

-- Records that are due for a CRL, without reading whole batches.
CREATE INDEX record_on_crl ON record (batch_id, record_no) WHERE crl_due = 1;

-- A CRL is the last one of its CA with more entries behind it.
CREATE TABLE crl_entry (
  authority TEXT NOT NULL CHECK (length(authority) BETWEEN 1 AND 63),
  position INTEGER NOT NULL CHECK (position >= 0),
  certificate_serial BLOB NOT NULL CHECK (length(certificate_serial) = 16),
  revoked_ms INTEGER NOT NULL,
  reason INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10),  -- RFC 5280 section 5.3.1
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  PRIMARY KEY (authority, position),
  UNIQUE (batch_id, record_no),
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER crl_entry_stays BEFORE UPDATE ON crl_entry
BEGIN SELECT RAISE(ABORT, 'an entry of a CRL is not edited'); END;

CREATE TABLE crl (
  authority TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number >= 1),
  entries INTEGER NOT NULL CHECK (entries >= 0),
  this_update_ms INTEGER NOT NULL,
  next_update_ms INTEGER NOT NULL,
  der BLOB NOT NULL,
  PRIMARY KEY (authority, number)
) STRICT;

-- Quarantined and returned SEs that somebody here has held: the rest is the factory's word.
CREATE TABLE se_in_hand (
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  noted_ms INTEGER NOT NULL,
  PRIMARY KEY (batch_id, record_no),
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no)
) STRICT, WITHOUT ROWID;

-- Acts of custody over tokens, each with its signed statement; state: after the act.
CREATE TABLE custody (
  token_id BLOB NOT NULL CHECK (length(token_id) = 16),
  seq INTEGER NOT NULL CHECK (seq >= 1),
  event TEXT NOT NULL CHECK (event IN ('enrolled', 'handed-out', 'returned', 'inspected', 'retired', 'lost')),
  state TEXT NOT NULL CHECK (state IN ('here', 'out', 'back', 'retired', 'lost')),
  label TEXT NOT NULL DEFAULT '' CHECK (length(label) <= 64),
  direction TEXT NOT NULL DEFAULT '' CHECK (direction IN ('', 'out', 'home')),
  bag TEXT NOT NULL DEFAULT '' CHECK (length(bag) <= 64),
  person INTEGER NOT NULL DEFAULT 0 CHECK (person >= 0),
  due_ms INTEGER,
  time_ms INTEGER NOT NULL,
  statement BLOB NOT NULL,  -- encoded SignedBytes
  PRIMARY KEY (token_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER custody_stays BEFORE UPDATE ON custody
BEGIN SELECT RAISE(ABORT, 'an act of custody is not edited'); END;

-- Names of people who are no persons of the registry, for one act each: may be erased.
CREATE TABLE custody_name (
  token_id BLOB NOT NULL,
  seq INTEGER NOT NULL,
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
  PRIMARY KEY (token_id, seq)
) STRICT, WITHOUT ROWID;
