//! All clusters, as a table.
//!
//!     cargo run --example sky_status --features skypilot

use satellite_sdk::compute::skypilot::SkyPilotClient;

fn main() -> satellite_sdk::Result<()> {
    let clusters = SkyPilotClient::from_env()?.list_clusters()?;
    println!(
        "{:24} {:8} {:24} {:>5}  RESOURCES",
        "NAME", "STATUS", "WHERE", "NODES"
    );
    for cluster in &clusters {
        let place = [&cluster.cloud, &cluster.region];
        let place: Vec<_> = place.into_iter().flatten().map(String::as_str).collect();
        println!(
            "{:24} {:8} {:24} {:>5}  {}",
            cluster.name,
            cluster.status,
            place.join("/"),
            cluster.nodes,
            cluster.resources_str.as_deref().unwrap_or("-"),
        );
    }
    println!("{} clusters", clusters.len());
    Ok(())
}
