//! Who asks, once `driver`'s guard has let him in.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::driver::Api;
use super::problem::Fault;
use crate::account::{Account, ApiToken, Change, Grantor, Scope};
use crate::alert::Language;
use crate::base::WallTime;

/// The holder of a valid token with the scope that the operation needs.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) account: Account,
    pub(super) token: ApiToken,
    pub(super) language: Language,
    pub(super) now: WallTime,
}

impl Caller {
    /// A change on behalf of the token, now.
    pub(super) fn change(&self) -> Change {
        Change { at: self.now, who: self.token.actor() }
    }

    /// Subjects and other fields of the header are content.
    pub(super) const fn sees_header(&self) -> bool {
        self.token.scopes.has(Scope::Content)
    }

    pub(super) const fn grantor(&self) -> Grantor {
        Grantor::Token(self.token.scopes)
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Fault;

    /// Refused where an operation without a guard names it: nobody asks there.
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Fault> {
        parts.extensions.get::<Self>().cloned().ok_or(Fault::NoToken)
    }
}
