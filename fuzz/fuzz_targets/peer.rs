#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| blockhie_fuzz_targets::peer(bytes));
