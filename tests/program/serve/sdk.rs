//! The vendor's own clients: the Python SDK and the page's curl command.
//!
//! The SDK's Python is `EMO_PREFLIGHT_PYTHON` or `python3`; where it has no `dashscope` these tests say
//! that they did not run.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use emo_preflight::emulator::{Fate, Picture};
use emo_preflight::serve::ServeOptions;
use emo_preflight::{AddressPolicy, ProbeOptions};
use serde_json::{Value, json};

use super::pass_through::{server as passing_on, upstream};
use super::scene::{PATH, Scene, scene_with};
use crate::rig::portrait;

/// What the SDK returned for each wish, in their order.
async fn sdk(base_url: String, wishes: Vec<Value>) -> Option<Vec<Value>> {
    tokio::task::spawn_blocking(move || sdk_blocking(&base_url, &wishes)).await.unwrap()
}

fn sdk_blocking(base_url: &str, wishes: &[Value]) -> Option<Vec<Value>> {
    let python = std::env::var("EMO_PREFLIGHT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_sdk = Command::new(&python).args(["-c", "import dashscope"]).output();
    if !has_sdk.is_ok_and(|output| output.status.success()) {
        println!("NOT RUN: no Python with dashscope was found (EMO_PREFLIGHT_PYTHON, python3)");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/serve/sdk.py");
    let mut child = Command::new(&python)
        .arg(script)
        .env("DASHSCOPE_HTTP_BASE_URL", base_url)
        .env("DASHSCOPE_API_KEY", super::scene::KEY)
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for wish in wishes {
        writeln!(stdin, "{wish}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn wish(url: &str) -> Value {
    json!({"url": url, "ratio": "1:1"})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_sees_the_service_behind_the_gate() {
    let Scene { emu, server } = scene_with(|gate| gate, ServeOptions::default()).await;
    let fates = [
        Fate::judge(),
        Fate::refused_by_model(),
        Fate::refused_with("InvalidFile.MultiHuman"),
        Fate::error(400, "InvalidFile.NoHuman"),
        Fate::error(401, "InvalidApiKey"),
    ];
    let mut direct = Vec::new();
    let mut through = Vec::new();
    for (n, fate) in fates.into_iter().enumerate() {
        for (to, wishes) in [("direct", &mut direct), ("through", &mut through)] {
            let image = emu.serve(&format!("/{to}-{n}.jpg"), portrait());
            emu.script(&image, [fate.clone()]);
            wishes.push(wish(image.url()));
        }
    }
    let Some(expected) = sdk(emu.base_url(), direct).await else { return };
    let found = sdk(server.url("/api/v1"), through.clone()).await.unwrap();
    let without_id = |all: &[Value]| {
        let mut all = all.to_vec();
        all.iter_mut().for_each(|one| one["request_id"] = Value::Null);
        all
    };
    assert_eq!(without_id(&found), without_id(&expected));
    assert!(found.iter().all(|one| one["request_id"].as_str().unwrap().len() > 20));
    // What was judged is not asked again, and the answer is the same, its id too.
    let again = sdk(server.url("/api/v1"), through[..4].to_vec()).await.unwrap();
    assert_eq!(again, found[..4]);
    assert_eq!(emu.calls(), 10);
    emu.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_understands_what_is_refused_here() {
    let mut probe = ProbeOptions::default();
    probe.addresses = AddressPolicy::Any;
    probe.timeout = Duration::from_secs(3);
    let Scene { emu, server } = scene_with(|gate| gate.probe(probe), ServeOptions::default()).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = emu.serve("/busy.jpg", portrait());
    emu.script(&busy, [Fate::throttled_retry_after(1)]);
    let lost = emu.serve("/lost.jpg", portrait());
    emu.script(&lost, [Fate::judge().reset()]);
    let url = |name: &str, image| emu.serve(name, image).url().to_owned();
    let rows = [
        (url("/a.gif", Picture::gif(640, 640)), 400, "InvalidFile.Format"),
        (url("/b.html", Picture::html()), 400, "InvalidFile.Format"),
        (url("/c.jpg", Picture::jpeg(300, 640)), 400, "InvalidFile.Resolution"),
        (url("/d.png", Picture::png(7_200, 640)), 400, "InvalidFile.Resolution"),
        (url("/e.jpg", Picture::status(404)), 400, "InvalidURL"),
        ("ftp://example.org/f.jpg".to_owned(), 400, "InvalidURL"),
        (url("/g.jpg", Picture::status(500)), 400, "InvalidURL.ConnectionRefused"),
        (format!("http://{}/h.jpg", silent.local_addr().unwrap()), 400, "InvalidURL.Timeout"),
        (busy.url().to_owned(), 200, ""),
        (lost.url().to_owned(), 502, "Preflight.BillingUnknown"),
        (lost.url().to_owned(), 502, "Preflight.BillingUnknown"),
    ];
    let wishes = rows.iter().map(|(url, ..)| wish(url)).collect();
    let Some(found) = sdk(server.url("/api/v1"), wishes).await else { return };
    for ((url, status, code), found) in rows.iter().zip(&found) {
        assert_eq!(found["status"], *status, "{url}: {found}");
        assert_eq!(found["code"].as_str().unwrap_or_default(), *code, "{url}: {found}");
    }
    assert_eq!((emu.calls_for(&busy), emu.calls_for(&lost), emu.calls()), (2, 1, 3));
    emu.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_streams_a_chat_through_it() {
    let upstream = upstream(
        &[
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream;charset=UTF-8\r\n\
             connection: close\r\n\r\n",
            "id:1\nevent:result\n:HTTP_STATUS/200\ndata:{\"output\":{\"text\":\"Good\",\
             \"finish_reason\":\"null\"},\"usage\":{\"output_tokens\":1},\"request_id\":\"r-1\"}\n\n",
            "id:2\nevent:result\n:HTTP_STATUS/200\ndata:{\"output\":{\"text\":\"Good day\",\
             \"finish_reason\":\"stop\"},\"usage\":{\"output_tokens\":2},\"request_id\":\"r-1\"}\n\n",
        ],
        Duration::from_millis(100),
        true,
    )
    .await;
    let server = passing_on(&upstream).await;
    let wishes = vec![json!({"chat": "qwen-turbo"})];
    let Some(found) = sdk(server.url("/api/v1"), wishes).await else { return };
    let texts: Vec<_> = found.iter().map(|said| said["output"]["text"].as_str()).collect();
    assert_eq!(texts, [Some("Good"), Some("Good day")], "{found:?}");
    let heard = upstream.heard();
    let path = "/api/v1/services/aigc/text-generation/generation";
    assert!(heard.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{heard}");
    // A connection's key is the caller's own.
    assert!(heard.contains(&format!("Bearer {}", super::scene::KEY)), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendor_pages_curl_command_works_but_for_its_host() {
    let Scene { emu, server } = scene_with(|gate| gate, ServeOptions::default()).await;
    let image = emu.serve("/face.jpg", portrait());
    let body = format!(
        "{{\n    \"model\": \"emo-detect-v1\",\n    \"input\": {{\n        \"image_url\": \"{}\"\n    \
         }},\n    \"parameters\": {{\n        \"ratio\": \"1:1\"\n    }}\n}}",
        image.url()
    );
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--noproxy", "*", "--location", &server.url(PATH)])
        .args(["--header", "Authorization: Bearer sk-of-the-caller"])
        .args(["--header", "Content-Type: application/json", "--data", &body]);
    let output = match tokio::task::spawn_blocking(move || curl.output()).await.unwrap() {
        Ok(output) => output,
        Err(error) => {
            println!("NOT RUN: curl was not found: {error}");
            return;
        }
    };
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["output"]["check_pass"], true, "{answer}");
    assert_eq!(emu.billed(), 1);
    emu.finish();
}
