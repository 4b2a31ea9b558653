-- Adds what happens to an account's mail while its server is there; NULL: as the configuration says for all.
-- Why: some owners want their server asked while the sender waits, others cannot be called in session.
ALTER TABLE account ADD COLUMN online_mode TEXT CHECK (online_mode IN ('cut-through', 'defer', 'accept'));
