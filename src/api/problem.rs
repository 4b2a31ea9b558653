//! Every refusal of the API in one place: its status, its name for programs, its words for people, German and English
//! side by side. As `application/problem+json` (RFC 9457 §3).

use axum::http::header::{ALLOW, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::account::{ApiTokenError, Scope};
use crate::alert::Language;
use crate::control::CommandError;

/// Why a request was not carried out. Nothing was changed then, unless it says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// No valid token: none, a wrong one, one that has run out or whose account is gone. One answer for all.
    NoToken,
    /// The token does not open this.
    Scope(Scope),
    /// Too many requests; come again after so many seconds.
    TooMany(u64),
    /// There is no such address, or nothing of that name in this account.
    NotFound,
    /// The address knows other methods.
    Method,
    /// The query or the body cannot be read; the reader's own sentence.
    Unreadable(String),
    /// It can be read and says something that cannot be done.
    Refused(String),
    /// It cannot be done now.
    Conflict(String),
    /// Another account shares the message.
    Shared,
    /// A body of another type is wanted.
    MediaType(&'static str),
    /// The body is longer than so many octets.
    TooLarge(usize),
    /// The body did not come in time.
    Slow,
    /// `Idempotency-Key` is no key.
    KeyOdd,
    /// The key was used for something else.
    KeyReused,
    /// The first request with this key is still being carried out.
    KeyBusy,
    /// Something else is being done; come again.
    Busy,
    /// An alert that was sent as a test did not get through: its channel's fault, not the request's.
    NotThrough(String),
    /// The service failed.
    Trouble,
}

/// Status, name, title in German, title in English.
type Looks = (StatusCode, &'static str, &'static str, &'static str);

impl Fault {
    const fn looks(&self) -> Looks {
        use StatusCode as S;
        match self {
            Self::NoToken => (S::UNAUTHORIZED, "no-token", "Kein gültiger Zugangsschlüssel", "No valid token"),
            Self::Scope(_) => {
                (S::FORBIDDEN, "scope", "Dafür ist dieser Zugangsschlüssel nicht da", "The token does not open this")
            }
            Self::TooMany(_) => (S::TOO_MANY_REQUESTS, "too-many", "Zu viele Anfragen", "Too many requests"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "Nicht gefunden", "Not found"),
            Self::Method => (S::METHOD_NOT_ALLOWED, "method", "Methode nicht erlaubt", "Method not allowed"),
            Self::Unreadable(_) => (S::BAD_REQUEST, "unreadable", "Unlesbare Anfrage", "The request cannot be read"),
            Self::Refused(_) => {
                (S::UNPROCESSABLE_ENTITY, "refused", "Das geht so nicht", "That cannot be done like this")
            }
            Self::Conflict(_) => (S::CONFLICT, "conflict", "Das geht jetzt nicht", "That cannot be done now"),
            Self::Shared => (S::CONFLICT, "shared", "Die Nachricht ist geteilt", "The message is shared"),
            Self::MediaType(_) => {
                (S::UNSUPPORTED_MEDIA_TYPE, "media-type", "Falscher Inhaltstyp", "Another type of body is wanted")
            }
            Self::TooLarge(_) => (S::PAYLOAD_TOO_LARGE, "too-large", "Zu groß", "Too large"),
            Self::Slow => (S::REQUEST_TIMEOUT, "slow", "Zu langsam", "Too slow"),
            Self::KeyOdd => (S::BAD_REQUEST, "key", "Unbrauchbarer Idempotency-Key", "Odd Idempotency-Key"),
            Self::KeyReused => {
                (S::UNPROCESSABLE_ENTITY, "key-reused", "Idempotency-Key schon benutzt", "Idempotency-Key in use")
            }
            Self::KeyBusy => (S::CONFLICT, "key-busy", "Die erste Anfrage läuft noch", "The first request still runs"),
            Self::Busy => (S::SERVICE_UNAVAILABLE, "busy", "Gerade beschäftigt", "Busy just now"),
            Self::NotThrough(_) => (S::CONFLICT, "not-through", "Nicht angekommen", "It did not get through"),
            Self::Trouble => (S::SERVICE_UNAVAILABLE, "trouble", "Störung", "Trouble"),
        }
    }

    fn detail(&self, l: Language) -> String {
        let pick = |de: &str, en: &str| if l == Language::De { de.to_owned() } else { en.to_owned() };
        match self {
            Self::NoToken => pick(
                "Schicken Sie Authorization: Bearer und einen gültigen Zugangsschlüssel mit.",
                "Send Authorization: Bearer and a valid token.",
            ),
            Self::Scope(scope) => {
                let word = scope.as_str();
                pick(&format!("Dem Zugangsschlüssel fehlt {word}."), &format!("The token lacks {word}."))
            }
            Self::TooMany(seconds) => {
                pick(&format!("In {seconds} s geht es weiter."), &format!("Come again in {seconds} s."))
            }
            Self::NotFound => pick(
                "Unter dieser Adresse gibt es in diesem Konto nichts.",
                "This account has nothing at this address.",
            ),
            Self::Method => pick("Die Adresse kennt andere Methoden.", "The address knows other methods."),
            Self::Unreadable(why) | Self::Refused(why) | Self::Conflict(why) | Self::NotThrough(why) => why.clone(),
            Self::Shared => pick(
                "Sie gehört auch einem anderen Konto; was mit ihr geschieht, sagt nur der Betreiber.",
                "It is another account's as well; the operator alone rules about it.",
            ),
            Self::MediaType(wanted) => {
                pick(&format!("Erwartet wird {wanted}."), &format!("The body has to be {wanted}."))
            }
            Self::TooLarge(most) => pick(&format!("Höchstens {most} Oktette."), &format!("{most} octets at most.")),
            Self::Slow => pick("Der Inhalt kam nicht rechtzeitig an.", "The body did not come in time."),
            Self::KeyOdd => pick(
                "Ein Schlüssel hat 1 bis 128 sichtbare ASCII-Zeichen.",
                "A key has 1 to 128 visible ASCII characters.",
            ),
            Self::KeyReused => {
                pick("Der Schlüssel gehört zu einer anderen Anfrage.", "The key belongs to another request.")
            }
            Self::KeyBusy => pick("Fragen Sie gleich noch einmal.", "Ask again in a moment."),
            Self::Busy => pick("Fragen Sie gleich noch einmal.", "Ask again in a moment."),
            Self::Trouble => pick(
                "Der Dienst konnte das gerade nicht. Ihre Post ist davon nicht betroffen.",
                "The service could not do that just now. Your mail is not affected.",
            ),
        }
    }

    /// The answer in `language`. `allow` is the list of methods that the router found.
    pub(super) fn told(&self, language: Language, allow: Option<HeaderValue>) -> Response {
        let (status, name, de, en) = self.looks();
        let title = if language == Language::De { de } else { en };
        let body = json!({
            "type": format!("urn:pulsemx:problem:{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(language),
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.as_str()));
        match self {
            // RFC 6750 §3: without an error code where no token was sent or it is not valid, with one where it opens less.
            Self::NoToken => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"pulsemx\""));
            }
            Self::Scope(scope) => {
                let words =
                    format!("Bearer realm=\"pulsemx\", error=\"insufficient_scope\", scope=\"{}\"", scope.as_str());
                headers.extend(HeaderValue::from_str(&words).ok().map(|value| (WWW_AUTHENTICATE, value)));
            }
            Self::TooMany(seconds) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::Busy | Self::KeyBusy | Self::Trouble => {
                headers.insert(RETRY_AFTER, HeaderValue::from(2u64));
            }
            Self::Method => headers.extend(allow.map(|value| (ALLOW, value))),
            Self::NotFound
            | Self::Unreadable(_)
            | Self::Refused(_)
            | Self::Conflict(_)
            | Self::Shared
            | Self::MediaType(_)
            | Self::TooLarge(_)
            | Self::Slow
            | Self::KeyOdd
            | Self::KeyReused
            | Self::NotThrough(_) => {}
        }
        response
    }

    /// A desk answered what it was not asked.
    pub(super) fn odd() -> Self {
        Self::trouble(&"the desk answered something else")
    }

    /// The service failed; the log says how.
    pub(super) fn trouble(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the API could not answer");
        Self::Trouble
    }
}

