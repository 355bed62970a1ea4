//! Accelerators, costs, enabled clouds, and validation of tasks.

use serde::Serialize;
use serde_json::json;

use super::client::{SkyPilotClient, absent};
use super::models::{ClusterCost, EnabledClouds, Offers};
use super::task::{Envs, Task};
use satellite_core::Result;
use satellite_core::http::{Call, Method, Op};

/// Filters for accelerators.
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
    /// All GPUs of all clouds, each in its cheapest region.
    pub fn new() -> Self {
        Accelerators {
            gpus_only: true,
            ..Self::default()
        }
    }

    /// Those whose name contains this, ignoring case.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name_filter = Some(name.into());
        self
    }

    /// Those in regions whose name contains this.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region_filter = Some(region.into());
        self
    }

    /// Machines with this number of them.
    pub fn count(mut self, count: u32) -> Self {
        self.quantity_filter = Some(count);
        self
    }

    /// Adds a cloud to search, instead of all clouds.
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

/// Accelerators and costs.
impl SkyPilotClient {
    /// Lists accelerators and the machines that have them.
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
    /// `CloudError` as `server_type()` if the server cannot fetch a catalogue.
    pub fn accelerators(&self, query: &Accelerators) -> Result<Offers> {
        self.ask("/list_accelerators", Op::Read, json!(query))
    }

    /// The costs of the clusters of the last `days` days, including terminated ones.
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
    /// Transport errors; a rejected token.
    pub fn cost_report(&self, days: u32) -> Result<Vec<ClusterCost>> {
        self.ask("/cost_report", Op::Read, json!({ "days": days }))
    }

    /// The cost of a cluster per hour, for all of its nodes, in US dollars: its total
    /// cost so far divided by its running time. `None` if it has not run.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("${:?} an hour", sky.cost_per_hour("llama3-8b-prod")?);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` if no such cluster has existed in the last 30 days.
    pub fn cost_per_hour(&self, cluster_name: &str) -> Result<Option<f64>> {
        let body = json!({ "cluster_names": [cluster_name] });
        let costs: Vec<ClusterCost> = self.ask("/cost_report", Op::Read, body)?;
        // There is one entry for each cluster that has had this name.
        let named = costs.into_iter().filter(|cost| cost.name == cluster_name);
        let last = named.max_by(|a, b| a.launched_at.total_cmp(&b.launched_at));
        let last = last.ok_or_else(|| {
            let request = format!("POST /cost_report at {}", self.url());
            let message = format!("cluster {cluster_name} has not existed");
            absent(request, "ClusterDoesNotExist", &message)
        })?;
        Ok(last.cost_per_hour())
    }

    /// Makes the server check which clouds are usable and remember it; without `clouds`,
    /// all of them.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{:?}", sky.check(&["aws"])?);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn check(&self, clouds: &[&str]) -> Result<EnabledClouds> {
        let clouds = (!clouds.is_empty()).then_some(clouds);
        let body = json!({ "clouds": clouds, "verbose": false });
        let enabled: Option<_> = self.ask("/check", Op::Idempotent, body)?;
        Ok(enabled.unwrap_or_default())
    }

    /// The clouds that the last check found usable.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("{}", sky.enabled_clouds()?.join(", "));
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// Transport errors; a rejected token.
    pub fn enabled_clouds(&self) -> Result<Vec<String>> {
        let deadline = self.deadline(self.limits.request);
        let call = Call::new(Method::GET, "/enabled_clouds");
        let id = self.send_call("/enabled_clouds", call, deadline)?;
        self.value(self.result(&id, deadline)?)
    }

    /// Validates a task without running it.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// sky.validate("run: nvidia-smi\n")?;
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_invalid()`, with the server's message.
    pub fn validate(&self, task: impl Into<Task>) -> Result<()> {
        let dag = task.into().text(&Envs::new())?;
        let body = json!({ "dag": dag, "request_options": null });
        let call = self.call("/validate", Op::Read, body)?;
        let call = call.within(self.limits.request);
        self.transport.send(&call)?.ok().map(drop)
    }
}
