//! The name server under the eyes of others: dig and kdig as askers, over TLS too, and BIND's checker on every export.

use std::fs;
use std::process::Command;

use crate::support::{Server, free_port};

fn run(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn dig(server: &Server, words: &[&str]) -> String {
    let port = server.names.port().to_string();
    let (good, text) = run("dig", &[&["+norecurse", "+tries=5", "-p", &port, "@127.0.0.1"], words].concat());
    assert!(good, "{text}");
    assert!(!text.contains("WARNING") && !text.contains("malformed"), "{text}");
    text
}

#[test]
fn dig_reads_every_kind_of_answer() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    let short = |words: &[&str]| dig(&server, &[words, &["+short"]].concat());
    assert_eq!(short(&["firma.dyn.example", "A"]), "127.0.0.25\n");
    assert_eq!(short(&["firma.dyn.example", "MX"]), "10 firma.dyn.example.\n20 mx2.pulsemx.example.\n");
    assert_eq!(short(&["+tcp", "dyn.example", "NS"]), "mx2.pulsemx.example.\n");
    assert!(short(&["firma.dyn.example", "ANY"]).contains("8482"));
    let nobody = dig(&server, &["nobody.dyn.example", "A"]);
    assert!(nobody.contains("status: NXDOMAIN") && nobody.contains("flags: qr aa;"), "{nobody}");
    // The cookie that the first answer brought is good for the second question.
    assert!(nobody.contains("COOKIE: ") && nobody.contains("(good)"), "{nobody}");
    assert!(dig(&server, &["other.example", "A"]).contains("status: REFUSED"));
    assert!(dig(&server, &["+edns=1", "+noednsnegotiation", "dyn.example", "SOA"]).contains("status: BADVERS"));
    let transfer = dig(&server, &["dyn.example", "AXFR"]);
    assert!(transfer.contains("Transfer failed") && !transfer.contains("127.0.0.25"), "{transfer}");
}

#[test]
fn kdig_asks_over_tls() {
    let port = free_port().to_string();
    let server = Server::start_with_names(&format!("tls_listen = \"127.0.0.1:{port}\"\n"));
    server.add_account("firma", 25);
    let (good, text) = run("kdig", &["-p", &port, "@127.0.0.1", "+tls", "firma.dyn.example", "A"]);
    assert!(good && text.contains("TLS session (TLS1.3)") && text.contains("127.0.0.25"), "{text}");
}

#[test]
fn bind_finds_nothing_wrong_with_what_is_exported() {
    let server = Server::start_with_names("");
    let words = ["account", "add", "firma", "--domain", "firma.example", "--host", "mail.firma.example"];
    server.command(&words);
    let path = server.folder().join("zone");
    let name = path.display().to_string();
    let text = "$TTL 300\n@ IN SOA ns.provider.example. root 1 7200 3600 1209600 300\n@ IN NS mx2.pulsemx.example.\n\
        @ IN NS ns\nns IN A 203.0.113.53\n@ IN MX 10 mail\n@ IN MX 20 mx2.pulsemx.example.\nwww IN CNAME mail\n\
        @ IN TXT \"v=spf1 mx -all\" \"quote \\\" back \\\\ umlaut \\195\\164 ; (\"\n\
        @ IN CAA 0 issue \"letsencrypt.org\"\n_25._tcp.mail IN TLSA 3 1 1 \
        d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971\n\
        mail IN SSHFP 4 2 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971\n\
        _sip._tcp IN SRV 1 2 5060 mail\n*.apps IN A 203.0.113.8\nsub IN NS ns.sub\nns.sub IN A 203.0.113.54\n\
        @ IN NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@firma.example!\" .\n@ IN HTTPS 1 www alpn=h2\n";
    fs::write(&path, text).unwrap();
    let (good, told) = run("named-checkzone", &["firma.example", &name]);
    assert!(good && told.contains("'mail.firma.example' has no address"), "the name has no address without us: {told}");
    server.command(&["zone", "import", "firma", "firma.example", &name]);
    let exported = server.command(&["zone", "export", "firma.example"])["text"].as_str().unwrap().to_owned();
    fs::write(&path, &exported).unwrap();
    let (good, told) = run("named-checkzone", &["-i", "local", "firma.example", &name]);
    assert!(good && told.ends_with("OK\n") && !told.contains("mail.firma.example'"), "{told}\n{exported}");
    // What BIND reads from it is what we answer.
    for (owner, kind) in [("firma.example", "TXT"), ("_sip._tcp.firma.example", "SRV"), ("mail.firma.example", "SSHFP")]
    {
        let (_, canonical) = run("named-checkzone", &["-q", "-D", "-i", "none", "firma.example", &name]);
        let ours = dig(&server, &[owner, kind, "+noall", "+answer"]);
        let data = ours.split_whitespace().skip(4).collect::<Vec<_>>().join(" ");
        let spaces = canonical.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!data.is_empty() && spaces.contains(&data), "{data}\n{canonical}");
    }
}
