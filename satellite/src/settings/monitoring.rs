//! The settings of monitoring.

use std::time::Duration;

use satellite_monitoring::otlp;
use satellite_sdk::{Secret, Variables};

use super::megabytes;

/// The settings of monitoring.
#[derive(Debug, Clone)]
pub struct MonitoringSettings {
    /// `LUML_MONITORING_ENABLED`: whether deployments may ask for it.
    pub enabled: bool,
    /// `LUML_MONITORING_INTERVAL_SEC`: how often a window is evaluated.
    pub interval: Duration,
    /// `LUML_MONITORING_WINDOW_SEC`: the length of a window.
    pub window: Duration,
    /// `LUML_MONITORING_LATENCY_P95_THRESHOLD_MS`: above it there is a warning.
    pub latency_p95_threshold_ms: f64,
    /// `LUML_MONITORING_SUMMARIES_PER_SEC`: calls of a deployment whose bodies are summarised;
    /// all others are counted only.
    pub summaries_per_second: u32,
    /// `LUML_MONITORING_SAMPLES`: calls of each deployment whose bodies are kept.
    pub samples: usize,
    /// `LUML_MONITORING_RETENTION_DAYS`: how long results are kept.
    pub retention: Duration,
    /// `LUML_MONITORING_STORE_MB`: the size of the store, in bytes.
    pub store_bytes: u64,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where metrics and traces go.
    pub otlp_endpoint: Option<String>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: `name=value,name=value`.
    pub otlp_headers: Vec<(String, Secret)>,
    /// `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds.
    pub otlp_metrics_interval: Duration,
    /// `OTEL_BSP_SCHEDULE_DELAY`, in milliseconds.
    pub otlp_traces_interval: Duration,
}

impl MonitoringSettings {
    pub fn read(variables: &mut Variables) -> Self {
        let seconds = Duration::from_secs;
        let endpoint = variables.text("OTEL_EXPORTER_OTLP_ENDPOINT");
        let is_http = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        MonitoringSettings {
            enabled: variables.flag("LUML_MONITORING_ENABLED", true),
            interval: variables.seconds("LUML_MONITORING_INTERVAL_SEC", seconds(60)),
            window: variables.seconds("LUML_MONITORING_WINDOW_SEC", seconds(300)),
            latency_p95_threshold_ms: f64::from(number(
                variables,
                "LUML_MONITORING_LATENCY_P95_THRESHOLD_MS",
                1000,
            )),
            summaries_per_second: number(variables, "LUML_MONITORING_SUMMARIES_PER_SEC", 100),
            samples: number(variables, "LUML_MONITORING_SAMPLES", 0) as usize,
            retention: seconds(24 * 3600) * number(variables, "LUML_MONITORING_RETENTION_DAYS", 30),
            store_bytes: megabytes(variables, "LUML_MONITORING_STORE_MB", 64),
            // Other values are the model servers' own: they are passed on unchecked.
            otlp_endpoint: endpoint
                .filter(is_http)
                .and_then(|url| variables.url_of("OTEL_EXPORTER_OTLP_ENDPOINT", &url)),
            otlp_headers: otlp::headers(&variables.list("OTEL_EXPORTER_OTLP_HEADERS")),
            service_name: variables
                .text("OTEL_SERVICE_NAME")
                .unwrap_or("luml-satellite".into()),
            otlp_metrics_interval: milliseconds(variables, "OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            otlp_traces_interval: milliseconds(variables, "OTEL_BSP_SCHEDULE_DELAY", 5000),
        }
    }

    /// Whether deployments may ask for it.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// For the page.
    pub fn described(&self) -> String {
        match self.enabled {
            true => format!("windows of {:?}, every {:?}", self.window, self.interval),
            false => "off (LUML_MONITORING_ENABLED)".into(),
        }
    }
}

fn number(variables: &mut Variables, name: &str, default: u32) -> u32 {
    let expected = "a whole number up to 1000000";
    variables.value(name, default, expected, |text| {
        text.parse().ok().filter(|number| *number <= 1_000_000)
    })
}

fn milliseconds(variables: &mut Variables, name: &str, default: u32) -> Duration {
    Duration::from_millis(number(variables, name, default).max(10).into())
}
