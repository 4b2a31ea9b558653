//! `pulsemx zone propose`: a zone file out of public answers, and the other words of `pulsemx zone`.

use std::net::SocketAddr;
use std::path::Path;

use clap::{Args, Subcommand};

use super::room_settings::checks_settings;
use super::run::{RunError, configuration, say};
use crate::base::DomainName;
use crate::control::CommandError;
use crate::control::zone_arguments::ZoneCommand;
use crate::survey::driver::{Calls, Surveyor};
use crate::survey::zone;

/// `pulsemx zone ...`
#[derive(Subcommand, Debug)]
pub enum ZoneWord {
    /// Make a zone file of what the public DNS answers for a domain; it cannot know all names
    Propose(ProposeArguments),
    /// What the running server does.
    #[command(flatten)]
    Kept(ZoneCommand),
}

/// Of which domain, and who is asked.
#[derive(Args, Debug)]
pub struct ProposeArguments {
    /// The domain
    domain: DomainName,
    /// Ask this resolver instead of the configured ones; several times for several
    #[arg(long, value_name = "ADDRESS:PORT")]
    resolver: Vec<SocketAddr>,
}

/// Prints the zone file, or has the server do the rest. Takes a minute at most.
///
/// # Errors
/// [`RunError`]: no configuration, no resolver, or nobody who answers.
pub async fn run(path: Option<&Path>, word: ZoneWord, json: bool) -> Result<(), RunError> {
    let arguments = match word {
        ZoneWord::Propose(arguments) => arguments,
        ZoneWord::Kept(command) => return super::run::command(path, command.into(), json).await,
    };
    let (_, config) = configuration(path)?;
    let mut resolver = checks_settings(&config);
    if !arguments.resolver.is_empty() {
        resolver.resolvers = arguments.resolver;
    }
    // Nobody is called.
    let calls = Calls { port: 0, https_port: 0, allow_loopback: false, own_addresses: Vec::new() };
    let failed = |error: &dyn std::fmt::Display| CommandError::new(error.to_string());
    let surveyor = Surveyor::new(&resolver, calls).map_err(|error| failed(&error))?;
    let domain = arguments.domain;
    let public = surveyor.public_records(&domain).await.map_err(|error| failed(&error))?;
    if public.records.is_empty() && public.wildcard.is_empty() {
        let why = if public.unanswered > 0 { "nobody answers for it" } else { "it has no records" };
        return Err(CommandError::new(format!("no zone of {domain} can be proposed: {why}")).into());
    }
    let (servers, contact) = match &config.names {
        Some(names) => (names.name_servers.clone(), names.contact.clone()),
        // Imported elsewhere later: a server's own name is the usual one.
        None => (vec![config.hostname.clone()], config.hostname.clone()),
    };
    let text = zone::file(&domain, &public, &servers, &contact);
    say(&if json { format!("{}\n", serde_json::json!({ "zone": domain, "text": text })) } else { text })
}
