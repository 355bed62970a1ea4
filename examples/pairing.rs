//! From a pairing code to a token, for platforms that exchange them:
//! `cargo run --example pairing -- CODE [PLATFORM_URL]`. The token goes to
//! stdout and nowhere else.

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
            eprintln!("keep it as LUML_SATELLITE_TOKEN, in a file that only you can read");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
