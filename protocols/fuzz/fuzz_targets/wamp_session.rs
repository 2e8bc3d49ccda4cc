//! The entrance of libFuzzer, or of whoever wants to replay a file.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| protocols_fuzz::wamp_session(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    protocols_fuzz::run_files(protocols_fuzz::wamp_session)
}
