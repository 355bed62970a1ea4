//! Bodies of `POST /compute`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    luml_model_server::fuzzing::request(bytes);
});
