//! Who may ask.

use emo_preflight::serve::{ServeOptions, ServerToken, serve};
use serde_json::json;

use super::scene::{JsonBody as _, PATH, Scene, answer, client, gate_on, scene, scene_with};
use crate::rig::portrait;

const TOKEN: &str = "a-token-of-some-length";

fn with_token() -> ServeOptions {
    let mut options = ServeOptions::default();
    options.token = Some(ServerToken::new(TOKEN).unwrap());
    options.pass_through = true;
    options
}

#[tokio::test]
async fn with_a_token_every_caller_must_show_it() {
    let Scene { emu, server } = scene_with(|gate| gate, with_token()).await;
    let image = emu.serve("/face.jpg", portrait());
    let call = json!({"model": "emo-detect-v1", "input": {"image_url": image.url()},
        "parameters": {"ratio": "1:1"}});
    let wrong = [
        ("authorization", "Bearer another-of-some-length".to_owned()),
        ("authorization", format!("Bearer {TOKEN}x")),
        ("authorization", format!("Bearer {}", &TOKEN[1..])),
        ("authorization", format!("Basic {TOKEN}")),
        ("authorization", "Bearer".to_owned()),
        ("x-emo-preflight-token", "another".to_owned()),
        ("x-other", TOKEN.to_owned()),
    ];
    for path in [PATH, "/v1/check", "/v1/probe", "/healthz", "/metrics", "/api/v1/models"] {
        for (name, value) in &wrong {
            let answer = answer(client().get(server.url(path)).header(*name, value)).await;
            assert_eq!(answer.status, 401, "{path} {name}");
            assert_eq!(answer.code(), "Preflight.Unauthorized");
        }
    }
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", format!("bearer  {TOKEN}")),
        ("x-emo-preflight-token", TOKEN.to_owned()),
    ] {
        let request = client().post(server.url(PATH)).header(name, value);
        assert_eq!(answer(request.json_body(&call)).await.status, 200, "{name}");
    }
    // Where a caller's own key must be, the token goes no further.
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", TOKEN.to_owned()),
        ("authorization", format!("Token {TOKEN}")),
        ("authorization", format!("Bearer sk-mine, Bearer {TOKEN}")),
        ("x-dashscope-apikey", TOKEN.to_owned()),
    ] {
        let request = client().get(server.url("/api/v1/models")).header(name, value);
        let request = request.header("x-emo-preflight-token", TOKEN);
        assert_eq!(answer(request).await.code(), "Preflight.Unauthorized", "{name}");
    }
    assert_eq!(emu.calls(), 1);
    assert_eq!(emu.unscripted(), Vec::<String>::new());
}

#[tokio::test]
async fn on_another_address_than_loopback_there_must_be_a_token() {
    let bind = || tokio::net::TcpListener::bind("0.0.0.0:0");
    let gate = gate_on("http://127.0.0.1:9/api/v1").build().await.unwrap();
    let without = ServeOptions::default();
    let refused = serve(bind().await.unwrap(), gate.clone(), without, std::future::ready(())).await;
    assert!(refused.unwrap_err().to_string().contains("must have a token"));
    serve(bind().await.unwrap(), gate, with_token(), std::future::ready(())).await.unwrap();
}

#[tokio::test]
async fn a_web_page_may_not_spend_its_visitors_money() {
    let Scene { emu, server } = scene().await;
    let image = emu.serve("/face.jpg", portrait());
    let request = client().post(server.url("/v1/check")).header("origin", "https://evil.example");
    let answer = answer(request.json_body(&json!({"image_url": image.url()}))).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "Preflight.Unauthorized"));
    assert_eq!(emu.calls(), 0);
}
