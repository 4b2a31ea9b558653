//! What does a device ask for? Reads the query and the login of dyndns2, DuckDNS and ping requests; tolerates the rest.

use data_encoding::{BASE64, BASE64_NOPAD};

use super::address::{BadAddress, Wanted};
use crate::base::DomainName;

/// Names in one request, at most (dyndns2).
pub const HOSTS_MAX: usize = 20;
/// Octets of a query that are read: 20 names of 253 octets and what else devices say.
pub const QUERY_OCTETS_MAX: usize = 8 * 1024;
/// Parameters that are read.
const PARAMETERS_MAX: usize = 64;

/// The parameters of a query, decoded. Names are compared without case; of two the first counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d`. What is not well formed is taken as it stands: routers do not escape.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.get(..QUERY_OCTETS_MAX).unwrap_or(text);
        Self(
            text.split('&')
                .filter(|part| !part.is_empty())
                .take(PARAMETERS_MAX)
                .map(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    (decoded(name).to_ascii_lowercase(), decoded(value))
                })
                .collect(),
        )
    }

    /// The value, also an empty one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the value says yes.
    #[must_use]
    pub fn is_yes(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| ["yes", "true", "on", "1"].contains(&value.to_ascii_lowercase().as_str()))
    }

    /// The addresses of all parameters that devices use for them; empty where none is named.
    ///
    /// # Errors
    /// [`BadAddress`] if one cannot be read.
    pub fn addresses(&self) -> Result<Wanted, BadAddress> {
        let mut wanted = Wanted::default();
        for name in ["myip", "myipv4", "myipv6", "ip", "ipv4", "ipv6"] {
            if let Some(value) = self.value(name) {
                wanted.add(value)?;
            }
        }
        for name in ["prefix", "ipv6prefix", "ip6lanprefix"] {
            if let Some(value) = self.value(name) {
                wanted.add_prefix(value)?;
            }
        }
        Ok(wanted)
    }

    /// The names of a comma list, each as a name or as what it is not.
    #[must_use]
    pub fn hosts(&self, parameter: &str) -> Vec<Result<DomainName, String>> {
        self.value(parameter)
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                let parsed = DomainName::parse(name).ok().filter(|parsed| parsed.as_str().contains('.'));
                parsed.ok_or_else(|| name.to_owned())
            })
            .collect()
    }
}

/// `%3a` and its like; anything else stands for itself, also `+`.
fn decoded(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| ((h << 4) | l, after)),
            _ => None,
        };
        match escaped {
            Some((octet, after)) => {
                octets.push(octet);
                rest = after;
            }
            None => octets.push(*first),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// User name and token of a request.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// As sent.
    pub user: String,
    /// As sent.
    pub secret: String,
    /// It stood in the address.
    pub is_in_url: bool,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).field("is_in_url", &self.is_in_url).finish_non_exhaustive()
    }
}

impl Login {
    /// Reads `Authorization: Basic ...`; without one, `username` and `password` of the query.
    #[must_use]
    pub fn read(authorization: Option<&str>, query: &Query) -> Option<Self> {
        if let Some(header) = authorization {
            let (scheme, rest) = header.trim().split_once(' ')?;
            if !scheme.eq_ignore_ascii_case("basic") {
                return None;
            }
            let rest = rest.trim().as_bytes();
            let octets = BASE64.decode(rest).or_else(|_| BASE64_NOPAD.decode(rest)).ok()?;
            let text = String::from_utf8(octets).ok()?;
            let (user, secret) = text.split_once(':')?;
            return Some(Self { user: user.to_owned(), secret: secret.to_owned(), is_in_url: false });
        }
        let secret = query.value("password").or_else(|| query.value("token"))?.to_owned();
        Some(Self { user: query.value("username").unwrap_or_default().to_owned(), secret, is_in_url: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_clients_send_is_understood() {
        let ddclient = Query::parse(
            "system=dyndns&hostname=home.dyn.test,office.dyn.test&myip=203.0.113.7&wildcard=ON&mx=mail.dyn.test&backmx=YES",
        );
        assert_eq!(ddclient.hosts("hostname").len(), 2);
        assert!(ddclient.is_yes("backmx") && !ddclient.is_yes("offline"));
        let inadyn = Query::parse("hostname=home.dyn.test&myip=2001%3adb8%3A%3a7");
        assert_eq!(inadyn.addresses().unwrap().v6, Some("2001:db8::7".parse().unwrap()));
        let fritz = Query::parse("hostname=home.dyn.test&myip=203.0.113.7&myipv6=&prefix=2001:db8:1::/56&dualstack=1");
        let wanted = fritz.addresses().unwrap();
        assert!(wanted.v4.is_some() && wanted.v6.is_none() && wanted.prefix.is_some());
        assert!(Query::parse("hostname=a.test").addresses().unwrap().is_empty());
        assert!(Query::parse("myip=nonsense").addresses().is_err());
    }

    #[test]
    fn odd_octets_never_break_the_reader() {
        for text in ["%", "%4", "%zz=%", "&&&==&a", "a=%ff%00", "hostname=%E2%82", "é=ü"] {
            let query = Query::parse(text);
            let _ = (query.addresses(), query.hosts("hostname"));
        }
        assert_eq!(Query::parse("a=1+1&A=2").value("a"), Some("1+1"));
    }

    proptest::proptest! {
        #[test]
        fn no_query_breaks_the_reader(text in ".{0,300}", login in ".{0,80}") {
            let query = Query::parse(&text);
            let hosts = query.hosts("hostname");
            proptest::prop_assert!(hosts.iter().flatten().all(|host| host.as_str().contains('.')));
            let _ = (query.addresses(), Login::read(Some(&login), &query), Login::read(None, &query));
        }

        #[test]
        fn every_address_is_read_back_as_it_was(bits: u128, v4: u32, length in 0u8..=128) {
            let (v6, v4) = (std::net::Ipv6Addr::from_bits(bits), std::net::Ipv4Addr::from_bits(v4));
            let escaped = format!("myip={v4},{v6}/{length}").replace(':', "%3A");
            let wanted = Query::parse(&escaped).addresses().unwrap();
            if std::net::IpAddr::V6(v6).to_canonical().is_ipv6() {
                proptest::prop_assert_eq!(wanted.v4, Some(v4));
                proptest::prop_assert_eq!(wanted.v6.or(wanted.prefix.map(|prefix| prefix.address)), Some(v6));
            }
        }
    }

    #[test]
    fn names_without_a_dot_are_no_names() {
        let hosts = Query::parse("hostname=home, a..b.test ,ok.test,").hosts("hostname");
        assert_eq!(hosts.iter().filter(|host| host.is_err()).count(), 2);
    }

    #[test]
    fn a_login_is_read_from_the_header_and_else_from_the_address() {
        let header = format!("basic {}", BASE64.encode(b"firma:pmu-a:b"));
        let login = Login::read(Some(&header), &Query::parse("password=other")).unwrap();
        assert_eq!((login.user.as_str(), login.secret.as_str(), login.is_in_url), ("firma", "pmu-a:b", false));
        let login = Login::read(None, &Query::parse("username=u&password=p")).unwrap();
        assert_eq!((login.user.as_str(), login.secret.as_str(), login.is_in_url), ("u", "p", true));
        for bad in ["Bearer x", "Basic", "Basic !!!", "Basic YWJj"] {
            assert_eq!(Login::read(Some(bad), &Query::default()), None, "{bad}");
        }
        assert!(!format!("{login:?}").contains('p'.to_string().repeat(2).as_str()));
    }
}
