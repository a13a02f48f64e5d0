//! Who answers, at which pace, and which base URLs are one service.

use std::time::Duration;

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use emo_preflight::{AddressPolicy, Certainty, Ledger, Preflight, ProbeOptions};
use emo_preflight::{ApiKey, Report, RunOptions, Source, Verdict};
use futures_util::stream::{self, StreamExt as _};

use super::scene::{KEY, emulator, first_code, gate_on, one_portrait};

fn portraits(emulator: &Emulator, count: usize) -> Vec<Served> {
    (0..count).map(|n| portrait(emulator, n)).collect()
}

/// No two are the same image.
fn portrait(emulator: &Emulator, n: usize) -> Served {
    let width = 400 + u32::try_from(n).unwrap();
    emulator.serve(&format!("/{n}.png"), Picture::png(width, 400))
}

async fn run(gate: &Preflight, images: &[Served], concurrency: usize) -> Vec<Report> {
    let sources: Vec<Source> = images.iter().map(|image| Source::url(image.url())).collect();
    let mut options = RunOptions::default();
    options.concurrency = concurrency;
    gate.run(stream::iter(sources), options).collect().await
}

fn page(status: u16) -> Fate {
    Fate::raw(status, "text/html", "<html>Please log in</html>")
}

#[tokio::test]
async fn three_foreign_answers_in_a_row_stop_a_run_and_nothing_more_is_fetched() {
    for (status, code, certainty) in [
        (404, "not_the_service", Certainty::None),
        (302, "not_the_service", Certainty::None),
        (200, "billing_unknown", Certainty::Unknown),
        (502, "billing_unknown", Certainty::Unknown),
    ] {
        let emulator = emulator().await;
        let images = portraits(&emulator, 20);
        for image in &images {
            emulator.script(image, [page(status)]);
        }
        let gate = gate_on(&emulator).build().await.unwrap();
        let reports = run(&gate, &images, 1).await;
        assert_eq!((reports.len(), emulator.calls()), (20, 3), "{status}");
        for report in &reports[..3] {
            let found = (report.verdict, first_code(report), report.billing.certainty);
            assert_eq!(found, (Verdict::Failed, Some(code), certainty), "{report:?}");
        }
        // The one that stops the run says why, whatever its own bill.
        let said = reports[2].reasons.last().unwrap();
        assert_eq!(
            said.to_string(),
            format!(
                "not_the_service: the base URL {} must lead to the service, found an answer that is \
                 not its JSON (HTTP {status}); give one like https://dashscope.aliyuncs.com/api/v1 \
                 (--base-url, DASHSCOPE_HTTP_BASE_URL)",
                emulator.base_url()
            )
        );
        for report in &reports[3..] {
            assert_eq!(report.verdict, Verdict::Skipped, "{report:?}");
            assert_eq!(first_code(report), Some("not_the_service"));
            assert!(report.reasons[0].message.ends_with(&said.message), "{report:?}");
        }
        assert!(images[3..].iter().all(|image| emulator.fetches_of(image) == 0), "{status}");
        // Nor does a single check call for now, nor another run.
        let next = gate.check(Source::url(images[19].url())).await.unwrap();
        assert_eq!((next.verdict, first_code(&next)), (Verdict::Skipped, Some("not_the_service")));
        let spent = gate.close().await;
        assert_eq!((spent.calls, emulator.calls()), (3, 3), "{status}");
        let unknown = if certainty == Certainty::Unknown { 3 } else { 0 };
        assert_eq!((spent.images, spent.unknown), (0, unknown), "{status}");
    }
}

