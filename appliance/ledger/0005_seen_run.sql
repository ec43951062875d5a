-- What a segment adds to the tables of what was ever seen is two sorted runs, a few pages, in place of the `_recent`
-- tables, of which a segment's random values touched every page. Many runs at once move into the large tables.
CREATE TABLE seen_run (
  run INTEGER PRIMARY KEY,
  public_keys BLOB NOT NULL CHECK (length(public_keys) > 0 AND length(public_keys) % 16 = 0),
  serials BLOB NOT NULL CHECK (length(serials) = length(public_keys))
) STRICT;

INSERT INTO seen_public_key SELECT id FROM seen_public_key_recent ORDER BY id;
INSERT INTO seen_serial SELECT id FROM seen_serial_recent ORDER BY id;
DROP TABLE seen_public_key_recent;
DROP TABLE seen_serial_recent;

CREATE TRIGGER seen_run_is_final BEFORE UPDATE ON seen_run
BEGIN SELECT RAISE(ABORT, 'a run of what was seen is not edited'); END;
