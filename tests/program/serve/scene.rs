//! A server in front of an emulator, and a client that asks it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use emo_preflight::emulator::Emulator;
use emo_preflight::serve::{ServeError, ServeOptions, serve};
use emo_preflight::{AddressPolicy, ApiKey, Preflight, PreflightBuilder, ProbeOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::rig::PATIENCE;

pub(crate) const KEY: &str = "sk-of-the-server-0123456789";
pub(crate) const PATH: &str = "/api/v1/services/aigc/image2video/face-detect";

pub(crate) struct Scene {
    pub(crate) emu: Emulator,
    pub(crate) server: Running,
}

/// A server, and how it is ended.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Preflight,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) verdict: Option<String>,
    pub(crate) from_ledger: Option<String>,
    pub(crate) billing: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) async fn scene() -> Scene {
    scene_with(|gate| gate, ServeOptions::default()).await
}

pub(crate) async fn scene_with(
    settings: impl FnOnce(PreflightBuilder) -> PreflightBuilder,
    options: ServeOptions,
) -> Scene {
    let emu = Emulator::builder().api_key(KEY).rps(None).start().await.unwrap();
    let gate = settings(gate_on(&emu.base_url())).build().await.unwrap();
    let server = start(gate, options).await;
    Scene { emu, server }
}

/// As fast as the emulator allows.
pub(crate) fn gate_on(base_url: &str) -> PreflightBuilder {
    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    Preflight::builder(ApiKey::new(KEY).unwrap())
        .base_url(base_url)
        .probe(probe)
        .calls_per_second(1_000.0)
}

pub(crate) async fn start(gate: Preflight, options: ServeOptions) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, gate.clone(), options, async move {
        let _ = stopped.await;
    }));
    Running { address, gate, stop: Some(stop), task }
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks the vendor's endpoint as its page documents it.
    pub(crate) async fn detect(&self, image_url: &str) -> Answer {
        detect_at(&self.url(PATH), image_url, "1:1").await
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Whom the request is for does not show in it: it may be the service itself.
pub(crate) async fn detect_at(url: &str, image_url: &str, ratio: &str) -> Answer {
    let body = json!({
        "model": "emo-detect-v1",
        "input": {"image_url": image_url},
        "parameters": {"ratio": ratio},
    });
    answer(client().post(url).bearer_auth(KEY).json_body(&body)).await
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    Answer {
        status: response.status().as_u16(),
        verdict: header("x-emo-preflight-verdict"),
        from_ledger: header("x-emo-preflight-from-ledger"),
        billing: header("x-emo-preflight-billing"),
        body: response.bytes().await.unwrap().to_vec(),
    }
}

/// A client without a proxy and without TLS.
pub(crate) fn client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

pub(crate) trait JsonBody {
    fn json_body(self, value: &Value) -> Self;
}

impl JsonBody for reqwest::RequestBuilder {
    fn json_body(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }
}

/// Waits until it holds, and fails when it never does.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
