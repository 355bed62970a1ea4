//! A platform controlled from a shell: it writes its address and its token to a folder, and
//! executes commands from stdin:
//!
//! | line | what it does |
//! |---|---|
//! | `pause`, `resume` | refuses connections; listens again |
//! | `deploy ID` | offers a deployment that does not exist; its result goes there too |
//! | `serve ID` | offers a deployment; its result goes there too |
//! | `run ID SCRIPT` | offers a task of the type `sh`; its result goes to the folder, as `ID` |

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args().nth(1).ok_or("usage: platform FOLDER")?);
    let platform = MockPlatform::start();
    write(&folder, "url", &platform.url())?;
    write(&folder, "token", &platform.token())?;
    for line in io::stdin().lines() {
        let line = line?;
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("pause"), None, None) => platform.pause(),
            (Some("resume"), None, None) => platform.resume(),
            (Some("run"), Some(id), Some(script)) => {
                platform.add_task(mock_task(id, "sh", json!({ "script": script })));
                expect_result(&platform, &folder, id);
            }
            (Some("deploy"), Some(id), None) => {
                let payload = json!({ "deployment_id": "0198f000-0000-7000-8000-0000000000ff" });
                platform.add_task(mock_task(id, "deploy", payload));
                expect_result(&platform, &folder, id);
            }
            (Some("serve"), Some(id), None) => {
                platform.add_artifact("line", json!({ "name": "line" }), "http://files/line");
                let deployment = platform.add_deployment(json!({
                    "name": "line",
                    "artifact_id": "line",
                    "artifact_name": "line",
                    "satellite_parameters": { "memory_limit": "64m" },
                }));
                let payload = json!({ "deployment_id": deployment });
                platform.add_task(mock_task(id, "deploy", payload));
                expect_result(&platform, &folder, id);
            }
            _ => eprintln!("unknown command: {line}"),
        }
    }
    Ok(())
}

fn expect_result(platform: &MockPlatform, folder: &Path, id: &str) {
    let (platform, folder, id) = (platform.clone(), folder.to_owned(), id.to_owned());
    thread::spawn(move || write_result(&platform, &folder, &id));
}

fn write_result(platform: &MockPlatform, folder: &Path, id: &str) {
    while !matches!(platform.status(id).as_str(), "done" | "failed") {
        thread::sleep(Duration::from_millis(50));
    }
    let result = platform.result(id);
    let output = match &result["output"] {
        serde_json::Value::String(text) => text.clone(),
        _ => result.to_string(),
    };
    write(folder, id, &output).expect("the folder can be written to");
}

/// By rename: a reader that waits for the file never sees a partial one.
fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let new = folder.join(format!(".{name}"));
    fs::write(&new, text)?;
    fs::rename(new, folder.join(name))
}
