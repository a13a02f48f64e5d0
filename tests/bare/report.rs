//! The result's JSON, which people script against: names are added, never changed.

use emo_preflight::header::{Format, Header, Orientation};
use emo_preflight::{AspectRatio, BBox, Billing, Reason, ReasonCode, Report, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn the_contracts_example_is_read_and_written_back() {
    let report: Report = serde_json::from_str(EXAMPLE).unwrap();
    // To the letter: keys, their order, numbers without fractions.
    assert_eq!(serde_json::to_string(&report).unwrap(), EXAMPLE.replace('\n', ""));

    assert_eq!((report.index, report.ratio), (0, AspectRatio::Square));
    assert_eq!(report.source, "https://…/a.jpg");
    let (face, ext) = ([302.0, 286.0, 610.0, 593.0].into(), [71.0, 9.0, 840.0, 778.0].into());
    assert_eq!(report.verdict, Verdict::Accepted { face, ext });
    let image = Header::new(Format::Jpeg, 1_024, 1_280, Some(Orientation::NORMAL));
    assert_eq!(report.image, Some(image));
    let fetch = report.fetch.unwrap();
    assert_eq!((fetch.bytes, fetch.requests, fetch.redirects, fetch.elapsed_ms), (2_048, 1, 0, 41));
    assert_eq!(report.billing, Billing::certain(1));
    assert_eq!(report.request_id.as_deref(), Some("c56f…"));
    assert!(!report.from_ledger);
    assert_eq!(report.input, Some(emo_preflight::Fields::default()));
}

#[test]
fn what_has_nothing_to_say_is_left_out_but_reasons_and_billing_never() {
    let report = Report::new("a.jpg", AspectRatio::Portrait, Verdict::Eligible);
    assert_eq!(
        serde_json::to_string(&report).unwrap(),
        r#"{"v":1,"index":0,"source":"a.jpg","ratio":"3:4","verdict":"eligible","reasons":[],"billing":{"images":0,"certainty":"none"},"from_ledger":false}"#
    );
    // An unknown orientation is nothing to say either.
    let mut report = report;
    report.image = Some(Header::new(Format::WebP, 7, 8, None));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["image"], json!({"format": "webp", "width": 7, "height": 8}));
}

#[test]
fn every_verdict_keeps_its_name() {
    let (face, ext) = (BBox::from([1.0, 2.0, 3.0, 4.0]), BBox::from([0.0, 0.0, 5.0, 5.0]));
    for (verdict, name, has_boxes) in [
        (Verdict::Eligible, "eligible", false),
        (Verdict::Accepted { face, ext }, "accepted", true),
        (Verdict::RejectedLocal, "rejected_local", false),
        (Verdict::RejectedRemote, "rejected_remote", false),
        (Verdict::BoxMismatch { face, ext }, "box_mismatch", true),
        (Verdict::Undetermined, "undetermined", false),
        (Verdict::Failed, "failed", false),
        (Verdict::Skipped, "skipped", false),
    ] {
        assert_eq!(verdict.as_str(), name);
        assert_eq!(verdict.to_string(), name);
        assert_eq!(verdict.boxes(), has_boxes.then_some((face, ext)), "{name}");
        let report = Report::new("a", AspectRatio::Square, verdict);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["verdict"], name);
        let boxes = has_boxes.then(|| (json!([1, 2, 3, 4]), json!([0, 0, 5, 5])));
        let found = json.get("face_bbox").cloned().zip(json.get("ext_bbox").cloned());
        assert_eq!(found, boxes, "{name}");
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}

