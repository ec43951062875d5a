-- How the manifest says that a chain read back from an SE is verified. chain_time 1: by this station's clock, which may
-- be wrong by clock_skew_s; 2: at issuing_ms. NULL: a manifest of an older form.
ALTER TABLE batch ADD COLUMN chain_time INTEGER CHECK (chain_time IN (1, 2));
ALTER TABLE batch ADD COLUMN issuing_ms INTEGER CHECK ((issuing_ms IS NULL) = (chain_time IS NULL));
ALTER TABLE batch ADD COLUMN clock_skew_s INTEGER CHECK ((clock_skew_s IS NULL) = (chain_time IS NULL));
ALTER TABLE batch ADD COLUMN secure_boot_key_sha256 BLOB CHECK (length(secure_boot_key_sha256) = 32);  -- NULL: any
