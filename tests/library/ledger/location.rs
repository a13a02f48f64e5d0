//! Where a ledger may lie: what is one ledger by one name and what is not, and what is left of it at
//! the end.

use std::path::{Path, PathBuf};

use emo_preflight::{GateError, Ledger, LedgerError, Source};

use super::scene::{Scene, check, code};

/// The files of a folder, by their names.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn owners(path: &Path) -> PathBuf {
    path.with_file_name("ledger.db-owners")
}

#[tokio::test]
async fn a_closed_ledger_is_one_file_and_a_copy_of_it_knows_every_call() {
    let scene = Scene::new().await;
    let portraits = scene.portraits(3);
    let ledger = Ledger::open(scene.path()).await.unwrap();
    assert!(ledger.is_empty().await.unwrap());
    let gate = scene.gate_with(|builder| builder.ledger(ledger.clone())).await;
    for portrait in &portraits {
        check(&gate, portrait).await;
    }
    assert!(!ledger.is_empty().await.unwrap());
    gate.close().await;
    ledger.close().await;
    assert!(!scene.path().with_file_name("ledger.db-wal").exists());

    // Only read, it stays so.
    let reading = Ledger::open_read_only(scene.path()).await.unwrap().unwrap();
    assert_eq!(reading.spend(None, None).await.unwrap().total().accepted, 3);
    reading.close().await;
    assert!(!scene.path().with_file_name("ledger.db-wal").exists());

    let copy = scene.folder.path().join("copy.db");
    std::fs::copy(scene.path(), &copy).unwrap();
    for refused in
        [Ledger::open(&copy).await, Ledger::open_read_only(&copy).await.map(|l| l.unwrap())]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, LedgerError::Separated { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("copy.db-owners, found none: mount or copy the two"), "{error}");
    }
    Ledger::adopt(&copy).await.unwrap();
    let adopted = Ledger::open(&copy).await.unwrap();
    let gate = scene.gate_with(|builder| builder.ledger(adopted)).await;
    for portrait in &portraits {
        assert!(check(&gate, portrait).await.from_ledger);
    }
    assert_eq!(scene.emulator.calls(), 3);
    // The one it was copied from is what it was.
    check(&scene.gate().await, &portraits[0]).await;
}

#[tokio::test]
async fn another_ledgers_folder_is_not_this_ones() {
    let scene = Scene::new().await;
    let other = scene.folder.path().join("other.db");
    for path in [&scene.path(), &other] {
        Ledger::open(path).await.unwrap().close().await;
    }
    std::fs::rename(&other, scene.path()).unwrap();
    let error = Ledger::open(scene.path()).await.unwrap_err().to_string();
    assert!(error.contains("found another ledger's"), "{error}");
    Ledger::adopt(scene.path()).await.unwrap();
    Ledger::open(scene.path()).await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_any_process_has_open_is_not_adopted() {
    let scene = Scene::new().await;
    let portrait = scene.portrait("face.png");
    let open = Ledger::open(scene.path()).await.unwrap();
    let error = Ledger::adopt(scene.path()).await.unwrap_err().to_string();
    assert!(error.contains("must not be in use"), "{error}");
    // Nothing has changed for who has it open.
    let gate = scene.gate_with(|builder| builder.ledger(open.clone())).await;
    assert_eq!(check(&gate, &portrait).await.verdict.as_str(), "accepted");
    gate.close().await;
    open.close().await;
    Ledger::adopt(scene.path()).await.unwrap();
    let nowhere = Ledger::adopt(scene.folder.path().join("nowhere.db")).await;
    assert!(nowhere.unwrap_err().to_string().contains("No such file"));
}

/// Broken off anywhere, making a ledger can be begun again: what stands beside a blank file is nobody's.
#[tokio::test]
async fn a_ledger_whose_making_was_broken_off_is_made() {
    let scene = Scene::new().await;
    Ledger::open(scene.path()).await.unwrap().close().await;
    let left = names(&owners(&scene.path()));
    std::fs::write(scene.path(), "").unwrap();
    assert!(Ledger::open_read_only(scene.path()).await.unwrap().is_none());
    Ledger::open(scene.path()).await.unwrap().close().await;
    let made: Vec<_> = names(&owners(&scene.path()))
        .into_iter()
        .filter(|name| name.starts_with("ledger-"))
        .collect();
    assert_eq!(made.len(), 1);
    assert!(!left.contains(&made[0]), "an id is one ledger's");
    // A ledger that is gone is no new one.
    std::fs::remove_file(scene.path()).unwrap();
    let gone = Ledger::open(scene.path()).await.unwrap_err().to_string();
    assert!(gone.contains("it is gone, and its folder"), "{gone}");
    assert!(!scene.path().exists());
    std::fs::remove_dir_all(owners(&scene.path())).unwrap();
    std::fs::create_dir(owners(&scene.path())).unwrap();
    Ledger::open(scene.path()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_of_two_names_and_what_is_no_path_are_refused() {
    let scene = Scene::new().await;
    let alias = scene.folder.path().join("alias.db");
    Ledger::open(scene.path()).await.unwrap().close().await;
    std::fs::hard_link(scene.path(), &alias).unwrap();
    let uri = format!("file:{}", scene.path().display());
    for (path, says) in [
        (scene.path(), "found 2 hard links"),
        (alias.clone(), "found 2 hard links"),
        (uri.clone().into(), "found file:"),
        ((uri + "?mode=memory").into(), "found file:"),
        ("sqlite:/tmp/ledger.db".into(), "found sqlite:"),
        ("/dev/null".into(), "must be a regular file"),
        (":memory:".into(), "found :memory:"),
        ("".into(), "found an empty text"),
    ] {
        let path: &Path = &path;
        let opened = [
            Ledger::open(path).await.map(drop),
            Ledger::open_read_only(path).await.map(drop),
            Ledger::adopt(path).await,
        ];
        for opened in opened {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(says), "{}: {error}", path.display());
        }
    }
    std::fs::remove_file(&alias).unwrap();
    // A symbolic link is no second name: what lies beside the file is found all the same.
    std::os::unix::fs::symlink(scene.path(), &alias).unwrap();
    Ledger::open(&alias).await.unwrap();
}

/// What other processes no longer find protects nothing: not one call more.
#[cfg(unix)]
#[tokio::test]
async fn a_file_pulled_away_from_beside_the_ledger_stops_the_next_call() {
    for file in ["ledger.db-wal", "ledger.db-shm", "the lock", "ledger.db-owners"] {
        let scene = Scene::new().await;
        let images = scene.portraits(2);
        let gate = scene.gate().await;
        check(&gate, &images[0]).await;
        match file {
            "the lock" => {
                for name in names(&owners(&scene.path())) {
                    if !name.starts_with("ledger-") {
                        std::fs::remove_file(owners(&scene.path()).join(name)).unwrap();
                    }
                }
            }
            "ledger.db-owners" => std::fs::remove_dir_all(owners(&scene.path())).unwrap(),
            file => std::fs::remove_file(scene.path().with_file_name(file)).unwrap(),
        }
        match gate.check(Source::url(images[1].url())).await {
            Err(GateError::Ledger(error)) => {
                assert!(error.to_string().contains("must stay where it is"), "{file}: {error}");
            }
            Ok(report) => panic!("{file}: {:?}", code(&report)),
            Err(other) => panic!("{file}: {other}"),
        }
        assert_eq!(scene.emulator.calls(), 1, "{file}");
    }
}
