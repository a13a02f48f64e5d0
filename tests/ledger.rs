//! Books on disk: what is known is given again, what may be billed is not repeated, and the quota
//! and the cap hold, over gates that share one file as processes do.

#![cfg(all(feature = "ledger", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use emo_preflight::emulator::{Emulator, Fate, Picture, Served};
use emo_preflight::{
    AddressPolicy, ApiKey, AspectRatio, Certainty, GateError, Ledger, LedgerError, Preflight,
    PreflightBuilder, ProbeOptions, Report, RunOptions, Source, Verdict,
};
use futures_util::stream::{self, StreamExt as _};
use sqlx::Connection as _;

/// An emulator and a folder for a ledger.
struct Scene {
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::at_rate(None).await
    }

    async fn at_rate(rps: Option<u32>) -> Self {
        let emulator = Emulator::builder().rps(rps).start().await.unwrap();
        Self { emulator, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    fn portrait(&self, name: &str) -> Served {
        self.emulator.serve(&format!("/{name}"), Picture::png(400, 400))
    }

    fn portraits(&self, count: usize) -> Vec<Served> {
        (0..count).map(|n| self.portrait(&format!("{n}.png"))).collect()
    }

    /// A gate with a handle on the books of its own, as another process has.
    async fn gate_with(
        &self,
        change: impl FnOnce(PreflightBuilder) -> PreflightBuilder,
    ) -> Preflight {
        let mut probe = ProbeOptions::default();
        probe.addresses = AddressPolicy::Any;
        let builder = Preflight::builder(ApiKey::new("sk-test").unwrap())
            .base_url(self.emulator.base_url())
            .ledger(Ledger::open(self.path()).await.unwrap())
            .calls_per_second(200.0)
            .probe(probe);
        change(builder).build().await.unwrap()
    }

    async fn gate(&self) -> Preflight {
        self.gate_with(|builder| builder).await
    }

    async fn sql(&self, statements: &str) {
        sql(&self.path(), statements).await;
    }
}

async fn sql(path: &Path, statements: &str) {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn number(path: &Path, query: &'static str) -> i64 {
    let url = format!("sqlite://{}", path.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let found = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    found
}

async fn check(gate: &Preflight, picture: &Served) -> Report {
    gate.check(Source::url(picture.url())).await.unwrap()
}

fn code(report: &Report) -> Option<&str> {
    report.reasons.first().map(|reason| reason.code.as_str())
}

fn sources(pictures: &[Served]) -> impl futures_util::Stream<Item = Source> + Send + use<> {
    stream::iter(pictures.iter().map(|p| Source::url(p.url())).collect::<Vec<_>>())
}

/// Each kind of answer, whether it is given again, and what it adds to the sums.
#[tokio::test]
async fn what_was_answered_is_given_again_by_the_next_process() {
    let wrong = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 350.0]);
    for (fate, verdict, kept) in [
        (Fate::judge(), "accepted", true),
        (Fate::without_usage(), "accepted", true),
        (Fate::refused_by_model(), "rejected_remote", true),
        (Fate::refused_with("InvalidFile.FacePose"), "rejected_remote", true),
        (Fate::error(400, "InvalidFile.NoHuman"), "rejected_remote", true),
        (Fate::error_in_output(400, "InvalidFile.NoHuman"), "rejected_remote", true),
        (wrong, "box_mismatch", true),
        (Fate::missing_box(), "failed", true),
        (Fate::error_with_usage(500, "InternalError"), "failed", true),
        (Fate::html_504(), "failed", true),
        (Fate::malformed_json(), "failed", true),
        (Fate::judge().reset(), "failed", true),
        (Fate::judge().cut_off(), "failed", true),
        (Fate::error(400, "InvalidParameter"), "failed", false),
        (Fate::error(418, "Something.New"), "failed", false),
    ] {
        let scene = Scene::new().await;
        let portrait = scene.portrait("face.png");
        scene.emulator.script(&portrait, [fate.clone()]);
        let gate = scene.gate().await;
        let first = check(&gate, &portrait).await;
        assert_eq!((first.verdict.as_str(), first.from_ledger), (verdict, false), "{fate:?}");
        gate.close().await;
        drop(gate);

        let second = check(&scene.gate().await, &portrait).await;
        assert_eq!(second.from_ledger, kept, "{fate:?}: {second:?}");
        assert_eq!(scene.emulator.calls(), if kept { 1 } else { 2 }, "{fate:?}");
        if kept {
            assert_eq!(second.verdict, first.verdict, "{fate:?}");
            assert_eq!(code(&second), code(&first), "{fate:?}");
            assert_eq!((second.billing, second.request_id), (first.billing, first.request_id));
        }
    }
}

#[tokio::test]
async fn equal_questions_of_several_processes_at_once_are_one_call() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().late(Duration::from_millis(400))]);
    let gates = [scene.gate().await, scene.gate().await, scene.gate().await];
    let checks = gates.iter().cycle().take(12).map(|gate| check(gate, &portrait));
    let reports = futures_util::future::join_all(checks).await;
    assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (1, 1));
    assert_eq!(reports.iter().filter(|report| !report.from_ledger).count(), 1);
    assert!(reports.iter().all(|report| report.verdict == reports[0].verdict), "{reports:?}");
    scene.emulator.finish();
}