/// Carried in the answer until the language is known (`driver::speak`).
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.looks().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<CommandError> for Fault {
    fn from(error: CommandError) -> Self {
        if error.is_trouble { Self::trouble(&error) } else { Self::Refused(error.message) }
    }
}

impl From<ApiTokenError> for Fault {
    fn from(error: ApiTokenError) -> Self {
        match error {
            ApiTokenError::NoToken(_) | ApiTokenError::NoAccount => Self::NotFound,
            ApiTokenError::NotYours(scope) => Self::Scope(scope),
            ApiTokenError::Full(_) => Self::Conflict(error.to_string()),
            ApiTokenError::Label | ApiTokenError::NoScope | ApiTokenError::Expired => Self::Refused(error.to_string()),
            ApiTokenError::NoRandomness | ApiTokenError::Engine(_) => Self::trouble(&error),
        }
    }
}

/// The first language of an `Accept-Language` header that we speak, in the order written; English otherwise.
pub(super) fn language_of(header: Option<&str>) -> Language {
    let spoken = |range: &str| {
        let tag = range.split(';').next().unwrap_or_default().trim();
        Language::from_stored(&tag.split('-').next().unwrap_or_default().to_ascii_lowercase())
    };
    header.and_then(|header| header.split(',').find_map(spoken)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_we_speak_is_taken() {
        for (header, language) in
            [("de-AT,en;q=0.8", Language::De), ("fr, en", Language::En), ("fr", Language::En), ("", Language::En)]
        {
            assert_eq!(language_of(Some(header)), language, "{header}");
        }
        assert_eq!(language_of(None), Language::En);
    }

    #[test]
    fn a_missing_scope_is_told_as_rfc_6750_section_3_1_says() {
        let told = Fault::Scope(Scope::SpoolRead).told(Language::De, None);
        assert_eq!(told.status(), 403);
        let header = told.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(header.contains("error=\"insufficient_scope\"") && header.contains("scope=\"spool:read\""), "{header}");
    }
}
