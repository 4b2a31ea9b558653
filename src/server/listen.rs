//! Which sockets a `listen` setting means: a wildcard of IPv6 stands for both families.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Addresses to bind for a setting. `[::]:25` also means `0.0.0.0:25`, unless that is listed itself: each family has a
/// socket of its own, so that peers always appear with their own kind of address.
#[must_use]
pub fn expand(listed: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::with_capacity(listed.len() + 1);
    for address in listed {
        let twin = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
        let wants_twin = address.ip() == IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) && address.port() != 0;
        for wanted in [Some(*address), wants_twin.then_some(twin)].into_iter().flatten() {
            if !all.contains(&wanted) {
                all.push(wanted);
            }
        }
    }
    all
}

/// Connections that wait to be taken from the kernel, per web listener.
const BACKLOG: i32 = 1024;

/// A TCP listener for browsers. An IPv6 address takes IPv6 only, as the sockets of the other rooms do, so that both
/// wildcards go side by side.
///
/// # Errors
/// Those of the socket.
pub fn tcp(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds every address of a setting with `bind`. A machine without IPv6 may lack the IPv6 wildcard as long as the
/// IPv4 one works.
///
/// # Errors
/// That of the first address that has to work and does not.
pub fn bind_all<S, E: std::fmt::Display>(
    listed: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> Result<S, E>,
) -> Result<Vec<S>, E> {
    let mut bound = Vec::new();
    let mut forgiven = None;
    for address in expand(listed) {
        match bind(address) {
            Ok(socket) => bound.push(socket),
            Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
                tracing::warn!(%address, %error, "the IPv6 wildcard cannot be bound");
                forgiven = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match forgiven {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn the_ipv6_wildcard_means_both_families() {
        assert_eq!(expand(&addresses(&["[::]:25"])), addresses(&["[::]:25", "0.0.0.0:25"]));
        assert_eq!(expand(&addresses(&["[::]:25", "0.0.0.0:25"])), addresses(&["[::]:25", "0.0.0.0:25"]));
        assert_eq!(expand(&addresses(&["[::1]:25", "127.0.0.1:26"])), addresses(&["[::1]:25", "127.0.0.1:26"]));
    }

    #[test]
    fn both_wildcards_of_one_port_go_side_by_side() {
        let v4 = tcp("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = v4.local_addr().unwrap().port();
        // A machine without IPv6 cannot show it.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            tcp(SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), port)).unwrap();
        }
    }

    #[test]
    fn a_machine_without_ipv6_serves_ipv4() {
        let no_v6 = |a: SocketAddr| if a.is_ipv6() { Err("no IPv6") } else { Ok(a) };
        assert_eq!(bind_all(&addresses(&["[::]:25"]), no_v6), Ok(addresses(&["0.0.0.0:25"])));
        assert_eq!(bind_all(&addresses(&["[2001:db8::1]:25"]), no_v6), Err("no IPv6"));
        let nothing = |_: SocketAddr| Err::<(), _>("taken");
        assert_eq!(bind_all(&addresses(&["[::]:25"]), nothing), Err("taken"));
    }
}
