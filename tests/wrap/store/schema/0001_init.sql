-- A schema for the tests: "quotes", 'quotes', ; $dollar ${brace} [brackets] and a \ must come through.
CREATE TABLE item (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL CHECK (name <> ';'),
  body BLOB NOT NULL
) STRICT;
