-- Adds what a person sees of the own sessions, language and zone, a password for those who want one, and public pages.
-- Why: who signs in has to be able to see where else, and to end it; and an account may show its state to everybody.

ALTER TABLE web_session ADD COLUMN made_at INTEGER;
ALTER TABLE web_session ADD COLUMN seen_at INTEGER;
-- Name of the browser, cut.
ALTER TABLE web_session ADD COLUMN agent TEXT;
ALTER TABLE web_session ADD COLUMN address TEXT;

-- A row for each person who chose something.
CREATE TABLE person_choice (
    person INTEGER PRIMARY KEY REFERENCES person (id) ON DELETE CASCADE,
    -- 'de', 'en'; NULL is as the browser says.
    tongue TEXT,
    -- Name in the IANA time zone database; NULL is as the browser says.
    zone TEXT
) STRICT;

CREATE TABLE person_password (
    person INTEGER PRIMARY KEY REFERENCES person (id) ON DELETE CASCADE,
    -- Argon2id as PHC string.
    hash TEXT NOT NULL
) STRICT;

-- Accounts whose state everybody may see who has the address.
CREATE TABLE publication (
    account INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    page_id TEXT NOT NULL UNIQUE,
    badge_id TEXT NOT NULL UNIQUE
) STRICT;
