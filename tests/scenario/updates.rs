//! A customer without heartbeats: the router reports its address, the probe finds the mail server, held mail flows;
//! once the server is gone it is noticed, and a router's update does not pretend that it is back.

use std::time::Duration;

use serde_json::Value;

pub(crate) use crate::support::ask;
use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

fn token(server: &Server, arguments: &[&str]) -> String {
    let words = [&["token", "new", "firma"], arguments].concat();
    server.command(&words)["token"].as_str().unwrap().to_owned()
}

fn device(server: &Server) -> Value {
    server.account("firma")["devices"][0].clone()
}

#[test]
fn a_router_that_reports_its_address_and_a_key_are_enough_to_get_the_held_mail() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen_tls("127.0.21.1", 0);
    server.add_account("firma", primary.address.port());
    assert_eq!(server.account("firma")["source"], "none");
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "x@firma.example", &mail("one")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let token = token(&server, &[]);
    let update = "/nic/update?hostname=firma.dyn.example&myip=127.0.21.1&wildcard=NOCHG&system=dyndns&new=1";
    assert_eq!(ask(server.web, update, Some(("firma", &token))), (200, "good 127.0.21.1\n".to_owned()));
    wait_for("its key is shown", Duration::from_secs(10), || {
        let shown = server.command(&["account", "pin", "show", "firma"]).to_string();
        shown.contains("pin accept").then_some(())
    });
    assert_eq!(primary.arrived().len(), 0, "nothing vouches for who answers at that address");
    server.command(&["account", "pin", "accept", "firma"]);
    wait_for("the mail arrives", Duration::from_secs(10), || (primary.arrived().len() == 1).then_some(()));
    server.wait_state("firma", "online", Duration::from_secs(5));
    let shown = server.account("firma");
    assert_eq!((shown["source"].as_str(), shown["detection_s"].as_u64()), (Some("updates"), Some(10)), "{shown}");
    assert!(shown["warnings"][0].as_str().unwrap().contains("proof"), "{shown}");
    assert_eq!(ask(server.web, update, Some(("firma", &token))).1, "nochg 127.0.21.1\n");
    let said = device(&server);
    assert_eq!((said["reason"].as_str(), said["agent"].as_str()), (Some("unchanged"), Some("Fritz!Box DDNS/1.0.1")));

    // A restart remembers the address and calls again.
    server.stop();
    let stopped = server.account("firma");
    assert_eq!((stopped["source"].as_str(), stopped["live"].as_bool()), (Some("updates"), Some(false)), "{stopped}");
    assert_eq!(stopped["devices"][0]["answer"], "nochg 127.0.21.1");
    assert_eq!(server.command(&["account", "list"])["accounts"][0]["source"], "updates");
    server.run();
    server.wait_state("firma", "online", Duration::from_secs(5));
    wait_for("a greeting after the restart", Duration::from_secs(5), || {
        server.account("firma")["last_beat"].is_string().then_some(())
    });

    let port = primary.address.port();
    drop(primary);
    let stranger = Primary::listen_tls("127.0.21.1", port);
    server.wait_state("firma", "offline", Duration::from_secs(15));
    let (status, body) = ask(server.web, update, Some(("firma", &token)));
    assert_eq!((status, body.as_str()), (200, "good 127.0.21.1\n"), "a parked name is no fault of the router");
    assert_eq!(device(&server)["reason"], "parked");
    assert_eq!(server.state("firma"), "offline");
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@sender.example", "x@firma.example", &mail("two")).unwrap().starts_with("250"));
    assert_eq!(stranger.arrived().len(), 0, "another key is no sign of life");
    server.command(&["account", "pin", "clear", "firma"]);
    server.wait_state("firma", "online", Duration::from_secs(10));
}

