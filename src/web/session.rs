//! Cookies and the proof that a POST comes from our own page. Plain values in, plain values out.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::base::WallTime;

/// How a listener is reached; decides the name and the flags of the session cookie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    /// Loopback only.
    Http,
    /// Everywhere else.
    Https,
}

impl Scheme {
    /// `__Host-` binds the cookie to this host and to TLS. Some browsers refuse `Secure` on plain loopback.
    pub(super) const fn session_cookie(self) -> &'static str {
        match self {
            Self::Http => "pulsemx",
            Self::Https => "__Host-pulsemx",
        }
    }

    /// As an address begins.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn secure(self) -> &'static str {
        match self {
            Self::Http => "",
            Self::Https => "; Secure",
        }
    }
}

/// The value of one cookie in a `Cookie` header.
pub(super) fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// `Set-Cookie` for a new session.
pub(super) fn session_cookie(scheme: Scheme, secret: &str, lifetime: Duration) -> String {
    let (name, seconds, secure) = (scheme.session_cookie(), lifetime.as_secs(), scheme.secure());
    format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// When a session that begins now ends by itself.
pub(super) fn ends_at(now: WallTime, lifetime: Duration) -> WallTime {
    chrono::Duration::from_std(lifetime).ok().and_then(|d| now.checked_add_signed(d)).unwrap_or(now)
}

/// `Set-Cookie` that ends a session in the browser.
pub(super) fn ended_session_cookie(scheme: Scheme) -> String {
    session_cookie(scheme, "", Duration::ZERO)
}

/// `Set-Cookie` for a choice of look or language: one year, no secret.
pub(super) fn choice_cookie(scheme: Scheme, name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{}", scheme.secure())
}

/// `Set-Cookie` that forgets such a choice.
pub(super) fn forgotten_choice_cookie(scheme: Scheme, name: &str) -> String {
    format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{}", scheme.secure())
}

/// The token that each form of a session carries: one way from the session's secret, so nothing has to be stored.
pub(super) fn form_token(session_secret: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(format!("pulsemx form token v1\n{session_secret}")))
}

/// Compares in constant time.
pub(super) fn is_form_token(given: &str, session_secret: &str) -> bool {
    given.as_bytes().ct_eq(form_token(session_secret).as_bytes()).into()
}

/// What a browser says about where a request comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Provenance<'a> {
    pub(super) origin: Option<&'a str>,
    pub(super) fetch_site: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    /// Our own origin as browsers see it, where a proxy stands in front of us.
    pub(super) public_origin: Option<&'a str>,
}

impl Provenance<'_> {
    /// Whether a POST comes from a page of ours. Both facts have to agree where both are given; a browser that
    /// gives neither is refused, for every current one sends `Origin` with a POST.
    pub(super) fn is_own_page(&self, scheme: Scheme) -> bool {
        let site = self.fetch_site.map(|site| site == "same-origin");
        let origin = self.origin.map(|origin| {
            let is_public = self.public_origin == Some(origin);
            is_public
                || self.host.is_some_and(|host| {
                    origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_prefix("://")) == Some(host)
                })
        });
        matches!((site, origin), (Some(true), Some(true) | None) | (None, Some(true)))
    }

    /// Whether somebody followed a link on another site. Our cookie was not sent along (SameSite=Strict), so the
    /// person may be signed in all the same.
    pub(super) fn is_foreign_link(&self) -> bool {
        matches!(self.fetch_site, Some("cross-site" | "same-site"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(cookie("a=1; pulsemx=secret; b=2", "pulsemx"), Some("secret"));
        assert_eq!(cookie("xpulsemx=no", "pulsemx"), None);
        assert_eq!(cookie("", "pulsemx"), None);
    }

    #[test]
    fn the_session_cookie_is_bound_to_host_and_tls_except_on_loopback() {
        let tls = session_cookie(Scheme::Https, "s", Duration::from_secs(60));
        assert_eq!(tls, "__Host-pulsemx=s; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure");
        assert!(!session_cookie(Scheme::Http, "s", Duration::from_secs(60)).contains("Secure"));
        assert!(ended_session_cookie(Scheme::Https).contains("Max-Age=0"));
    }

    #[test]
    fn only_our_own_page_may_post() {
        let at =
            |origin, fetch_site| Provenance { origin, fetch_site, host: Some("mx2.example:8443"), public_origin: None };
        let own = Some("https://mx2.example:8443");
        assert!(at(own, Some("same-origin")).is_own_page(Scheme::Https));
        assert!(at(own, None).is_own_page(Scheme::Https));
        assert!(at(None, Some("same-origin")).is_own_page(Scheme::Https));
        assert!(!at(None, None).is_own_page(Scheme::Https));
        assert!(!at(own, Some("cross-site")).is_own_page(Scheme::Https));
        assert!(!at(own, Some("same-site")).is_own_page(Scheme::Https));
        assert!(!at(own, None).is_own_page(Scheme::Http));
        assert!(!at(Some("null"), None).is_own_page(Scheme::Https));
        assert!(!at(Some("https://mx2.example"), None).is_own_page(Scheme::Https));
        assert!(!at(Some("https://evil.example"), Some("same-origin")).is_own_page(Scheme::Https));
    }

    #[test]
    fn behind_a_proxy_the_public_origin_is_ours_as_well() {
        let at = |origin| Provenance {
            origin: Some(origin),
            fetch_site: Some("same-origin"),
            host: Some("127.0.0.1:8025"),
            public_origin: Some("https://mx2.example"),
        };
        assert!(at("https://mx2.example").is_own_page(Scheme::Https));
        assert!(!at("https://mx2.example.evil").is_own_page(Scheme::Https));
        assert!(!at("http://mx2.example").is_own_page(Scheme::Https));
    }

    #[test]
    fn a_form_token_fits_its_session_only() {
        assert!(is_form_token(&form_token("one"), "one"));
        assert!(!is_form_token(&form_token("one"), "two"));
        assert!(!is_form_token("", "one"));
        assert!(!form_token("one").contains("one"));
    }
}