#[test]
fn every_reason_keeps_its_code() {
    let kept = [
        (ReasonCode::UnsupportedFormat, "unsupported_format"),
        (ReasonCode::NotAnImage, "not_an_image"),
        (ReasonCode::CorruptHeader, "corrupt_header"),
        (ReasonCode::ShortestSideBelowMin, "shortest_side_below_min"),
        (ReasonCode::LongestSideAboveMax, "longest_side_above_max"),
        (ReasonCode::NotHttpUrl, "not_http_url"),
        (ReasonCode::PrivateAddress, "private_address"),
        (ReasonCode::NotFound, "not_found"),
        (ReasonCode::BadInput, "bad_input"),
        (ReasonCode::UnreadableFile, "unreadable_file"),
        (ReasonCode::NoFace, "no_face"),
        (ReasonCode::SeveralFaces, "several_faces"),
        (ReasonCode::FaceTooSmall, "face_too_small"),
        (ReasonCode::Undecodable, "undecodable"),
        (ReasonCode::CheckPassFalse, "check_pass_false"),
        (ReasonCode::RatioMismatch, "ratio_mismatch"),
        (ReasonCode::Ratio8To11, "ratio_8_11"),
        (ReasonCode::BoxOutOfImage, "box_out_of_image"),
        (ReasonCode::FaceOutsideExt, "face_outside_ext"),
        (ReasonCode::BoxDegenerate, "box_degenerate"),
        (ReasonCode::HttpStatus, "http_status"),
        (ReasonCode::Network, "network"),
        (ReasonCode::Timeout, "timeout"),
        (ReasonCode::TooManyRedirects, "too_many_redirects"),
        (ReasonCode::BadRedirect, "bad_redirect"),
        (ReasonCode::HeaderTooLong, "header_too_long"),
        (ReasonCode::SizeDeferred, "size_deferred"),
        (ReasonCode::EncodedBody, "encoded_body"),
        (ReasonCode::ImageTooLong, "image_too_long"),
        (ReasonCode::ChangedMeanwhile, "changed_meanwhile"),
        (ReasonCode::MalformedAnswer, "malformed_answer"),
        (ReasonCode::BillingUnknown, "billing_unknown"),
        (ReasonCode::NotTheService, "not_the_service"),
        (ReasonCode::LedgerError, "ledger_error"),
        (ReasonCode::CapReached, "cap_reached"),
    ];
    for code in ReasonCode::ALL {
        assert!(kept.iter().any(|(listed, _)| listed == code), "{code} is not listed here");
    }
    let readme = include_str!("../../README.md");
    for (code, text) in kept {
        assert!(readme.contains(&format!("`{text}`")), "{text} is not in the README");
        assert_eq!(code.as_str(), text);
        assert_eq!(code.to_string(), text);
        assert_eq!(serde_json::to_value(&code).unwrap(), text);
        assert_eq!(serde_json::from_value::<ReasonCode>(text.into()).unwrap(), code);
    }
}

#[test]
fn the_services_own_codes_pass_verbatim() {
    for text in [
        "InvalidFile.NoHuman",
        "NOT AUTHORIZED",
        "Free allocated quota exceeded",
        "BailianGateway.Workspace.NotAuthorised",
        "Never.Seen.Before",
        "Timeout",
        "TIMEOUT",
        " timeout",
        "错误",
        "",
    ] {
        let code: ReasonCode = serde_json::from_value(text.into()).unwrap();
        assert_eq!(code, ReasonCode::Service(text.to_owned()));
        assert_eq!(serde_json::to_value(&code).unwrap(), text);
    }
}

#[test]
fn bills_keep_their_words() {
    for (billing, json) in [
        (Billing::NONE, json!({"images": 0, "certainty": "none"})),
        (Billing::certain(0), json!({"images": 0, "certainty": "certain"})),
        (Billing::certain(3), json!({"images": 3, "certainty": "certain"})),
        (Billing::UNKNOWN, json!({"images": 0, "certainty": "unknown"})),
    ] {
        assert_eq!(serde_json::to_value(billing).unwrap(), json);
        assert_eq!(serde_json::from_value::<Billing>(json).unwrap(), billing);
    }
}

#[test]
fn formats_keep_their_words() {
    let words = Format::ALL.iter().map(|format| serde_json::to_value(format).unwrap());
    assert_eq!(words.collect::<Vec<_>>(), ["jpeg", "png", "bmp", "webp"]);
}

