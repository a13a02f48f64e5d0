use super::super::EMO_DETECT;
use super::*;

/// What a row expects to follow.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Accepted,
    Rejected,
    /// Rejected, and free to be asked another time.
    RejectedForNow,
    Unusable,
    Refused,
    StopsRun,
    Repeat,
    Throttled,
    Unknown,
}

/// A minute, as by default.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const NONE: (u64, Certainty) = (0, Certainty::None);
const ONE: (u64, Certainty) = (1, Certainty::Certain);
const UNKNOWN: (u64, Certainty) = (0, Certainty::Unknown);

fn first() -> RetryState {
    RetryState { repeats: Repeats::default(), seed: 7, longest_pause: LONGEST_PAUSE }
}

fn then(decision: &Decision) -> Then {
    match &decision.disposition {
        _ if decision.stops_run => Then::StopsRun,
        Disposition::Settled(Judgement::Passed { .. }) => Then::Accepted,
        Disposition::Settled(Judgement::Rejected(_)) => Then::Rejected,
        Disposition::Settled(Judgement::Unusable(_)) => Then::Unusable,
        _ if decision.repeat.is_some() && decision.throttled.is_some() => Then::Throttled,
        _ if decision.repeat.is_some() => Then::Repeat,
        Disposition::Refused(reason) if is_rejection(&reason.code) => Then::RejectedForNow,
        Disposition::Refused(_) => Then::Refused,
        Disposition::Unknown(_) => Then::Unknown,
    }
}

fn code_of(decision: &Decision) -> Option<String> {
    decision.disposition.reason().map(|reason| reason.code.to_string())
}

fn answered(status: u16, body: &str) -> Outcome {
    let answer = Answer::parse(body.as_bytes(), &EMO_DETECT).expect("the service's JSON");
    Outcome::Answered { status, retry_after: None, answer }
}

