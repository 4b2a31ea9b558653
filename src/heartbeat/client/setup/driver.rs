//! Carries out `join` and `status`: one request each.

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;

use zeroize::Zeroizing;

use super::super::arguments::{JoinArguments, StatusArguments};
use super::super::https::Base;
use super::super::https::driver::{self as https, Settings};
use super::super::token_file::driver::{Draft, TOKEN_LINE_OCTETS_MAX};
use crate::heartbeat::token::Token;

/// Exchanges a one-time address for a token and keeps that in a new file.
///
/// # Errors
/// The reason in words; no file was made then.
pub(in crate::heartbeat::client) fn join(arguments: &JoinArguments) -> Result<(), String> {
    let file = &arguments.token_file;
    if file.exists() {
        return Err(format!("{} is there already; move it away or name another file", file.display()));
    }
    if arguments.address == "-" {
        return keep_from(std::io::stdin().lock(), file);
    }
    let base = Base::parse(&arguments.address)?;
    // Before the code is used up.
    let draft = Draft::begin(file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let joined = https::join(&Settings { base, ca_file: arguments.ca_file.clone(), bind: None })?;
    draft.keep(&joined.token).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    println!("joined as {}; the token is in {}", joined.account, file.display());
    let server = joined.udp.first().map_or("HOST:PORT", String::as_str);
    let mut command = format!("pulsemx-beat run --server {server} --account {}", joined.account);
    if let Some(https) =
        joined.https.filter(|https| Base::beside(server).is_none_or(|known| known.to_string() != *https))
    {
        command.push_str(&format!(" --https {https}"));
    }
    if let Some(ca) = &arguments.ca_file {
        command.push_str(&format!(" --ca-file {}", ca.display()));
    }
    println!("now run: {command} --token-file {}", file.display());
    Ok(())
}

/// Keeps the token in the first line of `input` in a new file.
fn keep_from(input: impl BufRead, file: &Path) -> Result<(), String> {
    let mut line = Zeroizing::new(String::new());
    input
        .take(TOKEN_LINE_OCTETS_MAX)
        .read_line(&mut line)
        .map_err(|error| format!("cannot read the token: {error}"))?;
    let token = Token::parse(&line).map_err(|error| format!("the first line is no token: {error}"))?;
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", file.display());
    Draft::begin(file).map_err(failed)?.keep(&token).map_err(failed)?;
    println!("the token is in {}", file.display());
    Ok(())
}

/// Prints how the line stands at the server; the code says whether mail goes there.
///
/// # Errors
/// The reason in words.
pub(in crate::heartbeat::client) fn status(arguments: &StatusArguments) -> Result<ExitCode, String> {
    let status = https::status(&arguments.at.settings()?, &arguments.at.token()?)?;
    println!("{}", if arguments.json { status.json } else { status.text });
    Ok(if status.is_up { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
