//! `pulsemx doctor`: of this installation, or with `--domain` of a domain as the world sees it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::room_settings::{checks_settings, public_addresses};
use super::run::{self, RunError, configuration, say};
use crate::base::DomainName;
use crate::config::Config;
use crate::control::print;
use crate::dns::Offline;
use crate::doctor::domain::{self, Report};
use crate::survey::Level;
use crate::survey::driver::Calls;

/// Port of mail, and of MTA-STS policies.
const PORTS: (u16, u16) = (25, 443);

/// What to look at.
#[derive(Args, Debug)]
pub struct DoctorArguments {
    /// Look at this domain in the public DNS, and at its mail servers; one that nobody has yet gets its set-up proposed
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<DomainName>,
    /// The customer's mail server, for a domain that nobody has yet
    #[arg(long, value_name = "NAME", requires = "domain")]
    primary: Option<DomainName>,
    /// Ask this resolver instead of the configured ones; several times for several
    #[arg(long, value_name = "ADDRESS:PORT", requires = "domain")]
    resolver: Vec<SocketAddr>,
    /// Call mail servers at another port than 25
    #[arg(long, value_name = "PORT", requires = "domain", hide = true)]
    smtp_port: Option<u16>,
}

/// Carries it out. What cannot be looked at is broken, and said on stderr.
pub async fn code(path: Option<&Path>, arguments: DoctorArguments, json: bool) -> ExitCode {
    let Some(domain) = arguments.domain.clone() else { return run::doctor_code(path, json).await.into() };
    let code = of_domain(path, domain, arguments, json).await.unwrap_or_else(|error| {
        eprintln!("pulsemx: {error}");
        2
    });
    code.into()
}

async fn of_domain(
    path: Option<&Path>,
    domain: DomainName,
    arguments: DoctorArguments,
    json: bool,
) -> Result<u8, RunError> {
    let (_, config) = configuration(path)?;
    let settings = settings(&config, domain, arguments);
    let report = match domain::examine(&settings).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("pulsemx: {error}");
            return Ok(2);
        }
    };
    say(&if json { format!("{}\n", serde_json::to_string(&report)?) } else { text(&report) })?;
    Ok(match report.worst {
        Level::Fine => 0,
        Level::Warning => 1,
        Level::Broken => 2,
    })
}

fn settings(config: &Config, domain: DomainName, arguments: DoctorArguments) -> domain::Settings {
    let mut resolver = checks_settings(config);
    if !arguments.resolver.is_empty() {
        resolver.resolvers = arguments.resolver;
    }
    let names = config.names.as_ref();
    domain::Settings {
        domain,
        primary: arguments.primary,
        hostname: config.hostname.clone(),
        own_addresses: public_addresses(config),
        zone: names.map(|names| names.zone.clone()),
        name_servers: names.map(|names| names.name_servers.clone()).unwrap_or_default(),
        offline: names.map_or(Offline::Park, |names| names.offline),
        database: config.database(),
        control_socket: config.control_socket(),
        resolver,
        calls: Calls {
            port: arguments.smtp_port.unwrap_or(PORTS.0),
            https_port: PORTS.1,
            allow_loopback: config.delivery_allow_loopback_targets,
            own_addresses: super::listen::expand(&config.smtp_listen),
        },
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let level = match finding.level {
            Level::Fine => "fine",
            Level::Warning => "warning",
            Level::Broken => "BROKEN",
        };
        text.push_str(&format!("{level:8} {}\n", print::safe(&finding.what)));
        if !finding.why.is_empty() {
            text.push_str(&format!("         why: {}\n         -> {}\n", finding.why, finding.fix));
        }
        for record in &finding.records {
            text.push_str(&format!("            {}\n", record.line()));
        }
    }
    for way in &report.proposal {
        text.push_str(&format!("\n{}. {}\n   {}\n", way.letter, way.title, way.text));
        for record in &way.records {
            text.push_str(&format!("      {}\n", record.line()));
        }
    }
    if !report.proposal.is_empty() {
        let ask = format!("pulsemx account add NAME --domain {}", report.domain);
        text.push_str(&format!("\nNo account has this domain yet: `{ask}` takes it on.\n"));
    }
    text
}
