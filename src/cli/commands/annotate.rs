//! `annotate`: copies of the images with their boxes, or what EMO will see of them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use futures_util::stream::{self, StreamExt as _};

use crate::cli::args::AnnotateArguments;
use crate::cli::commands::pictures::{Picture, Pictures};
use crate::cli::input::results;
use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::{BBox, Probe, Report};

/// What is written of one result: names and files.
type Written = Vec<(String, Result<Vec<u8>, String>)>;

pub(in crate::cli) async fn run(arguments: AnnotateArguments) -> anyhow::Result<Status> {
    let folder = &arguments.output;
    let cannot = || format!("cannot write to {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let pictures = Pictures::new(Probe::new(arguments.local.probe_options())?);
    let (mut copies, mut without_boxes, mut failed, mut turned) = (0_u64, 0_u64, 0_u64, 0_u64);
    let crop = arguments.crop;
    let making = stream::iter(results::read(&arguments.results)?).map(|result| {
        let pictures = pictures.clone();
        async move {
            let result = result?;
            let Some((face, ext)) = result.verdict.boxes() else {
                return anyhow::Ok((result, None));
            };
            let about = result.clone();
            let made =
                pictures.of(&result, move |picture| write(&about, &picture, &face, &ext, crop));
            let made = made.await;
            Ok((result, Some(made)))
        }
    });
    let mut making = making.buffered(arguments.local.run_options().concurrency.min(AT_A_TIME));
    while let Some(made) = making.next().await {
        let (result, made) = made?;
        let Some(made) = made else {
            without_boxes += 1;
            continue;
        };
        let source = text::source(&result.source, SHOWN);
        let files = match made {
            Ok(files) => files,
            Err(why) => {
                failed += 1;
                text::tell(format_args!("no copy of {source}: {}", text::plain(&why)));
                continue;
            }
        };
        if files.len() > 1 {
            turned += 1;
        }
        for (name, file) in files {
            match file {
                Ok(file) => {
                    let path = folder.join(&name);
                    fs::write(&path, file).with_context(|| said(&path))?;
                    copies += 1;
                }
                Err(why) => {
                    failed += 1;
                    text::tell(format_args!("no {name} of {source}: {}", text::plain(&why)));
                }
            }
        }
    }
    if turned > 0 {
        text::tell(format_args!(
            "{} to be turned (EXIF orientation): the vendor does not say in which orientation its boxes \
             are, so there are two copies of each, with the boxes in the image as stored and as shown",
            text::count(turned, "image is", "images are")
        ));
    }
    if !crop {
        text::tell("yellow: the face; blue: the dynamic area");
    }
    text::tell(format_args!(
        "{}: {}; {without_boxes} without boxes; {failed} failed",
        folder.display(),
        text::count(copies, "copy", "copies"),
    ));
    Ok(if failed > 0 { Status::Uncertain } else { Status::Good })
}

fn said(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The copies of one image; two of one that is to be turned.
fn write(result: &Report, picture: &Picture, face: &BBox, ext: &BBox, crop: bool) -> Written {
    let kind = if crop { "-crop" } else { "" };
    let make = |as_shown: bool| match crop {
        true => picture.cropped(ext, result.ratio, as_shown),
        false => picture.annotated(face, ext, as_shown),
    };
    let name = |boxes: &str| format!("{:06}{kind}{boxes}.jpg", result.index);
    if picture.is_upright() {
        return vec![(name(""), make(false))];
    }
    vec![(name("-boxes-as-stored"), make(false)), (name("-boxes-as-shown"), make(true))]
}

/// Images under way at a time, each of which is held whole.
const AT_A_TIME: usize = 8;

/// Characters of a source in a message.
const SHOWN: usize = 90;