#[test]
fn what_is_found_and_required_is_said_where_it_helps() {
    let mut reason = Reason::new(ReasonCode::Timeout, "it took too long");
    let bare = json!({"code": "timeout", "message": "it took too long"});
    assert_eq!(serde_json::to_value(&reason).unwrap(), bare);
    (reason.found, reason.required) = (Some(json!(21.5)), Some(json!(20)));
    let full =
        json!({"code": "timeout", "message": "it took too long", "found": 21.5, "required": 20});
    assert_eq!(serde_json::to_value(&reason).unwrap(), full);
    assert_eq!(serde_json::from_value::<Reason>(full).unwrap(), reason);
}

#[test]
fn another_version_is_refused() {
    for (version, said) in [
        (json!(2), "result version must be 1, found 2"),
        (json!(0), "result version must be 1, found 0"),
        (json!(256), "256"),
        (json!(-1), "-1"),
        (json!("1"), "string"),
        (json!(null), "null"),
    ] {
        let error = serde_json::from_value::<Report>(with("v", version.clone())).unwrap_err();
        assert!(error.to_string().contains(said), "{version}: {error}");
    }
    let mut without: Value = serde_json::from_str(EXAMPLE).unwrap();
    without.as_object_mut().unwrap().remove("v");
    let error = serde_json::from_value::<Report>(without).unwrap_err();
    assert!(error.to_string().contains("missing field `v`"), "{error}");
}

#[test]
fn fields_of_a_later_minor_version_are_passed_over() {
    let known: Report = serde_json::from_str(EXAMPLE).unwrap();
    for (name, value) in [
        ("later", json!({"nested": [1, {"v": 2}]})),
        ("", json!(null)),
        ("Verdict", json!("failed")),
    ] {
        let report: Report = serde_json::from_value(with(name, value)).unwrap();
        assert_eq!(report, known, "{name}");
    }
    let mut later: Value = serde_json::from_str(EXAMPLE).unwrap();
    for place in ["image", "fetch", "billing"] {
        later[place]["later"] = json!([1]);
    }
    assert_eq!(serde_json::from_value::<Report>(later).unwrap(), known);
}

