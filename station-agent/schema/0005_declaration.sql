-- The product's Certification Declaration (Matter) as the batch's manifest carries it, for whoever puts it into the
-- device's firmware. Public; no row: the batch has none.
CREATE TABLE batch_declaration (
  batch_id BLOB PRIMARY KEY REFERENCES batch (batch_id),
  cms      BLOB NOT NULL CHECK (length(cms) BETWEEN 1 AND 4096),
  signer   BLOB CHECK (length(signer) BETWEEN 1 AND 4096)  -- certificate in DER; NULL: the plan names none
) STRICT, WITHOUT ROWID;
