//! The examples of docs/API.md are run as they stand, by bash and curl.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Sender, Server, mail};

/// The blocks between ```` ```sh ```` and ```` ``` ````, in order.
fn examples(text: &str) -> Vec<&str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_of_the_document_runs_as_it_stands() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", "firma.example"]);
    for id in ["one", "two", "three"] {
        let reply = Sender::connect(server.smtp).unwrap().send("a@b.example", "info@firma.example", &mail(id)).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    let scopes = "status,dns,spool:read,spool:write,admin";
    let made = server.command(&["token", "new", "firma", "--scope", scopes, "--label", "examples"]);
    let folder = tempfile::tempdir().unwrap();
    let auth = folder.path().join("auth");
    fs::write(&auth, format!("Authorization: Bearer {}\n", made["token"].as_str().unwrap())).unwrap();
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o600)).unwrap();
    let document = include_str!("../../../docs/API.md");
    let all = examples(document);
    assert!(all.len() >= 9, "{} examples", all.len());
    for example in all {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", example])
            .current_dir(folder.path())
            .env("URL", format!("http://{}", server.web))
            .output()
            .unwrap();
        let told = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(output.status.success(), "{example}\n{}\n{}", told(&output.stdout), told(&output.stderr));
    }
    assert_eq!(server.command(&["queue", "list", "--account", "firma"])["messages"].as_array().unwrap().len(), 2);
    assert!(server.is_balanced("firma"));
}
