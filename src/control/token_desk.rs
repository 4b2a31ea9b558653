//! Carries out the commands about tokens of the API.

use std::time::Duration;

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use super::token_request::{ApiTokenShown, FreshTokenShown, TokenRequest};
use crate::account::{AccountName, ApiTokenError, FreshApiToken, Grantor, NewApiToken};
use crate::base::{AccountId, WallTime};

impl From<ApiTokenError> for CommandError {
    fn from(error: ApiTokenError) -> Self {
        Self::new(error.to_string())
    }
}

fn fresh(made: &FreshApiToken, account: AccountName, now: WallTime) -> Reply {
    let shown = ApiTokenShown::of(&made.token, account, now);
    Reply::ApiToken(Box::new(FreshTokenShown { token: made.text.as_str().to_owned(), shown }))
}

impl Desk {
    pub(super) async fn carry_out_token(&self, request: TokenRequest, now: WallTime) -> Result<Reply, CommandError> {
        let tokens = &self.running()?.tokens;
        let id_of = |name: &AccountName| find(&self.directory.load(), name).map(|account| account.id);
        match request {
            TokenRequest::New { account, label, scopes, valid_s } => {
                let expires_at = valid_s.map(|seconds| now + Duration::from_secs(seconds));
                let new = NewApiToken { account: id_of(&account)?, label, scopes, expires_at };
                let made = tokens.make(new, Grantor::Operator, Self::change(now)).await?;
                Ok(fresh(&made, account, now))
            }
            TokenRequest::Rotate { account, id, overlap_s } => {
                let (owner, overlap) = (id_of(&account)?, Duration::from_secs(overlap_s));
                let made = tokens.rotate(owner, &id, overlap, Grantor::Operator, Self::change(now)).await?;
                Ok(fresh(&made, account, now))
            }
            TokenRequest::Revoke { account, id } => {
                tokens.revoke(id_of(&account)?, &id, Self::change(now)).await?;
                let message = format!("API token {id} of {account} opens nothing any more");
                Ok(Reply::Done { message, warnings: Vec::new() })
            }
        }
    }

    /// The tokens of the API of one account or of all, for `token list`.
    pub(super) async fn api_tokens(
        &self,
        only: Option<AccountId>,
        now: WallTime,
    ) -> Result<Vec<ApiTokenShown>, CommandError> {
        let rows = match &self.running {
            Some(running) => running.tokens.list(only),
            None => self.api_tokens.api_tokens().await?,
        };
        let directory = self.directory.load();
        let rows = rows.iter().filter(|token| only.is_none_or(|only| token.account == only));
        let shown = rows
            .filter_map(|token| Some(ApiTokenShown::of(token, directory.account(token.account)?.name.clone(), now)));
        Ok(shown.collect())
    }
}