#[test]
fn where_beats_come_the_name_follows_them_and_updates_never_end_an_outage() {
    let server = Server::start("1s", "");
    let primary = Primary::listen("127.0.22.1", 0);
    let beat_token = server.add_account("firma", primary.address.port());
    let beats = Beats::start(&server, "firma", &beat_token, "127.0.22.1", Some("1s"));
    server.wait_state("firma", "online", Duration::from_secs(10));
    assert_eq!(server.account("firma")["source"], "beats");
    let token = token(&server, &[]);
    let update = "/nic/update?hostname=firma.dyn.example&myip=127.0.22.9";
    assert_eq!(ask(server.web, update, Some(("firma", &token))).1, "nochg 127.0.22.1\n");
    assert_eq!(device(&server)["reason"], "beats_lead");
    beats.kill();
    server.wait_state("firma", "offline", Duration::from_secs(15));
    let update = "/nic/update?hostname=firma.dyn.example&myip=127.0.22.1";
    assert!(ask(server.web, update, Some(("firma", &token))).1.starts_with("good"));
    let update = "/nic/update?hostname=firma.dyn.example&myip=127.0.22.3";
    assert_eq!(ask(server.web, update, Some(("firma", &token))).1, "good 127.0.22.3\n");
    let names = server.account("firma")["names"].clone();
    assert_eq!(names[0]["addresses"][0], "127.0.22.3", "{names}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(server.state("firma"), "offline", "a router is not the server");
    // The customer goes back to the router for good.
    server.command(&["updates", "firma", "--forget-beats"]);
    let update = "/nic/update?hostname=firma.dyn.example&myip=127.0.22.1";
    assert!(ask(server.web, update, Some(("firma", &token))).1.starts_with("good"));
    server.wait_state("firma", "online", Duration::from_secs(10));
    assert_eq!(server.account("firma")["source"], "updates");
    let _beats = Beats::start(&server, "firma", &beat_token, "127.0.22.1", Some("1s"));
    wait_for("beats lead again", Duration::from_secs(10), || {
        (server.account("firma")["source"] == "beats").then_some(())
    });
}

#[test]
fn several_names_both_families_and_a_prefix_in_one_request() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    server.add_account("other", 25);
    for (host, id) in [("a.firma.dyn.example", "::a"), ("b.firma.dyn.example", "::1:0:0:0:b")] {
        server.command(&["host", "add", "firma", host, "--interface-id", id]);
    }
    let token = token(&server, &[]);
    let login = Some(("firma", token.as_str()));
    let hosts = "a.firma.dyn.example,b.firma.dyn.example,other.dyn.example,none.example,bad";
    let update = format!(
        "/nic/update?hostname={hosts}&myip=203.0.113.7&myipv6=2001%3adb8%3affff%3a%3a1&prefix=2001:db8:aa:bb00::/56"
    );
    let body = ask(server.web, &update, login).1;
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(
        lines,
        ["good 203.0.113.7,2001:db8:aa:bb00::a", "good 203.0.113.7,2001:db8:aa:bb01::b", "!yours", "nohost", "notfqdn"]
    );
    let many: Vec<String> = (0..21).map(|n| format!("h{n}.example")).collect();
    assert_eq!(ask(server.web, &format!("/nic/update?hostname={}", many.join(",")), login).1, "numhost\n");
    assert_eq!(ask(server.web, "/nic/update?myip=203.0.113.7", login).1, "notfqdn\n");
    assert_eq!(ask(server.web, "/nic/update?hostname=a.firma.dyn.example&myip=10.0.0.5", login).1, "dnserr\n");
    assert_eq!(device(&server)["reason"], "bad_address");
    let gone = "/nic/update?hostname=a.firma.dyn.example&offline=YES&backmx=NO";
    assert!(ask(server.web, gone, login).1.starts_with("good"));
    let shown = server.account("firma");
    assert_eq!((shown["backup_mx"].as_bool(), shown["names"][0]["withdrawn"].as_bool()), (Some(false), Some(true)));
    // The same name cannot be taken by anybody else, as a name or as a domain.
    let (good, _, _) = server.raw(&["host", "add", "other", "a.firma.dyn.example"]);
    assert!(!good);
    let (good, _, _) = server.raw(&["domain", "add", "other", "a.firma.dyn.example"]);
    assert!(!good);
}

#[test]
fn a_token_opens_one_thing_and_every_refusal_sounds_the_same() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    server.command(&["host", "add", "firma", "web.dyn.example"]);
    let narrow = token(&server, &["--host", "web.dyn.example"]);
    let wide = token(&server, &[]);
    let duck = token(&server, &["--kind", "duckdns", "--host", "web.dyn.example"]);
    let ping = token(&server, &["--kind", "ping", "--host", "firma.dyn.example"]);
    let update = "/nic/update?hostname=web.dyn.example&myip=203.0.113.7";
    let refused = (401, "badauth\n".to_owned());
    assert_eq!(ask(server.web, update, None), refused);
    assert_eq!(ask(server.web, update, Some(("firma", "wrong"))), refused);
    assert_eq!(device(&server)["reason"], "bad_token");
    assert_eq!(ask(server.web, update, Some(("nobody", "wrong"))), refused);
    assert_eq!(ask(server.web, update, Some(("nobody", &wide))), refused);
    assert_eq!(ask(server.web, update, Some(("firma", &ping))), refused);
    assert_eq!(ask(server.web, &format!("{update}&username=firma&password={wide}"), None), refused);
    assert_eq!(ask(server.web, &format!("{update}&username=firma&password={narrow}"), None).1, "good 203.0.113.7\n");
    assert_eq!(ask(server.web, "/nic/update?hostname=firma.dyn.example", Some(("firma", &narrow))).1, "nohost\n");
    assert_eq!(ask(server.web, &format!("/update?domains=web&token={duck}&ip=203.0.113.8"), None).1, "OK");
    let verbose = ask(server.web, &format!("/update?domains=web&token={duck}&ip=203.0.113.8&verbose=true"), None).1;
    assert_eq!(verbose, "OK\n203.0.113.8\n\nNOCHANGE");
    for bad in [format!("domains=firma&token={duck}"), format!("domains=web&token={wide}"), "domains=web".to_owned()] {
        assert_eq!(ask(server.web, &format!("/update?{bad}"), None), (200, "KO".to_owned()), "{bad}");
    }
    let reasons = server.account("firma")["devices"].to_string();
    assert!(reasons.contains("wrong_kind"), "the owner reads why: {reasons}");
    assert_eq!(ask(server.web, &format!("/ping/{ping}"), None), (200, "OK\n".to_owned()));
    assert_eq!(ask(server.web, "/ping/pmp-nonsense", None), (404, "KO\n".to_owned()));
    let names = server.account("firma")["names"].clone();
    assert_eq!(names[0]["addresses"][0], "127.0.0.1", "{names}");
    let listed = server.command(&["token", "list", "firma"]);
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 4);
    assert!(!listed.to_string().contains(&wide) && !server.log().contains(&wide), "a token is shown once");
    let database = std::fs::read(server.data().join("pulsemx.db-wal")).unwrap_or_default();
    assert!(!database.windows(wide.len()).any(|part| part == wide.as_bytes()));
    server.command(&["token", "revoke", "firma", &listed["tokens"][0]["id"].to_string()]);
    assert_eq!(ask(server.web, update, Some(("firma", &narrow))), refused);
}

