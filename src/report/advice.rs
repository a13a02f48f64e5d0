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
    (Is("InvalidFile.Format"), FORMAT),
    (Is("InvalidFile.Size"), SMALLER),
    (Is("InvalidFile.ImageSize"), SIDES),
    (Is("InvalidFile.Openerror"), "save the image anew; the service could not open this file"),
    (Is("InvalidFile.DownloadFailed"), UNFETCHED),
    (StartsWith("InvalidFile."), ANOTHER),
    (Is("InvalidImage.NoHumanFace"), "use an image in which one face is clearly to be seen"),
    (Is("InvalidImage.ImageSize"), SIDES),
    (Is("InvalidImage.FileFormat"), FORMAT),
    (StartsWith("InvalidImage."), ANOTHER),
    (Is("InvalidImageResolution"), SIDES),
    (Is("InvalidImageFormat"), FORMAT),
    (Is("InvalidPerson"), ANOTHER),
    (Is("IPInfringementSuspect"), INSPECTION),
    (Is("DataInspectionFailed"), INSPECTION),
    (Is("data_inspection_failed"), INSPECTION),
    (Is("InvalidURL"), "check that anyone can fetch the URL: complete, public, not expired"),
    (StartsWith("InvalidURL."), UNFETCHED),
    (EndsWith("DownloadFailed"), UNFETCHED),
    (Is("InvalidParameter.DataInspection"), UNFETCHED),
    (Is("InternalError.Algo.InvalidParameter"), UNFETCHED),
    (Is("InvalidParameter.Ratio"), "ask for the ratio 1:1 or 3:4"),
    (Is("InvalidParameter.UnsupportedFileFormat"), FORMAT),
    (Is("InvalidParameter"), REQUEST),
    (StartsWith("InvalidParameter."), REQUEST),
    (Is("InvalidParamter.OutOfDefinition"), REQUEST),
    (Is("invalid_parameter_error"), REQUEST),
    (Is("BadRequest.UnsupportedFileFormat"), FORMAT),
    (Is("BadRequest.TooLarge"), SMALLER),
    (StartsWith("BadRequest."), REQUEST),
    (Is("UnsupportedOperation"), REQUEST),
    (Is("CustomRoleBlocked"), RULE),
    (Is("FaqRuleBlocked"), RULE),
    (Is("Contain.Forbidden.Label.Error"), RULE),
    (Is("isv.OUT_OF_SERVICE"), ACTIVATE),
    (Is("InvalidApiKey"), KEY),
    (Is("invalid_api_key"), KEY),
    (Is("invalid access token or token expired"), KEY),
    (Is("NOT AUTHORIZED"), ACCESS),
    (Is("AccessDenied.Unpurchased"), ACTIVATE),
    (Is("CommodityNotPurchased"), ACTIVATE),
    (Is("AccessDenied"), ACCESS),
    (Is("access_denied"), ACCESS),
    (Is("Endpoint.AccessDenied"), ACCESS),
    (Is("Model.AccessDenied"), ACCESS),
    (Is("Workspace.AccessDenied"), ACCESS),
    (EndsWith(".NotAuthorised"), ACCESS),
    (Is("AllocationQuota.FreeTierOnly"), FREE_QUOTA),
    (Is("Free allocated quota exceeded"), FREE_QUOTA),
    (Is("insufficient_quota"), FREE_QUOTA),
    (Is("ModelNotFound"), MODEL),
    (Is("model_not_found"), MODEL),
    (Is("NotFound"), "check --base-url and --model: the service has nothing at this path"),
    (Is("WorkSpaceNotFound"), "check --workspace"),
    (Is("Arrearage"), OVERDUE),
    (Is("PrepaidBillOverdue"), OVERDUE),
    (Is("PostpaidBillOverdue"), OVERDUE),
    (Is("Throttling"), SLOWER),
    (StartsWith("Throttling."), SLOWER),
    (Is("limit_requests"), SLOWER),
    (Is("LimitRequests"), SLOWER),
    (Is("limit_burst_rate"), SLOWER),
    (Is("InternalError"), LATER),
    (Is("InternalError.Timeout"), LATER),
    (Is("InternalError.Algo"), LATER),
    (Is("InternalError.Upload"), LATER),
    (Is("InternalError.FileUpload"), LATER),
    (Is("internal_error"), LATER),
    (Is("SystemError"), LATER),
    (Is("ModelServiceFailed"), LATER),
    (Is("RequestTimeOut"), LATER),
    (Is("ResponseTimeout"), LATER),
    (Is("ModelServingError"), LATER),
    (Is("ModelUnavailable"), LATER),
    (Is("ServiceUnavailable"), LATER),
];

const SIDES: &str = "use an image whose sides are from 400 to 7,000 px";
const FORMAT: &str = "convert the image to JPEG, PNG, BMP or WebP";
const SMALLER: &str = "save the image as a smaller file";
const ANOTHER: &str = "use another image; the service refused this one";
const INSPECTION: &str = "use another image; the service's content check refused this one";
const UNFETCHED: &str = "put the image where the service can fetch it from Beijing (OSS there, say), then \
                         run again";
const REQUEST: &str =
    "check --model and --base-url: the service does not take the request as it is";
const RULE: &str = "a rule of the account or the model refused the request: see the console";
const KEY: &str = "set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region; one of another region is \
                   refused like a wrong one";
const MODEL: &str = "check --model, and that the key is of the Beijing region";
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
