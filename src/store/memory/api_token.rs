//! Tokens of the API, in memory.

use async_trait::async_trait;

use super::{MemoryStore, misuse};
use crate::account::api_token::Rotation;
use crate::account::token_office::require_place;
use crate::account::{ApiToken, ApiTokenError, ApiTokenId, ApiTokenStore, Change};
use crate::base::{AccountId, WallTime};

type Changed<T> = Result<T, ApiTokenError>;

#[async_trait]
impl ApiTokenStore for MemoryStore {
    async fn api_tokens(&self) -> Changed<Vec<ApiToken>> {
        let tables = self.tables();
        // What hangs on an account that is gone goes with it.
        let kept = tables.api_tokens.values().filter(|token| tables.accounts.contains_key(&token.account));
        let mut tokens: Vec<ApiToken> = kept.cloned().collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    async fn add_api_token(&self, token: ApiToken, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        if !tables.accounts.contains_key(&token.account) {
            return Err(ApiTokenError::NoAccount);
        }
        require_place(tables.api_tokens.values().filter(|known| known.account == token.account).count())?;
        if tables.api_tokens.contains_key(&token.id) {
            return Err(ApiTokenError::Engine(misuse("a token with this id exists")));
        }
        let what = format!("api_token.add {} {} {}", token.id, token.scopes, token.label);
        tables.note(&change, Some(token.account), what);
        tables.api_tokens.insert(token.id.clone(), token);
        Ok(())
    }

    async fn rotate_api_token(
        &self,
        account: AccountId,
        id: ApiTokenId,
        rotation: Rotation,
        change: Change,
    ) -> Changed<ApiToken> {
        let mut tables = self.tables();
        let known = tables.api_tokens.get_mut(&id).filter(|token| token.account == account);
        let Some(token) = known else { return Err(ApiTokenError::NoToken(id)) };
        token.old = Some((token.verifier, rotation.old_until));
        (token.verifier, token.rotated_at) = (rotation.verifier, Some(change.at));
        let token = token.clone();
        tables.note(&change, Some(account), format!("api_token.rotate {id}"));
        Ok(token)
    }

    async fn revoke_api_token(&self, account: AccountId, id: ApiTokenId, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        if tables.api_tokens.get(&id).is_none_or(|token| token.account != account) {
            return Err(ApiTokenError::NoToken(id));
        }
        tables.api_tokens.remove(&id);
        tables.note(&change, Some(account), format!("api_token.revoke {id}"));
        Ok(())
    }

    async fn use_api_token(&self, id: ApiTokenId, at: WallTime) -> Changed<()> {
        if let Some(token) = self.tables().api_tokens.get_mut(&id) {
            token.last_used_at = Some(at);
        }
        Ok(())
    }
}
