//! Tokens of the API: what each opens, how its secret is made and told from a wrong one, what a store keeps of it.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::store::Change;
use crate::base::{AccountId, WallTime};

/// Tokens of one account, at most: a few programs with one or two each.
pub const TOKENS_PER_ACCOUNT_MAX: usize = 50;
/// Characters of a label, at most.
pub const LABEL_CHARS_MAX: usize = 60;
/// Octets of a token as text, at most; longer ones are not looked at.
pub const TOKEN_OCTETS_MAX: usize = 64;
/// Octets of a secret: 160 bits, so that nobody guesses it and its image needs no salt.
const SECRET_OCTETS: usize = 20;
/// Octets of an id: 60 bits of them are shown.
const ID_OCTETS: usize = 8;
/// Characters of an id behind its first letter.
const ID_CHARS: usize = 12;
const PREFIX: &str = "pma-";
const CONTEXT: &str = "pulsemx 2026-11-24 api token v1 verifier";

/// One thing that a token may open. None of them opens a heartbeat or an update of an address: those have tokens of
/// their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// State, history and events of the account.
    Status,
    /// Domains, the records they need, zones.
    Dns,
    /// Lists of messages and what became of each: envelopes, no header field.
    SpoolRead,
    /// Hold, release, try again, give up, remove.
    SpoolWrite,
    /// Subjects and the messages themselves. Never given by the operator, who reads no mail.
    Content,
    /// Alerts, drills, recipients, the audit log, other tokens.
    Admin,
    /// ETRN on port 25 after AUTH: the customer's own server asks for what waits. Nothing of the API.
    Etrn,
}

impl Scope {
    /// In the order in which they are told.
    pub const ALL: [Self; 7] =
        [Self::Status, Self::Dns, Self::SpoolRead, Self::SpoolWrite, Self::Content, Self::Admin, Self::Etrn];

    /// As stored, in commands and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Dns => "dns",
            Self::SpoolRead => "spool:read",
            Self::SpoolWrite => "spool:write",
            Self::Content => "content",
            Self::Admin => "admin",
            Self::Etrn => "etrn",
        }
    }

    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// The word is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no scope; there are status, dns, spool:read, spool:write, content, admin and etrn")]
pub struct UnknownScope(String);

impl FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        let unknown = || UnknownScope(word.chars().take(40).collect());
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(unknown)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether `scope` is in it.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of it is in `other` as well.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What is in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// Words with commas between.
    ///
    /// # Errors
    /// [`UnknownScope`] with the first word that is none.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// Words with commas between, as stored.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iter().map(Scope::as_str).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Scope::as_str))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        words.iter().map(|word| word.parse::<Scope>()).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

/// The public half of a token: says which one is meant and opens nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ApiTokenId(String);

/// The text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an API token is a t and 12 letters and digits; see `pulsemx token list`")]
pub struct ApiTokenIdError;

fn is_base32(text: &str, chars: usize) -> bool {
    text.len() == chars && text.bytes().all(|octet| octet.is_ascii_lowercase() || (b'2'..=b'7').contains(&octet))
}

impl FromStr for ApiTokenId {
    type Err = ApiTokenIdError;
    fn from_str(text: &str) -> Result<Self, ApiTokenIdError> {
        let rest = text.strip_prefix('t').ok_or(ApiTokenIdError)?;
        if is_base32(rest, ID_CHARS) { Ok(Self(text.to_owned())) } else { Err(ApiTokenIdError) }
    }
}

