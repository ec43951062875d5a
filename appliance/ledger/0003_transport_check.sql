-- Check values of delivered transport keys (wrap/se/FORMAT.md): what tells one from another without telling either. A
-- value occurs once in history, whatever became of the SE. Filled in sorted order, many rows at a time.
CREATE TABLE transport_check (
  check_value BLOB PRIMARY KEY CHECK (length(check_value) = 16),
  se_id INTEGER NOT NULL REFERENCES se (se_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX transport_check_of_se ON transport_check (se_id);

CREATE TRIGGER transport_check_is_final BEFORE UPDATE ON transport_check
BEGIN SELECT RAISE(ABORT, 'the check value of a transport key is not edited'); END;

-- Rows of an import that never became final go with it.
CREATE TRIGGER transport_check_stays BEFORE DELETE ON transport_check
WHEN (SELECT import.state FROM se JOIN import USING (import_id) WHERE se.se_id = OLD.se_id) = 'final'
BEGIN SELECT RAISE(ABORT, 'the check value of a transport key stays'); END;
