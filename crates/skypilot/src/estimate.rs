//! Estimates the cost of a task before it is launched.

use serde_json::json;

use super::client::{Deadline, SkyPilotClient};
use super::logs::cleaned;
use super::models::{CURRENCY, Offer, Offers};
use super::prices::Accelerators;
use super::task::{Envs, Task};
use satellite_core::http::Op;
use satellite_core::{Error, Result};

/// The estimated cost of a task, and the machine that the server chose.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The cloud.
    pub provider: String,
    /// The region or zone, if the cloud has any.
    pub region: Option<String>,
    /// The cloud's name for the machine.
    pub instance_type: String,
    /// Accelerators of a node: `A10G:1`.
    pub accelerators: Option<String>,
    /// How many nodes.
    pub nodes: u32,
    /// The currency of the prices: `USD`, as in all of SkyPilot's catalogues.
    pub currency: &'static str,
    /// The cost per hour for all nodes.
    pub cost_per_hour: f64,
    /// Whether that is the catalogue's exact price; otherwise it is the printed one.
    pub is_exact: bool,
    /// The cost as the server printed it, rounded to cents: `1.62`.
    pub printed_cost: String,
    /// The requested number of hours.
    pub hours: f64,
    /// The cost for these hours.
    pub total: f64,
}

impl SkyPilotClient {
    /// Estimates the cost of a task for this number of hours. The price is exact if the
    /// catalogue lists the machine, which it does for machines with accelerators.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let estimate = sky.estimate_cost("resources: {accelerators: 'A10G:1'}\n", 24.0)?;
    /// println!("${:.2} for a day", estimate.total);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_out_of_capacity()` if no machine fits; `is_invalid()` for an invalid task.
    pub fn estimate_cost(&self, task: impl Into<Task>, hours: f64) -> Result<Estimate> {
        let dag = task.into().text(&Envs::new())?;
        let body = json!({ "dag": dag, "request_options": null });
        let deadline = self.deadline(self.limits.request);
        let id = self.send_body("/optimize", Op::Read, body, deadline)?;
        self.result(&id, deadline)?;
        // The request returns nothing: the choice is in its log.
        let log = self.request_log_within(&id, false, self.left(deadline))?;
        let lines: Vec<_> = log.collect::<Result<_>>()?;
        let mut estimate = chosen(&lines).ok_or_else(|| {
            let request = format!("POST /optimize ({id}) at {}", self.url());
            Error::answer(request, "printed no table with a chosen machine")
        })?;
        if let Some(price) = self.exact_price(&estimate, deadline) {
            estimate.cost_per_hour = price;
            estimate.is_exact = true;
        }
        estimate.hours = hours;
        estimate.total = estimate.cost_per_hour * hours;
        Ok(estimate)
    }

    /// The catalogue's price for the chosen machine, if it rounds to the printed cost.
    fn exact_price(&self, estimate: &Estimate, deadline: Deadline) -> Option<f64> {
        let (name, _) = estimate.accelerators.as_deref()?.split_once(':')?;
        let cloud = estimate.provider.to_lowercase();
        let query = Accelerators::new()
            .name(name)
            .cloud(cloud)
            .all_regions(true);
        let offers: Offers = self
            .ask_by(deadline, "/list_accelerators", Op::Read, json!(query))
            .inspect_err(|error| log::debug!("could not look up the exact price: {error}"))
            .ok()?;
        let nodes = f64::from(estimate.nodes);
        let machine = estimate.instance_type.trim_end_matches("[Spot]");
        let is_spot = machine != estimate.instance_type;
        let region = |offer: &Offer| match (&offer.region, &estimate.region) {
            (Some(theirs), Some(ours)) => ours.starts_with(theirs.as_str()),
            _ => true,
        };
        offers
            .into_values()
            .flatten()
            .filter(|offer| offer.instance_type.as_deref() == Some(machine) && region(offer))
            .filter_map(|offer| {
                if is_spot {
                    offer.spot_price
                } else {
                    offer.price
                }
            })
            .map(|price| price * nodes)
            .find(|price| (price - estimate.cost_per_hour).abs() < 0.0051)
    }
}

/// The chosen row of the last table that the optimizer printed.
pub(super) fn chosen(lines: &[String]) -> Option<Estimate> {
    let (mut names, mut nodes, mut found) = (Vec::new(), 1, None);
    for line in lines.iter().map(|line| cleaned(line)) {
        if let Some((_, rest)) = line.split_once("Considered resources (") {
            nodes = rest
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(1);
        }
        let row = cells(&line);
        if row.contains(&"COST ($)") && row.contains(&"CHOSEN") {
            names = row.into_iter().map(str::to_owned).collect();
        } else if row.last().is_some_and(|last| last.contains('✔')) {
            let cell = |name: &str| {
                names
                    .iter()
                    .position(|n| n == name)
                    .and_then(|at| row.get(at))
            };
            let text = |name: &str| {
                cell(name)
                    .filter(|text| **text != "-")
                    .map(|t| t.to_string())
            };
            let (Some(infra), Some(cost)) = (cell("INFRA"), cell("COST ($)")) else {
                continue;
            };
            let Ok(cost_per_hour) = cost.replace(',', "").parse() else {
                continue;
            };
            let (provider, region) = match infra.split_once(" (") {
                Some((provider, region)) => (provider, Some(region.trim_end_matches(')'))),
                None => (*infra, None),
            };
            found = Some(Estimate {
                provider: provider.to_owned(),
                region: region.map(str::to_owned),
                instance_type: text("INSTANCE").unwrap_or_default(),
                accelerators: text("GPUS"),
                nodes,
                currency: CURRENCY,
                cost_per_hour,
                is_exact: false,
                printed_cost: cost.to_string(),
                hours: 0.0,
                total: 0.0,
            });
        }
    }
    found
}

/// The cells of a row, which are separated by two or more spaces.
fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_of_the_printed_table_is_parsed() {
        let text = "\u{1b}[1mTarget:\u{1b}[0m minimizing cost\n\
            Considered resources (2 nodes):\n\
            -----------------------------------------------------------------------------\r\n \
            INFRA                INSTANCE          vCPUs   Mem(GB)   GPUS     COST ($)   CHOSEN   \r\n\
            -----------------------------------------------------------------------------\r\n \
            AWS (us-east-1)      g5.4xlarge[Spot]  16      64        A10G:1   1,003.25   \u{1b}[32m   ✔\u{1b}[0m     \r\n \
            GCP (us-central1-a)  n1-standard-4     4       15        -        2.00                \r\n\
            -----------------------------------------------------------------------------\n";
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let estimate = chosen(&lines).unwrap();
        assert_eq!(estimate.provider, "AWS");
        assert_eq!(estimate.region.as_deref(), Some("us-east-1"));
        assert_eq!(estimate.instance_type, "g5.4xlarge[Spot]");
        assert_eq!(estimate.accelerators.as_deref(), Some("A10G:1"));
        assert_eq!((estimate.nodes, estimate.cost_per_hour), (2, 1003.25));
    }

    #[test]
    fn a_log_without_a_chosen_row_has_no_estimate() {
        assert_eq!(chosen(&["No resource satisfying the task".into()]), None);
    }
}