#[tokio::test]
async fn an_answer_of_the_service_ends_a_row_and_waiting_is_no_answer() {
    let emulator = emulator().await;
    let images = portraits(&emulator, 9);
    for (image, fates) in images.iter().zip([
        vec![page(404)],
        vec![page(502)],
        // Whatever it says.
        vec![Fate::error(400, "InvalidParameter")],
        vec![page(302)],
        vec![page(429).with_header("retry-after", "0")],
        vec![page(404)],
        vec![Fate::judge().cut_off()],
    ]) {
        emulator.script(image, fates);
    }
    let gate = gate_on(&emulator).build().await.unwrap();
    let reports = run(&gate, &images, 1).await;
    let codes: Vec<_> = reports.iter().map(first_code).collect();
    let (foreign, unknown) = (Some("not_the_service"), Some("billing_unknown"));
    let refused = Some("InvalidParameter");
    assert_eq!(
        codes,
        [foreign, unknown, refused, foreign, None, foreign, unknown, None, None],
        "{reports:?}"
    );
    emulator.finish();
}

/// What is under way when the third answer comes is all that is called for beyond it.
#[tokio::test]
async fn of_many_at_a_time_only_those_under_way_are_called_for() {
    let emulator = emulator().await;
    let images = portraits(&emulator, 60);
    for image in &images {
        emulator.script(image, [page(404).late(Duration::from_millis(300))]);
    }
    let gate = gate_on(&emulator).calls_per_second(20.0).build().await.unwrap();
    let reports = run(&gate, &images, 64).await;
    let failed = reports.iter().filter(|report| report.verdict == Verdict::Failed).count() as u64;
    assert_eq!(emulator.calls(), failed);
    assert!(failed < 60, "{failed}");
    assert!(reports.iter().all(|report| report.reasons[0].code.as_str() == "not_the_service"));
}

/// However a run is throttled, it comes down to what the service takes and is refused no more.
#[tokio::test]
async fn the_pace_comes_down_to_what_the_service_takes() {
    let emulator = Emulator::builder().api_key(KEY).rps(Some(5)).start().await.unwrap();
    let images = portraits(&emulator, 30);
    let gate = gate_on(&emulator).calls_per_second(50.0).build().await.unwrap();
    assert_eq!(gate.activity().calls_per_second, 50.0);
    let reports = run(&gate, &images, 64).await;
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    let throttled = gate.activity().throttled;
    assert_eq!(throttled, emulator.calls() - 30, "each refusal is counted");
    // Four halvings, and what had left or was booked by then.
    assert!((1..=30).contains(&throttled), "{throttled}");
    let before = gate.activity();
    assert!((5.0..50.0).contains(&before.calls_per_second), "{before:?}");
    // It stays there. On a machine that is slower than the pace it may not have come all the way.
    if before.calls_per_second == 5.0 {
        let more: Vec<_> = (30..42).map(|n| portrait(&emulator, n)).collect();
        run(&gate, &more, 64).await;
        let after = gate.activity();
        assert_eq!(after.calls_per_second, 5.0);
        // A call that a busy machine sends late may still come too close to the next.
        assert!(after.throttled <= before.throttled + 2, "{after:?}");
    }
}

/// A name says that two base URLs are one service; without it another URL is another service.
#[tokio::test]
async fn a_name_makes_two_base_urls_one_service() {
    let (first, portrait) = one_portrait().await;
    let second = emulator().await;
    let elsewhere = second.elsewhere(portrait.url());
    let ledger = Ledger::in_memory();
    let gate = |emulator: &Emulator| {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        Preflight::builder(ApiKey::new(KEY).unwrap())
            .base_url(emulator.base_url())
            .probe(probe)
            .ledger(ledger.clone())
    };
    let ask = async |gate: Preflight| gate.check(Source::url(portrait.url())).await.unwrap();
    assert!(!ask(gate(&first).service("ours").build().await.unwrap()).await.from_ledger);
    let slash = format!("{}/", first.base_url());
    assert!(ask(gate(&second).service("ours").build().await.unwrap()).await.from_ledger);
    assert_eq!((first.calls(), second.calls()), (1, 0));
    // Under its own name it is another one, however its base URL is spelt.
    assert!(!ask(gate(&first).build().await.unwrap()).await.from_ledger);
    assert!(ask(gate(&first).base_url(slash).build().await.unwrap()).await.from_ledger);
    assert!(!ask(gate(&second).build().await.unwrap()).await.from_ledger);
    assert_eq!((first.calls(), second.calls_for(&elsewhere)), (2, 1));
}
