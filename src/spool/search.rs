//! What a person looks for among the stored messages of one account, and which messages that are.

use super::store::{ListCursor, ListQuery, MessageRow, RecipientRow, SpoolError, SpoolStore, StateFilter};
use crate::base::{AccountId, SpoolId, WallTime};

/// Recipients that one search looks at, at most: it answers at once on a spool of any size, and says where it
/// stopped. Exact addresses are found over an index and rarely come near it.
pub const LOOKED_AT_MAX: usize = 5_000;
/// Characters of the words of a search that count.
pub const WORDS_CHARS_MAX: usize = 254;
/// Messages of one page, at most.
pub const SEARCH_ROWS_MAX: u32 = 1_000;
/// Rows that the plain way through [`SpoolStore::list`] reads at once.
const STEP_ROWS: u32 = 1_000;

/// What the sender or a recipient has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Words {
    /// This whole address; ASCII letters of either case are the same.
    Address(String),
    /// This text somewhere in the address, of either case; in lower case.
    Part(String),
}

impl Words {
    /// What a person typed. `None` for nothing.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let typed: String = typed.trim().chars().take(WORDS_CHARS_MAX).collect();
        if typed.is_empty() {
            return None;
        }
        let is_address = typed.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.ends_with('.') && !typed.contains(char::is_whitespace)
        });
        Some(if is_address { Self::Address(typed) } else { Self::Part(typed.to_lowercase()) })
    }

    /// Whether an address is meant.
    #[must_use]
    pub fn matches(&self, address: &str) -> bool {
        match self {
            Self::Address(whole) => whole.eq_ignore_ascii_case(address),
            // Most addresses: nothing is copied.
            Self::Part(part) if address.is_ascii() => {
                address.as_bytes().windows(part.len()).any(|piece| piece.eq_ignore_ascii_case(part.as_bytes()))
            }
            Self::Part(part) => address.to_lowercase().contains(part.as_str()),
        }
    }
}

/// A search, oldest message first.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// Whose messages.
    pub account: AccountId,
    /// In which states.
    pub filter: StateFilter,
    /// Sender or recipient.
    pub words: Option<Words>,
    /// Accepted at this time or later.
    pub accepted_from: Option<WallTime>,
    /// Accepted before this time.
    pub accepted_until: Option<WallTime>,
    /// Continue behind this message.
    pub after: Option<ListCursor>,
    /// Rows, at most [`SEARCH_ROWS_MAX`].
    pub limit: u32,
}

impl SearchQuery {
    /// Ids that are looked at: above the first, below the second. Ids rise with the time of acceptance.
    #[must_use]
    pub fn range(&self) -> (i64, i64) {
        let from = self.accepted_from.map_or(-1, |at| SpoolId::first_of(at).as_i64() - 1);
        let after = self.after.map_or(-1, |cursor| cursor.0.as_i64());
        let until = self.accepted_until.map_or(i64::MAX, |at| SpoolId::first_of(at).as_i64());
        (from.max(after), until)
    }

    fn matches(&self, row: &MessageRow) -> bool {
        let is_meant = |words: &Words| {
            let is_found = |r: &RecipientRow| self.filter.is_of(r.state) && words.matches(&r.mailbox);
            words.matches(&row.reverse_path) || row.recipients.iter().any(is_found)
        };
        self.words.as_ref().is_none_or(is_meant)
    }
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchPage {
    /// Oldest first.
    pub rows: Vec<MessageRow>,
    /// Where to go on; absent when everything was looked at.
    pub next: Option<ListCursor>,
    /// The search stopped at [`LOOKED_AT_MAX`] before the page was full; go on at `next`.
    pub is_cut: bool,
}

/// The plain way, over the lists of an engine.
///
/// # Errors
/// Those of [`SpoolStore::list`].
pub async fn by_list<S: SpoolStore + ?Sized>(store: &S, query: SearchQuery) -> Result<SearchPage, SpoolError> {
    let limit = query.limit.clamp(1, SEARCH_ROWS_MAX) as usize;
    let (above, below) = query.range();
    let mut after = (above >= 0).then(|| ListCursor(SpoolId::from_i64(above)));
    let mut found: Vec<MessageRow> = Vec::new();
    let mut looked_at = 0;
    loop {
        let list = ListQuery { account: Some(query.account), filter: query.filter, after, limit: STEP_ROWS };
        let step = store.list(list).await?;
        for row in step.rows {
            if row.id.as_i64() >= below {
                return Ok(SearchPage { rows: found, next: None, is_cut: false });
            }
            if looked_at >= LOOKED_AT_MAX {
                return Ok(SearchPage { rows: found, next: after, is_cut: true });
            }
            after = Some(ListCursor(row.id));
            looked_at += row.recipients.len();
            if query.matches(&row) {
                if found.len() == limit {
                    let next = found.last().map(|last| ListCursor(last.id));
                    return Ok(SearchPage { rows: found, next, is_cut: false });
                }
                found.push(row);
            }
        }
        if step.next.is_none() {
            return Ok(SearchPage { rows: found, next: None, is_cut: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_address_is_meant_exactly_and_anything_else_as_a_part() {
        let words = |typed| Words::parse(typed).unwrap();
        assert_eq!(words(" a@B.example "), Words::Address("a@B.example".to_owned()));
        assert!(words("a@b.example").matches("A@b.EXAMPLE") && !words("a@b.example").matches("xa@b.example"));
        for part in ["@b.example", "a@b", "B.example", "a@b.", "a b@c.example"] {
            assert!(matches!(words(part), Words::Part(_)), "{part}");
        }
        assert!(words("BÜCHER").matches("jörg@bücher.example") && !words("%").matches("a@b.example"));
        assert_eq!(Words::parse("  \t"), None);
    }
}
