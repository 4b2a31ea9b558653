//! A heartbeat client whose lines are read, and a server that speaks HTTPS to it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{PULSEMX_BEAT, Server, free_port, wait_for};

/// A running `pulsemx-beat run`. Killed when dropped.
pub struct Client {
    pub child: Child,
    pub said: Arc<Mutex<Vec<String>>>,
}

impl Client {
    /// With these arguments behind `run --token-file TOKEN`.
    pub fn start(token: &Path, arguments: &[&str]) -> Self {
        Self::start_under(&[], token, arguments)
    }

    /// As a child of another program, such as `faketime`.
    pub fn start_under(wrapper: &[&str], token: &Path, arguments: &[&str]) -> Self {
        let mut words = wrapper.iter().copied().chain([PULSEMX_BEAT]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["run", "--token-file"])
            .arg(token)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, lines) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    /// Waits until one of the lines contains `what`.
    pub fn wait_said(&self, what: &str, limit: Duration) {
        wait_for(&format!("the client says '{what}'"), limit, || {
            self.said.lock().unwrap().iter().any(|line| line.contains(what)).then_some(())
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the client said: {:#?}", self.said.lock().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that speaks HTTPS as `localhost` as well, and the certificate to believe.
pub struct Secure {
    pub server: Server,
    pub https: String,
    pub ca: PathBuf,
}

impl Secure {
    pub fn start(interval: &str) -> Self {
        let mut server = Server::start(interval, "");
        server.stop();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ca, key) = (server.folder().join("cert.pem"), server.folder().join("key.pem"));
        fs::write(&ca, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let text = fs::read_to_string(server.config()).unwrap();
        let web = format!("[web]\nlisten = \"{}\"", server.web);
        let both = format!("[web]\nlisten = [\"{}\", \"0.0.0.0:{port}\"]", server.web);
        let tls = format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", ca.display(), key.display());
        assert!(text.contains(&web));
        fs::write(server.config(), text.replace(&web, &both) + &tls).unwrap();
        server.run();
        Self { server, https: format!("https://localhost:{port}/"), ca }
    }

    /// The arguments of a client that knows this server's HTTPS and believes its certificate.
    pub fn arguments(&self) -> [&str; 4] {
        ["--https", &self.https, "--ca-file", self.ca.to_str().unwrap()]
    }
}
