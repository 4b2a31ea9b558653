//! What makes a customer's mail program trust us, so that it judges the sender and not us: the answer to `pulsemx trust`.

use std::net::IpAddr;

use super::post_request::Program;
use crate::base::DomainName;

/// What is filled in.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Our name.
    pub hostname: &'a DomainName,
    /// Our addresses.
    pub addresses: &'a [IpAddr],
    /// The id under which the account's server gets `Authentication-Results`.
    pub authserv: Option<&'a DomainName>,
}

/// Stands where no address is known.
const NO_ADDRESS: &str = "ADDRESS-OF-THE-BACKUP-MX";

impl Told<'_> {
    fn list(self, form: impl Fn(&IpAddr) -> String, between: &str) -> String {
        if self.addresses.is_empty() {
            return NO_ADDRESS.to_owned();
        }
        self.addresses.iter().map(form).collect::<Vec<_>>().join(between)
    }

    fn plain(self, between: &str) -> String {
        self.list(ToString::to_string, between)
    }

    /// What is said of `Authentication-Results`, as a comment.
    fn results(self) -> String {
        match self.authserv {
            Some(id) => format!(
                "# Authentication-Results of '{id}' are ours: the name is known to nobody else, so no sender can forge them.\n\
                 # ARC-Seal lines of ours, where there are any, speak of the same.\n"
            ),
            None => "# For Authentication-Results from us: `pulsemx account trust NAME on`, then this command with --account NAME.\n"
                .to_owned(),
        }
    }
}

/// Lines for the configuration of the program.
#[must_use]
pub fn configuration(program: Program, told: Told<'_>) -> String {
    let text = match program {
        Program::Postfix => postfix(told),
        Program::Exim => exim(told),
        Program::Rspamd => rspamd(told, "/etc/rspamd/local.d"),
        Program::Mailcow => mailcow(told),
        Program::Stalwart => stalwart(told),
        Program::Exchange => exchange(told),
    };
    let missing = if told.addresses.is_empty() {
        "# Our addresses are not in the configuration of this server: give them with --address, or replace the word below.\n"
    } else {
        ""
    };
    format!("{missing}{text}{}", told.results())
}

/// An address in a list of Postfix.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn postfix(told: Told<'_>) -> String {
    let (host, list) = (told.hostname, told.list(bracketed, ", "));
    let access = told.list(|address| format!("#   {address}  permit"), "\n");
    format!(
        "# /etc/postfix/main.cf: {host} says with XCLIENT who the sender was, and every check judges him.\n\
         # Leave these addresses out of mynetworks: they are not yours to relay for.\n\
         smtpd_authorized_xclient_hosts = {list}\n\
         smtpd_client_event_limit_exceptions = $mynetworks, {list}\n\
         # Only with postscreen: it asks before XCLIENT is said, so let us past it.\n\
         postscreen_access_list = permit_mynetworks, cidr:/etc/postfix/backup-mx.cidr\n\
         # /etc/postfix/backup-mx.cidr, without the #:\n{access}\n\
         # Then: postfix reload\n"
    )
}

fn exim(told: Told<'_>) -> String {
    // Exim separates lists with colons; `<;` changes that for addresses that have some.
    let (host, list) = (told.hostname, told.plain(" ; "));
    format!(
        "# exim.conf, main section. Exim has no XCLIENT: checks of the address would judge {host}, so they are left out for it.\n\
         hostlist backup_mx = <; {list}\n\
         # In acl_smtp_connect and acl_smtp_rcpt, add to each check by address (dnslists, spf, greylisting, ratelimit):\n\
         #   !hosts = +backup_mx\n\
         # The sender's own address is in the first Received line below ours.\n"
    )
}

fn rspamd(told: Told<'_>, folder: &str) -> String {
    let (host, list) = (told.hostname, told.list(|address| format!("\"{address}\""), ", "));
    format!(
        "# {folder}/external_relay.conf: the sender is read from the Received line that {host} wrote.\n\
         # Not needed where the mail server in front takes XCLIENT from us: then rspamd is told the sender anyway.\n\
         rules {{\n  BACKUP_MX {{\n    strategy = \"ip_map\";\n    ip_map = [{list}];\n  }}\n}}\n\
         # {folder}/greylist.conf:\n\
         whitelisted_ip = [{list}];\n\
         # Then: systemctl reload rspamd\n"
    )
}

