//! Secondaries and shared keys as text for a terminal.

use super::print::{table, time};
use super::transfer_reply::{KeyShown, NewKeyShown, SecondaryShown};

/// The answer to `zone secondary list`.
pub(super) fn secondaries(shown: &[SecondaryShown]) -> String {
    if shown.is_empty() {
        return "no secondaries; add one with `pulsemx zone secondary add ZONE ADDRESS --key NAME`\n".to_owned();
    }
    let mut rows = vec![["ZONE", "ADDRESS", "KEY"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|secondary| {
        let key = secondary.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        vec![secondary.zone.to_string(), secondary.address.to_string(), key]
    }));
    table(&rows)
}

/// The answer to `tsig new`: as BIND and NSD, and as Knot want it.
pub(super) fn new_key(shown: &NewKeyShown) -> String {
    let NewKeyShown { name, algorithm, secret } = shown;
    format!(
        "key {name}, {algorithm}; its secret is not shown again\n\n\
         BIND:  key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
         Knot:  key:\n         - id: {name}\n           algorithm: {algorithm}\n           secret: {secret}\n\
         NSD:   key:\n         name: {name}\n         algorithm: {algorithm}\n         secret: \"{secret}\"\n"
    )
}

/// The answer to `tsig list`.
pub(super) fn keys(shown: &[KeyShown]) -> String {
    if shown.is_empty() {
        return "no keys; make one with `pulsemx tsig new NAME`\n".to_owned();
    }
    let mut rows = vec![["KEY", "MADE", "MAY CHANGE", "TYPES", "OF"].map(str::to_owned).to_vec()];
    for key in shown {
        let mut begin = [key.name.to_string(), time(key.created_at)].to_vec();
        if key.scopes.is_empty() {
            rows.push([begin.clone(), vec!["-".to_owned(); 3]].concat());
        }
        for scope in &key.scopes {
            let below = if scope.below { " and below" } else { "" };
            let what = [format!("{}{below}", scope.name), scope.types.to_string(), scope.account.to_string()];
            rows.push([std::mem::replace(&mut begin, vec![String::new(); 2]), what.to_vec()].concat());
        }
    }
    table(&rows)
}
