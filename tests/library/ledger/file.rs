//! What the file holds: nothing secret, nothing needless, and the bill.

use std::path::{Path, PathBuf};

use emo_preflight::emulator::{Fate, Picture};
use emo_preflight::{Ledger, LedgerError, Source, Verdict};

use super::scene::{Fault, Scene, check, sql};

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
async fn local_rejections_and_known_verdicts_cost_no_write() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let gif = scene.emulator.serve("/a.gif", Picture::gif(500, 500));
    let gate = scene.gate().await;
    check(&gate, &portrait).await;
    // Any write now fails.
    for table in ["pace", "attempt", "question"] {
        for statement in ["INSERT", "UPDATE"] {
            let fault = Fault::on(statement, table).in_sqlite();
            let name = format!("TRIGGER fault_{table}_{statement}");
            scene.sql(&fault.replace("TRIGGER fault", &name)).await;
        }
    }
    for _ in 0..3 {
        assert_eq!(check(&gate, &gif).await.verdict, Verdict::RejectedLocal);
        assert!(check(&gate, &portrait).await.from_ledger);
    }
}

#[tokio::test]
async fn the_ledger_holds_no_secret_and_the_answer_as_it_came() {
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
    let images = scene.portraits(8);
    let wrong = Fate::boxes([150.0, 150.0, 250.0, 250.0], [100.0, 100.0, 300.0, 350.0]);
    for (image, fate) in images.iter().zip([
        Fate::judge(),
        Fate::judge(),
        Fate::refused_by_model(),
        Fate::error(400, "InvalidFile.NoHuman"),
        wrong,
        Fate::missing_box(),
        Fate::judge().reset(),
        Fate::without_usage(),
    ]) {
        scene.emulator.script(image, [fate]);
    }
    let gate = scene.gate().await;
    for image in &images {
        check(&gate, image).await;
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

#[tokio::test]
async fn a_ledger_that_cannot_be_used_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("text"), "this is no database, it is a letter ".repeat(40)).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("empty"), "").unwrap();
    sql(&make(&at("foreign")), "CREATE TABLE other (a)").await;
    let newer = at("newer");
    Ledger::open(&newer).await.unwrap().close().await;
    sql(&newer, "UPDATE ledger_schema SET version = 99").await;
    let older = ["older-1", "older-2"].map(at);
    for (path, version) in older.iter().zip(["1", "2"]) {
        let made = "CREATE TABLE ledger_schema (version BIGINT NOT NULL); \
                    INSERT INTO ledger_schema VALUES (";
        sql(&make(path), &format!("{made}{version})")).await;
    }

    for (name, says) in [
        ("text", "not a database"),
        ("folder", "is a directory"),
        ("foreign", "no ledger"),
        ("text/below", "folder cannot be made"),
        (
            "older-1",
            "must have schema version 3, found 1: it is from before the first release, move it away",
        ),
        ("older-2", "must have schema version 3, found 2"),
    ] {
        let error = Ledger::open(at(name)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
        assert!(error.to_string().contains(at(name).to_str().unwrap()), "{error}");
    }
    match Ledger::open(&newer).await {
        Err(LedgerError::Version { found: 99, .. }) => {}
        other => panic!("{other:?}"),
    }
    for path in &older {
        let reading = Ledger::open_read_only(path).await;
        assert!(matches!(reading, Err(LedgerError::Version { .. })), "{reading:?}");
        assert!(Ledger::adopt(path).await.is_err());
    }
    Ledger::open(at("empty")).await.unwrap();
    assert!(Ledger::open_read_only(at("nowhere")).await.unwrap().is_none());
    assert!(!at("nowhere").exists());
}

fn make(path: &Path) -> PathBuf {
    std::fs::write(path, "").unwrap();
    path.to_owned()
}
