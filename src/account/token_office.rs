//! The one place where tokens of the API are made, changed and recognised: for the pages, the commands and the API.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::api_token::{
    ApiToken, ApiTokenError, ApiTokenId, ApiTokenStore, LABEL_CHARS_MAX, Presented, Rotation, Scope, Scopes,
    TOKENS_PER_ACCOUNT_MAX, TokenText, new_id, new_secret,
};
use super::store::Change;
use crate::base::{AccountId, WallTime};

/// How long the secret before a rotation is still good unless said otherwise.
pub const OVERLAP: Duration = Duration::from_secs(86_400);
/// The longest overlap.
pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Between two writes of the last use of one token.
const USE_EVERY_S: i64 = 3_600;

/// Who gives a token away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grantor {
    /// Somebody of the account who may change it.
    Member,
    /// The operator, who reads no mail and so gives nobody the right to.
    Operator,
    /// Another token: no more than it opens itself.
    Token(Scopes),
}

impl Grantor {
    /// # Errors
    /// [`ApiTokenError::NotYours`] with the first scope that is not his to give.
    fn check(self, scopes: Scopes) -> Result<(), ApiTokenError> {
        let may_give = |scope: Scope| match self {
            Self::Member => true,
            Self::Operator => scope != Scope::Content,
            Self::Token(own) => own.has(scope),
        };
        match scopes.iter().find(|scope| !may_give(*scope)) {
            Some(scope) => Err(ApiTokenError::NotYours(scope)),
            None => Ok(()),
        }
    }
}

/// A token that is wanted.
#[derive(Clone, Debug)]
pub struct NewApiToken {
    /// Whose.
    pub account: AccountId,
    /// What it is for.
    pub label: String,
    /// What it opens.
    pub scopes: Scopes,
    /// When it stops to be valid.
    pub expires_at: Option<WallTime>,
}

/// A token with its secret, which nobody can show again.
pub struct FreshApiToken {
    /// As stored.
    pub token: ApiToken,
    /// The whole text.
    pub text: TokenText,
}

/// All tokens, in memory and in the store.
pub struct ApiTokens {
    store: Arc<dyn ApiTokenStore>,
    known: RwLock<BTreeMap<ApiTokenId, ApiToken>>,
    /// Some token opens [`Scope::Etrn`].
    has_logins: AtomicBool,
}

impl ApiTokens {
    /// Reads what is stored.
    ///
    /// # Errors
    /// [`ApiTokenError::Engine`].
    pub async fn load(store: Arc<dyn ApiTokenStore>) -> Result<Self, ApiTokenError> {
        let known: BTreeMap<_, _> =
            store.api_tokens().await?.into_iter().map(|token| (token.id.clone(), token)).collect();
        let has_logins = AtomicBool::new(opens_port_25(&known));
        Ok(Self { store, known: RwLock::new(known), has_logins })
    }

