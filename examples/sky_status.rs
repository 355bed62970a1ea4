//! Prints a table of your own clusters, or those of all users with their owners.
//!
//!     cargo run --example sky_status --features skypilot [-- --all-users]

use satellite_sdk::compute::skypilot::{Clusters, SkyPilotClient};

fn main() -> satellite_sdk::Result<()> {
    let all_users = std::env::args().any(|argument| argument == "--all-users");
    let query = Clusters::new().all_users(all_users);
    let clusters = SkyPilotClient::from_env()?.clusters(&query)?;
    println!(
        "{:24} {:8} {:12} {:24} {:>5}  RESOURCES",
        "NAME", "STATUS", "OWNER", "WHERE", "NODES"
    );
    for cluster in &clusters {
        let place = [&cluster.cloud, &cluster.region];
        let place: Vec<_> = place.into_iter().flatten().map(String::as_str).collect();
        println!(
            "{:24} {:8} {:12} {:24} {:>5}  {}",
            cluster.name,
            cluster.status,
            cluster.user_name,
            place.join("/"),
            cluster.nodes,
            cluster.resources_str.as_deref().unwrap_or("-"),
        );
    }
    println!("{} clusters", clusters.len());
    Ok(())
}
