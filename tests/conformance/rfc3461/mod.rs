//! RFC 3461: DSN.

mod section_4;
