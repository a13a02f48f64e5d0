//! The hand-off to emo-v1.

use emo_preflight::{
    AspectRatio, BBox, EmoRequest, HandOffError, Mismatch, Reason, ReasonCode, Report, StyleLevel,
    Verdict,
};

#[test]
fn an_accepted_report_gives_the_documented_body() {
    let report = accepted("https://example.org/a.jpg?x=1&y=%20");
    let body = EmoRequest::new(&report, AUDIO, StyleLevel::Active, Mismatch::Refuse).unwrap();
    let json = r#"{"model":"emo-v1","input":{"image_url":"https://example.org/a.jpg?x=1&y=%20","audio_url":"https://example.org/speech.wav","face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778]},"parameters":{"style_level":"active"}}"#;
    assert_eq!(serde_json::to_string(&body).unwrap(), json);
    assert_eq!(serde_json::from_str::<EmoRequest>(json).unwrap(), body);
}

#[test]
fn boxes_go_out_as_they_came_in() {
    let ext = BBox::from([71.5, 9.0, 840.25, 778.0]);
    let face = BBox::from([302.0, 286.0, 610.0, 593.0]);
    let report = Report::new("https://h/a", AspectRatio::Square, Verdict::Accepted { face, ext });
    let body = EmoRequest::new(&report, AUDIO, StyleLevel::Normal, Mismatch::Refuse).unwrap();
    let json = serde_json::to_value(&body).unwrap();
    assert_eq!(json["input"]["face_bbox"].to_string(), "[302,286,610,593]");
    assert_eq!(json["input"]["ext_bbox"].to_string(), "[71.5,9.0,840.25,778.0]");
}

#[test]
fn style_levels_have_the_vendors_names() {
    assert_eq!(StyleLevel::default(), StyleLevel::Normal);
    for (level, name) in
        [(StyleLevel::Normal, "normal"), (StyleLevel::Calm, "calm"), (StyleLevel::Active, "active")]
    {
        let body = EmoRequest::new(&accepted("https://h/a"), AUDIO, level, Mismatch::Refuse);
        let json = serde_json::to_value(body.unwrap()).unwrap();
        assert_eq!(json["parameters"]["style_level"], name);
    }
}

#[test]
fn the_fragment_does_not_travel() {
    for (source, sent) in [
        ("https://h/a.jpg#face", "https://h/a.jpg"),
        ("https://h/a.jpg?q=1#a#b", "https://h/a.jpg?q=1"),
        ("https://h/a.jpg#", "https://h/a.jpg"),
        // Nothing else is touched: the boxes belong to this very URL.
        ("HTTPS://H/a%2fb.jpg?Signature=s%3D", "HTTPS://H/a%2fb.jpg?Signature=s%3D"),
    ] {
        let report = accepted(source);
        let body = EmoRequest::new(&report, AUDIO, StyleLevel::Normal, Mismatch::Refuse).unwrap();
        assert_eq!(body.input.image_url, sent);
    }
}

#[test]
fn a_mismatch_is_handed_on_only_when_told() {
    let (face, ext) = boxes();
    let mut report =
        Report::new("https://h/a", AspectRatio::Portrait, Verdict::BoxMismatch { face, ext });
    report.reasons = vec![
        Reason::new(ReasonCode::RatioMismatch, "…"),
        Reason::new(ReasonCode::BoxOutOfImage, "…"),
    ];
    let refused = EmoRequest::new(&report, AUDIO, StyleLevel::Normal, Mismatch::Refuse);
    let error = refused.unwrap_err();
    assert_eq!(error, HandOffError::Mismatch("ratio_mismatch, box_out_of_image".to_owned()));
    assert_eq!(
        error.to_string(),
        "boxes must hold, found ratio_mismatch, box_out_of_image; accept the mismatch explicitly to \
         hand them on"
    );
    let body = EmoRequest::new(&report, AUDIO, StyleLevel::Normal, Mismatch::Accept).unwrap();
    assert_eq!((body.input.face_bbox, body.input.ext_bbox), (face, ext));
    assert_eq!(Mismatch::default(), Mismatch::Refuse);
}

#[test]
fn nothing_else_is_ever_handed_on() {
    for (verdict, name) in [
        (Verdict::Eligible, "eligible"),
        (Verdict::RejectedLocal, "rejected_local"),
        (Verdict::RejectedRemote, "rejected_remote"),
        (Verdict::Undetermined, "undetermined"),
        (Verdict::Failed, "failed"),
        (Verdict::Skipped, "skipped"),
    ] {
        let report = Report::new("https://h/a", AspectRatio::Square, verdict);
        for mismatch in [Mismatch::Refuse, Mismatch::Accept] {
            let error = EmoRequest::new(&report, AUDIO, StyleLevel::Normal, mismatch).unwrap_err();
            assert_eq!(error, HandOffError::NotAccepted(name));
            assert_eq!(error.to_string(), format!("verdict must be accepted, found {name}"));
        }
    }
}

fn accepted(source: &str) -> Report {
    let (face, ext) = boxes();
    Report::new(source, AspectRatio::Square, Verdict::Accepted { face, ext })
}

/// The vendor page's sample.
fn boxes() -> (BBox, BBox) {
    ([302.0, 286.0, 610.0, 593.0].into(), [71.0, 9.0, 840.0, 778.0].into())
}

const AUDIO: &str = "https://example.org/speech.wav";