    /// Whether some token may prove on port 25 who is there, run-out ones included. Costs nothing.
    #[must_use]
    pub fn has_logins(&self) -> bool {
        self.has_logins.load(Ordering::Relaxed)
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<ApiTokenId, ApiToken>) -> T) -> T {
        change(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn look<T>(&self, look: impl FnOnce(&BTreeMap<ApiTokenId, ApiToken>) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tokens of an account, the oldest first; of all accounts without one.
    #[must_use]
    pub fn list(&self, account: Option<AccountId>) -> Vec<ApiToken> {
        let is_meant = |token: &&ApiToken| account.is_none_or(|account| token.account == account);
        let mut tokens: Vec<ApiToken> = self.look(|known| known.values().filter(is_meant).cloned().collect());
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    /// One token of an account.
    ///
    /// # Errors
    /// [`ApiTokenError::NoToken`].
    pub fn find(&self, account: AccountId, id: &ApiTokenId) -> Result<ApiToken, ApiTokenError> {
        let found = self.look(|known| known.get(id).filter(|token| token.account == account).cloned());
        found.ok_or_else(|| ApiTokenError::NoToken(id.clone()))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`ApiTokenError`]; nothing was made then.
    pub async fn make(&self, new: NewApiToken, by: Grantor, change: Change) -> Result<FreshApiToken, ApiTokenError> {
        let label = new.label.trim();
        if label.is_empty() || label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control) {
            return Err(ApiTokenError::Label);
        }
        if new.scopes.is_empty() {
            return Err(ApiTokenError::NoScope);
        }
        if new.expires_at.is_some_and(|end| end <= change.at) {
            return Err(ApiTokenError::Expired);
        }
        by.check(new.scopes)?;
        let id = new_id()?;
        let (text, verifier) = new_secret(&id)?;
        let token = ApiToken {
            id: id.clone(),
            account: new.account,
            label: label.to_owned(),
            scopes: new.scopes,
            verifier,
            old: None,
            made_by: change.who.clone(),
            created_at: change.at,
            rotated_at: None,
            expires_at: new.expires_at,
            last_used_at: None,
        };
        self.store.add_api_token(token.clone(), change).await?;
        self.change(|known| {
            known.insert(id, token.clone());
            self.has_logins.store(opens_port_25(known), Ordering::Relaxed);
        });
        Ok(FreshApiToken { token, text })
    }

    /// Gives a token a new secret; the one of today stays good for `overlap`, [`OVERLAP_MAX`] at most. An older one ends
    /// at once.
    ///
    /// # Errors
    /// [`ApiTokenError`]; the secret of today is the only one then.
    pub async fn rotate(
        &self,
        account: AccountId,
        id: &ApiTokenId,
        overlap: Duration,
        by: Grantor,
        change: Change,
    ) -> Result<FreshApiToken, ApiTokenError> {
        let token = self.find(account, id)?;
        by.check(token.scopes)?;
        if token.is_expired(change.at) {
            return Err(ApiTokenError::Expired);
        }
        let (text, verifier) = new_secret(id)?;
        let rotation = Rotation { verifier, old_until: change.at + overlap.min(OVERLAP_MAX) };
        let token = self.store.rotate_api_token(account, id.clone(), rotation, change).await?;
        self.change(|known| known.insert(id.clone(), token.clone()));
        Ok(FreshApiToken { token, text })
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// [`ApiTokenError`]; it is good as before then.
    pub async fn revoke(&self, account: AccountId, id: &ApiTokenId, change: Change) -> Result<(), ApiTokenError> {
        self.store.revoke_api_token(account, id.clone(), change).await?;
        self.change(|known| {
            known.remove(id);
            self.has_logins.store(opens_port_25(known), Ordering::Relaxed);
        });
        Ok(())
    }

    /// The token that this text opens. One answer, and about one time, for all that open none.
    #[must_use]
    pub fn holder(&self, text: &str, now: WallTime) -> Option<ApiToken> {
        let presented = Presented::read(text)?;
        self.look(|known| {
            let token = known.get(&presented.id);
            token.filter(|_| presented.opens(token, now)).cloned()
        })
    }

    /// Keeps that a token was used: in memory, and in the store once an hour.
    ///
    /// # Errors
    /// [`ApiTokenError::Engine`]; the time is known until the next restart.
    pub async fn used(&self, id: &ApiTokenId, now: WallTime) -> Result<(), ApiTokenError> {
        let hour = now.timestamp() - now.timestamp().rem_euclid(USE_EVERY_S);
        let Some(hour) = WallTime::from_timestamp(hour, 0) else { return Ok(()) };
        let is_new = self.change(|known| {
            let Some(token) = known.get_mut(id).filter(|token| token.last_used_at < Some(hour)) else { return false };
            token.last_used_at = Some(hour);
            true
        });
        if is_new { self.store.use_api_token(id.clone(), hour).await } else { Ok(()) }
    }
}

fn opens_port_25(known: &BTreeMap<ApiTokenId, ApiToken>) -> bool {
    known.values().any(|token| token.scopes.has(Scope::Etrn))
}

/// For the stores: whether one more token has a place.
///
/// # Errors
/// [`ApiTokenError::Full`].
pub fn require_place(count: usize) -> Result<(), ApiTokenError> {
    if count >= TOKENS_PER_ACCOUNT_MAX { Err(ApiTokenError::Full(TOKENS_PER_ACCOUNT_MAX)) } else { Ok(()) }
}
