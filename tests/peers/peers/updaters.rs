//! Real dynamic-DNS clients move a name: ddclient, inadyn and curl, over HTTP and HTTPS, as `docs/UPDATES.md` says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Server, free_port};

const HOST: &str = "firma.dyn.example";

/// A server with an account, a token for it, and an HTTPS listener beside the HTTP one.
struct Site {
    server: Server,
    token: String,
    https: String,
    certificate: PathBuf,
}

impl Site {
    fn start() -> Self {
        let mut server = Server::start("1s", "");
        server.kill();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (server.folder().join("cert.pem"), server.folder().join("key.pem"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let config = fs::read_to_string(server.config()).unwrap();
        let both = format!("listen = [\"{}\", \"0.0.0.0:{port}\"]", server.web);
        let config = config.replace(&format!("listen = \"{}\"", server.web), &both);
        let tls = format!("\n[tls]\ncert = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
        fs::write(server.config(), config + &tls).unwrap();
        server.run();
        server.add_account("firma", 25);
        server.command(&["host", "add", "firma", "office.dyn.example"]);
        let token = server.command(&["token", "new", "firma"])["token"].as_str().unwrap().to_owned();
        Self { server, token, https: format!("127.0.0.1:{port}"), certificate }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.server.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Where the name points, as the server knows it.
    fn addresses(&self, host: &str) -> String {
        let names = self.server.command(&["host", "list", "firma"])["hosts"].clone();
        let own = names.as_array().unwrap().iter().find(|name| name["host"] == host).unwrap().clone();
        own["addresses"].to_string()
    }

    fn last(&self, field: &str) -> String {
        let device = self.server.account("firma")["devices"][0][field].clone();
        device.as_str().map_or_else(|| device.to_string(), str::to_owned)
    }

    fn ddclient(&self, name: &str, server: &str, ssl: &str, ip: &str, token: &str) -> Output {
        let text = format!(
            "daemon=0\nssl={ssl}\nssl_ca_file={}\nuse=ip\nip={ip}\nprotocol=dyndns2\nserver={server}\nlogin=firma\npassword='{token}'\n{HOST},office.dyn.example\n",
            self.certificate.display()
        );
        let file = self.file(&format!("{name}.conf"), &text);
        let cache = self.server.folder().join(format!("{name}.cache"));
        run(Command::new("ddclient")
            .args(["-foreground", "-daemon=0", "-verbose", "-file"])
            .arg(file)
            .arg("-cache")
            .arg(cache))
    }

    fn inadyn(&self, server: &str, ssl: bool, token: &str) -> Output {
        let text = format!(
            "period = 300\nallow-ipv6 = true\nverify-address = false\nca-trust-file = {}\ncustom pulse {{\n  ssl = {ssl}\n  username = firma\n  password = {token}\n  ddns-server = \"{server}\"\n  ddns-path = \"/nic/update?hostname=%h&myip=%i\"\n  hostname = {HOST}\n  checkip-server = \"{server}\"\n  checkip-path = \"/ip\"\n  checkip-ssl = {ssl}\n}}\n",
            self.certificate.display()
        );
        let file = self.file("inadyn.conf", &text);
        let cache = tempfile::tempdir().unwrap();
        let cache = format!("--cache-dir={}", cache.path().display());
        let inadyn = ["/usr/sbin/inadyn", "/usr/bin/inadyn"].into_iter().find(|path| Path::new(path).exists());
        run(Command::new(inadyn.expect("inadyn is installed"))
            .args(["-1", "-n", "--no-pidfile", "-l", "notice", &cache, "-f"])
            .arg(file))
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn ddclient_moves_two_names_over_http_and_https_and_hears_a_bad_password() {
    let site = Site::start();
    let plain = site.server.updates.to_string();
    let first = site.ddclient("plain", &plain, "no", "203.0.113.7", &site.token);
    assert!(first.status.success(), "{}", words(&first));
    assert_eq!(site.addresses(HOST), "[\"203.0.113.7\"]");
    assert_eq!(site.addresses("office.dyn.example"), "[\"203.0.113.7\"]");
    assert_eq!((site.last("agent").as_str(), site.last("reason").as_str()), ("ddclient/3.10.0", "changed"));
    let secure = site.ddclient("secure", &site.https, "yes", "203.0.113.8", &site.token);
    assert!(secure.status.success(), "{}", words(&secure));
    assert_eq!((site.addresses(HOST).as_str(), site.last("encrypted").as_str()), ("[\"203.0.113.8\"]", "true"));
    let refused = site.ddclient("refused", &plain, "no", "203.0.113.9", "wrong");
    assert!(!refused.status.success() && words(&refused).contains("authorization failed"), "{}", words(&refused));
    assert_eq!((site.addresses(HOST).as_str(), site.last("reason").as_str()), ("[\"203.0.113.8\"]", "bad_token"));
}

#[test]
fn inadyn_asks_for_its_address_and_moves_the_name_over_http_and_https() {
    let site = Site::start();
    let plain = site.inadyn(&site.server.updates.to_string(), false, &site.token);
    assert!(plain.status.success(), "{}", words(&plain));
    assert_eq!(site.addresses(HOST), "[\"127.0.0.1\"]", "{}", words(&plain));
    assert!(site.last("agent").starts_with("inadyn/"), "{}", site.last("agent"));
    let secure = site.inadyn(&site.https, true, &site.token);
    assert!(secure.status.success(), "{}", words(&secure));
    assert_eq!((site.last("reason").as_str(), site.last("encrypted").as_str()), ("unchanged", "true"));
    let refused = site.inadyn(&site.server.updates.to_string(), false, "wrong");
    assert!(!refused.status.success(), "{}", words(&refused));
}

#[test]
fn curl_needs_a_file_or_an_address_and_nothing_else() {
    let site = Site::start();
    let netrc = site.file("netrc", &format!("machine 127.0.0.1 login firma password {}\n", site.token));
    let curl = |arguments: &[&str]| {
        let output = run(Command::new("curl")
            .args(["-fsS", "--max-time", "10", "--cacert"])
            .arg(&site.certificate)
            .arg("--netrc-file")
            .arg(&netrc)
            .args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let secure = format!("https://{}/nic/update?hostname={HOST}&myip=203.0.113.7,2001:db8::7", site.https);
    assert_eq!(curl(&[&secure]), "good 203.0.113.7,2001:db8::7\n");
    assert_eq!(curl(&["--http1.0", &secure]), "nochg 203.0.113.7,2001:db8::7\n");
    let prefix = format!("http://{}/nic/update?hostname={HOST}&myipv6=2001:db8:5::/64", site.server.updates);
    assert_eq!(curl(&[&prefix]), "good 2001:db8:5::7\n");
    let ping = site.server.command(&["token", "new", "firma", "--kind", "ping", "--host", "office.dyn.example"]);
    let ping = format!("https://{}/ping/{}", site.https, ping["token"].as_str().unwrap());
    assert_eq!(curl(&[&ping]), "OK\n");
    assert_eq!(site.addresses("office.dyn.example"), "[\"127.0.0.1\"]");
}
