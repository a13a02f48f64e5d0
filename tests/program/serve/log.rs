//! What the program writes of its requests, and what it never does.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use emo_preflight::emulator::Emulator;
use serde_json::{Value, json};

use super::scene::{JsonBody as _, KEY, PATH, answer, client};
use crate::rig::{portrait, program_with};

const TOKEN: &str = "token-that-nobody-may-see";

#[tokio::test(flavor = "multi_thread")]
async fn a_line_a_request_and_nothing_secret_in_any() {
    let emu = Emulator::builder().api_key(KEY).rps(None).start().await.unwrap();
    let image = emu.serve("/face.jpg", portrait());
    let secret =
        format!("{}?Signature=secret-of-a-url", image.url().replace("//", "//user:pass-word@"));
    let mut command = program_with(["serve", "--listen", "127.0.0.1:0", "--log", "json", "-vv"]);
    command.args(["--allow-private-network", "--pass-through", "--base-url", &emu.base_url()]);
    command
        .env("DASHSCOPE_API_KEY", KEY)
        .env("EMO_PREFLIGHT_TOKEN", TOKEN)
        .env("RUST_LOG", "trace");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut base = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut base).unwrap();
    let root = base.trim().trim_end_matches("/api/v1").to_owned();
    let stderr = child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = String::new();
        BufReader::new(stderr).read_to_string(&mut all).unwrap();
        all
    });
    let call = |url: &str| json!({"model": "emo-detect-v1", "input": {"image_url": url}, "parameters": {"ratio": "1:1"}});
    for url in [secret.as_str(), secret.as_str(), "ftp://user:pass-word@x/?secret-of-a-url"] {
        let request = client().post(format!("{root}{PATH}")).bearer_auth(TOKEN);
        answer(request.json_body(&call(url))).await;
    }
    let other = client().get(format!("{root}/api/v1/tasks/1?api_key=secret-of-a-url"));
    let other = other.bearer_auth("sk-of-the-caller").header("x-emo-preflight-token", TOKEN);
    assert_eq!(answer(other).await.status, 404);
    let refused = client().get(format!("{root}/healthz")).bearer_auth("wrong-secret-of-a-url");
    assert_eq!(answer(refused).await.status, 401);
    let terminated =
        std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(terminated.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let log = reading.join().unwrap();
    for never in [KEY, TOKEN, "sk-of-the-caller", "pass-word", "secret-of-a-url"] {
        assert!(!log.contains(never), "{never} in\n{log}");
    }
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let done: Vec<&Value> = lines.iter().filter(|line| line["message"] == "request_done").collect();
    assert_eq!(done.len(), 5, "{log}");
    for (line, (verdict, from_ledger, images)) in done.iter().zip([
        ("accepted", false, 1),
        ("accepted", true, 1),
        ("rejected_local", false, 0),
    ]) {
        assert_eq!(line["verdict"], verdict, "{line}");
        assert_eq!((&line["from_ledger"], &line["images"]), (&json!(from_ledger), &json!(images)));
        assert!(line["id"].as_str().is_some_and(|id| id.len() > 20), "{line}");
        assert!(line["ms"].is_u64(), "{line}");
    }
}
