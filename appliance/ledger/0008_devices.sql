-- What officers decide about one device whose record has ended, and releases from quarantine, in the order in which
-- it happened. crl_reason: the code (RFC 5280 section 5.3.1) under which this act put the certificate on the next CRL;
-- NULL where it was revoked before. first_person, second_person: the two who scrapped it.
CREATE TABLE device_act (
  act INTEGER PRIMARY KEY,
  kind TEXT NOT NULL CHECK (kind IN ('revoked', 'scrapped', 'reworked', 'rma', 'released')),
  batch_id BLOB NOT NULL,
  record_no INTEGER NOT NULL,
  device_serial TEXT NOT NULL DEFAULT '' CHECK (length(device_serial) <= 64),
  crl_reason INTEGER CHECK (crl_reason BETWEEN 0 AND 10),
  reason TEXT NOT NULL DEFAULT '' CHECK (length(reason) <= 200),
  rma TEXT NOT NULL DEFAULT '' CHECK (length(rma) <= 64),
  first_person INTEGER,
  second_person INTEGER,
  evidence_sha256 BLOB CHECK (length(evidence_sha256) = 32),
  new_se_id INTEGER REFERENCES se (se_id),
  plan_digest BLOB CHECK (length(plan_digest) = 32),
  time_ms INTEGER NOT NULL,
  FOREIGN KEY (batch_id, record_no) REFERENCES record (batch_id, record_no),
  CHECK ((kind = 'scrapped') = (first_person IS NOT NULL)),
  CHECK ((first_person IS NULL) = (second_person IS NULL) AND first_person IS NOT second_person OR kind <> 'scrapped'),
  CHECK ((kind = 'reworked') = (new_se_id IS NOT NULL)),
  CHECK ((kind = 'rma') = (rma <> ''))
) STRICT;

CREATE UNIQUE INDEX device_act_once ON device_act (batch_id, record_no, kind);
CREATE UNIQUE INDEX device_act_revokes_once ON device_act (batch_id, record_no) WHERE crl_reason IS NOT NULL;
CREATE INDEX device_act_of_device ON device_act (device_serial) WHERE device_serial <> '';
CREATE INDEX device_act_of_new_se ON device_act (new_se_id) WHERE new_se_id IS NOT NULL;

CREATE TRIGGER device_act_is_not_edited BEFORE UPDATE ON device_act
BEGIN SELECT RAISE(ABORT, 'an act about a device is not edited'); END;
CREATE TRIGGER device_act_stays BEFORE DELETE ON device_act
BEGIN SELECT RAISE(ABORT, 'an act about a device stays'); END;

-- SEs that are no more, whatever the key name: never again in a batch.
CREATE TABLE se_scrapped (
  family TEXT NOT NULL,
  se_serial BLOB NOT NULL,
  act INTEGER NOT NULL REFERENCES device_act (act),
  PRIMARY KEY (family, se_serial)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER se_scrapped_stays BEFORE DELETE ON se_scrapped
BEGIN SELECT RAISE(ABORT, 'a scrapped SE stays scrapped'); END;

-- The first EXISTS costs next to nothing where nothing was scrapped; rows of never_left stand for no key.
CREATE TRIGGER record_not_for_a_scrapped_se BEFORE INSERT ON record
WHEN NEW.state <> 'never_left' AND EXISTS (SELECT 1 FROM se_scrapped) AND EXISTS
  (SELECT 1 FROM se JOIN se_scrapped USING (family, se_serial) WHERE se_id = NEW.se_id)
BEGIN SELECT RAISE(ABORT, 'this SE was scrapped'); END;

-- Its device has another SE by now: this one bears the device's serial no more, and gets no record.
ALTER TABLE se ADD COLUMN device_replaced INTEGER NOT NULL DEFAULT 0 CHECK (device_replaced IN (0, 1));
