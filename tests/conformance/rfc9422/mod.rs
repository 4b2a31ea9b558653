//! RFC 9422: LIMITS.

mod section_4;
