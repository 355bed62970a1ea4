//! A minimal HTTP client: one keep-alive connection, responses with a length or chunked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::host::Result;

pub struct Client(BufReader<TcpStream>);

pub fn request(path: &str, key: Option<&str>, body: &[u8]) -> Vec<u8> {
    let bearer = key.map_or(String::new(), |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

impl Client {
    pub fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client(BufReader::with_capacity(64 * 1024, stream)))
    }

    /// Sends the request and reads the whole response, which must be a 200.
    pub fn call(&mut self, request: &[u8]) -> Result<()> {
        self.0.get_mut().write_all(request)?;
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse()?,
                Some(("transfer-encoding", _)) => chunked = true,
                None => break,
                _ => {}
            }
        }
        match chunked {
            true => while self.chunk()? {},
            false => self.skip(length)?,
        }
        match status.contains(" 200 ") {
            true => Ok(()),
            false => Err(status.into()),
        }
    }

    fn chunk(&mut self) -> Result<bool> {
        let length = u64::from_str_radix(&self.line()?, 16)?;
        self.skip(length + 2)?;
        Ok(length > 0)
    }

    fn skip(&mut self, length: u64) -> Result<()> {
        let read = std::io::copy(&mut self.0.by_ref().take(length), &mut std::io::sink())?;
        match read == length {
            true => Ok(()),
            false => Err("the answer ended early".into()),
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err("the connection was closed".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
