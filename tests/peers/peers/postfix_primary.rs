//! A real Postfix as the customer's mail server, with a configuration and queue of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Beats, Sender, Server, mail, wait_for};

/// A running Postfix; stopped when dropped.
struct Postfix {
    folder: tempfile::TempDir,
    port: u16,
}

impl Postfix {
    /// Takes mail for firma.example into one mailbox file per user, and knows only the users `chef` and `info`.
    /// `trust`: what `pulsemx trust postfix` prints.
    fn start(ip: &str, trust: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pulsemx-postfix").tempdir().unwrap();
        let port = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name);
        for name in ["config", "queue", "data", "mail"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        open_to_all(folder.path());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {q}\ndata_directory = {d}\nmail_owner = postfix\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmyhostname = mail.firma.example\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\nmynetworks = 127.0.0.0/8\nalias_maps =\n\
             virtual_mailbox_domains = firma.example\nvirtual_mailbox_base = {m}\nvirtual_mailbox_maps = inline:{{chef@firma.example=chef, info@firma.example=info}}\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 100\n\
             maillog_file = {l}\nmaillog_file_prefixes = {f}\n{trust}smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtpd_relay_restrictions = reject_unauth_destination\n",
            q = at("queue").display(),
            d = at("data").display(),
            m = at("mail").display(),
            l = at("postfix.log").display(),
            f = folder.path().display()
        );
        std::fs::write(at("config/main.cf"), main).unwrap();
        let master = format!(
            "{ip}:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nflush unix n - n 1000? 0 flush\n\
             proxymap unix - - n - - proxymap\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
             virtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n"
        );
        std::fs::write(at("config/master.cf"), master).unwrap();
        let chown = Command::new("chown").arg("postfix").arg(at("data")).status().unwrap();
        assert!(chown.success());
        let chown = Command::new("chown").arg("65534:65534").arg(at("mail")).status().unwrap();
        assert!(chown.success());
        let postfix = Self { folder, port };
        let output = postfix.command("start");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let address = (ip.to_owned(), port);
        wait_for("Postfix listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect((address.0.as_str(), address.1)).ok()
        });
        postfix
    }

    fn command(&self, verb: &str) -> std::process::Output {
        Command::new("/usr/sbin/postfix").arg("-c").arg(self.config()).arg(verb).output().unwrap()
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn mailbox(&self, user: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("mail").join(user)).unwrap_or_default()
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("stop");
    }
}

#[test]
fn held_mail_ends_in_the_mailboxes_of_a_real_postfix_and_its_refusals_are_kept() {
    let server = Server::start("1s", "[spool]\nafter_5xx = \"judge\"");
    let postfix = {
        let trust = server.command(&["trust", "postfix", "--address", "127.0.13.3", "--address", "127.0.0.1"]);
        Postfix::start("127.0.13.3", trust["text"].as_str().unwrap())
    };
    let token = server.add_account("firma", postfix.port);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for at in 0..25 {
        let user = if at % 2 == 0 { "chef" } else { "info" };
        let reply =
            sender.send("a@sender.example", &format!("{user}@firma.example"), &mail(&format!("held-{at:02}"))).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    for line in ["MAIL FROM:<a@sender.example>", "RCPT TO:<chef@firma.example>", "RCPT TO:<niemand@firma.example>"] {
        assert!(sender.ask(line).unwrap().starts_with("250"));
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    assert!(sender.ask("Subject: mixed\r\n\r\nfor one of two\r\n.").unwrap().starts_with("250"));
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.3", Some("1s"));
    let limit = Duration::from_secs(30);
    wait_for("nothing waits any more", limit, || (server.account("firma")["held"] == 0).then_some(()));
    let all = wait_for("Postfix has filed everything", limit, || {
        let all = postfix.mailbox("chef") + &postfix.mailbox("info");
        (all.matches("\nSubject: ").count() == 26).then_some(all)
    });
    for at in 0..25 {
        assert_eq!(all.matches(&format!("Subject: held-{at:02}\n")).count(), 1);
    }
    let handed_on = "Received: from sender.example (unknown [127.0.0.1])\n\tby mail.firma.example";
    assert!(all.matches(handed_on).count() >= 26, "Postfix sees the sender, not us: {all}");
    assert_eq!(server.account("firma")["refused"], 1);
    let kept = server.command(&["queue", "list", "--state", "refused"]);
    let recipients = kept["messages"][0]["recipients"].as_array().unwrap();
    let refused = recipients.iter().find(|r| r["to"] == "niemand@firma.example").unwrap();
    assert!(refused["last_reply"].as_str().unwrap().starts_with("550 5.1.1"), "{refused}");
    assert!(server.is_balanced("firma"));
}
