//! Every option, declared once: key, kind, default and help. The example file, `config show` and the checks read this.

/// What a value has to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Free text.
    Text,
    /// A domain name.
    Name,
    /// A mailbox `local-part@domain`.
    Mailbox,
    /// A path of a file or folder.
    Path,
    /// One `address:port` or a list of them.
    Addresses,
    /// A list of addresses without port.
    Ips,
    /// A list of networks such as `192.0.2.0/24`.
    Networks,
    /// A list of texts.
    Texts,
    /// `"5s"`, `"30d"`; least and most in milliseconds.
    Duration {
        /// Least, ms.
        min_ms: u64,
        /// Most, ms.
        max_ms: u64,
    },
    /// `"64MiB"`; least and most in octets.
    Size {
        /// Least, octets.
        min: u64,
        /// Most, octets.
        max: u64,
    },
    /// A whole number.
    Number {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Whether the option does something in this version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// It does.
    Now,
    /// The key is reserved: taken, checked and reported at start as without effect.
    Reserved,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// `section.key`, or a bare key of the top level.
    pub key: &'static str,
    /// Shape and range.
    pub kind: Kind,
    /// As it would be written in the file; empty for "not set".
    pub default: &'static str,
    /// The default of a server started without any configuration, where that differs.
    pub trial: Option<&'static str>,
    /// One sentence for people.
    pub help: &'static str,
    /// See [`Since`].
    pub since: Since,
}

const fn option(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, trial: None, help, since: Since::Now }
}

const fn reserved(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec { key, kind, default, trial: None, help, since: Since::Reserved }
}

