//! The page in a real browser: headless Chromium, driven over its debugging pipe. Pictures of
//! each state are kept in `target/page/`.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use satellite_sdk::extras::{TempDirectory, temp_directory};
use serde_json::{Value, json};

use crate::host::{Host, Satellite, TIMEOUT, eventually};
use crate::monitoring::{Running, command, monitored_host, predict, skipped};

/// A page in headless Chromium.
struct Browser {
    _process: Running,
    _folder: TempDirectory,
    to: std::cell::RefCell<File>,
    from: std::cell::RefCell<BufReader<File>>,
    session: String,
    next: Cell<u64>,
}

impl Browser {
    /// `None` without Chromium.
    fn start() -> Option<Self> {
        let program = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").output().is_ok())?;
        let folder = temp_directory().unwrap();
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            let made = Command::new("mkfifo").arg(&path).status().unwrap();
            assert!(made.success());
            path
        };
        let (input, output) = (pipe("in"), pipe("out"));
        // A shell opens the pipes as descriptors 3 and 4.
        let script = format!(
            "exec {program} --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
             --no-first-run --hide-scrollbars --user-data-dir='{}' --remote-debugging-pipe \
             3<'{}' 4>'{}'",
            folder.path().join("profile").display(),
            input.display(),
            output.display()
        );
        let process = Command::new("sh")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut browser = Browser {
            _process: Running(process),
            // In the order in which the shell opens them: each open waits for the other side.
            to: OpenOptions::new().write(true).open(input).unwrap().into(),
            from: BufReader::new(File::open(output).unwrap()).into(),
            _folder: folder,
            session: String::new(),
            next: Cell::new(1),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", target);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        browser.call("Log.enable", json!({}));
        Some(browser)
    }

    fn call(&self, method: &str, parameters: Value) -> Value {
        let id = self.next.replace(self.next.get() + 1);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut to = self.to.borrow_mut();
        to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut answer = Vec::new();
            self.from.borrow_mut().read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser has ended");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["method"] == "Log.entryAdded" {
                let text = answer["params"]["entry"]["text"]
                    .as_str()
                    .unwrap_or_default();
                assert!(!text.contains("Content Security Policy"), "{text}");
            }
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    fn eval(&self, script: &str) -> Value {
        let parameters =
            json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].take()
    }

    fn open(&self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait(
            "the page",
            "document.readyState === 'complete' && !!document.querySelector('main')",
        );
    }

    fn wait(&self, what: &str, script: &str) {
        let begun = Instant::now();
        while self.eval(script) != true {
            let text = self.eval("document.body && document.body.innerText");
            assert!(begun.elapsed() < TIMEOUT, "waited for {what}: {text}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn size(&self, width: u32, height: u32) {
        let phone = width < 600;
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone }),
        );
    }

    fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    fn picture(&self, name: &str) {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", parameters);
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(pictures().join(format!("{name}.png")), bytes).unwrap();
    }
}

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("page");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn start(host: &Host) -> Satellite {
    let mut command = command(host);
    command
        .env("LUML_MONITORING_INTERVAL_SEC", "0.5")
        .env("LUML_MONITORING_WINDOW_SEC", "5");
    Satellite::start(command)
}

