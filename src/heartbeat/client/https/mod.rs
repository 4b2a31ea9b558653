//! Where the way over HTTPS leads, and what is read from the server's answers there (docs/PROTOCOL.md §10).

#[cfg(not(feature = "https"))]
#[path = "absent.rs"]
pub(super) mod driver;
#[cfg(feature = "https")]
pub(super) mod driver;
#[cfg(feature = "https")]
mod tls;
#[cfg(feature = "https")]
mod wire;

use std::net::IpAddr;

/// The address of the server's pages, without a final slash. Plain HTTP only to this machine itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base(String);

impl Base {
    /// Reads `https://HOST[:PORT][/...]`, or `http://` with an address of this machine.
    ///
    /// # Errors
    /// What is wrong with it, for the person who typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("'{text}' is no https://HOST/"))?;
        let host = host_of(rest);
        if host.is_empty() || rest.contains(['?', '#', '@']) || rest.chars().any(char::is_whitespace) {
            return Err(format!("'{text}' is no https://HOST/"));
        }
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match scheme {
            "https" => {}
            "http" if is_here => {}
            "http" => return Err(format!("'{text}' would send the token in the open; use https://")),
            _ => return Err(format!("'{text}' is no https://HOST/")),
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// `https://HOST/` of the host in `HOST:PORT`.
    #[must_use]
    pub fn beside(server: &str) -> Option<Self> {
        let (host, _) = server.rsplit_once(':')?;
        Self::parse(&format!("https://{host}/")).ok()
    }

    /// The address of a path there, such as `/hb`.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/", self.0)
    }
}

/// The host in `HOST[:PORT][/...]`, without the brackets of IPv6.
fn host_of(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split_once(']').map_or("", |(host, _)| host);
    }
    authority.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_over_tls_or_not_beyond_this_machine() {
        assert_eq!(Base::parse("https://mx2.example/").unwrap().join("/hb"), "https://mx2.example/hb");
        assert_eq!(Base::parse("https://[2001:db8::1]:8443").unwrap().join("/hb"), "https://[2001:db8::1]:8443/hb");
        for here in ["http://127.0.0.1:80", "http://[::1]:8080/", "http://localhost/"] {
            assert!(Base::parse(here).is_ok(), "{here}");
        }
        for wrong in
            ["http://mx2.example/", "http://192.0.2.1/", "mx2.example", "ftp://mx2.example", "https://", "https://a@b/"]
        {
            assert!(Base::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_word_https_is_at_the_host_of_the_heartbeats() {
        assert_eq!(Base::beside("mx2.example:5525").unwrap().to_string(), "https://mx2.example/");
        assert_eq!(Base::beside("[::1]:5525").unwrap().to_string(), "https://[::1]/");
    }
}
