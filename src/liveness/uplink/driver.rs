//! Opens the connections that prove our own uplink.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::proof;
use crate::liveness::driver::Liveness;
use crate::liveness::guard::UplinkProof;

/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait for one connection.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Addresses that are asked, at most.
pub const ADDRESSES_MAX: usize = 8;

/// Asks while a mass miss is on, until the shutdown. Without addresses the operator decides.
pub async fn run(liveness: Arc<Liveness>, mut addresses: Vec<SocketAddr>, shutdown: CancellationToken) {
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return;
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        if liveness.is_uplink_in_doubt() {
            let answers = ask(&addresses).await;
            tracing::info!(v4 = ?answers.v4, v6 = ?answers.v6, "own uplink asked");
            liveness.handle_uplink(answers);
        }
    }
}

/// One round.
pub async fn ask(addresses: &[SocketAddr]) -> UplinkProof {
    let questions: Vec<_> = addresses
        .iter()
        .map(|address| {
            let address = *address;
            tokio::spawn(async move {
                let opened = tokio::time::timeout(ANSWER_WITHIN, TcpStream::connect(address)).await;
                (address, matches!(opened, Ok(Ok(_))))
            })
        })
        .collect();
    let mut answers = Vec::with_capacity(questions.len());
    for question in questions {
        if let Ok(answer) = question.await {
            answers.push(answer);
        }
    }
    proof(&answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_takes_connections_proves_the_uplink_and_a_closed_port_does_not() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let both = ask(&[open.local_addr().unwrap(), closed]).await;
        assert_eq!(both, UplinkProof { v4: Some(true), v6: None });
        assert_eq!(ask(&[closed]).await, UplinkProof { v4: Some(false), v6: None });
    }
}
