//! A customer's own zone: made, imported, changed, shown, exported, checked, and answered with a dynamic name inside.

use std::fs;
use std::time::Duration;

use hickory_proto::rr::RecordType::{A, CNAME, MX, NS, TXT};

use crate::ask::data;
use crate::support::{Beats, Primary, Server, wait_for};

const FILE: &str = "$TTL 300\n\
    @ IN SOA ns.provider.example. root.firma.example. 2026010101 7200 3600 1209600 300\n\
    @ IN NS mx2.pulsemx.example.\n@ IN MX 10 mail\n@ IN MX 20 mx2.pulsemx.example.\n\
    @ IN TXT \"v=spf1 mx -all\"\nwww IN CNAME mail\nmail IN A 203.0.113.99\n*.apps IN TXT wild\n";

fn file(server: &Server, text: &str) -> String {
    let path = server.folder().join("zone");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_zone_follows_the_mail_server_inside_it() {
    let mut server = Server::start_with_names("");
    let primary = Primary::listen("127.0.31.21", 0);
    let port = primary.address.port().to_string();
    let words =
        ["account", "add", "firma", "--domain", "firma.example", "--host", "mail.firma.example", "--port", &port];
    let added = server.command(&words);
    let token = server.folder().join("token");
    fs::write(&token, added["token"].as_str().unwrap()).unwrap();
    fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(data(server.names, "mail.firma.example.", A), [""; 0], "no zone of ours yet");

    let done =
        server.command(&["zone", "import", "firma", "firma.example", &file(&server, FILE), "--why", "moved here"]);
    assert!(done["warnings"][0].as_str().unwrap().contains("follows a mail server"), "{done}");
    assert_eq!(data(server.names, "mail.firma.example.", A), ["127.0.0.25"], "parked, whatever the file says");
    assert_eq!(data(server.names, "firma.example.", MX), ["10 mail.firma.example.", "20 mx2.pulsemx.example."]);
    assert_eq!(data(server.names, "www.firma.example.", A), ["127.0.0.25", "mail.firma.example."]);
    assert_eq!(data(server.names, "x.apps.firma.example.", TXT), ["wild"]);

    let beats = Beats::start(&server, "firma", &token, "127.0.31.21", None);
    wait_for("the name points at the customer", Duration::from_secs(30), || {
        (data(server.names, "www.firma.example.", A)[0] == "127.0.31.21").then_some(())
    });
    let exported = server.command(&["zone", "export", "firma.example"])["text"].as_str().unwrap().to_owned();
    assert!(exported.contains("mail.firma.example. 30 IN A 127.0.31.21\n"), "{exported}");
    assert!(!exported.contains("203.0.113.99"), "{exported}");

    // A change, a refused change, and what is remembered of them.
    server.command(&["zone", "set", "firma.example", "shop", "CNAME", "www", "--why", "new shop"]);
    assert_eq!(data(server.names, "shop.firma.example.", CNAME), ["www.firma.example."]);
    let (good, _, err) = server.raw(&["zone", "set", "firma.example", "shop", "TXT", "x"]);
    assert!(!good && err.contains("CNAME"), "{err}");
    server.stop();
    server.run();
    let shown = server.command(&["zone", "show", "firma.example"]);
    let change = &shown["changes"][0];
    assert_eq!((change["why"].as_str(), change["who"].as_str()), (Some("new shop"), Some("operator")));
    assert_eq!(change["what"][0], "+ shop.firma.example. 3600 IN CNAME www.firma.example.");
    assert!(shown["changes"][1]["serial"].as_u64() < change["serial"].as_u64(), "{shown}");
    assert_eq!(data(server.names, "shop.firma.example.", CNAME), ["www.firma.example."]);
    drop(beats);

    server.command(&["zone", "rm", "firma", "firma.example"]);
    assert_eq!(data(server.names, "firma.example.", MX), [""; 0]);
    assert_eq!(server.command(&["zone", "list"])["zones"].as_array().unwrap().len(), 0);
}

#[test]
fn a_new_zone_has_what_every_zone_has() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", "firma.example"]);
    assert_eq!(data(server.names, "firma.example.", NS), ["mx2.pulsemx.example."]);
    assert_eq!(data(server.names, "firma.example.", MX), ["10 firma.dyn.example.", "20 mx2.pulsemx.example."]);
    let checked = server.command(&["zone", "check", "firma.example"]);
    assert_eq!(
        (checked["good"].as_bool(), checked["findings"].as_array().unwrap().len()),
        (Some(true), 0),
        "{checked}"
    );
    for (words, why) in [
        (&["zone", "add", "firma", "dyn.example"][..], "keeps itself"),
        (&["zone", "add", "firma", "firma.example"], "served already"),
        (&["zone", "export", "other.example"], "no zone"),
        (&["zone", "add", "nobody", "x.example"], "no account"),
        (&["zone", "import", "firma", "x.example", "/nowhere"], "No such file"),
    ] {
        let (good, _, err) = server.raw(words);
        assert!(!good && err.contains(why), "{words:?}: {err}");
    }
    let broken = file(&server, "@ 60 IN SOA a. b. 1 2 3 4 5\n@ 60 IN NS mx2.pulsemx.example.\n@ 60 IN MX 10 nobody\n");
    let checked = server.command(&["zone", "check", "x.example", &broken]);
    assert_eq!(checked["good"], false, "{checked}");
    let (good, _, err) = server.raw(&["zone", "import", "firma", "x.example", &broken]);
    assert!(!good && err.contains("no address"), "{err}");
}

#[test]
fn a_zone_holds_nothing_of_another_account() {
    let server = Server::start_with_names("");
    for name in ["eins", "zwei"] {
        let (domain, host) = (format!("{name}.example"), format!("{name}.dyn.example"));
        server.command(&["account", "add", name, "--domain", &domain, "--host", &host]);
    }
    server.command(&["zone", "add", "eins", "eins.example"]);
    server.command(&["zone", "add", "eins", "unter.eins.example"]);
    for (apex, part) in [
        ("eins.dyn.example", "dynamic names"),
        ("unten.eins.example", "of another account"),
        ("eins.example", "served already"),
        ("example", "top-level"),
    ] {
        let (good, _, err) = server.raw(&["zone", "add", "zwei", apex]);
        assert!(!good && err.contains(part), "{apex}: {err}");
    }
    assert!(server.command(&["zone", "add", "zwei", "zwei.example"])["done"].is_string());
}
