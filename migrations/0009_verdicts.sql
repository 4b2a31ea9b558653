-- Adds what the checks of the sender came to: SPF, DKIM, DMARC, ARC, iprev, as JSON (src/verdict/finding.rs).
-- Why: whether a bounce may go back to a sender depends on them, and a person wants to see them. A message without a row
-- was not checked. The row goes with its message.

CREATE TABLE verdict (
    message INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    findings TEXT NOT NULL
);
