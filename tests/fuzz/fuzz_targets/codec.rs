//! Any octets through the codec of the heartbeats.
#![no_main]

#[allow(dead_code, unused_imports, reason = "the seeded run of the same function is a test")]
#[path = "../../sim/codec.rs"]
mod codec;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| codec::read_anything(octets));
