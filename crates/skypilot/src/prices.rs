//! What there is, what it costs, and whether a task is fit.

use serde::Serialize;
use serde_json::json;

use super::client::SkyPilotClient;
use super::logs::cleaned;
use super::models::{ClusterCost, EnabledClouds, Offer, Offers};
use super::task::{Envs, Task};
use satellite_core::http::{Call, Method, Op};
use satellite_core::{Error, Result};

/// Which accelerators to list.
///
/// ```
/// use satellite_skypilot::Accelerators;
///
/// let query = Accelerators::new().name("A10G").cloud("aws").all_regions(true);
/// # let _ = query;
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[must_use]
pub struct Accelerators {
    #[serde(skip_serializing_if = "Option::is_none")]
    name_filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region_filter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity_filter: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clouds: Vec<String>,
    gpus_only: bool,
    all_regions: bool,
    case_sensitive: bool,
}

impl Accelerators {
    /// All GPUs of all clouds, where they are cheapest.
    pub fn new() -> Self {
        Accelerators {
            gpus_only: true,
            ..Self::default()
        }
    }

    /// Those whose name holds this, in whatever case.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name_filter = Some(name.into());
        self
    }

    /// Those in regions whose name holds this.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region_filter = Some(region.into());
        self
    }

    /// Machines with so many of them.
    pub fn count(mut self, count: u32) -> Self {
        self.quantity_filter = Some(count);
        self
    }

    /// One more cloud to look at, in place of all.
    pub fn cloud(mut self, cloud: impl Into<String>) -> Self {
        self.clouds.push(cloud.into());
        self
    }

    /// The offers of every region.
    pub fn all_regions(mut self, all: bool) -> Self {
        self.all_regions = all;
        self
    }
}

/// What a task would cost: the machine that the server chose.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The cloud.
    pub provider: String,
    /// The region or zone, where there are any.
    pub region: Option<String>,
    /// The cloud's name for the machine.
    pub instance_type: String,
    /// Accelerators of a node: `A10G:1`.
    pub accelerators: Option<String>,
    /// How many nodes.
    pub nodes: u32,
    /// US dollars for an hour of all nodes.
    pub cost_per_hour: f64,
    /// Whether that is the catalogue's price; otherwise it is rounded to cents.
    pub is_exact: bool,
    /// For how many hours was asked.
    pub hours: f64,
    /// US dollars for these.
    pub total: f64,
}

/// What there is, and what it costs.
impl SkyPilotClient {
    /// What a task would cost for so many hours. The price is exact where the
    /// catalogue has the machine, which is so for machines with accelerators.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// let estimate = sky.estimate_cost("resources: {accelerators: 'A10G:1'}\n", 24.0)?;
    /// println!("${:.2} for a day", estimate.total);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `ResourcesUnavailableError` as `server_type()` where nothing fits.
    pub fn estimate_cost(&self, task: impl Into<Task>, hours: f64) -> Result<Estimate> {
        let dag = task.into().text(&Envs::new())?;
        let body = json!({ "dag": dag, "request_options": null });
        let id = self.hand_in("/optimize", Op::Read, &body)?;
        self.result(&id)?;
        // It returns nothing: the choice stands in what it prints.
        let lines: Vec<_> = self.request_log(&id, false)?.collect::<Result<_>>()?;
        let mut estimate = chosen(&lines).ok_or_else(|| {
            let asked = format!("POST /optimize ({id}) at {}", self.url());
            Error::answer(asked, "printed no table with a choice")
        })?;
        if let Some(price) = self.exact_price(&estimate) {
            estimate.cost_per_hour = price;
            estimate.is_exact = true;
        }
        estimate.hours = hours;
        estimate.total = estimate.cost_per_hour * hours;
        Ok(estimate)
    }

    /// The catalogue's price for what was chosen, if it rounds to the same.
    fn exact_price(&self, estimate: &Estimate) -> Option<f64> {
        let (name, _) = estimate.accelerators.as_deref()?.split_once(':')?;
        let cloud = estimate.provider.to_lowercase();
        let query = Accelerators::new()
            .name(name)
            .cloud(cloud)
            .all_regions(true);
        let offers = self
            .accelerators(&query)
            .inspect_err(|error| log::debug!("no exact price: {error}"))
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

    /// Accelerators, and the machines that have them.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// use satellite_skypilot::Accelerators;
    ///
    /// for offer in sky.accelerators(&Accelerators::new().name("H100"))?.values().flatten() {
    ///     println!("{} {:?} {:?}", offer.cloud, offer.instance_type, offer.price);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `CloudError` as `server_type()` where the server cannot fetch a catalogue.
    pub fn accelerators(&self, query: &Accelerators) -> Result<Offers> {
        self.ask("/list_accelerators", Op::Read, query)
    }

    /// What clusters of the last days have cost, those that are gone included.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// for cost in sky.cost_report(30)? {
    ///     println!("{} ${:.2}", cost.name, cost.total_cost);
    /// }
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn cost_report(&self, days: u32) -> Result<Vec<ClusterCost>> {
        self.ask("/cost_report", Op::Read, &json!({ "days": days }))
    }

    /// Looks which clouds may be used, and remembers it; no clouds: all.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{:?}", sky.check(&["aws"])?);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn check(&self, clouds: &[&str]) -> Result<EnabledClouds> {
        let clouds = (!clouds.is_empty()).then_some(clouds);
        let body = json!({ "clouds": clouds, "verbose": false });
        let enabled: Option<_> = self.ask("/check", Op::Idempotent, &body)?;
        Ok(enabled.unwrap_or_default())
    }

    /// The clouds that the last check found.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{}", sky.enabled_clouds()?.join(", "));
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Faults on the way, a refused token.
    pub fn enabled_clouds(&self) -> Result<Vec<String>> {
        let id = self.handed_in("/enabled_clouds", Call::new(Method::GET, "/enabled_clouds"))?;
        self.value(self.result(&id)?)
    }

    /// That a task is fit, without doing any of it.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.validate("run: nvidia-smi\n")?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong with it, in the server's words.
    pub fn validate(&self, task: impl Into<Task>) -> Result<()> {
        let dag = task.into().text(&Envs::new())?;
        let body = json!({ "dag": dag, "request_options": null });
        let call = Call::new(Method::POST, "/validate")
            .op(Op::Read)
            .json(&body)?;
        let call = call.within(self.limits.request);
        self.transport.send(&call)?.ok().map(drop)
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
                cost_per_hour,
                is_exact: false,
                hours: 0.0,
                total: 0.0,
            });
        }
    }
    found
}

/// What stands two blanks or more apart.
fn cells(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_is_read_as_the_server_prints_it() {
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
    fn a_log_without_a_choice_has_none() {
        assert_eq!(chosen(&["No resource satisfying the task".into()]), None);
    }
}
