//! Feeds `openai-completions` whatever the fuzzer makes up. See `../src/lib.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use retort_types::WireProtocol;

fuzz_target!(|data: &[u8]| retort_wire_fuzz::check(WireProtocol::OpenaiCompletions, data));
