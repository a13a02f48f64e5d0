//! Boxes at the right pixels, however an image is to be turned.

use emo_preflight::emulator::{Emulator, Picture};
use image::Rgb;
use serde_json::json;

use super::browser::{image, result, with_browser};
use crate::rig::turned::{HEIGHT, PATCH, WIDTH, jpeg};

#[test]
fn a_box_is_where_its_pixels_are_whatever_the_orientation() {
    with_browser(async |browser| {
        let emu = Emulator::builder().start().await.unwrap();
        for orientation in 1..=8 {
            let served = emu.serve(
                &format!("/{orientation}.jpg"),
                Picture::bytes("image/jpeg", jpeg(orientation)),
            );
            let shown = result(
                0,
                json!({"source": served.url(), "verdict": "accepted",
            "image": image(WIDTH, HEIGHT, orientation), "face_bbox": PATCH,
            "ext_bbox": [0, 0, 300, 300], "screen": {"faces": [{"box": PATCH, "score": 9.5}],
                "advice": "face_too_small"}, "billing": {"images": 1, "certainty": "certain"}}),
            );
            browser.show(&[shown], "").await;
            let ready = "const image = document.querySelector('#grid img'); image.scrollIntoView(); \
                     return image.complete && image.naturalWidth";
            // The browser turns it by itself.
            browser.until(ready, if orientation < 5 { WIDTH } else { HEIGHT }).await;
            let same = "const [a, b] = ['face', 'screen'].map((name) => \
            JSON.stringify(document.querySelector(`rect.${name}`).getBoundingClientRect())); \
            return a === b";
            assert_eq!(
                browser.run(same).await,
                true,
                "the screen's box is drawn as the service's is"
            );
            let outline = browser
            .run(
                "const box = document.querySelector('rect.face').getBoundingClientRect(); \
                 document.querySelectorAll('#grid rect').forEach((one) => { one.style.display = 'none' }); \
                 const frame = document.querySelector('#grid .picture').getBoundingClientRect(); \
                 return [[box.left, box.top, box.right, box.bottom], \
                         [frame.left, frame.top, frame.right, frame.bottom]]",
            )
            .await;
            let [outline, frame]: [[f64; 4]; 2] = serde_json::from_value(outline).unwrap();
            let screen = browser.client.screenshot().await.unwrap();
            let screen = image::load_from_memory(&screen).unwrap().to_rgb8();
            let red = |x: u32, y: u32| {
                let Rgb([red, green, blue]) = *screen.get_pixel(x, y);
                red > 180 && green < 90 && blue < 90
            };
            let is_framed = |x: u32, y: u32| {
                (frame[0]..frame[2]).contains(&f64::from(x))
                    && (frame[1]..frame[3]).contains(&f64::from(y))
            };
            let found =
                screen.enumerate_pixels().filter(|(x, y, _)| is_framed(*x, *y) && red(*x, *y));
            let found = found.fold([f64::MAX, f64::MAX, 0.0, 0.0], |[l, t, r, b], (x, y, _)| {
                let (x, y) = (f64::from(x), f64::from(y));
                [l.min(x), t.min(y), f64::max(r, x + 1.0), f64::max(b, y + 1.0)]
            });
            for (drawn, there) in outline.iter().zip(found) {
                assert!((drawn - there).abs() <= 3.0, "{orientation}: {outline:?} {found:?}");
            }
        }
    });
}
