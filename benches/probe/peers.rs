//! What people compose today to learn an image's sides from its URL, each as well as we know how.

use imagesize::blob_size;

/// A composition of reqwest and a crate that reads headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The first 16 KiB, then as much again as there is, until it is enough.
    RangeDoubling,
    /// A plain GET that is hung up on when it is enough.
    StreamImagesize,
    StreamImage,
    WholeFile,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RangeDoubling => "ranges + imagesize",
            Self::StreamImagesize => "stream + imagesize",
            Self::StreamImage => "stream + image",
            Self::WholeFile => "whole file + image",
        }
    }

    /// The sides of the image at `url`.
    pub(crate) async fn look(self, http: &reqwest::Client, url: &str) -> Sides {
        match self {
            Self::RangeDoubling => by_ranges(http, url).await,
            Self::StreamImagesize => by_stream(http, url, by_imagesize).await,
            Self::StreamImage => by_stream(http, url, by_image).await,
            Self::WholeFile => {
                let body = http.get(url).send().await.map_err(text)?.bytes().await.map_err(text)?;
                by_image(&body)
            }
        }
    }
}

pub(crate) type Sides = Result<(u32, u32), String>;

/// A client as reqwest makes it, but for proxies, which loopback needs none of.
pub(crate) fn client() -> reqwest::Client {
    // A second one is refused, and the first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

async fn by_ranges(http: &reqwest::Client, url: &str) -> Sides {
    let (mut have, mut next) = (Vec::new(), 16 * 1_024);
    loop {
        let range = format!("bytes={}-{}", have.len(), next - 1);
        let mut response = http.get(url).header("Range", range).send().await.map_err(text)?;
        match response.status().as_u16() {
            206 => have.extend_from_slice(&response.bytes().await.map_err(text)?),
            200 => return read_stream(&mut response, by_imagesize).await,
            status => return Err(format!("status {status}")),
        }
        if let Ok(sides) = by_imagesize(&have) {
            return Ok(sides);
        }
        if have.len() < next {
            return Err("the file ends".to_owned());
        }
        next *= 2;
    }
}

async fn by_stream(http: &reqwest::Client, url: &str, read: fn(&[u8]) -> Sides) -> Sides {
    let mut response = http.get(url).send().await.map_err(text)?;
    read_stream(&mut response, read).await
}

async fn read_stream(response: &mut reqwest::Response, read: fn(&[u8]) -> Sides) -> Sides {
    let mut have = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(text)? {
        have.extend_from_slice(&bytes);
        if let Ok(sides) = read(&have) {
            return Ok(sides);
        }
    }
    Err("the file ends".to_owned())
}

fn by_imagesize(bytes: &[u8]) -> Sides {
    let size = blob_size(bytes).map_err(text)?;
    Ok((size.width.try_into().map_err(text)?, size.height.try_into().map_err(text)?))
}

fn by_image(bytes: &[u8]) -> Sides {
    let bytes = std::io::Cursor::new(bytes);
    let reader = image::ImageReader::new(bytes).with_guessed_format().map_err(text)?;
    reader.into_dimensions().map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
