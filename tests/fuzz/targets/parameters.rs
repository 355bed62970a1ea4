//! What a deployment asks of the host: it becomes arguments of the engine's program.

#![no_main]

use libfuzzer_sys::fuzz_target;
use satellite_sdk::{Deployment, Variables};
use serde_json::{Value, json};

#[allow(dead_code)]
#[path = "../../../satellite/src/parameters.rs"]
mod parameters;
#[allow(dead_code)]
#[path = "../../../satellite/src/settings.rs"]
mod settings;

use parameters::Parameters;
use settings::Settings;

fuzz_target!(|bytes: &[u8]| {
    let Ok(given) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let deployment = json!({ "id": "d", "status": "pending", "satellite_parameters": given });
    let Ok(deployment) = serde_json::from_value::<Deployment>(deployment) else {
        return;
    };
    let allowed = |name: &str| (name == "LUML_ALLOWED_IMAGES").then(|| "own/*, *".into());
    let settings = Settings::read(&mut Variables::from_lookup(allowed));
    let Ok(parameters) = Parameters::of(&deployment, &settings) else {
        return;
    };
    let gpus = parameters.gpus();
    let limits = [parameters.memory_limit, parameters.cpu_limit, gpus];
    let given = [Some(parameters.image), Some(parameters.restart_policy)];
    for argument in limits.into_iter().chain(given).flatten() {
        assert!(
            !argument.is_empty() && !argument.starts_with('-'),
            "{argument:?}"
        );
        let tame = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
        assert!(argument.bytes().all(tame), "{argument:?}");
    }
});
