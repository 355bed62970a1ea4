//! A platform behind TLS, with valid and invalid certificates. The satellite is that of
//! this build, or the command in `SATELLITE_WORKER`: `cross/run` sets it to a build for
//! another architecture.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use satellite_sdk::extras::{TempDirectory, temp_directory};
use satellite_sdk::testing::{MockPlatform, mock_task};
use serde_json::json;

use crate::child;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A private certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDirectory,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let folder = temp_directory().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server configuration for this name, valid until `year`.
    pub fn certify(&self, name: &str, year: i32) -> Arc<ServerConfig> {
        let parameters = TlsParameters {
            key: &rcgen::PKCS_ECDSA_P256_SHA256,
            provider: ring::default_provider(),
            version: &TLS13,
        };
        self.certify_for(name, year, parameters)
    }

    fn certify_for(&self, name: &str, year: i32, parameters: TlsParameters) -> Arc<ServerConfig> {
        let key = KeyPair::generate_for(parameters.key).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(parameters.provider))
            .with_protocol_versions(&[parameters.version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// The only TLS parameters that a server supports.
struct TlsParameters {
    key: &'static SignatureAlgorithm,
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
}

/// A TLS proxy in front of the platform.
pub struct TlsProxy {
    port: u16,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    /// The server names of clients that aborted the handshake.
    rejected: Receiver<Option<String>>,
}

pub fn proxy(platform: &MockPlatform, config: Arc<ServerConfig>) -> TlsProxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(Mutex::new(config));
    let shown = Arc::clone(&config);
    let inside = platform.url().replace("http://", "");
    let (tell, rejected) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&shown.lock().unwrap())).unwrap();
            let (inside, tell) = (inside.clone(), tell.clone());
            thread::spawn(move || {
                let mut outer = StreamOwned::new(session, stream);
                if relay(&mut outer, &inside).is_err() && outer.conn.is_handshaking() {
                    let _ = tell.send(outer.conn.server_name().map(str::to_owned));
                }
            });
        }
    });
    TlsProxy {
        port,
        config,
        rejected,
    }
}

impl TlsProxy {
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Uses another certificate from now on.
    pub fn set_config(&self, config: Arc<ServerConfig>) {
        *self.config.lock().unwrap() = config;
    }
}

/// Relays bytes in both directions until one side closes the connection.
fn relay(outer: &mut StreamOwned<ServerConnection, TcpStream>, inside: &str) -> io::Result<()> {
    let moment = Some(Duration::from_millis(5));
    outer.sock.set_read_timeout(moment)?;
    let mut inner = TcpStream::connect(inside)?;
    inner.set_read_timeout(moment)?;
    let mut buffer = [0; 16 * 1024];
    loop {
        match would_block(outer.read(&mut buffer))? {
            Some(0) => return Ok(()),
            Some(n) => inner.write_all(&buffer[..n])?,
            None => {}
        }
        match would_block(inner.read(&mut buffer))? {
            Some(0) => return Ok(()),
            Some(n) => outer.write_all(&buffer[..n])?,
            None => {}
        }
    }
}

