//! A browser with a page of results open.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use emo_preflight::html;
use fantoccini::{Client, ClientBuilder};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::rig::PATIENCE;

/// A browser; ended with this.
pub(crate) struct Browser {
    pub(crate) client: Client,
    folder: tempfile::TempDir,
    driver: Child,
    /// What the client's connection lives on.
    runtime: Runtime,
}

/// Lets a test use the browser that all tests share, one at a time; it ends with the last that waits for it.
/// Where there is none the test does not run.
pub(crate) fn with_browser(test: impl AsyncFnOnce(&Browser)) {
    static SHARED: Mutex<Weak<Mutex<Browser>>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let browser = match shared.upgrade() {
        Some(browser) => browser,
        None => {
            let Some(opened) = Browser::open(1200, 900) else { return };
            let opened = Arc::new(Mutex::new(opened));
            *shared = Arc::downgrade(&opened);
            opened
        }
    };
    drop(shared);
    let browser = browser.lock().unwrap_or_else(PoisonError::into_inner);
    browser.runtime.block_on(test(&browser));
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Else the browser outlives its driver.
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    /// A browser of this size; none where there is no driver.
    fn open(width: u32, height: u32) -> Option<Self> {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .args([&format!("--port={port}"), "--log-level=OFF"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                println!("NOT RUN: no browser was found (chromedriver: {error})");
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let size = format!("--window-size={width},{height}");
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let options = json!({"args": ["--headless=new", "--no-sandbox", "--disable-gpu",
            "--hide-scrollbars", "--no-proxy-server", "--force-device-scale-factor=1", size, profile]});
        let capabilities = json!({"goog:chromeOptions": options}).as_object().unwrap().clone();
        let url = format!("http://127.0.0.1:{port}");
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            let begun = Instant::now();
            loop {
                let mut builder =
                    ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
                match builder.capabilities(capabilities.clone()).connect(&url).await {
                    Ok(client) => return client,
                    Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Some(Self { client, folder, driver, runtime })
    }

    /// Opens the page of these results, from disk.
    pub(crate) async fn show(&self, results: &[Value], fragment: &str) {
        let path = self.page(results);
        self.go(&path, fragment).await;
    }

    pub(crate) fn page(&self, results: &[Value]) -> PathBuf {
        let mut page = html::Report::new("night.jsonl");
        for result in results {
            page.add(&serde_json::from_value(result.clone()).unwrap());
        }
        let path = self.folder.path().join("report.html");
        page.render(&mut std::fs::File::create(&path).unwrap()).unwrap();
        path
    }

    pub(crate) async fn go(&self, path: &Path, fragment: &str) {
        // Away first: with another fragment alone the page would stay.
        self.client.goto("about:blank").await.unwrap();
        self.client.goto(&format!("file://{}{fragment}", path.display())).await.unwrap();
    }

    /// Waits until a script returns this.
    pub(crate) async fn until(&self, script: &str, expected: impl Into<Value>) {
        let (begun, expected) = (Instant::now(), expected.into());
        loop {
            let found = self.run(script).await;
            if found == expected {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{script}: found {found}, expected {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// The sources of the images that are shown, in their order.
    pub(crate) async fn sources(&self) -> Vec<String> {
        let all = self
            .run("return [...document.querySelectorAll('#grid > li > p:nth-of-type(2)')].map((p) => p.textContent)")
            .await;
        serde_json::from_value(all).unwrap()
    }
}

/// A result with these fields in place of the usual ones.
pub(crate) fn result(index: usize, fields: Value) -> Value {
    let mut result = json!({"v": 1, "index": index, "source": format!("https://x.invalid/{index}.jpg"),
        "ratio": "1:1", "verdict": "rejected_local", "reasons": [],
        "billing": {"images": 0, "certainty": "none"}, "from_ledger": false});
    for (name, value) in fields.as_object().unwrap() {
        result[name] = value.clone();
    }
    result
}

pub(crate) fn image(width: u32, height: u32, orientation: u8) -> Value {
    json!({"format": "jpeg", "width": width, "height": height, "orientation": orientation})
}