#[tokio::test]
async fn a_batch_shared_by_processes_is_paid_for_once() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(60);
    let gates = [scene.gate().await, scene.gate().await, scene.gate().await];
    let runs = gates
        .iter()
        .map(|gate| gate.run(sources(&pictures), RunOptions::default()).collect::<Vec<Report>>());
    let reports = futures_util::future::join_all(runs).await.concat();
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(reports.iter().filter(|report| !report.from_ledger).count(), 60);
    assert_eq!((scene.emulator.calls(), scene.emulator.billed()), (60, 60));
}

#[tokio::test]
async fn an_unknown_bill_is_asked_again_once_and_only_when_told_to() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().reset(), Fate::judge().cut_off()]);
    assert_eq!(code(&check(&scene.gate().await, &portrait).await), Some("billing_unknown"));
    // A changed picture changes nothing.
    scene.emulator.serve("/face.png", Picture::png(500, 500));
    let again = check(&scene.gate().await, &portrait).await;
    assert_eq!((code(&again), again.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 1);

    let retry = scene.gate_with(|builder| builder.retry_unknown(true)).await;
    for _ in 0..3 {
        assert_eq!(code(&check(&retry, &portrait).await), Some("billing_unknown"));
        assert_eq!(scene.emulator.calls(), 2, "the new unknown is not asked again");
    }
    let later = scene.gate_with(|builder| builder.retry_unknown(true)).await;
    assert_eq!(check(&later, &portrait).await.verdict.as_str(), "accepted");
    assert_eq!(scene.emulator.calls(), 3);
    scene.emulator.finish();
}

/// What an attempt that came to nothing finds, it leaves: a verdict stays known and an unknown bill
/// unknown.
#[tokio::test]
async fn a_refused_attempt_leaves_what_was_known_before() {
    let scene = Scene::new().await;
    let (settled, unknown) = (scene.portrait("settled.png"), scene.portrait("unknown.png"));
    scene.emulator.script(&settled, [Fate::judge(), Fate::error(403, "AccessDenied")]);
    scene.emulator.script(&unknown, [Fate::judge().reset(), Fate::error(403, "AccessDenied")]);
    let gate = scene.gate().await;
    check(&gate, &settled).await;
    check(&gate, &unknown).await;
    let again = |builder: PreflightBuilder| {
        builder.ledger_max_age(Duration::from_millis(1)).retry_unknown(true)
    };
    for picture in [&settled, &unknown] {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let refused = check(&scene.gate_with(again).await, picture).await;
        assert_eq!((code(&refused), refused.from_ledger), (Some("AccessDenied"), false));
    }
    assert_eq!(scene.emulator.calls(), 4);
    let plain = scene.gate().await;
    let report = check(&plain, &settled).await;
    assert_eq!((report.verdict.as_str(), report.from_ledger), ("accepted", true));
    let report = check(&plain, &unknown).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 4, "nothing was asked again");
    scene.emulator.finish();
}

