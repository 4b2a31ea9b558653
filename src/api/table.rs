//! Every operation of the API with the scope it needs: the one list from which the routes are made, and with which a test
//! compares `web/openapi.json`.

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, post, put};

use super::driver::Api;
use super::{account, events, mail, names, office, tokens};
use crate::account::Scope;
use crate::dns::zone_file::ZONE_FILE_OCTETS_MAX;
use crate::recipient::list::UPLOAD_OCTETS_MAX;

/// Octets of an ordinary body.
const BODY_OCTETS_MAX: usize = 64 * 1024;
/// Octets of a zone file within JSON, where each may take two.
const QUOTED_ZONE_OCTETS_MAX: usize = 2 * ZONE_FILE_OCTETS_MAX + BODY_OCTETS_MAX;

/// One method of one address.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What the token has to open; nothing where any valid token does.
    pub(super) scope: Option<Scope>,
    /// Octets of a body, at most.
    pub(super) octets_max: usize,
    pub(super) handler: MethodRouter<Arc<Api>>,
}

fn op(
    method: &'static str,
    path: &'static str,
    scope: impl Into<Option<Scope>>,
    handler: MethodRouter<Arc<Api>>,
) -> Operation {
    Operation { method, path, scope: scope.into(), octets_max: BODY_OCTETS_MAX, handler }
}

/// All of them but `openapi.json`, which needs no token.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Operation> {
    use Scope::{Admin, Content, Dns, SpoolRead, SpoolWrite, Status};
    let large = |octets_max, operation| Operation { octets_max, ..operation };
    vec![
        op("GET", "/api/v1/account", Status, get(account::show)),
        op("GET", "/api/v1/account/history", Status, get(account::history)),
        op("GET", "/api/v1/account/outages", Status, get(account::outages)),
        op("GET", "/api/v1/account/days", Status, get(account::days)),
        op("GET", "/api/v1/account/public", Admin, get(account::public)),
        op("PUT", "/api/v1/account/public", Admin, put(account::set_public)),
        op("GET", "/api/v1/events", Status, get(events::driver::stream)),
        op("GET", "/api/v1/messages", SpoolRead, get(mail::list)),
        op("POST", "/api/v1/messages/retry", SpoolWrite, post(mail::retry_all)),
        op("GET", "/api/v1/messages/{id}", SpoolRead, get(mail::show)),
        op("GET", "/api/v1/messages/{id}/trace", SpoolRead, get(mail::trace)),
        op("GET", "/api/v1/messages/{id}/content", Content, get(mail::content)),
        op("POST", "/api/v1/messages/{id}/hold", SpoolWrite, post(mail::hold)),
        op("POST", "/api/v1/messages/{id}/release", SpoolWrite, post(mail::release)),
        op("POST", "/api/v1/messages/{id}/retry", SpoolWrite, post(mail::retry)),
        op("POST", "/api/v1/messages/{id}/fail", SpoolWrite, post(mail::fail)),
        op("POST", "/api/v1/messages/{id}/drop", SpoolWrite, post(mail::discard)),
        op("GET", "/api/v1/domains", Dns, get(names::domains)),
        op("GET", "/api/v1/zones", Dns, get(names::zones)),
        op("GET", "/api/v1/zones/{zone}", Dns, get(names::zone)),
        op("GET", "/api/v1/zones/{zone}/file", Dns, get(names::export)),
        large(ZONE_FILE_OCTETS_MAX, op("PUT", "/api/v1/zones/{zone}/file", Dns, put(names::import))),
        op("POST", "/api/v1/zones/{zone}/records", Dns, post(names::set_records)),
        large(QUOTED_ZONE_OCTETS_MAX, op("POST", "/api/v1/zones/{zone}/check", Dns, post(names::check))),
        op("GET", "/api/v1/recipients", Admin, get(office::recipients)),
        large(UPLOAD_OCTETS_MAX, op("PUT", "/api/v1/recipients", Admin, put(office::import_recipients))),
        op("GET", "/api/v1/alerts", Admin, get(office::alerts)),
        op("POST", "/api/v1/alerts/{id}/test", Admin, post(office::test_alert)),
        op("GET", "/api/v1/drill", Admin, get(office::drill)),
        op("POST", "/api/v1/drill", Admin, post(office::begin_drill)),
        op("GET", "/api/v1/audit", Admin, get(office::audit)),
        op("GET", "/api/v1/token", None, get(tokens::own)),
        op("POST", "/api/v1/token/rotate", None, post(tokens::rotate_own)),
        op("GET", "/api/v1/tokens", Admin, get(tokens::list)),
        op("POST", "/api/v1/tokens", Admin, post(tokens::make)),
        op("DELETE", "/api/v1/tokens/{id}", Admin, delete(tokens::revoke)),
        op("POST", "/api/v1/tokens/{id}/rotate", Admin, post(tokens::rotate)),
    ]
}

/// Method and path of every operation, and the scope it needs (`None`: any valid token). For tests and documents.
#[must_use]
pub fn operations() -> Vec<(&'static str, &'static str, Option<Scope>)> {
    table().into_iter().map(|operation| (operation.method, operation.path, operation.scope)).collect()
}
