-- The highest revocation list of the appliance that reached this station. What it names is never taken off again.
CREATE TABLE revocation_list (
  one     INTEGER PRIMARY KEY CHECK (one = 1),
  number  INTEGER NOT NULL CHECK (number > 0),
  sha256  BLOB NOT NULL CHECK (length(sha256) = 32),  -- of its payload
  retired INTEGER NOT NULL CHECK (retired IN (0, 1)),  -- this station itself
  seen_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER revocation_list_grows BEFORE UPDATE ON revocation_list
WHEN NEW.number <= OLD.number OR NEW.retired < OLD.retired
BEGIN SELECT RAISE(ABORT, 'a revocation list is followed by higher ones only'); END;

CREATE TABLE revoked_batch (
  batch_id BLOB PRIMARY KEY CHECK (length(batch_id) = 16)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER revoked_batch_stays BEFORE DELETE ON revoked_batch BEGIN SELECT RAISE(ABORT, 'revoked for good'); END;