#[tokio::test]
async fn what_makes_a_new_question() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let url = portrait.url().to_owned();
    check(&scene.gate().await, &portrait).await;

    let rotated = Preflight::builder(ApiKey::new("sk-rotated").unwrap())
        .base_url(scene.emulator.base_url())
        .ledger(Ledger::open(scene.path()).await.unwrap())
        .probe({
            let mut probe = ProbeOptions::default();
            probe.addresses = AddressPolicy::Any;
            probe
        })
        .build()
        .await
        .unwrap();
    assert!(check(&rotated, &portrait).await.from_ledger, "a rotated key buys nothing anew");
    assert!(
        scene
            .gate()
            .await
            .check(Source::url(format!("{url}?Signature=x")))
            .await
            .unwrap()
            .from_ledger
    );
    assert_eq!(scene.emulator.calls(), 1);

    let portrait_ratio = Source::url(&url).ratio(AspectRatio::Portrait);
    assert!(!scene.gate().await.check(portrait_ratio).await.unwrap().from_ledger);
    let model = scene.gate_with(|builder| builder.model("another")).await;
    assert_eq!(code(&check(&model, &portrait).await), Some("ModelNotFound"));
    let elsewhere = Emulator::builder().start().await.unwrap();
    let base = elsewhere.base_url();
    let moved = scene.gate_with(|builder| builder.base_url(base)).await;
    assert!(!check(&moved, &portrait).await.from_ledger);
    assert_eq!(elsewhere.calls(), 1);

    let before = scene.emulator.calls();
    scene.emulator.serve("/face.png", Picture::png(500, 500));
    assert!(!check(&scene.gate().await, &portrait).await.from_ledger, "the picture has changed");
    assert_eq!(scene.emulator.calls(), before + 1);

    let aged = scene.gate_with(|builder| builder.ledger_max_age(Duration::from_millis(1))).await;
    assert!(!check(&aged, &portrait).await.from_ledger, "the verdict is too old");
}

#[tokio::test]
async fn the_cap_is_exact_over_processes_and_restarts() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(30);
    // Unbilled calls give their place back; unknown ones keep it.
    for picture in &pictures[..4] {
        scene.emulator.script(picture, [Fate::error(400, "InvalidParameter")]);
    }
    scene.emulator.script(&pictures[5], [Fate::judge().reset()]);
    // An accepted picture whose answer carries no bill may have been billed all the same.
    scene.emulator.script(&pictures[6], [Fate::without_usage()]);
    let capped = |builder: PreflightBuilder| builder.max_calls(10).run_id("night");
    let (first, second) = (scene.gate_with(capped).await, scene.gate_with(capped).await);
    let run = |gate: &Preflight| {
        gate.run(sources(&pictures), RunOptions::default()).collect::<Vec<Report>>()
    };
    let (a, b) = tokio::join!(run(&first), run(&second));
    assert_eq!(scene.emulator.billed(), 10);
    for reports in [&a, &b] {
        assert_eq!(reports.len(), 30);
        let skipped: Vec<_> = reports.iter().filter(|r| r.verdict == Verdict::Skipped).collect();
        assert!(skipped.iter().all(|report| code(report) == Some("cap_reached")));
        assert!(!skipped.is_empty());
    }
    // A restart of the same run has nothing left; another run has.
    let again = run(&scene.gate_with(capped).await).await;
    assert_eq!(scene.emulator.billed(), 10);
    assert!(again.iter().any(|report| report.from_ledger));
    run(&scene.gate_with(|builder| builder.max_calls(3).run_id("day")).await).await;
    assert_eq!(scene.emulator.billed(), 13);
}

#[tokio::test]
async fn a_single_check_over_the_cap_is_skipped_with_the_reason() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(2);
    let gate = scene.gate_with(|builder| builder.max_calls(1)).await;
    assert_eq!(check(&gate, &pictures[0]).await.verdict.as_str(), "accepted");
    let over = check(&gate, &pictures[1]).await;
    assert_eq!((over.verdict, code(&over)), (Verdict::Skipped, Some("cap_reached")));
    assert!(check(&gate, &pictures[0]).await.from_ledger, "what is known needs no place");
}

