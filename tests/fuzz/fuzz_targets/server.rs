//! Any sequence of deeds of a network and a tapper against the server's paths; the octets are read as deeds, and what a
//! client sends is signed before it is mutated.
#![no_main]

#[allow(dead_code, unused_imports, reason = "the seeded run of the same function is a test")]
#[path = "../../sim/fuzz.rs"]
mod fuzz;
#[allow(dead_code, reason = "shared with the simulation")]
#[path = "../../sim/world.rs"]
mod world;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz::live_through(octets));
