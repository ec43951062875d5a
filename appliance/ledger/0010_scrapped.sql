-- A trigger for each row cost more than all else that an INSERT of a record does (5.2 of 10.1 us); the segment's records are
-- held against se_scrapped at once, as they are held against their parents (batch_store.cpp).
DROP TRIGGER record_not_for_a_scrapped_se;
