//! What stands before every page: who asks, in which language, of which account. Taken from the request once, by axum,
//! before a handler runs; a handler that names [`Page`] cannot be reached without a session and a place in the account.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Query, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;

use super::request::{Ask, Button, Door, Shown, Viewer, Visit};
use crate::account::{Account, Change};

/// Part of the address that names the account, as in `/a/{name}`.
const ACCOUNT_PARAM: &str = "name";
/// Stands for a listener that does not say who connected.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A visit by anybody, signed in or not.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) door: Door,
    pub(super) visit: Visit,
    pub(super) headers: HeaderMap,
    /// Who asks, as far as we can see.
    pub(super) peer: IpAddr,
}

/// A visit by somebody who is signed in.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) door: Door,
    pub(super) visit: Visit,
    pub(super) headers: HeaderMap,
    pub(super) viewer: Viewer,
    /// Who asks, as far as we can see.
    pub(super) peer: IpAddr,
}

/// A visit to a page of an account that the viewer may open.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) door: Door,
    pub(super) visit: Visit,
    pub(super) headers: HeaderMap,
    pub(super) viewer: Viewer,
    /// Who asks, as far as we can see.
    pub(super) peer: IpAddr,
    pub(super) account: Account,
}

impl FromRequestParts<Door> for Guest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Response> {
        let ask = Query::<Ask>::try_from_uri(&parts.uri);
        let visit = door.visit(&parts.headers, ask).await?;
        let ConnectInfo(peer) = parts.extensions.get().copied().unwrap_or(ConnectInfo(NOBODY));
        let peer = door.asker(peer.ip().to_canonical(), &parts.headers);
        door.see_session(&visit, &parts.headers, peer).await;
        Ok(Self { door: door.clone(), visit, headers: parts.headers.clone(), peer })
    }
}

impl FromRequestParts<Door> for Member {
    type Rejection = Response;

    /// Refused with the page that says how to sign in.
    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Response> {
        let Guest { door, visit, headers, peer } = Guest::from_request_parts(parts, door).await?;
        let Some(viewer) = visit.viewer.clone() else { return Err(door.signed_out(&visit)) };
        Ok(Self { door, visit, headers, viewer, peer })
    }
}

impl FromRequestParts<Door> for Page {
    type Rejection = Response;

    /// Refused as [`Door::account`] says: an account of others is no such page.
    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Response> {
        let Guest { door, visit, headers, peer } = Guest::from_request_parts(parts, door).await?;
        let params = RawPathParams::from_request_parts(parts, &door).await.map_err(|_| door.not_found(&visit))?;
        let name = params.iter().find(|(key, _)| *key == ACCOUNT_PARAM).map_or("", |(_, value)| value);
        let (viewer, account) = door.account(&visit, name)?;
        Ok(Self { door, visit, headers, viewer, peer, account })
    }
}

impl Member {
    /// See [`Door::check_button`].
    ///
    /// # Errors
    /// The page that refuses it.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
    pub(super) fn check(&self, csrf: &str) -> Result<(), Response> {
        self.door.check_button(&self.visit, &self.headers, &Button { csrf: csrf.to_owned() })
    }

    /// The page that says that the store failed.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) -> Response {
        self.door.failed(&self.visit, error)
    }

    /// A change by the viewer, now.
    pub(super) fn change(&self) -> Change {
        self.door.change(&self.viewer.person.name)
    }
}

impl Page {
    /// See [`Door::check_button`].
    ///
    /// # Errors
    /// The page that refuses it.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
    pub(super) fn check(&self, button: &Button) -> Result<(), Response> {
        self.door.check_button(&self.visit, &self.headers, button)
    }

    /// Whether the viewer may change how the account is set up.
    pub(super) fn may_change(&self) -> bool {
        self.viewer.may_change(self.account.id)
    }

    /// As [`check`](Self::check), for a button that changes how the account is set up.
    ///
    /// # Errors
    /// The page that refuses it.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself and is moved once")]
    pub(super) fn check_change(&self, button: &Button) -> Result<(), Response> {
        self.check(button)?;
        if self.may_change() { Ok(()) } else { Err(self.door.forbidden(&self.visit)) }
    }

    /// See [`Door::seen`].
    ///
    /// # Errors
    /// The page to answer with.
    pub(super) async fn seen(&self, shown: Shown) -> Result<(), Response> {
        self.door.seen(&self.visit, &self.viewer, self.account.id, shown).await
    }

    /// The page that says that the store failed.
    pub(super) fn failed(&self, error: &dyn std::fmt::Display) -> Response {
        self.door.failed(&self.visit, error)
    }

    /// A change by the viewer, now.
    pub(super) fn change(&self) -> Change {
        self.door.change(&self.viewer.person.name)
    }
}