const fn with_trial(spec: OptionSpec, trial: &'static str) -> OptionSpec {
    OptionSpec { trial: Some(trial), ..spec }
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// All options, in the order of the example file.
pub const OPTIONS: &[OptionSpec] = &[
    option("version", Kind::Number { min: 1, max: 1 }, "1", "Version of this file's layout."),
    option(
        "hostname",
        Kind::Name,
        "",
        "The public name of this server, as in the customers' MX records. Without it the machine's own name is used.",
    ),
    with_trial(
        option(
            "data_dir",
            Kind::Path,
            "",
            "Where the database, keys and the control socket live. Under systemd $STATE_DIRECTORY, else /var/lib/pulsemx.",
        ),
        "\"./pulsemx-data\"",
    ),
    with_trial(
        option("heartbeat.listen", Kind::Addresses, "\"[::]:5525\"", "UDP addresses for heartbeats."),
        "\"127.0.0.1:5525\"",
    ),
    option(
        "heartbeat.interval",
        Kind::Duration { min_ms: SECOND, max_ms: 60 * SECOND },
        "\"5s\"",
        "The rhythm that clients are told to keep.",
    ),
    option(
        "heartbeat.misses",
        Kind::Number { min: 3, max: 10 },
        "3",
        "Missed beats after which an account is neutralised.",
    ),
    option(
        "heartbeat.grace",
        Kind::Duration { min_ms: 0, max_ms: 5 * SECOND },
        "\"2s\"",
        "Added to the last deadline for jitter. 3 x 5 s + 2 s = 17 s; the promise is 20 s at most.",
    ),
    option(
        "heartbeat.renew_tokens_after",
        Kind::Duration { min_ms: 0, max_ms: 3_650 * DAY },
        "\"0s\"",
        "Age at which clients are asked to exchange their token for a new one over HTTPS, by themselves; 0s never asks.",
    ),
    option(
        "heartbeat.self_check",
        Kind::Addresses,
        "[]",
        "Asked by TCP whether our own uplink works, only while very many accounts are silent. None: the operator decides.",
    ),
    with_trial(
        option("smtp.listen", Kind::Addresses, "\"[::]:25\"", "Where senders reach the backup MX."),
        "\"127.0.0.1:2525\"",
    ),
    option(
        "smtp.max_size",
        Kind::Size { min: 64 * 1024, max: 1 << 30 },
        "\"64MiB\"",
        "Largest message taken; advertised as SIZE.",
    ),
    option(
        "smtp.max_sessions",
        Kind::Number { min: 1, max: 100_000 },
        "12000",
        "Sessions at one time. When all are taken the one silent longest leaves for a newcomer; if none is silent newcomers hear 421.",
    ),
    option(
        "smtp.max_sessions_per_peer",
        Kind::Number { min: 1, max: 100_000 },
        "50",
        "Sessions at one time from one address. Loopback and private networks have no such limit, nor the following ones.",
    ),
    option(
        "smtp.max_connections_per_minute",
        Kind::Number { min: 0, max: 1_000_000 },
        "300",
        "Connections a minute from one IPv4 /24 or IPv6 /56, with five minutes' worth at once; then 421. 0: any number.",
    ),
    option(
        "smtp.max_messages_per_minute",
        Kind::Number { min: 0, max: 1_000_000 },
        "1000",
        "Messages a minute from one such network, with five minutes' worth at once; then 450. 0: any number.",
    ),
    option(
        "smtp.max_recipients_per_minute",
        Kind::Number { min: 0, max: 1_000_000 },
        "2000",
        "Recipients a minute from one such network, with five minutes' worth at once; then 450. 0: any number.",
    ),
    option(
        "smtp.greeting_pause",
        Kind::Duration { min_ms: 0, max_ms: 900 },
        "\"500ms\"",
        "How long a peer waits for its greeting if its network was refused many recipients of late; others do not wait.",
    ),
    option(
        "smtp.early_talkers",
        Kind::Choice(&["note", "refuse"]),
        "\"note\"",
        "What happens to a peer that talks before such a greeting.",
    ),
    option(
        "smtp.exempt_networks",
        Kind::Networks,
        "[]",
        "Networks to which limits by peer address do not apply. Gives no further rights.",
    ),
    option(
        "smtp.forwarders",
        Kind::Networks,
        "[]",
        "Machines that pass on mail of others, such as a web host that forwards mailboxes: exempt from limits, harvest brakes and SPF. Gives no further rights.",
    ),
    option(
        "smtp.postmaster",
        Kind::Mailbox,
        "",
        "Mailbox in a served domain that gets mail for <Postmaster>, and for postmaster and abuse at our own name; without one it is kept, see `pulsemx queue list --account operator`.",
    ),
    option(
        "smtp.online_mode",
        Kind::Choice(&["cut-through", "defer", "accept"]),
        "\"cut-through\"",
        "What happens to mail while the primary is online: asked while the sender waits, and its answers passed on (cut-through); the sender sent to the primary (defer); stored and relayed at once (accept). An account may have its own: account online.",
    ),
    option(
        "smtp.unknown_recipients",
        Kind::Choice(&["accept", "defer", "reject"]),
        "\"accept\"",
        "What happens, while the primary is offline, to recipients nobody knows of domains without a list. A domain may have its own rule: recipient set --unknown.",
    ),
    option(
        "checks.enabled",
        Kind::Flag,
        "true",
        "Looks at senders by SPF, DKIM, DMARC, ARC and reverse DNS after their mail is stored. Refuses nothing; `pulsemx queue show` tells what came of it.",
    ),
    option(
        "checks.resolvers",
        Kind::Addresses,
        "[]",
        "DNS resolvers for these checks, for example \"127.0.0.1:53\". None: those of /etc/resolv.conf.",
    ),
    option(
        "checks.question_timeout",
        Kind::Duration { min_ms: SECOND / 10, max_ms: 30 * SECOND },
        "\"3s\"",
        "For one try of one question to a resolver; there are two tries.",
    ),
    option(
        "checks.message_timeout",
        Kind::Duration { min_ms: SECOND, max_ms: 300 * SECOND },
        "\"20s\"",
        "For all checks of one message; what is open then counts as temperror.",
    ),
    option(
        "checks.dnsbl",
        Kind::Texts,
        "[]",
        "Lists of bad senders that are asked about each sending address, for example \"zen.spamhaus.org\".",
    ),
    option(
        "checks.dnsbl_action",
        Kind::Choice(&["tag", "defer"]),
        "\"tag\"",
        "tag notes a listed sender beside its mail. defer also tells it 451 at RCPT while the recipient's own server takes mail.",
    ),
    option(
        "checks.dnsbl_while_offline",
        Kind::Flag,
        "false",
        "Defers listed senders even while the recipient's own server is away.",
    ),
    option(
        "checks.exempt_networks",
        Kind::Networks,
        "[]",
        "Peers of whom nothing is asked. This machine itself always is one.",
    ),
    option(
        "spool.keep",
        Kind::Duration { min_ms: 4 * DAY, max_ms: 365 * DAY },
        "\"30d\"",
        "How long mail waits for a primary that does not return, and then how long a copy is kept in quarantine.",
    ),
    option(
        "spool.keep_delivered",
        Kind::Duration { min_ms: HOUR, max_ms: 90 * DAY },
        "\"7d\"",
        "How long envelopes of delivered mail stay visible.",
    ),
    option(
        "spool.per_account",
        Kind::Size { min: 1 << 20, max: 1 << 50 },
        "\"2GB\"",
        "Content held for one account; above it senders hear 452 and come again.",
    ),
    option(
        "spool.reserve",
        Kind::Size { min: 1 << 20, max: 1 << 50 },
        "",
        "Free disk space that mail may not take, so that flushes go on; below it senders hear 452. Without it 1 GiB or 2 % of the disk, whichever is more.",
    ),
    option(
        "spool.after_5xx",
        Kind::Choice(&["hold", "judge"]),
        "\"hold\"",
        "What a refusal in the 10 minutes after a return leads to: hold asks again when they are over, judge believes it at once. Either way it is kept and shown.",
    ),
    option(
        "spool.warn_sender_after",
        Kind::Text,
        "\"off\"",
        "When senders who asked for it (NOTIFY=DELAY) are told that their mail waits, such as 24h; off for never. Needs outbound.from.",
    ),
    option(
        "delivery.per_account",
        Kind::Number { min: 1, max: 16 },
        "4",
        "Connections to one primary at most. A flush begins with one and has the others once it delivered.",
    ),
    option(
        "delivery.connections",
        Kind::Number { min: 1, max: 10_000 },
        "200",
        "Connections to all primaries at one time.",
    ),
    option(
        "delivery.allow_loopback_targets",
        Kind::Flag,
        "false",
        "Lets mail go to 127.0.0.0/8 and ::1. For tests and the demo only.",
    ),
    option(
        "outbound.from",
        Kind::Mailbox,
        "",
        "Who writes reports to senders and digests to customers, such as mailer-daemon@ our hostname. Without it no mail of our own leaves: what cannot be delivered is kept and shown.",
    ),
    option(
        "outbound.smart_host",
        Kind::Text,
        "",
        "HOST:PORT of a mail server that sends our own mail on, with STARTTLS. Without it mail goes to the MX hosts of its domain, so this machine needs a PTR record and an SPF record for outbound.from.",
    ),
    option("outbound.user", Kind::Text, "", "Name for the login at the smart host."),
    option("outbound.password_file", Kind::Path, "", "File with the password for that login."),
    option("outbound.dkim_domain", Kind::Name, "", "Domain in whose name our own mail is signed."),
    option("outbound.dkim_selector", Kind::Name, "", "Selector of that signature."),
    option(
        "outbound.dkim_key",
        Kind::Path,
        "",
        "Private key of that signature in PEM, RSA or Ed25519. It also seals mail for accounts whose primary trusts us (ARC).",
    ),
    option(
        "outbound.per_domain_hour",
        Kind::Number { min: 1, max: 100_000 },
        "20",
        "Mails of our own to one domain in an hour, at most; beyond that senders are not told.",
    ),
    option(
        "outbound.digest_hour",
        Kind::Number { min: 0, max: 23 },
        "5",
        "Hour of the day, UTC, from which on digests of quarantines are written to the alert addresses of accounts.",
    ),
    option(
        "dns.zone",
        Kind::Name,
        "",
        "The zone of the dynamic names, such as dyn.example, delegated to this server. Without it no DNS is served.",
    ),
    with_trial(
        option(
            "dns.listen",
            Kind::Addresses,
            "\"[::]:53\"",
            "Where names are served, over UDP and TCP. On a host with several addresses list them one by one.",
        ),
        "\"127.0.0.1:5300\"",
    ),
    option("dns.tls_listen", Kind::Addresses, "[]", "Where names are served over TLS, usually port 853."),
    option(
        "dns.ttl",
        Kind::Duration { min_ms: SECOND, max_ms: 60 * SECOND },
        "\"30s\"",
        "TTL of a dynamic name, and how long its absence is remembered.",
    ),
    option(
        "dns.name_servers",
        Kind::Texts,
        "[]",
        "Names of the name servers of dns.zone; the first one is its primary. Without any, hostname.",
    ),
    option("dns.contact", Kind::Mailbox, "", "Whom to write to about dns.zone. Without it hostmaster in that zone."),
    option(
        "dns.offline",
        Kind::Choice(&["park", "neutral", "nothing"]),
        "\"park\"",
        "What a name answers while its server is not there: our own address, dns.neutral, or no address.",
    ),
    option(
        "dns.own",
        Kind::Ips,
        "[]",
        "This server's public addresses, for parked names and for name servers inside dns.zone. Without any, those of smtp.listen.",
    ),
    option("dns.neutral", Kind::Ips, "[]", "Addresses that refuse connections at once, for dns.offline = \"neutral\"."),
    option(
        "dns.answers_per_second",
        Kind::Number { min: 0, max: 1_000_000 },
        "200",
        "Answers a second to one network (/24, /56) over UDP, so that nobody is flooded through us; 0 for no limit.",
    ),
    option("dns.exempt_networks", Kind::Networks, "[]", "Networks without that limit, such as secondaries."),
    with_trial(
        option(
            "web.listen",
            Kind::Addresses,
            "\"[::]:443\"",
            "Status pages: HTTP on a loopback address, HTTPS elsewhere.",
        ),
        "\"127.0.0.1:8025\"",
    ),
    option(
        "web.update_listen",
        Kind::Addresses,
        "[]",
        "Plain HTTP for routers that cannot do better; takes updates only, for example [\"[::]:80\", \"[::]:8245\"]. Off by default: tokens can be read on the way.",
    ),
    option(
        "web.public_url",
        Kind::Text,
        "",
        "How browsers reach the pages, for sign-in links. Made from hostname and port if absent.",
    ),
    reserved("web.operator_listen", Kind::Addresses, "\"127.0.0.1:8443\"", "The operator's console."),
    reserved("web.languages", Kind::Texts, "[\"de\", \"en\"]", "Languages offered on the pages."),
    option("tls.cert", Kind::Path, "", "Certificate chain in PEM. Without it a self-signed certificate is made."),
    option("tls.key", Kind::Path, "", "Private key in PEM that belongs to tls.cert."),
    option(
        "tls.acme",
        Kind::Choice(&["on", "off"]),
        "\"off\"",
        "Gets and renews the certificate from an authority by ACME; its question is answered from our own zone, so dns.zone has to be set. On means that you agree to the authority's terms.",
    ),
    option("tls.contact", Kind::Text, "", "Mailbox that the authority may write to."),
    option(
        "tls.directory",
        Kind::Text,
        "\"https://acme-v02.api.letsencrypt.org/directory\"",
        "The authority's ACME directory.",
    ),
    option(
        "tls.ca_file",
        Kind::Path,
        "",
        "Authorities in PEM by which a private ACME directory is known. Without it the public ones.",
    ),
    option(
        "tls.names",
        Kind::Texts,
        "[]",
        "Further names in that certificate. One outside our zones needs a record there: _acme-challenge.NAME CNAME to what the log says at the start.",
    ),
    option(
        "alerts.operator",
        Kind::Texts,
        "[]",
        "Where alerts for the operator go beside the log, such as \"ntfy:https://ntfy.example/topic\", \"mailto:a@b.example\", \"command:/path\"; behind # come options (docs/ALERTS.md).",
    ),
    option(
        "metrics.listen",
        Kind::Addresses,
        "[]",
        "Figures for Prometheus at /metrics, over plain HTTP, for example \"127.0.0.1:9464\". They name no customer. None: not served.",
    ),
    option("log.format", Kind::Choice(&["auto", "text", "json"]), "\"auto\"", "Lines for people or JSON. auto: text."),
    option("store.engine", Kind::Choice(&["sqlite"]), "\"sqlite\"", "Storage engine."),
];

/// The option of that key.
#[must_use]
pub fn find(key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.key == key)
}

/// The known key that looks most like `key`.
#[must_use]
pub fn nearest(key: &str) -> &'static str {
    OPTIONS.iter().map(|spec| (distance(spec.key, key), spec.key)).min().map_or("hostname", |(_, key)| key)
}

/// Edit distance; a key written without its section counts as near.
fn distance(known: &str, written: &str) -> usize {
    let bare = known.rsplit('.').next().unwrap_or(known);
    let written_bare = written.rsplit('.').next().unwrap_or(written);
    strsim::damerau_levenshtein(known, written).min(strsim::damerau_levenshtein(bare, written_bare) * 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        assert_eq!(nearest("smtp.lisen"), "smtp.listen");
        assert_eq!(nearest("heartbeat.intervall"), "heartbeat.interval");
        assert_eq!(nearest("allow_loopback_targets"), "delivery.allow_loopback_targets");
        assert_eq!(nearest("Hostname"), "hostname");
    }

    #[test]
    fn every_key_stands_once() {
        for (at, spec) in OPTIONS.iter().enumerate() {
            assert!(OPTIONS.iter().skip(at + 1).all(|other| other.key != spec.key), "{}", spec.key);
        }
    }
}
