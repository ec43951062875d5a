CREATE TABLE note (item_id INTEGER NOT NULL REFERENCES item (id), text TEXT NOT NULL) STRICT;
INSERT INTO item (id, name, body) VALUES (1, 'a[0];b\c${d}', x'00');