impl ApiTokenId {
    /// As shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ApiTokenId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ApiTokenId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A token as text: `pma-ID-SECRET`. Wiped when dropped.
pub struct TokenText(Zeroizing<String>);

impl TokenText {
    /// What is shown once.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the id of a new token.
pub(super) fn new_id() -> Result<ApiTokenId, ApiTokenError> {
    let mut octets = [0u8; ID_OCTETS];
    getrandom::fill(&mut octets).map_err(|_| ApiTokenError::NoRandomness)?;
    let text = BASE32_NOPAD.encode(&octets).to_ascii_lowercase();
    Ok(ApiTokenId(format!("t{}", text.chars().take(ID_CHARS).collect::<String>())))
}

/// Makes a secret for the token `id`: the whole text, and the image that the store keeps.
pub(super) fn new_secret(id: &ApiTokenId) -> Result<(TokenText, [u8; 32]), ApiTokenError> {
    let mut octets = Zeroizing::new([0u8; SECRET_OCTETS]);
    getrandom::fill(&mut *octets).map_err(|_| ApiTokenError::NoRandomness)?;
    let secret = Zeroizing::new(BASE32_NOPAD.encode(&*octets).to_ascii_lowercase());
    let image = verifier(&secret);
    Ok((TokenText(Zeroizing::new(format!("{PREFIX}{id}-{}", &*secret))), image))
}

fn verifier(secret: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, secret.as_bytes())
}

/// What somebody sent in place of a token: which one it says it is, and the image of its secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) id: ApiTokenId,
    image: [u8; 32],
}

impl Presented {
    /// Reads `pma-ID-SECRET`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix(PREFIX).filter(|_| text.len() <= TOKEN_OCTETS_MAX)?;
        let (id, secret) = rest.split_once('-')?;
        Some(Self { id: id.parse().ok()?, image: verifier(secret) })
    }

    /// Whether it opens `token` now. Takes the same time for each wrong secret, and for a token that is not there.
    pub(super) fn opens(&self, token: Option<&ApiToken>, now: WallTime) -> bool {
        let (current, old) = token.map_or(([0; 32], None), |token| (token.verifier, token.old));
        let old = old.filter(|(_, until)| *until > now).map_or([0; 32], |(image, _)| image);
        let is_right = self.image.ct_eq(&current) | self.image.ct_eq(&old);
        bool::from(is_right) && token.is_some_and(|token| !token.is_expired(now))
    }
}

/// A token as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiToken {
    /// Says which one is meant.
    pub id: ApiTokenId,
    /// Whose.
    pub account: AccountId,
    /// What it is for, in the words of whoever made it.
    pub label: String,
    /// What it opens.
    pub scopes: Scopes,
    /// One-way image of its secret.
    pub verifier: [u8; 32],
    /// The image before the last rotation, and until when that is still good.
    pub old: Option<([u8; 32], WallTime)>,
    /// By whom.
    pub made_by: String,
    /// When it was made.
    pub created_at: WallTime,
    /// When its secret was changed last.
    pub rotated_at: Option<WallTime>,
    /// When it stops to be valid.
    pub expires_at: Option<WallTime>,
    /// When it was used last, to the hour.
    pub last_used_at: Option<WallTime>,
}

