-- Adds what the server of a domain said of an address that nobody has.
-- Why: one that takes it takes every address, so that its yes tells nothing of who lives there.

-- NULL: never asked, or no clear answer.
ALTER TABLE recipient_domain ADD COLUMN call_out INTEGER;
ALTER TABLE recipient_domain ADD COLUMN call_out_at INTEGER;
