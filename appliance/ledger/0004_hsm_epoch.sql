-- HSMs that were lost, and their logs. An HSM that was restored from a backup has a log of its own, from leaf 0; the old
-- one is kept whole beside it. `successor` is set when the new HSM's log names the take-over: until then the officers'
-- decision was approved, and its leaf may still be under way.
CREATE TABLE old_hsm (
  epoch INTEGER PRIMARY KEY CHECK (epoch >= 1),
  appliance_id BLOB NOT NULL UNIQUE CHECK (length(appliance_id) = 32),
  log_size INTEGER NOT NULL CHECK (log_size >= 0),
  checkpoint TEXT NOT NULL,  -- the last one that is known
  successor BLOB CHECK (length(successor) = 32),
  adopted_ms INTEGER,
  CHECK ((successor IS NULL) = (adopted_ms IS NULL))
) STRICT;

CREATE TABLE old_log_block (
  epoch INTEGER NOT NULL REFERENCES old_hsm (epoch),
  first_index INTEGER NOT NULL CHECK (first_index >= 0),
  count INTEGER NOT NULL CHECK (count BETWEEN 1 AND 65536),
  leaves BLOB NOT NULL,
  PRIMARY KEY (epoch, first_index)
) STRICT;

CREATE TABLE old_checkpoint (
  epoch INTEGER NOT NULL REFERENCES old_hsm (epoch),
  size INTEGER NOT NULL CHECK (size >= 1),
  note TEXT NOT NULL,
  PRIMARY KEY (epoch, size)
) STRICT;

-- Final blocks of the log stay, here or there.
DROP TRIGGER log_block_final_stays;
CREATE TRIGGER log_block_final_stays BEFORE DELETE ON log_block
WHEN OLD.state = 'final' AND NOT EXISTS (SELECT 1 FROM old_log_block AS kept JOIN old_hsm USING (epoch)
  WHERE successor IS NULL AND kept.first_index = OLD.first_index AND kept.count = OLD.count AND kept.leaves = OLD.leaves)
BEGIN SELECT RAISE(ABORT, 'final log blocks stay'); END;

CREATE TRIGGER old_log_block_is_not_edited BEFORE UPDATE ON old_log_block
BEGIN SELECT RAISE(ABORT, 'old log blocks are not edited'); END;

CREATE TRIGGER old_log_block_stays BEFORE DELETE ON old_log_block
BEGIN SELECT RAISE(ABORT, 'old log blocks stay'); END;

-- Which HSM's log a batch's leaves are in, and whose kf-export sealed it.
ALTER TABLE batch ADD COLUMN hsm_epoch INTEGER NOT NULL DEFAULT 1;

CREATE TRIGGER batch_is_of_this_hsm AFTER INSERT ON batch
BEGIN
  UPDATE batch SET hsm_epoch = 1 + (SELECT count(*) FROM old_hsm WHERE successor IS NOT NULL)
    WHERE batch_id = NEW.batch_id;
END;
