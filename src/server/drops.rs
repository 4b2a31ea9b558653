//! Watches how many heartbeats the kernel drops because we read too slowly, and tells liveness.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::Clock;
use crate::liveness::Liveness;

/// Between two looks at the kernel's counters.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The tables of UDP sockets, as in proc_net(5). Elsewhere than on Linux there are none, and nothing is told.
const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// Watches until the shutdown.
pub(super) async fn run(liveness: Arc<Liveness>, sockets: Vec<SocketAddr>, shutdown: CancellationToken) {
    let ports: Vec<u16> = sockets.iter().map(SocketAddr::port).collect();
    let mut before: Option<u64> = None;
    let mut looked = Clock.monotonic();
    loop {
        let count = look(&ports).await;
        let now = Clock.monotonic();
        if let (Some(before), Some(count)) = (before, count)
            && count > before
        {
            liveness.handle_drops(count - before, now.since(looked));
            tracing::debug!(dropped = count - before, "heartbeats dropped by the kernel");
        }
        (before, looked) = (count, now);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Datagrams dropped at sockets on these ports since they were opened; `None` if the kernel does not say.
async fn look(ports: &[u16]) -> Option<u64> {
    let mut sum = None;
    for table in TABLES {
        if let Ok(text) = tokio::fs::read_to_string(table).await {
            sum = Some(sum.unwrap_or(0) + dropped(&text, ports));
        }
    }
    sum
}

/// The sum of the last column of the sockets on these ports.
fn dropped(table: &str, ports: &[u16]) -> u64 {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let port = line.split_whitespace().nth(1)?.rsplit(':').next()?;
            let is_ours = ports.contains(&u16::from_str_radix(port, 16).ok()?);
            is_ours.then(|| line.split_whitespace().last()?.parse::<u64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_our_ports_alone_are_summed() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
  1: 0100007F:1595 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11 2 0000000000000000 7\n\
  2: 0200007F:1595 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 12 2 0000000000000000 5\n\
  3: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13 2 0000000000000000 99\n";
        assert_eq!(dropped(table, &[5525]), 12);
        assert_eq!(dropped(table, &[]), 0);
        assert_eq!(dropped("nonsense\nnonsense", &[5525]), 0);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_that_nobody_reads_is_seen_to_drop() {
        let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = deaf.local_addr().unwrap();
        let ports = [address.port()];
        assert_eq!(look(&ports).await, Some(0));
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..20_000 {
            sender.send_to(&[0; 64], address).unwrap();
        }
        assert!(look(&ports).await.is_some_and(|count| count > 100));
    }
}
