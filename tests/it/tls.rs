//! A platform behind TLS, with good and bad certificates. The satellite is this
//! build's, or, where `SATELLITE_WORKER` names a command, that of another build or
//! for another machine: `cross/run` uses it so.

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

const PATIENCE: Duration = Duration::from_secs(30);

/// An authority that nobody knows.
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

    /// A server's configuration for this name, good until `year`.
    pub fn certify(&self, name: &str, year: i32) -> Arc<ServerConfig> {
        let speaks = Speaks {
            key: &rcgen::PKCS_ECDSA_P256_SHA256,
            provider: ring::default_provider(),
            version: &TLS13,
        };
        self.certify_for(name, year, speaks)
    }

    fn certify_for(&self, name: &str, year: i32, speaks: Speaks) -> Arc<ServerConfig> {
        let key = KeyPair::generate_for(speaks.key).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(speaks.provider))
            .with_protocol_versions(&[speaks.version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// What a server can do, and nothing else.
struct Speaks {
    key: &'static SignatureAlgorithm,
    provider: CryptoProvider,
    version: &'static SupportedProtocolVersion,
}

/// A door with TLS before the platform.
pub struct Door {
    port: u16,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    /// Who came, under which name it asked, and left in the middle of the handshake.
    turned_away: Receiver<Option<String>>,
}

pub fn door(platform: &MockPlatform, config: Arc<ServerConfig>) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(Mutex::new(config));
    let shown = Arc::clone(&config);
    let inside = platform.url().replace("http://", "");
    let (tell, turned_away) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = ServerConnection::new(Arc::clone(&shown.lock().unwrap())).unwrap();
            let (inside, tell) = (inside.clone(), tell.clone());
            thread::spawn(move || {
                let mut outer = StreamOwned::new(session, stream);
                if carry(&mut outer, &inside).is_err() && outer.conn.is_handshaking() {
                    let _ = tell.send(outer.conn.server_name().map(str::to_owned));
                }
            });
        }
    });
    Door {
        port,
        config,
        turned_away,
    }
}

impl Door {
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Another certificate from now on.
    pub fn show(&self, config: Arc<ServerConfig>) {
        *self.config.lock().unwrap() = config;
    }
}

/// Carries bytes both ways until one side has enough.
fn carry(outer: &mut StreamOwned<ServerConnection, TcpStream>, inside: &str) -> io::Result<()> {
    let moment = Some(Duration::from_millis(5));
    outer.sock.set_read_timeout(moment)?;
    let mut inner = TcpStream::connect(inside)?;
    inner.set_read_timeout(moment)?;
    let mut buffer = [0; 16 * 1024];
    loop {
        match nothing_yet(outer.read(&mut buffer))? {
            Some(0) => return Ok(()),
            Some(n) => inner.write_all(&buffer[..n])?,
            None => {}
        }
        match nothing_yet(inner.read(&mut buffer))? {
            Some(0) => return Ok(()),
            Some(n) => outer.write_all(&buffer[..n])?,
            None => {}
        }
    }
}

fn nothing_yet(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The satellite of this build, or the one that `SATELLITE_WORKER` names, which
/// has to have a handler called `echo`.
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
            platform.wait_for(&id, "done", PATIENCE),
            "{id} is {}",
            platform.status(&id)
        );
        assert_eq!(platform.result(&id), json!({ "n": n }));
    }
}

#[test]
fn a_worker_does_its_tasks_without_tls() {
    let platform = with_tasks();
    let _satellite = child::start(satellite(&platform, &platform.url()));
    assert_all_done(&platform);
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    let authority = Authority::new();
    let platform = with_tasks();
    let url = door(&platform, authority.certify("localhost", 2100)).url();
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
fn a_server_that_knows_one_way_only_is_understood() {
    let authority = Authority::new();
    let keys: [&'static SignatureAlgorithm; 3] = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ];
    let suites = ring::ALL_CIPHER_SUITES.iter();
    for (n, suite) in suites.enumerate() {
        if format!("{suite:?}").contains("RSA_WITH") {
            continue; // no RSA key can be made here
        }
        for (m, group) in ring::ALL_KX_GROUPS.iter().enumerate() {
            let speaks = Speaks {
                key: keys[(n + m) % keys.len()],
                provider: CryptoProvider {
                    cipher_suites: vec![*suite],
                    kx_groups: vec![*group],
                    ..ring::default_provider()
                },
                version: suite.version(),
            };
            let platform = with_tasks();
            let config = authority.certify_for("localhost", 2100, speaks);
            let mut command = satellite(&platform, &door(&platform, config).url());
            command.env("LUML_CA_FILE", authority.file());
            let _satellite = child::start(command);
            assert_all_done(&platform);
        }
    }
}

#[test]
fn https_to_a_plain_port_is_told_as_that() {
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
        let told = format!(
            "the server at localhost:{port} does not speak TLS; use http:// or another port"
        );
        assert!(line.contains(&told), "{line}");
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
fn the_public_roots_refuse_a_private_authority() {
    let authority = Authority::new();
    assert_refused(authority.certify("localhost", 2100), None, "UnknownIssuer");
}

#[test]
fn a_bad_certificate_is_refused_though_an_authority_is_named() {
    let (known, other) = (Authority::new(), Authority::new());
    for (config, reason) in [
        (other.certify("localhost", 2100), "BadSignature"),
        (known.certify("elsewhere.example", 2100), "not valid for"),
        (known.certify("localhost", 2021), "expired"),
    ] {
        assert_refused(config, Some(known.file()), reason);
    }
}

/// The satellite comes to the door, leaves in the middle of the handshake, comes again,
/// and the token stays with it.
fn assert_refused(config: Arc<ServerConfig>, authority: Option<PathBuf>, reason: &str) {
    let platform = with_tasks();
    let door = door(&platform, config);
    let mut command = satellite(&platform, &door.url());
    command.envs(authority.map(|file| ("LUML_CA_FILE", file)));
    let mut satellite = child::start(command);
    for _ in 0..2 {
        let name = door.turned_away.recv_timeout(PATIENCE).expect(reason);
        assert_eq!(name.as_deref(), Some("localhost"), "{reason}");
    }
    // Another build may have no logger.
    if std::env::var_os("SATELLITE_WORKER").is_none() {
        let line = satellite.line("no trusted connection");
        assert!(line.contains(reason), "{reason}: {line}");
        assert!(line.contains("polling again in"), "{reason}: {line}");
    }
    assert!(platform.requests().is_empty(), "{reason}");
}