fn mailcow(told: Told<'_>) -> String {
    let list = told.list(bracketed, ", ");
    format!(
        "# data/conf/postfix/extra.cf\nsmtpd_authorized_xclient_hosts = {list}\n\
         # data/conf/postfix/custom_postscreen_whitelist.cidr, without the #:\n{}\n\
         {}# Then: docker compose restart postfix-mailcow rspamd-mailcow\n",
        told.list(|address| format!("#   {address}  permit"), "\n"),
        rspamd(told, "data/conf/rspamd/local.d").replace("# Then: systemctl reload rspamd\n", "")
    )
}

fn stalwart(told: Told<'_>) -> String {
    let host = told.hostname;
    let allowed = told.list(|address| format!("\"{address}\" = \"\""), "\n");
    let condition = told.list(|address| format!("remote_ip == '{address}'"), " || ");
    format!(
        "# Stalwart has no XCLIENT: checks of the address would judge {host}, so they are left out for it. As TOML, or in the\n\
         # web administration under the same keys.\n\
         [server.allowed-ip]\n{allowed}\n\n\
         [auth.spf.verify]\n\
         ehlo = [ {{ if = \"{condition}\", then = \"disable\" }}, {{ else = \"relaxed\" }} ]\n\
         mail-from = [ {{ if = \"{condition}\", then = \"disable\" }}, {{ else = \"relaxed\" }} ]\n\n\
         [auth.iprev]\nverify = [ {{ if = \"{condition}\", then = \"disable\" }}, {{ else = \"relaxed\" }} ]\n\n\
         [auth.dmarc]\nverify = [ {{ if = \"{condition}\", then = \"disable\" }}, {{ else = \"relaxed\" }} ]\n"
    )
}

fn exchange(told: Told<'_>) -> String {
    let (host, list) = (told.hostname, told.list(|address| format!("\"{address}\""), ","));
    format!(
        "# Exchange Management Shell. Sender checks then look at the hop before {host}.\n\
         Set-TransportConfig -InternalSMTPServers @{{Add={list}}}\n\
         New-ReceiveConnector -Name \"Backup MX {host}\" -TransportRole FrontendTransport -Usage Custom `\n\
         \x20 -Bindings 0.0.0.0:25 -RemoteIPRanges {list} -PermissionGroups AnonymousUsers `\n\
         \x20 -TarpitInterval 00:00:00 -MessageRateLimit unlimited -MaxInboundConnectionPerSource unlimited\n\
         Restart-Service MSExchangeTransport\n"
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_program_is_told_our_addresses_and_the_accounts_id() {
        let (hostname, id) = (DomainName::parse("mx2.example").unwrap(), DomainName::parse("k7.mx2.example").unwrap());
        let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        for program in Program::value_variants() {
            let text =
                configuration(*program, Told { hostname: &hostname, addresses: &addresses, authserv: Some(&id) });
            for word in ["192.0.2.1", "2001:db8::1", "k7.mx2.example"] {
                assert!(text.contains(word), "{program:?} {word}: {text}");
            }
            assert!(!text.contains(NO_ADDRESS) && text.ends_with('\n'), "{text}");
            let nothing = configuration(*program, Told { hostname: &hostname, addresses: &[], authserv: None });
            assert!(nothing.contains(NO_ADDRESS) && nothing.contains("--address"), "{nothing}");
        }
    }

    #[test]
    fn postfix_gets_addresses_in_its_own_form() {
        let hostname = DomainName::parse("mx2.example").unwrap();
        let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let text = postfix(Told { hostname: &hostname, addresses: &addresses, authserv: None });
        assert!(text.contains("\nsmtpd_authorized_xclient_hosts = 192.0.2.1, [2001:db8::1]\n"), "{text}");
        assert!(text.contains("\n#   192.0.2.1  permit\n#   2001:db8::1  permit\n"), "{text}");
    }
}
