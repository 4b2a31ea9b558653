-- Adds what happens to an account's mail while its server is there, counts a recipient's refusals apart from its attempts,
-- and keeps what a server took in one table.
-- Why: some owners want their server asked while the sender waits, others cannot be called in session; deferrals are no
-- reason to believe a refusal; and two tables of the same knowledge came to differ.

-- NULL: as the configuration says for all.
ALTER TABLE account ADD COLUMN online_mode TEXT CHECK (online_mode IN ('cut-through', 'defer', 'accept'));

-- 5yz replies that were not believed yet.
ALTER TABLE recipient ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;

-- Quoted names are learned again by themselves.
INSERT INTO recipient_learned (account, domain, name, is_accepted, at)
    SELECT k.account, d.name, substr(k.mailbox, 1, instr(k.mailbox, '@') - 1), 1, k.seen_at
    FROM known_good AS k JOIN domain AS d ON d.account = k.account AND d.name = substr(k.mailbox, instr(k.mailbox, '@') + 1)
    WHERE instr(k.mailbox, '"') = 0
    ON CONFLICT (account, domain, name) DO NOTHING;
DROP TABLE known_good;

-- Without state and due time it stays as it is while a message is claimed and tried: the row has both.
DROP INDEX recipient_held;
CREATE INDEX recipient_held ON recipient (account, message) WHERE state <> 'delivered';
