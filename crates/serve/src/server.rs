use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::Service;
use super::connections::{Admission, Connections};
use super::date::DateCache;
use super::{Limits, Request, Response, connection, writer};

/// Enough for a service that parses JSON up to the recursion limit of serde_json, also in a debug
/// build; a thread uses only the memory that it touches.
const STACK_BYTES: usize = 1024 * 1024;
/// The delay after a failed accept, mostly for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(5);

/// A running server. Dropping it closes the listener and all connections at once; a service call
/// in progress finishes in its thread, and its response is lost.
///
/// ```
/// use satellite_serve::{Limits, Response, Server};
/// use std::io::{Read, Write};
///
/// let server = Server::bind("127.0.0.1:0", Limits::default(), |request| {
///     Response::text(200, format!("you asked for {}", request.path()))
/// })?;
///
/// let mut client = std::net::TcpStream::connect(server.addr())?;
/// client.write_all(b"GET /tea HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("you asked for /tea"));
/// # std::io::Result::Ok(())
/// ```
pub struct Server {
    addr: SocketAddr,
    connections: Arc<Connections>,
    /// A second handle to the listening socket, to wake the accepting thread.
    listener: Option<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `addr` (with port 0 the system chooses one) and handles requests with `service`,
    /// which runs concurrently on the connections' threads. If it panics, the client gets a 500
    /// and the server continues.
    ///
    /// # Errors
    ///
    /// When the address cannot be resolved or listened on, or no thread can be started.
    ///
    /// ```
    /// use satellite_serve::{Limits, Response, Server};
    ///
    /// let limits = Limits { connections: 8, ..Limits::default() };
    /// let server = Server::bind("127.0.0.1:0", limits, |_| Response::new(204))?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind<A: ToSocketAddrs>(
        addr: A,
        limits: Limits,
        service: impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let again = listener.try_clone()?;
        let connections = Arc::new(Connections::new(limits.connections));
        let acceptor = Acceptor {
            listener,
            connections: connections.clone(),
            limits: Arc::new(limits),
            service: Arc::new(service),
        };
        let acceptor = thread::Builder::new()
            .name("serve".into())
            .stack_size(STACK_BYTES)
            .spawn(move || acceptor.run())?;
        Ok(Server {
            addr,
            connections,
            listener: Some(again),
            acceptor: Some(acceptor),
        })
    }

    /// The bound address, with the port that the system chose.
    ///
    /// ```
    /// use satellite_serve::{Limits, Response, Server};
    ///
    /// let server = Server::bind("127.0.0.1:0", Limits::default(), |_| Response::new(204))?;
    /// assert_ne!(server.addr().port(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number of connections accepted so far, including rejected ones.
    ///
    /// ```
    /// use satellite_serve::{Limits, Response, Server};
    ///
    /// let server = Server::bind("127.0.0.1:0", Limits::default(), |_| Response::new(204))?;
    /// assert_eq!(server.connections(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn connections(&self) -> u64 {
        self.connections.accepted()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.connections.stop();
        let woken = self
            .listener
            .take()
            .is_none_or(|listener| wake(listener, self.addr));
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
        self.connections.close();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

struct Acceptor {
    listener: TcpListener,
    connections: Arc<Connections>,
    limits: Arc<Limits>,
    service: Arc<Service>,
}

impl Acceptor {
    fn run(self) {
        while !self.connections.is_stopped() {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(_) if self.connections.is_stopped() => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    log::debug!("cannot accept a connection: {error}");
                    self.connections.evict();
                    thread::sleep(ACCEPT_RETRY_DELAY);
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        match self.connections.admit(stream) {
            Admission::Admitted(guard) => self.start(move |limits, service| {
                connection::run(guard, limits, service);
            }),
            Admission::Rejected(guard) => self.start(move |limits, _| {
                connection::reject(guard, limits, 503);
            }),
            Admission::Full(stream) => reject(&stream),
            Admission::Stopped => {}
        }
    }

    fn start(&self, run: impl FnOnce(&Limits, &Service) + Send + 'static) {
        let (limits, service) = (self.limits.clone(), self.service.clone());
        let thread = thread::Builder::new()
            .name("serve".into())
            .stack_size(STACK_BYTES);
        // Without a thread, dropping the closure closes the connection.
        if let Err(error) = thread.spawn(move || run(&limits, &*service)) {
            log::warn!("cannot start a thread for a connection: {error}");
        }
    }
}

/// Sends a 503 without blocking.
fn reject(stream: &TcpStream) {
    use io::{Read as _, Write as _};
    let mut stream = stream;
    if stream.set_nonblocking(true).is_ok() {
        let _ = stream.write(&writer::rejection(503, &DateCache::default()));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        // Closing with unread data would reset the connection, and the response could be lost.
        let _ = stream.read(&mut [0; 4096]);
    }
}

/// Wakes the thread that accepts on `listener`; false if that may have failed.
fn wake(listener: TcpListener, addr: SocketAddr) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        // Shutting down the listening socket wakes its thread and needs no new descriptor.
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(listener));
        if socket.shutdown(std::net::Shutdown::Both).is_ok() {
            return true;
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    drop(listener);
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    TcpStream::connect_timeout(&(ip, addr.port()).into(), Duration::from_secs(1)).is_ok()
}
