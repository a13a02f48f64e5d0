//! Settings and keys that cannot work.

use std::process::Command;
use std::time::Duration;

use emo_preflight::{
    AddressPolicy, ApiKey, ConfigError, GateError, Preflight, ProbeOptions, Source,
};

use super::scene::{KEY, one_portrait};

#[tokio::test]
async fn settings_out_of_range_are_refused_with_what_was_found() {
    let gate = || Preflight::builder(ApiKey::new(KEY).unwrap());
    let mut no_host_places = ProbeOptions::default();
    no_host_places.per_host = 0;
    let mut local_files = ProbeOptions::default();
    local_files.local_files = true;
    for (builder, says) in [
        (gate().base_url("http://dashscope.aliyuncs.com/api/v1"), "https"),
        (gate().base_url("http://127.0.0.1.example.org/"), "https"),
        (gate().base_url("ftp://h/"), "ftp"),
        (gate().base_url("dashscope"), "must be a URL"),
        (gate().base_url("https://user:secret@h/"), "no userinfo"),
        (gate().base_url("https://:secret@h/"), "no userinfo"),
        (gate().base_url("https://h/api/v1?key=1"), "query"),
        (
            gate().base_url("https://dashscope.aliyuncs.com/compatible-mode/v1"),
            "must be the one that ends in /api/v1, found \
             https://dashscope.aliyuncs.com/compatible-mode/v1; give \
             https://dashscope.aliyuncs.com/api/v1",
        ),
        (
            gate().base_url("https://h/api/v1/services/aigc/image2video/face-detect"),
            "; give https://h/api/v1",
        ),
        (gate().service(" "), "the service must have a name"),
        (gate().model(" "), "model"),
        (gate().model("liveportrait-detect"), "found liveportrait-detect"),
        (gate().workspace("a\nb"), "workspace"),
        (gate().workspace("\u{e4}"), "printable ASCII"),
        (gate().workspace(""), "printable ASCII"),
        (gate().call_timeout(Duration::ZERO), "time-out"),
        (gate().call_timeout(Duration::MAX), "at most a day"),
        (gate().calls_per_second(0.0), "found 0"),
        (gate().calls_per_second(f64::NAN), "NaN"),
        (gate().calls_per_second(-1.0), "-1"),
        (gate().calls_per_second(1_001.0), "1001"),
        (gate().calls_per_second(1e-300), "from 0.0001"),
        (gate().probe(no_host_places), "at least 1"),
        (gate().probe(local_files), "takes URLs"),
    ] {
        match builder.build().await {
            Err(GateError::Config(ConfigError::Option(text))) => {
                assert!(text.contains(says) && !text.contains("secret"), "{text}");
            }
            other => panic!("{says}: {other:?}"),
        }
    }
}

/// Whoever points an environment at the emulator must not call the paid service.
#[tokio::test]
async fn the_environment_says_whom_to_call_and_with_which_key() {
    let (emulator, portrait) = one_portrait().await;
    let base = emulator.base_url();
    for (key, url, expected) in [
        (Some(KEY), Some(base.as_str()), "Ok(\"accepted\")"),
        (Some(KEY), Some("nowhere"), "must be a URL"),
        (None, Some(base.as_str()), "no API key"),
    ] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "gate::settings::in_an_environment", "--nocapture"]);
        child.env("PORTRAIT", portrait.url());
        // Whatever is wrong here, nothing leaves this machine.
        for proxy in ["HTTPS_PROXY", "https_proxy"] {
            child.env(proxy, "http://127.0.0.1:9");
        }
        for (name, value) in [("DASHSCOPE_API_KEY", key), ("DASHSCOPE_HTTP_BASE_URL", url)] {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(expected) && said.contains("1 passed"), "{key:?} {url:?}: {said}");
    }
    assert_eq!(emulator.calls(), 1);
}

/// Says what comes of one image; nothing by itself.
#[tokio::test]
async fn in_an_environment() {
    let Ok(portrait) = std::env::var("PORTRAIT") else { return };
    let check = async || -> Result<&str, Box<dyn std::error::Error>> {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        let gate = Preflight::from_env()?.probe(probe).build().await?;
        Ok(gate.check(Source::url(&portrait)).await?.verdict.as_str())
    };
    println!("{:?}", check().await.map_err(|error| error.to_string()));
}

#[test]
fn the_key_cannot_be_printed_and_must_fit_a_header() {
    let key = ApiKey::new(" sk-secret\n").unwrap();
    assert!(!format!("{key:?} {:?}", Preflight::builder(key.clone())).contains("secret"));
    assert_eq!(key, ApiKey::new("sk-secret").unwrap());
    for bad in ["", "  ", "sk secret", "sk-\u{e9}", "sk-\0"] {
        let error = ApiKey::new(bad).unwrap_err().to_string();
        assert!(!error.contains("sk-"), "{error}");
    }
}
