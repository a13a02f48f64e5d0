//! What is not for the gate, passed on to a scripted service.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use emo_preflight::serve::ServeOptions;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::scene::{JsonBody as _, PATH, Running, answer, client, gate_on, start, until};

/// A service that notes what comes and answers with these bytes, a part at a time.
pub(crate) struct Upstream {
    base: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

pub(crate) async fn upstream(
    parts: &'static [&'static str],
    pause: Duration,
    closes: bool,
) -> Upstream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let notes = Arc::clone(&notes);
            let (mut reader, mut writer) = stream.into_split();
            tokio::spawn(async move {
                let mut bytes = [0; 65_536];
                while let Ok(read @ 1..) = reader.read(&mut bytes).await {
                    notes.lock().unwrap().extend_from_slice(&bytes[..read]);
                }
            });
            tokio::spawn(async move {
                for part in parts {
                    tokio::time::sleep(pause).await;
                    let _ = writer.write_all(part.as_bytes()).await;
                }
                if !closes {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                }
            });
        }
    });
    Upstream { base, heard }
}

impl Upstream {
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

pub(crate) async fn server(upstream: &Upstream) -> Running {
    let gate = gate_on(&format!("{}/api/v1", upstream.base)).build().await.unwrap();
    let mut options = ServeOptions::default();
    options.pass_through = true;
    start(gate, options).await
}

const EMPTY: &[&str] = &["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"];

#[tokio::test]
async fn a_request_goes_on_as_it_came_with_the_callers_own_key() {
    let upstream = upstream(
        &["HTTP/1.1 418 Teapot\r\nx-request-id: r-1\r\ncontent-type: text/plain\r\n\
           connection: x-hop\r\nx-hop: 1\r\ncontent-length: 4\r\n\r\nbody"],
        Duration::ZERO,
        false,
    )
    .await;
    let server = server(&upstream).await;
    let request = client()
        .put(server.url("/api/v1/tasks/7?a=%2F&b"))
        .bearer_auth("sk-of-the-caller")
        .header("x-dashscope-workspace", "w")
        .header("x-emo-preflight-token", "secret")
        .header("connection", "x-mine")
        .header("x-mine", "for this hop")
        .body("{ \"as\":  \"it is\" }");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 418);
    assert_eq!(response.headers()["x-request-id"], "r-1");
    assert!(response.headers().get("x-hop").is_none());
    assert_eq!(response.text().await.unwrap(), "body");
    let heard = upstream.heard();
    assert!(heard.starts_with("PUT /api/v1/tasks/7?a=%2F&b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("authorization: Bearer sk-of-the-caller\r\n"), "{heard}");
    assert!(heard.contains("x-dashscope-workspace: w\r\n"), "{heard}");
    assert!(heard.contains("content-length: 18\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\n{ \"as\":  \"it is\" }"), "{heard}");
    for gone in ["x-emo-preflight-token", "secret", "x-mine", super::scene::KEY] {
        assert!(!heard.contains(gone), "{gone} in {heard}");
    }
}

#[tokio::test]
async fn paths_beside_the_api_go_to_the_same_host() {
    let upstream = upstream(EMPTY, Duration::ZERO, false).await;
    let server = server(&upstream).await;
    let path = "/compatible-mode/v1/chat/completions";
    let request = client().post(server.url(path)).json_body(&json!({"stream": true}));
    assert_eq!(answer(request).await.status, 200);
    assert!(upstream.heard().starts_with(&format!("POST {path} HTTP/1.1\r\n")));
}

#[tokio::test]
async fn other_models_of_the_path_go_on_and_the_gated_one_never_does() {
    let upstream = upstream(EMPTY, Duration::ZERO, false).await;
    let server = server(&upstream).await;
    let call = |model: &str| {
        json!({"model": model, "input": {"image_url": "ftp://x"}, "extra": 1,
        "parameters": {"ratio": "1:1"}})
    };
    let body = call("emoji-detect-v1");
    let request = client().post(server.url(PATH)).bearer_auth("sk-c").json_body(&body);
    assert_eq!(answer(request).await.status, 200);
    assert!(upstream.heard().ends_with(&body.to_string()), "{}", upstream.heard());
    let so_far = upstream.heard().len();
    for path in
        [PATH.to_owned(), format!("{PATH}/"), PATH.to_uppercase().replace("/API/V1", "/api/v1")]
    {
        for model in ["emo-detect-v1", "EMO-detect-V1", " emo-detect-v1 "] {
            // Rejected for its URL: the gate has answered.
            let stream = raw(&server, &path, &call(model).to_string()).await;
            assert!(stream.contains("\"code\":\"InvalidURL\""), "{path} {model}: {stream}");
        }
        let twice = call("a").to_string().replacen('{', "{\"model\":\"emo-detect-v1\",", 1);
        assert!(raw(&server, &path, &twice).await.contains("InvalidParameter"), "{path}");
    }
    assert_eq!(upstream.heard().len(), so_far);
}

#[tokio::test]
async fn a_request_to_another_model_may_look_as_it_likes() {
    let parts = &["HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"];
    let upstream = upstream(parts, Duration::ZERO, true).await;
    let server = server(&upstream).await;
    for body in [
        json!({"model": "other", "input": {"image_url": ["a", "b"]}}),
        json!({"model": "other", "input": [1], "parameters": {"ratio": 1}}),
    ] {
        let request = client().post(server.url(PATH)).header("content-type", "text/plain");
        assert_eq!(answer(request.body(body.to_string())).await.status, 200);
        assert!(upstream.heard().ends_with(&body.to_string()));
    }
    let so_far = upstream.heard().len();
    for body in [
        r#"{"model":"other","Model":"emo-detect-v1"}"#,
        r#"{"_model":"emo-detect-v1"}"#,
        "{\"model\":\"emo-detect-v1\\u0000\"}",
        "{\"model\":\"emo\u{200b}-detect-v1\"}",
        r#"{"mod\u0065l":"emo-detect-v1"}"#,
        "{}",
        "[]",
        "no json",
    ] {
        let answer = raw(&server, PATH, body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
    }
    assert_eq!(upstream.heard().len(), so_far);
}

#[tokio::test]
async fn a_path_of_two_spellings_or_for_a_proxy_is_refused_passed_on_or_not() {
    let upstream = upstream(EMPTY, Duration::ZERO, false).await;
    let gate = gate_on(&format!("{}/api/v1", upstream.base)).build().await.unwrap();
    let servers = [server(&upstream).await, start(gate, ServeOptions::default()).await];
    let paths = [
        "/api/v1/a/../b",
        "/api/v1/a/%2e%2e/b",
        "/api/v1/./b",
        "//api/v1/b",
        "/v1//check",
        "/x\\y",
        "*",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["%00", "%20", "%0a", ";y", "%3Fx", "%2525252F"].map(|end| format!("{PATH}{end}")))
    .chain([
        PATH.replace("/face", "//face"),
        PATH.replace('-', "%2D"),
        PATH.replace("/face", "%2Fface"),
    ])
    .chain([PATH.replace("face", "x/../face"), PATH.replace('-', "%2525252D")]);
    for path in paths {
        for server in &servers {
            let answer = raw(server, &path, "{}").await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        }
    }
    let answer = raw(&servers[0], "http://example.org/x", "{}").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(upstream.heard(), "");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_so_for_the_client_too() {
    let upstream =
        upstream(&["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"], Duration::ZERO, true)
            .await;
    let server = server(&upstream).await;
    assert!(client().get(server.url("/api/v1/a")).send().await.unwrap().bytes().await.is_err());
    // To this one the end of the connection is the end of the answer.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /api/v1/a HTTP/1.0\r\n\r\n").await.unwrap();
    let mut came = Vec::new();
    let read = stream.read_to_end(&mut came).await;
    let came = String::from_utf8_lossy(&came).into_owned();
    assert!(read.is_err() || came.contains("content-length: 100"), "{came}");
}

/// Asks with a path that a client's URL type would tidy.
async fn raw(server: &Running, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn an_event_stream_comes_as_it_is_sent() {
    let parts = &[
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        "9\r\ndata: 1\n\n\r\n",
        "9\r\ndata: 2\n\n\r\n",
        "0\r\n\r\n",
    ];
    // On a busy machine the first may be read late: then with longer pauses.
    for pause in [300, 3_000, 30_000].map(Duration::from_millis) {
        let upstream = upstream(parts, pause, false).await;
        let server = server(&upstream).await;
        let path = "/compatible-mode/v1/chat/completions";
        let mut response = client().post(server.url(path)).body("{}").send().await.unwrap();
        let mut came = Vec::new();
        while let Some(chunk) = response.chunk().await.unwrap() {
            came.push((chunk, std::time::Instant::now()));
        }
        let texts: Vec<u8> = came.iter().flat_map(|(chunk, _)| chunk.to_vec()).collect();
        assert_eq!(texts, b"data: 1\n\ndata: 2\n\n");
        // The first was not held back for the second.
        if came.len() == 2 && came[1].1 - came[0].1 > pause / 2 {
            return;
        }
    }
    panic!("the first is held back for the second");
}

#[tokio::test]
async fn an_upload_is_sent_on_while_it_arrives() {
    let upstream = upstream(&[], Duration::ZERO, false).await;
    let server = server(&upstream).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/v1/uploads HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\nbegin";
    stream.write_all(head.as_bytes()).await.unwrap();
    until("the start has arrived", || upstream.heard().contains("begin")).await;
    stream.write_all(b"next").await.unwrap();
    until("so has what follows", || upstream.heard().contains("beginnext")).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_to_be_so() {
    let gate = gate_on("http://127.0.0.1:9/api/v1").build().await.unwrap();
    let mut options = ServeOptions::default();
    options.pass_through = true;
    let server = start(gate, options).await;
    let request = client().get(server.url("/api/v1/tasks/secret?key=secret"));
    let answer = answer(request).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "Preflight.NoAnswer"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
}
