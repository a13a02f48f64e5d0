//! What can be done about the service's own codes. Those of this crate have theirs beside their names
//! (`reason_code`).

/// The advice for a code of the service, where it is documented.
pub(super) fn of_service(code: &str) -> Option<&'static str> {
    SERVICE.iter().find(|(pattern, _)| pattern.fits(code)).map(|(_, advice)| *advice)
}

enum Pattern {
    Is(&'static str),
    StartsWith(&'static str),
    EndsWith(&'static str),
}

impl Pattern {
    fn fits(&self, code: &str) -> bool {
        match self {
            Self::Is(whole) => code == *whole,
            Self::StartsWith(start) => code.starts_with(start),
            Self::EndsWith(end) => code.ends_with(end),
        }
    }
}

use Pattern::{EndsWith, Is, StartsWith};

/// The first that fits counts.
const SERVICE: &[(Pattern, &str)] = &[
    (Is("InvalidFile.NoHuman"), "use an image in which one person is clearly to be seen"),
    (Is("InvalidFile.MultiHuman"), "use an image of one person, or crop it to one"),
    (
        Is("InvalidFile.BodyProportion"),
        "use an image in which the person is neither too small nor too large for the frame",
    ),
    (Is("InvalidFile.FacePose"), "use an image in which the face looks straight into the camera"),
    (Is("InvalidFile.FullFace"), "use an image with the whole face in it and nothing before it"),
    (Is("InvalidFile.FrontBody"), "use an image of the person from the front"),
    (Is("InvalidFile.FullBody"), "use an image with the whole body in it"),
    (Is("InvalidFile.Resolution"), SIDES),
    (Is("InvalidFile.Format"), "convert the image to JPEG, PNG, BMP or WebP"),
    (Is("InvalidFile.Size"), "save the image as a smaller file"),
    (Is("InvalidFile.Openerror"), "save the image anew; the service could not open this file"),
    (StartsWith("InvalidFile."), "use another image; the service refused this one"),
    (Is("DataInspectionFailed"), "use another image; the service's content check refused this one"),
    (Is("InvalidURL"), "check that anyone can fetch the URL: complete, public, not expired"),
    (Is("InvalidURL.ConnectionRefused"), UNFETCHED),
    (Is("InvalidURL.Timeout"), UNFETCHED),
    (Is("InvalidParameter.DataInspection"), UNFETCHED),
    (Is("InternalError.Algo.InvalidParameter"), UNFETCHED),
    (Is("InvalidParameter.Ratio"), "ask for the ratio 1:1 or 3:4"),
    (Is("InvalidParameter"), REQUEST),
    (StartsWith("BadRequest."), REQUEST),
    (Is("UnsupportedOperation"), REQUEST),
    (
        Is("InvalidApiKey"),
        "set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region; one of another region is \
         refused like a wrong one",
    ),
    (Is("NOT AUTHORIZED"), ACCESS),
    (Is("AccessDenied.Unpurchased"), ACTIVATE),
    (Is("CommodityNotPurchased"), ACTIVATE),
    (Is("AccessDenied"), ACCESS),
    (Is("Model.AccessDenied"), ACCESS),
    (Is("Workspace.AccessDenied"), ACCESS),
    (EndsWith(".NotAuthorised"), ACCESS),
    (Is("AllocationQuota.FreeTierOnly"), FREE_QUOTA),
    (Is("Free allocated quota exceeded"), FREE_QUOTA),
    (Is("ModelNotFound"), "check --model, and that the key is of the Beijing region"),
    (Is("WorkSpaceNotFound"), "check --workspace"),
    (Is("Arrearage"), OVERDUE),
    (Is("PrepaidBillOverdue"), OVERDUE),
    (Is("PostpaidBillOverdue"), OVERDUE),
    (Is("Throttling"), SLOWER),
    (StartsWith("Throttling."), SLOWER),
    (Is("InternalError"), LATER),
    (Is("InternalError.Timeout"), LATER),
    (Is("SystemError"), LATER),
    (Is("ModelServiceFailed"), LATER),
    (Is("RequestTimeOut"), LATER),
    (Is("ModelServingError"), LATER),
    (Is("ModelUnavailable"), LATER),
];

const SIDES: &str = "use an image whose sides are from 400 to 7,000 px";
const UNFETCHED: &str = "put the image where the service can fetch it from Beijing (OSS there, say), then \
                         run again";
const REQUEST: &str =
    "check --model and --base-url: the service does not take the request as it is";
const ACCESS: &str = "in the Model Studio console give the key's workspace access to the model; check \
                      --workspace and --model";
const ACTIVATE: &str = "activate Model Studio and the model in the Alibaba Cloud console";
const FREE_QUOTA: &str = "the free images are used up: in the Model Studio console allow paid calls, then go \
                          on with --resume";
const OVERDUE: &str = "settle the Alibaba Cloud account's overdue bill, then go on with --resume";
const SLOWER: &str =
    "lower --rps, or let every program of the account share one ledger; then run again";
const LATER: &str = "run again later; the service has trouble of its own";

#[cfg(test)]
#[path = "advice_tests.rs"]
mod tests;