#[test]
fn what_is_no_result_is_refused() {
    for (name, value) in [
        ("verdict", json!("passed")),
        ("verdict", json!(null)),
        ("ratio", json!("16:9")),
        ("index", json!(-1)),
        ("source", json!(null)),
        ("reasons", json!(null)),
        ("reasons", json!([{"code": "timeout"}])),
        ("billing", json!(null)),
        ("billing", json!({"images": 1, "certainty": "sure"})),
        ("billing", json!({"images": -1, "certainty": "certain"})),
        ("face_bbox", json!([1, 2, 3])),
        ("ext_bbox", json!(null)),
        ("image", json!({"format": "gif", "width": 1, "height": 1})),
        ("image", json!({"format": "png", "width": 1, "height": 1, "orientation": 9})),
    ] {
        let result = serde_json::from_value::<Report>(with(name, value.clone()));
        assert!(result.is_err(), "{name}: {value}");
    }
    for name in ["index", "source", "ratio", "verdict", "reasons", "billing", "face_bbox"] {
        let mut without: Value = serde_json::from_str(EXAMPLE).unwrap();
        without.as_object_mut().unwrap().remove(name);
        let error = serde_json::from_value::<Report>(without).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

proptest! {
    #[test]
    fn any_report_survives_its_json(json in any_report()) {
        let report: Report = serde_json::from_value(json.clone()).unwrap();
        // As a line of a file, which is how it is kept.
        let line = serde_json::to_string(&report).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(&serde_json::from_str::<Value>(&line).unwrap(), &json);
        prop_assert_eq!(serde_json::from_str::<Report>(&line).unwrap(), report);
    }

    #[test]
    fn any_code_survives(text: String) {
        let code = ReasonCode::from(text.clone());
        prop_assert_eq!(code.as_str(), text.as_str());
        let json = serde_json::to_string(&code).unwrap();
        prop_assert_eq!(serde_json::from_str::<ReasonCode>(&json).unwrap(), code);
    }
}

/// A report in JSON, put together from the contract rather than from the crate's types.
fn any_report() -> impl Strategy<Value = Value> {
    let verdict = prop_oneof![
        prop::sample::select(vec![
            "eligible",
            "rejected_local",
            "rejected_remote",
            "undetermined",
            "failed",
            "skipped",
        ])
        .prop_map(|verdict| json!({"verdict": verdict})),
        (any::<bool>(), any_box(), any_box()).prop_map(|(holds, face, ext)| {
            let verdict = if holds { "accepted" } else { "box_mismatch" };
            json!({"verdict": verdict, "face_bbox": face, "ext_bbox": ext})
        }),
    ];
    let image = (
        prop::sample::select(vec!["jpeg", "png", "bmp", "webp"]),
        1_u32..,
        1_u32..,
        prop::option::of(1_u8..=8),
    )
        .prop_map(|(format, width, height, orientation)| {
            let mut image = json!({"format": format, "width": width, "height": height});
            if let Some(orientation) = orientation {
                image["orientation"] = orientation.into();
            }
            image
        });
    let reason = (code(), any::<String>(), prop::option::of(any_json())).prop_map(
        |(code, message, found)| {
            let mut reason = json!({"code": code, "message": message});
            // null is the absence of something found.
            if let Some(found) = found.filter(|found| !found.is_null()) {
                reason["found"] = found.clone();
                reason["required"] = found;
            }
            reason
        },
    );
    let fetch = any::<(u64, u32, u32, u64)>().prop_map(|(bytes, requests, redirects, elapsed)| {
        json!({"bytes": bytes, "requests": requests, "redirects": redirects, "elapsed_ms": elapsed})
    });
    let billing = (any::<u64>(), prop::sample::select(vec!["none", "certain", "unknown"]))
        .prop_map(|(images, certainty)| json!({"images": images, "certainty": certainty}));
    let input = prop::collection::hash_map(any::<String>(), any_json(), 0..4);
    let always = (any::<u64>(), any::<String>(), prop::sample::select(vec!["1:1", "3:4"]));
    (
        (always, verdict, prop::collection::vec(reason, 0..4), billing, any::<bool>()),
        prop::option::of(any::<String>()),
        prop::option::of(image),
        prop::option::of(fetch),
        prop::option::of(any::<String>()),
        prop::option::of(input),
        prop::option::of(any_screen()),
    )
        .prop_map(|(always, image_id, image, fetch, request_id, input, screen)| {
            let ((index, source, ratio), verdict, reasons, billing, from_ledger) = always;
            let mut report = json!({
                "v": 1, "index": index, "source": source, "ratio": ratio, "reasons": reasons,
                "billing": billing, "from_ledger": from_ledger,
            });
            let fields = report.as_object_mut().unwrap();
            fields.extend(verdict.as_object().unwrap().clone());
            fields.extend(image_id.map(|id| ("image_id".to_owned(), id.into())));
            fields.extend(image.map(|image| ("image".to_owned(), image)));
            fields.extend(fetch.map(|fetch| ("fetch".to_owned(), fetch)));
            fields.extend(request_id.map(|id| ("request_id".to_owned(), id.into())));
            fields.extend(input.map(|input| ("input".to_owned(), json!(input))));
            fields.extend(screen.map(|screen| ("screen".to_owned(), screen)));
            report
        })
}

/// What the face screen saw.
fn any_screen() -> impl Strategy<Value = Value> {
    let face = (any_box(), 0_i32..10_000);
    let face = face.prop_map(|(at, score)| json!({"box": at, "score": f64::from(score) + 0.25}));
    let advice = prop::sample::select(vec![
        "no_face",
        "several_faces",
        "face_too_small",
        "undecodable",
        "face_cut_off",
        "face_turned",
    ]);
    (prop::collection::vec(face, 0..3), prop::option::of(advice)).prop_map(|(faces, advice)| {
        let mut screen = json!({"faces": faces});
        if let Some(advice) = advice {
            screen["advice"] = advice.into();
        }
        screen
    })
}

fn code() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["timeout", "ratio_8_11", "InvalidFile.NoHuman", "InvalidURL"])
            .prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// All whole or, with a fraction somewhere, none: mixed ones are written with `.0`.
fn any_box() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::array::uniform4(-10_000_i64..10_000).prop_map(|sides| json!(sides)),
        prop::array::uniform4(-10_000_i32..10_000)
            .prop_map(|sides| json!(sides.map(|side| f64::from(side) + 0.25))),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| json!(f64::from(number) + 0.5)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// The example with one field replaced or added.
fn with(name: &str, value: Value) -> Value {
    let mut report: Value = serde_json::from_str(EXAMPLE).unwrap();
    report[name] = value;
    report
}

const EXAMPLE: &str = r#"{"v":1,"index":0,"source":"https://…/a.jpg","ratio":"1:1","verdict":"accepted",
"image":{"format":"jpeg","width":1024,"height":1280,"orientation":1},
"reasons":[],
"fetch":{"bytes":2048,"requests":1,"redirects":0,"elapsed_ms":41},
"face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778],
"billing":{"images":1,"certainty":"certain"},
"request_id":"c56f…","from_ledger":false,"input":{}}"#;