/// Several processes, as fast as the quota lets them: the emulator refuses the sixth call of any
/// strict second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_used_and_never_exceeded_by_three_processes() {
    let scene = Scene::at_rate(Some(5)).await;
    let pictures = scene.portraits(40);
    let paced = |builder: PreflightBuilder| builder.calls_per_second(5.0);
    let gates =
        [scene.gate_with(paced).await, scene.gate_with(paced).await, scene.gate_with(paced).await];
    let begun = Instant::now();
    let runs = gates
        .iter()
        .map(|gate| gate.run(sources(&pictures), RunOptions::default()).collect::<Vec<Report>>());
    let reports = futures_util::future::join_all(runs).await.concat();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(reports.iter().all(|report| report.verdict.as_str() == "accepted"));
    assert_eq!(scene.emulator.calls(), 40, "none was refused and repeated");
    assert!(gates.iter().all(|gate| gate.activity().throttled == 0));
    // 39 spacings of at least 0.2 s.
    assert!(seconds >= 7.8, "{seconds}");
}

#[tokio::test]
async fn the_file_is_private_and_its_place_is_made() {
    let scene = Scene::new().await;
    let path = scene.folder.path().join("a").join("b").join("ledger.db");
    let _ledger = Ledger::open(&path).await.unwrap();
    #[cfg(unix)]
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-owners"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn a_ledger_that_cannot_be_used_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), "this is no database, it is a letter ".repeat(40)).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    sql(&make(&at("foreign")), "CREATE TABLE other (a)").await;
    let newer = at("newer");
    drop(Ledger::open(&newer).await.unwrap());
    sql(&newer, "UPDATE ledger_schema SET version = 99").await;

    for (name, says) in [
        ("text", "not a database"),
        ("folder", "is a directory"),
        ("foreign", "no ledger"),
        ("text/below", "folder cannot be made"),
    ] {
        let error = Ledger::open(at(name)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert!(error.to_string().contains(at(name).to_str().unwrap()), "{error}");
    }
    match Ledger::open(&newer).await {
        Err(LedgerError::Newer { found: 99, .. }) => {}
        other => panic!("{other:?}"),
    }
    Ledger::open(at("empty")).await.unwrap();
    assert!(Ledger::open_read_only(at("nowhere")).await.unwrap().is_none());
    assert!(!at("nowhere").exists());
}

fn make(path: &Path) -> PathBuf {
    std::fs::write(path, "").unwrap();
    path.to_owned()
}

/// A fault at each write of an intent, its commit included: no call leaves.
#[tokio::test]
async fn no_call_leaves_on_a_failed_intent() {
    for fault in [
        fail_on("INSERT", "pace"),
        fail_on("INSERT", "attempt"),
        fail_on("INSERT", "question"),
        fail_commit_on("INSERT", "attempt"),
        fail_commit_on("INSERT", "question"),
    ] {
        let scene = Scene::new().await;
        let pictures = scene.portraits(5);
        let gate = scene.gate().await;
        scene.sql(&fault).await;
        match gate.check(Source::url(pictures[0].url())).await {
            Err(error @ GateError::Ledger(_)) => assert!(!error.may_have_been_billed()),
            other => panic!("{fault}: {other:?}"),
        }
        let reports: Vec<Report> =
            gate.run(sources(&pictures), RunOptions::default()).collect().await;
        assert_eq!(reports.len(), 5, "{fault}");
        for report in &reports {
            assert_eq!(code(report), Some("ledger_error"), "{fault}: {report:?}");
            assert_eq!(report.billing.certainty, Certainty::None);
        }
        assert!(reports.iter().any(|report| report.verdict == Verdict::Failed));
        assert_eq!(scene.emulator.calls(), 0, "{fault}");
        // Mended, all goes on where it was.
        scene.sql("DROP TRIGGER fault").await;
        assert_eq!(check(&gate, &pictures[0]).await.verdict.as_str(), "accepted", "{fault}");
    }
}

/// Books that cannot be read any more end a run like books that cannot be written.
#[tokio::test]
async fn no_call_leaves_when_the_books_cannot_be_read() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(6);
    let gate = scene.gate().await;
    scene.sql("ALTER TABLE question RENAME TO elsewhere").await;
    let mut options = RunOptions::default();
    options.concurrency = 2;
    let reports: Vec<Report> = gate.run(sources(&pictures), options).collect().await;
    assert_eq!(reports.len(), 6);
    assert!(reports.iter().all(|report| code(report) == Some("ledger_error")), "{reports:?}");
    assert!(reports.iter().any(|report| report.verdict == Verdict::Skipped));
    assert_eq!(scene.emulator.calls(), 0);
}

