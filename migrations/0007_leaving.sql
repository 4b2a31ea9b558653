-- Adds since when an account has its status, and the names that were served here once.
-- Why: an account that ends goes on in peace (30 days of "try again later"), and a dynamic name that pointed at a
-- customer is never given to anybody else: old MX and CNAME records of that customer still lead to it.

ALTER TABLE account ADD COLUMN status_since INTEGER;

CREATE TABLE retired_name (
    name TEXT NOT NULL PRIMARY KEY,
    -- Whose it was. Row numbers of accounts are never given twice.
    account INTEGER NOT NULL,
    is_dynamic INTEGER NOT NULL,
    deferred_until INTEGER NOT NULL
) WITHOUT ROWID;