#[test]
fn the_page_shows_a_deployment_its_predictions_an_alert_and_an_outage_live() {
    let Some(browser) = Browser::start() else {
        return skipped("chromium");
    };
    let host = monitored_host();
    let satellite = start(&host);
    let url = format!("http://{}/", satellite.health());
    browser.size(1200, 900);
    browser.scheme("light");
    browser.open(&url);
    browser.wait(
        "a live page",
        "document.getElementById('live').textContent === 'Live'",
    );
    browser.wait("the connection", "document.title.includes(': connected')");
    browser.wait(
        "the deployment",
        "document.querySelector('.card h3')?.textContent === 'line'",
    );
    browser.wait(
        "its status",
        "document.querySelector('.card .badge').textContent === 'pending'",
    );
    browser.picture("1-a-deployment");

    // From here on the page is never loaded again.
    browser.eval("window.same = true");
    let task = host.deploy();
    browser.wait(
        "the deployment",
        "document.querySelector('.card h3')?.textContent === 'line'",
    );
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    browser.wait(
        "its status",
        "document.querySelector('.card .badge').textContent === 'active'",
    );
    browser.wait(
        "the task",
        "/deploy.*done/s.test(document.querySelector('#tasks').innerText)",
    );

    let peak = "Math.min(...(document.querySelector('.spark .line')?.getAttribute('points') || '0,44').split(' ').map(p => +p.split(',')[1]))";
    browser.wait("a flat line", &format!("{peak} > 40"));
    assert_eq!(predict(&host, &satellite, "[1, 9]"), 200);
    browser.wait("the prediction", &format!("{peak} < 10"));
    let label = "document.querySelector('.spark').getAttribute('aria-label')";
    assert!(
        browser
            .eval(label)
            .as_str()
            .unwrap()
            .contains("requests in")
    );
    browser.picture("2-a-prediction");

    // What a user has opened and focused stays as it is.
    browser.wait(
        "the figures of its features",
        "!!document.querySelector('.card details')",
    );
    browser.eval("document.querySelector('.card details').open = true; document.querySelector('.card summary').focus()");
    for _ in 0..40 {
        predict(&host, &satellite, "[8, 9.5, 9]");
        predict(&host, &satellite, "\"wrong\"");
    }
    browser.wait(
        "an alert",
        "document.querySelector('#alerts').innerText.includes('Input drift of x')",
    );
    browser.wait("the title", "document.title.includes('alert')");
    assert_eq!(
        browser.eval("document.querySelector('.card details').open"),
        true
    );
    assert_eq!(browser.eval("document.activeElement.nodeName"), "SUMMARY");
    assert_eq!(browser.eval("window.same"), true);
    browser.picture("3-an-alert");
    browser.scheme("dark");
    browser.picture("4-an-alert-dark");
    browser.size(390, 844);
    browser.picture("5-an-alert-phone");
    let is_narrow = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(
        browser.eval(is_narrow),
        true,
        "nothing is wider than a phone"
    );
    browser.size(1200, 900);
    browser.scheme("light");

    host.platform.pause();
    browser.wait("the outage", "document.title.includes('disconnected')");
    browser.wait("the strip", "!!document.querySelector('.strip .down')");
    browser.picture("6-the-platform-is-away");
    host.platform.resume();
    browser.wait(
        "the end of the outage",
        "document.title.includes(': connected')",
    );
    browser.wait(
        "the list of outages",
        "!!document.querySelector('#outage-list')",
    );
    browser.picture("7-the-platform-is-back");

    browser.wait(
        "an open alert",
        "!!document.querySelector('#alerts button')",
    );
    let open = "document.querySelectorAll('#alerts button').length";
    let before = browser.eval(open).as_u64().unwrap();
    browser.eval("document.querySelector('#alerts button').click()");
    let acknowledged = format!(
        "document.readyState === 'complete' && !!document.getElementById('live') && {open} < {before}"
    );
    browser.wait("an acknowledged alert", &acknowledged);
    drop(satellite);
    browser.wait(
        "the end of the stream",
        "document.getElementById('live').className === 'off'",
    );
}

#[test]
fn the_page_is_complete_without_script_and_its_structure_serves_screen_readers() {
    let Some(browser) = Browser::start() else {
        return skipped("chromium");
    };
    let host = monitored_host();
    let task = host.deploy();
    let satellite = start(&host);
    assert_eq!(host.wait_for_task(task), "done", "{}", satellite.log());
    for _ in 0..30 {
        predict(&host, &satellite, "[8, 9.5, 9]");
    }
    let url = format!("http://{}/", satellite.health());
    browser.call(
        "Emulation.setScriptExecutionDisabled",
        json!({ "value": true }),
    );
    browser.size(1200, 900);
    let shown = |browser: &Browser| {
        browser.call("Page.navigate", json!({ "url": url }));
        thread::sleep(Duration::from_millis(300));
        let tree = browser.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap().clone();
        let role_and_name = |node: &Value| {
            let value = |name: &str| node[name]["value"].as_str().unwrap_or_default().to_owned();
            (value("role"), value("name"))
        };
        nodes.iter().map(role_and_name).collect::<Vec<_>>()
    };
    let has = |tree: &[(String, String)], role: &str, name: &str| {
        tree.iter().any(|(r, n)| r == role && n.contains(name))
    };
    eventually("the alert, without script", || {
        has(&shown(&browser), "button", "Acknowledge: Input drift of x")
    });
    let wanted = [
        ("main", ""),
        ("heading", "luml-satellite"),
        ("region", "Deployments"),
        ("region", "Alerts"),
        ("heading", "line"),
        ("image", "requests in"),
        ("image", "No outage in the last 24 hours"),
        ("status", ""),
        ("columnheader", "Reason"),
        ("link", "Skip to the content"),
        ("navigation", "Endpoints"),
    ];
    eventually("all roles and names", || {
        let tree = shown(&browser);
        let missing = wanted.iter().find(|(role, name)| !has(&tree, role, name));
        missing.is_none_or(|missing| {
            eprintln!("{missing:?} is missing in {tree:?}");
            false
        })
    });
    browser.picture("8-without-script");
}
