//! How the whole of an image is fetched for the screen.

use std::time::Duration;

use emo_preflight::{
    AddressPolicy, FaceScreen, Probe, ProbeOptions, Report, ScreenAction, Source, Verdict,
};

use super::draw::{jpeg, landscape, png, portrait};
use crate::common::{
    Origin, Request, Step, answer, gzip, head, in_a_span, ranged, ranged_with, redirect, status,
    whole,
};

fn options() -> ProbeOptions {
    let mut options = ProbeOptions::default();
    options.addresses = AddressPolicy::Any;
    options.face_screen(FaceScreen::new().action(ScreenAction::Reject))
}

async fn check<F>(options: ProbeOptions, script: F) -> (Report, Vec<Request>)
where
    F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
{
    let origin = Origin::start(script).await;
    let report = Probe::new(options).unwrap().check(Source::url(origin.url("image"))).await;
    (report, origin.requests())
}

#[tokio::test]
async fn it_goes_on_where_the_header_stopped() {
    let file = png(portrait(640, 800));
    let (length, shared) = (file.len(), file.clone());
    let (report, requests) =
        check(options(), move |r| ranged_with(r, &shared, &["ETag: \"one\""])).await;
    assert_eq!(report.verdict, Verdict::Eligible);
    assert!(report.screen.is_some());
    let fetch = report.fetch.unwrap();
    assert_eq!((fetch.requests, fetch.bytes), (2, length as u64), "no byte twice");
    let ranges: Vec<_> = requests.iter().map(Request::range).collect();
    assert_eq!(ranges, [Some((0, 4_095)), Some((4_096, length - 1))]);
    // A file that has changed must not be joined.
    assert_eq!(requests[1].header("if-range"), Some("\"one\""));
}

#[tokio::test]
async fn a_small_file_needs_no_more_than_its_header() {
    let file = png(image::GrayImage::new(400, 400));
    assert!(file.len() < 4_096);
    let (report, requests) = check(options(), move |r| ranged(r, &file)).await;
    assert_eq!(report.reasons[0].code.as_str(), "no_face");
    assert_eq!(requests.len(), 1);
}

#[tokio::test]
async fn what_is_in_doubt_passes_and_what_is_sure_does_not() {
    let hills = jpeg(landscape(1_600, 1_200));
    let rest = |r: &Request| r.range().is_none_or(|(first, _)| first > 0);
    type Script = Box<dyn Fn(&Request) -> Vec<Step> + Send + Sync>;
    let with = |after: fn(&Request, &[u8]) -> Vec<Step>| -> Script {
        let file = hills.clone();
        Box::new(move |r| if rest(r) { after(r, &file) } else { ranged(r, &file) })
    };
    let all = |all: fn(&Request, &[u8]) -> Vec<Step>| -> Script {
        let file = hills.clone();
        Box::new(move |r| all(r, &file))
    };
    for (name, script, expected) in [
        ("ranges", all(ranged), "rejected_local no_face"),
        ("no ranges", all(|_, file| whole(file)), "rejected_local no_face"),
        ("ranges once only", with(|_, file| whole(file)), "rejected_local no_face"),
        (
            "compressed",
            all(|_, file| answer("200 OK", &["Content-Encoding: gzip"], &gzip(file))),
            "rejected_local no_face",
        ),
        (
            "a redirect for the rest",
            with(|r, file| match r.path.as_str() {
                "/image" => redirect("/elsewhere"),
                _ => ranged(r, file),
            }),
            "rejected_local no_face",
        ),
        (
            "broken off at first",
            with(|r, file| match r.index {
                1 => {
                    let mut steps = ranged(r, file);
                    if let Some(Step::Bytes(bytes)) = steps.first_mut() {
                        bytes.truncate(9_000);
                    }
                    steps.push(Step::Close);
                    steps
                }
                _ => ranged(r, file),
            }),
            "rejected_local no_face",
        ),
        ("gone meanwhile", with(|_, _| status("404 Not Found")), "rejected_local not_found"),
        ("forbidden", with(|_, _| status("403 Forbidden")), "eligible"),
        ("never the rest", with(|_, _| vec![Step::Hang]), "eligible"),
        (
            "a dribble",
            with(|_, _| {
                let head = head("206 Partial Content", &["Content-Range: bytes 4096-99999/100000"]);
                vec![Step::Bytes(head), Step::Forever(vec![0], Duration::from_millis(20))]
            }),
            "eligible",
        ),
    ] {
        let script = std::sync::Arc::new(script);
        in_a_span(async |span| {
            let mut options = options();
            options.progress_timeout = span;
            let script = std::sync::Arc::clone(&script);
            let (report, _) = check(options, move |r| script(r)).await;
            let code = report.reasons.first().map(|reason| format!(" {}", reason.code));
            let found = format!("{}{}", report.verdict, code.unwrap_or_default());
            match (found == expected, report.screen.is_some() == expected.ends_with("no_face")) {
                (true, true) => Ok(()),
                _ => Err(format!("{name}: {report:?}")),
            }
        })
        .await;
    }
}

#[tokio::test]
async fn more_than_20_mib_are_neither_fetched_nor_looked_at() {
    let mut file = jpeg(landscape(640, 480));
    file.resize(21 * 1_024 * 1_024, 0);
    let said = file.clone();
    let (report, requests) = check(options(), move |r| ranged(r, &said)).await;
    assert_eq!((report.verdict, report.screen, requests.len()), (Verdict::Eligible, None, 1));
    // Where nobody says how long it is, as much is taken.
    let endless = file[..64 * 1_024].to_vec();
    let (report, _) = check(options(), move |_| {
        let head = head("200 OK", &["Connection: close"]);
        let mut steps = vec![Step::Bytes(head), Step::Bytes(endless.clone())];
        steps.push(Step::Forever(vec![0; 256 * 1_024], Duration::ZERO));
        steps
    })
    .await;
    assert_eq!((report.verdict, report.screen), (Verdict::Eligible, None));
    let bytes = report.fetch.unwrap().bytes;
    assert!((20 << 20..=21 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn an_image_that_became_another_is_judged_as_the_new_one() {
    for (new, code) in
        [(landscape(800, 640), "no_face"), (landscape(800, 300), "shortest_side_below_min")]
    {
        became_another(new, code).await;
    }
}

async fn became_another(new: image::RgbImage, code: &str) {
    let sides = new.dimensions();
    let (old, new) = (jpeg(portrait(640, 800)), jpeg(new));
    let (report, _) = check(options(), move |r| match r.index {
        0 => ranged_with(r, &old, &["ETag: \"old\""]),
        _ if r.header("if-range") == Some("\"old\"") => answer("200 OK", &["ETag: \"new\""], &new),
        _ => ranged_with(r, &new, &["ETag: \"new\""]),
    })
    .await;
    assert_eq!(report.verdict, Verdict::RejectedLocal);
    let image = report.image.unwrap();
    assert_eq!((image.width, image.height), sides);
    let codes: Vec<&str> = report.reasons.iter().map(|reason| reason.code.as_str()).collect();
    assert_eq!(codes, [code]);
}
