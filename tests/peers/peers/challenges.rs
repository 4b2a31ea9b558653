//! ACME clients with narrow keys, in the words of acme-dns: lego and certbot get certificates from Pebble for a dynamic
//! name, and for a name elsewhere that points at us; curl finds out what a key does not open.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::pebble::pebble;
use crate::support::Server;

const TXT: &str = "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM";

fn dig(server: &Server, name: &str, kind: &str) -> Vec<String> {
    let port = server.names.port().to_string();
    let fixed = ["+norecurse", "+tries=5", "+short", "-p", &port, "@127.0.0.1"];
    let output = Command::new("dig").args(fixed).args([name, kind]).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn status(server: &Server, name: &str, kind: &str) -> String {
    let port = server.names.port().to_string();
    let output =
        Command::new("dig").args(["+norecurse", "+tries=5", "-p", &port, "@127.0.0.1", name, kind]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("status: ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

/// Status and body of a request by curl.
fn curl(server: &Server, path: &str, headers: &[String], body: &Value) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["-s", "-w", "\n%{http_code}", "-X", "POST", "--data", &body.to_string()]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{}{path}", server.web)).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
}

fn login(key: &Value) -> Vec<String> {
    ["username:X-Api-User", "password:X-Api-Key"]
        .map(|pair| pair.split_once(':').unwrap())
        .map(|(field, header)| format!("{header}: {}", key[field].as_str().unwrap()))
        .to_vec()
}

/// A program that ACME clients call for each challenge: it tells our server by curl, as acme-dns clients do. Debian's lego
/// and certbot bring no client of acme-dns themselves.
fn hook(server: &Server, key: &Value, name: &str) -> String {
    let path = server.folder().join(name);
    let [user, secret] = <[String; 2]>::try_from(login(key)).unwrap();
    let text = format!(
        "#!/bin/sh\nset -eu\n# lego says: present NAME VALUE; certbot sets CERTBOT_VALIDATION.\n\
         [ \"${{1:-present}}\" = present ] || exit 0\n\
         curl -fsS -X POST -H '{user}' -H '{secret}' \
         --data \"{{\\\"subdomain\\\": \\\"{}\\\", \\\"txt\\\": \\\"${{CERTBOT_VALIDATION:-${{3:-}}}}\\\"}}\" {}/update\n",
        key["subdomain"].as_str().unwrap(),
        key["server_url"].as_str().unwrap_or(&format!("http://{}", server.web)),
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path.display().to_string()
}

/// lego for these names.
fn lego(server: &Server, (directory, trusted): (&str, &str), hook: &str, domains: &[&str]) -> Output {
    let path = server.folder().join("lego").display().to_string();
    let mut command = Command::new("lego");
    command.args(["--path", &path, "--server", directory, "--email", "it@firma.example", "--accept-tos"]).args([
        "--dns",
        "exec",
        "--dns.resolvers",
        &server.names.to_string(),
        "--dns.disable-cp",
    ]);
    for domain in domains {
        command.args(["--domains", domain]);
    }
    command
        .arg("run")
        .envs([("LEGO_CA_CERTIFICATES", trusted), ("EXEC_PATH", hook), ("EXEC_SEQUENCE_INTERVAL", "1")])
        .output()
        .unwrap()
}

fn assert_good(server: &Server, output: Output, certificate: &str) {
    let text = [output.stdout, output.stderr].concat();
    let pebble = fs::read_to_string(server.folder().join("pebble/log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{pebble}\n{}", String::from_utf8_lossy(&text), server.log());
    let made = fs::read_to_string(server.folder().join(certificate)).unwrap();
    assert!(made.contains("BEGIN CERTIFICATE"));
}

#[test]
fn lego_and_certbot_get_certificates_for_a_dynamic_name_and_for_one_elsewhere() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    let (_pebble, directory, trusted) = pebble(&server.folder().join("pebble"), server.names, None);
    let acme = (directory.as_str(), trusted.as_str());

    // The key of a dynamic name: its values stand right there.
    let host = "firma.dyn.example";
    let key = server.command(&["challenge", "new", "firma", "--host", host]);
    assert_eq!(key["fulldomain"], format!("_acme-challenge.{host}"));
    let output = lego(&server, acme, &hook(&server, &key, "hook"), &[host, "*.firma.dyn.example"]);
    assert_good(&server, output, "lego/certificates/firma.dyn.example.crt");
    assert_eq!(dig(&server, "_acme-challenge.firma.dyn.example", "TXT").len(), 2, "name and wildcard");

    // A name elsewhere: a client registers by a token in the address, and the other zone points here.
    server.command(&["zone", "add", "firma", "kunde.example"]);
    let token = server.command(&["token", "new", "firma", "--kind", "acme"]);
    let base = token["url"].as_str().unwrap();
    let output = Command::new("curl").args(["-fsS", "-X", "POST", &format!("{base}/register")]).output().unwrap();
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let target = format!("{}.", made["fulldomain"].as_str().unwrap());
    assert!(target.ends_with(".auth.dyn.example."), "{target}");
    server.command(&["zone", "set", "kunde.example", "_acme-challenge.owa", "CNAME", &target]);
    let path = |name: &str| server.folder().join(name).display().to_string();
    let output = Command::new("certbot")
        .args(["certonly", "--non-interactive", "--agree-tos", "-m", "it@firma.example", "--server", &directory])
        .args(["--config-dir", &path("cb"), "--work-dir", &path("cb-work"), "--logs-dir", &path("cb-logs")])
        .args(["--manual", "--preferred-challenges", "dns", "-d", "owa.kunde.example", "-d", "*.owa.kunde.example"])
        .args(["--manual-auth-hook", &hook(&server, &made, "other-hook")])
        .env("REQUESTS_CA_BUNDLE", &trusted)
        .output()
        .unwrap();
    assert_good(&server, output, "cb/live/owa.kunde.example/fullchain.pem");
}

#[test]
fn a_key_opens_its_one_name_from_its_networks_and_survives_a_restart() {
    let mut server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.add_account("zweite", 25);
    let host = server.command(&["account", "show", "firma"])["host"].as_str().unwrap().to_owned();
    let (key, other) = (
        server.command(&["challenge", "new", "firma", "--host", &host]),
        server.command(&["challenge", "new", "zweite", "--allow-from", "192.0.2.0/24"]),
    );
    let elsewhere = server.raw(&["challenge", "new", "zweite", "--host", &host]);
    assert!(!elsewhere.0 && elsewhere.2.contains("is no dynamic name of this account"), "{elsewhere:?}");
    let name = format!("_acme-challenge.{host}");
    let put = |key: &Value, subdomain: &Value, txt: &str| {
        curl(&server, "/update", &login(key), &json!({ "subdomain": subdomain, "txt": txt }))
    };
    assert_eq!(status(&server, &name, "TXT"), "NOERROR", "it exists without records");
    assert_eq!(status(&server, "auth.dyn.example", "A"), "NOERROR");
    for n in 0..5 {
        let txt = format!("{n}{}", &TXT[1..]);
        assert_eq!(put(&key, &key["subdomain"], &txt), (200, json!({ "txt": txt })));
    }
    assert_eq!(dig(&server, &name, "TXT").len(), 5, "more than two");
    assert_eq!(put(&key, &other["subdomain"], TXT), (401, json!({ "error": "forbidden" })), "another key's name");
    assert_eq!(put(&other, &other["subdomain"], TXT).0, 401, "not from there");
    assert_eq!(put(&key, &key["subdomain"], "too short"), (400, json!({ "error": "bad_txt" })));
    let mut wrong = key.clone();
    wrong["password"] = "pmc-wrong".into();
    assert_eq!(put(&wrong, &key["subdomain"], TXT), (401, json!({ "error": "forbidden" })));
    assert_eq!(curl(&server, "/register", &[], &json!({})), (401, json!({ "error": "unauthorized" })));
    let narrow = server.command(&["token", "new", "firma", "--kind", "update"])["token"].as_str().unwrap().to_owned();
    let bearer = [format!("Authorization: Bearer {narrow}")];
    assert_eq!(curl(&server, "/register", &bearer, &json!({})).0, 401, "a token of another kind");
    let token = server.command(&["token", "new", "firma", "--kind", "acme"])["token"].as_str().unwrap().to_owned();
    let bearer = [format!("Authorization: Bearer {token}")];
    let (status_code, made) = curl(&server, "/register", &bearer, &json!({ "allowfrom": ["127.0.0.0/8"] }));
    assert_eq!((status_code, &made["allowfrom"]), (201, &json!(["127.0.0.0/8"])));
    assert_eq!(put(&made, &made["subdomain"], TXT).0, 200);
    assert_eq!(dig(&server, made["fulldomain"].as_str().unwrap(), "TXT"), [format!("\"{TXT}\"")]);
    let health = format!("http://{}/health", server.web);
    let health = Command::new("curl").args(["-s", "-w", "%{http_code}", &health]).output().unwrap();
    assert_eq!(String::from_utf8(health.stdout).unwrap(), "200");

    server.stop();
    server.run();
    assert_eq!(dig(&server, &name, "TXT").len(), 5);
    server.command(&["challenge", "revoke", "firma", key["subdomain"].as_str().unwrap()]);
    assert_eq!(status(&server, &name, "TXT"), "NXDOMAIN");
    let again = curl(&server, "/update", &login(&key), &json!({ "subdomain": key["subdomain"], "txt": TXT }));
    assert_eq!(again.0, 401);
    let keys = server.command(&["challenge", "list", "firma"]);
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{keys}");
    assert!(keys["keys"][0].get("password").is_none(), "{keys}");
}
