//! Estimates, prices, costs and clouds.

use satellite_serve::Response;
use satellite_skypilot::Accelerators;
use serde_json::{Value, json};

use crate::skypilot_server::Fake;

const TABLE: &str = "Considered resources (1 node):\n----\n \
    INFRA            INSTANCE     vCPUs   Mem(GB)   GPUS     COST ($)   CHOSEN   \r\n----\n \
    AWS (us-east-1)  g5.4xlarge   16      64        A10G:1   1.62       \u{1b}[32m   ✔\u{1b}[0m   \n";

#[test]
fn an_estimate_is_the_chosen_row_and_exact_if_the_catalogue_agrees() {
    let fake = Fake::start();
    fake.streams(|| Response::text(200, TABLE.repeat(3)));
    let offer = json!([
        "AWS",
        "g5.4xlarge",
        "A10G",
        1,
        16,
        null,
        64,
        1.624,
        0.65,
        "us-east-1"
    ]);
    fake.returns("/list_accelerators", json!({ "A10G": [offer] }));
    let sky = fake.client();
    let estimate = sky.estimate_cost("run: x", 8.0).unwrap();
    assert!(estimate.is_exact, "{estimate:?}");
    assert_eq!((estimate.cost_per_hour, estimate.total), (1.624, 12.992));
    assert_eq!(
        (estimate.currency, estimate.printed_cost.as_str()),
        ("USD", "1.62")
    );
    assert_eq!(estimate.region.as_deref(), Some("us-east-1"));
    let query = &fake.calls("POST /list_accelerators")[0].body;
    assert_eq!(
        (&query["name_filter"], &query["clouds"]),
        (&json!("A10G"), &json!(["aws"]))
    );

    let other = json!([
        "AWS",
        "g5.4xlarge",
        "A10G",
        1,
        16,
        null,
        64,
        1.70,
        0.65,
        "us-east-1"
    ]);
    fake.returns("/list_accelerators", json!({ "A10G": [other] }));
    let estimate = sky.estimate_cost("run: x", 8.0).unwrap();
    assert!(
        !estimate.is_exact && estimate.cost_per_hour == 1.62,
        "{estimate:?}"
    );
}

#[test]
fn prices_costs_and_clouds_are_parsed() {
    let fake = Fake::start();
    let row = json!([
        "AWS",
        "g5.4xlarge",
        "A10G",
        1,
        16,
        null,
        64,
        1.624,
        0.65,
        "us-east-1",
        "more"
    ]);
    fake.returns("/list_accelerators", json!({ "A10G": [row] }));
    fake.returns(
        "/cost_report",
        json!([{ "name": "c", "duration": 7200, "total_cost": 3.0, "x": 1 }]),
    );
    fake.returns("/check", json!({ "default": { "Slurm": ["compute"] } }));
    fake.returns("/enabled_clouds", json!(["slurm"]));
    let sky = fake.client();
    let offers = sky.accelerators(&Accelerators::new().name("a10g")).unwrap();
    let offer = &offers["A10G"][0];
    assert_eq!(
        (offer.cpus, offer.device_memory, offer.memory),
        (Some(16.0), None, Some(64.0))
    );
    assert_eq!((offer.price, offer.spot_price), (Some(1.624), Some(0.65)));
    assert_eq!(offer.currency, "USD");
    let cost = sky.cost_report(7).unwrap().remove(0);
    assert_eq!((cost.cost_per_hour(), cost.currency), (Some(1.5), "USD"));
    assert_eq!(sky.check(&[]).unwrap()["default"]["Slurm"], ["compute"]);
    assert_eq!(sky.enabled_clouds().unwrap(), ["slurm"]);
    fake.returns("/check", Value::Null);
    assert!(sky.check(&["slurm"]).unwrap().is_empty());
    sky.validate("run: x").unwrap();
}
