//! The documents of an artifact, with a NUL between them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = luml_model_server::fuzzing::manifest(bytes);
});
