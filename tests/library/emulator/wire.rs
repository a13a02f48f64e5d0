//! Requests and answers as bytes.

use std::net::SocketAddr;

use emo_preflight::emulator::{Emulator, EmulatorBuilder, Fate, Picture, Served};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(super) const ENDPOINT: &str = "/api/v1/services/aigc/image2video/face-detect";

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of an error answer, whose keys must be the documented ones.
    pub(super) fn error(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(keys(&json), ["code", "message", "request_id"]);
        (self.status, json["code"].as_str().unwrap().to_owned())
    }
}

pub(super) async fn start(builder: EmulatorBuilder) -> Emulator {
    builder.start().await.unwrap()
}

pub(super) fn body(image_url: &str, ratio: &str) -> Value {
    json!({
        "model": "emo-detect-v1",
        "input": {"image_url": image_url},
        "parameters": {"ratio": ratio},
    })
}

pub(super) async fn call(emu: &Emulator, body: &Value) -> Answer {
    let headers = "authorization: Bearer sk-test\r\ncontent-type: application/json\r\n";
    send(emu.addr(), "POST", ENDPOINT, headers, &body.to_string()).await.unwrap()
}

pub(super) async fn get(emu: &Emulator, path: &str, headers: &str) -> Answer {
    send(emu.addr(), "GET", path, headers, "").await.unwrap()
}

pub(super) fn post(address: SocketAddr, body: &Value) -> String {
    let headers = "authorization: Bearer sk-test\r\ncontent-type: application/json\r\n";
    request(address, "POST", ENDPOINT, headers, &body.to_string())
}

pub(super) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(super) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = request(address, method, path, headers, body);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Ok(Answer { status: head[9..12].parse().unwrap(), head, body: answer[end + 4..].to_vec() })
}

pub(super) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

pub(super) async fn with_fate(fate: Fate) -> (Emulator, Served) {
    let emu = start(Emulator::builder()).await;
    let pic = emu.serve("/face.png", Picture::png(400, 400));
    emu.script(&pic, [fate]);
    (emu, pic)
}
