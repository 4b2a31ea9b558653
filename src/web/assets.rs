//! Style, script and icon: part of the binary, named by their hash, so that a browser keeps them for ever.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// One file that the pages load.
#[derive(Debug)]
pub(super) struct Asset {
    /// With the hash, `/assets/app.0123456789abcdef.css`.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) octets: &'static [u8],
}

fn asset(stem: &str, extension: &str, content_type: &'static str, octets: &'static [u8]) -> Asset {
    let digest = HEXLOWER.encode(&Sha256::digest(octets));
    let short = digest.get(..16).unwrap_or_default();
    Asset { path: format!("/assets/{stem}.{short}.{extension}"), content_type, octets }
}

/// Style of all pages.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| asset("app", "css", "text/css; charset=utf-8", include_bytes!("../../web/app.css")));
/// Ticks, live updates, switch of look. Every page works without it.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset("app", "js", "text/javascript; charset=utf-8", include_bytes!("../../web/app.js")));
/// Asks the browser for a passkey; only where one is used.
pub(super) static PASSKEY_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset("passkey", "js", "text/javascript; charset=utf-8", include_bytes!("../../web/passkey.js")));
/// Icon of the tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| asset("icon", "svg", "image/svg+xml", include_bytes!("../../web/icon.svg")));

/// The asset of that path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*PASSKEY_SCRIPT, &*ICON].into_iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_found_by_its_hashed_name_only() {
        assert!(find(&STYLE.path).is_some_and(|a| a.octets.starts_with(b"/*")));
        assert!(find("/assets/app.css").is_none());
    }

    #[test]
    fn nothing_in_style_or_script_needs_a_looser_policy() {
        let script = std::str::from_utf8(SCRIPT.octets).unwrap();
        let passkey = std::str::from_utf8(PASSKEY_SCRIPT.octets).unwrap();
        for banned in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", ".style"] {
            assert!(!script.contains(banned) && !passkey.contains(banned), "{banned}");
        }
        assert!(passkey.len() <= 3 * 1024, "{} octets of script", passkey.len());
        assert!(script.len() <= 9 * 1024, "{} octets of script", script.len());
        let style = std::str::from_utf8(STYLE.octets).unwrap();
        assert!(!style.contains("http") && !style.contains("@import"));
    }
}
