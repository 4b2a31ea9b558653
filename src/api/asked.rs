//! What a request says beside its token: names in its address, its query, its body. What cannot be read is refused with a
//! sentence; an unknown field is refused too, since it is a slip of the pen.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::driver::Api;
use super::problem::Fault;

/// The one name in the address. One that cannot be what it stands for is nothing that the account has.
pub(super) struct Named<T>(pub(super) T);

impl<T: FromStr + Send> FromRequestParts<Arc<Api>> for Named<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Fault> {
        let params = RawPathParams::from_request_parts(parts, api).await.map_err(|_| Fault::NotFound)?;
        // The site itself knows the rest of the address by a name of its own.
        let named = params.iter().find(|(key, _)| *key == "id" || *key == "zone").map(|(_, value)| value);
        named.and_then(|value| value.parse().ok()).map(Self).ok_or(Fault::NotFound)
    }
}

/// The query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Fault> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(asked)| Self(asked)).map_err(|rejection| Fault::Unreadable(rejection.body_text()))
    }
}

fn is_of(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

/// A body of JSON; an empty one says what `{}` says.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Sent<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Fault> {
        let headers = request.headers().clone();
        let body = octets(request, api).await?;
        if body.is_empty() {
            return read(b"{}").map(Self);
        }
        if !is_of(&headers, "application/json") {
            return Err(Fault::MediaType("application/json"));
        }
        read(&body).map(Self)
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        // What is JSON and says something odd is another matter than what is no JSON.
        if error.is_data() { Fault::Refused(error.to_string()) } else { Fault::Unreadable(error.to_string()) }
    })
}

/// A body of plain text.
pub(super) struct Written(pub(super) String);

impl FromRequest<Arc<Api>> for Written {
    type Rejection = Fault;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Fault> {
        if !is_of(request.headers(), "text/plain") {
            return Err(Fault::MediaType("text/plain; charset=utf-8"));
        }
        let body = octets(request, api).await?;
        let text = String::from_utf8(body.into());
        text.map(Self).map_err(|_| Fault::Unreadable("the body is not UTF-8".to_owned()))
    }
}

/// The guard has read the body already, within its limit.
async fn octets(request: Request, api: &Arc<Api>) -> Result<Bytes, Fault> {
    Bytes::from_request(request, api).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { Fault::TooLarge(0) } else { Fault::Slow }
    })
}