/// Every code of the vendor's tables, in the shape of an unbilled error answer.
#[test]
fn each_documented_code_has_its_consequence() {
    use Then::*;
    for (status, code, expected) in [
        (400, "InvalidParameter", Refused),
        (400, "InvalidParameter.Ratio", Refused),
        (400, "InvalidParameter.UnsupportedFileFormat", Refused),
        (400, "InvalidParamter.OutOfDefinition", Refused),
        (400, "invalid_parameter_error", Refused),
        (400, "BadRequest.EmptyInput", Refused),
        (400, "BadRequest.EmptyModel", Refused),
        (400, "BadRequest.EmptyParameters", Refused),
        (400, "BadRequest.IllegalInput", Refused),
        (400, "BadRequest.UnsupportedFileFormat", Refused),
        (400, "BadRequest.TooLarge", Refused),
        (400, "UnsupportedOperation", Refused),
        (400, "CustomRoleBlocked", Refused),
        (400, "FaqRuleBlocked", Refused),
        (400, "Contain.Forbidden.Label.Error", Refused),
        (400, "isv.OUT_OF_SERVICE", Refused),
        (400, "InternalError.Algo.InvalidParameter", Refused),
        (400, "Arrearage", StopsRun),
        (400, "DataInspectionFailed", Rejected),
        (400, "data_inspection_failed", Rejected),
        (400, "IPInfringementSuspect", Rejected),
        (400, "InvalidPerson", Rejected),
        (400, "InvalidFile.NoHuman", Rejected),
        (400, "InvalidFile.MultiHuman", Rejected),
        (400, "InvalidFile.BodyProportion", Rejected),
        (400, "InvalidFile.BodyPose", Rejected),
        (400, "InvalidFile.FacePose", Rejected),
        (400, "InvalidFile.FullFace", Rejected),
        (400, "InvalidFile.FrontBody", Rejected),
        (400, "InvalidFile.FullBody", Rejected),
        (400, "InvalidFile.FaceNotMatch", Rejected),
        (400, "InvalidFile.Value", Rejected),
        (400, "InvalidFile.Content", Rejected),
        (400, "InvalidFile.AspectRatio", Rejected),
        (400, "InvalidFile.Something", Rejected),
        (400, "InvalidImage.NoHumanFace", Rejected),
        (400, "InvalidImage.Something", Rejected),
        (400, "InvalidFile.Resolution", RejectedForNow),
        (400, "InvalidFile.Format", RejectedForNow),
        (400, "InvalidFile.Size", RejectedForNow),
        (400, "InvalidFile.ImageSize", RejectedForNow),
        (400, "InvalidImage.ImageSize", RejectedForNow),
        (400, "InvalidImage.FileFormat", RejectedForNow),
        (400, "InvalidImageResolution", RejectedForNow),
        (400, "InvalidImageFormat", RejectedForNow),
        (400, "InvalidFile.Openerror", RejectedForNow),
        (400, "InvalidFile.DownloadFailed", RejectedForNow),
        (400, "InvalidURL", RejectedForNow),
        (400, "InvalidURL.Something", Refused),
        (400, "A.InputDownloadFailed", Refused),
        (400, "SomeDownloadFailed", Refused),
        (400, "InvalidURL.ConnectionRefused", Repeat),
        (400, "InvalidURL.Timeout", Repeat),
        (400, "InvalidParameter.DataInspection", Repeat),
        (401, "InvalidApiKey", StopsRun),
        (401, "invalid_api_key", StopsRun),
        (401, "NOT AUTHORIZED", StopsRun),
        (401, "invalid access token or token expired", StopsRun),
        (403, "AccessDenied", StopsRun),
        (403, "access_denied", StopsRun),
        (403, "AccessDenied.Unpurchased", StopsRun),
        (403, "Model.AccessDenied", StopsRun),
        (403, "Workspace.AccessDenied", StopsRun),
        (403, "Endpoint.AccessDenied", StopsRun),
        (403, "AllocationQuota.FreeTierOnly", StopsRun),
        (404, "ModelNotFound", StopsRun),
        (404, "model_not_found", StopsRun),
        (404, "WorkSpaceNotFound", StopsRun),
        (404, "NotFound", StopsRun),
        (429, "Throttling", Throttled),
        (429, "Throttling.RateQuota", Throttled),
        (429, "Throttling.BurstRate", Throttled),
        (429, "Throttling.AllocationQuota", Throttled),
        (429, "Throttling.Concurrency", Throttled),
        (429, "Throttling.Something.New", Throttled),
        (429, "limit_requests", Throttled),
        (429, "LimitRequests", Throttled),
        (429, "limit_burst_rate", Throttled),
        (429, "Free allocated quota exceeded", StopsRun),
        (429, "CommodityNotPurchased", StopsRun),
        (429, "PrepaidBillOverdue", StopsRun),
        (429, "PostpaidBillOverdue", StopsRun),
        (429, "insufficient_quota", StopsRun),
        (500, "InternalError", Repeat),
        (500, "InternalError.Timeout", Repeat),
        (500, "InternalError.Algo", Repeat),
        (500, "InternalError.Upload", Repeat),
        (500, "InternalError.FileUpload", Repeat),
        (500, "internal_error", Repeat),
        (500, "SystemError", Repeat),
        (500, "ModelServiceFailed", Repeat),
        (500, "RequestTimeOut", Repeat),
        (500, "ResponseTimeout", Repeat),
        (503, "ModelServingError", Repeat),
        (503, "ModelUnavailable", Repeat),
        (503, "ServiceUnavailable", Repeat),
        // What the table has goes by its code, whatever the status.
        (429, "InvalidParameter", Refused),
        (500, "InvalidParameter", Refused),
        (400, "InternalError", Repeat),
        (200, "BailianGateway.Workspace.NotAuthorised", StopsRun),
        // What it has not goes by its status.
        (400, "Something.New", Refused),
        (401, "Something.New", Refused),
        (418, "Something.New", Refused),
        (429, "Something.New", Throttled),
        (500, "Something.New", Repeat),
        (501, "Something.New", Refused),
        (503, "Something.New", Repeat),
    ] {
        for body in [
            format!(r#"{{"code":"{code}","message":"m","request_id":"r"}}"#),
            format!(r#"{{"output":{{"code":"{code}","message":"m"}},"request_id":"r"}}"#),
        ] {
            let decision = decide(&answered(status, &body), first(), SystemTime::UNIX_EPOCH);
            assert_eq!(then(&decision), expected, "{status} {body}");
            assert_eq!(decision.billing, Billing::NONE, "{status} {body}");
            assert_eq!(code_of(&decision).as_deref(), Some(code), "{status} {body}");
        }
    }
}

/// `usage.image_count` decides what was billed, never the status; what may be billed is not
/// repeated.
#[test]
fn what_was_billed_and_what_follows() {
    use Then::*;
    let boxes = r#""face_bbox":[302,286,610,593],"ext_bbox":[71,9,840,778]"#;
    let pass = format!(r#"{{"output":{{"check_pass":true,{boxes}}},"usage":{{"image_count":1}}}}"#);
    let free = format!(r#"{{"output":{{"check_pass":true,{boxes}}}}}"#);
    for (status, body, expected, bill, code) in [
        (200, pass.as_str(), Accepted, ONE, None),
        (200, &free, Accepted, UNKNOWN, None),
        (
            200,
            r#"{"output":{"check_pass":false,"code":"","message":""},"usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("check_pass_false"),
        ),
        (
            200,
            r#"{"output":{"check_pass":false,"code":"InvalidFile.NoHuman"},"usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("InvalidFile.NoHuman"),
        ),
        (
            200,
            r#"{"output":{"check_pass":false,"code":"InternalError"},"usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("InternalError"),
        ),
        (200, r#"{"output":{"check_pass":false}}"#, Rejected, UNKNOWN, Some("check_pass_false")),
        (400, r#"{"output":{"check_pass":false}}"#, Rejected, UNKNOWN, Some("check_pass_false")),
        (
            200,
            r#"{"output":{"check_pass":true},"usage":{"image_count":1}}"#,
            Unusable,
            ONE,
            Some("malformed_answer"),
        ),
        (
            200,
            r#"{"output":{"check_pass":true,"code":"A.New"},"usage":{"image_count":1}}"#,
            Unusable,
            ONE,
            Some("malformed_answer"),
        ),
        (200, r#"{"output":{"check_pass":true}}"#, Unknown, UNKNOWN, Some("malformed_answer")),
        (
            200,
            r#"{"output":{"check_pass":"yes"},"usage":{"image_count":1}}"#,
            Unusable,
            ONE,
            Some("malformed_answer"),
        ),
        (200, r#"{"output":{}}"#, Unknown, UNKNOWN, Some("malformed_answer")),
        // A gateway may say "success" around a billed answer.
        (200, r#"{"code":"Success","data":{}}"#, Unknown, UNKNOWN, Some("Success")),
        (200, r#"{"output":{"code":"Some.New"}}"#, Unknown, UNKNOWN, Some("Some.New")),
        (500, &pass, Unusable, ONE, Some("malformed_answer")),
        (
            500,
            r#"{"code":"InternalError","usage":{"image_count":1}}"#,
            Unusable,
            ONE,
            Some("InternalError"),
        ),
        (
            500,
            r#"{"code":"InternalError","usage":{"image_count":"1"}}"#,
            Unknown,
            UNKNOWN,
            Some("InternalError"),
        ),
        (
            500,
            r#"{"code":"InternalError","usage":{"image_count":1.5}}"#,
            Unknown,
            UNKNOWN,
            Some("InternalError"),
        ),
        (
            200,
            r#"{"output":{"check_pass":false,"code":"A.NotAuthorised"},"usage":{"image_count":1}}"#,
            StopsRun,
            ONE,
            Some("A.NotAuthorised"),
        ),
        (
            500,
            r#"{"code":"InternalError","usage":{"image_count":0}}"#,
            Repeat,
            (0, Certainty::Certain),
            Some("InternalError"),
        ),
        (
            500,
            r#"{"code":"InternalError","output":{"check_pass":true}}"#,
            Unknown,
            UNKNOWN,
            Some("InternalError"),
        ),
        (
            500,
            r#"{"code":"InternalError","output":{"check_pass":"true"}}"#,
            Unknown,
            UNKNOWN,
            Some("InternalError"),
        ),
        (
            500,
            r#"{"output":{"check_pass":false,"code":"InternalError"},"usage":{"image_count":0}}"#,
            Repeat,
            (0, Certainty::Certain),
            Some("InternalError"),
        ),
        (
            400,
            r#"{"code":"InvalidFile.NoHuman","usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("InvalidFile.NoHuman"),
        ),
        (
            400,
            r#"{"code":"InvalidURL","usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("InvalidURL"),
        ),
        (
            200,
            r#"{"output":{"check_pass":false,"code":"InvalidFile.Format"},"usage":{"image_count":1}}"#,
            Rejected,
            ONE,
            Some("InvalidFile.Format"),
        ),
        (
            400,
            r#"{"code":"InvalidFile.DownloadFailed","usage":{"image_count":0}}"#,
            RejectedForNow,
            (0, Certainty::Certain),
            Some("InvalidFile.DownloadFailed"),
        ),
        (
            400,
            r#"{"code":"A.InputDownloadFailed","usage":{"image_count":1}}"#,
            Unusable,
            ONE,
            Some("A.InputDownloadFailed"),
        ),
        // Whatever is counted may be billed.
        (
            500,
            r#"{"code":"InternalError","usage":{"total_tokens":7}}"#,
            Unknown,
            UNKNOWN,
            Some("InternalError"),
        ),
        (
            429,
            r#"{"code":"Throttling","usage":{"images":1}}"#,
            Unknown,
            UNKNOWN,
            Some("Throttling"),
        ),
        (
            500,
            r#"{"code":"InternalError","usage":{"total_tokens":0}}"#,
            Repeat,
            NONE,
            Some("InternalError"),
        ),
        (
            401,
            r#"{"code":"InvalidApiKey","usage":{"image_count":1}}"#,
            StopsRun,
            ONE,
            Some("InvalidApiKey"),
        ),
        (
            429,
            r#"{"code":"Throttling.AllocationQuota","message":"Free allocated quota exceeded."}"#,
            StopsRun,
            NONE,
            Some("Throttling.AllocationQuota"),
        ),
        (302, &pass, Unknown, ONE, Some("billing_unknown")),
        (307, &free, Unknown, UNKNOWN, Some("billing_unknown")),
        (502, r#"{"code":"InternalError"}"#, Unknown, UNKNOWN, Some("billing_unknown")),
        (504, r#"{"code":"InternalError.Timeout"}"#, Unknown, UNKNOWN, Some("billing_unknown")),
        (408, r#"{"code":"RequestTimeOut"}"#, Unknown, UNKNOWN, Some("billing_unknown")),
        (499, r#"{"code":"RequestTimeOut"}"#, Unknown, UNKNOWN, Some("billing_unknown")),
    ] {
        let decision = decide(&answered(status, body), first(), SystemTime::UNIX_EPOCH);
        assert_eq!(then(&decision), expected, "{status} {body}");
        assert_eq!((decision.billing.images, decision.billing.certainty), bill, "{status} {body}");
        assert_eq!(code_of(&decision).as_deref(), code, "{status} {body}");
    }
}

#[test]
fn without_an_answer_only_what_was_not_sent_is_repeated() {
    let not_sent = Outcome::NotSent { error: "connection refused".to_owned() };
    let decision = decide(&not_sent, first(), SystemTime::UNIX_EPOCH);
    assert_eq!((then(&decision), decision.billing), (Then::Repeat, Billing::NONE));
    for status in [None, Some(200), Some(307), Some(504)] {
        let lost = Outcome::Lost { status, what: "connection reset".to_owned() };
        let decision = decide(&lost, first(), SystemTime::UNIX_EPOCH);
        assert_eq!((then(&decision), decision.billing), (Then::Unknown, Billing::UNKNOWN));
        assert_eq!(code_of(&decision).as_deref(), Some("billing_unknown"));
    }
}

/// Who stands in front of the service refuses for free; what the service may have worked for is not
/// known.
#[test]
fn an_answer_that_is_not_the_services_goes_by_its_status() {
    use Then::*;
    for (status, expected) in [
        (200, Unknown),
        (204, Unknown),
        (300, Refused),
        (302, Refused),
        (400, Refused),
        (401, Refused),
        (404, Refused),
        (407, Refused),
        (408, Unknown),
        (409, Refused),
        (428, Refused),
        (429, Throttled),
        (430, Refused),
        (498, Refused),
        (499, Unknown),
        (500, Unknown),
        (502, Unknown),
        (503, Unknown),
        (504, Unknown),
        (599, Unknown),
        (999, Unknown),
    ] {
        let outcome =
            Outcome::Foreign { status, retry_after: Some("7".to_owned()), what: "w".to_owned() };
        let decision = decide(&outcome, first(), SystemTime::UNIX_EPOCH);
        let (bill, code) = match expected {
            Unknown => (Billing::UNKNOWN, "billing_unknown"),
            _ => (Billing::NONE, "not_the_service"),
        };
        assert_eq!((then(&decision), decision.billing), (expected, bill), "{status}");
        assert_eq!(code_of(&decision).as_deref(), Some(code), "{status}");
        assert!(!decision.stops_run, "{status}: one alone may pass");
        let wait = (expected == Throttled).then_some(Duration::from_secs(7));
        assert_eq!(decision.throttled, wait, "{status}");
        if let Some(repeat) = decision.repeat {
            assert_eq!(repeat.after, Duration::from_secs(7));
        }
    }
}

#[test]
fn every_repeat_has_an_end_and_its_pauses_grow_within_bounds() {
    for (outcome, most) in [
        (Outcome::NotSent { error: "refused".to_owned() }, 4),
        (answered(400, r#"{"code":"InvalidURL.Timeout"}"#), 2),
        (answered(429, r#"{"code":"Throttling"}"#), 9),
        (answered(500, r#"{"code":"InternalError"}"#), 4),
    ] {
        for seed in [0, 1, u64::MAX] {
            let mut repeats = Repeats::default();
            let mut pauses: Vec<Duration> = Vec::new();
            while let Some(Repeat { after, repeats: so_far }) =
                decide(&outcome, RetryState { repeats, seed, ..first() }, SystemTime::UNIX_EPOCH)
                    .repeat
            {
                repeats = so_far;
                pauses.push(after);
            }
            assert_eq!(pauses.len(), most, "{outcome:?}");
            assert!(pauses.iter().all(|p| *p >= Duration::from_millis(500) && *p <= LONGEST_PAUSE));
            assert!(pauses.last() > pauses.first());
        }
    }
}

#[test]
fn each_kind_of_trouble_has_repeats_of_its_own() {
    let troubles = [
        answered(429, r#"{"code":"Throttling"}"#),
        answered(429, r#"{"code":"Throttling"}"#),
        answered(500, r#"{"code":"InternalError"}"#),
        Outcome::NotSent { error: "refused".to_owned() },
        answered(400, r#"{"code":"InvalidURL.Timeout"}"#),
    ];
    let (mut repeats, mut made) = (Repeats::default(), 0);
    for trouble in troubles.iter().cycle() {
        let attempt = RetryState { repeats, ..first() };
        let Some(repeat) = decide(trouble, attempt, SystemTime::UNIX_EPOCH).repeat else { break };
        repeats = repeat.repeats;
        made += 1;
    }
    // The third download is the first that is not repeated.
    assert_eq!(made, 5 + 5 + 4);
}

#[test]
fn retry_after_is_obeyed_within_a_minute() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (value, seconds) in [
        ("7", 7.0..=7.0),
        ("0", 1.0..=2.0),
        ("86400", 60.0..=60.0),
        ("Sun, 09 Sep 2001 01:46:50 GMT", 10.0..=10.0),
        ("Sun, 09 Sep 2001 01:46:30 GMT", 1.0..=2.0),
        ("soon", 1.0..=2.0),
    ] {
        let Outcome::Answered { status, answer, .. } = answered(429, r#"{"code":"Throttling"}"#)
        else {
            panic!("an answer");
        };
        let outcome = Outcome::Answered { status, retry_after: Some(value.to_owned()), answer };
        let Repeat { after, .. } = decide(&outcome, first(), now).repeat.expect(value);
        assert!(seconds.contains(&after.as_secs_f64()), "{value}: {after:?}");
    }
}

#[test]
fn every_code_that_is_known_here_has_an_advice() {
    for (pattern, _) in CODES {
        let code = match pattern {
            Code::Is(code) => (*code).to_owned(),
            Code::StartsWith(start) => format!("{start}Unheard"),
            Code::EndsWith(end) => format!("Unheard{end}"),
        };
        assert!(ReasonCode::Service(code.clone()).advice().is_some(), "{code}");
    }
}
