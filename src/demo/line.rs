//! The customer's line of the demo: the real heartbeat client in a process of its own, bound to one address.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// A running client. The line drops when this is dropped: the process is killed and says no goodbye.
#[derive(Debug)]
pub struct Line {
    child: Child,
}

impl Line {
    /// Starts the client of this same program, beating from `from` once each `interval`.
    ///
    /// # Errors
    /// Those of starting a process.
    pub fn connect(
        server: SocketAddr,
        account: &str,
        token_file: &Path,
        from: IpAddr,
        interval: &str,
    ) -> std::io::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(["beat", "run", "--quiet", "--server", &server.to_string(), "--account", account])
            .arg("--token-file")
            .arg(token_file)
            .args(["--bind", &from.to_string(), "--interval", interval])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child })
    }

    /// Cuts the line: the process is gone when this returns.
    pub async fn cut(mut self) {
        // It may be gone already; either way no beat comes from it any more.
        let _ = self.child.kill().await;
    }
}
