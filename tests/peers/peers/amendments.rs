//! Updates over DNS by others: nsupdate with prerequisites, lego and certbot that get a certificate from Pebble by DNS-01.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::pebble::pebble;
use crate::support::Server;

const ZONE: &str = "firma.example";

fn server() -> Server {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", ZONE]);
    server
}

fn key(server: &Server, name: &str, of: &str, types: &str) -> String {
    let secret = server.command(&["tsig", "new", name])["secret"].as_str().unwrap().to_owned();
    server.command(&["tsig", "allow", "firma", name, of, "--below", "--types", types]);
    secret
}

/// What nsupdate says to these lines; over TCP with `-v`.
fn nsupdate(server: &Server, options: &[&str], lines: &str) -> (bool, String) {
    let at = format!("server {} {}\n{lines}\nsend\n", server.names.ip(), server.names.port());
    let mut child = Command::new("nsupdate")
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(at.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn dig(server: &Server, words: &[&str]) -> Vec<String> {
    let port = server.names.port().to_string();
    let fixed = ["+norecurse", "+tries=5", "+short", "-p", &port, "@127.0.0.1"];
    let output = Command::new("dig").args(fixed).args(words).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn nsupdate_changes_what_its_key_opens_and_reads_the_right_codes() {
    let server = server();
    let secret = key(&server, "up.example", "hosts.firma.example", "A,AAAA,TXT,CNAME");
    let sign = format!("hmac-sha256:up.example:{secret}");
    for way in [&["-y", &sign][..], &["-v", "-y", &sign]] {
        let tell = |lines: &str| nsupdate(&server, way, lines);
        let good = |lines: &str| {
            let (good, text) = tell(lines);
            assert!(good && text.is_empty(), "{lines}: {text}");
        };
        let code = |lines: &str, word: &str| {
            let (good, text) = tell(lines);
            assert!(!good && text.contains(&format!("update failed: {word}")), "{lines}: {text}");
        };
        good(
            "update add a.hosts.firma.example 60 A 203.0.113.1\nupdate add a.hosts.firma.example 60 TXT \"say \\\"x\\\"\"",
        );
        assert_eq!(dig(&server, &["a.hosts.firma.example", "A"]), ["203.0.113.1"]);
        assert_eq!(dig(&server, &["a.hosts.firma.example", "TXT"]), ["\"say \\\"x\\\"\""]);
        good(
            "prereq yxrrset a.hosts.firma.example A 203.0.113.1\nupdate delete a.hosts.firma.example A\n\
              update add a.hosts.firma.example 60 A 203.0.113.2",
        );
        code("prereq yxrrset a.hosts.firma.example A 203.0.113.1\nupdate delete a.hosts.firma.example", "NXRRSET");
        code("prereq nxrrset a.hosts.firma.example A\nupdate delete a.hosts.firma.example", "YXRRSET");
        code("prereq nxdomain a.hosts.firma.example\nupdate delete a.hosts.firma.example", "YXDOMAIN");
        code("prereq yxdomain b.hosts.firma.example\nupdate delete a.hosts.firma.example", "NXDOMAIN");
        code("zone firma.example\nupdate add www.firma.example 60 A 203.0.113.9", "REFUSED");
        code("zone firma.example\nupdate add a.hosts.firma.example 60 MX 10 mail.other.example.", "REFUSED");
        code("zone other.example\nupdate add a.other.example 60 A 203.0.113.9", "NOTAUTH");
        assert_eq!(dig(&server, &["a.hosts.firma.example", "A"]), ["203.0.113.2"], "nothing of these");
        good("update delete a.hosts.firma.example");
        assert_eq!(dig(&server, &["a.hosts.firma.example", "ANY"]), [""; 0]);
    }
    let (_, text) = nsupdate(&server, &[], "zone firma.example\nupdate add a.hosts.firma.example 60 A 203.0.113.1");
    assert!(text.contains("REFUSED"), "unsigned: {text}");
    let wrong = "hmac-sha256:up.example:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let (_, text) = nsupdate(&server, &["-y", wrong], "zone firma.example\nupdate delete a.hosts.firma.example");
    assert!(text.contains("NOTAUTH") && text.contains("BADSIG"), "{text}");
}

#[test]
fn lego_and_certbot_get_certificates_for_a_name_and_its_wildcard() {
    let server = server();
    let challenge = "_acme-challenge.firma.example";
    let (_pebble, directory, trusted) = pebble(&server.folder().join("pebble"), server.names, None);
    let path = |name: &str| server.folder().join(name).display().to_string();
    let told = |output: std::process::Output| {
        let text = [output.stdout, output.stderr].concat();
        let pebble = fs::read_to_string(path("pebble/log")).unwrap();
        assert!(output.status.success(), "{}\n{pebble}", String::from_utf8_lossy(&text));
    };

    let secret = key(&server, "lego.example", challenge, "TXT");
    let at = server.names.to_string();
    let output = Command::new("lego")
        .args(["--path", &path("lego"), "--server", &directory, "--email", "it@firma.example", "--accept-tos"])
        .args(["--dns", "rfc2136", "--dns.resolvers", &at, "--dns.disable-cp"])
        .args(["--domains", ZONE, "--domains", "*.firma.example", "run"])
        .envs([("LEGO_CA_CERTIFICATES", trusted.as_str()), ("RFC2136_NAMESERVER", &at)])
        .envs([("RFC2136_TSIG_KEY", "lego.example"), ("RFC2136_TSIG_SECRET", &secret)])
        // Else it waits a minute between the two values.
        .envs([("RFC2136_TSIG_ALGORITHM", "hmac-sha256."), ("RFC2136_SEQUENCE_INTERVAL", "1")])
        .output()
        .unwrap();
    told(output);
    assert!(fs::read_to_string(path("lego/certificates/firma.example.crt")).unwrap().contains("BEGIN CERTIFICATE"));

    let secret = key(&server, "certbot.example", challenge, "TXT");
    let settings = format!(
        "dns_rfc2136_server = 127.0.0.1\ndns_rfc2136_port = {}\ndns_rfc2136_name = certbot.example.\n\
         dns_rfc2136_secret = {secret}\ndns_rfc2136_algorithm = HMAC-SHA256\n",
        server.names.port()
    );
    fs::write(path("certbot.ini"), settings).unwrap();
    let output = Command::new("certbot")
        .args(["certonly", "--non-interactive", "--agree-tos", "-m", "it@firma.example", "--server", &directory])
        .args(["--config-dir", &path("cb"), "--work-dir", &path("cb-work"), "--logs-dir", &path("cb-logs")])
        .args(["--dns-rfc2136", "--dns-rfc2136-credentials", &path("certbot.ini")])
        .args(["--dns-rfc2136-propagation-seconds", "0", "-d", ZONE, "-d", "*.firma.example"])
        .env("REQUESTS_CA_BUNDLE", &trusted)
        .output()
        .unwrap();
    told(output);
    assert!(server.folder().join("cb/live/firma.example/fullchain.pem").exists());

    // Both have taken away what they put in.
    assert_eq!(dig(&server, &[challenge, "TXT"]), [""; 0]);
    let shown = server.command(&["zone", "show", ZONE]);
    let who: Vec<&str> =
        shown["changes"].as_array().unwrap().iter().filter_map(|change| change["who"].as_str()).collect();
    assert!(who.contains(&"key lego.example") && who.contains(&"key certbot.example"), "{who:?}");
}
