//! A server on loopback and a sender that says exactly what it is told to.

pub(crate) mod fakes;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::account::{Directory, DirectoryHandle, Manners};
use crate::base::{DomainName, EndpointId, SpoolIds};
use crate::smtp::{Settings, SmtpRooms, SmtpServer, bind};
use fakes::{Kept, MemorySpool, StillLines, village};

/// A server that does not answer within this time fails the test.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const HOSTNAME: &str = "mx.example";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A server of our own, with its spool in sight.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) spool: Arc<MemorySpool>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) directory: DirectoryHandle,
    server: Option<SmtpServer>,
    data: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let hostname = DomainName::parse(HOSTNAME).unwrap();
        let certificate = pulsemx::certificate::driver::load_or_generate(data.path(), &hostname, None, None).unwrap();
        let mut settings = Settings::new(hostname);
        change(&mut settings);
        let _guard = RUNTIME.enter();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let spool = Arc::new(MemorySpool::default());
        let shutdown = CancellationToken::new();
        let directory = DirectoryHandle::new(village());
        let rooms = SmtpRooms {
            directory: directory.clone(),
            recipients: crate::recipient::RecipientBook::default(),
            lines: Arc::new(StillLines),
            spool: spool.clone(),
            stored: spool.clone(),
            certificate: Some(certificate),
            ids: Arc::new(SpoolIds::default()),
            checks: None,
            refusals: None,
            primaries: None,
            tokens: None,
        };
        let server = SmtpServer::start(settings, vec![listener], rooms, shutdown.clone());
        Self { address, spool, shutdown, directory, server: Some(server), data }
    }

    /// A sender that has heard the greeting.
    pub(crate) fn connect(&self) -> Sender {
        let mut sender = Sender::new(self.address);
        sender.hear(220);
        sender
    }

    /// A sender that has said EHLO.
    pub(crate) fn greeted(&self) -> Sender {
        let mut sender = self.connect();
        sender.ask("EHLO sender.example", 250);
        sender
    }

    /// The only message in the spool.
    pub(crate) fn only_message(&self) -> Kept {
        let mut kept = self.spool.kept();
        assert_eq!(kept.len(), 1);
        kept.remove(0)
    }

    /// What the primary of this account offered when it was last heard.
    pub(crate) fn hear_primary(&self, account: i64, octets_max: Option<u64>, smtputf8: bool) {
        let manners = Manners { octets_max, eight_bit_mime: true, smtputf8 };
        let directory = Directory::clone(&self.directory.load());
        self.directory.replace(directory.with_manners(EndpointId(account), manners));
    }

    /// Says stop and waits for the end.
    pub(crate) fn stop(mut self) {
        self.shutdown.cancel();
        RUNTIME.block_on(self.server.take().unwrap().stopped());
    }

    /// Trusts exactly this server's certificate.
    pub(crate) fn client_config(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.data.path().join("tls/cert.pem")).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// The server under test: another one where the environment names it, else our own.
pub(crate) enum Target {
    Own(Box<Server>),
    Other(SocketAddr),
}

impl Target {
    pub(crate) fn start() -> Self {
        match std::env::var("PULSEMX_CONFORMANCE_PEER") {
            Ok(peer) => Self::Other(peer.to_socket_addrs().unwrap().next().unwrap()),
            Err(_) => Self::Own(Box::new(Server::start())),
        }
    }

    pub(crate) fn connect(&self) -> Sender {
        let mut sender = Sender::new(match self {
            Self::Own(server) => server.address,
            Self::Other(address) => *address,
        });
        sender.hear(220);
        sender
    }

    pub(crate) fn greeted(&self) -> Sender {
        let mut sender = self.connect();
        sender.ask("EHLO sender.example", 250);
        sender
    }
}

/// A mailbox that the server under test takes.
pub(crate) fn recipient() -> String {
    std::env::var("PULSEMX_CONFORMANCE_RECIPIENT").unwrap_or_else(|_| "b@firma.example".to_owned())
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A sender: says octets, hears replies.
pub(crate) struct Sender {
    stream: Box<dyn Stream>,
    tcp: TcpStream,
}

impl Sender {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        Self { stream: Box::new(tcp.try_clone().unwrap()), tcp }
    }

    /// Octets as they are.
    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
        self.stream.flush().unwrap();
    }

    fn line(&mut self) -> String {
        let (mut line, mut octet) = (Vec::new(), [0u8]);
        while !line.ends_with(b"\r\n") {
            self.stream.read_exact(&mut octet).unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&line));
            });
            line.push(octet[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The next reply. Lines are joined by LF.
    pub(crate) fn hear_any(&mut self) -> String {
        let mut lines = vec![self.line()];
        while lines.last().unwrap().as_bytes().get(3) == Some(&b'-') {
            lines.push(self.line());
        }
        assert!(lines.iter().all(|line| line[..3] == lines[0][..3]), "codes differ: {lines:?}");
        lines.join("\n")
    }

    /// The next reply, which has to have this code.
    pub(crate) fn hear(&mut self, code: u16) -> String {
        let reply = self.hear_any();
        assert!(reply.starts_with(&code.to_string()), "wanted {code}, heard {reply}");
        reply
    }

    /// One command, whose reply has to have this code.
    pub(crate) fn ask(&mut self, command: &str, code: u16) -> String {
        self.send(format!("{command}\r\n"));
        self.hear(code)
    }

    /// Opens a transaction up to the 354.
    pub(crate) fn open_content(&mut self) {
        self.ask("MAIL FROM:<a@sender.example>", 250);
        self.ask(&format!("RCPT TO:<{}>", recipient()), 250);
        self.ask("DATA", 354);
    }

    /// Whether the server has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0u8]), Ok(0) | Err(_))
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// The handshake behind the 220 to STARTTLS.
    pub(crate) fn encrypt(self, server: &Server) -> Self {
        self.encrypt_with(server.client_config(&[&rustls::version::TLS13]))
    }

    pub(crate) fn encrypt_with(self, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from(HOSTNAME).unwrap();
        let connection = ClientConnection::new(config, name).unwrap();
        let mut stream = StreamOwned::new(connection, self.tcp.try_clone().unwrap());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        Self { stream: Box::new(stream), tcp: self.tcp }
    }
}
