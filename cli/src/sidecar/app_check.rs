//! Asks the application over HTTP: whether it is healthy and ready, and to prepare its stop.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Mutex;
use std::time::Duration;

use ureq::Agent;

use super::settings::AppSettings;

/// A client of the application.
#[derive(Debug)]
pub struct AppClient {
    settings: AppSettings,
    agent: Agent,
    /// The result of the preStop path, which is called once.
    prestop: Mutex<Option<Result<(), String>>>,
}

impl AppClient {
    pub fn new(settings: AppSettings) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            // A check is a connection of its own, as that of the kubelet.
            .max_idle_connections(0)
            .user_agent("satellite-sidecar")
            .build();
        AppClient {
            settings,
            agent: config.into(),
            prestop: Mutex::default(),
        }
    }

    pub fn settings(&self) -> &AppSettings {
        &self.settings
    }

    /// Whether the application is alive; `None` when nothing is known about it.
    pub fn is_healthy(&self) -> Option<Result<(), String>> {
        let path = self.settings.health_path.as_deref();
        Some(self.check(path, self.settings.port?))
    }

    /// Whether the application is ready; `None` when nothing is known about it.
    pub fn is_ready(&self) -> Option<Result<(), String>> {
        let settings = &self.settings;
        let path = settings
            .ready_path
            .as_ref()
            .or(settings.health_path.as_ref());
        Some(self.check(path.map(String::as_str), settings.port?))
    }

    /// Whether something listens at the port of the application.
    pub fn is_listening(&self) -> Option<bool> {
        Some(self.connect(self.settings.port?).is_ok())
    }

    /// Calls the preStop path of the application, the first time; the result is kept.
    pub fn prestop(&self, limit: Duration) -> Result<(), String> {
        let (Some(port), Some(path)) = (self.settings.port, &self.settings.prestop_path) else {
            return Ok(());
        };
        let prestop = self.prestop.lock();
        let mut prestop = prestop.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(result) = &*prestop {
            return result.clone();
        }
        let limit = limit.min(self.settings.prestop_timeout);
        let result = self.get(port, path, limit);
        match &result {
            Ok(()) => log::info!("the application was told to prepare its stop: {path}"),
            Err(e) => log::warn!("the application could not be told to prepare its stop: {e}"),
        }
        prestop.insert(result).clone()
    }

    fn check(&self, path: Option<&str>, port: u16) -> Result<(), String> {
        match path {
            Some(path) => self.get(port, path, self.settings.check_timeout),
            None => self.connect(port),
        }
    }

    fn connect(&self, port: u16) -> Result<(), String> {
        let host = self.settings.host.as_str();
        let error = |e| format!("it does not accept connections at {host} port {port}: {e}");
        let mut last = std::io::Error::other("no address");
        for address in (host, port).to_socket_addrs().map_err(error)? {
            match TcpStream::connect_timeout(&address, self.settings.check_timeout) {
                Ok(_) => return Ok(()),
                Err(e) => last = e,
            }
        }
        Err(error(last))
    }

    fn get(&self, port: u16, path: &str, limit: Duration) -> Result<(), String> {
        let host = match self.settings.host.contains(':') {
            true => format!("[{}]", self.settings.host),
            false => self.settings.host.clone(),
        };
        let request = self.agent.get(format!("http://{host}:{port}{path}"));
        let request = request.config().timeout_global(Some(limit)).build();
        match request.call() {
            Ok(response) if response.status().as_u16() < 400 => Ok(()),
            Ok(response) => Err(format!("GET {path} at port {port}: {}", response.status())),
            Err(e) => Err(format!("GET {path} at port {port}: {e}")),
        }
    }
}
