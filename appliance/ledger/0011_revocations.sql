-- A CA's own certificate stands on the CRL of the CA above it: an entry is of a record, or of such a CA.
CREATE TABLE crl_entry_new (
  authority TEXT NOT NULL CHECK (length(authority) BETWEEN 1 AND 63),
  position INTEGER NOT NULL CHECK (position >= 0),
  certificate_serial BLOB NOT NULL CHECK (length(certificate_serial) = 16),
  revoked_ms INTEGER NOT NULL,
  reason INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10),  -- RFC 5280 section 5.3.1
  batch_id BLOB,
  record_no INTEGER,
  ca TEXT UNIQUE,
  PRIMARY KEY (authority, position),
  UNIQUE (batch_id, record_no),
  CHECK ((batch_id IS NULL) = (record_no IS NULL) AND (batch_id IS NULL) <> (ca IS NULL)),
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no)
) STRICT, WITHOUT ROWID;

INSERT INTO crl_entry_new (authority, position, certificate_serial, revoked_ms, reason, batch_id, record_no)
  SELECT authority, position, certificate_serial, revoked_ms, reason, batch_id, record_no FROM crl_entry
  ORDER BY authority, position;

DROP TABLE crl_entry;
ALTER TABLE crl_entry_new RENAME TO crl_entry;

CREATE TRIGGER crl_entry_stays BEFORE UPDATE ON crl_entry
BEGIN SELECT RAISE(ABORT, 'an entry of a CRL is not edited'); END;

-- CAs of ours that officers revoked, due for the issuer's next CRL until an entry names them.
CREATE TABLE ca_revoked (
  name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
  issuer TEXT NOT NULL CHECK (length(issuer) BETWEEN 1 AND 63),
  certificate_serial BLOB NOT NULL UNIQUE CHECK (length(certificate_serial) = 16),
  crl_reason INTEGER NOT NULL CHECK (crl_reason BETWEEN 0 AND 10),
  reason TEXT NOT NULL,
  plan_digest BLOB NOT NULL CHECK (length(plan_digest) = 32),
  revoked_ms INTEGER NOT NULL,
  CHECK (name <> issuer)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ca_revoked_stays BEFORE UPDATE ON ca_revoked
BEGIN SELECT RAISE(ABORT, 'a revocation is not edited'); END;

-- CRLs of outside CAs that were taken in, and which records, due until then, they revoke.
CREATE TABLE outside_crl (
  crl_sha256 BLOB NOT NULL PRIMARY KEY CHECK (length(crl_sha256) = 32),
  authority TEXT NOT NULL CHECK (length(authority) BETWEEN 1 AND 63),
  this_update_ms INTEGER NOT NULL,
  records INTEGER NOT NULL CHECK (records >= 1),
  der BLOB NOT NULL,
  plan_digest BLOB NOT NULL CHECK (length(plan_digest) = 32),
  noted_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE outside_revoked (
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  crl_sha256 BLOB NOT NULL REFERENCES outside_crl (crl_sha256),
  revoked_ms INTEGER NOT NULL,  -- as the CRL says
  reason INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10),
  PRIMARY KEY (batch_id, record_no),
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER outside_revoked_stays BEFORE UPDATE ON outside_revoked
BEGIN SELECT RAISE(ABORT, 'what an outside CA revoked is not edited'); END;