fn would_block(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The satellite of this build, or the command in `SATELLITE_WORKER`, which must have a
/// handler for `echo`.
fn satellite(platform: &MockPlatform, url: &str) -> Command {
    let mut command = match std::env::var("SATELLITE_WORKER") {
        Ok(words) => {
            let mut words = words.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            command
        }
        Err(_) => child::bare_command(),
    };
    command
        .env("LUML_PLATFORM_URL", url)
        .env("LUML_SATELLITE_TOKEN", platform.token())
        .env("LUML_HEALTH_PORT", "0")
        .env("LUML_POLL_INTERVAL_SEC", "0.05")
        .env_remove("LUML_CA_FILE");
    command
}

fn with_tasks() -> MockPlatform {
    let platform = MockPlatform::start();
    for n in 1..=7 {
        platform.add_task(mock_task(format!("t{n}"), "echo", json!({ "n": n })));
    }
    platform
}

fn assert_all_done(platform: &MockPlatform) {
    for n in 1..=7 {
        let id = format!("t{n}");
        assert!(
            platform.wait_for(&id, "done", TIMEOUT),
            "{id} is {}",
            platform.status(&id)
        );
        assert_eq!(platform.result(&id), json!({ "n": n }));
    }
}

#[test]
fn tasks_complete_over_plain_http() {
    let platform = with_tasks();
    let _satellite = child::start(satellite(&platform, &platform.url()));
    assert_all_done(&platform);
}

#[test]
fn a_configured_private_authority_is_trusted() {
    let authority = Authority::new();
    let platform = with_tasks();
    let url = proxy(&platform, authority.certify("localhost", 2100)).url();
    let mut command = satellite(&platform, &url);
    command.env("LUML_CA_FILE", authority.file());
    let _satellite = child::start(command);
    assert_all_done(&platform);
    assert_eq!(
        platform.connections(),
        1,
        "the connection is kept behind TLS as well"
    );
}

#[test]
fn servers_with_a_single_tls_parameter_are_supported() {
    let authority = Authority::new();
    let keys: [&'static SignatureAlgorithm; 3] = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ];
    let suites = ring::ALL_CIPHER_SUITES.iter();
    for (n, suite) in suites.enumerate() {
        if format!("{suite:?}").contains("RSA_WITH") {
            continue; // ring cannot generate RSA keys
        }
        for (m, group) in ring::ALL_KX_GROUPS.iter().enumerate() {
            let parameters = TlsParameters {
                key: keys[(n + m) % keys.len()],
                provider: CryptoProvider {
                    cipher_suites: vec![*suite],
                    kx_groups: vec![*group],
                    ..ring::default_provider()
                },
                version: suite.version(),
            };
            let platform = with_tasks();
            let config = authority.certify_for("localhost", 2100, parameters);
            let mut command = satellite(&platform, &proxy(&platform, config).url());
            command.env("LUML_CA_FILE", authority.file());
            let _satellite = child::start(command);
            assert_all_done(&platform);
        }
    }
}

#[test]
fn https_to_a_plain_http_port_is_reported() {
    let ssh = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = ssh.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in ssh.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let platform = with_tasks();
    let http = platform.url().rsplit(':').next().unwrap().parse().unwrap();
    for port in [http, port] {
        let url = format!("https://localhost:{port}");
        let mut satellite = child::start(satellite(&platform, &url));
        let line = satellite.line("polling again in");
        let expected = format!(
            "the server at localhost:{port} does not speak TLS; use http:// or another port"
        );
        assert!(line.contains(&expected), "{line}");
    }
    let error = satellite_sdk::extras::download_file(
        &format!("https://localhost:{http}/model?sig=hush"),
        temp_directory().unwrap().path().join("model"),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[test]
fn the_public_roots_reject_a_private_authority() {
    let authority = Authority::new();
    assert_rejected(authority.certify("localhost", 2100), None, "UnknownIssuer");
}

#[test]
fn a_bad_certificate_is_rejected_with_a_configured_authority() {
    let (known, other) = (Authority::new(), Authority::new());
    for (config, reason) in [
        (other.certify("localhost", 2100), "BadSignature"),
        (known.certify("elsewhere.example", 2100), "not valid for"),
        (known.certify("localhost", 2021), "expired"),
    ] {
        assert_rejected(config, Some(known.file()), reason);
    }
}

/// Asserts that the satellite connects to the proxy, aborts the handshake, retries, and
/// does not send the token.
fn assert_rejected(config: Arc<ServerConfig>, authority: Option<PathBuf>, reason: &str) {
    let platform = with_tasks();
    let proxy = proxy(&platform, config);
    let mut command = satellite(&platform, &proxy.url());
    command.envs(authority.map(|file| ("LUML_CA_FILE", file)));
    let mut satellite = child::start(command);
    for _ in 0..2 {
        let name = proxy.rejected.recv_timeout(TIMEOUT).expect(reason);
        assert_eq!(name.as_deref(), Some("localhost"), "{reason}");
    }
    // Other builds may have no logger.
    if std::env::var_os("SATELLITE_WORKER").is_none() {
        let line = satellite.line("no trusted connection");
        assert!(line.contains(reason), "{reason}: {line}");
        assert!(line.contains("polling again in"), "{reason}: {line}");
    }
    assert!(platform.requests().is_empty(), "{reason}");
}