/// Numbers beyond a float, repeated zeroes, an order of keys of their own: nothing is rewritten.
#[test]
fn the_callers_fields_come_back_as_they_were_written() {
    let input = r#"{"id":123456789012345678901234567890,"n":{"z":1.10,"a":1E400},"t":"\u0041"}"#;
    let line = format!(
        r#"{{"v":1,"index":0,"source":"s","ratio":"1:1","verdict":"eligible","reasons":[],"billing":{{"images":0,"certainty":"none"}},"from_ledger":false,"input":{input}}}"#
    );
    let report: Report = serde_json::from_str(&line).unwrap();
    assert_eq!(serde_json::to_string(&report).unwrap(), line);
}

/// A failure tells by its bill and its code whether a call left, and whether asking again may pay twice.
#[test]
fn what_a_report_means_is_told_by_its_verdict_its_bill_and_its_code() {
    let bbox = BBox::from([0.0, 0.0, 1.0, 1.0]);
    let passed = Verdict::Accepted { face: bbox, ext: bbox };
    let certain = Billing::certain(1);
    let (free, unknown) = (Billing::NONE, Billing::UNKNOWN);
    let (skipped, failed) = (Verdict::Skipped, Verdict::Failed);
    let service = ReasonCode::Service("InvalidParameter".to_owned());
    use ReasonCode as R;
    // Verdict, bill, code, whether there is an answer; called, settled, unknown, saved.
    for (verdict, billing, code, answered, expected) in [
        (Verdict::Eligible, free, None, false, (false, true, false, 0)),
        (Verdict::RejectedLocal, free, Some(R::NotFound), false, (false, true, false, 1)),
        (Verdict::Undetermined, free, Some(R::Timeout), false, (false, false, false, 0)),
        (passed, certain, None, true, (true, true, false, 0)),
        (Verdict::RejectedRemote, free, None, true, (true, true, false, 0)),
        (skipped, free, Some(R::CapReached), false, (false, false, false, 0)),
        (failed, free, Some(R::Network), false, (false, false, false, 0)),
        (failed, free, Some(R::LedgerError), false, (false, false, false, 0)),
        (failed, free, Some(R::LedgerError), true, (true, false, false, 0)),
        (failed, unknown, Some(R::LedgerError), false, (true, false, true, 0)),
        (failed, certain, Some(R::LedgerError), true, (true, false, true, 0)),
        (failed, free, Some(service), true, (true, false, false, 0)),
        (failed, unknown, Some(R::BillingUnknown), false, (true, false, true, 0)),
        (failed, certain, Some(R::BillingUnknown), false, (true, false, true, 0)),
        (failed, certain, Some(R::MalformedAnswer), true, (true, true, false, 0)),
    ] {
        let mut report = Report::new("https://example.org/a.jpg", AspectRatio::Square, verdict);
        report.billing = billing;
        report.reasons = code.into_iter().map(|code| Reason::new(code, "…")).collect();
        report.request_id = answered.then(|| "c56f".to_owned());
        let found = |report: &Report| {
            let called = report.was_called();
            (called, report.is_settled(), report.is_unknown(), report.images_saved())
        };
        assert_eq!(found(&report), expected, "{report:?}");
        assert_eq!(report.images_billed(), billing.images);
        if verdict == passed {
            report.from_ledger = true;
            assert_eq!(found(&report), (false, true, false, 1));
            assert_eq!(report.images_billed(), 0);
        }
    }
}
