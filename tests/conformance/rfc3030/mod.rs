//! RFC 3030: CHUNKING.

mod section_2;
