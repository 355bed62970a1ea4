//! The machines that the mock rents out.

use serde_json::{Value, json};

use super::answers::found;
use satellite_serve::Response;
use satellite_serve::testing::query;

pub(super) fn all() -> Vec<Value> {
    let machine = |id: &str, gpu: &str, memory: u32, count: usize, place: [&str; 3]| {
        let gpu = json!({ "name": gpu, "memory_gb": memory, "compute_capability": "9.0" });
        json!({
            "id": id,
            "gpu_specs": vec![gpu; count],
            "cpu_specs": { "cores": 32, "model": "EPYC", "memory_gb": 256 },
            "location": place.join("/"),
            "network_speed": { "download_mbps": 900.0, "upload_mbps": 800.0 },
            "hourly_rate_cents": 99 * count,
        })
    };
    vec![
        machine(
            "executor-1",
            "NVIDIA H100",
            80,
            1,
            ["Helsinki", "Uusimaa", "FI"],
        ),
        machine(
            "executor-2",
            "NVIDIA H100",
            80,
            8,
            ["Dallas", "Texas", "US"],
        ),
        machine(
            "executor-3",
            "NVIDIA RTX A4000",
            16,
            1,
            ["Paris", "IDF", "FR"],
        ),
    ]
}

/// The machines that match the query; `None` if a numeric value is invalid.
fn matching(machines: &[Value], parameters: &str) -> Option<Vec<Value>> {
    let number = |name| match query(parameters, name) {
        Some(text) => text.parse().map(Some).map_err(drop),
        None => Ok(None),
    };
    let memory: Option<u64> = number("min_gpu_memory").ok()?;
    let count: Option<u64> = number("min_gpu_count").ok()?;
    let word = |name| query(parameters, name).map(|word| word.replace("%20", " ").to_lowercase());
    let kind = word("gpu_type");
    let places = ["location_city", "location_region", "location_country"].map(word);
    let meets = |machine: &&Value| {
        let gpus = machine["gpu_specs"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let place = machine["location"]
            .as_str()
            .unwrap_or_default()
            .to_lowercase();
        let name = |gpu: &Value| gpu["name"].as_str().unwrap_or_default().to_lowercase();
        count.is_none_or(|least| gpus.len() as u64 >= least)
            && memory.is_none_or(|least| {
                gpus.iter()
                    .all(|gpu| gpu["memory_gb"].as_u64() >= Some(least))
            })
            && kind
                .as_ref()
                .is_none_or(|kind| gpus.iter().any(|gpu| name(gpu).contains(kind)))
            && places
                .iter()
                .flatten()
                .all(|part| place.split('/').any(|one| one == part))
    };
    Some(machines.iter().filter(meets).cloned().collect())
}

pub(super) fn available(machines: &[Value], parameters: &str, kind: &str) -> Response {
    let Some(machines) = matching(machines, parameters) else {
        return Response::text(400, "Failed to deserialize query string: invalid digit");
    };
    let availability = json!({
        "available_until": null,
        "verification_score": 0.93,
        "uptime_percentage": 99.5,
    });
    let one = |machine: Value| json!({ kind: machine, "availability": availability });
    let all: Vec<_> = machines.into_iter().map(one).collect();
    found(&json!({ "total_count": all.len(), format!("available_{kind}s"): all }))
}
