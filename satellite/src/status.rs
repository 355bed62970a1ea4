//! Asks the running satellite on this host for its status, by its health port.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use satellite_sdk::{Error, Result, Secret, Variables};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the satellite's health port is, by its own settings.
pub struct Status {
    address: SocketAddr,
    token: Option<Secret>,
}

impl Status {
    /// From `LUML_HEALTH_HOST`, `LUML_HEALTH_PORT` and `LUML_PAGE_TOKEN`.
    pub fn from_env() -> Result<Self> {
        let mut variables = Variables::from_env();
        let host = variables.host("LUML_HEALTH_HOST");
        let port = variables.port("LUML_HEALTH_PORT", 8080);
        let token = variables.text("LUML_PAGE_TOKEN").map(Secret::new);
        variables.finish()?;
        let host = match host {
            host if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host,
        };
        Ok(Status {
            address: SocketAddr::new(host, port),
            token,
        })
    }

    /// The document `/status.json`.
    pub fn get(&self) -> Result<Value> {
        let (status, body) = self.send("GET", "/status.json", "")?;
        match status {
            200 => serde_json::from_slice(&body).map_err(Error::from),
            status => Err(self.refused(status, &body)),
        }
    }

    /// Acknowledges an alert: `DEPLOYMENT METRIC`.
    pub fn acknowledge(&self, alert: &str) -> Result<()> {
        let escaped: String = alert.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let body = format!("alert={escaped}");
        match self.send("POST", "/alerts/acknowledge", &body)? {
            (303, _) => Ok(()),
            (404, _) => Err(format!("there is no open alert {alert:?}").into()),
            (status, body) => Err(self.refused(status, &body)),
        }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let failed = |error: std::io::Error| {
            Error::new(format_args!(
                "no satellite answers on {}: {error}; LUML_HEALTH_HOST and LUML_HEALTH_PORT say \
                 where it listens",
                self.address
            ))
        };
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let token = self.token.as_ref().map_or(String::new(), |token| {
            format!("authorization: Bearer {}\r\n", token.expose())
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{token}\
             content-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).map_err(failed)?;
        let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let status = response
            .get(9..12)
            .and_then(|s| std::str::from_utf8(s).ok()?.parse().ok());
        match (status, end) {
            (Some(status), Some(end)) => Ok((status, response.split_off(end + 4))),
            _ => Err(format!("{} is not a satellite's health port", self.address).into()),
        }
    }

    fn refused(&self, status: u16, body: &[u8]) -> Error {
        let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
        Error::new(format_args!(
            "http://{}: status {status}: {}",
            self.address,
            text.trim()
        ))
    }
}