impl ApiToken {
    /// Whether it opens nothing any more.
    #[must_use]
    pub fn is_expired(&self, now: WallTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Who did what was done with it, in the audit log.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("API token {} ({})", self.id, self.label)
    }
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApiTokenError {
    /// No such account.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// No such token in this account.
    #[error("this account has no API token {0}; see `pulsemx token list`")]
    NoToken(ApiTokenId),
    /// The account has too many.
    #[error("this account has {0} API tokens already; revoke one first")]
    Full(usize),
    /// An odd label.
    #[error("the label says what the token is for in 1 to 60 characters")]
    Label,
    /// It would open nothing.
    #[error("say what the token opens: at least one scope")]
    NoScope,
    /// It would end in the past.
    #[error("the token has run out; make a new one")]
    Expired,
    /// It would open more than its maker may give.
    #[error("scope '{}' is not yours to give", .0.as_str())]
    NotYours(Scope),
    /// The system gave no random numbers.
    #[error("the system has no random numbers; try again later")]
    NoRandomness,
    /// The engine failed.
    #[error("the store of tokens failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a rotation writes.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Image of the new secret.
    pub verifier: [u8; 32],
    /// Until when the secret of today is still good.
    pub old_until: WallTime,
}

/// Keeps tokens. Changes by a person carry their audit row in the same transaction. A token goes with its account.
#[async_trait]
pub trait ApiTokenStore: Send + Sync {
    /// Every token, run-out ones included, by time of making and id.
    async fn api_tokens(&self) -> Result<Vec<ApiToken>, ApiTokenError>;
    /// Adds one.
    async fn add_api_token(&self, token: ApiToken, change: Change) -> Result<(), ApiTokenError>;
    /// Gives one a new secret; returns it as it is now.
    async fn rotate_api_token(
        &self,
        account: AccountId,
        id: ApiTokenId,
        rotation: Rotation,
        change: Change,
    ) -> Result<ApiToken, ApiTokenError>;
    /// Removes one.
    async fn revoke_api_token(&self, account: AccountId, id: ApiTokenId, change: Change) -> Result<(), ApiTokenError>;
    /// Keeps when one was used. Not synced at once: a lost one costs an hour on a page.
    async fn use_api_token(&self, id: ApiTokenId, at: WallTime) -> Result<(), ApiTokenError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> WallTime {
        WallTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn token(id: ApiTokenId, verifier: [u8; 32]) -> ApiToken {
        ApiToken {
            id,
            account: AccountId(1),
            label: "test".to_owned(),
            scopes: Scopes::from_iter([Scope::Status]),
            verifier,
            old: None,
            made_by: "anna".to_owned(),
            created_at: at(0),
            rotated_at: None,
            expires_at: None,
            last_used_at: None,
        }
    }

    #[test]
    fn a_text_opens_its_token_and_no_other() {
        let id = new_id().unwrap();
        let (text, image) = new_secret(&id).unwrap();
        assert!(text.as_str().len() <= TOKEN_OCTETS_MAX, "{}", text.as_str());
        let known = token(id.clone(), image);
        let opens = |text: &str, known| Presented::read(text).is_some_and(|sent| sent.opens(known, at(0)));
        assert!(opens(text.as_str(), Some(&known)));
        assert!(!opens(text.as_str(), None));
        assert!(!opens(new_secret(&id).unwrap().0.as_str(), Some(&known)));
        for wrong in ["", "pma-", "pma-t-x", &text.as_str()[1..], &format!("{}x", text.as_str())] {
            assert!(!opens(wrong, Some(&known)), "{wrong}");
        }
        assert_eq!(text.as_str().parse::<ApiTokenId>(), Err(ApiTokenIdError), "a whole token is no id");
    }

    #[test]
    fn the_secret_before_a_rotation_is_good_until_its_overlap_ends() {
        let id = new_id().unwrap();
        let ((old, old_image), (new, new_image)) = (new_secret(&id).unwrap(), new_secret(&id).unwrap());
        let known = ApiToken { old: Some((old_image, at(60))), ..token(id, new_image) };
        let opens = |text: &TokenText, second| Presented::read(text.as_str()).unwrap().opens(Some(&known), at(second));
        assert!(opens(&old, 59) && opens(&new, 59) && opens(&new, 60));
        assert!(!opens(&old, 60));
        let ended = ApiToken { expires_at: Some(at(50)), ..known.clone() };
        assert!(!Presented::read(new.as_str()).unwrap().opens(Some(&ended), at(50)));
    }

    #[test]
    fn scopes_are_read_as_they_were_written() {
        let set = Scopes::parse(" content,spool:read ").unwrap();
        assert_eq!(set.to_string(), "spool:read,content");
        assert_eq!(serde_json::to_string(&set).unwrap(), r#"["spool:read","content"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(r#"["content","spool:read"]"#).unwrap(), set);
        assert!(Scopes::parse("root").is_err() && Scopes::parse("").unwrap().is_empty());
        assert!(set.is_within(Scopes::from_iter(Scope::ALL)) && !Scopes::from_iter(Scope::ALL).is_within(set));
    }
}
