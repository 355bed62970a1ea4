//! Exchanges a pairing code for a token, on platforms that support it:
//! `cargo run --example pairing -- CODE [PLATFORM_URL]`. The token is printed to
//! stdout only.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(code) = arguments.next() else {
        eprintln!("usage: pairing CODE [PLATFORM_URL]");
        return ExitCode::from(64);
    };
    let url = arguments.next();
    let url = url.as_deref().unwrap_or("https://api.luml.ai");
    match satellite_sdk::pair(&code, url) {
        Ok(token) => {
            println!("{}", token.expose());
            eprintln!("store it as LUML_SATELLITE_TOKEN, in a file that only you can read");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