#[test]
fn a_flapping_line_is_put_off_and_nobody_else_is() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let token = token(&server, &[]);
    let login = Some(("firma", token.as_str()));
    let set = |n: u32| ask(server.web, &format!("/nic/update?hostname=firma.dyn.example&myip=203.0.113.{n}"), login);
    assert!((1..=10).all(|n| set(n).1.starts_with("good")));
    assert_eq!(set(11), (503, "911\n".to_owned()));
    assert_eq!(set(10).1, "nochg 203.0.113.10\n", "an unchanged address is never limited");
    let v6 = "/nic/update?hostname=firma.dyn.example&myipv6=2001:db8::5";
    assert_eq!(ask(server.web, v6, login).1, "good 2001:db8::5\n");
}

#[test]
fn twenty_machines_of_one_line_are_served_at_once_when_its_prefix_changes_and_no_prefix_refreshes_a_limit() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let hosts: Vec<String> = (1..=20).map(|n| format!("h{n}.firma.dyn.example")).collect();
    for (host, n) in hosts.iter().zip(1..) {
        server.command(&["host", "add", "firma", host, "--interface-id", &format!("::{n:x}")]);
    }
    let token = token(&server, &[]);
    let login = Some(("firma", token.as_str()));
    let set = |host: &str, round: u32| {
        ask(server.web, &format!("/nic/update?hostname={host}&prefix=2001:db8:{round:x}:ff00::/56"), login)
    };
    for round in 1..=3 {
        for (host, n) in hosts.iter().zip(1..) {
            assert_eq!(set(host, round), (200, format!("good 2001:db8:{round:x}:ff00::{n:x}\n")), "{host}, {round}");
        }
    }
    // Ten changes of a record at once, whatever networks they name; its neighbours have theirs.
    assert!((4..=10).all(|round| set(&hosts[0], round).1.starts_with("good")));
    assert_eq!(set(&hosts[0], 11), (503, "911\n".to_owned()));
    assert_eq!(set(&hosts[0], 12), (503, "911\n".to_owned()));
    assert!(set(&hosts[1], 11).1.starts_with("good"));
}

#[test]
fn the_plain_listener_takes_updates_and_nothing_else() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let token = token(&server, &[]);
    let update = "/nic/update?hostname=firma.dyn.example&myip=203.0.113.7";
    assert_eq!(ask(server.updates, update, Some(("firma", &token))).1, "good 203.0.113.7\n");
    assert_eq!(device(&server)["encrypted"], false);
    assert_eq!(ask(server.updates, "/ip", None), (200, "127.0.0.1\n".to_owned()));
    for page in ["/", "/healthz", "/sign-in/x", "/assets/app.css"] {
        assert_eq!(ask(server.updates, page, None).0, 404, "{page}");
    }
}

#[test]
fn an_unknown_account_and_a_bad_token_take_the_same_time() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    token(&server, &[]);
    let update = "/nic/update?hostname=firma.dyn.example&myip=203.0.113.7";
    let time = |user: &str| {
        let began = crate::support::now();
        let (status, body) = ask(server.updates, update, Some((user, "pmu-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
        (began.elapsed(), status, body)
    };
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    // Fewer than a network may ask at once, in turns so that both meet the same load.
    for _ in 0..55 {
        for (user, times) in [("firma", &mut known), ("fantasy", &mut unknown)] {
            let (took, status, body) = time(user);
            assert_eq!((status, body.as_str()), (401, "badauth\n"));
            times.push(took);
        }
    }
    known.sort();
    unknown.sort();
    let (a, b) = (known[27], unknown[27]);
    assert!(a < b * 3 / 2 + Duration::from_micros(200) && b < a * 3 / 2 + Duration::from_micros(200), "{a:?} {b:?}");
}
