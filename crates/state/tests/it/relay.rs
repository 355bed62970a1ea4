//! A TCP relay in front of a server, which can stop forwarding: connections are accepted
//! and hang, as on a network that drops packets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub struct Relay {
    address: String,
    is_hanging: Arc<AtomicBool>,
}

impl Relay {
    /// Starts a relay to the server at `to`, a host and a port.
    pub fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_hanging = Arc::new(AtomicBool::new(false));
        let (to, hanging) = (to.to_owned(), Arc::clone(&is_hanging));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&to) else {
                    continue;
                };
                forward(&stream, &server, &hanging);
                forward(&server, &stream, &hanging);
            }
        });
        Relay {
            address,
            is_hanging,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn hang(&self, hanging: bool) {
        self.is_hanging.store(hanging, Ordering::SeqCst);
    }
}

fn forward(from: &TcpStream, to: &TcpStream, is_hanging: &Arc<AtomicBool>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let is_hanging = Arc::clone(is_hanging);
    from.set_read_timeout(Some(POLL_INTERVAL)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            if is_hanging.load(Ordering::SeqCst) {
                thread::sleep(POLL_INTERVAL);
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    while is_hanging.load(Ordering::SeqCst) {
                        thread::sleep(POLL_INTERVAL);
                    }
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}
