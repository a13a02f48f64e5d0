//! Choosing, sorting, links to a view; what markup in results does; how fast, how accessible.

use std::time::{Duration, Instant};

use emo_preflight::emulator::Emulator;
use fantoccini::Locator;
use serde_json::{Value, json};

use super::browser::{Browser, image, result, with_browser};
use crate::rig::{PATIENCE, portrait};

fn some() -> Vec<Value> {
    let reason = |code: &str| json!([{"code": code, "message": format!("because of {code}")}]);
    let certain = json!({"images": 1, "certainty": "certain"});
    vec![
        result(
            0,
            json!({"verdict": "accepted", "image": image(800, 600, 1), "billing": certain,
            "face_bbox": [1, 1, 2, 2], "ext_bbox": [0, 0, 9, 9]}),
        ),
        result(1, json!({"reasons": reason("not_found")})),
        result(
            2,
            json!({"image": image(300, 300, 1), "reasons": reason("shortest_side_below_min"),
            "image_id": "Portrait-4711"}),
        ),
        result(
            3,
            json!({"verdict": "rejected_remote", "image": image(500, 500, 1), "billing": certain,
            "reasons": reason("InvalidFile.NoHuman")}),
        ),
        result(
            4,
            json!({"verdict": "failed", "image": image(640, 640, 1),
            "billing": {"images": 0, "certainty": "unknown"}, "reasons": reason("billing_unknown")}),
        ),
    ]
}

