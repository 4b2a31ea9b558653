-- Adds the last fire drill of each account.
-- Why: the set-up check shows whether the backup was ever seen to work, also after a restart.

CREATE TABLE drill (
    account INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    -- JSON: times, steps, result.
    record TEXT NOT NULL
) STRICT;