/// A fault at each write of an answer that passes: the answer waits, nothing else leaves.
#[tokio::test]
async fn an_answer_that_cannot_be_written_holds_everything_until_it_is() {
    for fault in [
        fail_on("UPDATE", "attempt"),
        fail_on("UPDATE", "question"),
        fail_commit_on("UPDATE", "attempt"),
        fail_commit_on("UPDATE", "question"),
    ] {
        let scene = Scene::new().await;
        let pictures = scene.portraits(3);
        scene.emulator.script(&pictures[0], [Fate::judge().late(Duration::from_millis(300))]);
        let gate = scene.gate().await;
        let first = tokio::spawn(gate.check(Source::url(pictures[0].url())));
        while scene.emulator.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        scene.sql(&fault).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let second = tokio::spawn(gate.check(Source::url(pictures[1].url())));
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(scene.emulator.calls(), 1, "{fault}: a call left while an answer was unwritten");
        assert!(!first.is_finished() && !second.is_finished());
        scene.sql("DROP TRIGGER fault").await;
        for report in [first.await, second.await] {
            assert_eq!(report.unwrap().unwrap().verdict.as_str(), "accepted", "{fault}");
        }
        let again = check(&scene.gate().await, &pictures[0]).await;
        assert!(again.from_ledger, "{fault}");
        assert_eq!(scene.emulator.billed(), 2);
    }
}

/// A fault that stays: the bill is known from the report, the run stops, nothing more leaves.
#[tokio::test]
async fn an_answer_that_cannot_be_written_at_all_is_reported_with_its_bill() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(4);
    scene.emulator.script(&pictures[0], [Fate::judge().late(Duration::from_millis(300))]);
    let gate = scene.gate().await;
    let mut options = RunOptions::default();
    options.concurrency = 1;
    let run = tokio::spawn(gate.run(sources(&pictures), options).collect::<Vec<Report>>());
    while scene.emulator.calls() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.sql(&fail_on("UPDATE", "attempt")).await;
    let reports = run.await.unwrap();
    assert_eq!((reports[0].verdict, code(&reports[0])), (Verdict::Failed, Some("ledger_error")));
    assert_eq!((reports[0].billing.images, reports[0].billing.certainty), (1, Certainty::Certain));
    assert!(
        reports[1..]
            .iter()
            .all(|r| r.verdict == Verdict::Skipped && code(r) == Some("ledger_error"))
    );
    assert_eq!(scene.emulator.calls(), 1);
}

/// A trigger that makes a statement fail.
fn fail_on(statement: &str, table: &str) -> String {
    format!(
        "CREATE TRIGGER fault BEFORE {statement} ON {table} \
         BEGIN SELECT RAISE(ABORT, 'no space left on the test'); END"
    )
}

/// A trigger that lets a statement pass and makes its transaction's commit fail.
fn fail_commit_on(statement: &str, table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY); \
         CREATE TABLE IF NOT EXISTS child \
         (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED); \
         CREATE TRIGGER fault AFTER {statement} ON {table} \
         BEGIN INSERT INTO child VALUES (7); END"
    )
}

#[tokio::test]
async fn local_rejections_and_known_verdicts_cost_no_write() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let gif = scene.emulator.serve("/a.gif", Picture::gif(500, 500));
    let gate = scene.gate().await;
    check(&gate, &portrait).await;
    // Any write now fails.
    for table in ["pace", "attempt", "question"] {
        for statement in ["INSERT", "UPDATE"] {
            let name = format!("fault_{table}_{statement}");
            scene.sql(&fail_on(statement, table).replace("fault", &name)).await;
        }
    }
    for _ in 0..3 {
        assert_eq!(check(&gate, &gif).await.verdict, Verdict::RejectedLocal);
        assert!(check(&gate, &portrait).await.from_ledger);
    }
}

