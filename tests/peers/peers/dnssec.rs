//! Signed zones as validators see them: delv from the DS record that we print, dig for what others see.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::Server;

/// What delv says of a question, with a DS record of ours as the only thing it believes.
fn delv(server: &Server, zone: &str, ds: &str, words: &[&str]) -> String {
    let data: Vec<&str> = ds.split(" DS ").nth(1).unwrap().split(' ').collect();
    let [tag, algorithm, digest_type, digest] = data.as_slice() else { panic!("{ds}") };
    let anchors = server.folder().join("anchors");
    let text = format!("trust-anchors {{ {zone}. static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n");
    fs::write(&anchors, text).unwrap();
    let output = Command::new("delv")
        .args(["@127.0.0.1", "-p", &server.names.port().to_string(), "-a", &anchors.display().to_string()])
        .arg(format!("+root={zone}"))
        .args(words)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn dig(server: &Server, words: &[&str]) -> String {
    let port = server.names.port().to_string();
    let output =
        Command::new("dig").args(["+norecurse", "+tries=5", "-p", &port, "@127.0.0.1"]).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn ds(keys: &Value) -> String {
    keys["ds"][0].as_str().unwrap().to_owned()
}

#[test]
fn delv_believes_what_is_there_and_what_is_not() {
    let mut server = Server::start_with_names("");
    server.add_account("firma", 25);
    let zone = "@ 60 IN SOA mx2.pulsemx.example. root.firma.example. 1 14400 3600 1209600 300\n\
                @ 60 IN NS mx2.pulsemx.example.\n@ 60 IN MX 10 mail\nmail 60 IN A 203.0.113.9\n\
                www 60 IN CNAME Mail\n*.wild 60 IN TXT \"wild\"\na.deep 60 IN A 203.0.113.8\n\
                sub 60 IN NS ns.sub\nns.sub 60 IN A 203.0.113.53\n\
                _25._tcp.mail 60 IN TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971\n";
    let file = server.folder().join("zone");
    fs::write(&file, zone).unwrap();
    server.command(&["zone", "import", "firma", "firma.example", &file.display().to_string()]);
    let own = ds(&server.command(&["zone", "sign", "dyn.example"]));
    let customers = ds(&server.command(&["zone", "sign", "firma.example"]));
    assert!(server.raw(&["zone", "sign", "firma.example"]).2.contains("is signed already"));
    let refused = server.raw(&["zone", "secondary", "add", "firma.example", "127.0.0.1:5399"]);
    assert!(refused.2.contains("is signed"), "{refused:?}");
    server.command(&["challenge", "new", "firma", "--host", "firma.dyn.example"]);

    let believes = |server: &Server| {
        for (zone, ds, words, data) in [
            ("dyn.example", &own, &["firma.dyn.example", "A"][..], "127.0.0.25"),
            ("dyn.example", &own, &["firma.dyn.example", "AAAA"], "::1"),
            ("dyn.example", &own, &["FIRMA.dyn.example", "MX"], "mx2.pulsemx.example."),
            ("dyn.example", &own, &["dyn.example", "SOA"], "hostmaster.dyn.example."),
            ("dyn.example", &own, &["dyn.example", "DNSKEY"], "257 3 13"),
            ("firma.example", &customers, &["firma.example", "MX"], "mail.firma.example."),
            ("firma.example", &customers, &["www.firma.example", "A"], "203.0.113.9"),
            ("firma.example", &customers, &["x.wild.firma.example", "TXT"], "\"wild\""),
            ("firma.example", &customers, &["_25._tcp.mail.firma.example", "TLSA"], "3 1 1"),
            ("firma.example", &customers, &["firma.example", "CDS"], " 13 2 "),
            ("firma.example", &customers, &["firma.example", "CDNSKEY"], "257 3 13"),
        ] {
            let said = delv(server, zone, ds, words);
            assert!(said.contains("; fully validated") && said.contains(data), "{words:?}: {said}");
        }
        for (zone, ds, words) in [
            ("dyn.example", &own, ["firma.dyn.example", "TXT"]),
            ("dyn.example", &own, ["_acme-challenge.firma.dyn.example", "TXT"]),
            ("dyn.example", &own, ["nothing.dyn.example", "A"]),
            ("dyn.example", &own, ["a.b.c.nothing.dyn.example", "AAAA"]),
            ("dyn.example", &own, ["auth.dyn.example", "A"]),
            ("firma.example", &customers, ["firma.example", "TXT"]),
            ("firma.example", &customers, ["deep.firma.example", "A"]),
            ("firma.example", &customers, ["nobody.firma.example", "MX"]),
            ("firma.example", &customers, ["sub.firma.example", "DS"]),
        ] {
            let said = delv(server, zone, ds, &words);
            assert!(said.contains("negative response, fully validated"), "{words:?}: {said}");
        }
    };
    believes(&server);
    server.stop();
    server.run();
    believes(&server);

    // Who does not ask for signatures sees none, and the usual codes.
    let plain = dig(&server, &["nothing.dyn.example", "A"]);
    assert!(plain.contains("status: NXDOMAIN") && !plain.contains("RRSIG"), "{plain}");
    let signed = dig(&server, &["+dnssec", "nothing.dyn.example", "A"]);
    assert!(signed.contains("status: NOERROR") && signed.contains("NXNAME") || signed.contains("TYPE128"), "{signed}");
    let referral = dig(&server, &["+dnssec", "x.sub.firma.example", "A"]);
    assert!(referral.contains("ns.sub.firma.example.") && referral.contains("NSEC"), "{referral}");
    // A larger answer than the asker takes is cut and had over TCP.
    let small = dig(&server, &["+dnssec", "+bufsize=512", "+ignore", "firma.example", "MX"]);
    assert!(small.contains("flags: qr aa tc") || small.contains("RRSIG"), "{small}");
    // A wrong anchor is not believed.
    let other = own.replace(own.rsplit(' ').next().unwrap(), &"0".repeat(64));
    assert!(!delv(&server, "dyn.example", &other, &["firma.dyn.example", "A"]).contains("; fully validated"));
}

#[test]
fn a_key_is_exchanged_while_validators_believe_the_old_one_and_the_new_one() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    let old = ds(&server.command(&["zone", "sign", "dyn.example"]));
    let rolled = server.command(&["zone", "roll", "dyn.example"]);
    let new = ds(&rolled);
    assert_ne!(old, new);
    assert_eq!(rolled["keys"].as_array().unwrap().len(), 2);
    for anchor in [&old, &new] {
        let said = delv(&server, "dyn.example", anchor, &["firma.dyn.example", "A"]);
        assert!(said.contains("; fully validated"), "{said}");
    }
    assert!(dig(&server, &["+short", "dyn.example", "CDS"]).contains(new.rsplit(' ').next().unwrap().split_at(20).0));
    let early = server.raw(&["zone", "roll", "dyn.example", "--done"]);
    assert!(!early.0 && early.2.contains("has to stand in the zone until"), "{early:?}");
    let leaving = server.raw(&["zone", "unsign", "dyn.example"]);
    assert!(!leaving.0, "not while a key is exchanged");
}

#[test]
fn a_zone_leaves_in_two_steps() {
    let server = Server::start_with_names("");
    let anchor = ds(&server.command(&["zone", "sign", "dyn.example"]));
    assert!(!server.raw(&["zone", "unsign", "dyn.example", "--done"]).0);
    server.command(&["zone", "unsign", "dyn.example"]);
    assert_eq!(dig(&server, &["+short", "dyn.example", "CDS"]).trim(), "0 0 0 00");
    let said = delv(&server, "dyn.example", &anchor, &["dyn.example", "SOA"]);
    assert!(said.contains("; fully validated"), "{said}");
    server.command(&["zone", "unsign", "dyn.example", "--done"]);
    assert!(!dig(&server, &["+dnssec", "dyn.example", "SOA"]).contains("RRSIG"));
    assert_eq!(dig(&server, &["+short", "dyn.example", "DNSKEY"]).trim(), "");
}
