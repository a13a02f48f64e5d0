//! The fixtures, and what the image crate takes them for.

use emo_preflight::header::{Header, Orientation};

use super::files::{FIXTURES, every_way, fixture, folder};

#[test]
fn fixtures() {
    for (name, expected) in FIXTURES {
        let file = fixture(name);
        let expected = expected
            .map(|(format, width, height, orientation)| {
                Header::new(format, width, height, Orientation::new(orientation))
            })
            .ok_or(());
        assert_eq!(every_way(name, &file).map_err(|_| ()), expected, "{name}");
    }
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let images = files.filter(|path| {
        !path
            .extension()
            .is_some_and(|extension| ["md", "py", "db"].iter().any(|other| extension == *other))
    });
    assert_eq!(images.count(), FIXTURES.len());
}

#[test]
fn fixtures_are_what_the_image_crate_takes_them_for() {
    let only_ours = [
        "fill-and-junk.jpg", // image reads a length behind markers that have none
        "lossy-head.webp",   // a header without an image
        "os2-16.bmp",        // image knows no DIB header of 16 bytes
    ];
    for (name, expected) in FIXTURES.iter().filter(|(name, _)| !only_ours.contains(name)) {
        let decoded = image::load_from_memory(&fixture(name));
        match expected {
            Some((_, width, height, _)) => {
                let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!((decoded.width(), decoded.height()), (*width, *height), "{name}");
            }
            None => assert!(decoded.is_err(), "{name}"),
        }
    }
}