/// Waits until these images are shown.
async fn shows(browser: &Browser, expected: &str) {
    let begun = Instant::now();
    loop {
        let found = numbers(&browser.sources().await);
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "shows {expected:?}, found {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn numbers(sources: &[String]) -> String {
    sources
        .iter()
        .map(|source| source.trim_start_matches("https://x.invalid/").replace(".jpg", ""))
        .collect()
}

#[test]
fn a_view_is_chosen_by_hand_and_by_its_link() {
    with_browser(async |browser| {
        for (fragment, expected) in [
            ("", "01234"),
            ("#verdict=rejected_remote", "3"),
            ("#reason=not_found", "1"),
            ("#verdict=accepted&reason=not_found", ""),
            ("#reason=no_such_code", ""),
            ("#q=portrait-47", "2"),
            ("#q=INVALID%2F4", "4"),
            ("#sort=-index", "43210"),
            ("#sort=size", "12340"),
            ("#sort=-size", "04321"),
            ("#sort=-money", "03412"),
            ("#page=9", "01234"),
        ] {
            browser.show(&some(), fragment).await;
            assert_eq!(numbers(&browser.sources().await), expected, "{fragment}");
        }
        browser.show(&some(), "").await;
        let choose = async |name: &str, value: &str, expected: &str| {
            let control =
                browser.client.find(Locator::Css(&format!("[name={name}]"))).await.unwrap();
            control.select_by_value(value).await.unwrap();
            shows(browser, expected).await;
        };
        choose("verdict", "rejected_local", "12").await;
        choose("sort", "-index", "21").await;
        choose("reason", "not_found", "1").await;
        let search = browser.client.find(Locator::Css("[name=q]")).await.unwrap();
        search.send_keys("nothing").await.unwrap();
        shows(browser, "").await;
        let url = browser.client.current_url().await.unwrap();
        assert_eq!(
            url.fragment(),
            Some("verdict=rejected_local&reason=not_found&q=nothing&sort=-index")
        );
        assert_eq!(
            browser.run("return document.getElementById('found').textContent").await,
            "0 of 5 images"
        );
        // A bar is a link to what it counts.
        browser.show(&some(), "").await;
        browser.run("document.querySelector('.bars a[href=\"#verdict=accepted\"]').click()").await;
        shows(browser, "0").await;
    });
}

#[test]
fn markup_in_results_is_text() {
    with_browser(async |browser| {
        let evil =
            "\"><img src=x onerror=\"window.evil=1\"></script><script>window.evil=1</script><!--";
        let results = [
            result(
                0,
                json!({"source": evil, "image_id": evil, "request_id": evil,
            "reasons": [{"code": evil, "message": evil}]}),
            ),
            result(1, json!({"source": format!("javascript:window.evil=1//{evil}")})),
            result(2, json!({"source": format!("https://x.invalid/{evil}")})),
        ];
        browser.show(&results, "").await;
        browser.run("document.querySelectorAll('a').forEach((a) => a.protocol.startsWith('http') || a.click())").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(browser.run("return window.evil === undefined").await, true);
        let sources = browser.sources().await;
        assert_eq!(sources[0], evil);
        assert_eq!(browser.run("return document.scripts.length").await, 2);
        // Even where markup got in, nothing of it would run.
        let blocked = browser
        .run(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.evil=1\">'); \
             const s = document.createElement('script'); s.textContent = 'window.evil=1'; \
             document.body.append(s); return window.evil === undefined",
        )
        .await;
        assert_eq!(blocked, true);
    });
}

#[test]
fn nothing_is_loaded_but_the_images() {
    with_browser(async |browser| {
        let emu = Emulator::builder().start().await.unwrap();
        let shown = emu.serve("/shown.jpg", portrait());
        let far = emu.serve("/far.jpg", portrait());
        let mut results = some();
        results.truncate(2);
        results[0]["source"] = json!(shown.url());
        // On the next page: not fetched until it is looked at.
        results.extend((2..40).map(|n| result(n, json!({"source": "no url"}))));
        results.push(result(40, json!({"source": far.url()})));
        browser.show(&results, "").await;
        let begun = Instant::now();
        while emu.fetches_of(&shown) == 0 && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!((emu.fetches_of(&shown), emu.fetches_of(&far)), (1, 0));
        let loaded = browser
            .run("return performance.getEntriesByType('resource').map((one) => one.name)")
            .await;
        let loaded: Vec<String> = serde_json::from_value(loaded).unwrap();
        assert!(
            loaded.iter().all(|name| name == shown.url() || name == "https://x.invalid/1.jpg"),
            "{loaded:?}"
        );
    });
}

#[test]
fn fifty_thousand_results_open_and_filter() {
    with_browser(async |browser| {
        let some = some();
        let results: Vec<Value> = (0..50_000)
            .map(|n| {
                let mut one = some[n % 5].clone();
                one["index"] = json!(n);
                one["source"] =
                    json!(format!("https://images.invalid/2026/portraits/{n}.jpg?n={n}"));
                one["request_id"] = json!(format!("c56f62df-724e-9c19-96bd-{n:012}"));
                one
            })
            .collect();
        let path = browser.page(&results);
        let bytes = std::fs::metadata(&path).unwrap().len();
        browser.go(&path, "").await;
        let painted = "return performance.getEntriesByName('first-contentful-paint').length";
        browser.until(painted, 1).await;
        let paint = browser
            .run("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
            .await;
        let ready = browser.run("return performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart").await;
        let filter = "
        const begun = performance.now();
        const control = document.querySelector('[name=NAME]');
        control.value = 'VALUE';
        control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }));
        return [performance.now() - begun, document.getElementById('found').textContent]";
        let mut told = Vec::new();
        for (name, value, found) in [
            ("verdict", "accepted", "10,000"),
            ("verdict", "", "50,000"),
            ("reason", "not_found", "10,000"),
            ("q", "/4999", "2"),
            ("sort", "-size", "2"),
        ] {
            let script = filter.replace("NAME", name).replace("VALUE", value);
            let took = browser.run(&script).await;
            assert_eq!(took[1], format!("{found} of 50,000 images"), "{name}={value}");
            told.push(format!("{name}={value} {:.0} ms", took[0].as_f64().unwrap()));
        }
        // Figures, not limits: a test must not fail for a machine that is busy.
        println!(
            "{bytes} bytes: first paint {paint} ms, all there {ready} ms; {}",
            told.join(", ")
        );
    });
}

#[test]
fn axe_finds_nothing() {
    let Some(axe) = std::env::var_os("EMO_PREFLIGHT_AXE") else {
        println!("NOT RUN: axe-core was not given (EMO_PREFLIGHT_AXE, the path of its axe.min.js)");
        return;
    };
    let axe = std::fs::read_to_string(axe).unwrap();
    with_browser(async |browser| {
        for results in [some(), Vec::new()] {
            browser.show(&results, "").await;
            browser.run(&axe).await;
            let found = browser
            .client
            .execute_async(
                "const done = arguments[arguments.length - 1]; axe.run().then((found) => \
                 done(found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)])))",
                Vec::new(),
            )
            .await
            .unwrap();
            assert_eq!(found, json!([]), "{} results", results.len());
        }
    });
}
