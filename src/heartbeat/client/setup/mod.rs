//! What a person does beside running the client: fetch a token, and ask the server how the line stands.

pub(super) mod driver;