#[tokio::test]
async fn the_books_hold_no_secret_and_the_answer_as_it_came() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::raw(200, "text/html", "<html>what is this</html>")]);
    let url = portrait.url().replace("http://", "http://user:pass-sentinel@");
    let gate = scene.gate().await;
    gate.check(Source::url(format!("{url}?token=query-sentinel"))).await.unwrap();
    gate.close().await;
    drop(gate);
    let mut everything = Vec::new();
    for entry in std::fs::read_dir(scene.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            everything.extend(std::fs::read(path).unwrap());
        }
    }
    let text = String::from_utf8_lossy(&everything);
    assert!(text.contains("what is this"), "the answer is kept raw");
    for secret in ["pass-sentinel", "query-sentinel", "sk-test"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn spending_is_summed_as_the_bill_is() {
    let scene = Scene::new().await;
    let pictures = scene.portraits(8);
    let wrong = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 350.0]);
    for (picture, fate) in pictures.iter().zip([
        Fate::judge(),
        Fate::judge(),
        Fate::refused_by_model(),
        Fate::error(400, "InvalidFile.NoHuman"),
        wrong,
        Fate::missing_box(),
        Fate::judge().reset(),
        Fate::without_usage(),
    ]) {
        scene.emulator.script(picture, [fate]);
    }
    let gate = scene.gate().await;
    for picture in &pictures {
        check(&gate, picture).await;
    }
    let ledger = Ledger::open_read_only(scene.path()).await.unwrap().unwrap();
    let spend = ledger.spend(None, None).await.unwrap();
    let total = spend.total();
    assert_eq!(
        [total.accepted, total.rejected_billed, total.refused, total.box_mismatch],
        [3, 1, 1, 1]
    );
    assert_eq!([total.failed_billed, total.unknown], [1, 2]);
    assert_eq!([total.images_certain, total.images_at_most], [5, 7]);
    // The vendor's count lies between.
    assert!((5..=7).contains(&scene.emulator.billed()));
    assert_eq!(ledger.unknown_calls().await.unwrap().len(), 2);
    assert_eq!(gate.spent().images, 5);

    // By Beijing days: 16:00 UTC is midnight there.
    scene.sql("UPDATE attempt SET slot_us = 1790006400000000 - 1 WHERE verdict = 'accepted'").await;
    scene.sql("UPDATE attempt SET slot_us = 1790006400000000 WHERE verdict <> 'accepted'").await;
    let day = 1_790_006_400_000_000_i64.div_euclid(86_400_000_000);
    let spend = ledger.spend(None, None).await.unwrap();
    let by_day: Vec<_> =
        spend.days.iter().map(|d| (d.day - day, d.accepted, d.images_certain)).collect();
    assert_eq!(by_day, [(0, 3, 2), (1, 0, 3)]);
    assert_eq!(ledger.spend(Some(day + 1), None).await.unwrap().total().accepted, 0);
    assert_eq!(ledger.spend(None, Some(day)).await.unwrap().total().accepted, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_of_a_process_that_ended_without_a_word_are_unknown() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    scene.emulator.script(&portrait, [Fate::judge().late(Duration::from_secs(20))]);
    // A runtime that is torn down under its call, as when a process dies.
    let (path, base, url) = (scene.path(), scene.emulator.base_url(), portrait.url().to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut probe = ProbeOptions::default();
            probe.addresses = AddressPolicy::Any;
            let gate = Preflight::builder(ApiKey::new("sk-test").unwrap())
                .base_url(base)
                .ledger(Ledger::open(&path).await.unwrap())
                .probe(probe)
                .build()
                .await
                .unwrap();
            let check = gate.check(Source::url(url));
            let _ = tokio::time::timeout(Duration::from_secs(1), check).await;
        });
        runtime.shutdown_background();
    })
    .join()
    .unwrap();
    assert_eq!(scene.emulator.calls(), 1);
    let report = check(&scene.gate().await, &portrait).await;
    assert_eq!((code(&report), report.from_ledger), (Some("billing_unknown"), true));
    assert_eq!(scene.emulator.calls(), 1);
    assert_eq!(
        number(&scene.path(), "SELECT COUNT(*) FROM attempt WHERE state = 'unknown'").await,
        1
    );
}
