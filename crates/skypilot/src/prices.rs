//! What there is, what it costs, and whether a task is fit.

use serde::Serialize;
use serde_json::json;

use super::client::{SkyPilotClient, absent};
use super::models::{ClusterCost, EnabledClouds, Offers};
use super::task::{Envs, Task};
use satellite_core::Result;
use satellite_core::http::{Call, Method, Op};

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

/// What there is, and what it costs.
impl SkyPilotClient {
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
        self.ask("/list_accelerators", Op::Read, json!(query))
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
    /// Transport errors; a rejected token.
    pub fn cost_report(&self, days: u32) -> Result<Vec<ClusterCost>> {
        self.ask("/cost_report", Op::Read, json!({ "days": days }))
    }

    /// What a cluster costs for an hour, all of its nodes, in US dollars: what it
    /// has cost so far by the time that it has run. None where it has not run.
    ///
    /// ```no_run
    /// # let sky = satellite_skypilot::SkyPilotClient::from_env()?;
    /// println!("${:?} an hour", sky.cost_per_hour("llama3-8b-prod")?);
    /// # Ok::<(), satellite_skypilot::Error>(())
    /// ```
    ///
    /// # Errors
    /// `is_not_found()` where there has been no such cluster in the last 30 days.
    pub fn cost_per_hour(&self, cluster_name: &str) -> Result<Option<f64>> {
        let body = json!({ "cluster_names": [cluster_name] });
        let costs: Vec<ClusterCost> = self.ask("/cost_report", Op::Read, body)?;
        // There is one for each life of a cluster of that name.
        let named = costs.into_iter().filter(|cost| cost.name == cluster_name);
        let last = named.max_by(|a, b| a.launched_at.total_cmp(&b.launched_at));
        let last = last.ok_or_else(|| {
            let asked = format!("POST /cost_report at {}", self.url());
            let message = format!("there has been no cluster {cluster_name}");
            absent(asked, "ClusterDoesNotExist", &message)
        })?;
        Ok(last.cost_per_hour())
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
    /// Transport errors; a rejected token.
    pub fn check(&self, clouds: &[&str]) -> Result<EnabledClouds> {
        let clouds = (!clouds.is_empty()).then_some(clouds);
        let body = json!({ "clouds": clouds, "verbose": false });
        let enabled: Option<_> = self.ask("/check", Op::Idempotent, body)?;
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
    /// Transport errors; a rejected token.
    pub fn enabled_clouds(&self) -> Result<Vec<String>> {
        let deadline = self.deadline(self.limits.request);
        let call = Call::new(Method::GET, "/enabled_clouds");
        let id = self.handed_in("/enabled_clouds", call, deadline)?;
        self.value(self.result(&id, deadline)?)
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
    /// `is_invalid()`, with what is wrong in the server's words.
    pub fn validate(&self, task: impl Into<Task>) -> Result<()> {
        let dag = task.into().text(&Envs::new())?;
        let body = json!({ "dag": dag, "request_options": null });
        let call = self.call("/validate", Op::Read, body)?;
        let call = call.within(self.limits.request);
        self.transport.send(&call)?.ok().map(drop)
    }
}
