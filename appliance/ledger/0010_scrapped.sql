-- Before a row is made, a trigger has SQLite build it twice; after it, and with many rows in one INSERT as batch_store.cpp makes
-- them, the trigger costs 0.6 us a record in place of 6.
DROP TRIGGER record_not_for_a_scrapped_se;

CREATE TRIGGER record_not_for_a_scrapped_se AFTER INSERT ON record
WHEN NEW.state <> 'never_left' AND EXISTS (SELECT 1 FROM se_scrapped) AND EXISTS
  (SELECT 1 FROM se JOIN se_scrapped USING (family, se_serial) WHERE se_id = NEW.se_id)
BEGIN SELECT RAISE(ABORT, 'this SE was scrapped'); END;
