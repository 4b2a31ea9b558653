//! Switches the public page of an account on and off, for the page, the commands and the API.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use crate::account::{AccountError, Change, PeopleStore, Publication};
use crate::base::AccountId;
use crate::web::sign_in::{NoRandomness, new_secret};

/// Octets of a public id: 128 bits, so that nobody guesses one.
const ID_OCTETS: usize = 16;

fn id(octets: &[u8]) -> String {
    BASE32_NOPAD.encode(octets.get(..ID_OCTETS).unwrap_or(octets)).to_ascii_lowercase()
}

fn fresh() -> Result<Publication, NoRandomness> {
    // The hash of a new secret that nobody is told is as good as chance.
    let page_id = id(&new_secret()?.1);
    let badge_id = id(&Sha256::digest(format!("pulsemx badge v1\n{page_id}")));
    Ok(Publication { page_id, badge_id })
}

/// Makes the state of an account public, or takes it back. What is public already keeps its ids; one that was taken back
/// gets others, so that an old address never comes to life again.
///
/// # Errors
/// [`AccountError::Engine`] also where the system has no random numbers; nothing has changed then.
pub async fn publish(
    store: &dyn PeopleStore,
    account: AccountId,
    is_on: bool,
    change: Change,
) -> Result<Option<Publication>, AccountError> {
    if !is_on {
        store.set_publication(account, None, change).await?;
        return Ok(None);
    }
    if let Some(known) = store.publication(account).await? {
        return Ok(Some(known));
    }
    let new = fresh().map_err(|error| AccountError::Engine(Box::new(error)))?;
    store.set_publication(account, Some(new.clone()), change).await?;
    Ok(Some(new))
}

/// Where everybody finds what is public; paths of this site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The page.
    pub page: String,
    /// The badge.
    pub badge: String,
    /// Outages for a feed reader.
    pub rss: String,
    /// Outages for a calendar.
    pub ics: String,
}

impl Addresses {
    /// Of one account.
    #[must_use]
    pub fn of(public: &Publication) -> Self {
        let Publication { page_id, badge_id } = public;
        Self {
            page: format!("/s/{page_id}"),
            badge: format!("/badge/{badge_id}.svg"),
            rss: format!("/feed/{page_id}.rss"),
            ics: format!("/feed/{page_id}.ics"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_ids_are_chosen_by_chance_and_the_badge_does_not_lead_to_the_page() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one.page_id, other.page_id);
        assert_eq!((one.page_id.len(), one.badge_id.len()), (26, 26));
        assert_ne!(one.page_id, one.badge_id);
        assert!(one.page_id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }
}
